"""Look at a finished page: which rules it breaks and by how much, and what each slot passed over and why."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.board import board_of
from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import (
    DEFICIT,
    END,
    START,
    STOP,
    UNIT,
    is_waiting,
    outlook_with,
    outlook_without,
    place,
    slide,
)

NO_ROW = -1
NO_RULE = -1


@kernel
def broken(page: NDArray[np.int32], rules: Any) -> NDArray[np.int64]:
    """Return (R,) int64: how far the windows of each rule are outside its bounds on this page, summed.

    Counts every window afresh, and so is a check on whatever made the page. Cost: O(slots * width) per rule.
    """
    return _counted(page, rules)[0]


@kernel
def binding(page: NDArray[np.int32], rules: Any) -> NDArray[np.bool_]:
    """Return (R,) bool: whether some count of each rule stands at one of its bounds, or beyond."""
    return _counted(page, rules)[1]


@kernel
def _counted(page, rules):
    """Return (how far each rule is outside its bounds, whether some count of it stands at one, or beyond)."""
    n, past = len(rules.items), len(rules.group) - len(rules.items)
    shown = np.concatenate((np.arange(n, n + past).astype(np.int32), page))
    amount = np.zeros(len(rules.sizes), np.int64)
    at_bound = np.zeros(len(rules.sizes), np.bool_)
    for one in range(len(rules.sizes)):
        start, stop = past + rules.windows[one, 0], past + min(rules.windows[one, 1], len(page))
        if start >= stop:
            continue
        start -= min(past, rules.reach[one])
        width = min(rules.windows[one, 2], stop - start)
        share = shares(rules.curve[one, start - past : stop - past]) if rules.curve[one, 0] >= 0 else None
        low, high = rules.bounds[one]
        count = np.zeros(rules.sizes[one], np.int64)
        for first in range(start, stop - width + 1):
            count[:] = 0
            for slot in range(first, first + width):
                at = rules.group[shown[slot], one]
                if at >= 0:
                    count[at] += rules.units[shown[slot], one] * (1 if share is None else share[slot - first])
            if rules.by_value[one]:
                total = np.count_nonzero(count) * UNIT
                amount[one] += max(0, total - high) + max(0, low - total)
                at_bound[one] = at_bound[one] or total >= high or 0 < low >= total
            else:
                for total in count:
                    amount[one] += max(0, total - high) + max(0, low - total)
                    at_bound[one] = at_bound[one] or total >= high or 0 < low >= total
    return amount, at_bound


@kernel
def shares(curve):
    """Return the share of each slot in the exposure of a window, in whole millionths that add up to one."""
    total = curve.sum()
    upto = np.zeros(len(curve) + 1, np.int64)
    if total > 0:
        upto[1:] = np.round(UNIT * np.cumsum(curve) / total)
    return np.diff(upto)


@kernel
def passed_over(
    page: NDArray[np.int32],
    worth: NDArray[np.float64],
    orders: NDArray[np.int32],
    rules: Any,
    after: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return per slot (row held back, rule that held it back, runner-up), -1 where there is none.

    `worth` is (k, n), what rows are worth in each slot, or (1, n) if that is the same in all; `orders` are the rows by
    descending worth.

    The row held back is the best one worth more than the row in the slot. The rule is the most important one that
    it would have broken further; -1 if none would at this slot, so that a later slot's needs decided. The
    runner-up is the best other row that breaks the rules no more than the row in the slot.
    """
    length = len(page)
    held = np.full(length, NO_ROW, np.int32)
    why = np.full(length, NO_RULE, np.int32)
    runner = np.full(length, NO_ROW, np.int32)
    order = orders[0] if len(orders) else np.empty(0, np.int32)
    board = board_of(order, rules, after, length)
    rule, state, count, group, units, scale, _, link, placed, committed = board
    past = len(placed) - length
    position = np.empty(len(order), np.int32)
    for row in range(len(order)):
        position[order[row]] = row
    here = np.empty(len(rule), np.int64)
    there = np.empty(len(rule), np.int64)
    for slot in range(length):
        slide(rule, state, count, group, units, scale, placed, past + slot, -1)
        own = position[page[slot]]
        _outlooks(board, past + slot, own, here)
        utility = worth[min(slot, len(worth) - 1)]
        for source in orders[min(slot, len(orders) - 1)]:
            row = position[source]
            if rules.items[source] == rules.items[page[slot]] or is_waiting(link, row):
                continue
            _outlooks(board, past + slot, row, there)
            first = _first_worse(here, there)
            worth_more = utility[source] > utility[page[slot]]
            if worth_more and held[slot] < 0:
                held[slot] = source
                why[slot] = first if first >= 0 else _floor_served(board, past + slot, own, row)
            elif first < 0 and not worth_more:
                runner[slot] = source
                break
        place(rule, state, count, group, units, scale, link, placed, committed, past + slot, own)
    return held, why, runner


@kernel
def open_rows(
    page: NDArray[np.int32], order: NDArray[np.int32], rules: Any, after: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (k, n) bool twice: rows that were still to be placed in each slot, and which of these broke rules no more.

    A row is still to be placed if its item is not above the slot, and the row before it in its queue is. The row in the
    slot is among both. `order` is any order of all rows.
    """
    length = len(page)
    free, fit = np.zeros((length, len(order)), np.bool_), np.zeros((length, len(order)), np.bool_)
    board = board_of(order, rules, after, length)
    rule, state, count, group, units, scale, _, link, placed, committed = board
    past = len(placed) - length
    position = np.empty(len(order), np.int32)
    for row in range(len(order)):
        position[order[row]] = row
    here, there = np.empty(len(rule), np.int64), np.empty(len(rule), np.int64)
    for slot in range(length):
        slide(rule, state, count, group, units, scale, placed, past + slot, -1)
        own = position[page[slot]]
        _outlooks(board, past + slot, own, here)
        for source in order:
            row = position[source]
            if not is_waiting(link, row):
                free[slot, source] = True
                _outlooks(board, past + slot, row, there)
                fit[slot, source] = _first_worse(here, there) < 0
        place(rule, state, count, group, units, scale, link, placed, committed, past + slot, own)
    return free, fit


@leaf
def _outlooks(board, slot, row, into):
    """Write each rule's outlook with `row` in `slot`."""
    rule, state, count, group, units, scale, room, _, _, _ = board
    for one in range(len(rule)):
        if group[row, one] >= 0:
            into[one] = outlook_with(rule, state, count, group, units, scale, room, one, slot, row)
        else:
            into[one] = outlook_without(rule, state, room, one, slot)


@leaf
def _first_worse(here, there):
    for rule in range(len(here)):
        if there[rule] > here[rule]:
            return rule
    return NO_RULE


@leaf
def _floor_served(board, slot, own, other):
    """Return the floor, still due, that the row in the slot serves and the other does not; the first to end."""
    rule, state, group = board.rule, board.state, board.group
    best = NO_RULE
    for one in range(len(rule)):
        due = rule[one, START] <= slot < rule[one, STOP] and state[one, DEFICIT] > 0
        serves = group[own, one] >= 0 and group[other, one] < 0
        if due and serves and (best < 0 or rule[one, END] < rule[best, END]):
            best = one
    return best
