"""Price the rules: a bound on what any page is worth, by Lagrangian duality.

Every count of a rule in a window gets a price, paid for each row that is counted: above zero for upper bounds, below
for lower ones. Without rules, the best page is a matching of slots to rows (`kernels.matching`), and

    bound(prices) = best matching of (worth - prices paid) + sum over counts of price * (its bound - the past)

is no less than the worth of any page that keeps the rules. A lower bound on distinct values is split: each value's
count must be at least y of [0, 1], and the y of a window add up to the bound; the least sum of prices that y can choose
is taken off. Where a tier may be broken by `spare`, breaking it where it is dearest is added.

Prices go along the subgradient, which is by how far the matching breaks each count, in steps by Polyak's rule towards
the best page known. Rows that in no slot could beat that page are dropped on the way.

Cost: O(slots^2 * n + R * n * slots) per step.

References:
    Held & Karp (1971), "The traveling-salesman problem and minimum spanning trees: part II"; Polyak (1969),
    "Minimization of unsmooth functionals"; Fisher (1981), "The Lagrangian relaxation method", section 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import kernel
from slatewise.kernels.matching import match_likely
from slatewise.kernels.rules import HIGH, LOT, LOW, SEEN, START, TIER, UNIT, WIDTH
from slatewise.kernels.subgradient import bend, slope_of, walk

LIKELY = 2
"""Items per slot that are matched at first; of the others, those that would gain."""
PATIENCE = 5
"""Steps without a better bound after which steps become shorter."""
SHORTER = 0.7
"""By how much."""
SHORTEST = 1e-3
"""Factor of a step at which it is no use going on."""


class Dual(NamedTuple):
    """Prices and what they prove, for the m rows that are still in play.

    Attributes:
        rows: (m,) int64, the rows, in order of preference.
        thing: (m,) int64, number of the row's item.
        price: (counts,) float64, per unit of each count of `kernels.windows`.
        net: (m, slots) float64, worth less prices paid.
        of_slot: (slots,) float64, price of each slot.
        of_thing: (m,) float64, price of each item, >= 0.
        bound: What no page is worth more than.
        looks: Work done.
    """

    rows: Any
    thing: Any
    price: Any
    net: Any
    of_slot: Any
    of_thing: Any
    bound: float
    looks: int


@kernel
def ascend(windows, worth, rows, items, price, spare, most, known, tolerance, steps, limit):
    """Return the best prices found and what they prove.

    Args:
        windows: The windows of a page on which only the past stands; left as they were.
        worth: (n, slots) float64, an upper bound on what each row adds in each slot.
        rows: (m,) int64, the rows to begin with: no other could stand on a better page than the one known.
        items: (n,) int64, code of each row's item.
        price: (counts,) float64, prices to begin with; left alone.
        spare: (tiers,) int64, what the page may break, per tier.
        most: (tiers,) float64, the highest price of a unit, per tier: 0 leaves the tier's rules out, 1 counts what they
            are broken by as a loss.
        known: What the best page known is worth.
        tolerance: Values as near as this count as equal.
        steps: Most steps, at least 1.
        limit: Looks after which no further step is taken.
    """
    slots = worth.shape[1]
    ground, count = windows.count.copy(), windows.count.copy()
    price = price.copy()
    live, owner = _live(windows, rows, price)
    thing, things = _numbered(items, rows)
    likely = np.arange(things) < LIKELY * slots
    found = Dual(rows, thing, price, np.empty((0, 0)), np.empty(0), np.empty(0), np.inf, 0)
    slope, way = np.empty(len(price)), np.zeros(len(price))
    looks, idle, stride, proven = 0, 0, 1.0, False  # proven: too few rows are left for a better page
    for _ in range(steps):
        net = _net(windows, worth, rows, price)
        reward = net if things == len(rows) else _best_of(net, thing, things)
        slot_of, of_slot, of_thing = np.empty(things, np.int64), np.empty(slots), np.empty(things)
        bound = match_likely(reward, likely, slot_of, of_slot, of_thing)
        bound += _paid_anyway(windows, price, ground, spare, live, owner)
        looks += len(rows) * (1 + slots // 8)
        slope_of(windows, price, spare, most, live, owner, rows, thing, slot_of, net, reward, ground, count, slope)
        steepness = bend(slope, way, live)
        if bound < found.bound:
            idle = idle + 1 if found.bound - bound < 0.02 * (found.bound - known) else 0
            kept = _in_play(thing, net, of_slot, of_thing, bound - known + tolerance)
            found = Dual(rows, thing, price.copy(), net, of_slot, of_thing, bound, looks)
            if bound - known <= tolerance:
                break
            if len(kept) < len(rows):
                before = likely[thing[kept]]
                rows = rows[kept]
                thing, things = _numbered(items, rows)
                likely = np.zeros(things, np.bool_)
                for at in range(len(rows)):
                    likely[thing[at]] = likely[thing[at]] or before[at]
                if things < slots:
                    proven = True
                    break
        else:
            idle += 1
        if steepness == 0.0:
            break
        if looks >= limit:
            break
        if idle >= PATIENCE:
            stride, idle = stride * SHORTER, 0
            if stride < SHORTEST:
                break
        walk(windows, price, way, most, live, owner, stride * (bound - known) / steepness)
    bound = known if proven else found.bound
    return Dual(found.rows, found.thing, found.price, found.net, found.of_slot, found.of_thing, bound, looks)


@kernel
def _numbered(items, rows):
    """Return (m,) the number of each row's item among those of `rows`, and how many there are."""
    number = np.full(items.max() + 1, -1, np.int64)
    thing = np.empty(len(rows), np.int64)
    things = 0
    for at in range(len(rows)):
        item = items[rows[at]]
        if number[item] < 0:
            number[item] = things
            things += 1
        thing[at] = number[item]
    return thing, things


