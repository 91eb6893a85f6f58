"""The feasibility kernel: keeps the counts of every rule while rows are placed slot by slot, and takes them back.

A rule bounds the count of each of its groups in windows of `width` consecutive slots inside [start, stop). At any
moment a rule has an *excess* (how far groups are above the upper bound in the window that ends here) and a *deficit*
(how far below the lower bound). When a window ends, both are committed to the rule's tier. Until then the excess
can only grow, and the deficit can shrink by what the free slots of the window and the rows left can still bring; this
gives, for every partial page, a lower bound on what the rules will be broken by, per tier: the *outlook*.

Rows are numbered in the caller's order of preference. Counts are whole numbers (millionths), so that adding and
taking back is exact. Cost: O(R) per placement or question for R rules.

Arrays, as the functions here and in the neighbouring kernels name them:

| name | shape | what |
|---|---|---|
| `rule` | (R, 10) int64 | one rule a row, columns `LOW` ... `STEP` |
| `state` | (R, 3) int64 | where the rule stands now, columns `EXCESS`, `DEFICIT`, `SUPPLY` |
| `count` | int64 | per rule and group, what stands in the window that ends here, from `rule[:, BASE]` on |
| `group` | (n, R) int32 | group of a row under a rule, or its value under a rule that counts values; -1 for none |
| `units` | (n, R) int64 | what the row counts |
| `link` | (n, 3) int32 | columns `TWIN`, `AFTER`, `USED` |
| `page` | (length,) int32 | rows placed so far |
| `committed` | (tiers,) int64 | what windows that have ended are outside their bounds |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

LOW, HIGH = 0, 1
"""Columns of `rule`: bounds."""
START, STOP, WIDTH, END = 2, 3, 4, 5
"""Columns of `rule`: first slot, slot after the last, slots per window, last slot of the first window."""
TIER = 6
"""Column of `rule`: 0 for rules that never give way, then 1, 2, ... in descending importance."""
BASE = 7
"""Column of `rule`: where its counts begin in `count`."""
SEEN = 8
"""Column of `rule`: where `count` has the number of distinct values in its window; -1 if it counts rows."""
STEP = 9
"""Column of `rule`: the most that one row can add."""

EXCESS, DEFICIT, SUPPLY = 0, 1, 2
"""Columns of `state`: above the upper bounds, below the lower ones, what the rows left could still add."""

TWIN, AFTER, USED = 0, 1, 2
"""Columns of `link`: next row of the same item (in a ring), row to be placed first (-1: none), whether it is placed."""


class Board(NamedTuple):
    """An empty page and everything that is counted on it; see the module for the arrays."""

    rule: Any
    state: Any
    count: Any
    group: Any
    units: Any
    link: Any
    page: Any
    committed: Any


@njit(cache=True, nogil=True)
def board_of(order, group, units, items, bounds, windows, tier, sizes, by_value, after, length):
    """Return the empty board of a page of `length`: rows numbered by `order`, windows cut to the page."""
    n, rules = group.shape
    own_group = np.empty((n, rules), np.int32)
    own_units = np.empty((n, rules), np.int64)
    for row in range(n):
        for one in range(rules):
            own_group[row, one] = group[order[row], one]
            own_units[row, one] = units[order[row], one]
    rule = _table(own_group, own_units, bounds, windows, tier, sizes, by_value, length)
    count = np.zeros(rule[rules - 1, BASE] + sizes[rules - 1] + 1 if rules else 0, np.int64)
    return Board(
        rule,
        _state(rule, own_group, own_units, sizes, count),
        count,
        own_group,
        own_units,
        _links(items, order, after),
        np.full(length, -1, np.int32),
        np.zeros(1 + (tier.max() if rules else 0), np.int64),
    )


@njit(cache=True, nogil=True)
def _table(group, units, bounds, windows, tier, sizes, by_value, length):
    rules = len(sizes)
    rule = np.zeros((rules, 10), np.int64)
    base = 0
    for one in range(rules):
        start, stop = windows[one, 0], min(windows[one, 1], length)
        rule[one, LOW], rule[one, HIGH] = bounds[one, 0], bounds[one, 1]
        if start >= stop:
            start, stop = length, length
            rule[one, LOW], rule[one, HIGH] = 0, np.iinfo(np.int64).max
        width = min(windows[one, 2], max(stop - start, 1))
        rule[one, START], rule[one, STOP], rule[one, WIDTH], rule[one, END] = start, stop, width, start + width - 1
        rule[one, TIER], rule[one, BASE] = tier[one], base
        base += sizes[one] + 1
        rule[one, SEEN] = base - 1 if by_value[one] else -1
        for row in range(len(group)):
            if group[row, one] >= 0:
                rule[one, STEP] = max(rule[one, STEP], units[row, one])
    return rule


@njit(cache=True, nogil=True)
def _state(rule, group, units, sizes, count):
    """Return the state before the first row; `count` is used and left empty."""
    state = np.zeros((len(rule), 3), np.int64)
    for one in range(len(rule)):
        base = rule[one, BASE]
        state[one, DEFICIT] = rule[one, LOW] * (1 if rule[one, SEEN] >= 0 else sizes[one])
        for row in range(len(group)):
            if group[row, one] >= 0 and (rule[one, SEEN] < 0 or count[base + group[row, one]] == 0):
                state[one, SUPPLY] += units[row, one]
                count[base + group[row, one]] = 1
    count[:] = 0
    return state


@njit(cache=True, nogil=True)
def _links(items, order, after):
    n = len(order)
    link = np.zeros((n, 3), np.int32)
    place = np.empty(n, np.int32)
    for row in range(n):
        place[order[row]] = row
    size = items.max() + 1 if n else 0
    first = np.full(size, -1, np.int32)
    last = np.full(size, -1, np.int32)
    for row in range(n):
        link[row, AFTER] = place[after[order[row]]] if after[order[row]] >= 0 else -1
        link[row, TWIN] = row
        item = items[order[row]]
        if first[item] < 0:
            first[item] = row
        else:
            link[last[item], TWIN] = row
            link[row, TWIN] = first[item]
        last[item] = row
    return link


@njit(cache=True, nogil=True)
def _change(rule, state, count, group, units, one, row, sign):
    """Count a row into (+1) or out of (-1) the window of a rule."""
    if group[row, one] < 0:
        return
    at = rule[one, BASE] + group[row, one]
    old = count[at]
    new = old + sign * units[row, one]
    count[at] = new
    if rule[one, SEEN] >= 0:
        if (old == 0) == (new == 0):
            return
        step = rule[one, STEP]
        state[one, SUPPLY] -= sign * step
        at = rule[one, SEEN]
        old = count[at] * step
        count[at] += sign
        new = count[at] * step
    state[one, EXCESS] += max(0, new - rule[one, HIGH]) - max(0, old - rule[one, HIGH])
    state[one, DEFICIT] += max(0, rule[one, LOW] - new) - max(0, rule[one, LOW] - old)


@njit(cache=True, nogil=True)
def slide(rule, state, count, group, units, page, slot, sign):
    """Move every window on to `slot` (-1): the row that falls out counts no longer; or move them back (+1)."""
    for one in range(len(rule)):
        gone = slot - rule[one, WIDTH]
        if gone >= rule[one, START] and slot < rule[one, STOP]:
            _change(rule, state, count, group, units, one, page[gone], sign)


@njit(cache=True, nogil=True)
def place(rule, state, count, group, units, link, page, committed, slot, row):
    """Put a row into a slot to which the windows were moved."""
    page[slot] = row
    _use(rule, state, group, units, link, row, 1)
    for one in range(len(rule)):
        if rule[one, START] <= slot < rule[one, STOP]:
            _change(rule, state, count, group, units, one, row, 1)
            if slot >= rule[one, END]:
                committed[rule[one, TIER]] += state[one, EXCESS] + state[one, DEFICIT]


@njit(cache=True, nogil=True)
def lift(rule, state, count, group, units, link, page, committed, slot):
    """Take `place` back."""
    row = page[slot]
    for one in range(len(rule)):
        if rule[one, START] <= slot < rule[one, STOP]:
            if slot >= rule[one, END]:
                committed[rule[one, TIER]] -= state[one, EXCESS] + state[one, DEFICIT]
            _change(rule, state, count, group, units, one, row, -1)
    _use(rule, state, group, units, link, row, -1)
    page[slot] = -1


@njit(cache=True, nogil=True)
def _use(rule, state, group, units, link, row, sign):
    """Take a row and the others of its item out of what is left (+1), or give them back (-1)."""
    other = row
    while True:
        link[other, USED] = sign > 0
        for one in range(len(rule)):
            if group[other, one] >= 0 and rule[one, SEEN] < 0:
                state[one, SUPPLY] -= sign * units[other, one]
        other = link[other, TWIN]
        if other == row:
            return


@njit(cache=True, nogil=True)
def outlook(rule, one, slot, excess, deficit, supply):
    """Return the least that a rule's open window will be outside its bounds, once `slot` is filled.

    Args:
        rule: The rules.
        one: Which of them.
        slot: The slot that is filled.
        excess: Above the upper bounds, with the row in `slot`.
        deficit: Below the lower bounds, with the row in `slot`.
        supply: What the rows left can add.
    """
    if slot >= rule[one, STOP]:
        return 0
    if slot >= rule[one, END]:
        return excess + deficit
    reach = min(rule[one, END] - slot, rule[one, WIDTH]) * rule[one, STEP]
    return excess + max(0, deficit - min(reach, supply))


@njit(cache=True, nogil=True)
def outlook_without(rule, state, one, slot):
    """Return a rule's outlook if the row in `slot` is of none of its groups."""
    return outlook(rule, one, slot, state[one, EXCESS], state[one, DEFICIT], state[one, SUPPLY])


