"""Interleave kinds of rows: a quick proof of a page, or a better one, where few counts shape it.

Where slots are worth less from top to bottom, and rows nothing but utility times exposure, rows that the rules cannot
tell apart stand on the best page in the order of their utility: a page is a sequence of kinds (`kernels.sequence`).

Kinds are told apart by no more than is needed: at first by the counts that stand at their bounds on the page known,
among rules of few groups; then, as long as the best sequence breaks some count, or shows an item twice, by that too.
What is left out can only make the bound higher. Rows that no slot may hold are left out from the start.

Cost: that of a few sequences; O(n) besides.

References:
    Christofides, Mingozzi & Toth (1981), "State-space relaxation procedures for the computation of bounds to routing
    problems"; Dantzig, Fulkerson & Johnson (1954), "Solution of a large-scale traveling-salesman problem", for
    constraints that are added when they are broken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.greedy import fill
from slatewise.kernels.rules import HIGH, LOW, SEEN, START, STEP, STOP, TIER, WIDTH
from slatewise.kernels.sequence import best_sequence
from slatewise.kernels.sequence_kinds import MOST_KINDS, REACH, Watched
from slatewise.kernels.windows import counted, show, taken_off

MOST_WATCHED, MOST_TWINS, MOST_ROUNDS = 10, 8, 12
RULE, GROUP = 0, 1
"""Columns of what is watched: a rule, and one of its groups."""
FEW = 4
"""Groups up to which a rule's counts are watched from the start."""


class Proof(NamedTuple):
    """A page that was filled greedily, and what is proven of it, or of a better one.

    Attributes:
        rows: Rows of the greedy page.
        cost: (tiers,) int64, what it breaks.
        least: Whether it is proven that no page is longer or breaks the rules less.
        asked: Questions asked of rows to fill it.
        better: Rows of a page that is worth more and breaks no more; none if none was found.
        bound: What no page is worth more than; infinite if `least` is false.
        looks: Looks at states.
    """

    rows: Any
    cost: Any
    least: bool
    asked: int
    better: Any
    bound: float
    looks: int


@kernel
def fill_and_prove(order, rules, slots, questions, utility, exposure, precision, limit):
    """Fill a page greedily and prove it, or a better one, if interleaving can: all in one call, for what that saves.

    Args:
        order: (n,) int32, rows in order of preference.
        rules: The rules, as `core.constraints.Arrays`.
        slots: Page size.
        questions: Questions asked of rows, as `kernels.greedy.fill` has them.
        utility: (n,) float64, of rows.
        exposure: (slots,) float64, descending, >= 0.
        precision: Values as near as this, relative to the larger, count as equal.
        limit: Most looks at states for interleaving, or nearly so.
    """
    nothing = np.empty(0, np.int32)
    free = np.full(len(order), -1, np.int32)
    rows, cost, least, asked = fill(order, rules, free, slots, questions, np.empty((0, 0), np.int32))
    length = len(rows)
    if not least:
        return Proof(rows, cost, least, asked, nothing, np.inf, 0)
    ranked = utility[order]
    known, bound = 0.0, 0.0
    for slot in range(length):
        known += exposure[slot] * utility[rows[slot]]
        bound += exposure[slot] * ranked[slot]
    tolerance = precision * max(abs(known), abs(bound))
    if bound - known <= tolerance:
        return Proof(rows, cost, least, asked, nothing, bound, 0)
    windows, _ = counted(order, rules, length)
    place_of = np.empty(len(order), np.int32)
    for place in range(len(order)):
        place_of[order[place]] = place
    page, most, looks = interleave(
        windows, ranked, exposure[:length], rules.items[order], place_of[rows], cost, known, tolerance, limit
    )
    return Proof(rows, cost, least, asked, order[page], min(bound, most), looks)


