"""Find the best page there is, among those that no dual price rules out: depth-first branch and bound on regrets.

With the prices of `kernels.dual`, every page that keeps the rules is worth the bound less what it forgoes, and each
part of that is zero or more:

* a row in a slot: price of the slot + price of the row's item - net worth;
* an item with a price that stays off the page: that price;
* a count that stays away from the bound that is priced: price times the distance, when its window ends;
* a pair that does not come about: what it was given credit for.

So slots are filled in order, rows of least regret first, and a branch is left when it forgoes as much as the best page
known does; what later slots and items left over must forgo at least is added. Of rows that no rule tells apart, the
better one goes first (dominance). The search is repeated with twice the regret allowed each time, so that what is
proven when the work runs out is a bound, too.

Cost: as many looks as it takes, each O(R); few where prices leave little in doubt.

References:
    Land & Doig (1960), "An automatic method of solving discrete programming problems"; Dantzig, Fulkerson & Johnson
    (1954) for fixing variables by reduced costs; Korf (1985) for iterative deepening.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.board import board_of
from slatewise.kernels.compiled import copy, kernel, leaf
from slatewise.kernels.kinds import better_of_kind
from slatewise.kernels.pairs import forgone, total
from slatewise.kernels.rules import (
    BASE,
    HIGH,
    LOW,
    SEEN,
    START,
    STOP,
    TIER,
    UNIT,
    USED,
    WIDTH,
    lift,
    outlook_with,
    outlook_without,
    place,
    slide,
)

STEP_LOOKS = 6
"""Looks that trying a row counts for: it is placed, looked at with all that follows, and lifted again."""


class Fees(NamedTuple):
    """Prices of counts, by the slot where their window ends: entries `start[slot]` to `start[slot + 1]`.

    Attributes:
        start: (page + 1,) int64, where the entries of each slot begin.
        rule: (entries,) int64, the rule.
        group: (entries,) int64, the group, or the value.
        price: (entries,) float64, per unit.
        values: (R, page) float64, what values must pay in the window of a rule on values that ends there.
    """

    start: Any
    rule: Any
    group: Any
    price: Any
    values: Any


@kernel
def search(order, rules, worth, left, right, pair_worth, windows, dual, spare, page, known, enough, tolerance, limit):
    """Return (best page, its worth, bound on the worth of any, looks).

    Rows are numbered as in `order`.

    Args:
        order: (n,) int32, rows by preference.
        rules: The rules, as `core.constraints.Arrays`.
        worth: (n, slots) float64, what each row adds in each slot, pairs apart.
        left: (n, P) int32, see `kernels.pairs`; likewise `right` and `pair_worth`.
        right: See `left`.
        pair_worth: See `left`.
        windows: The windows of the page, for how prices are numbered.
        dual: Prices and rows in play.
        spare: (tiers,) int64, what the page may break, per tier.
        page: (slots,) int32, the best page known.
        known: What it is worth.
        enough: A page worth as much ends the search.
        tolerance: Values as near as this count as equal.
        limit: Most looks.
    """
    best, value, looks = page.copy(), known, 0
    slots = worth.shape[1]
    board = board_of(order, rules, np.full(len(order), -1, np.int32), slots)
    fees = _fees(windows, dual.price)
    slack = dual.of_slot[None, :] + dual.of_thing[dual.thing][:, None] - dual.net
    slack = np.maximum(slack, 0.0)
    better = np.full(len(order), -1, np.int64)
    if len(pair_worth) == 0:
        better = better_of_kind(board, worth, dual.rows, tolerance)
    gap = dual.bound - value
    allowed = gap / 16
    bound = dual.bound
    while bound - value > tolerance and value < enough:
        allowed = min(allowed, dual.bound - value - tolerance)
        value, done, tried = _within(
            board, worth, left, right, pair_worth, dual, slack, better, fees, spare, best, value, enough, tolerance,
            allowed, limit - looks,
        )  # fmt: skip
        looks += tried
        if not done:
            break
        bound = max(value, min(bound, dual.bound - allowed))
        if dual.bound - value <= allowed + tolerance:
            bound = value
        allowed *= 2
    return best, value, max(bound, value), looks


@kernel
def _fees(windows, price):
    """Sort the priced counts by the slot in which their window ends."""
    rule, length = windows.rule, len(windows.page)
    start = np.zeros(length + 1, np.int64)
    values = np.zeros((len(rule), length))
    size = np.count_nonzero(price)
    owner, group, own_price = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    at = 0
    for slot in range(length):
        start[slot] = at
        for one in range(len(rule)):
            wide = windows.wide[one]
            window = slot - rule[one, WIDTH] + 1 - rule[one, START]
            if not 0 <= window < wide:
                continue
            first, stop = windows.first[one] + window, windows.first[one + 1]
            for place_of in range(first, stop, wide):
                if price[place_of] != 0.0:
                    owner[at], group[at], own_price[at] = one, (place_of - first) // wide, price[place_of]
                    at += 1
            if rule[one, SEEN] >= 0 and rule[one, LOW] > 0:
                paid = np.sort(-price[first:stop:wide])
                values[one, slot] = paid[: int(np.ceil(rule[one, LOW] / UNIT))].sum()
    start[length] = at
    return Fees(start, owner, group, own_price, values)


@leaf
def _regret_of_counts(board, fees, slot):
    """Return what the counts whose windows end here forgo; a count that is outside its bounds forgoes nothing."""
    lost, owner, of_values = 0.0, -1, 0.0
    for at in range(fees.start[slot], fees.start[slot + 1]):
        one, price = fees.rule[at], fees.price[at]
        count = board.count[board.rule[one, BASE] + fees.group[at]]
        if board.rule[one, SEEN] >= 0:
            if one != owner:
                lost += max(0.0, of_values)
                owner, of_values = one, -fees.values[one, slot]
            of_values -= price * (count / UNIT)
        else:
            bound = board.rule[one, HIGH] if price > 0.0 else board.rule[one, LOW]
            lost += max(0.0, price * ((bound - count) / UNIT))
    return lost + max(0.0, of_values)


@kernel
def _within(
    board,
    worth,
    left,
    right,
    pair_worth,
    dual,
    slack,
    better,
    fees,
    spare,
    best,
    value,
    enough,
    tolerance,
    allowed,
    limit,
):
    """Search the pages that forgo less than `allowed`, and less than the best one.

    Return (worth of the best page, whether all was searched, looks). `best` is written, the board left as it was.
    """
    rule, state, count, group, units, scale, _, link, page, committed = board
    slots = worth.shape[1]
    past = len(page) - slots
    choices, many = _choices(slack, allowed)
    next_of = np.zeros(slots + 1, np.int64)
    lost = np.zeros(slots + 1)
    unpriced = np.zeros(slots + 1, np.int64)
    left_over = _left_over(dual.of_thing, slots)
    idle = np.zeros((slots, len(rule)), np.int64)
    least = np.zeros((slots, len(spare)), np.int64)
    own = np.zeros(len(spare), np.int64)
    looks, at = 0, 0
    _look_ahead(board, past, committed, idle[0], least[0])
    while at >= 0:
        entered = False
        while next_of[at] < many[at] and looks < limit:
            choice = choices[at, next_of[at]]
            next_of[at] += 1
            row = dual.rows[choice]
            if link[row, USED] or (better[row] >= 0 and not link[better[row], USED]):
                continue
            here = lost[at] + slack[choice, at]
            if here >= allowed or here >= dual.bound - value - tolerance:
                next_of[at] = many[at]
                break
            looks += STEP_LOOKS
            if not _fits(board, past + at, row, idle[at], least[at], spare, own):
                continue
            here += forgone(left, right, pair_worth, page[past:], at, row)
            place(rule, state, count, group, units, scale, link, page, committed, past + at, row)
            here += _regret_of_counts(board, fees, past + at)
            unpriced[at + 1] = unpriced[at] + (dual.of_thing[dual.thing[choice]] <= 0.0)
            ahead = here + left_over[unpriced[at + 1]] + _rest(slack, choices, many, dual.rows, link, at + 1)
            if ahead >= allowed or ahead >= dual.bound - value - tolerance:
                lift(rule, state, count, group, units, scale, link, page, committed, past + at)
                continue
            lost[at + 1] = here
            entered = True
            break
        if entered and at + 1 == slots:
            made = total(left, right, pair_worth, page[past:])
            for slot in range(slots):
                made += worth[page[past + slot], slot]
            if made > value + tolerance:
                value = made
                best[:] = page[past:]
                if value >= enough:
                    limit = looks
            lift(rule, state, count, group, units, scale, link, page, committed, past + at)
        elif entered:
            at += 1
            next_of[at] = 0
            slide(rule, state, count, group, units, scale, page, past + at, -1)
            _look_ahead(board, past + at, committed, idle[at], least[at])
        else:
            slide(rule, state, count, group, units, scale, page, past + at, 1)
            at -= 1
            if at >= 0:
                lift(rule, state, count, group, units, scale, link, page, committed, past + at)
    return value, looks < limit or value >= enough, looks


@kernel
def _choices(slack, allowed):
    """Return per slot the rows that may stand there, least regret first, and how many there are."""
    m, slots = slack.shape
    choices, many = np.empty((slots, m), np.int64), np.zeros(slots, np.int64)
    for slot in range(slots):
        order = np.argsort(slack[:, slot], kind="mergesort")
        choices[slot] = order
        while many[slot] < m and slack[order[many[slot]], slot] < allowed:
            many[slot] += 1
    return choices, many


@kernel
def _left_over(of_thing, slots):
    """Return, for so many slots given to items without a price, what items with one must forgo at least."""
    priced = np.sort(of_thing[of_thing > 0.0])
    least = np.zeros(slots + 1)
    for without in range(slots + 1):
        out = max(0, min(len(priced), len(priced) - slots + without))
        least[without] = priced[:out].sum()
    return least


@leaf
def _look_ahead(board, slot, committed, idle, least):
    """Write each rule's outlook, and what is broken per tier, if the row in `slot` were of no group."""
    copy(committed, least)
    for one in range(len(board.rule)):
        idle[one] = outlook_without(board.rule, board.state, board.room, one, slot)
        least[board.rule[one, TIER]] += idle[one]


@leaf
def _fits(board, slot, row, idle, least, spare, own):
    """Tell whether a row may stand in a slot: whether no tier must be broken by more than it may."""
    rule, state, count, group, units, scale, room, _, _, _ = board
    copy(least, own)
    for one in range(len(rule)):
        if group[row, one] >= 0 and (slot < rule[one, STOP] and (slot >= rule[one, START] or rule[one, LOW] > 0)):
            own[rule[one, TIER]] += (
                outlook_with(rule, state, count, group, units, scale, room, one, slot, row) - idle[one]
            )
    for tier in range(len(spare)):
        if own[tier] > spare[tier]:
            return False
    return True


@leaf
def _rest(slack, choices, many, rows, link, at):
    """Return what the slots from `at` on must forgo at least, each with a row that is free."""
    lost = 0.0
    for slot in range(at, choices.shape[0]):
        place_of = 0
        while place_of < many[slot] and link[rows[choices[slot, place_of]], USED]:
            place_of += 1
        if place_of == many[slot]:
            return np.inf
        lost += slack[choices[slot, place_of], slot]
    return lost
