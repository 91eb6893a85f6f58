"""Look at a finished page: which rules it breaks and by how much, and what each slot passed over and why."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slatewise.kernels.rules import (
    empty_board,
    enter,
    outlooks_with,
    place,
    problem_of,
)

NO_ROW = -1
NO_RULE = -1


@njit(cache=True, nogil=True)
def broken(
    page: NDArray[np.int32],
    group: NDArray[np.int32],
    units: NDArray[np.int64],
    items: NDArray[np.int32],
    bounds: NDArray[np.int64],
    windows: NDArray[np.int64],
    tier: NDArray[np.int64],
    sizes: NDArray[np.int64],
    by_value: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return (R,) int64: how far the windows of each rule are outside its bounds on this page, summed.

    Counts every window afresh, and so is a check on whatever made the page. Cost: O(slots * width) per rule.
    """
    rules = len(sizes)
    amount = np.zeros(rules, np.int64)
    for rule in range(rules):
        start, stop = windows[rule, 0], min(windows[rule, 1], len(page))
        if start >= stop:
            continue
        width = min(windows[rule, 2], stop - start)
        low, high = bounds[rule, 0], bounds[rule, 1]
        count = np.zeros(sizes[rule], np.int64)
        for first in range(start, stop - width + 1):
            count[:] = 0
            for slot in range(first, first + width):
                at = group[page[slot], rule]
                if at >= 0:
                    count[at] += units[page[slot], rule]
            if by_value[rule]:
                total = np.count_nonzero(count) * _unit(units, rule)
                amount[rule] += max(0, total - high) + max(0, low - total)
            else:
                for total in count:
                    amount[rule] += max(0, total - high) + max(0, low - total)
    return amount


@njit(cache=True, nogil=True)
def _unit(units, rule):
    return units[0, rule]


@njit(cache=True, nogil=True)
def passed_over(
    page: NDArray[np.int32],
    utility: NDArray[np.float64],
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
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return per slot (row held back, rule that held it back, runner-up), -1 where there is none.

    The row held back is the best one worth more than the row in the slot. The rule is the most important one that
    it would have broken further; -1 if none would at this slot, so that a later slot's needs decided. The
    runner-up is the best other row that breaks the rules no more than the row in the slot.
    """
    length = len(page)
    held = np.full(length, NO_ROW, np.int32)
    why = np.full(length, NO_RULE, np.int32)
    runner = np.full(length, NO_ROW, np.int32)
    problem = problem_of(order, group, units, items, bounds, windows, tier, sizes, by_value, after, length)
    board = empty_board(problem, length)
    position = np.empty(len(order), np.int32)
    for row in range(len(order)):
        position[order[row]] = row
    rules = len(sizes)
    here = np.empty(rules, np.int64)
    there = np.empty(rules, np.int64)
    for slot in range(length):
        enter(problem, board, slot)
        own = position[page[slot]]
        outlooks_with(problem, board, slot, own, here)
        for row in range(len(order)):
            before = problem.after[row]
            if row == own or board.used[row] or (before >= 0 and not board.used[before]):
                continue
            outlooks_with(problem, board, slot, row, there)
            first = _first_worse(here, there)
            worth_more = utility[order[row]] > utility[page[slot]]
            if worth_more and held[slot] < 0:
                held[slot] = order[row]
                why[slot] = first if first >= 0 else _floor_served(problem, board, slot, own, row)
            elif first < 0 and not worth_more:
                runner[slot] = order[row]
            if not worth_more and runner[slot] >= 0:
                break
        place(problem, board, slot, own)
    return held, why, runner


@njit(cache=True, nogil=True)
def _first_worse(here, there):
    for rule in range(len(here)):
        if there[rule] > here[rule]:
            return rule
    return NO_RULE


@njit(cache=True, nogil=True)
def _floor_served(problem, board, slot, own, other):
    """Return the floor, still due, that the row in the slot serves and the other does not; the first to end."""
    best = NO_RULE
    for rule in range(len(problem.low)):
        open_now = problem.start[rule] <= slot < problem.stop[rule] and board.deficit[rule] > 0
        if open_now and problem.group[own, rule] >= 0 and problem.group[other, rule] < 0:
            end = problem.start[rule] + problem.width[rule]
            if best < 0 or end < problem.start[best] + problem.width[best]:
                best = rule
    return best
