"""What rows near each other add to a page, or take from it.

`left` and `right` are (n, P) int32, codes of a row as upper and as lower of a pair of each kind, -1 for none; `worth`
is (P, reach) float64, what a pair adds whose rows are 1, 2, ... slots apart.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf


@leaf
def around(left, right, worth, page, slot, row):
    """Return what `row` in `slot` makes with the rows before it."""
    total = 0.0
    for kind in range(len(worth)):
        for distance in range(1, min(worth.shape[1], slot) + 1):
            upper = page[slot - distance]
            if left[upper, kind] >= 0 and left[upper, kind] == right[row, kind]:
                total += worth[kind, distance - 1]
    return total


@leaf
def total(left, right, worth, page):
    """Return what all pairs of a page make."""
    made = 0.0
    for slot in range(len(page) if len(worth) else 0):
        made += around(left, right, worth, page, slot, page[slot])
    return made


@kernel
def most(left, worth, slots):
    """Return (n, slots) float64: the most that each row in each slot can make with the rows after it."""
    bonus = np.zeros((len(left), slots))
    for kind in range(len(worth)):
        for slot in range(slots):
            here = 0.0
            for distance in range(1, min(worth.shape[1], slots - 1 - slot) + 1):
                here += max(0.0, worth[kind, distance - 1])
            if here > 0.0:
                for row in range(len(left)):
                    if left[row, kind] >= 0:
                        bonus[row, slot] += here
    return bonus


@leaf
def forgone(left, right, worth, page, slot, row):
    """Return by how much `row` in `slot` makes less with the rows before it than `most` gave them credit for."""
    lost = 0.0
    for kind in range(len(worth)):
        for distance in range(1, min(worth.shape[1], slot) + 1):
            upper = page[slot - distance]
            if left[upper, kind] >= 0:
                here = worth[kind, distance - 1]
                lost += max(0.0, here) - (here if left[upper, kind] == right[row, kind] else 0.0)
    return lost
