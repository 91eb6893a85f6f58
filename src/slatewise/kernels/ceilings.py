"""Ceilings: what a row may be worth at most, whatever the slot, and which row is the next that may be the best.

Cost: O(n) for a look over all rows, by sixteen at once.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import inlined, leaf
from slatewise.kernels.redundancy import MOVES, WEIGHT

STRIDE = 16
"""Ceilings that are looked at together."""


@inlined
def most_worth(worth, term, size, low, pos):
    """Return what a row is worth by itself, less the redundancy that no later window forgets."""
    total = worth[pos]
    for a in range(len(term)):
        if not term[a, MOVES]:
            total -= size[a, WEIGHT] * low[a, pos]
    return total


@leaf
def next_above(ceiling, worth, at, least, lowest):
    """Return the first place from `at` on with a ceiling of `least`; n if there is none, or worth is under `lowest`."""
    n = len(ceiling)
    while at + STRIDE <= n:
        if worth[at] < lowest:
            return n
        some = False
        for k in range(STRIDE):
            some |= ceiling[np.uint64(at + k)] >= least
        if some:
            break
        at += STRIDE
    while at < n and ceiling[at] < least:
        at += 1
    return at
