"""Fill a page slot by slot with the best row that the rules allow.

Each slot takes the first row, in order of preference, that adds nothing to what the rules must be broken by anyway
(see `kernels.rules`), and that leaves enough slots for all floors that are still due. Where the page then turns out to
break a rule, the search goes back and tries the next-best row (depth first), keeping the page that breaks the rules
least, tier by tier; of rows that no rule tells apart it tries only the best. It stops at the first page that breaks
nothing, when every page has been tried or ruled out, or at `limit` questions asked of rows.

A page that no contractual rule allows at full length is made shorter: the longest one that was found is returned.

Cost: O(slots * n * R) for the first descent in the worst case; the first row that fits ends the look.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slatewise.kernels.floors import count_needs, crowded_floors, crowding, floors_of, most_served, served, shortage
from slatewise.kernels.rules import (
    AFTER,
    LOW,
    START,
    STOP,
    TIER,
    TWIN,
    board_of,
    is_waiting,
    lift,
    outlook_with,
    outlook_without,
    place,
    slide,
    unavoidable,
)

PATTERNS = 8
"""Sets of floors served for which the look at a slot remembers what follows."""

FORESIGHT = 20_000
"""Questions asked of rows for the sake of floors that rows may serve together; after that, needs are added up."""

CHOSEN, LEAST, OWN = 0, 1, 2
"""Rows of `price`: what the rules are broken by with the best row so far, with a row of no group, with this row."""


@njit(cache=True, nogil=True)
def fill(
    order: NDArray[np.int32],
    group: NDArray[np.int32],
    units: NDArray[np.int64],
    items: NDArray[np.int32],
    bounds: NDArray[np.int64],
    windows: NDArray[np.int64],
    tier: NDArray[np.int64],
    sizes: NDArray[np.int64],
    by_value: NDArray[np.bool_],
    after: NDArray[np.int32],
    slots: int,
    limit: int,
) -> tuple[NDArray[np.int32], bool]:
    """Return (rows of the page, whether no other page breaks the rules less).

    Args:
        order: (n,) int32, rows in order of preference.
        group: (n, R) int32, group of a row under each rule, -1 for none.
        units: (n, R) int64, what the row counts there.
        items: (n,) int32, code of the row's item; a page shows an item once.
        bounds: (R, 2) int64, lower and upper bound of each rule.
        windows: (R, 3) int64, start, stop and width of its windows.
        tier: (R,) int64, 0 for rules that never give way, then 1, 2, ... in descending importance.
        sizes: (R,) int64, its number of groups.
        by_value: (R,) bool, whether it counts distinct values.
        after: (n,) int32, row that has to be placed before this one, -1 for none.
        slots: Page size.
        limit: Questions asked of rows, after the first descent, before the search settles for what it has.
    """
    length = min(slots, _distinct(items))
    proven = True
    asked = 0
    while length > 0:
        page, complete, questions, deepest = _search(
            order, group, units, items, bounds, windows, tier, sizes, by_value, after, length, limit - asked
        )
        asked += questions
        if page[0] >= 0:
            return order[page], proven and complete
        proven = proven and complete
        length = length - 1 if complete else min(length - 1, deepest)
    return np.empty(0, np.int32), proven


@njit(cache=True, nogil=True)
def _distinct(items):
    if len(items) == 0:
        return 0
    seen = np.zeros(items.max() + 1, np.bool_)
    for item in items:
        seen[item] = True
    return np.count_nonzero(seen)


@njit(cache=True, nogil=True)
def _search(order, group, units, items, bounds, windows, tier, sizes, by_value, after, length, limit):
    """Return (best page or -1s, whether the search was complete, questions asked, deepest slot reached).

    `cost[slot]` is what the rules are broken by at least, per tier, once the slots before `slot` are filled.
    """
    board = board_of(order, group, units, items, bounds, windows, tier, sizes, by_value, after, length)
    rule, state, count, group, units, link, page, committed = board
    n, tiers = len(order), len(committed)
    best = np.full(length, -1, np.int32)
    best_cost = np.full(tiers, np.iinfo(np.int64).max, np.int64)
    cost = np.zeros((length + 1, tiers), np.int64)
    for one in range(len(rule)):
        cost[0, rule[one, TIER]] += max(outlook_without(rule, state, one, -1), unavoidable(rule, group, units, one))
    floor = floors_of(rule)
    most = most_served(floor, group)
    price = np.zeros((3, tiers), np.int64)
    shortage(rule, state, floor, most, length, price[OWN])
    if _less(cost[0], price[OWN]):
        cost[0] = price[OWN]
    if cost[0, 0] > 0:
        return best, True, 0, 0  # no page of this length keeps the rules that never give way
    note = np.zeros((max(len(rule), PATTERNS), 4), np.int64)
    chosen = price[CHOSEN]
    kind = np.empty(0, np.int32)
    tried = np.zeros((0, 0), np.bool_)
    slot, deepest, asked, foresight = 0, 0, 0, FORESIGHT
    descending = True
    while slot >= 0:
        row = -1
        if descending or asked < limit:
            row, questions, looks = _best_row(
                rule,
                state,
                count,
                group,
                units,
                link,
                committed,
                floor,
                most if foresight > 0 else 1,
                slot,
                cost[slot],
                kind,
                tried,
                price,
                note,
            )
            foresight -= looks
            if not descending:
                asked += questions + looks
        if row >= 0 and _less(chosen, best_cost):
            if not descending:
                tried[slot, kind[row]] = True
            place(rule, state, count, group, units, link, page, committed, slot, row)
            slot += 1
            cost[slot] = chosen
            deepest = max(deepest, slot)
            if slot < length:
                slide(rule, state, count, group, units, page, slot, -1)
                if not descending:
                    tried[slot] = False
                continue
            best[:] = page
            best_cost[:] = chosen
            if not best_cost.any() or not _less(cost[0], best_cost):
                return best, True, asked, deepest
        else:
            slide(rule, state, count, group, units, page, slot, 1)
        if descending:
            # The first descent is over without a perfect page: from here on, remember what was tried.
            descending = False
            kind = _kinds(group, units, link)
            tried = np.zeros((length, n), np.bool_)
            for done in range(slot):
                tried[done, kind[page[done]]] = True
        if asked >= limit:
            return best, False, asked, deepest
        slot -= 1
        if slot >= 0:
            lift(rule, state, count, group, units, link, page, committed, slot)
    return best, True, asked, deepest


@njit(cache=True, nogil=True)
def _best_row(
    rule, state, count, group, units, link, committed, floor, most, slot, floor_cost, kind, tried, price, note
):
    """Return (row for the slot or -1, questions asked, those asked for floors); `price[CHOSEN]` is what it breaks.

    Of the rows not yet tried, the one with the least cost, then the least crowding of floors, then the first in order.
    `floor_cost` is what the rules are broken by at least, and `note` is room to write in.
    """
    chosen, least, own = price[CHOSEN], price[LEAST], price[OWN]
    least[:] = committed
    idle, live, patterns, crowdings = note[:, 0], note[:, 1], note[:, 2], note[:, 3]
    lively = 0
    for one in range(len(rule)):
        idle[one] = outlook_without(rule, state, one, slot)
        least[rule[one, TIER]] += idle[one]
        if slot < rule[one, STOP] and (slot >= rule[one, START] or rule[one, LOW] > 0):
            live[lively] = one
            lively += 1
    count_needs(rule, state, floor, slot)
    crowded, tries = crowded_floors(rule, count, group, units, link, floor, slot, most)
    best, best_crowding, asked, met = -1, 0, 0, 0
    looks = tries * len(link)
    for row in range(len(link)):
        asked += 1
        if is_waiting(link, row) or (len(kind) > 0 and tried[slot, kind[row]]):
            continue
        changed = False
        for at in range(lively):
            one = live[at]
            if group[row, one] >= 0:
                then = outlook_with(rule, state, count, group, units, one, slot, row)
                if then != idle[one]:
                    if not changed:
                        own[:] = least
                        changed = True
                    own[rule[one, TIER]] += then - idle[one]
        cost = own if changed else least
        if cost[0] > 0 or (best >= 0 and _less(chosen, cost)):
            continue
        crowds = 0
        if crowded > 0:
            pattern = served(rule, count, group, floor[:crowded], slot, row)
            at = 0
            while at < met and patterns[at] != pattern:
                at += 1
            if at == met:
                met = min(met + 1, PATTERNS)
                at = met - 1
                patterns[at] = pattern
                crowdings[at] = crowding(rule, count, group, units, link, floor[:crowded], slot, row, pattern, most)
                looks += len(link)
            crowds = crowdings[at]
        if best < 0 or crowds < best_crowding or _less(cost, chosen):
            best, best_crowding = row, crowds
            chosen[:] = cost
            if crowds == 0 and not _less(floor_cost, cost):
                break
    return best, asked, looks


@njit(cache=True, nogil=True)
def _kinds(group, units, link):
    """Return the kind of each row: rows of one kind are the same to every rule, so only the best need be tried."""
    n, rules = group.shape
    kind = np.arange(n).astype(np.int32)
    if link[:, AFTER].max() >= 0:
        return kind  # in queues, rows differ by what they let through
    size = 1
    while size < 2 * n:
        size *= 2
    first = np.full(size, -1, np.int32)
    for row in range(n):
        code = np.int64(1469598103934665603)
        for one in range(rules):
            code = (code ^ group[row, one]) * np.int64(1099511628211)
            if group[row, one] >= 0:
                code = (code ^ units[row, one]) * np.int64(1099511628211)
        at = (code ^ (code >> 32)) & (size - 1)
        while first[at] >= 0 and not _alike(group, units, link, row, first[at]):
            at = (at + 1) & (size - 1)
        if first[at] < 0:
            first[at] = row
        kind[row] = first[at]
    return kind


@njit(cache=True, nogil=True)
def _alike(group, units, link, row, other):
    if link[row, TWIN] != row or link[other, TWIN] != other:
        return False
    for one in range(group.shape[1]):
        if group[row, one] != group[other, one]:
            return False
        if group[row, one] >= 0 and units[row, one] != units[other, one]:
            return False
    return True


@njit(cache=True, nogil=True)
def _less(cost, other):
    """Tell whether `cost` is smaller, the most important tier first."""
    for tier in range(len(cost)):
        if cost[tier] != other[tier]:
            return cost[tier] < other[tier]
    return False
