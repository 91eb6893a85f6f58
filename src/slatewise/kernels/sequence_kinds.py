"""Kinds of rows that a sequence is made of, and which of them may come next.

Rows of a kind are the same to all counts that are watched, and stand in their order. So do those of like kinds, which
only items or floors set apart: of two such rows the better one stands above, as they could change places, unless

- the worse one stands above for the sake of a floor, which does not mind what comes after its window; or
- the better one does not stand on the page, as another row shows its item.

Cost: O(kinds^2) to lay a state open.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import copy, kernel, leaf
from slatewise.kernels.rules import HIGH, LOW, START, STOP, WIDTH

KIND_BITS = 5
"""Bits of a state for a kind."""
MOST_KINDS = 2**KIND_BITS - 1
REACH = 8
"""Slots above that a state knows the kinds of, at most."""
NEVER = 1_000
"""A slot that does not come."""


class Watched(NamedTuple):
    """Counts that a sequence must keep within their bounds.

    Attributes:
        adds: (watched, n) int64, what each row counts.
        ground: (watched, windows) int64, what the past counts.
        term: (watched, 5) int64: lower and upper bound, start, stop and width of the windows, in slots of the page.
        single: (watched,) bool, whether there is one window that begins with the page, or before.
    """

    adds: Any
    ground: Any
    term: Any
    single: Any


class Kinds(NamedTuple):
    """Kinds of rows, and what they count.

    Attributes:
        rows: (kinds, slots) int32, the best rows of each, in order.
        many: (kinds,) int64, how many.
        utility: (kinds, slots) float64, of `rows`.
        adds: (watched, kinds) int64, what a row of a kind counts.
        top: (watched,) int64, the most that a row counts.
        like: (kinds,) int64, the first kind that is like it: only items or floors set them apart.
        brings: (kinds, kinds) int64, as bits, floors to which the first brings more than the second.
        back: (kinds, kinds) int64, slot from which on better rows of the second may follow rows of the first.
        item: (kinds,) int64, the item of a kind that has no other, -1 for kinds of many.
        shift: (kinds + 1,) int64, first bit of a state that says how many rows of a kind it used.
        reach: Slots above that matter.
        capped: Whether a single window has an upper bound that may matter.
    """

    rows: Any
    many: Any
    utility: Any
    adds: Any
    top: Any
    like: Any
    brings: Any
    back: Any
    item: Any
    shift: Any
    reach: int
    capped: bool


class Opened(NamedTuple):
    """What a state says, laid open.

    Attributes:
        many: (kinds,) int64, rows used of each kind.
        recent: (reach,) int64, the kinds above, the last one first.
        count: (watched,) int64, what stands in single windows.
        out: (kinds,) bool, whether no row of a kind can come next: it was passed over, or its item is shown.
        gone: (kinds,) bool, whether none can come any more.
        after: (kinds,) bool, the same once one more row is used.
    """

    many: Any
    recent: Any
    count: Any
    out: Any
    gone: Any
    after: Any


@kernel
def laid_out(utility, slots, items, twin, kind, kinds, watched):
    """Return what there is of each kind; the arguments are those of `sequence.best_sequence`."""
    rows, many, worth = np.zeros((kinds, slots), np.int32), np.zeros(kinds, np.int64), np.zeros((kinds, slots))
    for row in range(len(kind)):
        own = kind[row]
        if own >= 0 and many[own] < slots:
            rows[own, many[own]], worth[own, many[own]] = row, utility[row]
            many[own] += 1
    size = len(watched.term)
    adds, top, floor = np.zeros((size, kinds), np.int64), np.zeros(size, np.int64), np.zeros(size, np.bool_)
    reach, capped = 0, False
    for at in range(size):
        for which in range(kinds):
            if many[which]:
                adds[at, which] = watched.adds[at, rows[which, 0]]
                top[at] = max(top[at], adds[at, which])
        if not watched.single[at]:
            reach = max(reach, watched.term[at, WIDTH] - 1)
        elif watched.term[at, HIGH] < watched.ground[at, 0] + slots * top[at]:
            capped = True
        else:
            floor[at] = True
    like, brings, back = _compared(adds, floor, watched.term)
    item, shift = np.full(kinds, -1), np.zeros(kinds + 1, np.int64)
    for which in range(kinds):
        for one in twin:
            if many[which] and items[rows[which, 0]] == one:
                item[which] = one
        shift[which + 1] = shift[which]
        while 1 << (shift[which + 1] - shift[which]) <= many[which]:
            shift[which + 1] += 1
    return Kinds(rows, many, worth, adds, top, like, brings, back, item, shift, reach, capped)


@kernel
def _compared(adds, floor, term):
    """Return (the first kind that is like each, what one kind brings more than another, until when that matters)."""
    kinds = adds.shape[1]
    like, brings, back = np.arange(kinds), np.zeros((kinds, kinds), np.int64), np.full((kinds, kinds), NEVER)
    for which in range(kinds):
        for other in range(kinds):
            alike = True
            for at in range(len(adds)):
                alike = alike and (floor[at] or adds[at, other] == adds[at, which])
                if floor[at] and adds[at, which] > adds[at, other]:
                    brings[which, other] |= 1 << at
                    back[which, other] = min(back[which, other], term[at, STOP])
            if alike:
                like[which] = min(like[which], other)
    return like, brings, back


@kernel
def room_for(side, watched):
    """Return room to lay states open in."""
    kinds = len(side.many)
    out, gone, after = np.zeros(kinds, np.bool_), np.zeros(kinds, np.bool_), np.zeros(kinds, np.bool_)
    many, recent, count = np.zeros(kinds, np.int64), np.zeros(side.reach, np.int64), np.zeros(len(watched), np.int64)
    return Opened(many, recent, count, out, gone, after)


@leaf
def count_used(key, shift, many):
    """Write how many rows of each kind a state used."""
    for which in range(len(many)):
        many[which] = (key >> shift[which]) & ((np.int64(1) << (shift[which + 1] - shift[which])) - 1)


@leaf
def lay_open(side, watched, key, last, slot, here):
    """Write what a state says before a slot, and return, as bits, which floors still ask for rows."""
    many, owed = here.many, 0
    count_used(key, side.shift, many)
    for above in range(side.reach):
        here.recent[above] = (last >> (KIND_BITS * above)) & MOST_KINDS
    for at in range(len(watched.term)):
        if watched.single[at]:
            here.count[at] = watched.ground[at, 0]
            for which in range(len(many)):
                here.count[at] += many[which] * side.adds[at, which]
            if here.count[at] < watched.term[at, LOW] and slot < watched.term[at, STOP]:
                owed |= 1 << at
    for which in range(len(many)):
        here.out[which] = here.gone[which] = False
    for which in range(len(many)):
        if many[which]:
            _close(side, many, here.out, which, slot)
            _close(side, many, here.gone, which, NEVER - 1)
    return owed


@leaf
def _close(side, many, out, which, slot):
    """Write which kinds no row can come of, up to a slot, as the last row used of a kind stands above."""
    row, item = side.rows[which, many[which] - 1], side.item[which]
    for other in range(len(many)):
        if (
            side.like[other] == side.like[which]
            and slot < side.back[which, other]
            and _is_better(side, many, other, row)
        ):
            out[other] = True
        if item >= 0 and side.item[other] == item:
            out[other] = True


@leaf
def _is_better(side, many, which, row):
    """Tell whether a kind has a row left that goes before another one."""
    return many[which] < side.many[which] and side.rows[which, many[which]] < row


@leaf
def may_come(side, here, owed, which):
    """Tell whether a row of a kind may come next, as far as the rows that it would pass over are concerned."""
    many = here.many
    if here.out[which] or many[which] >= side.many[which]:
        return False
    row = side.rows[which, many[which]]
    for other in range(len(many)):
        passed = side.like[other] == side.like[which] and not here.out[other] and _is_better(side, many, other, row)
        if passed and not side.brings[which, other] & owed and not _has_twin(side, here, other):
            return False
    return True


@leaf
def _has_twin(side, here, which):
    """Tell whether the item of a kind may be shown by another one."""
    for other in range(len(here.many)):
        if other != which and side.item[other] == side.item[which] >= 0 and not here.gone[other]:
            return True
    return False


@leaf
def take(side, here, which):
    """Use one more row of a kind."""
    here.many[which] += 1
    for at in range(len(here.count)):
        here.count[at] += side.adds[at, which]
    copy(here.gone, here.after)
    _close(side, here.many, here.after, which, NEVER - 1)


@leaf
def give_back(side, here, which):
    """Take `take` back."""
    here.many[which] -= 1
    for at in range(len(here.count)):
        here.count[at] -= side.adds[at, which]


@leaf
def holds(side, watched, here, slot, slots, which):
    """Tell whether a row of a kind may come next, as far as the counts that are watched are concerned."""
    adds, term, ground = side.adds, watched.term, watched.ground
    for at in range(len(term)):
        if not term[at, START] <= slot < term[at, STOP]:
            continue
        if watched.single[at]:
            count, left = here.count[at] + adds[at, which], term[at, STOP] - 1 - slot
        else:
            start = max(slot - term[at, WIDTH] + 1, term[at, START])
            count, left = ground[at, start - term[at, START]] + adds[at, which], start + term[at, WIDTH] - 1 - slot
            for above in range(slot - max(start, 0)):
                count += adds[at, here.recent[above]]
        if count > term[at, HIGH] or count + left * side.top[at] < term[at, LOW]:
            return False
    return True
