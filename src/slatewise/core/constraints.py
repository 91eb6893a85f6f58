"""Constraints: rules bound to the candidates of a request, as kernels read them.

`Rulebook` is what does not depend on the candidates and is laid out once per policy; `Constraints` adds, per request,
which rows count in which group, and the rows that the session saw last, where windows reach back to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast, final

import numpy as np
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Flags, Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.core.exposure import exposure_of
from slatewise.core.rules import MOST, Between, Match, Rule

UNIT = 1_000_000
"""Counts are whole numbers of millionths, so that weighted counts and shares add and subtract without rounding."""


class Arrays(NamedTuple):
    """What kernels take: R rules over n rows, and h rows of the page before, the last shown last.

    Attributes:
        group: (n + h, R) int32, group of each row under each rule, -1 for none; under a rule on distinct values, the
            value's code. Rows of the page before come last.
        units: (n + h, R) int64, what the row counts there.
        items: (n,) int32, code of each row's item; a page shows an item once.
        bounds: (R, 2) int64, lower and upper bound of each rule.
        windows: (R, 3) int64, start, stop and width of its windows.
        reach: (R,) int64, how many slots of the page before its windows reach back to.
        tier: (R,) int64, 0 for rules that never give way, then 1, 2, ... in descending importance.
        sizes: (R,) int64, its number of groups.
        by_value: (R,) bool, whether it counts distinct values.
        curve: (R, slots) float64, exposure of each slot for a rule on shares; -1 for any other rule.
    """

    group: Codes
    units: NDArray[np.int64]
    items: Codes
    bounds: NDArray[np.int64]
    windows: NDArray[np.int64]
    reach: NDArray[np.int64]
    tier: NDArray[np.int64]
    sizes: NDArray[np.int64]
    by_value: Flags
    curve: Numbers


@final
class Rulebook:
    """Rules as kernels read them, as far as they do not depend on the candidates: R rules, most important first.

    Attributes:
        rules: The rules.
        bounds: (R, 2) int64, smallest and largest count, in millionths.
        tier: (R,) int64, 0 for contractual rules, then 1, 2, ... in descending priority.
        reach: (R,) int64, slots of the page before that windows reach back to.
        counts_values: (R,) bool, whether a rule counts distinct values instead of rows.
    """

    __slots__ = ("_cut", "bounds", "counts_values", "reach", "rules", "tier")

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Order the rules and lay out their bounds."""
        self.rules = by_importance(rules)
        self.bounds = np.empty((len(self.rules), 2), dtype=np.int64)
        for place, rule in enumerate(self.rules):
            high = MOST if rule.at_most is None else rule.at_most
            self.bounds[place] = round((rule.at_least or 0) * UNIT), round(high * UNIT)
        self.counts_values = np.array([rule.distinct is not None for rule in self.rules], dtype=np.bool_)
        self.reach = np.array([rule.reach for rule in self.rules], dtype=np.int64)
        self.tier = _tiers(self.rules)
        self._cut: dict[int, tuple[NDArray[np.int64], Numbers]] = {}

    def without(self, name: str) -> Rulebook:
        """Return the rules but for one."""
        return Rulebook([rule for rule in self.rules if rule.name != name])

    def cut(self, slots: int) -> tuple[NDArray[np.int64], Numbers]:
        """Return, for a page of `slots`, the windows (R, 3) and the curves (R, slots) of `Arrays`."""
        if slots not in self._cut:
            windows = np.array([rule.span(slots) for rule in self.rules], dtype=np.int64).reshape(-1, 3)
            curve = np.full((len(self.rules), slots), -1.0)
            for place, rule in enumerate(self.rules):
                if rule.exposure is not None:
                    curve[place] = exposure_of(rule.exposure, slots)
            self._cut[slots] = windows, curve
        return self._cut[slots]


