"""What a page with inserted ads is worth at most, and at least, before its network is asked.

A slot is worth what it gains if it is looked at, and leaves a share of readers for what is below:

    R = gain_1 + stay_1 * (gain_2 + stay_2 * (gain_3 + ...))

    gain = p_click * worth - charge,    stay = 1 - p_leave,    p = logistic(base + pairs + amplitude * c)

with c from -1 to 1 whatever stands above, and pairs what the rows one and two slots above add. So gain and stay lie
between bounds, and R is linear in each of them: from the last slot up, the most that is to come, `rest`, makes the most
of a slot

    gain_high + max(stay_low * rest, stay_high * rest)

and, as that grows with `rest`, the best of several pages may be taken at every slot on the way. An ad is known by its
kind alone, so a node of the patterns has an entry for each ad that its own slot, or one of the two above, may show; of
further ads that near, the best is taken. Cost: O(nodes * A).
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.insertion import ORGANIC, Patterns, state_of

GAIN_LOW, GAIN_HIGH, STAY_LOW, STAY_HIGH = 0, 1, 2, 3
"""Columns of `range`."""

NONE = -np.inf
"""Worth of no page."""

NOBODY = -1
"""No row: above the first slot."""


class Tables(NamedTuple):
    """What each row is in each slot, rows as patterns number them.

    Attributes:
        click: (n, L, S) float32, base log-odds of a click, by state.
        leave: (n, L, S) float32, of leaving below the slot.
        click_amplitude: (n, L) float32, how far context may move them.
        leave_amplitude: (n, L) float32, the same for leaving.
        pair_click: (n, n) float32, what a row directly above, by column, adds to a click.
        pair_leave: (n, n) float32, to leaving.
        pair_click_2: (n, n) float32, what a row two above adds to a click.
        worth: (n,) float64, what a click is worth.
        charge: (n,) float64, what being looked at costs.
    """

    click: NDArray[np.float32]
    leave: NDArray[np.float32]
    click_amplitude: NDArray[np.float32]
    leave_amplitude: NDArray[np.float32]
    pair_click: NDArray[np.float32]
    pair_leave: NDArray[np.float32]
    pair_click_2: NDArray[np.float32]
    worth: NDArray[np.float64]
    charge: NDArray[np.float64]


class Bounds(NamedTuple):
    """What is known of nodes, entry by entry.

    Attributes:
        first: (nodes + 1,) int64, where the entries of each node begin.
        by: (nodes,) int32, how many slots above the ad stands that entries are for; -1 if there is one entry.
        place: (n,) int64, number of each ad among those of its kind.
        ads_below: (nodes,) bool, whether an ad may stand below.
        range: (entries, 4) float64, bounds of gain and stay.
        rest: (entries,) float64, what is below is worth at most.
        most: (entries,) float64, what the slot and all below are worth at most.
    """

    first: NDArray[np.int64]
    by: NDArray[np.int32]
    place: NDArray[np.int64]
    ads_below: NDArray[np.bool_]
    range: NDArray[np.float64]
    rest: NDArray[np.float64]
    most: NDArray[np.float64]


@leaf
def logistic(odds):
    """Return the probability of log-odds."""
    return 1.0 / (1.0 + exp(-odds))


@leaf
def pair_of(pairs, row, above):
    """Return what a row above adds; 0 if there is none."""
    return np.float64(pairs[row, above]) if above != NOBODY else 0.0


@leaf
def gain_of(tables, row, slot, state, above, above_two, context):
    """Return what a slot gains if it is looked at, with context from -1 to 1."""
    odds = np.float64(tables.click[row, slot, state]) + np.float64(tables.click_amplitude[row, slot]) * context
    odds += pair_of(tables.pair_click, row, above) + pair_of(tables.pair_click_2, row, above_two)
    return logistic(odds) * tables.worth[row] - tables.charge[row]


@leaf
def stay_of(tables, row, slot, state, above, context):
    """Return the share of readers that go on below a slot."""
    odds = np.float64(tables.leave[row, slot, state]) + np.float64(tables.leave_amplitude[row, slot]) * context
    return logistic(-odds - pair_of(tables.pair_leave, row, above))


@kernel
def bounds_for(patterns: Patterns, tables: Tables) -> Bounds:
    """Return the bounds of every node."""
    nodes = len(patterns.parent)
    first, by = np.zeros(nodes + 1, np.int64), np.full(nodes, -1, np.int32)
    ads_below, place = np.zeros(nodes, np.bool_), np.zeros(len(tables.worth), np.int64)
    for kind in range(len(patterns.starts) - 1):
        for at in range(patterns.starts[kind], patterns.starts[kind + 1]):
            place[patterns.members[at]] = at - patterns.starts[kind]
    for node in range(nodes):
        size, up = 1, node
        for distance in range(3):
            if up > 0 and patterns.kind[up] != ORGANIC:
                by[node], size = distance, _size(patterns, patterns.kind[up])
                break
            up = patterns.parent[up] if up > 0 else 0
        first[node + 1] = first[node] + size
    for node in range(nodes - 1, 0, -1):
        if patterns.kind[node] != ORGANIC or ads_below[node]:
            ads_below[patterns.parent[node]] = True
    found = np.empty((first[nodes], 4))
    for node in range(1, nodes):
        for entry in range(first[node + 1] - first[node]):
            _range(patterns, tables, node, by[node], entry, found[first[node] + entry])
    return Bounds(first, by, place, ads_below, found, np.empty(len(found)), np.empty(len(found)))


@leaf
def _size(patterns, kind):
    return patterns.starts[kind + 1] - patterns.starts[kind]


@leaf
def _range(patterns, tables, node, by, entry, into):
    """Write the bounds of a node's gain and stay, for one of its entries."""
    slot, state = patterns.slot[node], patterns.state[node]
    row = patterns.row[node]
    if by == 0:
        row = patterns.members[patterns.starts[patterns.kind[node]] + entry]
    low, high = np.float64(tables.click[row, slot, state]), np.float64(tables.click[row, slot, state])
    away, stays = np.float64(tables.leave[row, slot, state]), np.float64(tables.leave[row, slot, state])
    up = patterns.parent[node]
    for distance in range(1, 3):
        if up <= 0:
            break
        begin, stop = 0, 1
        if patterns.kind[up] != ORGANIC:
            begin, stop = patterns.starts[patterns.kind[up]], patterns.starts[patterns.kind[up] + 1]
            if by == distance:
                begin += entry
                stop = begin + 1
        pairs = tables.pair_click if distance == 1 else tables.pair_click_2
        least, most, nearest, farthest = np.inf, -np.inf, np.inf, -np.inf
        for at in range(begin, stop):
            above = patterns.row[up] if patterns.kind[up] == ORGANIC else patterns.members[at]
            least, most = min(least, np.float64(pairs[row, above])), max(most, np.float64(pairs[row, above]))
            if distance == 1:
                odds = np.float64(tables.pair_leave[row, above])
                nearest, farthest = min(nearest, odds), max(farthest, odds)
        low, high = low + least, high + most
        if distance == 1:
            stays, away = stays + nearest, away + farthest
        up = patterns.parent[up]
    click, leave = np.float64(tables.click_amplitude[row, slot]), np.float64(tables.leave_amplitude[row, slot])
    one = logistic(low - click) * tables.worth[row] - tables.charge[row]
    other = logistic(high + click) * tables.worth[row] - tables.charge[row]
    into[GAIN_LOW], into[GAIN_HIGH] = min(one, other), max(one, other)
    into[STAY_LOW], into[STAY_HIGH] = logistic(-away - leave), logistic(leave - stays)


