"""What the free slots of a sequence are worth at most.

With the rows left, each kind as early as upper bounds let it come, fill each slot with the best row released: no other
way has a larger sum of utilities down to any slot, as rows could be exchanged one by one. With falling exposure, the
worth of rows r is sum_s (exposure_s - exposure_{s+1}) * (r_1 + ... + r_s) (Abel's summation), so that what a page
misses in each of these sums may be taken off: where it had to show some rows for a floor by then, what these are worth
less than the worst row taken. For one basis of a matroid goes over into another one by exchanges none of which gains.

Cost: O(slots * kinds).

References:
    Lawler (1973), "Optimal sequencing of a single machine subject to precedence constraints", for jobs with release
    times; Brualdi (1969), "Comments on bases in dependence structures".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import HIGH, LOW, START, STOP, WIDTH
from slatewise.kernels.sequence_kinds import KIND_BITS, MOST_KINDS

KNOWN_RELEASES = 256
"""Releases that are kept, a power of 2."""


class Ahead(NamedTuple):
    """What is known of the slots ahead, and room to write in.

    Attributes:
        known: (KNOWN_RELEASES,) int64, of which states the releases are kept.
        release: (KNOWN_RELEASES, kinds, slots) int8, how many rows of each first of like kinds can come up to a slot.
        own: (kinds,) int64, rows placed ahead of each kind.
        alike: (kinds,) int64, at the first of those that are like it, of them all.
        next_up: (kinds,) float64, what the next row of each kind is worth; minus infinity if there is none.
        lacks: (watched,) int64, rows that a floor still asks for.
        best: (watched,) float64, what the best of them is worth.
    """

    known: Any
    release: Any
    own: Any
    alike: Any
    next_up: Any
    lacks: Any
    best: Any


@kernel
def nothing_known(kinds, slots, watched):
    """Return room for what is known of the slots ahead."""
    release = np.zeros((KNOWN_RELEASES, kinds, slots), np.int8)
    own, alike, lacks = np.zeros(kinds, np.int64), np.zeros(kinds, np.int64), np.zeros(watched, np.int64)
    return Ahead(np.full(KNOWN_RELEASES, -1, np.int64), release, own, alike, np.zeros(kinds), lacks, np.zeros(watched))


@leaf
def worth_ahead(side, watched, exposure, here, last, begin, ahead):
    """Return what the slots from `begin` on are worth at most; minus infinity if they cannot be filled.

    Args:
        side: The kinds of rows.
        watched: The counts that are watched.
        exposure: (slots,) float64, descending, >= 0.
        here: The state that has just taken a row.
        last: The kinds that it has seen last.
        begin: The first free slot.
        ahead: What is known of the slots ahead.
    """
    kinds, slots = side.utility.shape
    if begin == slots:
        return 0.0
    own, alike, next_up = ahead.own, ahead.alike, ahead.next_up
    for which in range(kinds):
        own[which] = alike[which] = 0
        left = not here.after[which] and here.many[which] < side.many[which]
        next_up[which] = side.utility[which, here.many[which]] if left else -np.inf
    lacking = _lacking(side, watched, here, begin, ahead)
    if lacking < 0:
        return -np.inf
    at = _released(side, watched, last, begin, ahead)
    total, worst = 0.0, np.inf
    for slot in range(begin, slots):
        best, chosen = -np.inf, -1
        for which in range(kinds):
            like = side.like[which]
            if next_up[which] <= best or alike[like] >= ahead.release[at, like, slot]:
                continue
            if not side.capped or _has_room(side, watched, here.count, alike[like], slot, which):
                best, chosen = next_up[which], which
        if chosen < 0:
            return -np.inf
        own[chosen] += 1
        alike[side.like[chosen]] += 1
        place = here.many[chosen] + own[chosen]
        next_up[chosen] = side.utility[chosen, place] if place < side.many[chosen] else -np.inf
        worst = min(worst, best)
        total += exposure[slot] * best
        if lacking:
            fall = exposure[slot] - (exposure[slot + 1] if slot + 1 < slots else 0.0)
            total -= fall * _missed(watched, ahead, slot, worst)
    return total


@leaf
def _lacking(side, watched, here, begin, ahead):
    """Write what floors still ask for, and return how many do; -1 if there are no rows for one."""
    lacking = 0
    for at in range(len(ahead.lacks)):
        ahead.lacks[at] = 0
        missing = watched.term[at, LOW] - here.count[at]
        if watched.single[at] and missing > 0 and begin < watched.term[at, STOP]:
            best = -np.inf
            for which in range(len(here.many)):
                if side.adds[at, which] > 0:
                    best = max(best, ahead.next_up[which])
            if best == -np.inf:
                return -1
            ahead.lacks[at], ahead.best[at] = (missing + side.top[at] - 1) // side.top[at], best
            lacking += 1
    return lacking


@leaf
def _missed(watched, ahead, slot, worst):
    """Return what the rows that floors ask for down to a slot are worth less than the worst row taken."""
    missed = 0.0
    for at in range(len(ahead.lacks)):
        if ahead.lacks[at] and slot >= watched.term[at, STOP] - 1:
            missed = max(missed, ahead.lacks[at] * (worst - ahead.best[at]))
    return missed


@leaf
def _has_room(side, watched, count, ahead, slot, which):
    """Tell whether one more row of a kind fits into the single windows, whatever stands besides."""
    for at in range(len(count)):
        inside = watched.single[at] and slot < watched.term[at, STOP]
        if inside and side.adds[at, which] and count[at] + (ahead + 1) * side.adds[at, which] > watched.term[at, HIGH]:
            return False
    return True


@leaf
def _released(side, watched, last, begin, ahead):
    """Return where `ahead.release` says how many rows of each kind can come up to a slot, after the kinds seen last."""
    adds, term, ground, release = side.adds, watched.term, watched.ground, ahead.release
    wanted = last * 64 + begin
    at = (wanted ^ (wanted >> 5)) & (KNOWN_RELEASES - 1)
    if ahead.known[at] == wanted:
        return at
    ahead.known[at] = wanted
    kinds, slots = release.shape[1], release.shape[2]
    for which in range(kinds):
        if side.like[which] != which:
            continue
        come, stands = 0, np.int64(0)  # bits of the slots from `begin` on, lowest first
        for slot in range(begin, slots):
            free = True
            for one in range(len(term)):
                if watched.single[one] or adds[one, which] == 0 or not term[one, START] <= slot < term[one, STOP]:
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
