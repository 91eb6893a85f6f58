"""Metrics of pages whose items serve several aspects: does the page serve all of them, and how soon?

An aspect is anything that a reader may be after: a reading of a query, a topic, a taste of several in one household.
Every function takes the same first three arguments and returns one number per page:

    ranked  (b, n, m) 1 where what was served in a slot covers an aspect, else 0; zeros fill up shorter pages
    pool    (b, p, m) the same of all that could have been right, served or not
    k       the cut-off: slots 1..k count; 0 leaves nothing

An aspect that was covered before is worth less each time:

    gain_r = sum_c covers_rc * (1 - alpha)^(slots before r that cover c)

The best page is made greedily, slot by slot the largest gain, equals in the order of the pool: the exact one is hard to
find. Greedy pages are seldom, and little, below the best, so that a page may be worth slightly more than 1; such values
are not cut off.

Cost: O(b * k * p * m).

References:
    Clarke et al. (2008), "Novelty and diversity in information retrieval evaluation", SIGIR: alpha-nDCG.
    Zhai, Cohen & Lafferty (2003), "Beyond independent relevance", SIGIR: subtopic recall.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import SlatewiseError, shown
from slatewise.evaluate.gains import Discount, dcg, discounts_of
from slatewise.evaluate.inputs import amounts_of, fraction, one_of, same_pages, whole
from slatewise.evaluate.metrics import Empty, Ideal, or_empty


def alpha_ndcg(
    ranked: ArrayLike,
    pool: ArrayLike,
    k: int,
    *,
    alpha: float = 0.5,
    discount: Discount = "log2",
    ideal: Ideal = "pool",
    empty: Empty = "drop",
) -> Numbers:
    """Return (b,) discounted gain of the page over that of the greedy page, both cut at k.

    Args:
        ranked: (b, n, m) aspects in serving order.
        pool: (b, p, m) aspects of all that could have been right.
        k: The cut-off.
        alpha: How much of an aspect is used up each time it is covered, in [0, 1]. 0 counts every time in full.
        discount: What a slot is worth, as for `ndcg`.
        ideal: What the greedy page is made of. `page` orders anew what was served, and hides what was not.
        empty: What a page is worth if nothing covers any aspect in what its ideal is made of.

    Examples:
        >>> twice, both = [[[1, 0], [1, 0]]], [[[1, 0], [0, 1]]]
        >>> pool = [[[1, 0], [1, 0], [0, 1]]]
        >>> alpha_ndcg(twice, pool, 2).round(4).tolist(), alpha_ndcg(both, pool, 2).tolist()
        ([0.8066], [1.0])
        >>> alpha_ndcg(twice, pool, 2, alpha=0).tolist(), alpha_ndcg(twice, pool, 2, alpha=1).round(4).tolist()
        ([1.0], [0.6131])
    """
    page, known = _read(ranked, pool, k)
    kept = 1 - fraction("alpha", alpha, to=1)
    best = page if one_of("ideal", ideal, ("pool", "page")) == "page" else known
    weights = discounts_of(discount, k)
    most = dcg(_greedy_gains(best, k, kept), weights)
    found = dcg(_gains(page[:, :k], kept), weights)
    return or_empty(found / np.where(most > 0, most, 1), best.any(axis=(1, 2)), empty)


def subtopic_recall(ranked: ArrayLike, pool: ArrayLike, k: int, *, empty: Empty = "drop") -> Numbers:
    """Return (b,) the share of the pool's aspects that the first k cover.

    >>> pool = [[[1, 0], [0, 1]]]
    >>> subtopic_recall([[[1, 0], [0, 1]]], pool, k=1).tolist(), subtopic_recall([[[1, 0], [0, 1]]], pool, k=2).tolist()
    ([0.5], [1.0])
    """
    page, known = _read(ranked, pool, k)
    there = known.any(axis=1).sum(axis=1)
    return or_empty(page[:, :k].any(axis=1).sum(axis=1) / np.maximum(there, 1), there > 0, empty)


def _gains(page: Flags, kept: float) -> Numbers:
    before = np.cumsum(page, axis=1) - page
    return (page * np.power(kept, before)).sum(axis=2)


def _greedy_gains(pool: Flags, k: int, kept: float) -> Numbers:
    """Return (b, min(k, p)) gains of the page that takes the largest gain in each slot."""
    pages = np.arange(len(pool))
    covered = np.zeros((len(pool), pool.shape[2]), np.int64)
    free = np.ones(pool.shape[:2], np.bool_)
    gains = np.zeros((len(pool), min(k, pool.shape[1])))
    for slot in range(gains.shape[1]):
        offers = np.where(free, (pool * np.power(kept, covered)[:, None]).sum(axis=2), -1.0)
        taken = offers.argmax(axis=1)
        gains[:, slot] = offers[pages, taken]
        free[pages, taken] = False
        covered += pool[pages, taken]
    return gains


def _read(ranked: ArrayLike, pool: ArrayLike, k: int) -> tuple[Flags, Flags]:
    """Return page and pool as flags, page by page of one pool and the same aspects."""
    whole("k", k)
    page, known = _flags("ranked", ranked), _flags("pool", pool)
    same_pages("pool", known, "ranked", len(page))
    if page.shape[2] != known.shape[2]:
        raise SlatewiseError("pool", f"must have {page.shape[2]} aspects like ranked", str(known.shape[2]))
    unknown = page.any(axis=1) & ~known.any(axis=1)
    if unknown.any():
        row, aspect = np.argwhere(unknown)[0].tolist()
        raise SlatewiseError(f"ranked[{row}]", "must cover no aspect that its pool lacks", f"aspect {aspect}")
    return page, known


def _flags(where: str, values: ArrayLike) -> Flags:
    numbers = amounts_of(where, values, axes=3)
    wrong = (numbers != 0) & (numbers != 1)
    if wrong.any():
        raise SlatewiseError(where, "must be 0 or 1", shown(float(numbers[wrong][0])))
    return numbers > 0