@kernel
def interleave(windows, utility, exposure, items, page, spare, known, tolerance, limit):
    """Return (a better page or an empty one, bound on the worth of any page, looks).

    Args:
        windows: The windows of a page on which only the past stands; left as they were.
        utility: (n,) float64, descending.
        exposure: (slots,) float64, descending, >= 0.
        items: (n,) int32, code of each row's item.
        page: (slots,) int32, the best page known.
        spare: (tiers,) int64, what a page may break, per tier.
        known: What the page known is worth.
        tolerance: Values as near as this count as equal.
        limit: Most looks at states, or nearly so.
    """
    nothing = np.empty(0, np.int32)
    n, slots = len(utility), len(page)
    kind = _allowed(windows, n, slots, spare)
    kinds, looks, bound = 1, 0, np.inf
    watch, watched, size = np.zeros((MOST_WATCHED, 2), np.int64), _none_watched(windows, n), 0
    twin, twins = np.empty(MOST_TWINS, np.int64), 0
    one_each = np.ones(n, np.int64)
    found = page
    for turn in range(MOST_ROUNDS):
        # `found` is the page known, or the best sequence, which breaks something.
        before, alone = size, twins
        show(windows, found)
        size = _watch_more(windows, slots, spare, turn == 0, watch, watched, size)
        taken_off(windows, slots)
        twins = _more_twins(items, found, twin, twins)
        if turn > 0 and size == before and twins == alone:
            break
        for at in range(before, size):
            if watch[at, GROUP] >= 0:
                _watch_count(windows, watch[at, RULE], watch[at, GROUP], slots, watched, at)
            kinds = _split(kind, kinds, watched.adds[at])
        for at in range(alone, twins):
            kinds = _split(kind, kinds, np.where(items == twin[at], one_each, 0))
        if kinds > MOST_KINDS:
            break
        now = Watched(watched.adds[:size], watched.ground[:size], watched.term[:size], watched.single[:size])
        found, most, tried = best_sequence(
            now, utility, exposure, items, twin[:twins], kind, kinds, known + tolerance, limit - looks
        )
        looks += tried
        bound = min(bound, most)
        if bound <= known + tolerance:
            return nothing, known, looks
        if len(found) == 0:
            break
        show(windows, found)
        keeps = not (windows.cost > spare).any()
        taken_off(windows, slots)
        if keeps and _are_distinct(items, found):
            return found, bound, looks
        if looks >= limit:
            break
    return nothing, bound, looks


@kernel
def _allowed(windows, n, slots, spare):
    """Return (n,) int64: 0, or -1 for rows of which a single one breaks what must hold, in whatever slot."""
    rule, group, units, scale = windows.rule, windows.group, windows.units, windows.scale
    past = len(windows.page) - slots
    kind = np.zeros(n, np.int64)
    for one in range(len(rule)):
        whole = rule[one, START] <= past and rule[one, STOP] >= past + slots
        if spare[rule[one, TIER]] == 0 and rule[one, SEEN] < 0 and whole:
            least = scale[one, past:].min()
            for row in range(n):
                if group[row, one] >= 0 and units[row, one] * least > rule[one, HIGH]:
                    kind[row] = -1
    return kind


@kernel
def _none_watched(windows, n):
    """Return room for counts to be watched."""
    return Watched(
        np.zeros((MOST_WATCHED, n), np.int64), np.zeros((MOST_WATCHED, len(windows.page)), np.int64),
        np.zeros((MOST_WATCHED, 5), np.int64), np.zeros(MOST_WATCHED, np.bool_),
    )  # fmt: skip


@leaf
def _watch_more(windows, slots, spare, at_bound, watch, watched, size):
    """Add the counts that matter on the page that is shown to those watched; return how many these are then."""
    rule, past = windows.rule, len(windows.page) - slots
    for one in range(len(rule)):
        wide = windows.wide[one]
        groups = (windows.first[one + 1] - windows.first[one]) // max(wide, 1)
        if rule[one, SEEN] >= 0 and not at_bound and size < len(watch) and _lacks_values(windows, one, slots, spare):
            _watch_values(windows, one, past, watched, size)
            watch[size, RULE], watch[size, GROUP] = one, -1
            size += 1
        if (at_bound and groups > FEW) or not _can_watch(windows, one, slots, spare):
            continue
        for own in range(groups):
            if size == len(watch):
                return size
            if not _is_watched(watch, size, one, own) and _matters(windows, one, own, at_bound):
                watch[size, RULE], watch[size, GROUP] = one, own
                size += 1
    return size


