"""Floors: whether rules with lower bounds can still be met in the slots that are left.

One floor alone is watched by `kernels.rules`. Here floors are looked at together: those due by some slot may need more
rows than there are slots left until then, unless some rows serve several of them at once.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def floors_by_end(problem):
    """Return rules with a lower bound, in the order in which their first windows end."""
    floors = np.flatnonzero(problem.low > 0)
    return floors[np.argsort((problem.start + problem.width)[floors], kind="mergesort")]


@njit(cache=True, nogil=True)
def most_served(problem, floors):
    """Return the most floors that one row is in a group of."""
    most = 0
    for row in range(len(problem.group)):
        inside = 0
        for rule in floors:
            inside += problem.group[row, rule] >= 0
        most = max(most, inside)
    return most


@njit(cache=True, nogil=True)
def count_needs(problem, board, slot, floors, needs):
    """Write, for each floor still due after `slot`, how many rows it still needs and can get."""
    for at, rule in enumerate(floors):
        end = problem.start[rule] + problem.width[rule] - 1
        needs[at] = 0
        if slot <= end and problem.step[rule] > 0:
            short = min(board.deficit[rule], board.supply[rule])
            needs[at] = (short + problem.step[rule] - 1) // problem.step[rule]


@njit(cache=True, nogil=True)
def crowded_floors(problem, board, slot, floors, needs, most):
    """Return how many floors, by their ends, would be left too few slots by a row in `slot` that serves none.

    Floors whose needs add up to no more than the slots left are safe. Where they add up to more, rows that serve
    several floors at once may still do; whether they do is tried out.
    """
    total = 0
    for last, rule in enumerate(floors):
        total += needs[last]
        left = problem.start[rule] + problem.width[rule] - 1 - slot
        if needs[last] == 0 or total <= left:
            continue
        if total > left * most or not _coverable(problem, board, floors, needs, last + 1, left, -1):
            return last + 1
    return 0


@njit(cache=True, nogil=True)
def _coverable(problem, board, floors, needs, first, left, row):
    """Tell whether `row` and then `left` more are seen to meet the needs of the first floors.

    Takes the row that serves most of them each time, and so may overlook a way, but never sees one that is not there
    as far as these floors alone are concerned.
    """
    open_needs = needs[:first].copy()
    count = board.count.copy()
    taken = board.used.copy()
    if row >= 0:
        _serve(problem, count, taken, floors, open_needs, row)
    while open_needs.any():
        best, best_served = -1, 0
        for other in range(len(taken)):
            if not taken[other]:
                served = 0
                for at in range(first):
                    served += open_needs[at] > 0 and _serves(problem, count, floors[at], other)
                if served > best_served:
                    best, best_served = other, served
        if best < 0 or left == 0:
            return False
        left -= 1
        _serve(problem, count, taken, floors, open_needs, best)
    return True


@njit(cache=True, nogil=True)
def _serve(problem, count, taken, floors, open_needs, row):
    taken[row] = True
    for at in range(len(open_needs)):
        if open_needs[at] > 0 and _serves(problem, count, floors[at], row):
            open_needs[at] -= 1
            count[problem.base[floors[at]] + problem.group[row, floors[at]]] += problem.units[row, floors[at]]


@njit(cache=True, nogil=True)
def _serves(problem, count, rule, row):
    """Tell whether a row would bring a floor nearer."""
    group = problem.group[row, rule]
    if group < 0:
        return False
    have = count[problem.base[rule] + group]
    return have == 0 if problem.by_value[rule] else have < problem.low[rule]


@njit(cache=True, nogil=True)
def crowding_with(problem, board, slot, floors, needs, row, pattern, first, most):
    """Return by how many rows the needs of the first floors exceed the slots left for them, with `row` in `slot`.

    The pattern says which floors the row serves. Zero if rows that serve several at once are seen to meet them all.
    """
    total, worst, end = 0, 0, 0
    for at in range(first):
        if needs[at] > 0:
            total += needs[at] - ((pattern >> min(at, 62)) & 1)
            end = problem.start[floors[at]] + problem.width[floors[at]] - 1
            worst = max(worst, total - (end - slot))
    left = end - slot
    if worst > 0 and total <= left * most and _coverable(problem, board, floors, needs, first, left, row):
        return 0
    return worst