@leaf
def most_of(range_, rest):
    """Return what a slot and all below are worth at most if what is below is worth at most `rest`."""
    if rest == NONE:
        return NONE
    return range_[GAIN_HIGH] + (range_[STAY_HIGH] if rest > 0.0 else range_[STAY_LOW]) * rest


@leaf
def least_of(range_, rest):
    """Return what a slot and all below are worth at least if what is below is worth at least `rest`."""
    return range_[GAIN_LOW] + (range_[STAY_LOW] if rest > 0.0 else range_[STAY_HIGH]) * rest


@leaf
def rest_below(patterns, bounds, node, above, pinned, most, afresh):
    """Write what is to come below a node and below all below it, and what these are worth at most.

    Args:
        patterns: The patterns.
        bounds: Of which `rest` and `most` are written.
        node: The node.
        above: (slots,) int32, ads that stand above; -1 for none.
        pinned: (slots,) int32, the ad that a slot is kept for; -1 for any row.
        most: Most ads on the page.
        afresh: 1 to write all; 0 to keep what has no ad below, as that does not depend on the ads above.
    """
    first, kind = bounds.first, patterns.kind
    for below in range(node, patterns.end[node]):
        if afresh or bounds.ads_below[below]:
            start = 0.0 if patterns.end[below] == below + 1 else NONE
            for entry in range(first[below], first[below + 1]):
                bounds.rest[entry] = start
    for below in range(patterns.end[node] - 1, node, -1):
        if afresh or bounds.ads_below[below]:
            for entry in range(first[below], first[below + 1]):
                bounds.most[entry] = most_of(bounds.range[entry], bounds.rest[entry])
        up, slot = patterns.parent[below], patterns.slot[below]
        if not (afresh or bounds.ads_below[up]) or patterns.ads[below] > most:
            continue
        if kind[below] == ORGANIC and pinned[slot] >= 0:
            continue
        if kind[below] == ORGANIC and bounds.by[below] >= 0:
            for entry in range(first[below + 1] - first[below]):  # the same ad is meant, one slot nearer
                at = first[up] + entry
                bounds.rest[at] = max(bounds.rest[at], bounds.most[first[below] + entry])
            continue
        found = bounds.most[first[below]]
        if kind[below] != ORGANIC:
            found = NONE
            for entry in range(first[below + 1] - first[below]):
                row = patterns.members[patterns.starts[kind[below]] + entry]
                if bounds.most[first[below] + entry] > found and may_stand(row, slot, above, pinned):
                    found = bounds.most[first[below] + entry]
        for at in range(first[up], first[up + 1]):
            bounds.rest[at] = max(bounds.rest[at], found)


