"""First stages: what ranks candidates before anything looks at a whole list.

**Factors**, from who took what. With affinity s = x_u·y_i, and for what was not taken a target of 0 with little weight,

    minimise  sum_taken (v - s)^2 + rest * sum_all s^2 + damping * (known_u |x_u|^2 + known_i |y_i|^2)

by solving for all x and all y in turns; known is what was taken plus `rest` times all. Cost: O(rounds * (taken * d^2 +
(users + items) * d^3)).

**Ratings**: the mean, what users and items deviate from it, drawn towards 0 where few are known, and factors of what is
left, with a `rest` of 0.

**Neighbours**: how alike an item is to those that a user took, by the cosine of who took them.

**Trees**: LambdaMART of LightGBM, on columns of rows.

What a reranker learns from has to be scored by a first stage that has not seen it: `out_of_fold`.

References:
    Hu, Koren & Volinsky (2008), "Collaborative Filtering for Implicit Feedback Datasets", ICDM.
    Rendle, Krichene, Zhang & Koren (2022), "Revisiting the Performance of iALS on Item Recommendation Benchmarks",
    RecSys: the weight of what was not taken, and damping by how much is known.
    Burges (2010), "From RankNet to LambdaRank to LambdaMART: An Overview", Microsoft Research.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from slatewise.core.columns import Numbers
from slatewise.learn.pages import Pages
from slatewise.learn.pages_columns import cuts, draws

Sparse: TypeAlias = Any
"""A matrix of SciPy, row by row, whose types know no sizes."""
Scorer: TypeAlias = Callable[[Pages], Numbers]
"""Returns (N,) scores of the rows of a log."""


class Factors(NamedTuple):
    """Vectors whose product is an affinity.

    Attributes:
        users: (m, d) of users.
        items: (n, d) of items.
    """

    users: Numbers
    items: Numbers


def factors(
    taken: Sparse, *, dims: int = 32, rest: float = 0.2, damping: float = 0.005, rounds: int = 8, seed: int = 0
) -> Factors:
    """Return vectors of users and items.

    Args:
        taken: (m, n) what each user made of each item that she took, such as 1.
        dims: Numbers in a vector.
        rest: Weight of what was not taken, next to 1; 0 leaves it out.
        damping: Weight of the vectors' lengths, times what is known of each.
        rounds: How often all are solved for.
        seed: Root of the first vectors.
    """
    by_user: Sparse = csr_array(taken, dtype=np.float64)
    by_item: Sparse = csr_array(by_user.T)
    rng = np.random.default_rng(seed)
    items = rng.normal(scale=0.1 / np.sqrt(dims), size=(by_user.shape[1], dims))
    users = np.zeros((by_user.shape[0], dims))
    for _ in range(rounds):
        users = _solved(by_user, items, rest, damping)
        items = _solved(by_item, users, rest, damping)
    return Factors(users, items)


def neighbours(taken: Sparse, *, damping: float = 10.0) -> Numbers:
    """Return (m, n) how alike each item is to those that each user took.

    Args:
        taken: (m, n) who took what.
        damping: Users that are added to how often an item was taken, so that rare ones are alike to little.
    """
    ones = (taken.toarray() != 0).astype(np.float32)
    together = ones.T @ ones
    inverse = (1.0 / np.sqrt(together.diagonal() + damping)).astype(np.float32)
    np.fill_diagonal(together, 0.0)
    return (ones @ (together * inverse[:, None] * inverse)).astype(np.float64)


def ratings(given: Sparse, *, shrink: float = 10.0, dims: int = 16, damping: float = 0.1, seed: int = 0) -> Numbers:
    """Return (m, n) what each user would rate each item.

    Args:
        given: (m, n) ratings, > 0.
        shrink: Ratings of nothing special that are added to those of each user and item.
        dims: Numbers in a vector.
        damping: Weight of the vectors' lengths, times what is known of each.
        seed: Root of the first vectors.
    """
    rows, places = given.nonzero()
    mean = float(given.data.mean())
    left = given.data - mean
    of_items = _shrunk(left, places, given.shape[1], shrink)
    left = left - of_items[places]
    of_users = _shrunk(left, rows, given.shape[0], shrink)
    left = left - of_users[rows]
    found = factors(
        csr_array((left, (rows, places)), shape=given.shape), dims=dims, rest=0.0, damping=damping, seed=seed
    )
    return mean + of_users[:, None] + of_items + found.users @ found.items.T


def trees(
    pages: Pages,
    *,
    label: str = "label",
    columns: tuple[str, ...] = (),
    rounds: int = 200,
    settings: dict[str, Any] | None = None,
    seed: int = 0,
) -> Scorer:
    """Return what LambdaMART learned from a log: trees on columns of numbers.

    Args:
        pages: The log.
        label: Feedback that lists are ordered by; grades 0, 1, ...
        columns: Columns that trees look at; all but `score` without.
        rounds: How many trees.
        settings: Other parameters of LightGBM.
        seed: Root of its draws.
    """
    import lightgbm

    names = columns or tuple(name for name in pages.numbers if name != "score")
    told = {
        "objective": "lambdarank",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 20,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "seed": seed,
        **(settings or {}),
    }
    data = lightgbm.Dataset(_matrix(pages, names), pages.labels(label), group=pages.lengths, free_raw_data=False)
    model = lightgbm.train(told, data, num_boost_round=rounds)
    return lambda others: np.asarray(model.predict(_matrix(others, names)), np.float64)


def out_of_fold(pages: Pages, fit: Callable[[Pages], Scorer], *, folds: int, seed: int) -> Numbers:
    """Return (N,) scores, those of each list by what was fitted without it.

    Args:
        pages: The log.
        fit: Fits on lists, and returns what scores others.
        folds: In how many parts the lists are drawn, >= 2.
        seed: Root of the draw.
    """
    fold = folds_of([f"{name}" for name in pages.request], folds=folds, seed=seed)
    found = np.full(len(pages.slot), np.nan)
    for part in range(folds):
        held = np.flatnonzero(fold == part)
        if len(held):
            found[pages.rows(held)] = fit(pages.take(fold != part))(pages.take(held))
    return found


def first_stage(pages: Pages, fit: Callable[[Pages], Scorer], *, folds: int = 5, seed: int = 0) -> Pages:
    """Return a log in the order of a first stage that is fitted on the lists whose `part` is `train`.

    These are scored out of fold, and the others by what was fitted on all of them.

    Args:
        pages: The log; its context has a `part`.
        fit: Fits on lists, and returns what scores others.
        folds: In how many parts the lists to learn from are drawn, >= 2.
        seed: Root of the draw.
    """
    part = pages.context["part"]
    learns = part.codes == part.names.index("train")
    found = fit(pages.take(learns))(pages)
    found[pages.rows(np.flatnonzero(learns))] = out_of_fold(pages.take(learns), fit, folds=folds, seed=seed)
    return pages.scored(found)


def folds_of(names: ArrayLike, *, folds: int, seed: int) -> NDArray[np.int64]:
    """Return (n,) which of equally large parts each name is drawn into; the same in every process.

    >>> sorted(folds_of(["a", "b", "c", "d"], folds=2, seed=0).tolist())
    [0, 0, 1, 1]
    """
    order = np.argsort(draws([f"{seed}\0{name}" for name in np.asarray(names, object)]), kind="stable")
    found = np.empty(len(order), np.int64)
    for part, start in enumerate(edges := cuts([1 / folds] * folds, len(order))[:-1]):
        found[order[start : [*edges, len(order)][part + 1]]] = part
    return found


def _solved(taken: Sparse, others: Numbers, rest: float, damping: float) -> Numbers:
    """Return the vectors that are best while the others stay."""
    size, dims = taken.shape[0], others.shape[1]
    found = np.zeros((size, dims))
    all_pairs = rest * others.T @ others
    for row in range(size):
        start, end = taken.indptr[row], taken.indptr[row + 1]
        if start < end:
            near = others[taken.indices[start:end]]
            known = end - start + rest * len(others)
            left = near.T @ near + all_pairs
            left[np.diag_indices(dims)] += damping * known
            found[row] = np.linalg.solve(left, near.T @ taken.data[start:end])
    return found


def _shrunk(values: NDArray[Any], groups: NDArray[np.integer], size: int, shrink: float) -> Numbers:
    """Return (size,) means of groups, drawn towards 0."""
    return np.bincount(groups, values, size) / (np.bincount(groups, minlength=size) + shrink)


def _matrix(pages: Pages, names: tuple[str, ...]) -> Numbers:
    return np.column_stack([pages.numbers[name] for name in names])
