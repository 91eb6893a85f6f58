"""What is new on a page: beside what everybody sees, beside a baseline, beside the page before.

Pages are (b, n) numbers of items from 0, -1 where a slot is empty. A page without items has no value: NaN.

    novelty = mean over items of -log2 popularity(i),  popularity(i) = (count_i + prior) / sum_j (count_j + prior)
    serendipity = mean over items of hit(i) * [i is not on the baseline's page]
    RBO = (1 - p) sum_{d=1..l} p^(d-1) * overlap of the first d / d

Rank-biased overlap (RBO) compares endless lists; on a page of l slots it has seen 1 - p^l of its weights. `beyond` says
what becomes of the rest: nothing, so that a page agrees with itself to 1 - p^l; or both pages go on agreeing as at
their ends, so that a page agrees with itself to 1.

Cost: O(b * n), for serendipity and RBO O(b * n^2).

References:
    Zhou et al. (2010), "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS: novelty.
    Ge, Delgado-Battenfeld & Jannach (2010), "Beyond accuracy", RecSys: serendipity.
    Webber, Moffat & Zobel (2010), "A similarity measure for indefinite rankings", ACM TOIS 28(4), equation 32.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import SlatewiseError, shown
from slatewise.evaluate.inputs import Codes, amounts_of, codes_of, fraction, one_of, same_pages, without_gaps

Beyond: TypeAlias = Literal["none", "extrapolated"]


def popularity_of(counts: ArrayLike, *, prior: float) -> Numbers:
    """Return (N,) the share of showings, or clicks, that each item has; they sum up to 1.

    Args:
        counts: (N,) how often each item was shown, or clicked.
        prior: How often every item counts besides, > 0 unless all were counted. More makes items more alike.

    Examples:
        >>> popularity_of([3, 0], prior=1).tolist(), popularity_of([3, 0], prior=100).round(4).tolist()
        ([0.8, 0.2], [0.5074, 0.4926])
    """
    raised = amounts_of("counts", counts, axes=1) + amounts_of("prior", [prior], axes=1)
    if not (raised > 0).all():
        raise SlatewiseError("prior", "must be > 0 where an item was never counted", shown(prior))
    return raised / raised.sum()


def novelty(pages: ArrayLike, popularity: ArrayLike) -> Numbers:
    """Return (b,) the mean surprise of a page's items, in bits: 1 more is half as popular.

    Args:
        pages: (b, n) numbers of items, -1 where there is none.
        popularity: (N,) probability of each item, in (0, 1], as from `popularity_of`.

    Examples:
        >>> novelty([[0, 1], [1, -1]], [0.5, 0.125]).tolist()
        [2.0, 3.0]
    """
    known = amounts_of("popularity", popularity, axes=1)
    wrong = ~((known > 0) & (known <= 1))
    if wrong.any():
        raise SlatewiseError("popularity", "must be > 0 and <= 1", shown(float(known[wrong][0])), "see popularity_of")
    codes = codes_of("pages", pages, len(known))
    return _mean(np.where(codes >= 0, -np.log2(np.append(known, 1.0))[codes], 0.0), codes)


def serendipity(pages: ArrayLike, hits: ArrayLike, baseline: ArrayLike) -> Numbers:
    """Return (b,) the share of a page's items that are relevant and that the baseline would not have shown.

    Args:
        pages: (b, n) numbers of items, -1 where there is none.
        hits: (b, n) their relevance; above 0 is relevant.
        baseline: (b, k) numbers of the items that the baseline shows; cut it where you like.

    Examples:
        >>> serendipity([[4, 7, 9]], [[1, 1, 0]], [[4, 5]]).round(4).tolist()
        [0.3333]
    """
    codes, right, usual = codes_of("pages", pages), amounts_of("hits", hits) > 0, codes_of("baseline", baseline)
    if right.shape != codes.shape:
        raise SlatewiseError("hits", f"must be of the shape of pages, {codes.shape}", shown(right.shape))
    same_pages("baseline", usual, "pages", len(codes))
    return _mean(right & ~_shared(codes, usual).any(axis=2), codes)


def rank_biased_overlap(
    pages: ArrayLike, others: ArrayLike, *, persistence: float = 0.9, beyond: Beyond = "none"
) -> Numbers:
    """Return (b,) how much two pages agree, the top more than the rest; NaN if both are empty.

    Args:
        pages: (b, n) numbers of items in serving order, each once; -1 where there is none, at the end.
        others: (b, m) those of the other page.
        persistence: Probability that a reader goes on to the next slot, in [0, 1). 0 looks at the first slot only.
        beyond: What is assumed of the slots after the end of the longer page.

    Examples:
        >>> one, swapped = [[1, 2, 3]], [[2, 1, 3]]
        >>> [rank_biased_overlap(one, swapped, persistence=p).round(4).item() for p in (0.0, 0.5, 0.9)]
        [0.0, 0.375, 0.171]
        >>> rank_biased_overlap(one, one, persistence=0.5).tolist()
        [0.875]
        >>> rank_biased_overlap(one, one, persistence=0.5, beyond="extrapolated").tolist()
        [1.0]
    """
    one, other = _distinct("pages", pages), _distinct("others", others)
    same_pages("others", other, "pages", len(one))
    on = fraction("persistence", persistence)
    ends = np.stack([(one >= 0).sum(axis=1), (other >= 0).sum(axis=1)])
    short, long = ends.min(axis=0)[:, None], ends.max(axis=0)[:, None]
    depth = np.arange(1, max(one.shape[1], other.shape[1]) + 1)
    shared = _shared_by_depth(one, other, len(depth))
    weights = np.where(depth <= long, (1 - on) * on ** (depth - 1.0), 0.0)
    value = (weights * shared / depth).sum(axis=1)
    if one_of("beyond", beyond, ("none", "extrapolated")) == "extrapolated":
        value = value + _extrapolated(shared, depth, weights, short, long, on)
    return np.where(long[:, 0] > 0, value, np.nan)


def _extrapolated(shared: Numbers, depth: Codes, weights: Numbers, short: Codes, long: Codes, on: float) -> Numbers:
    """Return (b,) what is added if the shorter page, and then both, went on agreeing as they did at their ends."""
    padded = np.column_stack([np.zeros(len(shared)), shared])
    at_short, at_long = np.take_along_axis(padded, short, axis=1), np.take_along_axis(padded, long, axis=1)
    rate = at_short / np.maximum(short, 1)
    between = (weights * np.where(depth > short, rate * (depth - short) / depth, 0.0)).sum(axis=1)
    after = (at_long - at_short) / np.maximum(long, 1) + rate
    return between + (after * np.power(on, long.astype(np.float64)))[:, 0]


def _shared_by_depth(one: Codes, other: Codes, depths: int) -> Numbers:
    """Return (b, depths) how many items the first d slots of both pages share."""
    page, slot, place = np.nonzero(_shared(one, other))
    found = np.zeros((len(one), depths))
    np.add.at(found, (page, np.maximum(slot, place)), 1.0)
    return np.cumsum(found, axis=1)


def _shared(one: Codes, other: Codes) -> Flags:
    """Return (b, n, m) whether two slots hold the same item."""
    return (one[:, :, None] == other[:, None, :]) & (one[:, :, None] >= 0)


def _distinct(where: str, pages: ArrayLike) -> Codes:
    codes = without_gaps(where, codes_of(where, pages))
    rising = np.sort(codes, axis=1)
    twice = (rising[:, 1:] == rising[:, :-1]) & (rising[:, 1:] >= 0)
    if twice.any():
        raise SlatewiseError(where, "must show an item once", f"{rising[:, 1:][twice][0]} twice")
    return codes


def _mean(values: Numbers | Flags, codes: Codes) -> Numbers:
    """Return (b,) the mean over slots that hold an item, NaN if none does."""
    counts = (codes >= 0).sum(axis=1)
    total = np.where(codes >= 0, values, 0.0).sum(axis=1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
