"""Improve a page by changing a few slots at a time, until no change does.

Five kinds of change are tried:

* trade: two rows change places;
* move: a row goes to another slot, and those between close up;
* replace: a free row takes the slot of one that goes;
* enter: a free row moves in, those between make room, and one goes;
* eject: a free row takes a slot, and the row from there takes the slot of one that goes.

A change is kept if the page then breaks the rules less, the most important first, or as little and is worth more.

Where pairs make many such pages, the best one is changed at random, from a fixed seed, and improved again.

Cost: O(slots^2 * n) to look at what changes are worth, O(R * width) for each that is worth something.

References:
    Aarts & Lenstra (1997), "Local search in combinatorial optimization"; Glover (1996), "Ejection chains, reference
    structures and alternating path methods", for changes of three rows; Lourenço, Martin & Stützle (2003), "Iterated
    local search".
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.moves import DESPERATE, LOOKS, Climb, count_in, improve, is_free
from slatewise.kernels.pairs import total
from slatewise.kernels.slot import less
from slatewise.kernels.windows import put


@kernel
def climb(windows, worth, left, right, pairs, link, limit, desperate, in_order, kicks, tolerance):
    """Improve the page that stands in `windows`, in place, and return the looks taken.

    Args:
        windows: The windows of the page.
        worth: (n, slots) float64, as in `Climb`; likewise `left`, `right`, `pairs`, `link` and `tolerance`.
        left: See `worth`.
        right: See `worth`.
        pairs: See `worth`.
        link: See `worth`.
        limit: Most looks.
        desperate: Whether changes that are worth less are tried, too, so as to break the rules less.
        in_order: Whether earlier rows are worth more in every slot.
        kicks: How often in a row a page that no change improves is changed at random and improved again, in vain.
        tolerance: See `worth`.
    """
    past = len(windows.page) - worth.shape[1]
    page = windows.page[past:]
    used, held = np.zeros(len(worth), np.int64), np.zeros(len(windows.rule), np.int64)
    note = np.array([0, limit, desperate, in_order], np.int64)
    room = page.copy(), page.copy(), windows.cost.copy(), held, np.array([total(left, right, pairs, page)])
    one = Climb(windows, page, worth, left, right, pairs, link, used, *room, tolerance, note)
    for row in page:
        count_in(used, link, row, 1)
    improve(one, len(page) + 1)
    best, cost, value = page.copy(), windows.cost.copy(), _value(one)
    vain, seed = 0, np.int64(1)
    while vain < kicks and note[LOOKS] < limit:
        seed = _kick(one, seed)
        note[DESPERATE] = 1
        improve(one, 2)
        made = _value(one)
        vain += 1
        if less(windows.cost, cost) or (made > value + tolerance and not less(cost, windows.cost)):
            improve(one, len(page) + 1)
            best[:], cost[:], value = page, windows.cost, _value(one)
            vain = 0
        else:
            _go_back(one, best)
    return note[LOOKS]


@leaf
def _value(one):
    """Return what the page is worth."""
    value = one.made[0]
    for slot in range(len(one.page)):
        value += one.worth[one.page[slot], slot]
    return value


@kernel
def _kick(one, seed):
    """Trade two rows and replace one, at random; return the next seed."""
    page, past = one.page, len(one.windows.page) - len(one.page)
    drawn = np.empty(4, np.int64)
    for at in range(4):
        seed = (seed * 1103515245 + 12345) % 2147483648
        drawn[at] = seed >> 8
    upper, lower, slot, row = drawn[0] % len(page), drawn[1] % len(page), drawn[2] % len(page), drawn[3] % len(one.used)
    a, b = page[upper], page[lower]
    put(one.windows, past + upper, b)
    put(one.windows, past + lower, a)
    gone = page[slot]
    if row != gone and is_free(one.used, one.link, row, gone):
        put(one.windows, past + slot, row)
        count_in(one.used, one.link, gone, -1)
        count_in(one.used, one.link, row, 1)
    one.made[0] = total(one.left, one.right, one.pairs, page)
    return seed


@leaf
def _go_back(one, best):
    """Put another page back."""
    page, past = one.page, len(one.windows.page) - len(one.page)
    for slot in range(len(page)):
        count_in(one.used, one.link, page[slot], -1)
        if page[slot] != best[slot]:
            put(one.windows, past + slot, best[slot])
        count_in(one.used, one.link, best[slot], 1)
    one.made[0] = total(one.left, one.right, one.pairs, page)
