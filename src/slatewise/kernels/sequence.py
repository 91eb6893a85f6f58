"""Sequence: the best way to fill a page with rows of a few kinds, in their order, by dynamic programming.

Of all ways to fill the slots so far that used as many rows of each kind, and end with the same kinds, only the best
matters: these are the states of a slot. One is left when it cannot beat the page known. With the rows left, each kind
as early as upper bounds let it come, the free slots are worth at most what filling each with the best row released
gives: exchange it with the one that stands there, and nothing is lost.

Cost: O(states * kinds * slots); few states where upper bounds shape the page.

References:
    Held & Karp (1962), "A dynamic programming approach to sequencing problems"; Morin & Marsten (1976), "Branch-and-
    bound strategies for dynamic programming"; Lawler (1973), "Optimal sequencing of a single machine subject to
    precedence constraints", for jobs with release times.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import HIGH, LOW, START, STOP, WIDTH

RULE, GROUP, SINGLE = 0, 1, 2
"""Columns of `watch`: a rule, one of its groups, and whether its only window begins with the page, or before."""

REACH = 8
"""Slots above that a state knows the kinds of, at most."""
KIND_BITS = 4
"""Bits of a state for a kind."""
MOST_KINDS = 2**KIND_BITS - 1
MOST_SLOTS = 63
MOST_STATES = 800
TABLE, SCATTER = 1_024, np.int64(-7046029254386353131)
"""Size of the table of states, a power of 2 above their number, and an odd number that scatters them over it."""
KNOWN_RELEASES = 256
"""Releases that are kept, a power of 2."""


class _Kinds(NamedTuple):
    """Kinds of rows, and the counts that are watched.

    Attributes:
        rows: (kinds, slots) int32, the best rows of each, in order.
        many: (kinds,) int64, how many.
        utility: (kinds, slots) float64, of `rows`.
        adds: (watched, kinds) int64, what a row of a kind counts.
        ground: (watched, windows) int64, what the past counts.
        term: (watched, 5) int64: lower and upper bound, start, stop and width of the windows.
        single: (watched,) bool, whether there is one window that begins with the page, or before.
        like: (kinds,) int64, the first kind that counts the same: it is an item that sets them apart.
        item: (kinds,) int64, the item of a kind that has no other, -1 for kinds of many.
        shift: (kinds + 1,) int64, first bit of a state that says how many rows of a kind it used.
        reach: Slots above that matter.
    """

    rows: Any
    many: Any
    utility: Any
    adds: Any
    ground: Any
    term: Any
    single: Any
    like: Any
    item: Any
    shift: Any
    reach: int


@kernel
def _laid_out(windows, utility, slots, items, twin, kind, kinds, watch):
    rule, group, units = windows.rule, windows.group, windows.units
    rows, many, worth = np.zeros((kinds, slots), np.int32), np.zeros(kinds, np.int64), np.zeros((kinds, slots))
    for row in range(len(kind)):
        own = kind[row]
        if own >= 0 and many[own] < slots:
            rows[own, many[own]], worth[own, many[own]] = row, utility[row]
            many[own] += 1
    adds, term = np.zeros((len(watch), kinds), np.int64), np.zeros((len(watch), 5), np.int64)
    ground = np.zeros((len(watch), len(windows.page)), np.int64)
    reach = 0
    for at in range(len(watch)):
        one, own = watch[at, RULE], watch[at, GROUP]
        for which in range(kinds):
            if many[which] and group[rows[which, 0], one] == own:
                adds[at, which] = units[rows[which, 0], one]
        wide = windows.wide[one]
        for window in range(wide):
            ground[at, window] = windows.count[windows.first[one] + own * wide + window]
        past = len(windows.page) - slots
        term[at, LOW], term[at, HIGH] = rule[one, LOW], rule[one, HIGH]
        term[at, START], term[at, STOP] = rule[one, START] - past, rule[one, STOP] - past
        term[at, WIDTH] = rule[one, WIDTH]
        if not watch[at, SINGLE]:
            reach = max(reach, rule[one, WIDTH] - 1)
    like, item, shift = np.arange(kinds), np.full(kinds, -1), np.zeros(kinds + 1, np.int64)
    for which in range(kinds):
        for other in range(which - 1, -1, -1):
            if (adds[:, other] == adds[:, which]).all():
                like[which] = other
        for one in twin:
            if many[which] and items[rows[which, 0]] == one:
                item[which] = one
        shift[which + 1] = shift[which]
        while 1 << (shift[which + 1] - shift[which]) <= many[which]:
            shift[which + 1] += 1
    return _Kinds(rows, many, worth, adds, ground, term, watch[:, SINGLE] > 0, like, item, shift, reach)


@kernel
def best_sequence(windows, utility, exposure, items, twin, kind, kinds, watch, least, limit):
    """Return (the best sequence as a page, or none; what no page is worth more than; looks).

    None comes back if there is none worth more than `least`, or not to be found in so many looks.
    """
    slots = len(exposure)
    nothing = np.empty(0, np.int32)
    side = _laid_out(windows, utility, slots, items, twin, kind, kinds, watch)
    shift, low_bits = side.shift, side.shift[kinds]
    seen = np.int64(2) ** (KIND_BITS * side.reach) - 1
    if low_bits + KIND_BITS * side.reach > 62 or slots > MOST_SLOTS:
        return nothing, np.inf, 0
    key, value = np.zeros(MOST_STATES, np.int64), np.zeros(MOST_STATES)
    most, above = np.zeros(MOST_STATES), np.zeros(MOST_STATES, np.int32)
    counts = np.int64(2) ** low_bits - 1
    table = np.full(TABLE, -1, np.int32)  # of the states of the slot that is filled
    release_key = np.full(KNOWN_RELEASES, -1, np.int64)
    release = np.zeros((KNOWN_RELEASES, kinds, slots), np.int8)
    size, begin, looks = 1, 0, 0
    many, ahead, recent = np.zeros(kinds, np.int64), np.zeros((2, kinds), np.int64), np.zeros(side.reach + 1, np.int64)
    for slot in range(slots):
        end = size
        for state in range(begin, end):
            _count_used(key[state], shift, many)
            last = key[state] >> low_bits
            for back in range(side.reach):
                recent[back] = (last >> (KIND_BITS * back)) & MOST_KINDS
            for which in range(kinds):
                if many[which] >= side.many[which] or _is_shown(side.item, many, which):
                    continue
                looks += 1
                if not _holds(side.adds, side.ground, side.term, side.single, many, recent, slot, slots, which):
                    continue
                here = value[state] + exposure[slot] * side.utility[which, many[which]]
                followed = ((last << KIND_BITS) | which) & seen
                new = (followed << low_bits) | (key[state] & counts) + (np.int64(1) << shift[which])
                at = ((new * SCATTER) >> 40) & (TABLE - 1)
                while table[at] >= end and key[table[at]] != new:
                    at = (at + 1) & (TABLE - 1)
                old = table[at]
                if old >= end and value[old] >= here:
                    continue
                many[which] += 1
                upto = here + _rest(side, exposure, many, followed, slot + 1, release_key, release, ahead)
                many[which] -= 1
                if upto <= least:
                    continue
                if old < end:
                    if size == MOST_STATES or looks >= limit:
                        top = least
                        for other in range(state, size):
                            top = max(top, most[other])
                        return nothing, top, looks
                    old = size
                    size += 1
                    table[at] = old
                key[old], value[old], most[old], above[old] = new, here, upto, (state << KIND_BITS) + which
        begin = end
        if begin == size:
            return nothing, least, looks
    best = begin
    for state in range(begin, size):
        if value[state] > value[best]:
            best = state
    bound = value[best]
    page = np.empty(slots, np.int32)
    _count_used(key[best], shift, many)
    for slot in range(slots - 1, -1, -1):
        which = above[best] & MOST_KINDS
        many[which] -= 1
        page[slot] = side.rows[which, many[which]]
        best = above[best] >> KIND_BITS
    return page, bound, looks


@leaf
def _count_used(key, shift, many):
    """Write how many rows of each kind a state used."""
    for which in range(len(many)):
        many[which] = (key >> shift[which]) & ((np.int64(1) << (shift[which + 1] - shift[which])) - 1)


@leaf
def _is_shown(item, many, which):
    """Tell whether another kind has shown the item of a kind already."""
    if item[which] >= 0:
        for other in range(len(many)):
            if item[other] == item[which] and many[other] > 0:
                return True
    return False


@leaf
def _holds(adds, ground, term, single, many, recent, slot, slots, which):
    """Tell whether a row of a kind may come next, as far as the counts that are watched are concerned."""
    for at in range(len(term)):
        if not term[at, START] <= slot < term[at, STOP]:
            continue
        if single[at]:
            count, left = ground[at, 0] + adds[at, which], term[at, STOP] - 1 - slot
            for other in range(len(many)):
                count += many[other] * adds[at, other]
        else:
            start = max(slot - term[at, WIDTH] + 1, term[at, START])
            count, left = ground[at, start - term[at, START]] + adds[at, which], start + term[at, WIDTH] - 1 - slot
            for back in range(slot - max(start, 0)):
                count += adds[at, recent[back]]
        if count > term[at, HIGH]:
            return False
        if term[at, LOW] > 0:
            top = 0
            for other in range(len(many)):
                top = max(top, adds[at, other])
            if count + left * top < term[at, LOW]:
                return False
    return True


@leaf
def _rest(side, exposure, many, last, begin, release_key, release, ahead):
    """Return what the slots from `begin` on are worth at most; minus infinity if they cannot be filled."""
    kinds, slots = side.utility.shape
    if begin == slots:
        return 0.0
    at = _released(side.adds, side.ground, side.term, side.single, last, begin, side.reach, release_key, release)
    own, alike = ahead[0], ahead[1]  # rows placed of a kind; at the first of those that count the same, of them all
    own[:] = 0
    alike[:] = 0
    total = 0.0
    for slot in range(begin, slots):
        best, chosen = -np.inf, -1
        for which in range(kinds):
            place, like = many[which] + own[which], side.like[which]
            if place >= side.many[which] or alike[like] >= release[at, like, slot]:
                continue
            if side.utility[which, place] <= best or _is_shown(side.item, many, which):
                continue
            if _has_room(side.adds, side.ground, side.term, side.single, many, alike[like], slot, which):
                best, chosen = side.utility[which, place], which
        if chosen < 0:
            return -np.inf
        own[chosen] += 1
        alike[side.like[chosen]] += 1
        total += exposure[slot] * best
    return total


@leaf
def _has_room(adds, ground, term, single, many, ahead, slot, which):
    """Tell whether one more row of a kind fits into the single windows, whatever stands besides."""
    for at in range(len(term)):
        if single[at] and adds[at, which] > 0 and slot < term[at, STOP]:
            count = ground[at, 0] + (ahead + 1) * adds[at, which]
            for other in range(len(many)):
                count += many[other] * adds[at, other]
            if count > term[at, HIGH]:
                return False
    return True


@leaf
def _released(adds, ground, term, single, last, begin, reach, release_key, release):
    """Return where `release` says how many rows of each kind can come up to a slot, after the kinds seen last."""
    wanted = last * 64 + begin
    at = (wanted ^ (wanted >> 5)) & (KNOWN_RELEASES - 1)
    if release_key[at] == wanted:
        return at
    release_key[at] = wanted
    kinds, slots = release.shape[1], release.shape[2]
    for which in range(kinds):
        come, stands = 0, np.int64(0)  # bits of the slots from `begin` on, lowest first
        for slot in range(begin, slots):
            free = True
            for one in range(len(term)):
                if single[one] or adds[one, which] == 0 or not term[one, START] <= slot < term[one, STOP]:
                    continue
                start = max(slot - term[one, WIDTH] + 1, term[one, START])
                count = ground[one, start - term[one, START]] + adds[one, which]
                for other in range(max(start, 0), slot):
                    if other >= begin:
                        count += adds[one, which] * ((stands >> (other - begin)) & 1)
                    else:
                        count += adds[one, (last >> (KIND_BITS * (begin - 1 - other))) & MOST_KINDS]
                if count > term[one, HIGH]:
                    free = False
                    break
            if free:
                come += 1
                stands |= np.int64(1) << (slot - begin)
            release[at, which, slot] = come
    return at
