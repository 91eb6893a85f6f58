"""Metrics of a page: did the reader find it, and how far up?

Every function takes the same first three arguments and returns one number per page:

    ranked  (b, n) relevance >= 0 of what was served, in serving order; 0 fills up pages that are shorter
    pool    (b, m) relevance >= 0 of all that could have been right, served or not, in any order
    k       the cut-off: slots 1..k count

Every convention that changes published numbers is an argument. The ideal of NDCG is that of the pool, so that what was
never served is held against the page. A page with nothing relevant in its pool has no metric: `empty` says whether it
is missing (`drop`, NaN), worth nothing (`zero`) or perfect (`one`); say how many there were when you report a mean.

    DCG@k = sum_{r=1..k} gain(y_r) * discount(r),  gain(y) = y or 2^y - 1,  discount(r) = 1 / log2(r + 1) or 1

Cost: O(b * (n + m log m)).

References:
    Järvelin & Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4).
    Burges et al. (2005), "Learning to rank using gradient descent", ICML: the exponential gain.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers: TypeAlias = NDArray[np.float64]
Empty: TypeAlias = Literal["drop", "zero", "one"]
Gain: TypeAlias = Literal["linear", "exp2"]
Discount: TypeAlias = Literal["log2", "none"] | NDArray[np.float64]

_EMPTY: dict[str, float] = {"drop": np.nan, "zero": 0.0, "one": 1.0}


def hit_rate(ranked: ArrayLike, pool: ArrayLike, k: int, *, empty: Empty = "drop") -> Numbers:
    """Return (b,) 1 where something relevant is among the first k, else 0.

    >>> hit_rate([[0, 0, 1], [0, 0, 0]], [[1, 0], [0, 1]], k=3).tolist()
    [1.0, 0.0]
    """
    hits = _pages(ranked)[:, :k] > 0
    return _judged(np.where(hits.any(axis=1), 1.0, 0.0), pool, empty)


def reciprocal_rank(ranked: ArrayLike, pool: ArrayLike, k: int, *, empty: Empty = "drop") -> Numbers:
    """Return (b,) 1 / rank of the first relevant one within k, else 0.

    >>> reciprocal_rank([[0, 1, 1], [0, 0, 0]], [[1], [1]], k=3).tolist()
    [0.5, 0.0]
    """
    hits = _pages(ranked)[:, :k] > 0
    found = hits.any(axis=1)
    first = hits.argmax(axis=1) if hits.shape[1] else np.zeros(len(hits), np.int64)
    return _judged(np.where(found, 1 / (first + 1), 0.0), pool, empty)


def ndcg(
    ranked: ArrayLike,
    pool: ArrayLike,
    k: int,
    *,
    gain: Gain = "linear",
    discount: Discount = "log2",
    empty: Empty = "drop",
) -> Numbers:
    """Return (b,) DCG of the page over the DCG of the best page that the pool allows, both cut at k.

    Args:
        ranked: (b, n) relevance in serving order.
        pool: (b, m) relevance of all that could have been right.
        k: The cut-off.
        gain: What relevance y is worth: y, or 2^y - 1.
        discount: What a slot is worth: 1 / log2(r + 1), 1, or (k,) measured examination probabilities.
        empty: What a page is worth whose pool holds nothing relevant.

    Examples:
        >>> ndcg([[0, 1]], [[1, 0]], k=2).round(4).tolist(), ndcg([[0, 1]], [[1, 0]], k=2, discount="none").tolist()
        ([0.6309], [1.0])
    """
    weights = _discounts(discount, k)
    ideal = _dcg(-np.sort(-_pages(pool), axis=1), weights, gain)
    found = _dcg(_pages(ranked), weights, gain)
    return _judged(found / np.where(ideal > 0, ideal, 1), pool, empty)


def _dcg(relevance: Numbers, weights: Numbers, gain: Gain) -> Numbers:
    top = relevance[:, : len(weights)]
    worth = top if gain == "linear" else np.exp2(top) - 1
    return worth @ weights[: top.shape[1]]


def _discounts(discount: Discount, k: int) -> Numbers:
    if isinstance(discount, np.ndarray):
        return discount[:k]
    return 1 / np.log2(np.arange(2, k + 2)) if discount == "log2" else np.ones(k)


def _judged(values: Numbers, pool: ArrayLike, empty: Empty) -> Numbers:
    return np.where((_pages(pool) > 0).any(axis=1), values, _EMPTY[empty])


def _pages(relevance: ArrayLike) -> Numbers:
    return np.atleast_2d(np.asarray(relevance, dtype=np.float64))
