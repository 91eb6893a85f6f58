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

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slatewise.kernels.floors import count_needs, crowded_floors, crowding_with, floors_by_end, most_served
from slatewise.kernels.rules import (
    empty_board,
    enter,
    joined,
    leave,
    lift,
    outlooks_without,
    place,
    problem_of,
)

PATTERNS = 8
"""Sets of floors served for which the look at a slot remembers what follows."""


class Scratch(NamedTuple):
    """Room for the look at one slot, so that no look allocates.

    Attributes:
        idle: (R,) outlook of each rule if the row is of none of its groups.
        live: (R,) rules for which it matters which row takes the slot.
        base_cost: (tiers,) what the rules are broken by if the row is of no group.
        row_cost: (tiers,) the same for the row looked at.
        chosen: (tiers,) the same for the best row so far.
        floors: (F,) rules with a lower bound, by the end of their first window.
        needs: (F,) rows that each of these still needs and can get.
        patterns: (PATTERNS,) sets of floors, as bits, that rows were seen to serve in this slot.
        crowdings: (PATTERNS,) by how many rows the floors exceed the slots left, after a row of such a set.
        most: (1,) the most floors that one row can serve.
    """

    idle: Any
    live: Any
    base_cost: Any
    row_cost: Any
    chosen: Any
    floors: Any
    needs: Any
    patterns: Any
    crowdings: Any
    most: Any


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
        items: (n,) int32, code of the row's item, 0..n-1; a page shows an item once.
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
        problem = problem_of(order, group, units, items, bounds, windows, tier, sizes, by_value, after, length)
        page, complete, questions, deepest = _search(problem, length, limit - asked)
        asked += questions
        if page[0] >= 0:
            for slot in range(length):
                page[slot] = order[page[slot]]
            return page, proven and complete
        proven = proven and complete
        length = length - 1 if complete else min(length - 1, deepest)
    return np.empty(0, np.int32), proven


@njit(cache=True, nogil=True)
def _distinct(items):
    seen = np.zeros(len(items), np.bool_)
    for item in items:
        seen[item] = True
    return np.count_nonzero(seen)


@njit(cache=True, nogil=True)
def _search(problem, length, limit):
    """Return (best page or -1s, whether the search was complete, questions asked, deepest slot reached)."""
    n, rules = problem.group.shape
    board = empty_board(problem, length)
    tiers = len(board.committed)
    best = np.full(length, -1, np.int32)
    best_cost = np.full(tiers, np.iinfo(np.int64).max, np.int64)
    cost = np.zeros((length + 1, tiers), np.int64)
    outlook = np.empty(rules, np.int64)
    outlooks_without(problem, board, -1, outlook)
    for rule in range(rules):
        cost[0, problem.tier[rule]] += outlook[rule]
    floors = floors_by_end(problem)
    scratch = Scratch(
        outlook,
        np.empty(rules, np.int64),
        np.empty(tiers, np.int64),
        np.empty(tiers, np.int64),
        np.empty(tiers, np.int64),
        floors,
        np.empty(len(floors), np.int64),
        np.empty(PATTERNS, np.int64),
        np.empty(PATTERNS, np.int64),
        np.array([most_served(problem, floors)]),
    )
    chosen = scratch.chosen
    kind = np.empty(0, np.int32)
    tried = np.zeros((0, 0), np.bool_)
    slot, deepest, asked = 0, 0, 0
    descending = True
    enter(problem, board, 0)
    while slot >= 0:
        row = -1
        if descending or asked < limit:
            row, questions = _best_row(problem, board, slot, cost[slot], kind, tried, scratch)
            if not descending:
                asked += questions
        if row >= 0 and _less(chosen, best_cost):
            if not descending:
                tried[slot, kind[row]] = True
            place(problem, board, slot, row)
            slot += 1
            cost[slot] = chosen
            deepest = max(deepest, slot)
            if slot < length:
                enter(problem, board, slot)
                if not descending:
                    tried[slot] = False
                continue
            best[:] = board.page
            best_cost[:] = chosen
            if _is_zero(best_cost) or not _less(cost[0], best_cost):
                return best, True, asked, deepest
        else:
            leave(problem, board, slot)
        if descending:
            # The first descent is over without a perfect page: from here on, remember what was tried.
            descending = False
            kind = _kinds(problem)
            tried = np.zeros((length, n), np.bool_)
            for done in range(slot):
                tried[done, kind[board.page[done]]] = True
        if asked >= limit:
            return best, False, asked, deepest
        slot -= 1
        if slot >= 0:
            lift(problem, board, slot)
    return best, True, asked, deepest


