"""Opening: a page, and everything counted on it, with which methods go on after the greedy start.

Rows are numbered by the problem's order of preference here, and slots end with the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from slatewise.core.columns import Codes, Numbers
from slatewise.core.problem import TOLERANCE, PageProblem, Pairs, Solution, ranked, unlimited
from slatewise.kernels import dual, exact, swap, windows
from slatewise.kernels.greedy import fill
from slatewise.kernels.rules import LOW

FILL_LOOKS = 2
"""Looks of the greedy search that count as one: they are quick."""

FIRST_FILL = 500
"""Looks of the greedy start at rules that collide; what remains open then is asked of prices."""

LIKELY = 3
"""Rows per slot with which prices are sought first."""
CROWD = 8
"""Rows per slot from which on that pays."""
KICKS = 100
"""Random changes in vain after which local search gives up, where pairs are worth something."""

NO_PREFERENCE = np.empty((0, 0), np.int32)


@dataclass(slots=True)
class Opening:
    """A page on its way to a better one.

    Attributes:
        problem: The problem.
        page: (length,) int32, the page.
        cost: (tiers,) int64, what it breaks.
        least: Whether it is proven that no page is longer or breaks the rules less.
        looks: Looks left.
        worth: (n, length) float64, what each row adds in each slot, pairs apart.
        left: (n, P) int32, of `Pairs`.
        right: (n, P) int32, of `Pairs`.
        counted: The `kernels.windows.Windows` of a page on which only the past stands.
        link: (n, 3) int32, rows of an item in a ring.
        value: What the page is worth.
        bound: What no page is worth more than.
    """

    problem: PageProblem
    page: Codes
    cost: Any
    least: bool
    looks: int
    worth: Numbers
    left: Codes
    right: Codes
    counted: Any
    link: Any
    value: float
    bound: float

    @property
    def tolerance(self) -> float:
        """Values as near as this count as equal."""
        if not np.isfinite(self.bound):
            return 0.0
        return TOLERANCE * max(abs(self.value), abs(self.bound))

    @property
    def is_unproven(self) -> bool:
        """Whether a page may be worth more that breaks the rules no more."""
        return bool(len(self.page)) and self.bound - self.value > self.tolerance

    @property
    def items(self) -> Codes:
        """(n,) int32, code of each row's item."""
        return self.problem.constraints.arrays.items[self.problem.order]

    def take(self, page: Codes) -> None:
        """Go on with another page of the same length."""
        self.page = page
        self.value = self.problem.value(self.problem.order[page])

    def climb(self, looks: int) -> None:
        """Improve the page by local search, in so many looks."""
        windows.show(self.counted, self.page)
        pairs, in_order = self.problem.pairs.worth, self.problem.extra is None
        self.looks -= swap.climb(
            self.counted, self.worth, self.left, self.right, pairs, self.link, looks, not self.least, in_order,
            KICKS if len(pairs) else 0, self.tolerance,
        )  # fmt: skip
        self.cost = self.counted.cost.copy()
        self.take(windows.taken_off(self.counted, len(self.page)))

    def price(
        self, worth: Numbers, spare: Any, most: Any, known: float, tolerance: float, steps: int, start: Any = None
    ) -> Any:
        """Return prices of the rules, from those of `start` on; see `kernels.dual.ascend`.

        Without any to start from, they are sought with a few likely rows first: what they prove is void, not what they
        are near.
        """
        items = self.items.astype(np.int64)
        prices = np.zeros(len(self.counted.count)) if start is None else start.price
        limit = max(self.looks, 1)
        if start is None and worth is self.worth and len(worth) > CROWD * len(self.page):
            likely = dual.ascend(
                self.counted, worth, self.likely, items, prices, spare, most, known, tolerance, steps, limit
            )
            self.looks -= likely.looks
            prices = likely.price
        found = dual.ascend(
            self.counted, worth, self.in_play(worth), items, prices, spare, most, known, tolerance, steps, limit
        )
        self.looks -= found.looks
        return found

    @property
    def likely(self) -> Any:
        """The best rows, those of the page, and the best of each group that a floor asks for."""
        rule, group = self.counted.rule, self.counted.group[: len(self.worth)]
        floors = [np.flatnonzero(group[:, one] >= 0)[:LIKELY] for one in np.flatnonzero(rule[:, LOW] > 0)]
        return np.unique(np.concatenate([np.arange(LIKELY * len(self.page)), self.page, *floors]))

    def in_play(self, worth: Numbers) -> Any:
        """Return the rows that could stand on a better page, told by the bound without rules.

        With a row that is not among the best, a page is at best the one without rules with this row for the last of
        them, in the slot of least exposure.
        """
        n, length = worth.shape
        problem = self.problem
        least = problem.exposure[:length].min()
        if worth is not self.worth or problem.extra is not None or least <= 0.0 or n <= length:
            return np.arange(n)
        utility = problem.utility[problem.order]
        missing = unlimited(problem, length) - self.value + self.tolerance
        return np.flatnonzero(utility >= utility[length - 1] - missing / least)

    def recount(self) -> None:
        """Count afresh what the page breaks."""
        windows.show(self.counted, self.page)
        self.cost = self.counted.cost.copy()
        windows.taken_off(self.counted, len(self.page))

    def search(self, found: Any, limit: int) -> None:
        """Look for a better page with these prices, and go on with the best."""
        known = self.value, np.inf, self.tolerance
        page, _, bound = self.seek(found, self.worth, self.problem.pairs, self.cost, known, limit)
        self.take(page)
        self.bound = min(self.bound, bound)

    def seek(
        self, found: Any, worth: Numbers, pairs: Pairs, spare: Any, known: tuple[float, float, float], limit: int
    ) -> Any:
        """Return (best page, its worth, bound on the worth of any); see `kernels.exact.search`.

        `known` are its arguments `known`, `enough` and `tolerance`.
        """
        problem = self.problem
        left, right = (self.left, self.right) if len(pairs.worth) else (pairs.left, pairs.right)
        page, value, bound, looks = exact.search(
            problem.order, problem.constraints.arrays, worth, left, right, pairs.worth, self.counted, found, spare,
            self.page, *known, min(limit, max(self.looks, 0)),
        )  # fmt: skip
        self.looks -= looks
        return page, value, bound

    def solution(self, prices: Numbers | None = None) -> Solution:
        """Return the page and what is proven of it."""
        return Solution(self.problem.order[self.page], self.value, max(self.bound, self.value), self.least, prices)


