"""Groups with few events are drawn towards what they are part of: how far, the groups say together.

Offsets in log-odds, for a group with events y and predictions p, gap U = sum (y - p) and information I = sum p (1 - p):

    between^2 = max(0, sum (U^2 - I) / sum I^2)       offset = argmax of log-likelihood - offset^2 / (2 between^2)

and factors, for observed O over expected E, with variance `noise` * E within groups:

    1 / strength = max(0, sum ((O - E)^2 - noise * E) / sum E^2)
    factor = (O / noise + strength) / (E / noise + strength)

If groups differ by no more than chance, all have offset 0 and factor 1, exactly; so has a group without data.

Cost: O(n) a step.

References:
    Robbins (1956), "An Empirical Bayes Approach to Statistics".
    DerSimonian & Laird (1986), "Meta-Analysis in Clinical Trials", Controlled Clinical Trials 7, on moments.
    DuMouchel (1999), "Bayesian Data Mining in Large Frequency Tables", The American Statistician 53, on factors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Groups = NDArray[np.int64]

STEPS, SMALL = 60, 1e-10


class Shrunk(NamedTuple):
    """What groups differ by.

    Attributes:
        found: (groups,) offset or factor of each.
        spread: Standard deviation of offsets between groups; of factors, relative to 1.
    """

    found: Numbers
    spread: float


def shrunken_offsets(level: Numbers, outcome: Numbers, group: Groups, groups: int) -> Shrunk:
    """Return the offset of each group, in log-odds.

    Args:
        level: (n,) log-odds that are predicted.
        outcome: (n,) events, or shares of one.
        group: (n,) which group.
        groups: How many there are.

    >>> group = np.repeat([0, 1], 1000)
    >>> outcome = np.tile([1.0, 0.0, 0.0, 0.0], 500)
    >>> shrunken_offsets(np.full(2000, -np.log(3.0)), outcome, group, 3).found.tolist()
    [0.0, 0.0, 0.0]
    """
    gap, information = _moments(level, outcome, group, groups)
    weight = np.square(information).sum()
    between = max(0.0, float((np.square(gap) - information).sum() / weight)) if weight > 0 else 0.0
    found = np.zeros(groups)
    if between == 0.0:
        return Shrunk(found, 0.0)
    for _ in range(STEPS):
        gap, information = _moments(level + found[group], outcome, group, groups)
        step = np.clip((gap - found / between) / (information + 1 / between), -1.0, 1.0)
        found += step
        if np.abs(step).max() < SMALL:
            break
    return Shrunk(found, float(np.sqrt(between)))


def shrunken_factors(observed: Numbers, expected: Numbers, *, noise: float = 1.0) -> Shrunk:
    """Return the factor of each group.

    Args:
        observed: (groups,) what was seen.
        expected: (groups,) what was expected, >= 0, on the same scale as a whole.
        noise: Variance of what is seen, per unit that is expected: 1 for events.

    >>> shrunken_factors(np.array([110.0, 90.0, 0.0]), np.array([100.0, 100.0, 0.0])).found.tolist()
    [1.0, 1.0, 1.0]
    >>> shrunken_factors(np.array([200.0, 20.0, 3.0]), np.array([110.0, 110.0, 1.5])).found.round(1).tolist()
    [1.8, 0.2, 1.5]
    """
    weight = np.square(expected).sum()
    excess = float((np.square(observed - expected) - noise * expected).sum() / weight) if weight > 0 else 0.0
    if excess <= 0.0 or noise <= 0.0:
        return Shrunk(np.ones(len(observed)), 0.0)
    strength = 1 / excess
    return Shrunk((observed / noise + strength) / (expected / noise + strength), float(np.sqrt(excess)))


def sums(group: Groups, values: Numbers, groups: int) -> Numbers:
    """Return (groups,) the sum of the values of each group.

    >>> sums(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]), 3).tolist()
    [1.0, 0.0, 5.0]
    """
    return np.bincount(group, values, groups).astype(np.float64)


def _moments(level: Numbers, outcome: Numbers, group: Groups, groups: int) -> tuple[Numbers, Numbers]:
    rate = 1 / (1 + np.exp(-level))
    return sums(group, outcome - rate, groups), sums(group, rate * (1 - rate), groups)
