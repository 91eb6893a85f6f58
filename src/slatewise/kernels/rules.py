"""The feasibility kernel: keeps the counts of every rule while rows are placed slot by slot, and takes them back.

A rule bounds the count of each of its groups in windows of `width` consecutive slots inside [start, stop). At any
moment a rule has an *excess* (how far groups are above the upper bound in the window that ends here) and a *deficit*
(how far below the lower bound). When a window ends, both are committed to the rule's tier. Until then the excess
can only grow, and the deficit can shrink by what the free slots of the window and the rows left can still bring; this
gives, for every partial page, a lower bound on what the rules will be broken by, per tier.

Rows are numbered in the caller's order of preference. Counts are whole numbers (millionths), so that adding and
taking back is exact. Cost: O(R) per placement or question for R rules.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit


class Problem(NamedTuple):
    """What is asked: n rows in order of preference, R rules, a page of fixed length.

    Attributes:
        group: (n, R) group of a row under a rule, or its value under a rule that counts values; -1 for none.
        units: (n, R) what the row counts.
        twin: (n,) next row of the same item, in a ring; the row itself if it is alone.
        after: (n,) row that has to be placed first, -1 for none.
        low: (R,) lower bounds.
        high: (R,) upper bounds.
        start: (R,) first slot of the windows.
        stop: (R,) slot after the last one.
        width: (R,) slots per window.
        tier: (R,) 0 for rules that never give way, then 1, 2, ... in descending importance.
        base: (R + 1,) where the counts of a rule begin; the last of them is the number of values in its window.
        by_value: (R,) whether the rule counts distinct values.
        step: (R,) the most that one row can add.
    """

    group: Any
    units: Any
    twin: Any
    after: Any
    low: Any
    high: Any
    start: Any
    stop: Any
    width: Any
    tier: Any
    base: Any
    by_value: Any
    step: Any


class Board(NamedTuple):
    """A partial page and its counts.

    Attributes:
        page: (length,) rows placed, in the problem's numbering.
        used: (n,) whether the row, or another of its item, is placed.
        count: per rule and group, what stands in the window that ends here.
        excess: (R,) above the upper bounds.
        deficit: (R,) below the lower bounds.
        supply: (R,) what the rows left could still add.
        committed: (tiers,) what windows that have ended are outside their bounds.
    """

    page: Any
    used: Any
    count: Any
    excess: Any
    deficit: Any
    supply: Any
    committed: Any


@njit(cache=True, nogil=True)
def problem_of(order, group, units, items, bounds, windows, tier, sizes, by_value, after, length):
    """Number the rows by `order` and cut the windows to a page of `length`."""
    n, rules = group.shape
    own_group = np.empty((n, rules), np.int32)
    own_units = np.empty((n, rules), np.int64)
    place = np.empty(n, np.int32)
    for row in range(n):
        place[order[row]] = row
        for rule in range(rules):
            own_group[row, rule] = group[order[row], rule]
            own_units[row, rule] = units[order[row], rule]
    own_after = np.full(n, -1, np.int32)
    for row in range(n):
        if after[order[row]] >= 0:
            own_after[row] = place[after[order[row]]]
    low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    start, stop, width = windows[:, 0].copy(), windows[:, 1].copy(), windows[:, 2].copy()
    base = np.zeros(rules + 1, np.int64)
    step = np.zeros(rules, np.int64)
    for rule in range(rules):
        base[rule + 1] = base[rule] + sizes[rule] + 1
        stop[rule] = min(stop[rule], length)
        if start[rule] >= stop[rule]:
            start[rule], stop[rule] = length, length
            low[rule], high[rule] = 0, np.iinfo(np.int64).max
        width[rule] = min(width[rule], max(stop[rule] - start[rule], 1))
        for row in range(n):
            if own_group[row, rule] >= 0:
                step[rule] = max(step[rule], own_units[row, rule])
    twin = _rings(items, order)
    return Problem(own_group, own_units, twin, own_after, low, high, start, stop, width, tier, base, by_value, step)


@njit(cache=True, nogil=True)
def _rings(items, order):
    n = len(order)
    first = np.full(n, -1, np.int32)
    last = np.full(n, -1, np.int32)
    twin = np.arange(n).astype(np.int32)
    for row in range(n):
        item = items[order[row]]
        if first[item] < 0:
            first[item] = row
        else:
            twin[last[item]] = row
            twin[row] = first[item]
        last[item] = row
    return twin


@njit(cache=True, nogil=True)
def empty_board(problem, length):
    """Return the board before the first row."""
    n, rules = problem.group.shape
    tiers = 1
    for rule in range(rules):
        tiers = max(tiers, problem.tier[rule] + 1)
    count = np.zeros(problem.base[rules], np.int64)
    deficit = np.zeros(rules, np.int64)
    supply = np.zeros(rules, np.int64)
    for rule in range(rules):
        for row in range(n):
            group = problem.group[row, rule]
            if group >= 0:
                if not problem.by_value[rule]:
                    supply[rule] += problem.units[row, rule]
                elif count[problem.base[rule] + group] == 0:
                    count[problem.base[rule] + group] = 1
                    supply[rule] += problem.units[row, rule]
        if problem.by_value[rule]:
            count[problem.base[rule] : problem.base[rule + 1]] = 0
            deficit[rule] = problem.low[rule]
        else:
            deficit[rule] = problem.low[rule] * (problem.base[rule + 1] - problem.base[rule] - 1)
    return Board(
        np.full(length, -1, np.int32),
        np.zeros(n, np.bool_),
        count,
        np.zeros(rules, np.int64),
        deficit,
        supply,
        np.zeros(tiers, np.int64),
    )


@njit(cache=True, nogil=True)
def _change(problem, board, rule, row, sign):
    """Count a row into (+1) or out of (-1) the window of a rule."""
    group = problem.group[row, rule]
    if group < 0:
        return
    at = problem.base[rule] + group
    old = board.count[at]
    new = old + sign * problem.units[row, rule]
    board.count[at] = new
    if problem.by_value[rule]:
        if (old == 0) == (new == 0):
            return
        board.supply[rule] -= sign * problem.step[rule]
        at = problem.base[rule + 1] - 1
        old = board.count[at] * problem.step[rule]
        board.count[at] += sign
        new = board.count[at] * problem.step[rule]
    low, high = problem.low[rule], problem.high[rule]
    board.excess[rule] += max(0, new - high) - max(0, old - high)
    board.deficit[rule] += max(0, low - new) - max(0, low - old)


@njit(cache=True, nogil=True)
def enter(problem, board, slot):
    """Move every window on to `slot`: the row that falls out of it counts no longer."""
    for rule in range(len(problem.start)):
        gone = slot - problem.width[rule]
        if gone >= problem.start[rule] and slot < problem.stop[rule]:
            _change(problem, board, rule, board.page[gone], -1)


@njit(cache=True, nogil=True)
def leave(problem, board, slot):
    """Take `enter` back."""
    for rule in range(len(problem.start)):
        gone = slot - problem.width[rule]
        if gone >= problem.start[rule] and slot < problem.stop[rule]:
            _change(problem, board, rule, board.page[gone], 1)


@njit(cache=True, nogil=True)
def place(problem, board, slot, row):
    """Put a row into a slot that was entered."""
    board.page[slot] = row
    _use(problem, board, row, 1)
    for rule in range(len(problem.start)):
        if problem.start[rule] <= slot < problem.stop[rule]:
            _change(problem, board, rule, row, 1)
            if slot >= problem.start[rule] + problem.width[rule] - 1:
                board.committed[problem.tier[rule]] += board.excess[rule] + board.deficit[rule]


@njit(cache=True, nogil=True)
def lift(problem, board, slot):
    """Take `place` back and return the row."""
    row = board.page[slot]
    for rule in range(len(problem.start)):
        if problem.start[rule] <= slot < problem.stop[rule]:
            if slot >= problem.start[rule] + problem.width[rule] - 1:
                board.committed[problem.tier[rule]] -= board.excess[rule] + board.deficit[rule]
            _change(problem, board, rule, row, -1)
    _use(problem, board, row, -1)
    board.page[slot] = -1
    return row


@njit(cache=True, nogil=True)
def _use(problem, board, row, sign):
    """Take a row and the others of its item out of what is left (+1), or give them back (-1)."""
    other = row
    while True:
        board.used[other] = sign > 0
        for rule in range(len(problem.start)):
            if problem.group[other, rule] >= 0 and not problem.by_value[rule]:
                board.supply[rule] -= sign * problem.units[other, rule]
        other = problem.twin[other]
        if other == row:
            return


@njit(cache=True, nogil=True)
def outlook(slot, stop, end, reach, excess, deficit, supply):
    """Return the least that a rule's open window will be outside its bounds, once `slot` is filled.

    Args:
        slot: The slot that is filled.
        stop: Slot after the rule's last.
        end: Last slot of its first window.
        reach: The most that the free slots of the window can add, after `slot`.
        excess: Above the upper bounds, with the row in `slot`.
        deficit: Below the lower bounds, with the row in `slot`.
        supply: What the rows left can add.
    """
    if slot >= stop:
        return 0
    if slot >= end:
        return excess + deficit
    return excess + max(0, deficit - min(reach, supply))


@njit(cache=True, nogil=True)
def outlooks_without(problem, board, slot, into):
    """Write each rule's outlook if the row in `slot` is of none of its groups."""
    for rule in range(len(into)):
        end = problem.start[rule] + problem.width[rule] - 1
        reach = min(end - slot, problem.width[rule]) * problem.step[rule]
        into[rule] = outlook(
            slot, problem.stop[rule], end, reach, board.excess[rule], board.deficit[rule], board.supply[rule]
        )


