"""Rules: every hard rule of a page is a bounded count of a group of rows in a window of slots.

`Rule` is what people write; `Constraints` is what kernels read: groups x windows with bounds and row weights. A rule
bounds the weight (1 each, unless it names a column), or the number of distinct values, of the rows of its group
that stand in its window, at least and at most. With `per`, each value of a column is a group of its own.

A page of L rows is judged as if L slots had been asked for: windows end with the page, and one that would begin
after its end binds nothing. A rule is broken by as much as its windows are outside their bounds, summed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias, cast, final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Flags, Kind
from slatewise.core.errors import RequestError, shown

UNIT = 1_000_000
"""Counts are whole numbers of millionths, so that weighted counts add and subtract without rounding."""

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

    @property
    def uses(self) -> tuple[tuple[str, Kind], ...]:
        """Columns that the rule looks at, with the kind that each use asks for."""
        matched: list[tuple[str, Kind]] = [(name, _kind_for(match)) for name, match in self.group.items()]
        keys: list[tuple[str, Kind]] = [(name, "key?") for name in (self.per, self.distinct) if name is not None]
        weights: list[tuple[str, Kind]] = [(name, "number") for name in (self.weight,) if name is not None]
        return (*matched, *keys, *weights)

    @property
    def reads(self) -> dict[str, Kind]:
        """Columns that candidates have to bring for the rule."""
        return {name: kind for name, kind in self.uses if name not in GIVEN}

    def span(self, slots: int) -> tuple[int, int, int]:
        """Return (start, stop, width) of the windows, counted from 0, for a page of `slots`.

        Windows may reach past the page: whoever counts cuts them to the page that it has.
        """
        start, stop = (self.slots[0] - 1, self.slots[1]) if self.slots else (0, self.first or slots)
        return start, stop, self.every or stop - start


def _kind_for(match: Match) -> Kind:
    if isinstance(match, bool):
        return "flag"
    return "number" if isinstance(match, Between) else "key?"


Arrays: TypeAlias = tuple[
    Codes,
    NDArray[np.int64],
    Codes,
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    Flags,
]
"""What kernels take: group, units, items, bounds, windows, tier, sizes, counts_values."""


@final
class Rulebook:
    """Rules as kernels read them, as far as they do not depend on the candidates: R rules, most important first.

    Attributes:
        rules: The rules.
        bounds: (R, 2) int64, smallest and largest count, in millionths.
        tier: (R,) int64, 0 for contractual rules, then 1, 2, ... in descending priority.
        counts_values: (R,) bool, whether a rule counts distinct values instead of rows.
    """

    __slots__ = ("_windows", "bounds", "counts_values", "rules", "tier")

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Order the rules and lay out their bounds."""
        self.rules = by_importance(rules)
        self.bounds = np.empty((len(self.rules), 2), dtype=np.int64)
        for place, rule in enumerate(self.rules):
            high = MOST if rule.at_most is None else rule.at_most
            self.bounds[place] = round((rule.at_least or 0) * UNIT), round(high * UNIT)
        self.counts_values = np.array([rule.distinct is not None for rule in self.rules], dtype=np.bool_)
        self.tier = _tiers(self.rules)
        self._windows: dict[int, NDArray[np.int64]] = {}

    def windows(self, slots: int) -> NDArray[np.int64]:
        """Return (R, 3) int64: start, stop and width of each rule's windows on a page of `slots`."""
        if slots not in self._windows:
            spans = [rule.span(slots) for rule in self.rules]
            self._windows[slots] = np.array(spans, dtype=np.int64).reshape(-1, 3)
        return self._windows[slots]


