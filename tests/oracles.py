"""Slow, obvious twins of what the package computes. They import nothing from it: rules come as plain dictionaries."""

from itertools import combinations, permutations
from math import log2

TINY = 1e-9


def members(rule, columns, row):
    """Tell whether a row is of the rule's group, before `per` and `distinct`."""
    for name, wanted in rule.get("group", {}).items():
        value = columns[name][row]
        if isinstance(wanted, dict):
            low, high = wanted.get("at_least"), wanted.get("at_most")
            if (low is not None and value < low) or (high is not None and value > high):
                return False
        elif isinstance(wanted, list):
            if value not in wanted:
                return False
        elif value != wanted:
            return False
    key = rule.get("per") or rule.get("distinct")
    return key is None or columns[key][row] is not None


def windows(rule, length, slots):
    """List the windows of a rule on a page of `length`, as lists of slots from 0."""
    start, stop = (rule["slots"][0] - 1, rule["slots"][1]) if rule.get("slots") else (0, rule.get("first") or slots)
    stop = min(stop, length)
    if start >= stop:
        return []
    width = min(rule.get("every") or stop - start, stop - start)
    return [list(range(first, first + width)) for first in range(start, stop - width + 1)]


def broken(rule, columns, page, slots, past=None):
    """How far the windows of a rule are outside its bounds, summed; `past` has the columns of the page before."""
    low, high = rule.get("at_least") or 0, rule.get("at_most")
    high = float("inf") if high is None else high
    rows = range(len(columns["item_id"]))
    inside = [row for row in rows if members(rule, columns, row)]
    groups = [None]
    if rule.get("per"):
        groups = sorted({columns[rule["per"]][row] for row in inside})
    total = 0.0
    for window in windows_after(rule, len(page), slots, past):
        here = [page[slot] for slot in window if slot >= 0 and page[slot] in inside]
        share = shares(rule, window)
        for group in groups:
            mine = [row for row in here if group is None or columns[rule["per"]][row] == group]
            before = [entry for at, entry in credited(rule, past, group, high) if at in window]
            if rule.get("distinct"):
                count = len({columns[rule["distinct"]][row] for row in mine} | set(before))
            elif rule.get("exposure"):
                count = sum(share[slot] for slot in window if page[slot] in mine)
            elif rule.get("weight"):
                count = sum(columns[rule["weight"]][row] for row in mine) + sum(before)
            else:
                count = len(mine) + sum(before)
            total += max(0, low - count) + max(0, count - high)
    return total


def windows_after(rule, length, slots, past):
    """List the windows of a rule; those of so many consecutive slots of the page begin on the page before, from -1."""
    reach = rule["every"] - 1 if rule.get("every") and not rule.get("first") and not rule.get("slots") else 0
    reach = min(reach, len(past["item_id"]) if past else 0)
    stop = min(slots, length)
    if not reach or not stop:
        return windows(rule, length, slots)
    width = min(rule["every"], stop + reach)
    return [list(range(first, first + width)) for first in range(-reach, stop - width + 1)]


def credited(rule, past, group, high):
    """List (slot, count or value) of a group on the page before, newest first, as far as the upper bound goes."""
    entries, room = [], high
    size = len(past["item_id"]) if past and rule.get("every") else 0
    for back in range(1, min(size, rule["every"] - 1 if size else 0) + 1):
        row = size - back
        if not members(rule, past, row) or (group is not None and past[rule["per"]][row] != group):
            continue
        if rule.get("distinct"):
            value = past[rule["distinct"]][row]
            if value not in [entry for _, entry in entries] and len({entry for _, entry in entries}) >= high:
                continue
            entries.append((-back, value))
        else:
            count = min(past[rule["weight"]][row] if rule.get("weight") else 1, room)
            room -= count
            entries.append((-back, count))
    return entries


def discounts(curve, slots):
    """List how much each slot is looked at."""
    if isinstance(curve, (list, tuple)):
        return [curve[min(slot, len(curve) - 1)] for slot in range(slots)]
    of = {
        "flat": lambda slot: 1.0,
        "log": lambda slot: 1 / log2(slot + 2),
        "reciprocal": lambda slot: 1 / (slot + 1),
        "halving": lambda slot: 0.5**slot,
    }
    return [of[curve](slot) for slot in range(slots)]


def shares(rule, window):
    """Map each slot of a window to its share of the exposure, in millionths that add up to one."""
    if not rule.get("exposure"):
        return {}
    looked = discounts(rule["exposure"], window[-1] + 1)
    looked = [looked[slot] for slot in window]
    upto = [round(1e6 * sum(looked[: place + 1]) / sum(looked)) if sum(looked) else 0 for place in range(len(looked))]
    return {slot: (upto[place] - (upto[place - 1] if place else 0)) / 1e6 for place, slot in enumerate(window)}