@final
class Constraints:
    """Rules bound to some candidates: R rules over n rows.

    Attributes:
        book: The rules; the arrays follow their order.
        slots: Page size asked for.
        arrays: What kernels take.
        past: What the session was shown before, oldest first; None for nothing.

    Examples:
        >>> items = Candidates.of(author=["a", "b", "a"])
        >>> rule = Rule(name="authors apart", per="author", every=4, at_most=1)
        >>> Constraints([rule], items, 20).arrays.group.T.tolist()
        [[0, 1, 0]]
    """

    __slots__ = ("arrays", "book", "past", "slots")

    def __init__(
        self,
        rules: Rulebook | Sequence[Rule],
        candidates: Candidates,
        slots: int,
        *,
        past: Candidates | None = None,
    ) -> None:
        """Bind rules.

        Args:
            rules: The rules.
            candidates: The rows to choose from.
            slots: Page size asked for.
            past: What the session was shown before, oldest first, with the columns that the rules read.

        Raises:
            RequestError: A weight is out of range.
        """
        self.book = rules if isinstance(rules, Rulebook) else Rulebook(rules)
        self.slots = slots
        self.past = past
        size = len(self.book.rules)
        seen = 0 if past is None else min(len(past), int(self.book.reach.max(initial=0)))
        if past is not None and seen < len(past):
            past = past.take(range(len(past) - seen, len(past)))
        rows = len(candidates) + seen
        windows, curve = self.book.cut(slots)
        self.arrays = Arrays(
            group=np.zeros((rows, size), dtype=np.int32),
            units=np.full((rows, size), UNIT, dtype=np.int64),
            items=candidates.items,
            bounds=self.book.bounds,
            windows=windows,
            reach=self.book.reach,
            tier=self.book.tier,
            sizes=np.ones(size, dtype=np.int64),
            by_value=self.book.counts_values,
            curve=curve,
        )
        for place, rule in enumerate(self.book.rules):
            self._bind(place, rule, candidates)
            if past is not None:
                self._bind_past(place, rule, candidates, past)

    def _bind(self, place: int, rule: Rule, candidates: Candidates) -> None:
        column, n = rule.per or rule.distinct, len(candidates)
        own = self.arrays.group[:n, place]
        if column is not None:
            keys = candidates.key(column)
            own[:] = keys.codes
            self.arrays.sizes[place] = len(keys.names)
            if rule.group:
                own[~members(rule.group, candidates)] = -1
        elif rule.group:
            np.subtract(members(rule.group, candidates), 1, out=own, dtype=np.int32)  # 0 inside, -1 outside
        if rule.per is not None and rule.at_least:
            # A floor asks nothing of a group that has no rows: number only those at hand.
            groups, codes = np.unique(own[own >= 0], return_inverse=True)
            own[own >= 0] = codes
            self.arrays.sizes[place] = len(groups)
        if rule.weight is not None:
            self.arrays.units[:n, place] = _weights(rule, candidates)
        elif rule.exposure is not None:
            self.arrays.units[:, place] = 1  # what a slot counts is its share

    def _bind_past(self, place: int, rule: Rule, candidates: Candidates, past: Candidates) -> None:
        """Count what the session saw last, newest first, as far as the upper bound goes.

        What is above the bound is nobody's fault any more: without it, a page that adds nothing breaks nothing.
        """
        n = len(candidates)
        own, units = self.arrays.group[n:, place], self.arrays.units[n:, place]
        own[:] = -1
        if not rule.reach:
            return
        if rule.weight is not None:
            units[:] = _weights(rule, past)
        column = rule.per or rule.distinct
        keys = None if column is None else past.key(column)
        inside = members(rule.group, past) if rule.group else np.ones(len(past), dtype=np.bool_)
        codes = self._codes_by_name(place, rule, candidates)
        high = int(self.book.bounds[place, 1])
        room: dict[int, int] = {}
        for row in range(len(past) - 1, max(len(past) - rule.reach, 0) - 1, -1):
            name = True if keys is None else keys.name(row)
            if not inside[row] or name is None:
                continue
            if rule.distinct is not None:
                if name not in codes or codes[name] not in room:
                    if (len(room) + 1) * UNIT > high:
                        continue
                    room[codes.setdefault(name, max(codes.values(), default=-1) + 1)] = 0
                own[row] = codes[name]
            elif name in codes:
                own[row] = codes[name]
                left = room.setdefault(codes[name], high)
                units[row] = min(int(units[row]), left)
                room[codes[name]] = left - int(units[row])
        self.arrays.sizes[place] = max([int(self.arrays.sizes[place]), *(code + 1 for code in codes.values())])

    def _codes_by_name(self, place: int, rule: Rule, candidates: Candidates) -> dict[Any, int]:
        """Return the groups of a rule, or the values that it counts, by what people call them."""
        column = rule.per or rule.distinct
        if column is None:
            return {True: 0}  # the one group, also where no candidate is of it
        keys = candidates.key(column)
        codes, rows = np.unique(self.arrays.group[: len(candidates), place], return_index=True)
        return {keys.name(row): code for code, row in zip(codes.tolist(), rows.tolist(), strict=True) if code >= 0}


def _weights(rule: Rule, candidates: Candidates) -> NDArray[np.int64]:
    weights = candidates.number(cast("str", rule.weight))
    outside = (weights < 0) | (weights > MOST)
    if outside.any():
        row = int(outside.argmax())
        where = f"candidates.{rule.weight}[{row}]"
        text = f"must be from 0 to {MOST:g} to be the weight of rule {rule.name!r}"
        raise RequestError(where, text, shown(float(weights[row])))
    return np.rint(weights * UNIT).astype(np.int64)


def by_importance(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return rules with contractual ones first, then in descending priority; equals keep their order."""
    return tuple(sorted(rules, key=_importance))


def _importance(rule: Rule) -> float:
    return -np.inf if rule.priority == "contractual" else -rule.priority


def _tiers(rules: Sequence[Rule]) -> NDArray[np.int64]:
    ordinary = sorted({_importance(rule) for rule in rules if rule.priority != "contractual"})
    places = {importance: place + 1 for place, importance in enumerate(ordinary)}
    return np.array([places.get(_importance(rule), 0) for rule in rules], dtype=np.int64)


def members(group: Mapping[str, Match], candidates: Candidates) -> Flags:
    """Return (n,) bool: which rows are of a group that asks for something."""
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
