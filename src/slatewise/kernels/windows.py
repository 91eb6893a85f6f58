"""Windows: the counts of every rule in every window of a whole page, while single slots are given other rows.

`kernels.rules` keeps the windows that end at the slot being filled; this keeps all of them, for methods that change a
page in any place. Both count alike. Cost: O(R * width) per slot changed.

Windows of a rule are numbered from 0, group by group: `count[first[one] + group * wide[one] + window]`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from slatewise.kernels.board import board_of
from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import BASE, HIGH, LOW, SEEN, START, STEP, STOP, TIER, WIDTH


class Windows(NamedTuple):
    """All windows of a page; `rule`, `group`, `units`, `scale` and `page` are those of the board that it is made from.

    Attributes:
        first: (R + 1,) int64, where the counts of each rule begin.
        wide: (R,) int64, how many windows each rule has.
        count: int64, what stands of each group in each window.
        values: (R, most windows) int64, distinct values in each window; 0 for rules that count rows.
        cost: (tiers,) int64, what the page breaks.
    """

    rule: Any
    group: Any
    units: Any
    scale: Any
    page: Any
    first: Any
    wide: Any
    count: Any
    values: Any
    cost: Any


@kernel
def windows_of(board):
    """Return the windows of a board on which only the page before stands; free slots hold no row (-1)."""
    rule, group, page = board.rule, board.group, board.page.copy()
    many = len(rule)
    first, wide = np.zeros(many + 1, np.int64), np.zeros(many, np.int64)
    cost = np.zeros(len(board.committed), np.int64)
    for one in range(many):
        end = rule[one + 1, BASE] if one + 1 < many else len(board.count)
        groups = end - rule[one, BASE] - 1
        if rule[one, START] < rule[one, STOP]:
            wide[one] = rule[one, STOP] - rule[one, START] - rule[one, WIDTH] + 1
        first[one + 1] = first[one] + groups * wide[one]
        cost[rule[one, TIER]] += rule[one, LOW] * wide[one] * (1 if rule[one, SEEN] >= 0 else groups)
    count = np.zeros(first[many], np.int64)
    values = np.zeros((many, wide.max() if many else 0), np.int64)
    windows = Windows(rule, group, board.units, board.scale, page, first, wide, count, values, cost)
    for slot in range(len(page)):
        row, page[slot] = page[slot], -1
        put(windows, slot, row)
    return windows


@kernel
def counted(order, rules, length):
    """Return the windows of a page on which only the past stands, and the rings of rows of one item (`link`)."""
    board = board_of(order, rules, np.full(len(order), -1, np.int32), length)
    return windows_of(board), board.link


@leaf
def show(windows, page):
    """Put a page on the windows."""
    past = len(windows.page) - len(page)
    for slot in range(len(page)):
        put(windows, past + slot, page[slot])


@kernel
def taken_off(windows, length):
    """Take a page of `length` off the windows and return it."""
    past = len(windows.page) - length
    page = windows.page[past:].copy()
    for slot in range(past, len(windows.page)):
        put(windows, slot, -1)
    return page


@leaf
def put(windows, slot, row):
    """Give a slot another row; -1 for none on either side."""
    rule, group, units, scale, page, first, wide, count, values, cost = windows
    old = page[slot]
    page[slot] = row
    for one in range(len(rule)):
        if not rule[one, START] <= slot < rule[one, STOP]:
            continue
        left = group[old, one] if old >= 0 else -1
        came = group[row, one] if row >= 0 else -1
        if left == came and (left < 0 or units[old, one] == units[row, one]):
            continue
        start = max(slot - rule[one, WIDTH] + 1 - rule[one, START], 0)
        stop = min(slot - rule[one, START] + 1, wide[one])
        for window in range(start, stop):
            if left >= 0:
                _add(rule, first, wide, count, values, cost, one, left, window, -units[old, one] * scale[one, slot])
            if came >= 0:
                _add(rule, first, wide, count, values, cost, one, came, window, units[row, one] * scale[one, slot])


@njit(inline="always")
def _add(rule, first, wide, count, values, cost, one, group, window, units):
    at = first[one] + group * wide[one] + window
    old = count[at]
    new = old + units
    count[at] = new
    changed = True
    if rule[one, SEEN] >= 0:
        changed = (old == 0) != (new == 0)
        old = values[one, window] * rule[one, STEP]
        if changed:
            values[one, window] += 1 if new else -1
        new = values[one, window] * rule[one, STEP]
    if changed:
        high, low = rule[one, HIGH], rule[one, LOW]
        cost[rule[one, TIER]] += max(0, new - high) + max(0, low - new) - max(0, old - high) - max(0, low - old)


@leaf
def clashes(rule, group, units, scale, shown, trial, at):
    """Tell whether, on the page `trial`, the row at a slot stands in a window that is above its upper bound.

    `shown` is the board's page, of which only the past is looked at.
    """
    past = len(shown) - len(trial)
    slot, row = past + at, trial[at]
    for one in range(len(rule)):
        own = group[row, one]
        start, width = rule[one, START], rule[one, WIDTH]
        if own < 0 or rule[one, SEEN] >= 0 or not start <= slot < rule[one, STOP]:
            continue
        count = 0
        first = max(slot - width + 1, start)
        last = min(slot, rule[one, STOP] - width)
        for other in range(first, last + width):
            there = trial[other - past] if other >= past else shown[other]
            if group[there, one] == own:
                count += units[there, one] * scale[one, other]
            gone = other - width
            if gone >= first:
                there = trial[gone - past] if gone >= past else shown[gone]
                if group[there, one] == own:
                    count -= units[there, one] * scale[one, gone]
            if other >= first + width - 1 and count > rule[one, HIGH]:
                return True
    return False


@leaf
def floors_held(windows, held, slot):
    """Write which floors the row of a slot keeps from breaking, and return how many; a row of its group has to come."""
    rule, group, units = windows.rule, windows.group, windows.units
    gone = windows.page[slot]
    many = 0
    for which in range(len(rule)):
        own = group[gone, which]
        inside = rule[which, START] <= slot < rule[which, STOP]
        if own < 0 or rule[which, LOW] == 0 or rule[which, SEEN] >= 0 or not inside:
            continue
        counts = units[gone, which] * windows.scale[which, slot]
        first = windows.first[which] + own * windows.wide[which]
        start = max(slot - rule[which, WIDTH] + 1 - rule[which, START], 0)
        stop = min(slot - rule[which, START] + 1, windows.wide[which])
        for window in range(start, stop):
            if rule[which, LOW] <= windows.count[first + window] < rule[which, LOW] + counts:
                held[many] = which
                many += 1
                break
    return many


@leaf
def holds(group, held, many, row, gone):
    """Tell whether a row is of the group of another one under the floors that this one holds."""
    for at in range(many):
        if group[row, held[at]] != group[gone, held[at]]:
            return False
    return True
