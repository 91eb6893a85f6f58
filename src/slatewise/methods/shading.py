"""Shading: the score that makes most of a win-rate curve.

    best(F, worth, rate) = argmax_{0 <= s <= most} F(s) * (worth - rate * s)

F(s) is the probability to win with score s, `worth` what winning is worth, `rate` the price of one unit of score spent;
who wins spends s. One function serves three problems: to buy value within a budget of score (`rate` is the budget's
price), to buy wins at least cost (`worth` is the price of a missing win, `rate` is 1), and both at once (`worth` is the
value plus that price).

| curve | how it is solved |
|---|---|
| one family | Newton steps in log(s / (v - s)), v = worth / rate: one peak, since log F is concave in log s |
| mixture of families | the hull of its values on a grid shows which humps may be best; each is looked at closely |
| steps | the upper hull of its points: exact |

Conventions: worth <= 0 does not compete, s = 0. A rate of 0 enters `most`, or the smallest score that always wins. Of
scores that are as good, the smallest. The best score rises with worth and falls with rate. Cost: 1 us per query, most
of it Python; O(L) to lay out L steps.

References:
    Karlsson & Sang (2021), "Adaptive Bid Shading Optimization of First-Price Ad Inventory", ACC, on the problem.
    Andrew (1979), "Another Efficient Algorithm for Convex Hulls in Two Dimensions", IPL 9, on the hull.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import LARGEST, Numbers
from slatewise.kernels import hull, landscape

KNOTS = 256
"""Points per family at which a mixture is looked at to tell its humps apart."""
SPAN = (-12.0, 8.0)
"""Where they lie, in units of the family's scale."""
WIDEST = 100.0
"""Largest size of the logarithm of a knot: beyond that of any score."""


@final
class Entry(NamedTuple):
    """What entering a score means.

    Attributes:
        score: The score to enter, >= 0; 0 is not to compete.
        win: Probability to win with it.
        cost: Score spent on average, score * win.
        surplus: Worth won less the cost, on average: win * (worth - rate * score).
    """

    score: float
    win: float
    cost: float
    surplus: float


@final
class Mix(NamedTuple):
    """Two scores, of which one is drawn, so that exactly a given cost is spent on average.

    Attributes:
        low: The lower score; 0 is not to compete.
        high: The higher one.
        share: Probability of the higher one, from 0 to 1.
    """

    low: float
    high: float
    share: float


@final
class Smooth(NamedTuple):
    """A mixture of families, laid out.

    Attributes:
        parts: (m, 4) float64: family, location, scale and weight, as `kernels.landscape` has them.
        knots: (L,) float64, scores in rising order; empty for a single family.
        heights: (L,) float64, their win probabilities.
    """

    parts: Numbers
    knots: Numbers
    heights: Numbers

    @classmethod
    def of(cls, parts: Numbers) -> Smooth:
        """Lay a mixture out."""
        if len(parts) == 1:
            return cls(parts, np.empty(0), np.empty(0))
        units = np.linspace(*SPAN, KNOTS)
        logs = parts[:, [landscape.LOCATION]] + parts[:, [landscape.SCALE]] * units
        knots = np.unique(np.exp(np.clip(logs, -WIDEST, WIDEST)))
        return cls(parts, knots, landscape.wins(parts, knots))

    def win_at(self, score: float) -> float:
        """Return the win probability of one score."""
        return landscape.win(self.parts, score)

    def win(self, scores: Numbers) -> Numbers:
        """Return the win probability of scores."""
        return landscape.wins(self.parts, scores)

    def density(self, scores: Numbers) -> Numbers:
        """Return the density of the best rival score."""
        return landscape.densities(self.parts, scores)

    def best(self, worth: float, rate: float, most: float) -> float:
        """Return the best score."""
        return landscape.best(self.parts, self.knots, self.heights, worth, rate, most)

    def best_of(self, worths: Numbers, rate: float, most: float) -> Numbers:
        """Return the best score for every worth."""
        return landscape.best_of(self.parts, self.knots, self.heights, worths, rate, most)


@final
class Steps(NamedTuple):
    """A curve that rises in steps, laid out.

    Attributes:
        scores: (L,) float64, scores from which on the win probability is that of the same place, rising.
        wins: (L,) float64, win probabilities, rising.
        vertices: (v,) int64, steps on the upper hull.
        slopes: (v,) float64, wins per cost with which each is reached, falling.
    """

    scores: Numbers
    wins: Numbers
    vertices: NDArray[np.int64]
    slopes: Numbers

    @classmethod
    def of(cls, scores: Numbers, wins: Numbers) -> Steps:
        """Lay steps out."""
        return cls(scores, wins, *hull.upper_hull(scores, wins))

    def win_at(self, score: float) -> float:
        """Return the win probability of one score."""
        return hull.win(self.scores, self.wins, score)

    def win(self, scores: Numbers) -> Numbers:
        """Return the win probability of scores."""
        return np.concatenate([[0.0], self.wins])[np.searchsorted(self.scores, scores, side="right")]

    def density(self, scores: Numbers) -> Numbers:
        """Return the density of the best rival score: each step spread evenly since the one before."""
        starts = np.concatenate([[0.0], self.scores])
        rises = np.diff(self.wins, prepend=0.0) / np.maximum(np.diff(starts), 1e-300)
        within = np.searchsorted(self.scores, scores, side="left")
        return np.concatenate([rises, [0.0]])[within] * (scores > 0.0)

    def best(self, worth: float, rate: float, most: float) -> float:
        """Return the best score."""
        step = hull.best(*self, worth, rate, most)
        return float(self.scores[step]) if step >= 0 else 0.0

    def best_of(self, worths: Numbers, rate: float, most: float) -> Numbers:
        """Return the best score for every worth."""
        return hull.best_of(*self, worths, rate, most)

    def mixed(self, cost: float) -> Mix:
        """Return the two scores that win most when `cost` is spent on average.

        Neighbours on the hull; no curve needs more than two. A cost beyond the last vertex cannot be spent.
        """
        scores = np.concatenate([[0.0], self.scores[self.vertices]])
        costs = scores * np.concatenate([[0.0], self.wins[self.vertices]])
        above = int(np.searchsorted(costs, cost, side="right"))
        if above == len(costs):
            return Mix(float(scores[-1]), float(scores[-1]), 1.0)
        low, high = costs[above - 1], costs[above]
        return Mix(float(scores[above - 1]), float(scores[above]), float((cost - low) / (high - low)))


Curve: TypeAlias = Smooth | Steps
"""A win-rate curve, laid out to be solved many times."""


def solve(curve: Curve, worth: float, *, rate: float = 1.0, most: float = LARGEST) -> Entry:
    """Return the best score of 0 to `most`, and what it means.

    >>> uniform = Smooth.of(np.array([[landscape.POWER, np.log(100.0), 1.0, 1.0]]))
    >>> [round(number, 9) for number in solve(uniform, 60.0)]
    [30.0, 0.3, 9.0, 9.0]
    >>> round(solve(uniform, 60.0, rate=1.5).score, 9), solve(uniform, 60.0, most=20.0).score
    (20.0, 20.0)
    >>> solve(Steps.of(np.array([10.0, 40.0]), np.array([0.2, 0.5])), 60.0)
    Entry(score=10.0, win=0.2, cost=2.0, surplus=10.0)
    """
    score = curve.best(worth, rate, most)
    won = curve.win_at(score)
    return Entry(score, won, score * won, won * (worth - rate * score))
