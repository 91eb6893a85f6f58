"""The feasibility kernel: keeps the counts of every rule while rows are placed slot by slot, and takes them back.

A rule bounds the count of each of its groups in windows of `width` consecutive slots inside [start, stop). At any
moment a rule has an *excess* (how far groups are above the upper bound in the window that ends here) and a *deficit*
(how far below the lower bound). When a window ends, both are committed to the rule's tier. Until then the excess
can only grow, and the deficit can shrink by what the free slots of the window and the rows left can still bring; this
gives, for every partial page, a lower bound on what the rules will be broken by, per tier: the *outlook*.

Rows are numbered in the caller's order of preference. Counts are whole numbers (millionths), so that adding and
taking back is exact. Cost: O(R) per placement or question for R rules.

Windows may reach back into the page before: its last h rows stand on the board from the beginning, in slots 0 to h - 1,
and the page to be filled begins at slot h. They are numbered from n on, and are never placed, lifted or left to place.

Arrays, as the functions here and in the neighbouring kernels name them:

| name | shape | what |
|---|---|---|
| `rule` | (R, 11) int64 | one rule a row, columns `LOW` ... `LOT` |
| `state` | (R, 3) int64 | where the rule stands now, columns `EXCESS`, `DEFICIT`, `SUPPLY` |
| `count` | int64 | per rule and group, what stands in the window that ends here, from `rule[:, BASE]` on |
| `group` | (n + h, R) int32 | group of a row under a rule, or its value under a rule on values; -1 for none |
| `units` | (n + h, R) int64 | what the row counts, times what the slot does |
| `scale` | (R, h + length) int64 | what the slot counts: its share under a rule on shares, 1 under any other |
| `room` | (R, h + length + 1) int64 | the most that the slots from this one on can add to the rule's first window |
| `link` | (n, 3) int32 | columns `TWIN`, `AFTER`, `USED` |
| `page` | (h + length,) int32 | rows placed so far |
| `committed` | (tiers,) int64 | what windows that have ended are outside their bounds |
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf

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
"""Column of `rule`: the most that one row can add in any slot."""
LOT = 10
"""Column of `rule`: the most that a slot multiplies the units of a row by."""

UNIT = 1_000_000
"""What a whole row, or all the exposure of a window, counts."""

EXCESS, DEFICIT, SUPPLY = 0, 1, 2
"""Columns of `state`: above the upper bounds, below the lower ones, what the rows left could still add."""

TWIN, AFTER, USED = 0, 1, 2
"""Columns of `link`: next row of the same item (in a ring), row to be placed first (-1: none), whether it is placed."""


@leaf
def change(rule, state, count, group, units, scale, one, slot, row, sign):
    """Count a row in a slot into (+1) or out of (-1) the window of a rule."""
    if group[row, one] < 0:
        return
    at = rule[one, BASE] + group[row, one]
    old = count[at]
    new = old + sign * units[row, one] * scale[one, slot]
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


@leaf
def slide(rule, state, count, group, units, scale, page, slot, sign):
    """Move every window on to `slot` (-1): the row that falls out counts no longer; or move them back (+1)."""
    for one in range(len(rule)):
        gone = slot - rule[one, WIDTH]
        if gone >= rule[one, START] and slot < rule[one, STOP]:
            change(rule, state, count, group, units, scale, one, gone, page[gone], sign)


@leaf
def place(rule, state, count, group, units, scale, link, page, committed, slot, row):
    """Put a row into a slot to which the windows were moved."""
    page[slot] = row
    _use(rule, state, group, units, link, row, 1)
    for one in range(len(rule)):
        if rule[one, START] <= slot < rule[one, STOP]:
            change(rule, state, count, group, units, scale, one, slot, row, 1)
            if slot >= rule[one, END]:
                committed[rule[one, TIER]] += state[one, EXCESS] + state[one, DEFICIT]


@leaf
def lift(rule, state, count, group, units, scale, link, page, committed, slot):
    """Take `place` back."""
    row = page[slot]
    for one in range(len(rule)):
        if rule[one, START] <= slot < rule[one, STOP]:
            if slot >= rule[one, END]:
                committed[rule[one, TIER]] -= state[one, EXCESS] + state[one, DEFICIT]
            change(rule, state, count, group, units, scale, one, slot, row, -1)
    _use(rule, state, group, units, link, row, -1)
    page[slot] = -1


@leaf
def _use(rule, state, group, units, link, row, sign):
    """Take a row and the others of its item out of what is left (+1), or give them back (-1)."""
    other = row
    while True:
        link[other, USED] = sign > 0
        for one in range(len(rule)):
            if group[other, one] >= 0 and rule[one, SEEN] < 0:
                state[one, SUPPLY] -= sign * units[other, one] * rule[one, LOT]
        other = link[other, TWIN]
        if other == row:
            return


@leaf
def outlook(rule, room, one, slot, excess, deficit, supply):
    """Return the least that a rule's open window will be outside its bounds, once `slot` is filled.

    Args:
        rule: The rules.
        room: What slots can add.
        one: Which of the rules.
        slot: The slot that is filled.
        excess: Above the upper bounds, with the row in `slot`.
        deficit: Below the lower bounds, with the row in `slot`.
        supply: What the rows left can add.
    """
    if slot >= rule[one, STOP]:
        return 0
    return excess + max(0, deficit - min(room[one, slot + 1], supply))


@leaf
def outlook_without(rule, state, room, one, slot):
    """Return a rule's outlook if the row in `slot` is of none of its groups."""
    return outlook(rule, room, one, slot, state[one, EXCESS], state[one, DEFICIT], state[one, SUPPLY])


@leaf
def outlook_with(rule, state, count, group, units, scale, room, one, slot, row):
    """Return a rule's outlook if `row`, which is of one of its groups, is put into `slot`."""
    excess, deficit, supply = state[one, EXCESS], state[one, DEFICIT], state[one, SUPPLY]
    inside = rule[one, START] <= slot < rule[one, STOP]
    if rule[one, SEEN] >= 0:
        if count[rule[one, BASE] + group[row, one]] > 0 or not inside:
            return outlook(rule, room, one, slot, excess, deficit, supply)
        adds = rule[one, STEP]
        old = count[rule[one, SEEN]] * adds
        supply -= adds
    else:
        adds = units[row, one] * scale[one, slot]
        old = count[rule[one, BASE] + group[row, one]]
        supply -= units[row, one] * rule[one, LOT]
    if inside:
        new = old + adds
        excess += max(0, new - rule[one, HIGH]) - max(0, old - rule[one, HIGH])
        deficit += max(0, rule[one, LOW] - new) - max(0, rule[one, LOW] - old)
    return outlook(rule, room, one, slot, excess, deficit, supply)


@kernel
def unavoidable(rule, group, units, one):
    """Return the least by which the upper bounds of a rule are exceeded on any page, by counting rows alone.

    A window of w slots holds, without excess, at most the upper bound of each group, or all of a smaller group; the
    rest must be rows of no group, each of which stands in at most w windows. The same counts for one group against
    all other rows. Rules on values, on shares or on unequal weights are not judged: 0.
    """
    width, step, high = rule[one, WIDTH], rule[one, STEP], rule[one, HIGH]
    windows = rule[one, STOP] - rule[one, START] - width + 1
    if rule[one, SEEN] >= 0 or step == 0 or rule[one, LOT] != 1 or rule[one, START] >= rule[one, STOP]:
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


@leaf
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
