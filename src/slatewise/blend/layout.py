"""Layout: where a line may stand on a page, and what a gap does to it.

Limits are written as rules (`rules`), like any other. The gap effect is no limit: an item of a line is worth less soon
after the line's last one,

    worth = effect[gap] * utility, gap = slots since the line's last item, 1 for the next slot,

and as much as ever beyond the numbers given. Factors depend on line and slot, never on the item. A utility of zero or
less stays as it is, so that no gap lifts a row.

References:
    Yan et al. (2020), "Ads Allocation in Feed via Constrained Optimization", KDD: an ad takes the slot if
    effect * (revenue + price * engagement) exceeds the organic item's price * engagement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.columns import Codes, Numbers
from slatewise.core.rules import LONGEST_PAGE, Rule
from slatewise.methods.templates import Limit

CAP, FIRST, GAP, FLOOR = 3, 2, 1, 0
"""Priorities of the limits: floors give way before gaps, gaps before first slots, and these before page caps."""

LONGEST_EFFECT = 100
"""Slots after which a gap has no effect any more, at most."""

Slots = Annotated[int, Meta(ge=0, le=LONGEST_PAGE)]


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a line may stand.

    Attributes:
        first_slot: First slot that it may take, from 1.
        min_gap: Slots of other lines between two of its own; 0 is off.
        page_cap: Most slots of a page; none if not given.
        page_floor: Fewest slots of a page; 0 is off.
        gap_effect: What its utility counts, 0 to 1, so many slots after its last item: in the next one, the one after
            that, ...; 1 beyond.
    """

    first_slot: Annotated[int, Meta(ge=1, le=LONGEST_PAGE)] = 1
    min_gap: Slots = 0
    page_cap: Slots | None = None
    page_floor: Slots = 0
    gap_effect: Annotated[tuple[Annotated[float, Meta(ge=0, le=1)], ...], Meta(max_length=LONGEST_EFFECT)] = ()

    def rules(self, line: str) -> Iterator[Rule]:
        """Return the limits as rules."""
        group: dict[str, str] = {"line": line}
        if self.page_cap is not None:
            yield Rule(name=f"{line}.page_cap", group={**group}, at_most=self.page_cap, priority=CAP)
        if self.first_slot > 1:
            last = self.first_slot - 1
            yield Rule(name=f"{line}.first_slot", group={**group}, first=last, at_most=0, priority=FIRST)
        if self.min_gap > 0:
            every = self.min_gap + 1
            yield Rule(name=f"{line}.min_gap", group={**group}, every=every, at_most=1, priority=GAP)
        if self.page_floor > 0:
            yield Rule(name=f"{line}.page_floor", group={**group}, at_least=self.page_floor, priority=FLOOR)

    def limit(self, line: str, kept: Collection[str]) -> Limit:
        """Return the limits as a search of templates takes them, as far as their rules are kept."""

        def own(name: str, value: int | None, off: int) -> int:
            return value if value is not None and f"{line}.{name}" in kept else off

        return Limit(
            first=own("first_slot", self.first_slot, 1) - 1,
            gap=own("min_gap", self.min_gap, 0),
            cap=own("page_cap", self.page_cap, LONGEST_PAGE),
            floor=own("page_floor", self.page_floor, 0),
        )


def effects(layout: Mapping[str, Layout], names: Sequence[str]) -> Numbers:
    """Return (lines, longest) float64: factor of each line so many slots after its last item, from 1.

    >>> effects({"ads": Layout(gap_effect=(0.5, 0.8))}, ["posts", "ads"]).tolist()
    [[1.0, 1.0], [0.5, 0.8]]
    """
    longest = max((len(one.gap_effect) for one in layout.values()), default=0)
    table = np.ones((len(names), longest))
    for place, name in enumerate(names):
        own = layout[name].gap_effect if name in layout else ()
        table[place, : len(own)] = own
    return table


def factors(effect: Numbers, page: Codes, *, past: Codes) -> Numbers:
    """Return (k, lines) float64: the factor of each line in each slot of a page, given what stands above.

    >>> effect = effects({"ads": Layout(gap_effect=(0.5, 0.8))}, ["posts", "ads"])
    >>> factors(effect, np.array([1, 0, 0, 1]), past=np.array([], int))[:, 1].tolist()
    [1.0, 0.5, 0.8, 1.0]

    Args:
        effect: What `effects` returned.
        page: Line of each slot.
        past: Line of each row that the session saw last, oldest first.
    """
    longest = effect.shape[1]
    lines = np.concatenate([past, page])
    found = np.ones((len(page), len(effect)))
    for gap in range(longest, 0, -1):  # the nearest item of a line is written last
        above = np.arange(len(past), len(lines)) - gap
        slots = np.flatnonzero(above >= 0)
        line = lines[above[slots]]
        found[slots, line] = effect[line, gap - 1]
    return found