class Filled(NamedTuple):
    """A page that was filled greedily.

    Attributes:
        rows: Its rows.
        cost: (tiers,) int64, what it breaks.
        least: Whether it is proven that no page is longer or breaks the rules less.
        looks: Looks left.
    """

    rows: Codes
    cost: Any
    least: bool
    looks: int


def filled(problem: PageProblem, looks: int = FIRST_FILL) -> Filled:
    """Fill a page greedily, with so many looks at rows for the sake of colliding rules."""
    order, looks = problem.order, min(looks, problem.looks)
    prefer = NO_PREFERENCE if problem.extra is None else ranked(problem.worth, order)
    free = np.full(len(order), -1, np.int32)
    limit = FILL_LOOKS * looks
    rows, cost, least, asked = fill(order, problem.constraints.arrays, free, problem.slots, limit, prefer)
    asked //= FILL_LOOKS
    return Filled(rows, cost, least, problem.looks - asked)


def opened(problem: PageProblem, page: Filled) -> Opening:
    """Go on with a page that was filled."""
    start = blank(problem, len(page.rows), page.looks)
    start.take(places(problem, page.rows))
    start.cost, start.least, start.bound = page.cost, page.least, unlimited(problem, len(page.rows))
    return start


def opening(problem: PageProblem) -> Opening:
    """Fill a page greedily and go on with it."""
    return opened(problem, filled(problem))


def blank(problem: PageProblem, length: int, looks: int) -> Opening:
    """Return what there is to count on for pages of a length; its page is none yet."""
    order, pairs = problem.order, problem.pairs
    counted, link = windows.counted(order, problem.constraints.arrays, length)
    worth = problem.utility[order][:, None] * problem.exposure[:length]
    if problem.extra is not None:
        worth += problem.extra[order, :length]
    left, right = (pairs.left[order], pairs.right[order]) if len(pairs.worth) else (pairs.left, pairs.right)
    page, cost = np.arange(length, dtype=np.int32), np.zeros(len(counted.cost), np.int64)
    return Opening(problem, page, cost, False, looks, worth, left, right, counted, link, 0.0, np.inf)


def places(problem: PageProblem, rows: Codes) -> Codes:
    """Return rows in the numbers of the order of preference."""
    return places_in(problem.order)[rows]


def places_in(order: Codes) -> Codes:
    """Return the place of each row in an order of all rows."""
    place_of = np.empty(len(order), np.int32)
    place_of[order] = np.arange(len(order), dtype=np.int32)
    return place_of
