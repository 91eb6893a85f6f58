"""Floors: whether rules with lower bounds can still be met in the slots that are left.

One floor alone is watched by `kernels.rules`. Here floors are looked at together: those due by some slot may need more
rows than there are slots left until then, unless some rows serve several of them at once.

`floor` is (F, 2) int64: a rule, and how many rows it still needs (columns `RULE` and `NEED`), by the end of their
first windows; the other arrays are those of `kernels.rules`.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import BASE, DEFICIT, END, LOT, LOW, SEEN, START, STEP, SUPPLY, TIER, USED

RULE, NEED = 0, 1
MOST_FLOORS = 8
"""Floors that are looked at together in detail; of more, their needs are added up."""
SPEAKERS = 8
"""Rows that serve the same floors, a rule on values among them, and that are looked at one by one."""


@kernel
def floors_of(rule):
    """Return the rules with a lower bound, in the order in which their first windows end."""
    floor = np.zeros((np.count_nonzero(rule[:, LOW] > 0), 2), np.int64)
    found = 0
    for one in range(len(rule)):
        if rule[one, LOW] > 0:
            at = found
            while at > 0 and rule[floor[at - 1, RULE], END] > rule[one, END]:
                floor[at, RULE] = floor[at - 1, RULE]
                at -= 1
            floor[at, RULE] = one
            found += 1
    return floor


@leaf
def most_served(floor, group):
    """Return the most floors that one row is in a group of."""
    most = 0
    for row in range(len(group)):
        inside = 0
        for at in range(len(floor)):
            inside += group[row, floor[at, RULE]] >= 0
        most = max(most, inside)
    return most


@leaf
def count_needs(rule, state, floor, slot):
    """Write, for each floor still due after `slot`, how many rows it still needs and can get."""
    for at in range(len(floor)):
        one = floor[at, RULE]
        step = rule[one, STEP]
        floor[at, NEED] = 0
        if slot <= rule[one, END] and step > 0:
            floor[at, NEED] = (min(state[one, DEFICIT], state[one, SUPPLY]) + step - 1) // step


@leaf
def shortage(rule, state, floor, most, length, into):
    """Write what the floors must be missed by, per tier, because a page of `length` has too few slots for them all.

    Each slot brings at most `most` floors one step nearer. What the floors of the first tiers need beyond that, they
    miss together; a page that misses least in the first tiers misses the rest in the next.
    """
    into[:] = 0
    step = np.int64(0)
    for at in range(len(floor)):
        step = max(step, rule[floor[at, RULE], STEP])
    needed, missed = 0, 0
    for tier in range(len(into)):
        for at in range(len(floor)):
            if rule[floor[at, RULE], TIER] == tier:
                needed += state[floor[at, RULE], DEFICIT]
        into[tier] = max(0, needed - length * most * step - missed)
        missed += into[tier]


@leaf
def crowded_floors(rule, count, group, units, link, floor, slot, most):
    """Return (how many floors, by their ends, a row in `slot` that serves none would leave too few slots, tries made).

    Floors whose needs add up to no more than the slots left are safe. Where they add up to more, rows that serve
    several floors at once may still do; whether they do is tried out.
    """
    total, tries = 0, 0
    for last in range(len(floor)):
        total += floor[last, NEED]
        left = rule[floor[last, RULE], END] - slot
        if floor[last, NEED] == 0 or total <= left:
            continue
        if total > left * most:
            return last + 1, tries
        tries += 1
        if not _coverable(rule, count, group, units, link, floor[: last + 1], left, -1):
            return last + 1, tries
    return 0, tries


@leaf
def served(rule, count, group, floor, slot, row):
    """Return, as bits, which of the floors a row in `slot` would bring nearer."""
    pattern = 0
    for at in range(len(floor)):
        one = floor[at, RULE]
        if floor[at, NEED] > 0 and slot >= rule[one, START] and _serves(rule, count, group, one, row):
            pattern |= 1 << min(at, 62)
    return pattern


@leaf
def crowding(rule, count, group, units, link, floor, slot, row, pattern, most):
    """Return by how many rows the needs of the floors exceed the slots left for them, with `row` in `slot`.

    The pattern says which floors the row serves. Zero if rows that serve several at once are seen to meet them all.
    """
    total, worst, left = 0, 0, 0
    for at in range(len(floor)):
        if floor[at, NEED] > 0:
            total += floor[at, NEED] - ((pattern >> min(at, 62)) & 1)
            left = rule[floor[at, RULE], END] - slot
            worst = max(worst, total - left)
    if worst > 0 and total <= left * most and _coverable(rule, count, group, units, link, floor, left, row):
        return 0
    return worst


@kernel
def _coverable(rule, count, group, units, link, floor, left, row):
    """Tell whether `row` (-1: none) and then `left` more are seen to meet the needs of the floors.

    Takes a row that serves most of them each time, and so may overlook a way, but never sees one that is not there
    as far as these floors alone are concerned. Rows that serve the same floors are looked at once, unless they may
    bring different values to a rule on values; of those, only a few.
    """
    if len(floor) > MOST_FLOORS:
        return False
    needs, count = floor[:, NEED].copy(), count.copy()
    if row >= 0:
        _serve(rule, count, group, units, floor, needs, row)
    alike = np.zeros(1 << len(floor), np.int64)
    speaker = np.empty(len(link), np.int64)
    behind = np.empty(len(link), np.int64)
    speakers = 0
    for other in range(len(link)):
        if other == row or link[other, USED]:
            continue
        pattern, by_value = 0, False
        for at in range(len(floor)):
            if needs[at] > 0 and _serves(rule, count, group, floor[at, RULE], other):
                pattern |= 1 << at
                by_value = by_value or rule[floor[at, RULE], SEEN] >= 0
        if pattern == 0 or (by_value and alike[pattern] == SPEAKERS):
            continue
        if by_value or alike[pattern] == 0:
            speaker[speakers], behind[speakers] = other, 1
            speakers += 1
            alike[pattern] = alike[pattern] + 1 if by_value else speakers
        else:
            behind[alike[pattern] - 1] += 1
    while needs.any():
        best, most = -1, 0
        for one in range(speakers):
            if behind[one] > 0:
                serves = 0
                for at in range(len(floor)):
                    serves += needs[at] > 0 and _serves(rule, count, group, floor[at, RULE], speaker[one])
                if serves > most:
                    best, most = one, serves
        if best < 0 or left == 0:
            return False
        left -= 1
        behind[best] -= 1
        _serve(rule, count, group, units, floor, needs, speaker[best])
    return True


@leaf
def _serve(rule, count, group, units, floor, needs, row):
    """Count a row towards the floors that it serves."""
    for at in range(len(floor)):
        one = floor[at, RULE]
        if needs[at] > 0 and _serves(rule, count, group, one, row):
            needs[at] -= 1
            count[rule[one, BASE] + group[row, one]] += units[row, one] * rule[one, LOT]


@leaf
def _serves(rule, count, group, one, row):
    """Tell whether a row would bring a floor nearer."""
    if group[row, one] < 0:
        return False
    have = count[rule[one, BASE] + group[row, one]]
    return have == 0 if rule[one, SEEN] >= 0 else have < rule[one, LOW]
