"""Spread a page that keeps the rules, slot by slot, without ever leaving the pages that keep them.

Where rules collide, a page filled without going back may break them more than it has to. Then one that is known to
break them least is changed, slot by slot from the first: the row of greatest utility takes the slot, if the page as a
whole breaks no more with it. Who stood there goes, or takes a later slot. The page is whole all the time, so that there
is always at least one row that may stand in a slot: the one that does.

Also here: what each row of a finished page is worth in its slot, and to what that is due. Everything is evaluated in
float64, for every row. Cost: O(k n) evaluations, and O(n k R width) at worst for the rules.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.bases import prepare, take_seat
from slatewise.kernels.compiled import kernel
from slatewise.kernels.redundancy import VOLUME, WEIGHT
from slatewise.kernels.refine import exactly
from slatewise.kernels.rules import TWIN
from slatewise.kernels.seats import seated
from slatewise.kernels.slot import less
from slatewise.kernels.spacing import above, balanced, count_in
from slatewise.kernels.spread import exact_worth
from slatewise.kernels.windows import put


@kernel
def steer(order, rank, base, variety, bases, counted, link, page):
    """Return (the page, slot of the first exhausted row or -1, bases, volumes), as `kernels.spread.spread` does.

    Args:
        order: (n,) int32, rows by descending base.
        rank: (n,) int32, place of each row by descending relevance, ties decided.
        base: (n,) float64, what rows are worth by themselves.
        variety: As `kernels.spread.spread` takes it.
        bases: The same.
        counted: `kernels.windows.Windows` on which the page stands, rows numbered by `order`.
        link: (n, 3) int32, rows of an item in a ring.
        page: (k,) int32, the page, rows numbered by `order`; written.
    """
    n, slots = len(order), len(page)
    seats, _ = seated(variety, bases, order, slots)
    seen, worth = len(seats.seat) - slots, base[order]
    utility, nothing = np.empty(n), np.empty(0)
    spare = counted.cost.copy()
    exhausted = -1
    for slot in range(slots):
        _get_ready(variety, seats, seen + slot)
        for pos in range(n):
            utility[pos] = exact_worth(variety, seats, worth, order, pos, seen + slot, nothing)
        for pos in _descending(utility, rank, order):
            if _may_stand(counted, link, page, slot, pos, spare):
                break
        if seat_row(variety, seats, order, seen + slot, order[page[slot]]) and exhausted < 0:
            exhausted = slot
    return order[page], exhausted, seats.near[1:, :, : bases.shape[2]], seats.size[:, VOLUME]


@kernel
def _descending(utility, rank, order):
    """Return places by descending utility; of equals, the first in rank."""
    by_rank = np.argsort(rank[order], kind="mergesort")
    return by_rank[np.argsort(-utility[by_rank], kind="mergesort")]


@kernel
def _may_stand(counted, link, page, slot, pos, spare):
    """Give a slot a row if the page breaks no more with it; tell whether it stands there."""
    if page[slot] == pos:
        return True
    there = -1
    other = pos
    while True:
        for at in range(len(page)):
            if page[at] == other:
                there = at
        other = link[other, TWIN]
        if other == pos:
            break
    if 0 <= there < slot:
        return False
    gone = page[slot]
    if there == slot:
        return _tried(counted, page, slot, pos, -1, gone, spare)
    if there > slot:
        return _tried(counted, page, slot, pos, there, gone, spare)
    if _tried(counted, page, slot, pos, -1, gone, spare):
        return True
    for later in range(slot + 1, len(page)):
        if _tried(counted, page, slot, pos, later, gone, spare):
            return True
    return False


@kernel
def _tried(counted, page, slot, pos, later, gone, spare):
    """Put a row into a slot and who stood there into a later one (-1: none); take it back if that breaks more."""
    past = len(counted.page) - len(page)
    kept = page[later]
    put(counted, past + slot, pos)
    if later >= 0:
        put(counted, past + later, gone)
    if less(spare, counted.cost):
        put(counted, past + slot, gone)
        if later >= 0:
            put(counted, past + later, kept)
        return False
    page[slot] = pos
    if later >= 0:
        page[later] = gone
    return True


@kernel
def _get_ready(variety, seats, p):
    level, _, fade = variety[2]
    above(level, fade, seats.seat, p, seats.sums)
    prepare(seats.term, seats.size, variety[1][5], seats.gram, seats.factor, seats.scratch, p)


@kernel
def seat_row(variety, seats, order, at, row):
    """Give a row a seat; return whether it is exhausted."""
    signal, share, levels, address, scale, seen, codes, lists, starts = variety[0]
    seat, near, glass, there, term, size, root, fixed, gram, factor, scratch, counts, _ = seats
    count_in(variety[3][0], variety[3][1], counts, row)
    return take_seat(
        signal, share, root, levels, address, scale, seen, codes, lists, starts, seat, near, glass, there, term, size,
        fixed, gram, factor, scratch, order, at, row,
    )  # fmt: skip


@kernel
def left_behind(order, variety, bases, rows):
    """Return (bases of the seats, volumes) after a page, whoever made it."""
    seats, _ = seated(variety, bases, order, len(rows))
    seen = len(seats.seat) - len(rows)
    for slot in range(len(rows)):
        seat_row(variety, seats, order, seen + slot, rows[slot])
    return seats.near[1:, :, : bases.shape[2]], seats.size[:, VOLUME]


@kernel
def judged(order, base, variety, bases, rows):
    """Return what every row was worth in each slot of a page, and to what that is due for the rows of the page.

    Returns:
        (k, n) utility, by row; (k, T, H) what each term took because of each seat; (k, C, H) what each class took
        because of each seat; (k, B) what each balance added. Terms and classes with their weights.
    """
    n, slots = len(order), len(rows)
    signals, terms, spacings, balances = variety
    signal, share, _, address, scale, _, _, _, _ = signals
    level, tax, fade = spacings
    bag_starts, bag, target, mixing, pull = balances
    seats, _ = seated(variety, bases, order, slots)
    seat, near, _, there, term, size, root, fixed, _, factor, scratch, counts, _ = seats
    worth, wide = base[order], len(seat)
    seen = wide - slots
    utility = np.empty((slots, n))
    taken = np.zeros((slots, len(term), wide))
    spaced = np.zeros((slots, len(tax), wide))
    added = np.zeros((slots, len(pull)))
    place, nothing = np.empty(n, np.int32), np.empty(0)
    place[order] = np.arange(n)
    for slot in range(slots):
        p, row = seen + slot, rows[slot]
        _get_ready(variety, seats, p)
        for pos in range(n):
            utility[slot, order[pos]] = exact_worth(variety, seats, worth, order, pos, p, nothing)
        for a in range(len(term)):
            exactly(
                signal, share, root, address, scale, near, there, fixed, term, size, terms[5], factor, scratch,
                a, place[row], row, p, taken[slot, a],
            )  # fmt: skip
            taken[slot, a] *= size[a, WEIGHT]
        for c in range(len(tax)):
            for distance in range(1, min(p, fade.shape[1]) + 1):
                both = level[c, row] * level[c, seat[p - distance]]
                spaced[slot, c, p - distance] = tax[c] * fade[c, distance - 1] * both
        for b in range(len(pull)):
            added[slot, b] = pull[b] * balanced(bag_starts, bag, target, mixing, counts, p, b, row)
        seat_row(variety, seats, order, p, row)
    return utility, taken, spaced, added
