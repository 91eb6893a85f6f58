"""Search among pages with inserted ads: best bound first, slot by slot, in batches for a network.

The pages form a tree, and what a slot is worth depends on what stands above alone: a causal model. So a slot is asked
once for all pages that share it. Of a slot that was asked, reward and share of readers left are known,

    R(page) <= reward + stay * most of what is below

and this is what its rows below are put in line by. They are taken best first; those that cannot come near the best
complete page are never asked. With each comes a chain: the rows below that promise most. When nothing is left in line,
no page is better than the best one by more than the margin. Cost: O(log) per row put in line, and `rest_below`.

References:
    Hart, Nilsson & Raphael (1968), "A formal basis for the heuristic determination of minimum cost paths".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.insertion import ORGANIC, state_of
from slatewise.kernels.insertion_bounds import NOBODY, NONE, gain_of, least_of, may_stand, rest_below, stay_of

ASKED, WAITING, COMPLETE = 0, 1, 2
"""Places of `size`."""


class Tree(NamedTuple):
    """Slots that were asked, and rows in line; slot 0 of the tree is the empty page.

    Attributes:
        pattern: (tokens,) int32, node of the patterns.
        row: (tokens,) int32, row in the slot.
        parent: (tokens,) int32, the slot above in the tree.
        reward: (tokens,) float64, what the page is worth down to here.
        stay: (tokens,) float64, share of readers that go on below.
        key: (waiting,) float64, a heap, largest first: what a page with this row is worth at most.
        under: (waiting,) int32, the slot above in the tree.
        node: (waiting,) int32, node of the patterns.
        entry: (waiting,) int32, the row.
        complete: (tokens,) int32, last slots of complete pages.
        size: (3,) int64, how many were asked, wait, are complete.
        best: (1,) float64, what the best complete page is worth.
        pinned: (slots,) int32, the ad that a slot is kept for; -1 for any row.
        most: Most ads on a page.
        above: (slots,) int32, room for the ads above a slot.
    """

    pattern: NDArray[np.int32]
    row: NDArray[np.int32]
    parent: NDArray[np.int32]
    reward: NDArray[np.float64]
    stay: NDArray[np.float64]
    key: NDArray[np.float64]
    under: NDArray[np.int32]
    node: NDArray[np.int32]
    entry: NDArray[np.int32]
    complete: NDArray[np.int32]
    size: NDArray[np.int64]
    best: NDArray[np.float64]
    pinned: NDArray[np.int32]
    most: int
    above: NDArray[np.int32]


class Asked(NamedTuple):
    """What a network is asked: chains of rows, each below a prefix of slots asked before.

    Attributes:
        row: (b, slots) int32, rows of each chain from the first on, -1 after the last.
        at: (b, slots) int32, where they stand in the tree.
        above: (b, slots) int32, the prefix, slot by slot: where its slots stand in the tree; -1 after the last.
        first: (b,) int64, slot of the chain's first row; the length of the prefix.
        length: (b,) int64, rows of the chain.
    """

    row: NDArray[np.int32]
    at: NDArray[np.int32]
    above: NDArray[np.int32]
    first: NDArray[np.int64]
    length: NDArray[np.int64]


@kernel
def begin(tree, patterns, bounds):
    """Put the rows of the first slot in line, and return what no page is worth more than."""
    tree.pattern[0], tree.row[0], tree.parent[0], tree.reward[0], tree.stay[0] = 0, -1, -1, 0.0, 1.0
    tree.size[ASKED], tree.size[WAITING], tree.size[COMPLETE] = 1, 0, 0
    tree.best[0] = NONE
    tree.above[:] = -1
    rest_below(patterns, bounds, 0, tree.above, tree.pinned, tree.most, 1)
    most = bounds.rest[0]
    _line_up(tree, patterns, bounds, 0, -1, -1, np.inf)
    return most


@kernel
def promising(tree, patterns, bounds):
    """Return (rows of the page that promises most, what it is worth at least), asked of no network."""
    slots = len(tree.pinned)
    page, entries = np.full(slots, -1, np.int32), np.zeros(slots, np.int64)
    tree.above[:] = -1
    node = 0
    for slot in range(slots):
        node, page[slot] = _best_below(tree, patterns, bounds, node, page, slot)
        if node < 0:
            return page, NONE
        entries[slot] = _entry(patterns, bounds, node, page, slot)
        if patterns.kind[node] != ORGANIC:
            tree.above[slot] = page[slot]
            rest_below(patterns, bounds, node, tree.above, tree.pinned, tree.most, 0)
    worth = 0.0
    for slot in range(slots - 1, -1, -1):
        worth = least_of(bounds.range[entries[slot]], worth)
    return page, worth


@kernel
def next_asked(tree, patterns, bounds, wide, long, margin):
    """Return the next chains to ask: the `wide` rows first in line, each with rows below up to `long` in all."""
    slots = len(tree.pinned)
    row, at = np.full((wide, slots), -1, np.int32), np.full((wide, slots), -1, np.int32)
    above = np.full((wide, slots), -1, np.int32)
    first, length = np.zeros(wide, np.int64), np.zeros(wide, np.int64)
    page = np.empty(slots, np.int32)
    many = 0
    while many < wide and tree.size[WAITING] and tree.key[0] >= tree.best[0] - margin:
        under, node, entry = tree.under[0], tree.node[0], tree.entry[0]
        _pop(tree)
        start = patterns.slot[node]
        _ads_above(tree, patterns, under)
        place = under
        for slot in range(start - 1, -1, -1):
            above[many, slot], page[slot] = place, tree.row[place]
            place = tree.parent[place]
        first[many] = start
        if long > 1 and start + 1 < slots:
            tree.above[start] = entry if patterns.kind[node] != ORGANIC else -1
            rest_below(patterns, bounds, node, tree.above, tree.pinned, tree.most, 0)
        size, place = 0, under
        while True:
            own = tree.size[ASKED]
            tree.size[ASKED] += 1
            tree.pattern[own], tree.row[own], tree.parent[own] = node, entry, place
            row[many, size], at[many, size] = entry, own
            page[start + size] = entry
            if patterns.kind[node] != ORGANIC:
                tree.above[start + size] = entry
            size += 1
            if size >= long or start + size >= slots:
                break
            node, entry = _best_below(tree, patterns, bounds, node, page, start + size)
            if node < 0:
                break
            place = own
        length[many] = size
        many += 1
    return Asked(row[:many], at[:many], above[:many], first[:many], length[:many])


@kernel
def settle(tree, patterns, tables, bounds, asked, click, leave, margin):
    """Take the answers: (b, s) float32 contexts of clicks and of leaving, before they are bounded."""
    slots = len(tree.pinned)
    for one in range(len(asked.first)):
        start = asked.first[one]
        fresh = True
        _ads_above(tree, patterns, tree.parent[asked.at[one, 0]])
        for step in range(asked.length[one]):
            own = asked.at[one, step]
            node, row, slot = tree.pattern[own], tree.row[own], start + step
            state, up = patterns.state[node], tree.parent[own]
            above = tree.row[up] if slot > 0 else NOBODY
            above_two = tree.row[tree.parent[up]] if slot > 1 else NOBODY
            gain = gain_of(tables, row, slot, state, above, above_two, np.tanh(np.float64(click[one, step])))
            stay = stay_of(tables, row, slot, state, above, np.tanh(np.float64(leave[one, step])))
            tree.reward[own] = tree.reward[up] + tree.stay[up] * gain
            tree.stay[own] = tree.stay[up] * stay
            if slot == slots - 1:
                tree.complete[tree.size[COMPLETE]] = own
                tree.size[COMPLETE] += 1
                tree.best[0] = max(tree.best[0], tree.reward[own])
                continue
            if patterns.kind[node] != ORGANIC:
                tree.above[slot] = row
                fresh = True
            if fresh:
                rest_below(patterns, bounds, node, tree.above, tree.pinned, tree.most, 0)
                fresh = False
            next_one = asked.at[one, step + 1] if step + 1 < asked.length[one] else -1
            if next_one >= 0:
                _line_up(tree, patterns, bounds, own, tree.pattern[next_one], tree.row[next_one], margin)
            else:
                _line_up(tree, patterns, bounds, own, -1, -1, margin)


@kernel
def page_of(tree, last, slots):
    """Return (slots,) int32: the rows of a page by its last slot in the tree."""
    page = np.empty(slots, np.int32)
    for slot in range(slots - 1, -1, -1):
        page[slot] = tree.row[last]
        last = tree.parent[last]
    return page


@leaf
def _ads_above(tree, patterns, place):
    """Write the ads down to a slot of the tree into `above`."""
    tree.above[:] = -1
    while place > 0:
        if patterns.kind[tree.pattern[place]] != ORGANIC:
            tree.above[patterns.slot[tree.pattern[place]]] = tree.row[place]
        place = tree.parent[place]


@leaf
def _choices(patterns, node):
    kind = patterns.kind[node]
    return 1 if kind == ORGANIC else patterns.starts[kind + 1] - patterns.starts[kind]


@leaf
def _choice(patterns, node, at):
    kind = patterns.kind[node]
    return patterns.row[node] if kind == ORGANIC else patterns.members[patterns.starts[kind] + at]


@leaf
def _is_open(patterns, node, row, above, pinned, most):
    """Tell whether a row may stand at a node."""
    slot = patterns.slot[node]
    if patterns.kind[node] == ORGANIC:
        return pinned[slot] < 0
    return patterns.ads[node] <= most and may_stand(row, slot, above, pinned)


@leaf
def _entry(patterns, bounds, node, page, slot):
    """Return the entry of a node under the rows of a page down to a slot."""
    by = bounds.by[node]
    return bounds.first[node] + (bounds.place[page[slot - by]] if by >= 0 else 0)


@leaf
def _best_below(tree, patterns, bounds, node, page, slot):
    """Return (node, row) of what promises most right below a node; `page` has the rows down to `slot` - 1."""
    best, chosen, its = NONE, -1, -1
    below = node + 1
    while below < patterns.end[node]:
        for at in range(_choices(patterns, below)):
            row = _choice(patterns, below, at)
            if _is_open(patterns, below, row, tree.above, tree.pinned, tree.most):
                page[slot] = row
                worth = bounds.most[_entry(patterns, bounds, below, page, slot)]
                if worth > best:
                    best, chosen, its = worth, below, row
        below = patterns.end[below]
    return chosen, its


@leaf
def _line_up(tree, patterns, bounds, own, but_node, but_row, margin):
    """Put in line what may stand right below a slot of the tree, but for the next of its chain."""
    node = tree.pattern[own]
    below = node + 1
    while below < patterns.end[node]:
        first, by = bounds.first[below], bounds.by[below]
        if by > 0:
            first += bounds.place[tree.row[own] if by == 1 else tree.row[tree.parent[own]]]
        for at in range(_choices(patterns, below)):
            row = _choice(patterns, below, at)
            if below == but_node and row == but_row:
                continue
            key = tree.reward[own] + tree.stay[own] * bounds.most[first + at]
            worth_it = key > NONE and key >= tree.best[0] - margin
            if worth_it and _is_open(patterns, below, row, tree.above, tree.pinned, tree.most):
                _push(tree, key, own, below, row)
        below = patterns.end[below]


@leaf
def _push(tree, key, under, node, row):
    at = tree.size[WAITING]
    tree.size[WAITING] += 1
    while at:
        up = (at - 1) // 2
        if tree.key[up] >= key:
            break
        _move(tree, up, at)
        at = up
    tree.key[at], tree.under[at], tree.node[at], tree.entry[at] = key, under, node, row


@leaf
def _pop(tree):
    tree.size[WAITING] -= 1
    last = tree.size[WAITING]
    key, at = tree.key[last], 0
    while 2 * at + 1 < last:
        down = 2 * at + 1
        if down + 1 < last and tree.key[down + 1] > tree.key[down]:
            down += 1
        if tree.key[down] <= key:
            break
        _move(tree, down, at)
        at = down
    _move(tree, last, at)


@leaf
def _move(tree, source, into):
    tree.key[into], tree.under[into] = tree.key[source], tree.under[source]
    tree.node[into], tree.entry[into] = tree.node[source], tree.entry[source]


@kernel
def one_chain(rows):
    """Return what asks for a whole page at once."""
    slots = len(rows)
    at = np.arange(1, slots + 1).astype(np.int32).reshape(1, slots)
    nothing = np.full((1, slots), -1, np.int32)
    return Asked(rows.copy().reshape(1, slots), at, nothing, np.zeros(1, np.int64), np.full(1, slots))


@kernel
def gains_of(rows, is_ad, tables, click, leave):
    """Return (slots,) float64: what each slot of a page gains, by its (1, slots) contexts."""
    gains, stay, ads, last = np.empty(len(rows)), 1.0, 0, -1
    for slot in range(len(rows)):
        state = state_of(ads, slot - last)
        above = rows[slot - 1] if slot > 0 else NOBODY
        above_two = rows[slot - 2] if slot > 1 else NOBODY
        context, leaving = np.tanh(np.float64(click[0, slot])), np.tanh(np.float64(leave[0, slot]))
        gains[slot] = stay * gain_of(tables, rows[slot], slot, state, above, above_two, context)
        stay *= stay_of(tables, rows[slot], slot, state, above, leaving)
        if is_ad[rows[slot]]:
            ads, last = ads + 1, slot
    return gains
