"""What a row would do to the rules in the slot that is next.

`note` is (max(R, PATTERNS), 4) int64 to write in, `price` (3, tiers) int64: what the rules are broken by with the row
chosen, with a row of no group, with the row looked at. Arrays are named as in `kernels.rules`.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import copy, kernel, leaf
from slatewise.kernels.floors import count_needs, crowded_floors, crowding, served, shortage
from slatewise.kernels.rules import LOW, START, STOP, TIER, outlook_with, outlook_without, unavoidable

PATTERNS = 8
"""Sets of floors served for which the look at a slot remembers what follows."""

CHOSEN, LEAST, OWN = 0, 1, 2
"""Rows of `price`."""
IDLE, LIVE, PATTERN, CROWDING = 0, 1, 2, 3
"""Columns of `note`: outlook of a rule without the row; rules that matter; floors served, and what follows."""


@leaf
def survey(rule, state, count, group, units, room, link, committed, floor, slot, most, price, note):
    """Look at a slot before its rows are; `price[LEAST]` becomes what a row of no group breaks.

    Returns (rules that matter here, floors that are short of slots, by their ends; searches that took).
    """
    least = price[LEAST]
    copy(committed, least)
    lively = 0
    for one in range(len(rule)):
        note[one, IDLE] = outlook_without(rule, state, room, one, slot)
        least[rule[one, TIER]] += note[one, IDLE]
        if slot < rule[one, STOP] and (slot >= rule[one, START] or rule[one, LOW] > 0):
            note[lively, LIVE] = one
            lively += 1
    count_needs(rule, state, floor, slot)
    crowded, tries = crowded_floors(rule, count, group, units, link, floor, slot, most)
    return lively, crowded, tries


@leaf
def breaks(rule, state, count, group, units, scale, room, slot, row, lively, price, note):
    """Return the row of `price` that says what the rules are broken by with a row in the slot."""
    changed = False
    for at in range(lively):
        one = note[at, LIVE]
        if group[row, one] >= 0:
            then = outlook_with(rule, state, count, group, units, scale, room, one, slot, row)
            if then != note[one, IDLE]:
                if not changed:
                    copy(price[LEAST], price[OWN])
                    changed = True
                price[OWN, rule[one, TIER]] += then - note[one, IDLE]
    return OWN if changed else LEAST


@leaf
def counts_alike(group, units, lively, note, row, other):
    """Tell whether two rows are the same to every rule that matters here."""
    for at in range(lively):
        one = note[at, LIVE]
        if group[row, one] != group[other, one] or (group[row, one] >= 0 and units[row, one] != units[other, one]):
            return False
    return True


@leaf
def crowds(rule, count, group, units, link, floor, most, slot, row, met, note):
    """Return (by how many rows `floor`, the crowded ones, are short with a row in the slot; patterns met; searches)."""
    pattern = served(rule, count, group, floor, slot, row)
    for at in range(met):
        if note[at, PATTERN] == pattern:
            return note[at, CROWDING], met, 0
    met = min(met + 1, PATTERNS)
    note[met - 1, PATTERN] = pattern
    note[met - 1, CROWDING] = crowding(rule, count, group, units, link, floor, slot, row, pattern, most)
    return note[met - 1, CROWDING], met, 1


@leaf
def least_broken(rule, state, group, units, room, floor, most, past, length, own, into):
    """Write the least that a page of `length` breaks, as far as counting shows it before its first slot is filled.

    `own` is (tiers,) int64 to write in.
    """
    into[:] = 0
    for one in range(len(rule)):
        unmet = outlook_without(rule, state, room, one, past - 1)
        into[rule[one, TIER]] += max(unmet, unavoidable(rule, group, units, one))
    shortage(rule, state, floor, most, length, own)
    if less(into, own):
        copy(own, into)


@leaf
def less(cost, other):
    """Tell whether `cost` is smaller, the most important tier first."""
    for tier in range(len(cost)):
        if cost[tier] != other[tier]:
            return cost[tier] < other[tier]
    return False


@kernel
def notes(rules):
    """Return room to write in."""
    return np.zeros((max(rules, PATTERNS), 4), np.int64)
