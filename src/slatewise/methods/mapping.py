"""Maps as arrays: values of scores, and knots from counts.

Cost: O(n log knots) for values, O(buckets) for knots.

References:
    Barlow, Bartholomew, Bremner & Brunk (1972), "Statistical Inference under Order Restrictions", chapter 1.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression

from slatewise.core.columns import Codes, Numbers
from slatewise.kernels import knots as kernel


def page_values(score: Numbers, codes: Codes, place: Codes, table: Numbers, shift: Numbers) -> Numbers:
    """Return (n,) the value of each row.

    Args:
        score: (n,) scores.
        codes: (n,) of which line.
        place: Per line its row of `table`; -1 keeps its scores.
        table: (maps + knots, 9) as `kernels.knots` reads it.
        shift: (maps,) what is added to log-odds.
    """
    return kernel.mapped(score, codes, place, table, shift)


def line_values(score: Numbers, table: Numbers, shift: float) -> Numbers:
    """Return (n,) the value of each score under the first map of a table."""
    return kernel.mapped_by_first(score, table, shift)


def log_odds(score: Numbers) -> Numbers:
    """Return the log-odds of probabilities, which go on growing beyond 0 and 1, slowly.

    >>> log_odds(np.array([0.5, 0.0, -1.0])).round(1).tolist()
    [0.0, -28.4, -55.5]
    """
    return kernel.log_odds(np.ascontiguousarray(score, np.float64))


def joined(at: Numbers, level: Numbers) -> Numbers:
    """Return knots with the slopes between them; the last one's is that of the piece before."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rise = np.diff(level) / np.diff(at)
    return np.column_stack([at, level, np.append(rise, rise[-1:])])


def pooled(at: Numbers, shown: Numbers, events: Numbers, *, prior: float, slope: float) -> Numbers:
    """Return rising knots, in log-odds, through the rates of buckets, of which neighbours that fall are pooled.

    Beyond the first and the last of them, the slope is given: what few showings at the ends say of it is not to be
    trusted.

    Args:
        at: (buckets,) where each is, increasing.
        shown: (buckets,) showings.
        events: (buckets,) events among them.
        prior: Showings at the mean rate that are added to each bucket, > 0.
        slope: Of log-odds beyond the centres, > 0.

    >>> at, shown, events = np.array([[0.0, 1.0, 2.0], [10.0, 10.0, 10.0], [5.0, 4.0, 9.0]])
    >>> pooled(at, shown, events, prior=1e-9, slope=1.0)[:, 0].tolist()
    [-0.5, 0.5, 2.0, 3.0]
    """
    mean = (events.sum() + 0.5) / (shown.sum() + 1.0)
    weight = shown + prior
    rate = (events + prior * mean) / weight
    found = isotonic_regression(rate, weights=weight)
    first = found.blocks[:-1].astype(np.int64)
    total = np.add.reduceat(weight, first)
    centre = np.add.reduceat(weight * at, first) / total
    rate = np.add.reduceat(weight * rate, first) / total
    level = np.log(rate) - np.log1p(-rate)
    rising = np.append(True, (np.diff(centre) > 0) & (np.diff(level) > 0))  # blocks may differ by rounding alone
    centre, level = centre[rising], level[rising]
    centre = np.concatenate([[centre[0] - 1 / slope], centre, [centre[-1] + 1 / slope]])
    return joined(centre, np.concatenate([[level[0] - 1.0], level, [level[-1] + 1.0]]))
