"""Fill a page slot by slot with the row that is worth most there, what it repeats taken off.

Each slot takes, of the rows that add nothing to what the rules must be broken by anyway (`kernels.slot`), the one of
greatest utility

    U_i = base_i - sum_a weight_a * D_a(i) - sum_c weight_c * q_c(i) + sum_b weight_b * B_b(i)

with D from `kernels.redundancy`, q and B from `kernels.spacing`. Of equals, the first in rank. Few rows are evaluated
to the end. Rows are looked at in descending base; when base and all that may be added stay below the best row so far,
the look ends. A row whose bound is below the best is passed over, and so is one whose bound falls below it while the
items of the window are gone through. Of rows that rounding leaves within reach of the best, the choice is made in
float64. So the page is the one that an evaluation of every row would give.

Cost: O(k n) comparisons, and for those rows that are evaluated O(d) for each item of a window, once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.bases import prepare, take_seat
from slatewise.kernels.board import board_of
from slatewise.kernels.ceilings import STRIDE, most_worth, next_above
from slatewise.kernels.coarse import LANES, coarsely, look_over
from slatewise.kernels.compiled import copy, kernel, leaf
from slatewise.kernels.floors import floors_of, most_served
from slatewise.kernels.greedy import distinct
from slatewise.kernels.likeness import foresee
from slatewise.kernels.redundancy import (
    BASES,
    COARSE,
    FORM,
    ITEMS,
    MOVES,
    MSD_MEAN,
    SUM,
    VARIANT,
    VOLUME,
    WEIGHT,
    least_of,
    most_gain,
    moving_bound,
)
from slatewise.kernels.refine import exactly, refine_bases, refine_items, refine_max, refine_sum
from slatewise.kernels.rules import TWIN, USED, place, slide
from slatewise.kernels.seats import seated
from slatewise.kernels.slot import OWN, breaks, crowds, least_broken, less, notes, survey
from slatewise.kernels.spacing import above, balanced, count_in, most_balanced, most_values, spaced

ROUNDING = 1e-9
"""Utilities that were added up in another order differ by less."""


class Spread(NamedTuple):
    """What came of it.

    Attributes:
        rows: The page; empty if rules that never give way allowed none of full length on this way down.
        cost: (tiers,) int64, what it breaks.
        least: Whether it is seen that no page as long breaks the rules less.
        reads: Seats that rows were compared with.
        exhausted: The first slot whose row adds nothing new to its window under some term; -1 for none.
        bases: (T, h + k, D + S) float64, bases of the seats.
        volume: (T,) float64, volumes in the end.
    """

    rows: Any
    cost: Any
    least: bool
    reads: int
    exhausted: int
    bases: Any
    volume: Any


def spread(order, rank, base, variety, bases, rules, slots):
    """Fill a page without going back.

    Args:
        order: (n,) int32, rows by descending base.
        rank: (n,) int32, place of each row by descending relevance, ties decided.
        base: (n,) float64, what rows are worth by themselves.
        variety: Signals, Terms, Spacings and Balances of `core.variety`, each a plain tuple.
        bases: (T, h, D + S) float64, as `core.variety.SpreadProblem` has them.
        rules: The rules, as `core.constraints.Arrays`.
        slots: Page size.
    """
    return Spread(*_spread(order, rank, base, variety, bases, rules, slots))


@kernel
def _spread(order, rank, base, variety, bases, rules, slots):
    """As `spread`, of plain tuples."""
    n = len(order)
    length = min(slots, distinct(rules.items))
    board = board_of(order, rules, np.full(n, -1, np.int32), length)
    rule, state, _, group, units, _, room, _, page, committed = board
    past = len(page) - length
    signals, terms, _, balances = variety
    signal, share, _, address, scale, _, _, _, _ = signals
    seats, ring_size = seated(variety, bases, order, length)
    near, term, size, many = seats.near, seats.term, seats.size, len(seats.term)
    upto, run, low = np.zeros((many, n), np.int32), np.zeros((many, n)), np.zeros((many, n))
    ring, known = np.empty(ring_size), np.zeros(many)
    for a in range(many):
        low[a] = least_of(term, size, terms[5], a, 1)
    values = most_values(balances[0], n)
    worth = base[order]
    floor = floors_of(rule)
    most = most_served(floor, group[:n])
    price, note = np.zeros((3, len(committed)), np.int64), notes(len(rule))
    wanted = np.zeros(len(committed), np.int64)
    least_broken(rule, state, group, units, room, floor, most, past, length, price[OWN], wanted)
    lowest = wanted.copy()
    hopeful, hope, ceiling = np.empty(n, np.int32), np.empty(n), np.empty(n)
    for pos in range(n):
        ceiling[pos] = most_worth(worth, term, size, low, pos)
    full, reads, exhausted = False, 0, -1
    if lowest[0] == 0:
        piles = coarsely(signal, share, address, scale, order, term)
        demands, notes_of, rooms = (floor, most, price, note, wanted), (upto, run, low, ring, known, np.zeros(many)), (
            values, worth, ceiling, hopeful, hope, np.empty(0), np.empty(8), np.empty(LANES, np.int32),
        )  # fmt: skip
        full, reads, exhausted = _fill(order, rank, variety, seats, piles, board, demands, notes_of, rooms, length)
    rows = order[page[past:]] if full else np.empty(0, np.int32)
    least = full and not less(lowest, wanted)  # a shorter page may break less
    return rows, wanted, least, reads, exhausted, near[1:, :, : bases.shape[2]], size[:, VOLUME]


@leaf
def _fill(order, rank, variety, seats, piles, board, demands, notes, rooms, length):
    """Fill the slots one by one; return (whether there was a row for each, seats compared, as in `Spread`)."""
    rule, state, count, group, units, scale, room, link, page, committed = board
    floor, most, price, note, wanted = demands
    upto, run, low, ring, known, bottom = notes
    values, worth, ceiling, hopeful, hope, nothing, four, lanes = rooms
    signals, _, spacings, balances = variety
    signal, share, levels, address, scale_of, before, codes, lists, starts = signals
    terms_fade = variety[1][5]
    seat, near, glass, there, term, size, root, fixed, gram, factor, scratch, counts, sums = seats
    level, tax, fade = spacings
    bag_starts, bag, target, mixing, pull = balances
    n, past, many, seen = len(order), len(page) - length, len(term), len(seat) - length
    grains, pile, coarse = piles
    reads, exhausted, hint, summed = 0, -1, -1, 0
    for slot in range(length):
        p, here = seen + slot, past + slot
        lively, crowded = 0, 0
        if len(rule):
            slide(rule, state, count, group, units, scale, page, here, -1)
            lively, crowded, _ = survey(
                rule, state, count, group, units, room, link, committed, floor, here, most, price, note
            )
        if len(tax):
            above(level, fade, seat, p, sums)
        if len(gram):
            prepare(term, size, terms_fade, gram, factor, scratch, p)
        while summed < p and len(coarse):
            for k in range(before.shape[1]):
                pile[0, 0, k] += near[0, summed, k]
            summed += 1
        for a in range(many if p > 0 else 0):
            if term[a, COARSE] >= 0:
                part = 1.0 / p if term[a, VARIANT] == MSD_MEAN else 1.0
                look_over(grains[term[a, COARSE]], pile, coarse, p, part, size[a, WEIGHT], low[a], ceiling, lanes)
                reads += n
        lift = most_balanced(mixing, target, pull, counts, p, values) if len(pull) else 0.0
        top = most_gain(term, size, terms_fade, p, 0) + lift
        loose = most_gain(term, size, terms_fade, p, 1) + lift + ROUNDING
        for a in range(many):
            bottom[a] = least_of(term, size, terms_fade, a, p) if term[a, MOVES] else 0.0
        short, met, chosen = 0, 0, -1
        for attempt in range(2):
            best, found = -np.inf, 0
            ahead = -1 if hint >= 0 else 0  # the row that came second is looked at first
            while True:
                at = ahead
                if 0 <= at < n and ceiling[at] < best - loose:
                    at = next_above(ceiling, worth, at, best - loose, best - top - ROUNDING)
                if at >= n:
                    break
                pos, ahead = at if at >= 0 else hint, at + 1
                if ahead % STRIDE == 0 or ceiling[min(ahead, n - 1)] < best - loose:
                    ahead = next_above(ceiling, worth, ahead, best - loose, best - top - ROUNDING)
                if ahead < n:
                    foresee(signal, address, order[ahead])
                if link[pos, USED] or at == hint:
                    continue
                high = worth[pos] + loose
                for a in range(many if p > 0 else 0):
                    known[a] = low[a, pos]
                    if term[a, MOVES]:
                        known[a] = moving_bound(term, size, terms_fade, upto, run, ring, a, pos, p)
                    high -= size[a, WEIGHT] * (known[a] - bottom[a])
                    if high < best:
                        break
                if high < best:
                    continue
                high = worth[pos]
                for a in range(many if p > 0 else 0):
                    high -= size[a, WEIGHT] * known[a]
                row = order[pos]
                for b in range(len(pull)):
                    high += pull[b] * balanced(bag_starts, bag, target, mixing, counts, p, b, row)
                if len(tax):
                    high -= spaced(level, tax, sums, row)
                if high < best:
                    continue
                if lively > 0:
                    cost = price[breaks(rule, state, count, group, units, scale, room, here, pos, lively, price, note)]
                    if less(wanted, cost) or less(cost, wanted):
                        continue
                    if crowded > 0:
                        lacks, met, _ = crowds(
                            rule, count, group, units, link, floor[:crowded], most, here, pos, met, note
                        )
                        if lacks != short:
                            continue
                sure = high  # a lower bound of the row's utility, as `high` is an upper bound
                for a in range(many if p > 0 else 0):
                    limit = known[a] + (high - best) / size[a, WEIGHT]
                    form = term[a, FORM]
                    if form == BASES:
                        under, over, looked = refine_bases(
                            signal, root, address, scale_of, glass, term, size, upto, run, low, ring,
                            a, pos, row, p, limit, four,
                        )  # fmt: skip
                    elif form == ITEMS:
                        under, over, looked = refine_items(
                            signal, share, address, scale_of, near, there, fixed, term, size, terms_fade,
                            upto, run, low, ring, factor, scratch, a, pos, row, p, limit,
                        )  # fmt: skip
                    elif form == SUM:
                        under, over, looked = refine_sum(
                            signal, share, address, scale_of, glass, pile, there, fixed, term, size,
                            upto, run, ring, a, pos, row, p, limit, four,
                        )  # fmt: skip
                    else:
                        under, over, looked = refine_max(
                            signal, share, address, scale_of, glass, there, fixed, term, size, terms_fade,
                            upto, run, low, ring, a, pos, row, p, limit, four,
                        )  # fmt: skip
                    reads += looked
                    high -= size[a, WEIGHT] * (under - known[a])
                    sure -= size[a, WEIGHT] * (over - known[a])
                    if high < best:
                        break
                ceiling[pos] = most_worth(worth, term, size, low, pos)
                if high < best:
                    continue
                hopeful[found], hope[found] = pos, high
                found += 1
                best = max(best, sure)
            if found > 0:
                ties = 0
                for one in range(found):
                    if hope[one] >= best:
                        hopeful[one], hopeful[ties] = hopeful[ties], hopeful[one]
                        ties += 1
                chosen = hopeful[0]
                if ties > 1:
                    chosen = _decided(variety, seats, worth, order, rank, hopeful[:ties], p, nothing)
                hint = hopeful[found - 1] if found > ties else -1
                break
            if attempt == 0:
                short = _least_level(
                    rule, state, count, group, units, scale, room, link, floor[:crowded], most, here, lively, price,
                    note, wanted,
                )  # fmt: skip
                met, hint = 0, -1
                if wanted[0] > 0:
                    break
        if chosen < 0:
            return False, reads, exhausted
        other = chosen
        while ceiling[other] > -np.inf:
            ceiling[other] = -np.inf
            other = link[other, TWIN]
        if len(rule):
            place(rule, state, count, group, units, scale, link, page, committed, here, chosen)
        else:
            page[here] = chosen
            other = chosen
            while not link[other, USED]:
                link[other, USED] = 1
                other = link[other, TWIN]
        row = order[chosen]
        if len(pull):
            count_in(bag_starts, bag, counts, row)
        if take_seat(
            signal, share, root, levels, address, scale_of, before, codes, lists, starts, seat, near, glass, there,
            term, size, fixed, gram, factor, scratch, order, p, row,
        ) and exhausted < 0:  # fmt: skip
            exhausted = slot
    return True, reads, exhausted


@leaf
def _decided(variety, seats, worth, order, rank, places, p, nothing):
    """Return the best of some rows for seat p, in float64; of equals, the first in rank."""
    chosen, highest = places[0], -np.inf
    for pos in places:
        utility = exact_worth(variety, seats, worth, order, pos, p, nothing)
        if utility > highest or (utility == highest and rank[order[pos]] < rank[order[chosen]]):
            highest, chosen = utility, pos
    return chosen


@leaf
def exact_worth(variety, seats, worth, order, pos, p, by):
    """Return the utility of a row for seat p, in float64 and from the beginning."""
    signals, terms, spacings, balances = variety
    signal, share, _, address, scale_of, _, _, _, _ = signals
    _, near, _, there, term, size, root, fixed, _, factor, scratch, counts, sums = seats
    level, tax, _ = spacings
    bag_starts, bag, target, mixing, pull = balances
    row = order[pos]
    total = worth[pos] - spaced(level, tax, sums, row)
    for b in range(len(pull)):
        total += pull[b] * balanced(bag_starts, bag, target, mixing, counts, p, b, row)
    for a in range(len(term)):
        total -= size[a, WEIGHT] * exactly(
            signal, share, root, address, scale_of, near, there, fixed, term, size, terms[5], factor, scratch,
            a, pos, row, p, by,
        )  # fmt: skip
    return total


@leaf
def _least_level(rule, state, count, group, units, scale, room, link, floor, most, slot, lively, price, note, least):
    """Write the least that any row breaks into `least`; return by how much floors are short with the best of these."""
    short, met = 0, 0
    least[:] = np.iinfo(np.int64).max
    for pos in range(len(link)):
        if link[pos, USED]:
            continue
        cost = price[breaks(rule, state, count, group, units, scale, room, slot, pos, lively, price, note)]
        if less(least, cost):
            continue
        lacks = 0
        if len(floor):
            lacks, met, _ = crowds(rule, count, group, units, link, floor, most, slot, pos, met, note)
        if less(cost, least) or lacks < short:
            copy(cost, least)
            short = lacks
    return short
