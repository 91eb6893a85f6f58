"""Fill a page slot by slot with the best row that the rules allow.

Each slot takes the first row, in order of preference, that adds nothing to what the rules must be broken by anyway
(see `kernels.rules`), and that leaves enough slots for all floors that are still due. Where the page then turns out to
break a rule, the search goes back and tries the next-best row (depth first), keeping the page that breaks the rules
least, tier by tier; of rows that no rule tells apart it tries only the best. It stops at the first page that breaks
nothing, when every page has been tried or ruled out, or at `limit` questions asked of rows.

A page that no contractual rule allows at full length is made shorter: the longest one that was found is returned.

Cost: O(slots * n * R) for the first descent in the worst case; the first row that fits ends the look.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.board import board_of
from slatewise.kernels.compiled import copy, kernel, leaf
from slatewise.kernels.floors import floors_of, most_served
from slatewise.kernels.kinds import kinds
from slatewise.kernels.rules import is_waiting, lift, place, slide
from slatewise.kernels.slot import CHOSEN, OWN, breaks, counts_alike, crowds, least_broken, less, notes, survey

FORESIGHT = 20_000
"""Questions asked of rows for the sake of floors that rows may serve together; after that, needs are added up."""


@kernel
def fill(
    order: NDArray[np.int32],
    rules: Any,
    after: NDArray[np.int32],
    slots: int,
    limit: int,
    prefer: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int64], bool, int]:
    """Return (rows of the page, what it breaks per tier, whether no page is longer or breaks the rules less, looks).

    Args:
        order: (n,) int32, rows in order of preference.
        rules: The rules, as `core.constraints.Arrays`.
        after: (n,) int32, row that has to be placed before this one, -1 for none.
        slots: Page size.
        limit: Questions asked of rows, after the first descent, before the search settles for what it has.
        prefer: (slots, n) int32, rows in order of preference for each slot; (0, 0) if it is `order` for all.
    """
    length = min(slots, distinct(rules.items))
    proven = True
    asked = 0
    while length > 0:
        page, cost, complete, questions, deepest = _search(order, rules, after, length, limit - asked, prefer)
        asked += questions
        if page[0] >= 0:
            return order[page], cost, proven and complete, asked
        proven = proven and complete
        length = length - 1 if complete else min(length - 1, deepest)
    tiers = 1 + (rules.tier.max() if len(rules.tier) else 0)
    return np.empty(0, np.int32), np.zeros(tiers, np.int64), proven, asked


@kernel
def distinct(items):
    """Return how many different items there are."""
    if len(items) == 0:
        return 0
    seen = np.zeros(items.max() + 1, np.bool_)
    for item in items:
        seen[item] = True
    return np.count_nonzero(seen)


@kernel
def _search(order, rules, after, length, limit, prefer):
    """Return (best page or -1s, what it breaks, whether all was searched, questions asked, deepest slot reached).

    `least[slot]` is what the rules are broken by at least, per tier, once the slots before `slot` are filled.
    """
    board = board_of(order, rules, after, length)
    rule, state, count, group, units, scale, room, link, page, committed = board
    n, tiers, past = len(order), len(committed), len(page) - length
    best = np.full(length, -1, np.int32)
    best_cost = np.full(tiers, np.iinfo(np.int64).max, np.int64)
    least = np.zeros((past + length + 1, tiers), np.int64)
    floor = floors_of(rule)
    most = most_served(floor, group[:n])
    price = np.zeros((3, tiers), np.int64)
    least_broken(rule, state, group, units, room, floor, most, past, length, price[OWN], least[past])
    if least[past, 0] > 0:
        return best, best_cost, True, 0, 0  # no page of this length keeps the rules that never give way
    note = notes(len(rule))
    preferred = _renumbered(prefer, order)
    chosen = price[CHOSEN]
    kind = np.empty(0, np.int32)
    tried = np.zeros((0, 0), np.bool_)
    slot, deepest, asked, foresight = past, past, 0, FORESIGHT
    descending = True
    while slot >= past:
        row = -1
        if descending or asked < limit:
            row, questions, looks = _best_row(
                board,
                floor,
                most if foresight > 0 else 1,
                slot,
                least[slot],
                preferred[slot - past] if len(prefer) else preferred[0],
                kind,
                tried,
                price,
                note,
            )
            foresight -= looks
            if not descending:
                asked += questions + looks
        if row >= 0 and less(chosen, best_cost):
            if not descending:
                tried[slot, kind[row]] = True
            place(rule, state, count, group, units, scale, link, page, committed, slot, row)
            slot += 1
            least[slot] = chosen
            deepest = max(deepest, slot)
            if slot < len(page):
                slide(rule, state, count, group, units, scale, page, slot, -1)
                if not descending:
                    tried[slot] = False
                continue
            best[:] = page[past:]
            best_cost[:] = chosen
            if not best_cost.any() or not less(least[past], best_cost):
                return best, best_cost, True, asked, deepest - past
        else:
            slide(rule, state, count, group, units, scale, page, slot, 1)
        if descending:
            # The first descent is over without a perfect page: from here on, remember what was tried.
            descending = False
            kind = kinds(group, units, link)
            tried = np.zeros((len(page), n), np.bool_)
            for done in range(past, slot):
                tried[done, kind[page[done]]] = True
        if asked >= limit:
            return best, best_cost, False, asked, deepest - past
        slot -= 1
        if slot >= past:
            lift(rule, state, count, group, units, scale, link, page, committed, slot)
    return best, best_cost, True, asked, deepest - past


@kernel
def _renumbered(prefer, order):
    """Return the preferred rows of each slot in the numbers of the board; for no preference, one row of all."""
    n = len(order)
    preferred = np.empty((max(len(prefer), 1), n), np.int32)
    if len(prefer) == 0:
        preferred[0] = np.arange(n)
        return preferred
    place_of = np.empty(n, np.int32)
    for row in range(n):
        place_of[order[row]] = row
    for slot in range(len(prefer)):
        for at in range(n):
            preferred[slot, at] = place_of[prefer[slot, at]]
    return preferred


@leaf
def _best_row(board, floor, most, slot, floor_cost, preferred, kind, tried, price, note):
    """Return (row for the slot or -1, questions asked, those asked for floors); `price[CHOSEN]` is what it breaks.

    Of the rows not yet tried, the one with the least cost, then the least crowding of floors, then the first preferred.
    `floor_cost` is what the rules are broken by at least, and `note` is room to write in.
    """
    rule, state, count, group, units, scale, room, link, _, committed = board
    chosen = price[CHOSEN]
    lively, crowded, tries = survey(
        rule, state, count, group, units, room, link, committed, floor, slot, most, price, note
    )
    best, best_crowding, asked, met, before = -1, 0, 0, 0, -1
    looks = tries * len(link)
    for row in preferred:
        asked += 1
        if is_waiting(link, row) or (len(kind) > 0 and tried[slot, kind[row]]):
            continue
        if before >= 0 and counts_alike(group, units, lively, note, row, before):
            continue  # it does here what that one does, which goes before it
        before = row
        cost = price[breaks(rule, state, count, group, units, scale, room, slot, row, lively, price, note)]
        if cost[0] > 0 or (best >= 0 and less(chosen, cost)):
            continue
        lacks = 0
        if crowded > 0:
            lacks, met, new = crowds(rule, count, group, units, link, floor[:crowded], most, slot, row, met, note)
            looks += new * len(link)
        if best < 0 or lacks < best_crowding or less(cost, chosen):
            best, best_crowding = row, lacks
            copy(cost, chosen)
            if lacks == 0 and not less(floor_cost, cost):
                break
    return best, asked, looks
