"""Win rates counted from what a line entered and what it learned of its rivals.

Scores are counted in bins of `step`: bin k is [k * step, (k + 1) * step). An observation whose best rival score is
known dies in the bin of that score. One of which only is known that the rival was not below the score entered leaves,
alive, after the last bin that is wholly below that score. The hazard of a bin is what died in it over what reached it,
and P(z < k * step) = 1 - prod_{j < k} (1 - hazard_j).

| name | shape | what |
|---|---|---|
| `died` | (c + 1, L) float64 | weight that died in each bin, by cell; the last row is all cells together |
| `left` | (c + 1, L) float64 | weight that died in it or left after it |

A hazard is drawn to that of all cells together as if `shrink` more had been seen, and that in turn, as if one more
had, to a tail with hazard alpha / (k + 1), which is a power of the score. So the rate goes on rising beyond the scores
that were entered, even if all of them lost, where a curve that stops would keep every later score from being entered.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels import hull
from slatewise.kernels.compiled import kernel, leaf

ROUNDING = 1e-9
"""Share of a bin by which a score may miss its edge."""


@kernel
def observe(died, left, places, scores, known, rivals, step, width):
    """Add observations to the counts.

    Each counts in the cells whose middle is less than `width` from its place, the less the farther; `places` are in
    cells, 0.5 in the middle of the first. Where `known`, the rival score is in `rivals`.
    """
    cells, bins = len(died) - 1, died.shape[1]
    for at in range(len(places)):
        if known[at]:
            found = int(min(rivals[at] / step + ROUNDING, float(bins)))
        else:
            found = bins
        last = found if known[at] else int(min(scores[at] / step + ROUNDING, float(bins))) - 1
        last = min(last, bins - 1)
        if last < 0:
            continue
        middle = min(max(places[at] - 0.5, 0.0), cells - 1.0)
        for cell in range(max(0, int(np.ceil(middle - width))), min(cells - 1, int(middle + width)) + 1):
            weight = 1.0 - abs(cell - middle) / width
            left[cell, last] += weight
            if found < bins:
                died[cell, found] += weight
        left[cells, last] += 1.0
        if found < bins:
            died[cells, found] += 1.0


@kernel
def rates(died, left, shrink):
    """Return (c, L + 1) win rates: of each cell, at scores of 0, 1, ... bins."""
    cells, bins = len(died) - 1, died.shape[1]
    reached = np.zeros((cells + 1, bins))
    for cell in range(cells + 1):
        total = 0.0
        for at in range(bins - 1, -1, -1):
            total += left[cell, at]
            reached[cell, at] = total
    deaths, exposure = 1.0, 1.0
    for at in range(bins):
        deaths += died[cells, at]
        exposure += reached[cells, at] / (at + 1.0)
    alpha = deaths / exposure
    whole = np.empty(bins)
    for at in range(bins):
        whole[at] = (died[cells, at] + min(alpha / (at + 1.0), 1.0)) / (reached[cells, at] + 1.0)
    out = np.zeros((cells, bins + 1))
    for cell in range(cells):
        alive = 1.0
        for at in range(bins):
            alive *= 1.0 - (died[cell, at] + shrink * whole[at]) / (reached[cell, at] + shrink)
            out[cell, at + 1] = 1.0 - alive
    return out


@kernel
def hulls(wins, step):
    """Return where the hull of each cell starts, the scores of all their vertices, and the slopes."""
    cells, bins = wins.shape[0], wins.shape[1] - 1
    starts = np.zeros(cells + 1, np.int64)
    scores, slopes = np.empty(cells * bins), np.empty(cells * bins)
    grid = step * np.arange(1, bins + 1)
    for cell in range(cells):
        vertices, reach = hull.upper_hull(grid, wins[cell, 1:])
        start, stop = starts[cell], starts[cell] + len(vertices)
        scores[start:stop] = grid[vertices]
        slopes[start:stop] = reach
        starts[cell + 1] = stop
    return starts, scores[: starts[cells]].copy(), slopes[: starts[cells]].copy()


@leaf
def best(starts, scores, slopes, edges, value, worth, rate):
    """Return the score that is best for a worth, by the curve of the cell that the value is in."""
    if worth <= 0.0:
        return 0.0
    cell = np.searchsorted(edges, value, side="right")
    start, stop = starts[cell], starts[cell + 1]
    vertex = hull.reached(slopes[start:stop], rate / worth)
    return scores[start + vertex] if vertex >= 0 else 0.0


@kernel
def best_of(starts, scores, slopes, edges, values, worths, rate):
    """Return `best` of every row."""
    out = np.empty(len(values))
    for at in range(len(values)):
        out[at] = best(starts, scores, slopes, edges, values[at], worths[at], rate)
    return out
