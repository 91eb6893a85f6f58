"""Landscapes that are counted: Kaplan-Meier by segment, small segments close to all rows.

    h_k = d_k / n_k,    F(s) = 1 - prod_{k < s} (1 - h_k)
    d_k = rows whose rival is known to be at k
    n_k = rows whose rival is known to be at k or above, and would have been seen at k

A row that lost with score s is not among n_s: its rival may be at s, and it would not have been seen. A segment's
chances are drawn to those of all rows as if `prior` more rows had been at risk in it,

    h_k(segment) = (d_k + prior * h_k) / (n_k + prior)

The curve ends at the last tick with `least` rows at risk. Standard errors are Greenwood's. Cost: O(n + segments *
ticks).

References:
    Kaplan & Meier (1958), "Nonparametric estimation from incomplete observations", JASA 53.
    Greenwood (1926), "The natural duration of cancer", on the variance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.learn.landscape_bins import Bins
from slatewise.learn.landscape_rows import Features, Rows


class Counts(NamedTuple):
    """Curves of segments.

    Attributes:
        bins: One for each tick up to the limit.
        hazards: (g + 1, L) chance of each tick, by segment; the last row is that of all rows.
        errors: (g + 1, L + 1) standard errors of F at the edges.
        limit: Last tick with enough rows at risk.
    """

    bins: Bins
    hazards: Numbers
    errors: Numbers
    limit: int

    def win(self, features: Features, scores: Numbers) -> Numbers:
        """Return (n, g) how likely scores win.

        Args:
            features: (n, d) sparse; the first feature of a row is its segment, and none stands for all rows.
            scores: (n, g) ticks.
        """
        return self.bins.win(self.hazards[segments(features)], scores)


def fit(rows: Rows, *, prior: float = 20.0, least: int = 10) -> Counts:
    """Return the curves of the segments, of which each feature is one.

    Args:
        rows: What is known of rival scores; those that won show the price.
        prior: Rows of the whole that count as rows of a segment, >= 0.
        least: Rows at risk that a tick needs, >= 1.

    Raises:
        RequestError: No tick has enough rows at risk.

    Examples:
        >>> rows = Rows.of([3, 3, 2, 5], [True, True, False, True], price=[1, 2, 9, 4])
        >>> counted = fit(rows, least=1)
        >>> counted.win(rows.features[:1], np.array([[1.0, 2.0, 3.0, 5.0]])).round(3).tolist()
        [[0.0, 0.25, 0.625, 1.0]]
    """
    bins = Bins.of(rows.limit)
    place, ended = bins.survived(rows)
    codes, count = segments(rows.features), rows.features.shape[1]
    deaths, risk = _counted(place[ended], bins.size), _at_risk(place, ended, bins.size)
    enough = np.flatnonzero(risk < least)
    last = int(enough[0]) if len(enough) else bins.size
    if not last:
        raise RequestError("log", "must have rows enough that are at risk at the first tick", shown(int(risk[0])))
    whole = deaths[:last] / risk[:last]
    hazards, errors = [], []
    for segment in range(count):
        inside = codes == segment
        seen = _counted(place[inside & ended], bins.size)[:last]
        exposed = _at_risk(place[inside], ended[inside], bins.size)[:last]
        # without a prior, a tick that nobody of the segment reached takes the chance of the whole
        extra = prior + (exposed == 0)
        hazards.append((seen + extra * whole) / (exposed + extra))
        errors.append(greenwood(hazards[-1], exposed + extra))
    hazards.append(whole)
    errors.append(greenwood(whole, risk[:last]))
    return Counts(Bins(bins.edges[: last + 1]), np.array(hazards), np.array(errors), int(bins.edges[last]))


def greenwood(hazards: Numbers, risk: Numbers) -> Numbers:
    """Return (L + 1,) the standard error of F at the edges.

    >>> greenwood(np.array([0.5, 0.0]), np.array([4.0, 2.0])).round(3).tolist()
    [0.0, 0.25, 0.25]
    """
    survived = np.append(1.0, np.cumprod(1.0 - hazards))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = hazards / (risk * (1.0 - hazards))
        spread = survived * np.sqrt(np.append(0.0, np.cumsum(terms)))
    return np.where(survived > 0.0, spread, 0.0)


def segments(features: Features) -> Any:
    """Return (n,) the first feature of each row; the number of features where it has none."""
    starts, columns = features.indptr, features.indices
    found = np.full(features.shape[0], features.shape[1], dtype=np.int64)
    has = np.flatnonzero(np.diff(starts))
    found[has] = columns[starts[has]]
    return found


def _counted(place: Any, count: int) -> Numbers:
    return np.bincount(place, minlength=count)[:count].astype(np.float64)


def _at_risk(place: Any, ended: Any, count: int) -> Numbers:
    """Return (L,) rows at risk in each bin: those that survived it, and those that ended in it."""
    reached = np.bincount(place + ended, minlength=count + 2)
    return np.cumsum(reached[::-1])[::-1][1 : count + 1].astype(np.float64)
