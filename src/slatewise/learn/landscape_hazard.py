"""Landscapes by the chance to meet the best rival in each bin of prices: logistic regression, bin by bin.

    logit h_l(x) = base_l + w · x + position_l * (v · x),    position_l from -1 at the first bin to 1 at the last

A row tells of every bin that it survived, and of the one in which it met its rival. Features move all bins alike by w,
and low prices against high ones by v, so that contexts may differ in spread, not just in place. Within the range of
scores it follows the data closer than a curve that is moved; beyond, it knows nothing. Minimised by L-BFGS with an
analytic gradient. Cost: O(n * bins + entries of x) per step.

References:
    Singer & Willett (1993), "It's about time: using discrete-time survival analysis", J. Educ. Stat. 18.
    Tutz & Schmid (2016), "Modeling Discrete Time-to-Event Data", chapter 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from slatewise.core.columns import Numbers
from slatewise.learn.landscape_bins import Bins
from slatewise.learn.landscape_rows import Features, Rows

STEPS = 400
TOLERANCE = 1e-8
"""Steps of the search, and relative gain at which it ends."""


class Hazard(NamedTuple):
    """Chances by bin and context.

    Attributes:
        bins: The bins.
        base: (L,) log-odds of each bin without any feature.
        weights: (d,) what each feature adds to all bins.
        tilts: (d,) what it adds at the last bin, and takes at the first.
        limit: Ticks up to which the rows could show anything.
    """

    bins: Bins
    base: Numbers
    weights: Numbers
    tilts: Numbers
    limit: int

    def win(self, features: Features, scores: Numbers) -> Numbers:
        """Return (n, g) how likely scores win.

        Args:
            features: (n, d) sparse context.
            scores: (n, g) ticks.
        """
        odds = _odds(self.base, features @ self.weights, features @ self.tilts)
        return self.bins.win(expit(odds), scores)


def fit(rows: Rows, *, width: int = 4, ridge: float = 3.0, tilt_ridge: float = 10.0) -> Hazard:
    """Return the chances of largest posterior probability.

    Args:
        rows: What is known of rival scores; those that won show the price.
        width: Ticks of a bin, >= 1.
        ridge: How much the weights are held at 0, > 0.
        tilt_ridge: How much the tilts are held at 0, > 0.

    Examples:
        >>> rows = Rows.of([9, 9, 9], [True, True, False], price=[2, 7, 0])
        >>> fit(rows, width=4).win(rows.features[:1], np.array([[5.0, 9.0]])).round(2).tolist()
        [[0.33, 0.67]]
    """
    bins = Bins.of(rows.limit, width=width)
    place, ended = bins.survived(rows)
    objective = Objective(rows.features, place, ended, count=bins.size, ridge=ridge, tilt_ridge=tilt_ridge)
    found: Any = minimize(
        objective,
        np.concatenate([np.full(bins.size, -3.0), np.zeros(2 * objective.features.shape[1])]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "maxcor": 20, "ftol": TOLERANCE, "gtol": 1e-5},
    )
    return Hazard(bins, *objective.parts(found.x), rows.limit)


class Objective:
    """What is minimised, with its gradient; the point is the bases, the weights and the tilts."""

    def __init__(
        self, features: Features, place: Any, ended: Any, *, count: int, ridge: float, tilt_ridge: float
    ) -> None:
        self.features, self.transposed = features, features.T.tocsr()
        self.ridge, self.tilt_ridge, self.count = ridge, tilt_ridge, count
        bins = np.arange(count)
        self.exposed = bins < (place + ended)[:, None]
        self.met = (bins == place[:, None]) & ended[:, None]

    def parts(self, point: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Return bases, weights and tilts."""
        middle = self.count + self.features.shape[1]
        return point[: self.count], point[self.count : middle], point[middle:]

    def __call__(self, point: Numbers) -> tuple[float, Numbers]:
        """Return the value at a point, and the gradient there."""
        base, weights, tilts = self.parts(point)
        odds = _odds(base, self.features @ weights, self.features @ tilts)
        value = -float(np.where(self.met, log_expit(odds), log_expit(-odds))[self.exposed].sum())
        value += 0.5 * self.ridge * float(weights @ weights) + 0.5 * self.tilt_ridge * float(tilts @ tilts)
        slopes = np.where(self.exposed, expit(odds) - self.met, 0.0)
        by_weight = self.transposed @ slopes.sum(axis=1) + self.ridge * weights
        by_tilt = self.transposed @ (slopes @ _positions(self.count)) + self.tilt_ridge * tilts
        # held by a hair, so that a bin which nobody ended in has an end
        return value + 5e-4 * float(base @ base), np.concatenate([slopes.sum(axis=0) + 1e-3 * base, by_weight, by_tilt])


def _odds(base: Numbers, moved: Numbers, tilted: Numbers) -> Numbers:
    return base + moved[:, None] + tilted[:, None] * _positions(len(base))


def _positions(count: int) -> Numbers:
    return np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