@njit(cache=True, nogil=True)
def outlooks_with(problem, board, slot, row, into):
    """Write each rule's outlook if `row` is put into `slot`."""
    outlooks_without(problem, board, slot, into)
    for rule in range(len(into)):
        group = problem.group[row, rule]
        if group >= 0:
            end = problem.start[rule] + problem.width[rule] - 1
            reach = min(end - slot, problem.width[rule]) * problem.step[rule]
            inside = problem.start[rule] <= slot < problem.stop[rule]
            old = board.count[problem.base[rule] + group]
            units = problem.units[row, rule]
            if problem.by_value[rule]:
                units = 0 if old > 0 or not inside else units
                old = board.count[problem.base[rule + 1] - 1] * problem.step[rule]
            into[rule] = joined(
                slot, problem.stop[rule], end, reach, inside, old, units, problem.low[rule], problem.high[rule],
                board.excess[rule], board.deficit[rule], board.supply[rule],
            )  # fmt: skip


@njit(cache=True, nogil=True)
def joined(slot, stop, end, reach, inside, old, units, low, high, excess, deficit, supply):
    """Return a rule's outlook if a row that counts `units` joins a group that counted `old`."""
    if inside:
        new = old + units
        excess += max(0, new - high) - max(0, old - high)
        deficit += max(0, low - new) - max(0, low - old)
    return outlook(slot, stop, end, reach, excess, deficit, supply - units)
