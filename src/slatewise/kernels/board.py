"""The board: an empty page and everything that is counted on it, made from the rules for one length of page.

See `kernels.rules` for the arrays and for what happens to them while the page is filled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import (
    AFTER,
    BASE,
    DEFICIT,
    END,
    HIGH,
    LOT,
    LOW,
    SEEN,
    START,
    STEP,
    STOP,
    SUPPLY,
    TIER,
    TWIN,
    UNIT,
    WIDTH,
    change,
)


class Board(NamedTuple):
    """An empty page and everything that is counted on it; see the module for the arrays."""

    rule: Any
    state: Any
    count: Any
    group: Any
    units: Any
    scale: Any
    room: Any
    link: Any
    page: Any
    committed: Any


@kernel
def board_of(order, rules, after, length):
    """Return the board of a page of `length` before its first row: rows numbered by `order`, windows cut to the page.

    Groups are numbered by their first rows, so that sums over them do not depend on the order of the candidates.

    Args:
        order: (n,) int32, rows in order of preference.
        rules: The rules, as `core.constraints.Arrays`.
        after: (n,) int32, row that has to be placed before this one, -1 for none.
        length: Slots of the page.
    """
    n, many = len(order), len(rules.sizes)
    past = len(rules.group) - n
    group = np.empty((n + past, many), np.int32)
    units = np.empty((n + past, many), np.int64)
    rule, state = np.zeros((many, 11), np.int64), np.zeros((many, 3), np.int64)
    number, given = np.full(rules.sizes.sum(), -1, np.int32), np.zeros(many, np.int32)
    for row in range(n + past):
        source = order[row] if row < n else row
        base = 0
        for one in range(many):
            own, counts = rules.group[source, one], rules.units[source, one]
            if own >= 0 and rules.sizes[one] > 1:
                if number[base + own] < 0:
                    number[base + own] = given[one]
                    given[one] += 1
                own = number[base + own]
            base += rules.sizes[one]
            group[row, one], units[row, one] = own, counts
            if own >= 0:
                rule[one, STEP] = max(rule[one, STEP], counts)
                if row < n:
                    state[one, SUPPLY] += counts
    _lay_out(rule, rules, past, length)
    scale = _scale(rule, rules.curve, past, length)
    count = np.zeros(rule[many - 1, BASE] + rules.sizes[many - 1] + 1 if many else 0, np.int64)
    _begin(rule, state, group, rules.sizes, count)
    board = Board(
        rule,
        state,
        count,
        group,
        units,
        scale,
        _room(rule, scale),
        _links(rules.items, order, after),
        np.full(past + length, -1, np.int32),
        np.zeros(1 + (rules.tier.max() if many else 0), np.int64),
    )
    for slot in range(past):
        board.page[slot] = n + slot
        for one in range(many):
            if rule[one, START] <= slot < rule[one, STOP]:
                change(rule, board.state, count, group, units, scale, one, slot, n + slot, 1)
    return board


@leaf
def _lay_out(rule, rules, past, length):
    """Write bounds, windows, tiers and bases of the rules."""
    base = 0
    for one in range(len(rule)):
        start, stop = past + rules.windows[one, 0], past + min(rules.windows[one, 1], length)
        rule[one, LOW], rule[one, HIGH] = rules.bounds[one, 0], rules.bounds[one, 1]
        if start >= stop:
            start, stop = past + length, past + length
            rule[one, LOW], rule[one, HIGH] = 0, np.iinfo(np.int64).max
        else:
            start -= min(past, rules.reach[one])
        width = min(rules.windows[one, 2], max(stop - start, 1))
        rule[one, START], rule[one, STOP], rule[one, WIDTH], rule[one, END] = start, stop, width, start + width - 1
        rule[one, TIER], rule[one, BASE] = rules.tier[one], base
        base += rules.sizes[one] + 1
        rule[one, SEEN] = base - 1 if rules.by_value[one] else -1


@kernel
def _scale(rule, curve, past, length):
    """Return what each slot counts, and write it into the rules: shares are whole millionths that add up to one."""
    scale = np.ones((len(rule), past + length), np.int64)
    for one in range(len(rule)):
        rule[one, LOT] = 1
        start, stop = rule[one, START], rule[one, STOP]
        if start >= stop or curve[one, 0] < 0:
            continue
        whole = 0.0
        for slot in range(start, stop):
            whole += curve[one, min(slot - past, curve.shape[1] - 1)]
        rule[one, LOT] = 0
        seen, given = 0.0, 0
        for slot in range(start, stop):
            seen += curve[one, min(slot - past, curve.shape[1] - 1)]
            upto = round(UNIT * seen / whole) if whole > 0 else 0
            scale[one, slot] = upto - given
            given = upto
            rule[one, LOT] = max(rule[one, LOT], scale[one, slot])
        rule[one, STEP] *= rule[one, LOT]
    return scale


@kernel
def _room(rule, scale):
    room = np.zeros((len(rule), scale.shape[1] + 1), np.int64)
    for one in range(len(rule)):
        if rule[one, LOT] > 0:
            step = rule[one, STEP] // rule[one, LOT]
            for slot in range(min(rule[one, END], rule[one, STOP] - 1), -1, -1):
                room[one, slot] = room[one, slot + 1]
                if slot >= rule[one, START]:
                    room[one, slot] += scale[one, slot] * step
    return room


@kernel
def _begin(rule, state, group, sizes, count):
    """Write the state before the first row; `count` is used and left empty.

    A rule on values takes those of the page before for supply, too: they are taken off again when these are placed.
    """
    for one in range(len(rule)):
        if rule[one, SEEN] < 0:
            state[one, DEFICIT] = rule[one, LOW] * sizes[one]
            state[one, SUPPLY] *= rule[one, LOT]
            continue
        state[one, DEFICIT] = rule[one, LOW]
        for row in range(len(group)):
            if group[row, one] >= 0:
                count[rule[one, BASE] + group[row, one]] = 1
        state[one, SUPPLY] = count[rule[one, BASE] : rule[one, BASE] + sizes[one]].sum() * rule[one, STEP]
    count[:] = 0


@kernel
def _links(items, order, after):
    n = len(order)
    link = np.zeros((n, 3), np.int32)
    place = np.empty(n, np.int32)
    for row in range(n):
        place[order[row]] = row
    size = items.max() + 1 if n else 0
    first = np.full(size, -1, np.int32)
    last = np.full(size, -1, np.int32)
    for row in range(n):
        link[row, AFTER] = place[after[order[row]]] if after[order[row]] >= 0 else -1
        link[row, TWIN] = row
        item = items[order[row]]
        if first[item] < 0:
            first[item] = row
        else:
            link[last[item], TWIN] = row
            link[row, TWIN] = first[item]
        last[item] = row
    return link
