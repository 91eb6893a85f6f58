"""Landscapes whose context moves one curve: censored regression, with a curve of any shape or of a known family.

    F(s; x) = G(m(s) - w · x),    m(s) = m_0 + slope * sum over the ticks t up to s of r_t * log(t / (t - 1))

With all r_t = 1, m is a straight line in log s: log z is a location, sparse and linear in the context, plus noise. For
a G that is normal, logistic or an extreme value, z is log-normal, log-logistic, Weibull or Fréchet. Otherwise the r_t
are estimated, too: the curve then follows what was seen, such as prices that are paid often, and stays where little was
seen near that straight line. Each r_t has a gamma distribution of mean 1 before anything is seen, `stiffness` says how
narrow, so that beyond the last score the straight line goes on at the mean slope of the curve.

Minimised is, by L-BFGS with an analytic gradient,

    - sum_rows log(F(high) - F(low)) + ridge / 2 * |w|^2 + stiffness * sum_t (r_t - log r_t)

Rows say no more of z than that it is in [low, high), so every kind of feedback is fitted alike. From flags alone, and
a logistic G, this is the logistic regression of winning on log s with a positive slope. Cost: O(n + entries of x +
knots) per step, some hundred steps.

References:
    Kalbfleisch (1978), "Non-parametric Bayesian analysis of survival time data", JRSS B 40: gamma increments.
    Cheng, Wei & Ying (1995), "Analysis of transformation models with censored data", Biometrika 82.
    Liu & Nocedal (1989), "On the limited memory BFGS method for large scale optimization".
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from scipy.optimize import minimize

from slatewise.core.columns import Numbers
from slatewise.learn.landscape_links import Link, between, logs
from slatewise.learn.landscape_rows import Features, Rows

KNOTS = 256
"""Ticks between which the curve may bend, at most."""

STEPS = 1000
TOLERANCE = 1e-9
"""Steps of the search, and relative gain at which it ends."""


class Location(NamedTuple):
    """A curve and what moves it.

    Attributes:
        link: The distribution G.
        knots: (K,) ticks at which the curve bends.
        rise: (K,) m at the knots.
        slope: Slope of m over log s beyond the last of them, > 0.
        weights: (d,) what each feature adds to the location of G.
        limit: Ticks up to which the rows could show anything.
    """

    link: Link
    knots: Numbers
    rise: Numbers
    slope: float
    weights: Numbers
    limit: int

    def win(self, features: Features, scores: Numbers) -> Numbers:
        """Return (n, g) how likely scores win.

        Args:
            features: (n, d) sparse context.
            scores: (n, g) ticks.
        """
        moved = self.curve(scores) - (features @ self.weights)[:, None]
        return np.where(scores <= self.knots[0], 0.0, np.exp(logs(self.link, moved).below))

    def curve(self, scores: Numbers) -> Numbers:
        """Return m at scores, at least the first knot."""
        place, share = _between_knots(self.knots, scores)
        return self.rise[place] + share * np.append(np.diff(self.rise), self.slope)[place]


def fit(
    rows: Rows, *, link: Link = "normal", ridge: float = 3.0, stiffness: float = 3.0, most_knots: int = KNOTS
) -> Location:
    """Return the landscape of largest posterior probability.

    Args:
        rows: What is known of rival scores.
        link: The distribution G.
        ridge: How much the weights are held at 0, > 0.
        stiffness: How much the curve is held straight, > 0; infinite for a known family.
        most_knots: Ticks at which the curve may bend, at most.

    Examples:
        >>> rows = Rows.of([50] * 4, [True] * 4, price=[5, 10, 20, 40])
        >>> known = fit(rows, stiffness=np.inf)
        >>> [round(float(known.win(rows.features[:1], np.array([[score]]))[0, 0]), 2) for score in (5.0, 15.0, 40.0)]
        [0.07, 0.51, 0.91]
    """
    informed = rows.at(np.isfinite(rows.high) | (rows.low > 1.0))
    knots = knots_of(informed, most_knots)
    objective = Objective(informed, knots, link=link, ridge=ridge, stiffness=stiffness)
    found: Any = minimize(
        objective,
        objective.start(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "maxfun": 2 * STEPS, "maxcor": 20, "ftol": TOLERANCE, "gtol": 1e-5},
    )
    parts = objective.parts(found.x)
    rise = parts.first + np.append(0.0, np.cumsum(parts.increments[:-1]))
    return Location(link, knots, rise, float(parts.increments[-1]), parts.weights, rows.limit)


def knots_of(rows: Rows, most: int = KNOTS) -> Numbers:
    """Return ticks from 1 to the limit: all, or as many as allowed, more of them where prices were seen."""
    limit = max(rows.limit, 2)
    if limit <= most:
        return np.arange(1.0, limit + 1.0)
    spread = np.geomspace(1.0, limit, most // 2)
    exact = rows.low[rows.exact]
    seen = np.quantile(exact, np.linspace(0.0, 1.0, most - most // 2)) if len(exact) else spread
    return np.unique(np.clip(np.round(np.concatenate([spread, seen])), 1.0, limit))


class Parts(NamedTuple):
    """A point of the search, in words.

    Attributes:
        weights: (d,) of the features.
        first: m at the first knot.
        increments: (K,) what m grows by up to the next knot; beyond the last one, per unit of log s.
        bends: (K - 1,) log r; none for a known family.
    """

    weights: Numbers
    first: float
    increments: Numbers
    bends: Numbers


Places: TypeAlias = tuple[Any, Numbers]
"""The knot below each bound, and the share of the way to the next one."""


class Objective:
    """What is minimised, with its gradient.

    The point is the weights, m at the first knot, the logarithm of the slope, and the logarithms of all r.
    """

    def __init__(self, rows: Rows, knots: Numbers, *, link: Link, ridge: float, stiffness: float) -> None:
        self.link: Link = link
        self.ridge, self.stiffness = ridge, stiffness
        self.features, self.transposed = rows.features, rows.features.T.tocsr()
        self.count, self.knots = rows.features.shape[1], len(knots)
        self.straight = np.append(np.diff(np.log(knots)), 1.0)
        self.middle = float(np.log(np.median(rows.score)))
        below, above = rows.low > knots[0], np.isfinite(rows.high)
        low, high = (_between_knots(knots, np.where(np.isfinite(at), at, 1.0)) for at in (rows.low, rows.high))
        self.groups: list[tuple[Any, Places | None, Places | None]] = []
        for flags, bounds in (
            (below & ~above, (low, None)),
            (~below & above, (None, high)),
            (below & above, (low, high)),
        ):
            inside = np.flatnonzero(flags)
            if len(inside):
                first, last = (None if place is None else _at(place, inside) for place in bounds)
                self.groups.append((inside, first, last))

    def start(self) -> Numbers:
        """Return where the search begins: a straight line of slope 1, half of it below the median score."""
        bends = 0 if np.isinf(self.stiffness) else self.knots - 1
        return np.concatenate([np.zeros(self.count), [-self.middle, 0.0], np.zeros(bends)])

    def parts(self, point: Numbers) -> Parts:
        """Return a point in words."""
        weights, first, slope = point[: self.count], point[self.count], point[self.count + 1]
        bends = point[self.count + 2 :]
        rates = np.append(np.exp(slope + bends), np.exp(slope)) if len(bends) else np.exp(slope)
        return Parts(weights, float(first), rates * self.straight, bends)

    def __call__(self, point: Numbers) -> tuple[float, Numbers]:
        """Return the value at a point, and the gradient there."""
        parts = self.parts(point)
        rise = parts.first + np.append(0.0, np.cumsum(parts.increments[:-1]))
        location = self.features @ parts.weights
        value, by_row = 0.0, np.zeros(len(location))
        at_knot, along = np.zeros(self.knots), np.zeros(self.knots)
        for rows, low, high in self.groups:
            bounds = [
                _moved(place, rise, parts.increments) - location[rows] if place else None for place in (low, high)
            ]
            gains, down, up = _interval(self.link, *bounds)
            value -= gains.sum()
            for place, slopes in ((low, down), (high, up)):
                if place:
                    by_row[rows] += slopes
                    at_knot += np.bincount(place[0], slopes, self.knots)
                    along += np.bincount(place[0], slopes * place[1], self.knots)
        # an increment lifts all knots above it
        lifted = np.append(np.cumsum(at_knot[:0:-1])[::-1], 0.0)
        by_increment = -(along + lifted) * parts.increments
        gradient = [self.transposed @ by_row + self.ridge * parts.weights, [-by_row.sum(), by_increment.sum()]]
        value += 0.5 * self.ridge * float(parts.weights @ parts.weights)
        if len(parts.bends):
            value += self.stiffness * float((np.exp(parts.bends) - parts.bends).sum())
            gradient.append(by_increment[:-1] + self.stiffness * (np.exp(parts.bends) - 1.0))
        return value, np.concatenate(gradient)


def _interval(link: Link, low: Numbers | None, high: Numbers | None) -> tuple[Numbers, Numbers, Numbers]:
    """Return log-probabilities of intervals, of which one side may be open, and their derivatives by either end."""
    if low is not None and high is not None:
        return between(link, low, high)
    if low is not None:
        found = logs(link, low)
        return found.above, -np.exp(np.minimum(found.density - found.above, 500.0)), low
    assert high is not None
    found = logs(link, high)
    return found.below, high, np.exp(np.minimum(found.density - found.below, 500.0))


def _moved(place: Places, rise: Numbers, increments: Numbers) -> Numbers:
    return rise[place[0]] + place[1] * increments[place[0]]


def _at(place: Places, rows: Any) -> Places:
    return place[0][rows], place[1][rows]


def _between_knots(knots: Numbers, ticks: Numbers) -> Places:
    """Return the last knot that is not above each tick, and the share of the way to the next one in logarithms."""
    place = np.maximum(np.searchsorted(knots, ticks, side="right") - 1, 0)
    logarithms = np.log(knots)
    steps = np.append(np.diff(logarithms), 1.0)
    return place, np.maximum(np.log(np.maximum(ticks, knots[0])) - logarithms[place], 0.0) / steps[place]
