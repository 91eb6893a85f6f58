"""Distributions on the whole line that landscapes are made of, and their probabilities of intervals.

| link | G(u) | with u = (log z - location) / scale, z is |
|---|---|---|
| `normal` | the standard normal distribution | log-normal |
| `logistic` | 1 / (1 + e^-u) | log-logistic |
| `smallest` | 1 - exp(-e^u) | Weibull |
| `largest` | exp(-e^-u) | Fréchet; log z is Gumbel |

All are log-concave, so that the likelihood of intervals is, too. All is done in logarithms: a row far from where it
was expected costs much, but no infinity. Cost: O(1) per row.

References:
    Pratt (1981), "Concavity of the Log Likelihood", JASA 76: intervals of log-concave distributions.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import log_expit, log_ndtr

from slatewise.core.columns import Numbers

Link: TypeAlias = Literal["normal", "logistic", "smallest", "largest"]

FARTHEST = 500.0
"""Largest size of u for which exponentials are taken."""


class Logs(NamedTuple):
    """Logarithms at u.

    Attributes:
        below: log G(u).
        above: log(1 - G(u)).
        density: log G'(u).
    """

    below: Numbers
    above: Numbers
    density: Numbers


def logs(link: Link, u: Numbers) -> Logs:
    """Return the logarithms at each u.

    >>> np.exp(logs("normal", np.array([0.0])).below).tolist(), np.exp(logs("logistic", np.array([0.0])).above).tolist()
    ([0.5], [0.5])
    """
    u = np.clip(u, -FARTHEST, FARTHEST)
    if link == "normal":
        return Logs(log_ndtr(u), log_ndtr(-u), -0.5 * u * u - 0.5 * np.log(2.0 * np.pi))
    if link == "logistic":
        below, above = log_expit(u), log_expit(-u)
        return Logs(below, above, below + above)
    if link == "smallest":
        tail = np.exp(u)
        return Logs(_log_not(-tail), -tail, u - tail)
    mirrored = logs("smallest", -u)
    return Logs(mirrored.above, mirrored.below, mirrored.density)


def between(link: Link, low: Numbers, high: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return log(G(high) - G(low)) and its derivatives by low and by high; low < high, either may be infinite."""
    first, last = logs(link, low), logs(link, high)
    open_below, open_above = np.isneginf(low), np.isposinf(high)
    left = high < 0.0  # differences are taken on the side where they are not of numbers near 1
    large = np.where(left, last.below, np.where(open_below, 0.0, first.above))
    small = np.where(left, np.where(open_below, -np.inf, first.below), np.where(open_above, -np.inf, last.above))
    with np.errstate(divide="ignore"):
        inside = large + _log_not(np.minimum(small - large, -1e-15))
    down = np.where(open_below, 0.0, -np.exp(np.minimum(first.density - inside, FARTHEST)))
    up = np.where(open_above, 0.0, np.exp(np.minimum(last.density - inside, FARTHEST)))
    return inside, down, up


def _log_not(log_share: Numbers) -> Numbers:
    """Return log(1 - e^x) for x <= 0."""
    with np.errstate(divide="ignore"):
        return np.where(log_share > -0.7, np.log(-np.expm1(log_share)), np.log1p(-np.exp(log_share)))
