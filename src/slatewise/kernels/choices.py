"""What may stand in the next slot of pages that are filled from the top, one row at a time.

A row may, if with it the page breaks the rules as little as with any other (see `kernels.slot`), and of these, if it
leaves the floors that are due as much room as any. So whoever chooses among the rows that may, slot by slot, ends at a
page that keeps the rules, as far as can be seen without going back. Cost: O(b * (k + n) * R) for b pages.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.board import board_of
from slatewise.kernels.compiled import copy, kernel
from slatewise.kernels.floors import floors_of, most_served
from slatewise.kernels.rules import is_waiting, lift, place, slide
from slatewise.kernels.slot import breaks, crowds, less, notes, survey


@kernel
def choices(order, rules, after, length, pages):
    """Return (b, n) whether each row may stand in the slot below each page; nothing may below a whole one.

    Args:
        order: (n,) int32, rows in an order in which they are numbered here; any will do.
        rules: The rules, as `core.constraints.Arrays`.
        after: (n,) int32, row that has to be placed before this one, -1 for none.
        length: Slots of the pages when they are whole.
        pages: (b, t) int32, rows placed so far.
    """
    n, filled = len(order), pages.shape[1]
    board = board_of(order, rules, after, length)
    rule, state, count, group, units, scale, room, link, page, committed = board
    past = len(page) - length
    floor = floors_of(rule)
    most = most_served(floor, group[:n])
    price, note = np.zeros((3, len(committed)), np.int64), notes(len(rule))
    place_of = np.empty(n, np.int32)
    place_of[order] = np.arange(n)
    allowed = np.zeros((len(pages), n), np.bool_)
    cost, lacks = np.empty((n, len(committed)), np.int64), np.empty(n, np.int64)
    for one in range(len(pages) if filled < length else 0):
        for slot in range(filled):
            place(
                rule, state, count, group, units, scale, link, page, committed, past + slot, place_of[pages[one, slot]]
            )
            slide(rule, state, count, group, units, scale, page, past + slot + 1, -1)
        at = past + filled
        lively, crowded, _ = survey(
            rule, state, count, group, units, room, link, committed, floor, at, most, price, note
        )
        best, met = -1, 0
        for row in range(n):
            lacks[row] = -1
            if is_waiting(link, row):
                continue
            copy(price[breaks(rule, state, count, group, units, scale, room, at, row, lively, price, note)], cost[row])
            if cost[row, 0] > 0:
                continue
            lacks[row], met, _ = crowds(rule, count, group, units, link, floor[:crowded], most, at, row, met, note)
            if (
                best < 0
                or less(cost[row], cost[best])
                or (not less(cost[best], cost[row]) and lacks[row] < lacks[best])
            ):
                best = row
        for row in range(n):
            if lacks[row] >= 0 and lacks[row] == lacks[best] and not less(cost[best], cost[row]):
                allowed[one, order[row]] = True
        for slot in range(filled - 1, -1, -1):
            slide(rule, state, count, group, units, scale, page, past + slot + 1, 1)
            lift(rule, state, count, group, units, scale, link, page, committed, past + slot)
    return allowed


@kernel
def broken(order, rules, length, pages):
    """Return (b, tiers) what whole pages of a length break.

    Args:
        order: (n,) int32, rows in an order in which they are numbered here; any will do.
        rules: The rules, as `core.constraints.Arrays`.
        length: Slots of the pages.
        pages: (b, length) int32, the pages.
    """
    n = len(order)
    rule, state, count, group, units, scale, _, link, page, committed = board_of(
        order, rules, np.full(n, -1, np.int32), length
    )
    past = len(page) - length
    place_of = np.empty(n, np.int32)
    place_of[order] = np.arange(n)
    found = np.empty((len(pages), len(committed)), np.int64)
    for one in range(len(pages)):
        for slot in range(length):
            if slot:
                slide(rule, state, count, group, units, scale, page, past + slot, -1)
            place(
                rule, state, count, group, units, scale, link, page, committed, past + slot, place_of[pages[one, slot]]
            )
        found[one] = committed
        for slot in range(length - 1, -1, -1):
            lift(rule, state, count, group, units, scale, link, page, committed, past + slot)
            if slot:
                slide(rule, state, count, group, units, scale, page, past + slot, 1)
    return found
