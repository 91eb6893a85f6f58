"""Ads between posts: what a gap is worth, and what engagement is.

An ad that follows another one closely is clicked less. With theta_d for d slots since the last ad, and engagement at
`price` in the currency, an ad takes a slot iff

    theta_d * (revenue + price * engagement_ad)  >  price * engagement_post

which is `blend.merge` with two lines whose utilities are revenue + price * engagement, and its factors by gap. Both
numbers are fitted here: theta from showings, linear in the gap up to where it no longer matters,

    theta_d = 1 - slope * (reach - d),   d = 1 ... reach

and the price as the smallest under which engagement keeps to what is asked (the dual of that constraint).

Cost: O(n), and O(n log n) for the price.

References:
    Yan, Xu, Tiwana & Chatterjee (2020), "Ads Allocation in Feed via Constrained Optimization", KDD, sections 3 and 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.errors import RequestError, shown
from slatewise.evaluate.intervals import Interval

REACH = 5
"""Slots beyond which a gap no longer matters."""

LEAST_FACTOR = 0.01
NORMAL = 1.959964


class GapEffect(NamedTuple):
    """What gaps do to clicks.

    Attributes:
        factors: For 1, 2, ... slots since the last ad; 1 from there on.
        slope: What each slot nearer takes, of 1; by information, with its interval of 95 %.
        observed: For each of these gaps, clicks over what was expected, as they are.
    """

    factors: tuple[float, ...]
    slope: Interval
    observed: tuple[float, ...]


def fit_gap_effect(gap: ArrayLike, clicked: ArrayLike, expected: ArrayLike, *, reach: int = REACH) -> GapEffect:
    """Return the effect of gaps.

    Args:
        gap: (n,) slots since the ad before on the page, >= 1; more than `reach` for the first one.
        clicked: (n,) 1 if the ad was clicked, else 0.
        expected: (n,) calibrated probability of a click, blind to the gap, > 0.
        reach: Slots from which on a gap no longer matters, >= 2.

    Raises:
        RequestError: No ad stands far enough from another one to compare with.

    Examples:
        >>> gap, expected = np.repeat([1, 9], 1000), np.full(2000, 0.1)
        >>> clicked = np.concatenate([np.arange(1000) < 60, np.arange(1000) < 100])
        >>> [round(factor, 2) for factor in fit_gap_effect(gap, clicked, expected).factors]
        [0.6, 0.7, 0.8, 0.9, 1.0]
    """
    near = np.minimum(np.asarray(gap, np.int64), reach)
    if near.min(initial=1) < 1:
        raise RequestError("log.gap", "must be >= 1", shown(int(near.min())))
    seen = np.bincount(near, np.asarray(clicked, np.float64), reach + 1)[1:]
    promised = np.bincount(near, np.asarray(expected, np.float64), reach + 1)[1:]
    if not seen[-1] > 0 or not promised[-1] > 0:
        raise RequestError("log.gap", f"must be {reach} or more for ads some of which were clicked")
    level = seen[-1] / promised[-1]
    away = reach - np.arange(1.0, reach + 1)
    weight = level * promised
    information = (weight * np.square(away)).sum()
    if not information > 0:
        raise RequestError("log.gap", f"must be below {reach} for some ads")
    slope = float((away * (weight - seen)).sum() / information)
    half = NORMAL * float(np.sqrt((np.square(away) * np.maximum(seen, 1.0)).sum() / information**2))
    factors = np.maximum(1 - slope * away, LEAST_FACTOR)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = seen / weight
    told = Interval(slope, slope - half, slope + half, 0.95, len(near))
    return GapEffect(tuple(factors.tolist()), told, tuple(observed.tolist()))


def shadow_bid(revenue: ArrayLike, ad_engagement: ArrayLike, post_engagement: ArrayLike, *, engagement: float) -> float:
    """Return the smallest price of engagement under which slots keep to what is asked of it.

    Args:
        revenue: (n,) what the ad of a slot would earn, > 0.
        ad_engagement: (n,) engagement with it.
        post_engagement: (n,) engagement with the post that it would take the place of.
        engagement: What all slots together have to come to.

    Raises:
        RequestError: Not even posts, wherever they engage more, come to as much.

    Examples:
        >>> slots = {"revenue": [1.0, 2.0], "ad_engagement": [0.0, 0.0], "post_engagement": [2.0, 1.0]}
        >>> [shadow_bid(**slots, engagement=asked) for asked in (0.0, 2.0, 3.0)]
        [0.0, 0.5, 2.0]
    """
    worth, ad, post = (np.asarray(one, np.float64) for one in (revenue, ad_engagement, post_engagement))
    if not (worth > 0).all():
        raise RequestError("log.revenue", "must be > 0", shown(float(worth.min())))
    most = float(np.maximum(ad, post).sum())
    if engagement > most:
        raise RequestError("engagement", f"must be at most {most:g}, what is possible", shown(engagement))
    lost = post - ad
    gives_way = lost > 0  # at the price where revenue no longer makes up for what the ad loses
    turn = worth[gives_way] / lost[gives_way]
    order = np.argsort(turn, kind="stable")
    at = np.concatenate([[0.0], turn[order]])
    reached = ad.sum() + np.concatenate([[0.0], np.cumsum(lost[gives_way][order])])
    enough = np.flatnonzero(reached >= engagement - 1e-12 * max(1.0, abs(engagement)))
    return float(at[enough[0]])
