"""Look at a finished page: which rules it breaks and by how much, and what each slot passed over and why."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from slatewise.kernels.rules import (
    DEFICIT,
    END,
    START,
    STOP,
    board_of,
    is_waiting,
    outlook_with,
    outlook_without,
    place,
    slide,
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
                total = np.count_nonzero(count) * units[page[start], rule]
                amount[rule] += max(0, total - high) + max(0, low - total)
            else:
                for total in count:
                    amount[rule] += max(0, total - high) + max(0, low - total)
    return amount


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
    board = board_of(order, group, units, items, bounds, windows, tier, sizes, by_value, after, length)
    rule, state, count, group, units, link, placed, committed = board
    position = np.empty(len(order), np.int32)
    for row in range(len(order)):
        position[order[row]] = row
    here = np.empty(len(rule), np.int64)
    there = np.empty(len(rule), np.int64)
    for slot in range(length):
        slide(rule, state, count, group, units, placed, slot, -1)
        own = position[page[slot]]
        _outlooks(rule, state, count, group, units, slot, own, here)
        for row in range(len(order)):
            if items[order[row]] == items[page[slot]] or is_waiting(link, row):
                continue
            _outlooks(rule, state, count, group, units, slot, row, there)
            first = _first_worse(here, there)
            worth_more = utility[order[row]] > utility[page[slot]]
            if worth_more and held[slot] < 0:
                held[slot] = order[row]
                why[slot] = first if first >= 0 else _floor_served(rule, state, group, slot, own, row)
            elif first < 0 and not worth_more:
                runner[slot] = order[row]
                break
        place(rule, state, count, group, units, link, placed, committed, slot, own)
    return held, why, runner


@njit(cache=True, nogil=True)
def _outlooks(rule, state, count, group, units, slot, row, into):
    """Write each rule's outlook with `row` in `slot`."""
    for one in range(len(rule)):
        if group[row, one] >= 0:
            into[one] = outlook_with(rule, state, count, group, units, one, slot, row)
        else:
            into[one] = outlook_without(rule, state, one, slot)


@njit(cache=True, nogil=True)
def _first_worse(here, there):
    for rule in range(len(here)):
        if there[rule] > here[rule]:
            return rule
    return NO_RULE


@njit(cache=True, nogil=True)
def _floor_served(rule, state, group, slot, own, other):
    """Return the floor, still due, that the row in the slot serves and the other does not; the first to end."""
    best = NO_RULE
    for one in range(len(rule)):
        due = rule[one, START] <= slot < rule[one, STOP] and state[one, DEFICIT] > 0
        serves = group[own, one] >= 0 and group[other, one] < 0
        if due and serves and (best < 0 or rule[one, END] < rule[best, END]):
            best = one
    return best
