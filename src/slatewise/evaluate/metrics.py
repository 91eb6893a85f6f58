"""Metrics of a page: did the reader find it, and how far up?

Every function takes the same first three arguments and returns one number per page:

    ranked  (b, n) relevance >= 0 of what was served, in serving order; 0 fills up pages that are shorter
    pool    (b, m) relevance >= 0 of all that could have been right, served or not, in any order
    k       the cut-off: slots 1..k count; 0 leaves nothing, and every metric is 0

Every convention that changes published numbers is an argument, its default first in the list of its values:

    empty     drop | zero | one          a page with nothing relevant in its pool: missing (NaN), nothing, or perfect
    gain      linear | exp2 | table      what relevance is worth
    discount  log2 | none | Persistence | vector     what a slot is worth
    ideal     pool | page                what NDCG is compared with: all that could have been served, or what was
    ap_denom  min(R,k) | R | hits        what average precision is divided by
    short     k | served                 what precision is divided by where fewer than k items were served

Say how many pages were empty when you report a mean; `evaluate.users` counts them. Scores that tie are ordered in
`evaluate.ranking`. R is the number of relevant items in the pool.

    P@k = hits / k,  R@k = hits / R,  RR@k = 1 / rank of the first hit,  AP@k = sum_{r<=k} P@r * hit_r / Z
    DCG@k = sum_{r<=k} gain(y_r) * discount(r),  NDCG@k = DCG@k / DCG@k of the best page
    RBP@k = (1 - p) * sum_{r<=k} p^(r-1) * gain(y_r),  ERR@k = sum_{r<=k} s_r / r * prod_{j<r} (1 - s_j)

Cost: O(b * (n + m log m)).

References:
    Järvelin & Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4).
    Moffat & Zobel (2008), "Rank-biased precision for measurement of retrieval effectiveness", ACM TOIS 27(1).
    Chapelle, Metzler, Zhang & Grinspan (2009), "Expected reciprocal rank for graded relevance", CIKM.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import SlatewiseError, shown
from slatewise.evaluate.gains import LARGEST_GRADE, Discount, Gain, best_dcg, dcg, discounts_of, gains_of
from slatewise.evaluate.inputs import amounts_of, fraction, one_of, same_pages, served_of, whole

Empty: TypeAlias = Literal["drop", "zero", "one"]
Ideal: TypeAlias = Literal["pool", "page"]
Denominator: TypeAlias = Literal["min(R,k)", "R", "hits"]
Short: TypeAlias = Literal["k", "served"]

_EMPTY: dict[str, float] = {"drop": np.nan, "zero": 0.0, "one": 1.0}
_SLACK = 1e-9


def hit_rate(ranked: ArrayLike, pool: ArrayLike, k: int, *, empty: Empty = "drop") -> Numbers:
    """Return (b,) 1 where something relevant is among the first k, else 0.

    >>> hit_rate([[0, 0, 1], [0, 0, 0]], [[1, 0], [0, 1]], k=3).tolist()
    [1.0, 0.0]
    """
    hits, right = _hits(ranked, pool, k)
    return or_empty(hits.any(axis=1), right > 0, empty)


def precision(
    ranked: ArrayLike,
    pool: ArrayLike,
    k: int,
    *,
    short: Short = "k",
    served: ArrayLike | None = None,
    empty: Empty = "drop",
) -> Numbers:
    """Return (b,) the share of the first k that is relevant.

    Args:
        ranked: (b, n) relevance in serving order.
        pool: (b, m) relevance of all that could have been right.
        k: The cut-off.
        short: What a page with fewer than k items is divided by: k all the same, or what was served of them.
        served: (b,) how many items each page has; n where it is not said.
        empty: What a page is worth whose pool holds nothing relevant.

    Examples:
        >>> precision([[1, 0]], [[1, 1]], k=4).tolist(), precision([[1, 0]], [[1, 1]], k=4, short="served").tolist()
        ([0.25], [0.5])
    """
    hits, right = _hits(ranked, pool, k)
    counts = served_of(served, len(hits), np.shape(ranked)[-1])
    if (hits & (np.arange(hits.shape[1]) >= counts[:, None])).any():
        raise SlatewiseError("served", "must reach down to the last relevant item", shown(counts.tolist()))
    places = np.minimum(counts, k) if one_of("short", short, ("k", "served")) == "served" else k
    return or_empty(hits.sum(axis=1) / np.maximum(places, 1), right > 0, empty)


def recall(ranked: ArrayLike, pool: ArrayLike, k: int, *, empty: Empty = "drop") -> Numbers:
    """Return (b,) the share of all relevant items that is among the first k.

    >>> recall([[1, 0, 1]], [[1, 1, 1, 1]], k=2).tolist(), recall([[1, 0, 1]], [[1, 1, 1, 1]], k=3).tolist()
    ([0.25], [0.5])
    """
    hits, right = _hits(ranked, pool, k)
    return or_empty(hits.sum(axis=1) / np.maximum(right, 1), right > 0, empty)


def reciprocal_rank(ranked: ArrayLike, pool: ArrayLike, k: int, *, empty: Empty = "drop") -> Numbers:
    """Return (b,) 1 / rank of the first relevant one within k, else 0.

    >>> reciprocal_rank([[0, 1, 1], [0, 0, 0]], [[1, 1], [1, 1]], k=3).tolist()
    [0.5, 0.0]
    """
    hits, right = _hits(ranked, pool, k)
    first = hits.argmax(axis=1) if hits.shape[1] else np.zeros(len(hits), np.int64)
    return or_empty(np.where(hits.any(axis=1), 1 / (first + 1), 0.0), right > 0, empty)


def average_precision(
    ranked: ArrayLike, pool: ArrayLike, k: int, *, ap_denom: Denominator = "min(R,k)", empty: Empty = "drop"
) -> Numbers:
    """Return (b,) precision at every hit within k, summed and divided.

    Args:
        ranked: (b, n) relevance in serving order.
        pool: (b, m) relevance of all that could have been right.
        k: The cut-off.
        ap_denom: What the sum is divided by: as many hits as a page of k could have, all that are relevant, or the
            hits there are, which forgives whatever was not served.
        empty: What a page is worth whose pool holds nothing relevant.

    Examples:
        >>> page, pool = [[1, 0, 1, 1]], [[1, 1, 1]]
        >>> average_precision(page, pool, k=2).tolist(), average_precision(page, pool, k=2, ap_denom="hits").tolist()
        ([0.5], [1.0])
    """
    hits, right = _hits(ranked, pool, k)
    so_far = np.cumsum(hits, axis=1)
    total = (hits * so_far / np.arange(1, hits.shape[1] + 1)).sum(axis=1)
    match one_of("ap_denom", ap_denom, ("min(R,k)", "R", "hits")):
        case "min(R,k)":
            parts = np.minimum(right, k)
        case "R":
            parts = right
        case _:
            parts = hits.sum(axis=1)
    return or_empty(total / np.maximum(parts, 1), right > 0, empty)


def ndcg(
    ranked: ArrayLike,
    pool: ArrayLike,
    k: int,
    *,
    gain: Gain = "linear",
    discount: Discount = "log2",
    ideal: Ideal = "pool",
    empty: Empty = "drop",
) -> Numbers:
    """Return (b,) DCG of the page over the DCG of the best page that there could be, both cut at k.

    Args:
        ranked: (b, n) relevance in serving order.
        pool: (b, m) relevance of all that could have been right.
        k: The cut-off.
        gain: What relevance y is worth: y, 2^y - 1, or table[y] for whole grades, from table[0] = 0.
        discount: What a slot is worth: 1 / log2(r + 1), 1, p^(r-1), or at least k measured examination probabilities.
        ideal: What the best page is made of. `page` orders anew what was served, and hides what was not.
        empty: What a page is worth if there is nothing of worth in what its ideal is made of.

    Examples:
        >>> ndcg([[0, 1]], [[1, 0]], k=2).round(4).tolist(), ndcg([[0, 1]], [[1, 0]], k=2, discount="none").tolist()
        ([0.6309], [1.0])
        >>> ndcg([[1, 0]], [[1, 3]], k=2).round(4).tolist(), ndcg([[1, 0]], [[1, 3]], k=2, ideal="page").tolist()
        ([0.2754], [1.0])
    """
    page, known = page_and_pool(ranked, pool, k)
    best = gains_of(page if one_of("ideal", ideal, ("pool", "page")) == "page" else known, gain)
    return normalised(gains_of(page, gain), best, discounts_of(discount, k), empty)


def normalised(gains: Numbers, best: Numbers, discounts: Numbers, empty: Empty) -> Numbers:
    """Return (b,) the DCG of gains in serving order over the most that the gains `best` could come to."""
    most = best_dcg(best, discounts)
    return or_empty(dcg(gains, discounts) / np.where(most > 0, most, 1), best.any(axis=1), empty)


def rbp(
    ranked: ArrayLike,
    pool: ArrayLike,
    k: int,
    *,
    persistence: float = 0.8,
    gain: Gain = "linear",
    empty: Empty = "drop",
) -> Numbers:
    """Return (b,) rank-biased precision: the gain per slot that a reader looks at.

    Args:
        ranked: (b, n) relevance in serving order.
        pool: (b, m) relevance of all that could have been right.
        k: The cut-off. A page of k relevant items is worth 1 - persistence^k.
        persistence: Probability that a reader goes on to the next slot, in [0, 1). 0 looks at the first slot only.
        gain: What relevance is worth, as for `ndcg`; at most 1 if the result is to be at most 1.
        empty: What a page is worth whose pool holds nothing relevant.

    Examples:
        >>> page, pool = [[1, 0, 1]], [[1, 1]]
        >>> rbp(page, pool, k=3, persistence=0.5).tolist(), rbp(page, pool, k=3, persistence=0).tolist()
        ([0.625], [1.0])
    """
    page, known = page_and_pool(ranked, pool, k)
    looks = (1 - persistence) * np.power(fraction("persistence", persistence), np.arange(k, dtype=np.float64))
    return or_empty(dcg(gains_of(page, gain), looks), gains_of(known, gain).any(axis=1), empty)


def err(ranked: ArrayLike, pool: ArrayLike, k: int, *, highest: float, empty: Empty = "drop") -> Numbers:
    """Return (b,) expected reciprocal rank: 1 / the slot in which a reader is satisfied, and 0 if in none.

    Args:
        ranked: (b, n) relevance in serving order.
        pool: (b, m) relevance of all that could have been right.
        k: The cut-off.
        highest: The highest grade there is, for all pages. Grade y satisfies with probability (2^y - 1) / 2^highest.
        empty: What a page is worth whose pool holds nothing relevant.

    Examples:
        >>> err([[0, 1]], [[1]], k=2, highest=1).tolist(), err([[1, 1]], [[1, 1]], k=2, highest=1).tolist()
        ([0.25], [0.625])
    """
    page, known = page_and_pool(ranked, pool, k)
    top = max(page.max(initial=0), known.max(initial=0))
    if not top <= highest <= LARGEST_GRADE:
        rule = f"must be at least the highest relevance, {top:g}, and at most {LARGEST_GRADE}"
        raise SlatewiseError("highest", rule, shown(highest))
    satisfied = (np.exp2(page[:, :k]) - 1) / np.exp2(highest)
    reached = np.cumprod(np.insert(1 - satisfied, 0, 1, axis=1), axis=1)[:, :-1]
    return or_empty((satisfied * reached / np.arange(1, satisfied.shape[1] + 1)).sum(axis=1), known.any(axis=1), empty)


def page_and_pool(ranked: ArrayLike, pool: ArrayLike, k: int) -> tuple[Numbers, Numbers]:
    """Return page and pool as numbers, page by page of one pool."""
    whole("k", k)
    page, known = amounts_of("ranked", ranked), amounts_of("pool", pool)
    same_pages("pool", known, "ranked", len(page))
    served, there = page.sum(axis=1), known.sum(axis=1)
    wrong = served > there * (1 + _SLACK)
    if wrong.any():
        row = int(wrong.argmax())
        rule = f"must have no more relevance than its pool, {there[row]:g}"
        raise SlatewiseError(f"ranked[{row}]", rule, f"{served[row]:g}")
    return page, known


def or_empty(values: ArrayLike, judged: ArrayLike, empty: Empty) -> Numbers:
    """Return (b,) the values where there was something to find, else what `empty` says."""
    return np.where(judged, values, _EMPTY[one_of("empty", empty, ("drop", "zero", "one"))])


def _hits(ranked: ArrayLike, pool: ArrayLike, k: int) -> tuple[Flags, NDArray[np.int64]]:
    """Return (b, min(n, k)) what is relevant of the page's top, and (b,) how much is in its pool."""
    page, known = page_and_pool(ranked, pool, k)
    return page[:, :k] > 0, (known > 0).sum(axis=1)