@leaf
def may_stand(row, slot, above, pinned):
    """Tell whether an ad may stand in a slot: it stands not above, and neither is kept for another."""
    if pinned[slot] >= 0:
        return pinned[slot] == row and not stands(row, above)
    return not stands(row, above) and not stands(row, pinned)


@leaf
def stands(row, among):
    """Tell whether a row is among others."""
    for other in among:
        if other == row:
            return True
    return False


@kernel
def every_page(patterns, length):
    """Return (F, length) int32: the rows of every page, patterns in their order; for tests and comparisons."""
    nodes = len(patterns.parent)
    found = np.empty((64, length), np.int32)
    size = 0
    page, choice = np.full(length, -1, np.int32), np.zeros(length, np.int64)
    path = np.empty(length, np.int32)
    for tip in range(nodes):
        if patterns.slot[tip] != length - 1:
            continue
        node = tip
        for slot in range(length - 1, -1, -1):
            path[slot] = node
            node = patterns.parent[node]
        choice[:] = 0
        page[:] = -1
        slot = 0
        while slot >= 0:
            kind = patterns.kind[path[slot]]
            page[slot] = -1
            if kind == ORGANIC:
                row = patterns.row[path[slot]] if choice[slot] == 0 else -1
                choice[slot] += 1
            else:
                row = -1
                while row < 0 and patterns.starts[kind] + choice[slot] < patterns.starts[kind + 1]:
                    row = patterns.members[patterns.starts[kind] + choice[slot]]
                    choice[slot] += 1
                    if stands(row, page):
                        row = -1
            if row < 0:
                choice[slot] = 0
                slot -= 1
                continue
            page[slot] = row
            if slot < length - 1:
                slot += 1
                continue
            if size == len(found):
                grown = np.empty((2 * size, length), np.int32)
                grown[:size] = found
                found = grown
            found[size] = page
            size += 1
    return found[:size].copy()


@kernel
def bounds_of(pages, is_ad, tables):
    """Return (F, 2) float64: what each page is worth at least and at most; for tests and comparisons."""
    found, range_ = np.zeros((len(pages), 2)), np.zeros(4)
    state = np.zeros(pages.shape[1], np.int64)
    for one in range(len(pages)):
        ads, last = 0, -1
        for slot in range(pages.shape[1]):
            state[slot] = state_of(ads, slot - last)
            if is_ad[pages[one, slot]]:
                ads, last = ads + 1, slot
        low, high = 0.0, 0.0
        for slot in range(pages.shape[1] - 1, -1, -1):
            row = pages[one, slot]
            above = pages[one, slot - 1] if slot > 0 else NOBODY
            above_two = pages[one, slot - 2] if slot > 1 else NOBODY
            least = gain_of(tables, row, slot, state[slot], above, above_two, -1.0)
            most = gain_of(tables, row, slot, state[slot], above, above_two, 1.0)
            range_[GAIN_LOW], range_[GAIN_HIGH] = min(least, most), max(least, most)
            range_[STAY_LOW] = stay_of(tables, row, slot, state[slot], above, 1.0)
            range_[STAY_HIGH] = stay_of(tables, row, slot, state[slot], above, -1.0)
            low, high = least_of(range_, low), most_of(range_, high)
        found[one, 0], found[one, 1] = low, high
    return found


@kernel
def pages_below(patterns):
    """Return (nodes,) float64: how many ways there are to fill the slots down to each node with rows."""
    ways = np.ones(len(patterns.parent))
    for node in range(1, len(ways)):
        kind = patterns.kind[node]
        if kind != ORGANIC:
            left = patterns.starts[kind + 1] - patterns.starts[kind]
            above = patterns.parent[node]
            while above > 0:
                left -= patterns.kind[above] == kind
                above = patterns.parent[above]
            ways[node] = left
        ways[node] *= ways[patterns.parent[node]]
    return ways
