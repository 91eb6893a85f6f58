"""Rows by value, where equals are told apart by what items are called.

Few rows are equal as a rule, and those few stand together once all are sorted by value: each run of them is sorted by
itself, in place (Shell's method, whose gaps are 1, 4, 13, ...). Cost: O(n) beside the sort, O(m^1.5) for a run of m.

References:
    Knuth (1998), "The Art of Computer Programming", vol. 3, 2nd ed., section 5.2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.compiled import inlined, kernel, leaf


@kernel
def untied(rising: Any, values: Any, ids: Any, lines: Any, places: Any) -> NDArray[np.int32]:
    """Return (n,) int32: rows, largest value first; equals by id, then by the place of their line.

    Args:
        rising: (n,) rows, smallest value first, equals in any order; NaN last.
        values: (n,) value of each row.
        ids: (n,) id of each row's item.
        lines: (n,) line of each row.
        places: (lines,) place of each line among them.
    """
    n = len(rising)
    rows = np.empty(n, np.int32)
    for at in range(n):
        rows[at] = rising[n - 1 - at]
    start = 0
    while start < n:
        stop = start + 1
        while stop < n and values[rows[stop]] == values[rows[start]]:
            stop += 1
        _sort(rows, start, stop, ids, lines, places)
        start = stop
    return rows


@leaf
def _sort(rows, start, stop, ids, lines, places):
    """Sort the rows from `start` to `stop` by id and line."""
    gap = 1
    while 3 * gap + 1 < stop - start:
        gap = 3 * gap + 1
    while gap > 0:
        for at in range(start + gap, stop):
            row, to = rows[at], at
            while to - gap >= start and _is_before(row, rows[to - gap], ids, lines, places):
                rows[to] = rows[to - gap]
                to -= gap
            rows[to] = row
        gap //= 3


@inlined
def _is_before(one, other, ids, lines, places):
    """Tell whether a row comes before another of the same value."""
    if ids[one] != ids[other]:
        return ids[one] < ids[other]
    return places[lines[one]] < places[lines[other]]
