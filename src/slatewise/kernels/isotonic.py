"""Isotonic regression, many short rows at once: the closest numbers that never rise, and which of them are pooled.

    l2    min over v_1 >= ... >= v_n of  sum_i (v_i - (z_i - w_i))^2 / 2     pool: mean of z - w
    kl    min over v_1 >= ... >= v_n of  sum_i exp(z_i - v_i) + exp(w_i) v_i  pool: log sum exp z - log sum exp w

Adjacent pools that rise are merged until none does. Cost: O(n) a row.

References:
    Best, Chakravarti & Ubhaya (2000), "Minimizing separable convex functions subject to simple chain constraints".
    Blondel et al. (2020), "Fast differentiable sorting and ranking", ICML, section 4.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from slatewise.kernels.compiled import kernel, leaf


@kernel
def l2(points, weights, lengths):
    """Return (b, n) the solution, and (b, n) where the pool of each number begins.

    Args:
        points: (b, n) the numbers z.
        weights: (b, n) the numbers w.
        lengths: (b,) how many of them there are; the others are 0, each in a pool of its own.
    """
    found, starts = _empty(points)
    sums, ends = np.empty(points.shape[1]), np.empty(points.shape[1], np.int64)
    for row in range(len(points)):
        count = 0
        for at in range(lengths[row]):
            sums[count], ends[count] = float(points[row, at]) - float(weights[row, at]), at + 1
            count += 1
            while count > 1 and _mean(sums, ends, count - 2) <= _mean(sums, ends, count - 1):
                count -= 1
                sums[count - 1] += sums[count]
                ends[count - 1] = ends[count]
        for pool in range(count):
            start = ends[pool - 1] if pool else 0
            for at in range(start, ends[pool]):
                found[row, at], starts[row, at] = _mean(sums, ends, pool), start
    return found, starts


@kernel
def kl(points, weights, lengths):
    """Return the same as `l2`."""
    found, starts = _empty(points)
    high, low = np.empty(points.shape[1]), np.empty(points.shape[1])
    ends = np.empty(points.shape[1], np.int64)
    for row in range(len(points)):
        count = 0
        for at in range(lengths[row]):
            high[count], low[count], ends[count] = points[row, at], weights[row, at], at + 1
            count += 1
            while count > 1 and high[count - 2] - low[count - 2] <= high[count - 1] - low[count - 1]:
                count -= 1
                high[count - 1] = _log_add(high[count - 1], high[count])
                low[count - 1] = _log_add(low[count - 1], low[count])
                ends[count - 1] = ends[count]
        for pool in range(count):
            start = ends[pool - 1] if pool else 0
            for at in range(start, ends[pool]):
                found[row, at], starts[row, at] = high[pool] - low[pool], start
    return found, starts


@kernel
def shared(slopes, starts):
    """Return (b, n) the mean of the pool that each number is in."""
    found = np.empty_like(slopes)
    for row in range(len(slopes)):
        start = 0
        while start < slopes.shape[1]:
            end, total = start, 0.0
            while end < slopes.shape[1] and starts[row, end] == start:
                total += slopes[row, end]
                end += 1
            for at in range(start, end):
                found[row, at] = total / (end - start)
            start = end
    return found


@kernel
def _empty(points):
    starts = np.empty(points.shape, np.int64)
    starts[:] = np.arange(points.shape[1])
    return np.zeros_like(points), starts


@leaf
def _mean(sums, ends, pool):
    return sums[pool] / (ends[pool] - (ends[pool - 1] if pool else 0))


@leaf
def _log_add(one, other):
    larger = max(one, other)
    return larger + log(exp(one - larger) + exp(other - larger))
