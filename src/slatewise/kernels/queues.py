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
