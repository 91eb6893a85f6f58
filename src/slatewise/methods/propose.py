"""Propose: pages made in several ways under the rules, of which one that sees whole pages may choose.

Pages are made from the top, row by row. Only rows that may stand in the next slot are looked at (`kernels.choices`), so
that a page breaks the rules no more than can be seen to be unavoidable. A way to go is given by a step: from the pages
so far to what each row would be good for next. It is followed greedily, by a beam, or with noise:

    beam     the pages of largest sum of steps, `width` at a time
    walked   each page takes the row that its step puts first
    drawn    rows in order of  value + temperature * Gumbel noise:  a sample of Plackett and Luce's, page by page

Where rules collide, pages may turn out to break them more than they have to; `kept` takes those that break them least.
Rows are numbered by the problem's order of preference, so that ties go to the first. Cost: O(k * b * (n + k) * R), and
that of the steps.

References:
    Plackett (1975), "The analysis of permutations", Applied Statistics 24(2).
    Yellott (1977), "The relationship between Luce's choice axiom, Thurstone's theory ...": noise that samples it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes, Flags, Numbers
from slatewise.core.problem import PageProblem
from slatewise.kernels.choices import broken, choices
from slatewise.kernels.greedy import fill
from slatewise.methods import greedy
from slatewise.methods.opening import FILL_LOOKS, FIRST_FILL, NO_PREFERENCE, places_in

Step: TypeAlias = Callable[[Codes, NDArray[np.int64]], Numbers]
"""(b, t) pages so far and (b,) of which pages before they are made -> (b, n) what each row is good for next."""


@final
@dataclass(frozen=True, slots=True)
class Blank:
    """A page that is to be filled.

    Attributes:
        problem: The problem.
        after: (n,) int32, row that has to be placed before this one, -1 for none; as candidates are numbered.
        first: Places of the page that greed makes; all others are held against it.
        least: Whether it is proven that no page is longer, and none as long breaks the rules less.
    """

    problem: PageProblem
    after: Codes
    first: Codes
    least: bool

    @classmethod
    def of(cls, problem: PageProblem, after: Codes) -> Blank:
        """Fill the first page; rules that collide are settled as far as the looks of the problem allow."""
        place_of = places_in(problem.order)
        if (after >= 0).any():
            limit = FILL_LOOKS * problem.looks
            arrays, slots = problem.constraints.arrays, problem.slots
            rows, _, least, _ = fill(problem.order, arrays, after, slots, limit, NO_PREFERENCE)
            return cls(problem, after, place_of[rows], bool(least))
        solution = greedy.solve(problem)
        return cls(problem, after, place_of[solution.rows], solution.least)

    @property
    def length(self) -> int:
        """Slots of the pages that are made."""
        return len(self.first)

    @property
    def utility(self) -> Numbers:
        """(n,) what rows are worth alone, by their places."""
        return self.problem.utility[self.problem.order]

    def choices(self, pages: Codes) -> Flags:
        """Return (b, n) which places may come next on pages of places."""
        order = self.problem.order
        rows = order[pages] if pages.shape[1] else np.empty(pages.shape, np.int32)
        return choices(order, self.problem.constraints.arrays, self.after, self.length, rows)[:, order]

    def broken(self, pages: Codes) -> NDArray[np.int64]:
        """Return (b, tiers) what whole pages break."""
        order = self.problem.order
        return broken(order, self.problem.constraints.arrays, self.length, order[pages])

    def filled(self, preferred: Codes) -> Codes:
        """Return the page that takes places by preference; shorter than others where the rules ask for that."""
        order = self.problem.order
        arrays, limit = self.problem.constraints.arrays, FILL_LOOKS * min(FIRST_FILL, self.problem.looks)
        rows, _, _, _ = fill(order[preferred], arrays, self.after, self.problem.slots, limit, NO_PREFERENCE)
        return places_in(order)[rows]


def beam(blank: Blank, step: Step, width: int) -> Codes:
    """Return at most `width` pages of largest sum of steps, largest first; of equals, what came first.

    Args:
        blank: The page to be filled.
        step: What rows are good for.
        width: Pages that are followed, >= 1.
    """
    pages, total = np.empty((1, 0), np.int32), np.zeros(1)
    parents = np.zeros(1, np.int64)
    for _ in range(blank.length):
        worth = np.where(blank.choices(pages), step(pages, parents) + total[:, None], -np.inf)
        best = np.argsort(-worth, axis=None, kind="stable")[:width]
        best = best[np.isfinite(worth.ravel()[best])]
        parents, row = np.divmod(best, worth.shape[1])
        total = worth.ravel()[best]
        pages = np.column_stack([pages[parents], row.astype(np.int32)])
    return pages


def walked(blank: Blank, step: Step, many: int) -> Codes:
    """Return pages of which each takes what its step puts first; one that comes to no end is left out.

    Args:
        blank: The page to be filled.
        step: What rows are good for, page by page.
        many: How many pages.
    """
    pages = np.empty((many, 0), np.int32)
    itself, alive = np.arange(many), np.ones(many, np.bool_)
    for _ in range(blank.length):
        may = blank.choices(pages)
        alive &= may.any(axis=1)
        row = np.argmax(np.where(may, step(pages, itself), -np.inf), axis=1).astype(np.int32)
        pages = np.column_stack([pages, row])
        if not alive.all():  # what stands on a page that is given up has to be distinct all the same
            pages[~alive] = blank.first[: pages.shape[1]]
    return pages[alive]


def drawn(blank: Blank, many: int, temperature: float, *, seed: int) -> list[Codes]:
    """Return pages that are drawn: those of large utility often.

    Args:
        blank: The page to be filled.
        many: How many pages.
        temperature: How much chance counts, in units of utility, >= 0.
        seed: Root of the draw.
    """
    noise = np.random.default_rng(seed).gumbel(size=(many, len(blank.utility)))
    orders = np.argsort(-(blank.utility + temperature * noise), axis=1, kind="stable")
    return [blank.filled(order) for order in orders.astype(np.int32)]


def kept(blank: Blank, pages: list[Codes]) -> Codes:
    """Return the pages that are as long as the first and break the rules as little as any, each once, in order.

    Args:
        blank: The page to be filled.
        pages: What was proposed; the first page of the blank comes before them.
    """
    whole = np.array([blank.first, *(page for page in pages if len(page) == blank.length)], np.int32)
    _, once = np.unique(whole, axis=0, return_index=True)
    whole = whole[np.sort(once)]
    cost = blank.broken(whole)
    least = cost[np.lexsort(cost.T[::-1])[0]] if cost.shape[1] else cost[0]
    return whole[(cost == least).all(axis=1)]


def exchanged(page: Codes, slot: int, names: Sequence[str | int]) -> Codes:
    """Return (n, k) the page with each place in a slot; what stood there goes, or trades places.

    Args:
        page: (k,) the page.
        slot: The slot.
        names: (n,) item of each place; a place whose item stands elsewhere on the page takes that slot over.
    """
    pages = np.tile(page, (len(names), 1))
    shown: dict[str | int, int] = {names[place]: at for at, place in enumerate(page.tolist())}
    for place, name in enumerate(names):
        other = shown.get(name, slot)
        pages[place, other] = page[slot]
        pages[place, slot] = place
    return pages
