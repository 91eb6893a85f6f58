"""The upper hull of a win-rate curve, and the vertex of it that is best.

Entering score s_k wins with probability w_k and costs c_k = s_k * w_k on average. The surplus a * w_k - rate * c_k is
linear in the point (c_k, w_k), so that whatever `a` and `rate` are, a vertex of the upper hull of all points and the
origin is best: the last one that is reached by more than rate / a wins per cost. Building: O(L); a query: O(log L).
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf


@kernel
def upper_hull(scores, wins):
    """Return which points are vertices, by rising score, and the wins per cost with which each is reached.

    Points are in rising order of score and of win probability. The origin is no vertex that is returned; of points with
    the same win probability, only the first can be one.
    """
    kept = np.empty(len(scores), np.int64)
    slopes = np.empty(len(scores))
    count = 0
    for at in range(len(scores)):
        if wins[at] <= (wins[kept[count - 1]] if count else 0.0):
            continue
        slope = np.inf
        while True:
            won = wins[kept[count - 1]] if count else 0.0
            cost = scores[kept[count - 1]] * won if count else 0.0
            more = scores[at] * wins[at] - cost
            slope = (wins[at] - won) / more if more > 0.0 else np.inf
            if count == 0 or slope < slopes[count - 1]:
                break
            count -= 1
        kept[count], slopes[count] = at, slope
        count += 1
    return kept[:count].copy(), slopes[:count].copy()


@leaf
def reached(slopes, wanted):
    """Return the last vertex that is reached by more than `wanted` wins per cost, -1 for none."""
    low, high = 0, len(slopes)
    while low < high:
        middle = (low + high) // 2
        if slopes[middle] > wanted:
            low = middle + 1
        else:
            high = middle
    return low - 1


@leaf
def win(scores, wins, score):
    """Return the win probability of the last step that is not above a score, 0 below all."""
    low, high = 0, len(scores)
    while low < high:
        middle = (low + high) // 2
        if scores[middle] <= score:
            low = middle + 1
        else:
            high = middle
    return wins[low - 1] if low else 0.0


@leaf
def best(scores, wins, vertices, slopes, worth, rate, most):
    """Return the step that is best of those with a score of at most `most`, -1 for not to compete.

    If the best vertex is within `most` it is the answer; otherwise all steps that are within are looked at.
    """
    if worth <= 0.0:
        return -1
    vertex = reached(slopes, rate / worth)
    if vertex < 0 or scores[vertices[vertex]] <= most:
        return vertices[vertex] if vertex >= 0 else -1
    found, highest = -1, 0.0
    for at in range(len(scores)):
        if scores[at] > most:
            break
        surplus = wins[at] * (worth - rate * scores[at])
        if surplus > highest:
            found, highest = at, surplus
    return found


@kernel
def best_of(scores, wins, vertices, slopes, worths, rate, most):
    """Return the score of the best step for every worth, 0 for not to compete."""
    out = np.empty(len(worths))
    for at in range(len(worths)):
        step = best(scores, wins, vertices, slopes, worths[at], rate, most)
        out[at] = scores[step] if step >= 0 else 0.0
    return out