@kernel
def _best_of(net, thing, things):
    """Return (things, slots): the net worth of the best row of each item."""
    best = np.full((things, net.shape[1]), -np.inf)
    for at in range(len(net)):
        for slot in range(net.shape[1]):
            best[thing[at], slot] = max(best[thing[at], slot], net[at, slot])
    return best


@kernel
def paid(windows, price, slots):
    """Return (n, slots) float64: the prices that each row pays in each slot."""
    n = len(windows.group) - (len(windows.page) - slots)
    return -_net(windows, np.zeros((n, slots)), np.arange(n), price)


@kernel
def _net(windows, worth, rows, price):
    """Return (m, slots) float64: worth less the prices that a row pays in a slot."""
    rule, group, units, scale = windows.rule, windows.group, windows.units, windows.scale
    slots = worth.shape[1]
    past = len(windows.page) - slots
    net = worth[rows]
    fee = np.empty(slots)
    for one in range(len(rule)):
        wide, width = windows.wide[one], rule[one, WIDTH]
        for first in range(windows.first[one], windows.first[one + 1], max(wide, 1)):
            charged = False
            for window in range(wide):
                here = price[first + window]
                if here != 0.0:
                    if not charged:
                        fee[:] = 0.0
                        charged = True
                    start = rule[one, START] + window
                    for slot in range(max(start, past), start + width):
                        fee[slot - past] += here * scale[one, slot]
            if charged:
                own = (first - windows.first[one]) // wide
                for at in range(len(rows)):
                    if group[rows[at], one] == own:
                        counts = units[rows[at], one] / UNIT
                        for slot in range(slots):
                            net[at, slot] -= fee[slot] * counts
    return net


@kernel
def _live(windows, rows, price):
    """Return (counts whose price may be other than 0, their rules): for upper bounds, those that rows could exceed."""
    rule, group, units = windows.rule, windows.group, windows.units
    live, owner = np.empty(len(price), np.int64), np.empty(len(price), np.int64)
    size = 0
    for one in range(len(rule)):
        wide = windows.wide[one]
        if wide == 0:
            continue
        groups = (windows.first[one + 1] - windows.first[one]) // wide
        together = np.zeros(groups, np.int64)
        for row in rows:
            if group[row, one] >= 0:
                together[group[row, one]] += units[row, one] * rule[one, LOT]
        for own in range(groups):
            first = windows.first[one] + own * wide
            if rule[one, LOW] > 0 or (rule[one, SEEN] < 0 and together[own] > 0):
                for at in range(first, first + wide):
                    if rule[one, LOW] > 0 or together[own] + windows.count[at] > rule[one, HIGH] or price[at] != 0.0:
                        live[size], owner[size] = at, one
                        size += 1
    return live[:size], owner[:size]


@kernel
def _paid_anyway(windows, price, ground, spare, live, owner):
    """Return what prices add to the bound whatever rows are chosen."""
    rule = windows.rule
    dearest = np.zeros(len(spare))
    total = 0.0
    for place in range(len(live)):
        at, one = live[place], owner[place]
        if price[at] != 0.0:
            bound = rule[one, HIGH] if price[at] > 0.0 else rule[one, LOW]
            bound = 0 if rule[one, SEEN] >= 0 else bound
            total += price[at] * ((bound - ground[at]) / UNIT)
            dearest[rule[one, TIER]] = max(dearest[rule[one, TIER]], abs(price[at]))
    for one in range(len(rule)):
        if rule[one, SEEN] >= 0 and rule[one, LOW] > 0:
            stop, wide = windows.first[one + 1], windows.wide[one]
            for window in range(wide):
                paid = np.sort(-price[windows.first[one] + window : stop : wide])
                total -= paid[: int(np.ceil(rule[one, LOW] / UNIT))].sum()
    for tier in range(len(spare)):
        total += dearest[tier] * (spare[tier] / UNIT)
    return total


@kernel
def _in_play(thing, net, of_slot, of_thing, missing):
    """Return which rows could stand on a page that is worth less than the bound by no more than `missing`."""
    kept = np.empty(len(thing), np.int64)
    size = 0
    for at in range(len(thing)):
        best = -np.inf
        for slot in range(len(of_slot)):
            best = max(best, net[at, slot] - of_slot[slot])
        if of_thing[thing[at]] - best <= missing:
            kept[size] = at
            size += 1
    return kept[:size]
