"""Queues: each line's rows in its own order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.compiled import kernel


@kernel
def predecessors(queue: NDArray[np.int32], lines: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Return (n,) int32: for each row the one before it among the rows of its line, -1 for the first.

    Args:
        queue: (n,) int32, all rows; those of a line stand in its order.
        lines: (n,) int32, line of each row, 0..size-1.
        size: Number of lines.
    """
    last = np.full(size, -1, np.int32)
    before = np.empty(len(queue), np.int32)
    for row in queue:
        before[row] = last[lines[row]]
        last[lines[row]] = row
    return before


@kernel
def prefixes(worth: NDArray[np.float64], starts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return, for rows in the order of their queues, (the largest mean of rows from this one on, where these end).

    The rows of a queue are cut into blocks of falling mean: the least concave function above its sums. Of equally large
    means the longest counts. Cost: O(n).

    Args:
        worth: (n,) float64, queue after queue.
        starts: (lines + 1,) int64, where each queue begins.
    """
    mean, end = np.empty(len(worth)), np.empty(len(worth), np.int64)
    total = np.empty(len(worth))
    for line in range(len(starts) - 1):
        for row in range(starts[line + 1] - 1, starts[line] - 1, -1):
            total[row], mean[row], end[row] = worth[row], worth[row], row + 1
            while end[row] < starts[line + 1] and mean[end[row]] >= mean[row]:
                total[row] += total[end[row]]
                end[row] = end[end[row]]
                mean[row] = total[row] / (end[row] - row)
    return mean, end
