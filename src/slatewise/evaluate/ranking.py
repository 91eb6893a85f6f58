"""From scores to a page, when scores tie.

Four equal scores and one relevant item: NDCG is anything from 0.43 to 1, depending on who stands first. So the order of
equals is said:

    engine    as slatewise serves: larger score, then larger `tied_by`, then smaller id
    average   no order at all: the mean over all orders of equals
    input     as handed over
    id_desc   larger id first, as trec_eval does

The mean over all orders of a DCG needs no orders: every slot that equals share holds the mean of their gains. Only sums
over slots have this form, so `average` is there for NDCG alone; all other metrics take `ranked_by_score`.

Cost: O(b * n log n).

References:
    McSherry & Najork (2008), "Computing information retrieval performance measures efficiently in the presence of tied
    scores", ECIR.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slatewise.core.columns import Numbers
from slatewise.core.errors import SlatewiseError, shown
from slatewise.evaluate.gains import Discount, Gain, discounts_of, gains_of
from slatewise.evaluate.inputs import Codes, amounts_of, floats_of, on_axes, one_of, whole
from slatewise.evaluate.metrics import Empty, normalised

Order: TypeAlias = Literal["engine", "input", "id_desc"]
Ties: TypeAlias = Literal["engine", "average", "input", "id_desc"]


def ranked_by_score(
    relevance: ArrayLike,
    scores: ArrayLike,
    *,
    ties: Order = "engine",
    ids: ArrayLike | None = None,
    tied_by: ArrayLike | None = None,
) -> Numbers:
    """Return (b, n) relevance in serving order: what metrics take as `ranked`.

    Args:
        relevance: (b, n) relevance of the candidates.
        scores: (b, n) their scores, larger is better; NaN fills up pages with fewer candidates, and goes last.
        ties: Who goes first among equals.
        ids: (b, n) numbers or names of the items; their places where not given.
        tied_by: (b, n) what decides between equal scores before ids do, larger first; nothing where not given.

    Examples:
        >>> ranked_by_score([[1, 0, 2]], [[0.5, 0.9, 0.5]]).tolist()
        [[0.0, 1.0, 2.0]]
        >>> ranked_by_score([[1, 0, 2]], [[0.5, 0.9, 0.5]], ties="id_desc").tolist()
        [[0.0, 2.0, 1.0]]
        >>> ranked_by_score([[1, 0, 2]], [[0.5, 0.9, 0.5]], tied_by=[[0.1, 0.0, 0.2]]).tolist()
        [[0.0, 2.0, 1.0]]
    """
    one_of("ties", ties, ("engine", "input", "id_desc"))
    worth, keys = _scored(relevance, scores)
    return np.take_along_axis(worth, _order(keys, ties, ids, tied_by), axis=1)


def ndcg_by_score(
    relevance: ArrayLike,
    scores: ArrayLike,
    k: int,
    *,
    ties: Ties = "engine",
    ids: ArrayLike | None = None,
    tied_by: ArrayLike | None = None,
    gain: Gain = "linear",
    discount: Discount = "log2",
    empty: Empty = "drop",
) -> Numbers:
    """Return (b,) NDCG of candidates ordered by score; the candidates are the pool.

    Args:
        relevance: (b, n) relevance of the candidates.
        scores: (b, n) their scores, larger is better; NaN fills up pages with fewer candidates, and goes last.
        k: The cut-off.
        ties: Who goes first among equals; `average` is the mean over all their orders.
        ids: (b, n) numbers or names of the items; their places where not given.
        tied_by: (b, n) what decides between equal scores before ids do, for `engine`.
        gain: What relevance is worth, as for `ndcg`.
        discount: What a slot is worth, as for `ndcg`.
        empty: What a page is worth whose candidates are worth nothing.

    Examples:
        >>> relevance, tied = [[0, 1]], [[0.5, 0.5]]
        >>> [ndcg_by_score(relevance, tied, 2, ties=ties).round(4).item() for ties in ("engine", "average", "id_desc")]
        [0.6309, 0.8155, 1.0]
    """
    one_of("ties", ties, ("engine", "average", "input", "id_desc"))
    worth, keys = _scored(relevance, scores)
    gains = gains_of(worth, gain)
    order = _order(keys, "input" if ties == "average" else ties, ids, tied_by)
    ranked = np.take_along_axis(gains, order, axis=1)
    if ties == "average":
        ranked = _mean_of_equals(ranked, np.take_along_axis(keys, order, axis=1))
    return normalised(ranked, gains, discounts_of(discount, whole("k", k)), empty)


def _scored(relevance: ArrayLike, scores: ArrayLike) -> tuple[Numbers, Numbers]:
    worth, keys = amounts_of("relevance", relevance), on_axes("scores", floats_of("scores", scores), 2)
    _same_shape("scores", keys, worth)
    if (np.isnan(keys) & (worth > 0)).any():
        raise SlatewiseError("scores", "must be there for whatever is relevant", "nan")
    return worth, keys


def _order(scores: Numbers, ties: Order, ids: ArrayLike | None, tied_by: ArrayLike | None) -> Codes:
    """Return (b, n) places of the candidates in serving order."""
    if ties == "input":
        return np.argsort(-scores, axis=1, kind="stable")
    ranks = _ranks(ids, scores)
    if ties == "id_desc":
        return np.lexsort((-ranks, -scores), axis=1)
    second = np.zeros_like(scores) if tied_by is None else on_axes("tied_by", floats_of("tied_by", tied_by), 2)
    _same_shape("tied_by", second, scores)
    return np.lexsort((ranks, -second, -scores), axis=1)


def _ranks(ids: ArrayLike | None, scores: Numbers) -> Codes:
    """Return (b, n) numbers in the order of the ids."""
    if ids is None:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    names = on_axes("ids", np.asarray(ids), 2)
    _same_shape("ids", names, scores)
    return np.unique(names, return_inverse=True)[1].reshape(names.shape)


def _mean_of_equals(gains: Numbers, scores: Numbers) -> Numbers:
    """Return (b, n) gains in serving order, each the mean of those whose score is the same."""
    starts = np.ones(scores.shape, np.bool_)
    starts[:, 1:] = scores[:, 1:] != scores[:, :-1]
    group = np.cumsum(starts.ravel()) - 1
    means = np.bincount(group, gains.ravel()) / np.maximum(np.bincount(group), 1)
    return means[group].reshape(gains.shape)


def _same_shape(where: str, array: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    if array.shape != other.shape:
        raise SlatewiseError(where, f"must be of one shape with the others, {other.shape}", shown(array.shape))
