"""Logistic regression by Newton's method, for the few parameters of a curve.

Cost: O(n m^2) a step, some ten steps.

References:
    Hastie, Tibshirani & Friedman (2009), "The Elements of Statistical Learning", section 4.4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

STEPS, SMALL = 50, 1e-10
RIDGE = 1e-9
"""Of columns scaled to size 1, per showing: keeps what data leave open at 0."""


def logistic(columns: Numbers, events: Numbers, shown: Numbers) -> Numbers:
    """Return (m,) the coefficients under which the log-odds of events are most likely.

    Args:
        columns: (n, m) what log-odds are a sum of; a column of ones for the offset.
        events: (n,) events, or shares of one, at most `shown`.
        shown: (n,) showings.

    >>> ones = np.ones((4, 1))
    >>> logistic(ones, np.array([1.0, 0, 0, 0]), np.ones(4)).round(3).tolist()
    [-1.099]
    """
    size = np.sqrt(np.maximum(np.square(columns).mean(axis=0), 1e-300))
    scaled = columns / size
    ridge = RIDGE * shown.sum() * np.eye(len(size))
    found = np.zeros(len(size))
    loss = _loss(scaled @ found, events, shown)
    for _ in range(STEPS):
        rate = 1 / (1 + np.exp(-scaled @ found))
        gradient = scaled.T @ (events - shown * rate) - ridge @ found
        step = np.linalg.solve((scaled.T * (shown * rate * (1 - rate))) @ scaled + ridge, gradient)
        after = _loss(scaled @ (found + step), events, shown)
        while after > loss + SMALL * abs(loss) and np.abs(step).max() > SMALL:
            step /= 2
            after = _loss(scaled @ (found + step), events, shown)
        found, loss = found + step, after
        if np.abs(step).max() < SMALL * (1 + np.abs(found).max()):
            break
    return found / size


def _loss(level: Numbers, events: Numbers, shown: Numbers) -> float:
    return float((shown * np.logaddexp(0.0, level) - events * level).sum())