def importance(rule):
    return float("inf") if rule["priority"] == "contractual" else rule["priority"]


def cost(rules, columns, page, slots, past=None):
    """What a page breaks, summed by priority, the most important first; contractual rules are always first."""
    tiers = sorted({importance(rule) for rule in rules} | {float("inf")}, reverse=True)
    return tuple(
        round(sum(broken(r, columns, page, slots, past) for r in rules if importance(r) == tier), 6) for tier in tiers
    )


def pages_of(columns, length):
    """List the pages of distinct items."""
    rows = range(len(columns["item_id"]))
    pages = permutations(rows, length)
    return [page for page in pages if len({columns["item_id"][row] for row in page}) == length]


def best_pages(rules, columns, slots):
    """Return (length, cost) that no page can beat: contractual rules hold, then longest, then least broken."""
    for length in range(min(slots, len(columns["item_id"])), -1, -1):
        costs = [cost(rules, columns, page, slots) for page in pages_of(columns, length)]
        allowed = [one for one in costs if one[0] == 0]
        if allowed:
            return length, min(allowed)
    return 0, cost(rules, columns, (), slots)


def priced(rules, columns, slots, objective, past=None):
    """List (cost, value) of every page of the greatest length at which one keeps the contractual rules."""
    for length in range(min(slots, len(columns["item_id"])), -1, -1):
        pages = [(cost(rules, columns, page, slots, past), page) for page in pages_of(columns, length)]
        allowed = [(one, value(columns, page, slots, **objective)) for one, page in pages if one[0] == 0]
        if allowed:
            return length, allowed
    return 0, [(cost(rules, columns, (), slots, past), 0.0)]


def value(columns, page, slots, exposure="log", bonus=(), pairs=()):
    """What a page is worth: utilities by exposure, bonuses of slots, and pairs of rows near each other."""
    looked = discounts(exposure, slots)
    total = sum(columns["utility"][row] * looked[slot] for slot, row in enumerate(page))
    for one in bonus:
        first, last = one["slots"]
        total += sum(columns[one["by"]][row] for slot, row in enumerate(page, 1) if first <= slot <= last)
    for pair in pairs:
        fade = discounts(pair["fade"], pair["within"])
        for upper, lower in combinations(range(len(page)), 2):
            if lower - upper <= pair["within"] and matches(pair, columns, page[upper], page[lower]):
                total += pair["worth"] * fade[lower - upper - 1]
    return total


def matches(pair, columns, above, below):
    """Tell whether two rows are a pair."""
    if not members({"group": pair["above"]}, columns, above) or not members({"group": pair["below"]}, columns, below):
        return False
    same = pair.get("same")
    return same is None or (columns[same][above] is not None and columns[same][above] == columns[same][below])


def first_fit(rules, columns, slots):
    """Return the rows of a page that takes, slot by slot, the worthiest row that breaks no upper bound."""
    order = sorted(
        range(len(columns["item_id"])),
        key=lambda row: (-columns["utility"][row], columns["item_id"][row], columns["line"][row]),
    )
    page = []
    for _ in range(slots):
        for row in order:
            longer = [*page, row]
            taken = {columns["item_id"][other] for other in page}
            if columns["item_id"][row] not in taken and not any(cost(rules, columns, longer, slots)):
                page = longer
                break
    return page


def worth_of_codes(page, utility, exposure, extra, pairs):
    """What a page is worth by the numbers of a problem.

    Pairs are dictionaries with codes `left` and `right` of rows, and `worth` by distance.
    """
    total = sum(utility[row] * exposure[slot] + extra[row][slot] for slot, row in enumerate(page))
    for pair in pairs:
        for upper, lower in combinations(range(len(page)), 2):
            alike = pair["left"][page[upper]] == pair["right"][page[lower]] != -1
            if alike and lower - upper <= len(pair["worth"]):
                total += pair["worth"][lower - upper - 1]
    return total


def best_worth(rules, columns, slots, past, worth):
    """Return (length, what is broken by priority in millionths, value) that no page can beat; `worth` of a page."""
    for length in range(min(slots, len(set(columns["item_id"]))), 0, -1):
        pages = [(cost(rules, columns, page, slots, past), page) for page in pages_of(columns, length)]
        allowed = [(breach, -worth(page)) for breach, page in pages if breach[0] == 0]
        if allowed:
            breach, loss = min(allowed)
            return length, tuple(round(1e6 * by) for by in breach), -loss
    return 0, tuple(round(1e6 * by) for by in cost(rules, columns, (), slots, past)), 0
