"""Soft spacing, and balance towards a target mix: terms that cost next to nothing for each row.

    q_c(i) = level_c(i) * sum_d fade_c(d) * level_c(item d slots above)
    B_b(i) = sum over values v of i of  t_v * log( share of v with i / share of v without i )

with the share of v in N items and the next slot, mixed with a little of the target:
(1 - m) * count_v / (N + 1) + m * t_v. B is by how much the row brings the Kullback-Leibler divergence of the mix from
the target t down. Arrays are those of `core.variety`.

References:
    Steck (2018), "Calibrated recommendations", RecSys.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import inlined, kernel, leaf


@leaf
def above(level, fade, seat, p, into):
    """Write, per class, how much of it stands above seat p, each item weighed by its distance."""
    for c in range(len(into)):
        into[c] = 0.0
        for distance in range(1, min(p, fade.shape[1]) + 1):
            into[c] += fade[c, distance - 1] * level[c, seat[p - distance]]


@inlined
def spaced(level, weight, sums, row):
    """Return what a row is charged for soft spacing."""
    total = 0.0
    for c in range(len(sums)):
        total += weight[c] * level[c, row] * sums[c]
    return total


@leaf
def count_in(starts, values, counts, row):
    """Count an item into the mixes."""
    for b in range(len(counts)):
        first, last = starts[b, row], starts[b, row + 1]
        for at in range(first, last):
            counts[b, values[at]] += 1.0 / (last - first)


@inlined
def balanced(starts, values, target, mixing, counts, p, b, row):
    """Return what a row in seat p adds under a balance, before its weight."""
    first, last = starts[b, row], starts[b, row + 1]
    total = 0.0
    for at in range(first, last):
        total += _gain(target[b, values[at]], mixing[b], counts[b, values[at]], p, 1.0 / (last - first))
    return total


@inlined
def _gain(target, mixing, count, p, part):
    if target == 0.0:
        return 0.0
    rest, scale = mixing * target, (1.0 - mixing) / (p + 1)
    return target * np.log((scale * (count + part) + rest) / (scale * count + rest))


@kernel
def most_values(starts, n):
    """Return (B,) int64: the most values that a candidate has."""
    most = np.zeros(len(starts), np.int64)
    for b in range(len(starts)):
        for row in range(n):
            most[b] = max(most[b], starts[b, row + 1] - starts[b, row])
    return most


@kernel
def most_balanced(mixing, target, weight, counts, p, most):
    """Return what no row in seat p adds more than, weights included; rows have at most `most` values each."""
    total = 0.0
    for b in range(len(counts)):
        best = np.zeros(most[b])
        for value in range(counts.shape[1]):
            gain = _gain(target[b, value], mixing[b], counts[b, value], p, 1.0)
            for place in range(len(best)):
                if gain > best[place]:
                    best[place], gain = gain, best[place]
        total += weight[b] * best.sum()
    return total
