"""How pages are shared out: how evenly, and how far from what was wanted.

Every function takes amounts >= 0, one row per page and one column per category or line, of any total: counts, exposure
or shares. Only their shares matter. `category_amounts` and `line_exposure` make them, of one page or, summed over the
first axis, of many. Amounts that are all zero have no shares: NaN.

    share_c = amount_c / sum_c' amount_c'
    entropy = -sum_c share_c ln share_c
    divergence = sum_c p_c ln(p_c / q~_c),  q~ = (1 - smoothing) * q + smoothing * p
    total variation = 1/2 sum_c |share_c - target_c|

Cost: O(b * m).

References:
    Steck (2018), "Calibrated recommendations", RecSys, section 3: the divergence and its smoothing.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr, rel_entr

from slatewise.core.columns import Numbers
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.inputs import amounts_of, fraction, one_of, same_pages

Norm: TypeAlias = Literal["none", "catalogue", "page"]


def shares(amounts: ArrayLike) -> Numbers:
    """Return (b, m) amounts over their sum.

    >>> shares([[3, 1], [0, 0]]).tolist()
    [[0.75, 0.25], [nan, nan]]
    """
    return _shares("amounts", amounts)


def entropy(amounts: ArrayLike, *, norm: Norm = "none") -> Numbers:
    """Return (b,) how evenly a page is spread over categories, in nats; 0 if there is but one.

    Args:
        amounts: (b, m) how much of each page is of each category.
        norm: What the entropy is divided by: nothing, the most that all m categories allow (ln m), or the most that
            the categories on the page allow. With the last, two categories in halves are as good as ten in tenths.

    Examples:
        >>> [entropy([[2, 2, 0, 0]], norm=norm).round(4).item() for norm in ("none", "catalogue", "page")]
        [0.6931, 0.5, 1.0]
        >>> [entropy([[4, 0, 0, 0]], norm=norm).item() for norm in ("none", "catalogue", "page")]
        [0.0, 0.0, 0.0]
    """
    parts = _shares("amounts", amounts)
    spread = entr(parts).sum(axis=1)
    match one_of("norm", norm, ("none", "catalogue", "page")):
        case "none":
            return spread
        case "catalogue":
            kinds = np.full(len(parts), parts.shape[1])
        case _:
            kinds = (parts > 0).sum(axis=1)
    return spread / np.log(np.where(kinds > 1, kinds, np.e))


def calibration_divergence(wanted: ArrayLike, shown: ArrayLike, *, smoothing: float = 0.01) -> Numbers:
    """Return (b,) how far a page is from a reader's tastes: 0 if its shares are theirs, and more the less it shows.

    Args:
        wanted: (b, m) what the reader's history is made of, with whatever weights; or (m,) the same for all pages.
        shown: (b, m) what the page is made of, with whatever weights.
        smoothing: How much of the tastes is mixed into the page, in [0, 1). 0 makes a page that leaves one out
            infinitely far; more brings pages closer.

    Examples:
        >>> tastes = [[0.7, 0.3]]
        >>> [calibration_divergence(tastes, [page]).round(4).item() for page in ((0.7, 0.3), (0.5, 0.5), (1, 0))]
        [0.0, 0.0807, 1.134]
        >>> [calibration_divergence(tastes, [[1, 0]], smoothing=mixed).round(4).item() for mixed in (0, 0.1)]
        [inf, 0.4624]
    """
    tastes, page = _pair("wanted", wanted, "shown", shown)
    mixed = fraction("smoothing", smoothing)
    return rel_entr(tastes, (1 - mixed) * page + mixed * tastes).sum(axis=1)


def total_variation(amounts: ArrayLike, target: ArrayLike) -> Numbers:
    """Return (b,) the share that would have to move for the shares to be those of the target, in [0, 1].

    Args:
        amounts: (b, m) how much of each page is of each category or line.
        target: (b, m) how much should be; or (m,) the same for all pages.

    Examples:
        >>> total_variation([[3, 1], [0, 5]], [0.5, 0.5]).tolist()
        [0.25, 0.5]
    """
    wanted, page = _pair("target", target, "amounts", amounts)
    return np.abs(page - wanted).sum(axis=1) / 2


def merit_ratio(exposure: ArrayLike, utility: ArrayLike) -> Numbers:
    """Return (b, m) each line's share of exposure over its share of utility: above 1 it gets more than it offers.

    A line that offers nothing has infinitely much more, or, without exposure, no ratio: NaN.

    Args:
        exposure: (b, m) how much each line is looked at.
        utility: (b, m) total utility that each line offered; or (m,) the same for all pages.

    Examples:
        >>> merit_ratio([[3, 1, 1]], [[2, 3, 0]]).round(4).tolist()
        [[1.5, 0.3333, inf]]
    """
    merit, seen = _pair("utility", utility, "exposure", exposure)
    endless = np.where(seen > 0, np.inf, np.nan)
    return np.where(merit > 0, seen / np.where(merit > 0, merit, 1), np.where(merit == 0, endless, np.nan))


def _pair(target: str, wanted: ArrayLike, pages: str, amounts: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return (b, m) shares of both; a single target is that of every page."""
    goal, page = _shares(target, wanted), _shares(pages, amounts)
    if goal.shape[1] != page.shape[1]:
        raise SlatewiseError(target, f"must have {page.shape[1]} columns like {pages}", str(goal.shape[1]))
    if len(goal) != 1:
        same_pages(target, goal, pages, len(page))
    return np.broadcast_to(goal, page.shape), page


def _shares(where: str, amounts: ArrayLike) -> Numbers:
    numbers = amounts_of(where, amounts)
    total = numbers.sum(axis=1, keepdims=True)
    return np.where(total > 0, numbers / np.where(total > 0, total, 1), np.nan)
