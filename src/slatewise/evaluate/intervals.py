"""How sure: intervals of means over visits that come in clusters.

Visits of one reader resemble each other, so that 1,000 visits of 40 readers say far less than 1,000 visits of 1,000.
The bootstrap therefore draws readers, not visits, with all that belongs to them:

    mean = sum_c total_c / sum_c count_c,  clusters c drawn with replacement, as many as there are

The difference of two arms measured on the same visits is the mean of the differences, so that what makes a visit hard
for both cancels. An interval by percentiles; with fewer than some 30 clusters it is too narrow. With more than `MANY`
it is the same as its normal limit, which is then used:

    mean ± z * sqrt(sum_c (total_c - mean * count_c)^2) / sum_c count_c

Cost: O(resamples * clusters) up to `MANY` clusters, in blocks of bounded memory, and O(clusters) above.

References:
    Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 (clusters) and 13 (percentiles).
    Cochran (1977), "Sampling Techniques", section 6.4: the variance of a ratio of sums.
    Field & Welsh (2007), "Bootstrapping clustered data", JRSS B 69(3).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, norm

Numbers: TypeAlias = NDArray[np.float64]

BLOCK = 4_000_000
"""Drawn clusters held in memory at once."""

MANY = 2_000
"""Clusters up to which they are drawn."""


class Interval(msgspec.Struct, frozen=True):
    """An estimate and how sure it is.

    Attributes:
        estimate: The mean.
        low: Lower end; NaN where there are fewer than two clusters.
        high: Upper end.
        level: Share of samples whose interval holds the truth, in the long run.
        clusters: How many clusters it rests on.
    """

    estimate: float
    low: float
    high: float
    level: float
    clusters: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval is on one side of zero."""
        return self.low > 0 or self.high < 0


def mean_by_cluster(
    values: ArrayLike, clusters: ArrayLike, *, level: float = 0.95, resamples: int = 4999, seed: int = 0
) -> Interval:
    """Return the mean of values with an interval that draws whole clusters.

    Args:
        values: (n,) one number per visit; NaN where there is none.
        clusters: (n,) whose visit it was.
        level: Share of samples whose interval holds the truth, in (0, 1).
        resamples: How often clusters are drawn, >= 1.
        seed: Root of the draws.

    Examples:
        >>> same = mean_by_cluster([1.0, 1.0, 1.0], [1, 1, 2])
        >>> same.estimate, same.low, same.high
        (1.0, 1.0, 1.0)
    """
    totals, counts = _sums(values, clusters)
    size = len(totals)
    estimate = float(totals.sum() / counts.sum()) if size else np.nan
    if size < 2:
        return Interval(estimate, np.nan, np.nan, level, size)
    if size > MANY:
        half = norm.ppf((1 + level) / 2) * np.sqrt(np.square(totals - estimate * counts).sum()) / counts.sum()
        return Interval(estimate, float(estimate - half), float(estimate + half), level, size)
    drawn = bootstrap(
        (totals, counts),
        _ratio,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BLOCK // size),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(drawn.low), float(drawn.high), level, size)


def difference_by_cluster(
    values: ArrayLike,
    baseline: ArrayLike,
    clusters: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 4999,
    seed: int = 0,
) -> Interval:
    """Return the mean of values minus that of a baseline on the same visits, with its interval.

    >>> difference_by_cluster([1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1, 1, 2]).estimate.__round__(3)
    0.333
    """
    paired = np.asarray(values, np.float64) - np.asarray(baseline, np.float64)
    return mean_by_cluster(paired, clusters, level=level, resamples=resamples, seed=seed)


def _sums(values: ArrayLike, clusters: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return (c,) sum and number of the values of each cluster that has any."""
    numbers = np.asarray(values, np.float64)
    present = ~np.isnan(numbers)
    _, codes = np.unique(np.asarray(clusters)[present], return_inverse=True)
    return np.bincount(codes, numbers[present]).astype(np.float64), np.bincount(codes).astype(np.float64)


def _ratio(totals: Numbers, counts: Numbers, axis: int = -1) -> Numbers:
    return totals.sum(axis=axis) / counts.sum(axis=axis)
