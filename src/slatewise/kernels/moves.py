"""Changes of a page, and whether they improve it; `kernels.swap` says which there are.

A change is written into `trial` first. What it is worth is told by `worth` alone; only one that is worth something is
put on the windows, and taken off again if the page then breaks the rules more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import copy, kernel, leaf
from slatewise.kernels.pairs import total
from slatewise.kernels.rules import TWIN
from slatewise.kernels.slot import less
from slatewise.kernels.windows import clashes, floors_held, holds, put

LOOKS, LEFT, DESPERATE, SORTED = 0, 1, 2, 3
"""Places in `Climb.note`: looks taken, most looks, whether to break the rules less at any price, whether earlier rows
are worth more in every slot."""


class Climb(NamedTuple):
    """A page that is being improved.

    Attributes:
        windows: Its windows.
        page: (slots,) int32, the page.
        worth: (n, slots) float64, what each row adds in each slot, pairs apart.
        left: (n, P) int32, see `kernels.pairs`; likewise `right` and `pairs`.
        right: See `left`.
        pairs: (P, reach) float64, what pairs are worth.
        link: (n, 3) int32, as on a board: rows of one item are in a ring.
        used: (n,) int64, whether an item is on the page.
        trial: (slots,) int32, room for a changed page.
        old: (slots,) int32, room for the page as it was.
        before: (tiers,) int64, room for what it broke.
        held: (R,) int64, room for the floors that a row holds.
        made: (1,) float64, what the pairs of the page make.
        tolerance: Changes worth no more than this are none.
        note: (4,) int64, see `LOOKS`.
    """

    windows: Any
    page: Any
    worth: Any
    left: Any
    right: Any
    pairs: Any
    link: Any
    used: Any
    trial: Any
    old: Any
    before: Any
    held: Any
    made: Any
    tolerance: Any
    note: Any


@leaf
def improve(one, rows):
    """Change the page until no change improves it; changes of at most `rows` rows are tried, of two or of all."""
    improved = True
    while improved and one.note[LOOKS] < one.note[LEFT]:
        improved = _replace(one)
        improved = _trade(one) or improved
        improved = _move(one) or improved
        if rows > 2:
            improved = _bring(one, True) or improved
            improved = _bring(one, False) or improved


@leaf
def count_in(used, link, row, by):
    """Count a row, and the others of its item, on to the page or off it."""
    other = row
    while True:
        used[other] += by
        other = link[other, TWIN]
        if other == row:
            return


@leaf
def is_free(used, link, row, leaving):
    """Tell whether a row could come on to the page if another one left it."""
    if used[row] == 0:
        return True
    other = link[leaving, TWIN]
    while other != leaving:
        if other == row:
            return True
        other = link[other, TWIN]
    return False


@leaf
def _shift(trial, page, source, target):
    """Write into `trial` the page whose row from `source` stands at `target`, those between closed up."""
    copy(page, trial)
    step = 1 if target > source else -1
    for slot in range(source, target, step):
        trial[slot] = page[slot + step]
    trial[target] = page[source]


@leaf
def _gain(worth, trial, page):
    """Return what `trial` is worth more than the page, pairs apart."""
    gain = 0.0
    for slot in range(len(page)):
        if trial[slot] != page[slot]:
            gain += worth[trial[slot], slot] - worth[page[slot], slot]
    return gain


@kernel
def _bar(one):
    """Return what a change must be worth, pairs apart, to be looked at closely."""
    if one.note[LOOKS] >= one.note[LEFT]:
        return np.inf
    if len(one.pairs) or (one.note[DESPERATE] and one.windows.cost.any()):
        return -np.inf
    return one.tolerance


@kernel
def _keep(one, gain, entering):
    """Put `trial` on the page if that improves it.

    `gain` is what the change is worth without pairs, `entering` the slot of the row that comes furthest, looked at
    first.
    """
    windows, page, trial = one.windows, one.page, one.trial
    past = len(windows.page) - len(page)
    made = total(one.left, one.right, one.pairs, trial)
    gain += made - one.made[0]
    before, old = one.before, one.old
    before[:] = windows.cost
    flawless = not before.any()
    one.note[LOOKS] += 3 if len(one.pairs) else 1
    if gain <= one.tolerance and (flawless or not one.note[DESPERATE]):
        return False
    if flawless and clashes(windows.rule, windows.group, windows.units, windows.scale, windows.page, trial, entering):
        return False
    one.note[LOOKS] += 20
    old[:] = page
    for slot in range(len(page)):
        if trial[slot] != old[slot]:
            put(windows, past + slot, trial[slot])
    if less(windows.cost, before) or (gain > one.tolerance and not less(before, windows.cost)):
        for slot in range(len(page)):
            if page[slot] != old[slot]:
                count_in(one.used, one.link, old[slot], -1)
                count_in(one.used, one.link, page[slot], 1)
        one.made[0] = made
        return True
    for slot in range(len(page)):
        if page[slot] != old[slot]:
            put(windows, past + slot, old[slot])
    return False


@leaf
def _replace(one):
    worth, page, trial, used, link = one.worth, one.page, one.trial, one.used, one.link
    group, held, past = one.windows.group, one.held, len(one.windows.page) - len(page)
    improved, bar = False, _bar(one)
    for slot in range(len(page)):
        many = floors_held(one.windows, held, past + slot)
        for row in range(len(worth)):
            gain = worth[row, slot] - worth[page[slot], slot]
            if gain <= bar:
                if one.note[SORTED]:
                    break
            elif (
                row != page[slot] and is_free(used, link, row, page[slot]) and holds(group, held, many, row, page[slot])
            ):
                copy(page, trial)
                trial[slot] = row
                if _keep(one, gain, slot):
                    improved, many = True, floors_held(one.windows, held, past + slot)
                bar = _bar(one)
    return improved


@leaf
def _trade(one):
    worth, page, trial = one.worth, one.page, one.trial
    improved, bar = False, _bar(one)
    for upper in range(len(page)):
        for lower in range(upper + 1, len(page)):
            a, b = page[upper], page[lower]
            gain = worth[a, lower] + worth[b, upper] - worth[a, upper] - worth[b, lower]
            if gain > bar:
                copy(page, trial)
                trial[upper], trial[lower] = b, a
                improved = _keep(one, gain, upper) or improved
                bar = _bar(one)
    return improved


@leaf
def _move(one):
    worth, page, trial = one.worth, one.page, one.trial
    improved, bar = False, _bar(one)
    for source in range(len(page)):
        for target in range(len(page)):
            if abs(source - target) > 1:
                _shift(trial, page, source, target)
                gain = _gain(worth, trial, page)
                if gain > bar:
                    improved = _keep(one, gain, target) or improved
                    bar = _bar(one)
    return improved


@leaf
def _bring(one, making_room):
    """Bring a free row in for one that goes: those between make room for it, or the one that it pushes goes there."""
    worth, page, trial, used, link = one.worth, one.page, one.trial, one.used, one.link
    group, held, past = one.windows.group, one.held, len(one.windows.page) - len(page)
    improved, bar = False, _bar(one)
    for leaving in range(len(page)):
        many = floors_held(one.windows, held, past + leaving)
        for slot in range(len(page)):
            if slot == leaving:
                continue
            gone = page[leaving]
            if making_room:
                _shift(trial, page, leaving, slot)
            else:
                copy(page, trial)
                trial[leaving], trial[slot] = page[slot], gone
            without = _gain(worth, trial, page) - worth[gone, slot]
            asked = 0 if holds(group, held, many, trial[leaving], gone) else many
            for row in range(len(worth)):
                gain = without + worth[row, slot]
                if gain <= bar:
                    if one.note[SORTED]:
                        break
                elif row != gone and is_free(used, link, row, gone) and holds(group, held, asked, row, gone):
                    trial[slot] = row
                    if _keep(one, gain, slot):
                        improved, bar = True, _bar(one)
                        many = floors_held(one.windows, held, past + leaving)
                        break
                    bar = _bar(one)
    return improved