@leaf
def _watch_count(windows, one, own, slots, watched, at):
    """Write what the count of a group is made of; only the past stands on the windows."""
    rule, wide, past = windows.rule, windows.wide[one], len(windows.page) - slots
    for row in range(watched.adds.shape[1]):
        watched.adds[at, row] = windows.units[row, one] if windows.group[row, one] == own else 0
    for window in range(wide):
        watched.ground[at, window] = windows.count[windows.first[one] + own * wide + window]
    watched.term[at, LOW], watched.term[at, HIGH] = rule[one, LOW], rule[one, HIGH]
    watched.term[at, START], watched.term[at, STOP] = rule[one, START] - past, rule[one, STOP] - past
    watched.term[at, WIDTH] = rule[one, WIDTH]
    watched.single[at] = wide == 1 and rule[one, START] <= past


@leaf
def _lacks_values(windows, one, slots, spare):
    """Tell whether a page that is shown has fewer distinct values than a rule must have in its only window."""
    rule, past = windows.rule, len(windows.page) - slots
    alone = windows.wide[one] == 1 and rule[one, START] <= past
    return alone and spare[rule[one, TIER]] == 0 and windows.values[one, 0] * rule[one, STEP] < rule[one, LOW]


@leaf
def _watch_values(windows, one, past, watched, at):
    """Write a floor that every page with enough distinct values keeps: so many rows of values not seen now."""
    rule, first = windows.rule, windows.first[one]
    for row in range(watched.adds.shape[1]):
        own = windows.group[row, one]
        watched.adds[at, row] = 1 if own >= 0 and windows.count[first + own] == 0 else 0
    lacking = rule[one, LOW] - windows.values[one, 0] * rule[one, STEP]
    watched.ground[at, 0] = 0
    watched.term[at, LOW] = (lacking + rule[one, STEP] - 1) // rule[one, STEP]
    watched.term[at, HIGH] = len(windows.page)
    watched.term[at, START], watched.term[at, STOP] = rule[one, START] - past, rule[one, STOP] - past
    watched.term[at, WIDTH] = rule[one, WIDTH]
    watched.single[at] = True


@leaf
def _can_watch(windows, one, slots, spare):
    """Tell whether the counts of a rule must hold and follow from what a state knows."""
    rule = windows.rule
    if spare[rule[one, TIER]] > 0 or rule[one, SEEN] >= 0 or windows.wide[one] == 0:
        return False
    for slot in range(rule[one, START], rule[one, STOP]):
        if windows.scale[one, slot] != 1:
            return False
    past = len(windows.page) - slots
    return (windows.wide[one] == 1 and rule[one, START] <= past) or rule[one, WIDTH] <= REACH + 1


@leaf
def _is_watched(watch, size, one, own):
    for at in range(size):
        if watch[at, RULE] == one and watch[at, GROUP] == own:
            return True
    return False


@leaf
def _matters(windows, one, own, at_bound):
    """Tell whether some count of a group is beyond a bound, or stands at it."""
    first, low, high = windows.first[one] + own * windows.wide[one], windows.rule[one, LOW], windows.rule[one, HIGH]
    for at in range(first, first + windows.wide[one]):
        count = windows.count[at]
        if count > high or count < low or (at_bound and ((count == high and high > 0) or 0 < low == count)):
            return True
    return False


@kernel
def _split(kind, kinds, counts):
    """Tell rows apart by what they count; write the kinds and return how many there are."""
    if kinds > MOST_KINDS:
        return kinds
    old, told = np.empty(MOST_KINDS, np.int64), np.empty(MOST_KINDS, np.int64)
    size = 0
    for row in range(len(kind)):
        if kind[row] < 0:
            continue
        at = 0
        while at < size and (old[at] != kind[row] or told[at] != counts[row]):
            at += 1
        if at == size:
            if size == MOST_KINDS:
                return MOST_KINDS + 1
            old[at], told[at] = kind[row], counts[row]
            size += 1
        kind[row] = at
    return size


@leaf
def _more_twins(items, page, twin, twins):
    """Add items that a page shows twice, and return how many there are then."""
    for at in range(len(page)):
        for other in range(at):
            if items[page[at]] == items[page[other]] and twins < len(twin):
                known = False
                for place in range(twins):
                    known = known or twin[place] == items[page[at]]
                if not known:
                    twin[twins] = items[page[at]]
                    twins += 1
    return twins


@leaf
def _are_distinct(items, page):
    for at in range(len(page)):
        for other in range(at):
            if items[page[at]] == items[page[other]]:
                return False
    return True
