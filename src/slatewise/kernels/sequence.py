"""Sequence: the best way to fill a page with rows of a few kinds, in their order, best bound first.

Of all ways to fill the slots so far that used as many rows of each kind, and end with the same kinds, only the best
matters: these are the states. The one that is worth most at most goes on first, so that the first full page is the
best one. A state is left when it cannot beat the page known.

Cost: O(states * kinds * slots * kinds); few states where upper bounds shape the page.

References:
    Held & Karp (1962), "A dynamic programming approach to sequencing problems"; Morin & Marsten (1976), "Branch-and-
    bound strategies for dynamic programming"; Hart, Nilsson & Raphael (1968), "A formal basis for the heuristic
    determination of minimum cost paths".
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.sequence_bounds import nothing_known, worth_ahead
from slatewise.kernels.sequence_kinds import (
    KIND_BITS,
    MOST_KINDS,
    count_used,
    give_back,
    holds,
    laid_out,
    lay_open,
    may_come,
    room_for,
    take,
)

MOST_BITS = 62
"""Bits of a state for how many rows of each kind it used."""
MOST_SLOTS = 63
MOST_STATES = 800
TABLE, SCATTER, ODD = 1_024, np.int64(-7046029254386353131), np.int64(2654435761)
"""Size of the table of states, a power of 2 above their number, and odd numbers that scatter them over it."""


@kernel
def best_sequence(watched, utility, exposure, items, twin, kind, kinds, least, limit):
    """Return (the best sequence as a page, or none; what no page is worth more than; looks).

    None comes back if there is none worth more than `least`, or not to be found in so many looks.

    Args:
        watched: The counts that are watched.
        utility: (n,) float64, descending.
        exposure: (slots,) float64, descending, >= 0.
        items: (n,) int32, code of each row's item.
        twin: int64, items of which only one row may be shown; a kind with one of them has no other.
        kind: (n,) int64, the kind of each row, -1 for rows that cannot stand on the page.
        kinds: How many there are.
        least: What a page must be worth more than.
        limit: Most looks, or nearly so.
    """
    slots = len(exposure)
    nothing = np.empty(0, np.int32)
    side = laid_out(utility, slots, items, twin, kind, kinds, watched)
    if side.shift[kinds] > MOST_BITS or slots > MOST_SLOTS:
        return nothing, np.inf, 0
    seen = np.int64(2) ** (KIND_BITS * side.reach) - 1
    key, last, value = np.zeros(MOST_STATES, np.int64), np.zeros(MOST_STATES, np.int64), np.zeros(MOST_STATES)
    filled, above = np.zeros(MOST_STATES, np.int32), np.zeros(MOST_STATES, np.int32)
    waits = np.zeros(MOST_STATES, np.bool_)
    upto, line = np.zeros(2 * MOST_STATES), np.zeros(2 * MOST_STATES, np.int32)  # a heap of states, some of them twice
    table = np.full(TABLE, -1, np.int32)
    here, ahead = room_for(side, watched.term), nothing_known(kinds, slots, len(watched.term))
    upto[0], waits[0] = np.inf, True
    waiting, size, looks = 1, 1, 0
    while waiting:
        most, state = upto[0], line[0]
        waiting -= 1
        _remove_first(upto, line, filled, waiting)
        if not waits[state]:
            continue
        slot = filled[state]
        if slot == slots:
            return _page_of(side, above, key[state], state, slots), float(value[state]), looks
        if looks >= limit or size + kinds > MOST_STATES or waiting + kinds > len(upto):
            return nothing, float(most), looks
        waits[state] = False
        owed = lay_open(side, watched, key[state], last[state], slot, here)
        for which in range(kinds):
            if not may_come(side, here, owed, which):
                continue
            looks += 1
            if not holds(side, watched, here, slot, slots, which):
                continue
            worth = value[state] + exposure[slot] * side.utility[which, here.many[which]]
            used, ends = key[state] + (np.int64(1) << side.shift[which]), ((last[state] << KIND_BITS) | which) & seen
            at = (((used + ends * ODD) * SCATTER) >> 40) & (TABLE - 1)
            while table[at] >= 0 and (key[table[at]] != used or last[table[at]] != ends):
                at = (at + 1) & (TABLE - 1)
            new = table[at]
            if new >= 0 and value[new] >= worth:
                continue
            take(side, here, which)
            bound = min(most, worth + worth_ahead(side, watched, exposure, here, ends, slot + 1, ahead))
            give_back(side, here, which)
            if bound <= least:
                continue
            if new < 0:
                new = size
                size += 1
                table[at] = new
            key[new], last[new], value[new], filled[new] = used, ends, worth, slot + 1
            above[new], waits[new] = (state << KIND_BITS) + which, True
            _add(upto, line, filled, waiting, bound, new)
            waiting += 1
    return nothing, least, looks


@leaf
def _add(upto, line, filled, size, bound, state):
    """Put a state into the heap: first what is worth most at most, of equals what is nearest to a full page."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if not _goes_first(bound, filled[state], upto[parent], filled[line[parent]]):
            break
        upto[at], line[at] = upto[parent], line[parent]
        at = parent
    upto[at], line[at] = bound, state


@leaf
def _remove_first(upto, line, filled, size):
    """Take the first state out of the heap, of which `size` are left."""
    bound, state = upto[size], line[size]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _goes_first(upto[child + 1], filled[line[child + 1]], upto[child], filled[line[child]]):
            child += 1
        if not _goes_first(upto[child], filled[line[child]], bound, filled[state]):
            break
        upto[at], line[at] = upto[child], line[child]
        at = child
    upto[at], line[at] = bound, state


@leaf
def _goes_first(bound, slot, other, other_slot):
    return bound > other or (bound == other and slot > other_slot)


@kernel
def _page_of(side, above, key, state, slots):
    """Return the page that led to a state."""
    page, many = np.empty(slots, np.int32), np.zeros(len(side.many), np.int64)
    count_used(key, side.shift, many)
    for slot in range(slots - 1, -1, -1):
        which = above[state] & MOST_KINDS
        many[which] -= 1
        page[slot] = side.rows[which, many[which]]
        state = above[state] >> KIND_BITS
    return page