@njit(cache=True, nogil=True)
def outlook_with(rule, state, count, group, units, one, slot, row):
    """Return a rule's outlook if `row`, which is of one of its groups, is put into `slot`."""
    excess, deficit, adds = state[one, EXCESS], state[one, DEFICIT], units[row, one]
    old = count[rule[one, BASE] + group[row, one]]
    inside = rule[one, START] <= slot < rule[one, STOP]
    if rule[one, SEEN] >= 0:
        adds = 0 if old > 0 or not inside else adds
        old = count[rule[one, SEEN]] * rule[one, STEP]
    if inside:
        new = old + adds
        excess += max(0, new - rule[one, HIGH]) - max(0, old - rule[one, HIGH])
        deficit += max(0, rule[one, LOW] - new) - max(0, rule[one, LOW] - old)
    return outlook(rule, one, slot, excess, deficit, state[one, SUPPLY] - adds)


@njit(cache=True, nogil=True)
def unavoidable(rule, group, units, one):
    """Return the least by which the upper bounds of a rule are exceeded on any page, by counting rows alone.

    A window of w slots holds, without excess, at most the upper bound of each group, or all of a smaller group; the
    rest must be rows of no group, each of which stands in at most w windows. The same counts for one group against
    all other rows. Rules on values or on unequal weights are not judged: 0.
    """
    width, step, high = rule[one, WIDTH], rule[one, STEP], rule[one, HIGH]
    windows = rule[one, STOP] - rule[one, START] - width + 1
    if rule[one, SEEN] >= 0 or step == 0 or windows < 1 or rule[one, START] >= rule[one, STOP]:
        return 0
    sizes = np.zeros(group[:, one].max() + 1, np.int64)
    free = 0
    for row in range(len(group)):
        if group[row, one] < 0:
            free += 1
        elif units[row, one] != step:
            return 0
        else:
            sizes[group[row, one]] += 1
    held, largest = 0, 0
    for size in sizes:
        held += min(size * step, high)
        largest = max(largest, size)
    together = windows * (width * step - held) - free * width * step
    alone = windows * (width * step - high) - (len(group) - largest) * width * step
    return max(0, together, alone)


@njit(cache=True, nogil=True)
def is_waiting(link, row):
    """Tell whether a row cannot be placed now: it is on the page, or a row before it in its queue is not.

    A row before it may be used because another line placed its item; then the one before that counts.
    """
    if link[row, USED]:
        return True
    before = link[row, AFTER]
    while before >= 0 and link[before, USED]:
        before = link[before, AFTER]
    return before >= 0
