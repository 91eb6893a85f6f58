"""Narrow: which rows a page is chosen from, where that is fewer than the session has not seen.

There are two reasons. A **ceiling** says how much of something a page may show at most: of each value that a cap counts
by, the best items stay, as many as were granted, so no page can show more, whatever picks it. They are the best by what
the first stage that picks rows maximises, once all columns that it can see are written.

With less **time**, fewer rows of each line are looked at: the best by a column that candidates bring, and those that
floors need. A row's place in its own line is the unit in which rows of different lines compare here. Rows that a
contractual rule forbids in every slot take nobody's place. Cost of both: O(n log n).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.caps import capped
from slatewise.core.columns import Codes, Flags
from slatewise.core.constraints import members
from slatewise.core.request import Request
from slatewise.core.rules import Rule
from slatewise.core.serving import Cap


class Ceiling(NamedTuple):
    """How much of something a page may show at most.

    Attributes:
        cap: What is counted.
        granted: Value that the cap counts by to how many items; one that is not there has none. "" for a cap without
            column.
    """

    cap: Cap
    granted: Mapping[str, int]


class Within(NamedTuple):
    """What a page is chosen from.

    Attributes:
        rows: Rows of the request, ascending, of those that the session was not shown; None for all of these.
        ceilings: How much of something it may show, beside the rules.
    """

    rows: Codes | None = None
    ceilings: Sequence[Ceiling] = ()


ALL = Within()


def unseen(request: Request) -> Codes:
    """Return the rows that the session was not shown before, ascending."""
    rows = np.arange(len(request.candidates), dtype=np.int32)
    if request.state is None or not request.state.shown:
        return rows
    was_shown = set(request.state.shown).__contains__
    return rows[~np.fromiter(map(was_shown, request.candidates.item_id), np.bool_, len(rows))]


def allowed(candidates: Candidates, ceilings: Sequence[Ceiling], by: str) -> Codes | None:
    """Return the rows of which no page can show more than was granted, ascending; None for all.

    Of each value the items that are worth most by the column `by` stay; ties go to the smaller (item_id, line). An item
    that several lines nominate counts once. Ceilings apply one after the other, in their order.
    """
    kept = np.ones(len(candidates), np.bool_)
    order: Codes | None = None
    for cap, granted in ceilings:
        codes, most = _counted(candidates, cap, granted)
        codes = np.where(kept, codes, np.int32(-1))
        if (np.bincount(codes[codes >= 0], minlength=len(most)) <= most).all():
            continue
        order = candidates.descending(candidates.number(by)) if order is None else order
        ranked = order[codes[order] >= 0]
        values = codes[ranked].astype(np.int64)
        pairs = values * (int(candidates.items.max()) + 1) + candidates.items[ranked]
        _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        leaders = np.sort(first)  # the best row of each item, best first
        fits = np.zeros(len(ranked), np.bool_)
        fits[leaders] = _places(values[leaders]) < most[values[leaders]]
        kept[ranked[~fits[first][inverse]]] = False
    return None if kept.all() else np.flatnonzero(kept).astype(np.int32)


def fewer(request: Request, rules: Sequence[Rule], *, keep: str, most: int) -> Codes | None:
    """Return the rows that are looked at where there is little time, ascending; None for all that were not shown.

    Args:
        request: An admitted request.
        rules: The hard rules of the page.
        keep: The number column by which rows are kept, largest first; ties go to the smaller (item_id, line).
        most: Rows of a line; never fewer than the page has slots.
    """
    slots, rows = request.slots or 0, unseen(request)
    whole = request.candidates
    candidates = whole if len(rows) == len(whole) else whole.take(rows)
    if len(candidates) <= max(most, slots):
        return None
    usable = np.ones(len(candidates), np.bool_)
    for rule in rules:
        if _forbids(rule):
            usable &= ~_of(rule, candidates)
    place = np.full(len(candidates), len(candidates), np.int64)
    order = candidates.descending(candidates.number(keep))
    order = order[usable[order]]
    lines = candidates.key("line").codes
    place[order] = _places(lines[order])
    kept = place < max(most, slots)
    order = np.lexsort((lines, place))  # no two rows of a line have the same place, but for those that are forbidden
    for rule in rules:
        if rule.at_least:
            kept[_needed(rule, candidates, order[usable[order]], slots)] = True
    return None if kept.all() else rows[kept]


def _counted(candidates: Candidates, cap: Cap, granted: Mapping[str, int]) -> tuple[Codes, NDArray[np.int64]]:
    """Return (the group that each row counts in, -1 for none; how many items of each group were granted)."""
    codes, names = capped(cap, candidates)
    return codes, np.array([granted.get(name, 0) for name in names], np.int64)


def _places(groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how many earlier entries are of the same group.

    >>> _places(np.array([3, 1, 3, 3, 1])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.zeros(0, np.int64)
    places = np.empty(len(groups), np.int64)
    places[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
    return places


def _forbids(rule: Rule) -> bool:
    """Tell whether no page may show any row that the rule counts."""
    whole = rule.first is None and rule.slots is None and rule.weight is None
    return rule.at_most == 0 and rule.priority == "contractual" and whole


def _of(rule: Rule, candidates: Candidates) -> Flags:
    """Return (n,) bool: which rows a rule counts."""
    inside = members(rule.group, candidates) if rule.group else np.ones(len(candidates), np.bool_)
    for name in (rule.per, rule.distinct):
        if name is not None:
            inside = inside & (candidates.key(name).codes >= 0)
    return inside


def _needed(rule: Rule, candidates: Candidates, order: NDArray[np.integer], slots: int) -> NDArray[np.integer]:
    """Return rows with which a floor can be kept: the first ones of its group in the order given."""
    ranked = order[_of(rule, candidates)[order]]
    column = rule.per or rule.distinct
    if column is None:
        return ranked[:slots]
    place = _places(candidates.key(column).codes[ranked])
    if rule.distinct is not None:
        return ranked[place == 0][:slots]
    if rule.weight is not None or rule.exposure is not None:
        return ranked[place < slots]
    start, stop, width = rule.span(slots)
    return ranked[place < min(ceil(rule.at_least or 0) * ceil((stop - start) / width), slots)]