@njit(cache=True, nogil=True)
def _best_row(problem, board, slot, floor_cost, kind, tried, scratch):
    """Return (row for the slot or -1, questions asked); `scratch.chosen` says what the rules are then broken by.

    Of the rows not yet tried, the one with the least cost, then the least crowding of floors, then the first in order.
    """
    n, rules = problem.group.shape
    idle, live, floors, needs = scratch.idle, scratch.live, scratch.floors, scratch.needs
    base_cost, row_cost, chosen = scratch.base_cost, scratch.row_cost, scratch.chosen
    outlooks_without(problem, board, slot, idle)
    base_cost[:] = board.committed
    count_live = 0
    for rule in range(rules):
        base_cost[problem.tier[rule]] += idle[rule]
        if slot < problem.stop[rule] and (slot >= problem.start[rule] or problem.low[rule] > 0):
            live[count_live] = rule
            count_live += 1
    count_needs(problem, board, slot, floors, needs)
    crowded = crowded_floors(problem, board, slot, floors, needs, scratch.most[0])
    # Plain arrays from here: reading them through the tuples costs more than the arithmetic.
    group, units, used, after, count = problem.group, problem.units, board.used, problem.after, board.count
    base, tier, by_value, step = problem.base, problem.tier, problem.by_value, problem.step
    low, high, start, stop, width = problem.low, problem.high, problem.start, problem.stop, problem.width
    excess, deficit, supply = board.excess, board.deficit, board.supply
    patterns, crowdings = scratch.patterns, scratch.crowdings
    best, best_crowding, asked, met = -1, 0, 0, 0
    for row in range(n):
        asked += 1
        if used[row] or (after[row] >= 0 and not used[after[row]]):
            continue
        if len(kind) and tried[slot, kind[row]]:
            continue
        changed = False
        for at in range(count_live):
            rule = live[at]
            if group[row, rule] < 0:
                continue
            end = start[rule] + width[rule] - 1
            reach = min(end - slot, width[rule]) * step[rule]
            inside = slot >= start[rule]
            old, adds = count[base[rule] + group[row, rule]], units[row, rule]
            if by_value[rule]:
                adds = 0 if old > 0 or not inside else adds
                old = count[base[rule + 1] - 1] * step[rule]
            then = joined(
                slot, stop[rule], end, reach, inside, old, adds, low[rule], high[rule],
                excess[rule], deficit[rule], supply[rule],
            )  # fmt: skip
            if then != idle[rule]:
                if not changed:
                    row_cost[:] = base_cost
                    changed = True
                row_cost[tier[rule]] += then - idle[rule]
        cost = row_cost if changed else base_cost
        if cost[0] > 0 or (best >= 0 and _less(chosen, cost)):
            continue
        crowding = 0
        if crowded:
            pattern = 0
            for at in range(crowded):
                rule = floors[at]
                if needs[at] > 0 and slot >= start[rule] and group[row, rule] >= 0:
                    have = count[base[rule] + group[row, rule]]
                    if have == 0 if by_value[rule] else have < low[rule]:
                        pattern |= 1 << min(at, 62)
            at = 0
            while at < met and patterns[at] != pattern:
                at += 1
            if at == met:
                met = min(met + 1, PATTERNS)
                at = met - 1
                patterns[at] = pattern
                crowdings[at] = crowding_with(
                    problem, board, slot, floors, needs, row, pattern, crowded, scratch.most[0]
                )
                asked += n
            crowding = crowdings[at]
        if best < 0 or crowding < best_crowding or _less(cost, chosen):
            best, best_crowding = row, crowding
            chosen[:] = cost
            if crowding == 0 and not _less(floor_cost, cost):
                break
    return best, asked


@njit(cache=True, nogil=True)
def _kinds(problem):
    """Return the kind of each row: rows of one kind are the same to every rule, so only the best need be tried."""
    n, rules = problem.group.shape
    kind = np.arange(n).astype(np.int32)
    mark = np.zeros(n, np.int64)
    for row in range(n):
        if problem.after[row] >= 0:
            return kind  # in queues, rows differ by what they let through
        code = np.int64(1469598103934665603)
        for rule in range(rules):
            code = (code ^ problem.group[row, rule]) * np.int64(1099511628211)
            if problem.group[row, rule] >= 0:
                code = (code ^ problem.units[row, rule]) * np.int64(1099511628211)
        mark[row] = code
    ordered = np.argsort(mark, kind="mergesort")
    for at in range(1, n):
        row, other = ordered[at], ordered[at - 1]
        if mark[row] == mark[other] and _alike(problem, row, other):
            kind[row] = kind[other]
    return kind


@njit(cache=True, nogil=True)
def _alike(problem, row, other):
    if problem.twin[row] != row or problem.twin[other] != other:
        return False
    for rule in range(problem.group.shape[1]):
        if problem.group[row, rule] != problem.group[other, rule]:
            return False
        if problem.group[row, rule] >= 0 and problem.units[row, rule] != problem.units[other, rule]:
            return False
    return True


@njit(cache=True, nogil=True)
def _less(cost, other):
    """Tell whether `cost` is smaller, the most important tier first."""
    for tier in range(len(cost)):
        if cost[tier] != other[tier]:
            return cost[tier] < other[tier]
    return False


@njit(cache=True, nogil=True)
def _is_zero(cost):
    return not cost.any()
