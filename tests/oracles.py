"""Slow, obvious twins of what the package computes. They import nothing from it: rules come as plain dictionaries."""

from itertools import permutations

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


def broken(rule, columns, page, slots):
    """How far the windows of a rule are outside its bounds, summed."""
    low, high = rule.get("at_least") or 0, rule.get("at_most")
    high = float("inf") if high is None else high
    rows = range(len(columns["item_id"]))
    inside = [row for row in rows if members(rule, columns, row)]
    groups = [None]
    if rule.get("per"):
        groups = sorted({columns[rule["per"]][row] for row in inside})
    total = 0.0
    for window in windows(rule, len(page), slots):
        here = [page[slot] for slot in window if page[slot] in inside]
        for group in groups:
            mine = [row for row in here if group is None or columns[rule["per"]][row] == group]
            if rule.get("distinct"):
                count = len({columns[rule["distinct"]][row] for row in mine})
            elif rule.get("weight"):
                count = sum(columns[rule["weight"]][row] for row in mine)
            else:
                count = len(mine)
            total += max(0, low - count) + max(0, count - high)
    return total


def importance(rule):
    return float("inf") if rule["priority"] == "contractual" else rule["priority"]


def cost(rules, columns, page, slots):
    """What a page breaks, summed by priority, the most important first; contractual rules are always first."""
    tiers = sorted({importance(rule) for rule in rules} | {float("inf")}, reverse=True)
    return tuple(
        round(sum(broken(r, columns, page, slots) for r in rules if importance(r) == tier), 6) for tier in tiers
    )


def best_pages(rules, columns, slots):
    """Return (length, cost) that no page can beat: contractual rules hold, then longest, then least broken."""
    rows = range(len(columns["item_id"]))
    for length in range(min(slots, len(rows)), -1, -1):
        costs = [
            cost(rules, columns, page, slots)
            for page in permutations(rows, length)
            if len({columns["item_id"][row] for row in page}) == length
        ]
        allowed = [one for one in costs if one[0] == 0]
        if allowed:
            return length, min(allowed)
    return 0, cost(rules, columns, (), slots)


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
