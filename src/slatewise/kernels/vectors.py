"""Vectors measured, in float64: of float32, no square is too large or too small for it.

Cost: O(n d).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.compiled import kernel, summing


@summing
def square(vector):
    """Return the squared length of a vector."""
    total = 0.0
    for k in range(len(vector)):
        total += np.float64(vector[k]) * np.float64(vector[k])
    return total


@kernel
def inverse_lengths(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n,) float64: 1 / length of each row, 0 for a row of zeros, NaN for one that is not finite."""
    inverse = np.empty(len(matrix))
    for row in range(len(matrix)):
        length = np.sqrt(square(matrix[row]))
        inverse[row] = 0.0 if length == 0.0 else 1.0 / length if length < np.inf else np.nan
    return inverse
