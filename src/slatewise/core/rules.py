"""Rules: every hard rule of a page is a bounded count of a group of rows in a window of slots.

`Rule` is what people write; `core.constraints` binds it to candidates. A rule bounds the weight (1 each, unless it
names a column), the share of exposure, or the number of distinct values, of the rows of its group that stand in its
window, at least and at most. With `per`, each value of a column is a group of its own.

A page of L rows is judged as if L slots had been asked for: windows end with the page, and one that would begin
after its end binds nothing. Windows of so many consecutive slots (`every`) reach back into the page before, if the
session had one. A rule is broken by as much as its windows are outside their bounds, summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias, final

import msgspec
from msgspec import Meta

from slatewise.core.columns import Kind
from slatewise.core.exposure import Curve

MOST = 100_000.0
"""Largest bound and largest weight of a row: summed over groups, windows and rules they stay below 2 to the 63rd."""

GIVEN = ("item_id", "line")
"""Columns that every candidate has; they are keys."""

LONGEST_PAGE = 1_000
"""Most slots of a page."""


class Between(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range of a number column.

    Attributes:
        at_least: Smallest value that matches.
        at_most: Largest value that matches.
    """

    at_least: float | None = None
    at_most: float | None = None


Match: TypeAlias = bool | int | str | list[str | int] | Between
Priority: TypeAlias = Annotated[int, Meta(ge=0)] | Literal["contractual"]
Slot: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Bound: TypeAlias = Annotated[float, Meta(ge=0, le=MOST)]


@final
class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bounded count of a group in a window.

    Attributes:
        name: What people call it; unique in the policy.
        group: Columns and what they must be for a row to count: a value, a list of which any will do, or a range
            `{at_least, at_most}` of a number column. All must match; empty means every row.
        per: A key column: each of its values is a group of its own. Rows without a value count nowhere.
        distinct: A key column: count its distinct values instead of rows.
        weight: A number column, >= 0: a row counts as much as this instead of 1.
        exposure: Curve over the slots: count the group's share of the window's exposure instead of rows.
        first: Window: the first so many slots.
        slots: Window: from slot a to slot b, both included, counted from 1.
        every: Windows: every so many consecutive slots of `first`, `slots`, or the whole page.
        at_least: Smallest count that is right.
        at_most: Largest count that is right.
        priority: Rules give way in ascending order of it when they cannot all hold; `contractual` ones never do.
    """

    name: Annotated[str, Meta(min_length=1)]
    group: dict[str, Match] = {}
    per: str | None = None
    distinct: str | None = None
    weight: str | None = None
    exposure: Curve | None = None
    first: Slot | None = None
    slots: tuple[Slot, Slot] | None = None
    every: Slot | None = None
    at_least: Bound | None = None
    at_most: Bound | None = None
    priority: Priority = 1

    def __post_init__(self) -> None:
        """Refuse a rule that contradicts itself."""
        for problem in self._problems():
            raise ValueError(problem)

    def _problems(self) -> Iterator[str]:
        if self.at_least is None and self.at_most is None:
            yield f"rule {self.name!r} needs `at_least` or `at_most`"
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            yield f"rule {self.name!r} has at_least {self.at_least} above at_most {self.at_most}"
        if self.first is not None and self.slots is not None:
            yield f"rule {self.name!r} has both `first` and `slots`; keep one"
        if self.slots is not None and self.slots[0] > self.slots[1]:
            yield f"rule {self.name!r} has slots {list(self.slots)}, which end before they begin"
        if self.distinct is not None and (self.per is not None or self.weight is not None):
            yield f"rule {self.name!r} has `distinct` beside `per` or `weight`; it counts values, not rows"
        if self.exposure is not None and (self.distinct is not None or self.weight is not None or self.every):
            yield f"rule {self.name!r} has `exposure` beside `distinct`, `weight` or `every`: a share is of one window"
        if self.exposure is not None and max(self.at_least or 0, self.at_most or 0) > 1:
            yield f"rule {self.name!r} bounds a share of exposure, which is from 0 to 1"

    @property
    def uses(self) -> tuple[tuple[str, Kind], ...]:
        """Columns that the rule looks at, with the kind that each use asks for."""
        matched: list[tuple[str, Kind]] = [(name, kind_for(match)) for name, match in self.group.items()]
        keys: list[tuple[str, Kind]] = [(name, "key?") for name in (self.per, self.distinct) if name is not None]
        weights: list[tuple[str, Kind]] = [(name, "number") for name in (self.weight,) if name is not None]
        return (*matched, *keys, *weights)

    @property
    def reads(self) -> dict[str, Kind]:
        """Columns that candidates have to bring for the rule."""
        return {name: kind for name, kind in self.uses if name not in GIVEN}

    @property
    def reach(self) -> int:
        """How many slots of the page before its windows reach back to."""
        return self.every - 1 if self.every and not self.first and not self.slots else 0

    def span(self, slots: int) -> tuple[int, int, int]:
        """Return (start, stop, width) of the windows, counted from 0, for a page of `slots`.

        Windows may reach past the page: whoever counts cuts them to the page that it has.
        """
        start, stop = (self.slots[0] - 1, self.slots[1]) if self.slots else (0, self.first or slots)
        return start, stop, self.every or stop - start


def kind_for(match: Match) -> Kind:
    """Return the kind of column that can be matched so."""
    if isinstance(match, bool):
        return "flag"
    return "number" if isinstance(match, Between) else "key?"
