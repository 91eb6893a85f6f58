"""Insert ads into a page: the best of all pages that may be, by what a decoder says of them slot by slot.

`exact` looks at no page that cannot be the best: see `kernels.insertion_search`. It is right to the margin below if the
decoder is causal, its context is bounded, and clicks and leaving are probabilities; no weight has to have a sign. Work
is counted in tokens, slots that the decoder is asked: when they are used up, the best page so far comes back with the
bound that is proven by then. Cost: O(tokens), and O(nodes * A) for the first bound.

References:
    arXiv 2603.04227 (2026), section 4: insertions and bounds of prefixes.
    Hart, Nilsson & Raphael (1968), "A formal basis for the heuristic determination of minimum cost paths": best first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, final

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes, Flags, Numbers
from slatewise.kernels import insertion_search as search
from slatewise.kernels.insertion import ORGANIC, Patterns
from slatewise.kernels.insertion_bounds import Tables, bounds_for, pages_below
from slatewise.kernels.insertion_search import ASKED, COMPLETE, WAITING, Asked, Tree

MARGIN = 1e-5
"""Share of the first bound within which a page is still looked at: sums of float32 differ by what is asked together."""

EQUAL = 1e-6
"""Share of it within which two pages are worth the same: that with fewer ads is served, then the first in order."""

WIDE = 48
"""Chains that are asked together."""
LONG = 3
"""Rows of a chain that are asked together: a graph has to copy their prefix each time."""

TOKENS_PER_MS = 250
"""Work is counted, never timed: this many tokens stand for 1 ms."""

EVERYTHING = 1 << 30
"""Most ads, where patterns alone say."""

_ASKED = ("pattern", "row", "parent", "reward", "stay", "complete")
_WAITING = ("key", "under", "node", "entry")


class Network(Protocol):
    """What answers for chains of rows, and remembers them."""

    def ask(self, asked: Asked) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (b, s) contexts of clicks and of leaving, before they are bounded."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Insertions:
    """Pages to choose from, rows numbered as patterns do.

    Attributes:
        patterns: The pages, an ad by its kind.
        tables: What rows are in each slot.
        network: Makes one that was asked nothing yet.
        slots: Slots of a page.
        tokens: Slots that may be asked.
        wide: Chains that are asked together, >= 1.
        long: Rows of a chain, >= 1.
    """

    patterns: Patterns
    tables: Tables
    network: Callable[[], Network]
    slots: int
    tokens: int
    wide: int = WIDE
    long: int = LONG


class Decoding(NamedTuple):
    """How a page was found.

    Attributes:
        pages: How many there are.
        evaluated: How many of them were asked down to the last slot.
        tokens: Slots that were asked.
        shared: Slots of all pages, those that pages share counted once.
        first_bound: What no page is worth more than, before any was asked.
        first_value: What one of them is worth at least, before any was asked.
    """

    pages: int
    evaluated: int
    tokens: int
    shared: int
    first_bound: float
    first_value: float

    @property
    def pruned(self) -> float:
        """Share of the pages that were not evaluated."""
        return 1.0 - self.evaluated / self.pages


class Decoded(NamedTuple):
    """A page and what is proven of it.

    Attributes:
        rows: (slots,) int32, rows as patterns number them.
        value: What they are worth; if none of the page was asked, at least.
        bound: What no page is worth more than.
        decoding: How it was found.
    """

    rows: Codes
    value: float
    bound: float
    decoding: Decoding


def exact(page: Insertions, *, margin: float = MARGIN) -> Decoded:
    """Return the best page, or the best so far with its bound if tokens are used up; `margin` inf asks all pages."""
    run = _Run(page, margin=margin)
    run.ask_all(page.tokens)
    rows, value = run.best
    bound = max(value, float(run.tree.key[0])) if run.is_open else value
    return Decoded(rows, value, bound, run.decoding(run.tokens, run.evaluated))


def staged(page: Insertions, *, width: int = 1) -> Decoded:
    """Return the best page that has one of the `width` best ads alone; all of them are asked, as published.

    The first stage asks all pages of at most one ad, the second all that have the ad of one of the best of these in its
    slot. A pair of ads neither of which is among the best alone is never seen.
    """
    fewest = int(page.patterns.ads[page.patterns.slot == page.slots - 1].min())
    everything, first = _Run(page, margin=np.inf), _Run(page, margin=np.inf, most=max(fewest, 1))
    first.ask_all(page.tokens)
    rows, value = first.best
    tokens, evaluated = first.tokens, first.evaluated
    for slot, ad in first.best_ads(width):
        pinned = np.full(page.slots, -1, np.int32)
        pinned[slot] = ad
        second = _Run(page, margin=np.inf, pinned=pinned)
        second.ask_all(page.tokens - tokens)
        tokens, evaluated = tokens + second.tokens, evaluated + second.evaluated
        if second.evaluated and second.best[1] > value + first.equal:
            rows, value = second.best
    return Decoded(rows, value, max(everything.first, value), everything.decoding(tokens, evaluated))


def beam(page: Insertions, *, width: int = 8) -> Decoded:
    """Return the best page of a search that keeps, for each slot, the `width` prefixes that promise most."""
    run = _Run(page, margin=np.inf)
    while run.is_open and run.tokens + run.waiting <= page.tokens:
        run.narrow(width)
        run.ask(run.waiting, 1)
    rows, value = run.best
    return Decoded(rows, value, max(run.first, value), run.decoding(run.tokens, run.evaluated))


def gains(rows: Codes, is_ad: Flags, tables: Tables, network: Callable[[], Network]) -> Numbers:
    """Return (k,) float64: what each slot of a page adds to its reward."""
    click, leave = network().ask(search.one_chain(rows))
    return search.gains_of(rows, is_ad, tables, click, leave)


def rewards(pages: Codes, is_ad: Flags, tables: Tables, network: Callable[[], Network]) -> Numbers:
    """Return (b,) float64: the reward of each of (b, k) pages, all asked from their first slot."""
    found = np.empty(len(pages))
    for at in range(0, len(pages), WIDE):
        some = pages[at : at + WIDE].astype(np.int32)
        b, k = some.shape
        places = np.arange(1, b * k + 1, dtype=np.int32).reshape(b, k)
        asked = Asked(some, places, np.full((b, k), -1, np.int32), np.zeros(b, np.int64), np.full(b, k))
        click, leave = network().ask(asked)
        for one, page in enumerate(some):
            own = slice(one, one + 1)
            found[at + one] = search.gains_of(page, is_ad, tables, click[own], leave[own]).sum()
    return found


class _Run:
    """A search on its way.

    Attributes:
        first: What no page is worth more than, before any was asked.
        tokens: Slots that were asked.
    """

    def __init__(self, page: Insertions, *, margin: float, most: int = EVERYTHING, pinned: Codes | None = None) -> None:
        patterns, tables = page.patterns, page.tables
        pinned = np.full(page.slots, -1, np.int32) if pinned is None else pinned
        self.page, self.tokens, self.network = page, 0, page.network()
        self.tree, self.bounds = _tree(page, most, pinned), bounds_for(patterns, tables)
        self.first = search.begin(self.tree, patterns, self.bounds)
        self.guess, self.least = search.promising(self.tree, patterns, self.bounds)
        self.scale = max(abs(self.first), abs(self.least)) if np.isfinite(self.first) else 0.0
        self.margin = margin * self.scale if np.isfinite(margin) else np.inf
        self.tree.best[0] = self.least

    @property
    def equal(self) -> float:
        """Values as near as this count as equal."""
        return EQUAL * self.scale

    @property
    def waiting(self) -> int:
        """Rows in line."""
        return int(self.tree.size[WAITING])

    @property
    def evaluated(self) -> int:
        """Pages that were asked down to the last slot."""
        return int(self.tree.size[COMPLETE])

    @property
    def is_open(self) -> bool:
        """Whether a row in line may be on a better page."""
        return self.waiting > 0 and bool(self.tree.key[0] >= self.tree.best[0] - self.margin)

    def ask_all(self, tokens: int) -> None:
        """Ask until nothing in line may be on a better page, or so many tokens are used up."""
        wide, long = 1, self.page.slots
        while self.is_open and self.tokens + long <= tokens:
            self.ask(min(wide, (tokens - self.tokens) // long), long)
            wide, long = self.page.wide, min(self.page.long, self.page.slots)

    def ask(self, wide: int, long: int) -> None:
        """Ask the chains that are next in line."""
        page = self.page
        self.tree = _roomy(self.tree, wide * long, len(page.tables.worth))
        asked = search.next_asked(self.tree, page.patterns, self.bounds, wide, long, self.margin)
        click, leave = self.network.ask(asked)
        search.settle(self.tree, page.patterns, page.tables, self.bounds, asked, click, leave, self.margin)
        self.tokens += int(asked.length.sum())

    @property
    def best(self) -> tuple[Codes, float]:
        """The best complete page, ties decided, and its worth; the page that seemed best, if none is complete."""
        tree, slots = self.tree, self.page.slots
        ends = tree.complete[: self.evaluated]
        if not len(ends):
            return self.guess, self.least
        near = ends[tree.reward[ends] >= tree.reward[ends].max() - self.equal]
        pages = [(search.page_of(tree, end, slots), float(tree.reward[end])) for end in near.tolist()]
        ads = self.page.patterns.ads[tree.pattern[near]].tolist()
        return min(zip(ads, pages, strict=True), key=lambda one: (one[0], one[1][0].tolist()))[1]

    def best_ads(self, width: int) -> list[tuple[int, int]]:
        """Return (slot, ad) of the best complete pages that have an ad, at most `width`."""
        tree, patterns = self.tree, self.page.patterns
        ends = tree.complete[: self.evaluated]
        ends = ends[patterns.ads[tree.pattern[ends]] == 1]
        found: list[tuple[int, int]] = []
        for end in ends[np.argsort(-tree.reward[ends], kind="stable")][:width].tolist():
            while patterns.kind[tree.pattern[end]] == ORGANIC:
                end = tree.parent[end]
            found.append((int(patterns.slot[tree.pattern[end]]), int(tree.row[end])))
        return found

    def narrow(self, width: int) -> None:
        """Leave in line only what stands below the `width` slots that promise most."""
        tree, many = self.tree, self.waiting
        under, key = tree.under[:many], tree.key[:many]
        order = np.argsort(-key, kind="stable")
        _, firsts = np.unique(under[order], return_index=True)
        kept = np.flatnonzero(np.isin(under, under[order][np.sort(firsts)[:width]]))
        kept = kept[np.argsort(-key[kept], kind="stable")]  # sorted rows are a heap
        for column in (tree.key, tree.under, tree.node, tree.entry):
            column[: len(kept)] = column[kept]
        tree.size[WAITING] = len(kept)

    def decoding(self, tokens: int, evaluated: int) -> Decoding:
        """Return how a page was found."""
        ways, patterns = pages_below(self.page.patterns), self.page.patterns
        pages = ways[patterns.slot == self.page.slots - 1].sum()
        return Decoding(int(pages), evaluated, tokens, int(ways.sum()) - 1, self.first, self.least)


def _tree(page: Insertions, most: int, pinned: Codes) -> Tree:
    """Return room for a search."""
    rows, slots = len(page.tables.worth), page.slots
    asked, waiting = 512, 512 + rows + slots
    return Tree(
        pattern=np.empty(asked, np.int32),
        row=np.empty(asked, np.int32),
        parent=np.empty(asked, np.int32),
        reward=np.empty(asked),
        stay=np.empty(asked),
        key=np.empty(waiting),
        under=np.empty(waiting, np.int32),
        node=np.empty(waiting, np.int32),
        entry=np.empty(waiting, np.int32),
        complete=np.empty(asked, np.int32),
        size=np.zeros(3, np.int64),
        best=np.zeros(1),
        pinned=pinned,
        most=most,
        above=np.empty(slots, np.int32),
    )


def _roomy(tree: Tree, tokens: int, rows: int) -> Tree:
    """Return the tree with room for so many tokens more."""
    grown: dict[str, NDArray[Any]] = {}
    asked, waiting = int(tree.size[ASKED]) + tokens, int(tree.size[WAITING]) + tokens * (rows + 1)
    for names, needed in ((_ASKED, asked), (_WAITING, waiting)):
        for name in names:
            old: NDArray[Any] = getattr(tree, name)
            if len(old) < needed:
                grown[name] = np.empty(max(needed, 2 * len(old)), old.dtype)
                grown[name][: len(old)] = old
    return tree._replace(**grown)
