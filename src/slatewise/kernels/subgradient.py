"""Walk down the dual: the subgradient at some prices, the way to go, and a step along it.

Arrays as in `kernels.dual`; `live` are the counts whose price may be other than 0, `owner` their rules.

References:
    Camerini, Fratta & Maffioli (1975), "On improving relaxation methods by modified gradient techniques".
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import HIGH, LOW, SEEN, START, STOP, TIER, UNIT, WIDTH


@kernel
def slope_of(windows, price, spare, most, live, owner, rows, thing, slot_of, net, reward, ground, count, slope):
    """Write the subgradient: by how far the matching breaks each count; 0 where a price can go no further.

    `ground` are the counts of the past, `count` is room for those of the matching.
    """
    rule = windows.rule
    _count_matching(windows, rows, thing, slot_of, net, reward, ground, count)
    dearest = np.full(len(spare), -1)
    for place in range(len(live)):
        at, one = live[place], owner[place]
        if rule[one, SEEN] >= 0:
            continue
        here, low, high, tier = count[at], rule[one, LOW], rule[one, HIGH], rule[one, TIER]
        if price[at] > 0.0 or here > high:
            slope[at] = (here - high) / UNIT
        elif price[at] < 0.0 or here < low:
            slope[at] = (here - low) / UNIT
        else:
            slope[at] = 0.0
        if price[at] != 0.0 and (dearest[tier] < 0 or abs(price[at]) > abs(price[dearest[tier]])):
            dearest[tier] = at
    for one in range(len(rule)):
        if rule[one, SEEN] >= 0 and rule[one, LOW] > 0:
            start, stop, wide = windows.first[one], windows.first[one + 1], windows.wide[one]
            for window in range(wide):
                _slope_of_values(count, price, start + window, stop, wide, rule[one, LOW], slope)
    for tier in range(len(spare)):
        at = dearest[tier]
        if at >= 0:
            slope[at] -= np.sign(price[at]) * (spare[tier] / UNIT)
    for place in range(len(live)):
        at, top = live[place], most[rule[owner[place], TIER]]
        if abs(price[at]) >= top and price[at] * slope[at] >= 0.0:
            slope[at] = 0.0


@kernel
def _count_matching(windows, rows, thing, slot_of, net, reward, ground, count):
    """Write what stands in each window if slots hold the rows that they are matched with."""
    rule, group, units, scale, wide = windows.rule, windows.group, windows.units, windows.scale, windows.wide
    past = len(windows.page) - net.shape[1]
    count[:] = ground
    taken = np.zeros(net.shape[1], np.bool_)
    for at in range(len(rows)):
        matched = slot_of[thing[at]]
        if matched < 0 or taken[matched] or net[at, matched] != reward[thing[at], matched]:
            continue
        taken[matched] = True
        slot, row = past + matched, rows[at]
        for one in range(len(rule)):
            if group[row, one] >= 0 and rule[one, START] <= slot < rule[one, STOP]:
                first = windows.first[one] + group[row, one] * wide[one]
                start = max(slot - rule[one, WIDTH] + 1 - rule[one, START], 0)
                for window in range(start, min(slot - rule[one, START] + 1, wide[one])):
                    count[first + window] += units[row, one] * scale[one, slot]


@kernel
def _slope_of_values(count, price, start, stop, wide, low, slope):
    """Write the subgradient for the values of one window of a rule on distinct values."""
    dear = np.argsort(-price[start:stop:wide])
    for place in range(len(dear)):
        at = start + dear[place] * wide
        asked = max(0.0, min(1.0, low / UNIT - place))
        lacking = asked - count[at] / UNIT
        slope[at] = -lacking if lacking > 0.0 or price[at] < 0.0 else 0.0


@leaf
def bend(slope, way, live):
    """Turn the way taken so far towards the subgradient, so that it does not zigzag; return its squared length.

    Of a subgradient that points against the way, so much of the way is kept that they are at an obtuse angle no more.
    """
    along, length = 0.0, 0.0
    for at in live:
        along += slope[at] * way[at]
        length += way[at] * way[at]
    kept = -1.5 * along / length if along < 0.0 else 0.0
    length = 0.0
    for at in live:
        way[at] = slope[at] + kept * way[at]
        length += way[at] * way[at]
    return length


@leaf
def walk(windows, price, way, most, live, owner, stride):
    """Take one step; a price that would change its side stops at zero."""
    for place in range(len(live)):
        at, one = live[place], owner[place]
        new = price[at] + stride * way[at]
        if price[at] * new < 0.0 or (windows.rule[one, SEEN] >= 0 and new > 0.0):
            new = 0.0
        top = most[windows.rule[one, TIER]]
        price[at] = max(-top, min(top, new))
