"""Which ads may be inserted where: a tree of patterns, each a page in which an ad is known by its kind alone.

Organics keep their order; an ad moves those below it down. Ads that no rule tells apart are of one kind, so that a
pattern is counted once, by the counts of `kernels.rules`, whichever of its ads stand in it. A pattern is kept if its
page breaks no rule at all, and grown slot by slot: what breaks a rule already, or leaves a floor out of reach, is left.
With gaps of g slots, m slots that ads may take and one kind of A ads, the pages number

    sum_{k <= K} A! / (A - k)! * binom(m - (k - 1) * (g - 1), k)

and their patterns only the second factor. The tree is laid out in preorder: what stands below a node is `node + 1` to
`end[node] - 1`. Cost: O(nodes * R).

References:
    Section 4 of "CGR: constraint-aware generative reranking" (2026): feasible insertions; kinds and trees are ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.board import board_of
from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.kinds import kinds
from slatewise.kernels.rules import (
    DEFICIT,
    EXCESS,
    HIGH,
    LOT,
    LOW,
    SEEN,
    SUPPLY,
    TWIN,
    USED,
    lift,
    outlook,
    place,
    slide,
)

ORGANIC = -1
"""Kind of a row that is no ad."""

FAR = 6
"""Slots below an ad from which on its distance is no longer told apart."""
MANY = 3
"""Ads above from which on their number is no longer told apart."""

END, KIND, ADS = 1, 4, 6
"""Rows of the table of nodes, in the order of `Patterns`."""

ROOM = 1024
"""Nodes that there is room for at first."""


class Patterns(NamedTuple):
    """Patterns in preorder; node 0 is the empty page.

    Attributes:
        parent: (nodes,) int32, the node above; -1 for the empty page.
        end: (nodes,) int32, one past the last node below.
        slot: (nodes,) int32, from 0; -1 for the empty page.
        row: (nodes,) int32, the organic in the slot; for an ad, the first of its kind.
        kind: (nodes,) int32, the ad's kind, `ORGANIC` for none.
        state: (nodes,) int32, code of the ads above: 0 for none, else 1 + (how many - 1) * 6 + distance - 1.
        ads: (nodes,) int32, ads down to this slot.
        members: int32, ads kind after kind.
        starts: (kinds + 1,) int64, where each kind begins in `members`.
        whole: (1,) bool, whether none was left out for lack of room.
    """

    parent: NDArray[np.int32]
    end: NDArray[np.int32]
    slot: NDArray[np.int32]
    row: NDArray[np.int32]
    kind: NDArray[np.int32]
    state: NDArray[np.int32]
    ads: NDArray[np.int32]
    members: NDArray[np.int32]
    starts: NDArray[np.int64]
    whole: NDArray[np.bool_]


class _Walk(NamedTuple):
    """Where the search for patterns stands, slot by slot.

    Attributes:
        board: What is counted.
        node: (slots + 1,) int32, the node above each slot.
        step: (slots + 1,) int64, the choice that is next.
        head: (slots + 1,) int64, the first organic that is left.
        last: (slots + 1,) int64, slot of the last ad above, -1 for none.
        reached: (slots + 1,) bool, whether a page was found below the node above.
        taken: (kinds,) int64, ads of each kind that stand above.
    """

    board: Any
    node: Any
    step: Any
    head: Any
    last: Any
    reached: Any
    taken: Any


@kernel
def patterns(order, rules, organics, window, first, last, most, length, limit):
    """Return the patterns of all pages of a length, >= 1, that break no rule.

    Args:
        order: (n,) int32, organics in their order, then ads; nodes and members number rows by it.
        rules: The rules, as `core.constraints.Arrays`.
        organics: How many of `order` are organics.
        window: (2,) int64, organics from this one up to that one may change places with each other.
        first: First slot that an ad may take, from 0.
        last: The last one.
        most: Most ads on a page.
        length: Slots of the page.
        limit: Most nodes.
    """
    n = len(order)
    board = board_of(order, rules, np.full(n, -1, np.int32), length)
    members, starts = _ads_by_kind(board, organics, most, length)
    walk = _walk(board, length, len(starts) - 1)
    table = np.empty((7, ROOM), np.int32)
    table[:, 0] = -1, 0, -1, -1, ORGANIC, 0, 0
    size, whole, slot = 1, True, 0
    _enter(walk, slot, length)
    while slot >= 0:
        ads = table[ADS, walk.node[slot]]
        inserts = ads < most and first <= slot <= last
        row, kind, step = _next_choice(walk, members, starts, slot, organics, window, inserts)
        if step < 0 or not whole:
            size = _leave(walk, table, slot, size, length)
            slot -= 1
            continue
        walk.step[slot] = step + 1
        _put(walk, slot, row, kind, length)
        whole = size < limit
        if not whole or not _keeps_all(board, len(board.page) - length + slot):
            _lift(walk, slot, kind, length)
            continue
        if size == table.shape[1]:
            grown = np.empty((7, 2 * size), np.int32)
            grown[:, :size] = table
            table = grown
        state = state_of(ads, slot - walk.last[slot])
        _write(table, size, walk.node[slot], slot, row, kind, state, ads + (kind >= 0))
        walk.node[slot + 1] = size
        size += 1
        if slot + 1 == length:
            walk.reached[slot] = True
            _lift(walk, slot, kind, length)
            continue
        walk.last[slot + 1] = slot if kind >= 0 else walk.last[slot]
        slot += 1
        _enter(walk, slot, length)
    table[END, 0] = size
    kept = table[:, :size].copy()
    return Patterns(kept[0], kept[1], kept[2], kept[3], kept[4], kept[5], kept[6], members, starts, np.array([whole]))


@leaf
def state_of(ads, distance):
    """Return the code of a slot with so many ads above, the last of them so many slots above."""
    if ads == 0:
        return 0
    return 1 + (min(ads, MANY) - 1) * FAR + min(distance, FAR) - 1


@leaf
def _write(table, node, above, slot, row, kind, state, ads):
    table[0, node], table[END, node], table[2, node], table[3, node] = above, node + 1, slot, row
    table[KIND, node], table[5, node], table[ADS, node] = kind, state, ads


@kernel
def _walk(board, length, kind_count):
    return _Walk(
        board,
        np.zeros(length + 1, np.int32),
        np.zeros(length + 1, np.int64),
        np.zeros(length + 1, np.int64),
        np.full(length + 1, -1, np.int64),
        np.zeros(length + 1, np.bool_),
        np.zeros(kind_count, np.int64),
    )


@leaf
def _next_choice(walk, members, starts, slot, organics, window, inserts):
    """Return (row, its kind, its number among the choices) of what is next for a slot; number -1 if nothing is."""
    link, step = walk.board.link, walk.step[slot]
    if step == 0:
        at = walk.head[slot - 1] if slot else 0
        while at < organics and link[at, USED]:
            at += 1
        walk.head[slot] = at
    head = walk.head[slot]
    wide = window[1] - window[0] if window[0] <= head < window[1] else 1
    while step < wide:
        row = window[0] + step if wide > 1 else head
        if row < organics and not link[row, USED]:
            return row, ORGANIC, step
        step += 1
    while inserts and step - wide < len(starts) - 1:
        kind = step - wide
        at = starts[kind] + walk.taken[kind]
        if at < starts[kind + 1] and not link[members[at], USED]:
            return members[at], kind, step
        step += 1
    return -1, ORGANIC, -1


@leaf
def _enter(walk, slot, length):
    """Begin with the choices of a slot."""
    board = walk.board
    walk.step[slot], walk.reached[slot] = 0, False
    at = len(board.page) - length + slot
    slide(board.rule, board.state, board.count, board.group, board.units, board.scale, board.page, at, -1)


@leaf
def _leave(walk, table, slot, size, length):
    """Go back to the slot above, and return how many nodes there are; a node below which no page was found is none."""
    board = walk.board
    at = len(board.page) - length + slot
    slide(board.rule, board.state, board.count, board.group, board.units, board.scale, board.page, at, 1)
    own = walk.node[slot]
    if slot == 0:
        return size
    kind = table[KIND, own]
    if walk.reached[slot]:
        table[END, own] = size
        walk.reached[slot - 1] = True
    else:
        size = own
    _lift(walk, slot - 1, kind, length)
    return size


@leaf
def _put(walk, slot, row, kind, length):
    board = walk.board
    place(
        board.rule, board.state, board.count, board.group, board.units, board.scale, board.link, board.page,
        board.committed, len(board.page) - length + slot, row,
    )  # fmt: skip
    if kind >= 0:
        walk.taken[kind] += 1


@leaf
def _lift(walk, slot, kind, length):
    board = walk.board
    lift(
        board.rule, board.state, board.count, board.group, board.units, board.scale, board.link, board.page,
        board.committed, len(board.page) - length + slot,
    )  # fmt: skip
    if kind >= 0:
        walk.taken[kind] -= 1


@leaf
def _keeps_all(board, slot):
    """Tell whether no rule is broken yet, nor has to be by what is left."""
    for cost in board.committed:
        if cost > 0:
            return False
    rule, state = board.rule, board.state
    for one in range(len(rule)):
        excess, deficit, supply = state[one, EXCESS], state[one, DEFICIT], state[one, SUPPLY]
        if outlook(rule, board.room, one, slot, excess, deficit, supply) > 0:
            return False
    return True


@kernel
def _ads_by_kind(board, organics, most, length):
    """Return (ads kind after kind, where each kind begins); a count that no bound can mind is no difference."""
    n = len(board.link)
    rule, link = board.rule, board.link
    group, units = board.group.copy(), board.units
    for one in range(len(rule)):
        if rule[one, LOW] > 0 or rule[one, SEEN] >= 0:
            continue
        ads_of = np.zeros(group[:, one].max() + 1 if len(group) else 0, np.int64)
        largest, together = np.zeros(len(ads_of), np.int64), np.zeros(len(ads_of), np.int64)
        for row in range(len(group)):
            own = group[row, one]
            if own < 0:
                continue
            if row < organics or row >= n:
                together[own] += units[row, one]
            else:
                ads_of[own] += 1
                largest[own] = max(largest[own], units[row, one])
        for row in range(organics, n):
            own = group[row, one]
            if own >= 0 and (together[own] + min(ads_of[own], most) * largest[own]) * rule[one, LOT] <= rule[one, HIGH]:
                group[row, one] = -1
    own_link = link[organics:].copy()
    for row in range(len(own_link)):  # rows of an item stand for each other, so each is a kind of its own
        own_link[row, TWIN] = row if link[organics + row, TWIN] == organics + row else -1
    members, starts = np.empty(len(own_link), np.int32), np.zeros(len(own_link) + 1, np.int64)
    if not len(own_link):
        return members, starts[:1]
    alike = kinds(group[organics:n], units[organics:n], own_link)
    size, many = 0, 0
    for row in range(len(alike)):
        if alike[row] != row:
            continue
        for other in range(row, len(alike)):
            if alike[other] == row:
                members[size] = organics + other
                size += 1
        many += 1
        starts[many] = size
    return members, starts[: many + 1]
