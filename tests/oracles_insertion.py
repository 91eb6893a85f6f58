"""Slow twin of the search for insertions: every page there is, one after the other. Imports nothing of the package."""

import itertools
import math


def state(ads_above, distance):
    """Return the code of a slot."""
    return 0 if ads_above == 0 else 1 + (min(ads_above, 3) - 1) * 6 + min(distance, 6) - 1


def logistic(odds):
    """Return the probability of log-odds."""
    return 1 / (1 + math.exp(-odds))


def pages(organics, ads, items, slots, most, is_allowed):
    """Return the pages: every choice of slots for every choice of ads, organics in order in the others.

    An organic whose item stands on the page already is passed by.
    """
    found = []
    for many in range(min(most, len(ads), slots) + 1):
        for where in itertools.combinations(range(slots), many):
            for chosen in itertools.permutations(ads, many):
                page, placed = [], dict(zip(where, chosen, strict=True))
                queue = iter(organics)
                for slot in range(slots):
                    shown = {items[row] for row in page}
                    row = placed.get(slot)
                    if row is None:
                        row = next((one for one in queue if items[one] not in shown), None)
                    if row is None or items[row] in shown:
                        break
                    page.append(row)
                if len(page) == slots and is_allowed(page):
                    found.append(tuple(page))
    return found


def reward(page, is_ad, tables, context):
    """Return what a page is worth; `context(rows)` has those of clicks and leaving of the last of these rows."""
    total, looked_at, ads, last = 0.0, 1.0, 0, None
    for slot, row in enumerate(page):
        code = state(ads, 0 if last is None else slot - last)
        click, leave = context(page[: slot + 1])
        odds = float(tables.click[row, slot, code]) + float(tables.click_amplitude[row, slot]) * math.tanh(click)
        away = float(tables.leave[row, slot, code]) + float(tables.leave_amplitude[row, slot]) * math.tanh(leave)
        if slot > 0:
            odds += float(tables.pair_click[row, page[slot - 1]])
            away += float(tables.pair_leave[row, page[slot - 1]])
        if slot > 1:
            odds += float(tables.pair_click_2[row, page[slot - 2]])
        total += looked_at * (logistic(odds) * tables.worth[row] - tables.charge[row])
        looked_at *= 1 - logistic(away)
        if is_ad[row]:
            ads, last = ads + 1, slot
    return total