@final
class Constraints:
    """Rules bound to some candidates: R rules over n rows.

    Attributes:
        book: The rules; the arrays follow their order.
        slots: Page size asked for.
        group: (n, R) int32, the group of each row under each rule, -1 for none; for a rule on distinct values, the
            value's code.
        units: (n, R) int64, what a row counts, in millionths.
        sizes: (R,) int64, number of groups (or distinct values) of each rule.
        items: (n,) int32, code of each row's item.

    Examples:
        >>> items = Candidates.of(author=["a", "b", "a"])
        >>> rule = Rule(name="authors apart", per="author", every=4, at_most=1)
        >>> Constraints([rule], items, 20).group.T.tolist()
        [[0, 1, 0]]
    """

    __slots__ = ("book", "group", "items", "sizes", "slots", "units")

    def __init__(self, rules: Rulebook | Sequence[Rule], candidates: Candidates, slots: int) -> None:
        """Bind rules.

        Raises:
            RequestError: A weight is out of range.
        """
        self.book = rules if isinstance(rules, Rulebook) else Rulebook(rules)
        self.slots = slots
        n, size = len(candidates), len(self.book.rules)
        self.items = candidates.items
        self.group: Codes = np.zeros((n, size), dtype=np.int32)
        self.units: NDArray[np.int64] = np.full((n, size), UNIT, dtype=np.int64)
        self.sizes = np.ones(size, dtype=np.int64)
        for place, rule in enumerate(self.book.rules):
            self._fill(place, rule, candidates)

    @property
    def arrays(self) -> Arrays:
        """What kernels take: group, units, items, bounds, windows, tier, sizes, counts_values."""
        book = self.book
        windows = book.windows(self.slots)
        return (
            self.group, self.units, self.items, book.bounds, windows, book.tier, self.sizes, book.counts_values
        )  # fmt: skip

    def _fill(self, place: int, rule: Rule, candidates: Candidates) -> None:
        column = rule.per or rule.distinct
        own = self.group[:, place]
        if column is not None:
            keys = candidates.key(column)
            own[:] = keys.codes
            self.sizes[place] = len(keys.names)
            if rule.group:
                own[~_members(rule.group, candidates)] = -1
        elif rule.group:
            np.subtract(_members(rule.group, candidates), 1, out=own, dtype=np.int32)  # 0 inside, -1 outside
        if rule.per is not None and rule.at_least:
            self._keep_groups_at_hand(place)
        if rule.weight is not None:
            weights = candidates.number(rule.weight)
            outside = (weights < 0) | (weights > MOST)
            if outside.any():
                row = int(outside.argmax())
                where = f"candidates.{rule.weight}[{row}]"
                text = f"must be from 0 to {MOST:g} to be the weight of rule {rule.name!r}"
                raise RequestError(where, text, shown(float(weights[row])))
            self.units[:, place] = np.rint(weights * UNIT).astype(np.int64)

    def _keep_groups_at_hand(self, place: int) -> None:
        """Number only the groups that have rows: a floor asks nothing of a group that has none."""
        inside = self.group[:, place] >= 0
        groups, codes = np.unique(self.group[inside, place], return_inverse=True)
        self.group[inside, place] = codes
        self.sizes[place] = len(groups)


def by_importance(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return rules with contractual ones first, then in descending priority; equals keep their order."""
    return tuple(sorted(rules, key=_importance))


def _importance(rule: Rule) -> float:
    return -np.inf if rule.priority == "contractual" else -rule.priority


def _tiers(rules: Sequence[Rule]) -> NDArray[np.int64]:
    ordinary = sorted({_importance(rule) for rule in rules if rule.priority != "contractual"})
    places = {importance: place + 1 for place, importance in enumerate(ordinary)}
    return np.array([places.get(_importance(rule), 0) for rule in rules], dtype=np.int64)


def _members(group: Mapping[str, Match], candidates: Candidates) -> Flags:
    inside: Flags | None = None
    for name, match in group.items():
        matched = _matched(name, match, candidates)
        inside = matched if inside is None else inside & matched
    return cast("Flags", inside)


def _matched(name: str, match: Match, candidates: Candidates) -> Flags:
    if isinstance(match, bool):
        flags = candidates.flag(name)
        return flags if match else ~flags
    if isinstance(match, Between):
        numbers = candidates.number(name)
        low = -np.inf if match.at_least is None else match.at_least
        high = np.inf if match.at_most is None else match.at_most
        return (numbers >= low) & (numbers <= high)
    keys = candidates.key(name)
    if isinstance(match, list):
        return np.isin(keys.codes, [code for code, one in enumerate(keys.names) if one in match])
    return keys.codes == keys.names.index(match) if match in keys.names else np.zeros(len(candidates), dtype=np.bool_)
