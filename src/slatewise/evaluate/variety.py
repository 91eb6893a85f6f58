"""How unlike each other the items of a page are: by distance, and by category slot after slot.

Distances of all pairs of a page are a (b, n, n) array, from `cosine_distances` or of your own making; NaN is a pair of
which nothing is known, or a slot without an item. A page with no known pair has no distance: NaN, which is not 0.

    distance(i, j) = 1 - cos(i, j), from 0 (alike) over 1 (nothing in common) to 2 (opposite)
    ILD = mean, ILMD = least distance over unordered pairs

Categories come as codes or members, see `evaluate.categories`. Two slots are of one category if they share any.

Cost: O(b * n^2 * d) for distances, O(b * n * window * m) for repeats, O(b * n * m) for runs.

References:
    Ziegler, McNee, Konstan & Lausen (2005), "Improving recommendation lists through topic diversification", WWW:
    intra-list similarity.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import SlatewiseError, shown
from slatewise.evaluate.categories import slots_of
from slatewise.evaluate.inputs import Codes, floats_of, on_axes, one_of, served_of, whole

MissingVector: TypeAlias = Literal["error", "drop", "unlike"]

_SLACK = 1e-9


def cosine_distances(
    vectors: ArrayLike, *, missing: MissingVector = "error", served: ArrayLike | None = None
) -> Numbers:
    """Return (b, n, n) 1 - cosine of all pairs of a page: exactly 0 between equals.

    Args:
        vectors: (b, n, d) embedding of each slot's item, of any length. One of NaN or of zeros is missing: it has no
            direction.
        missing: What a missing vector means: a mistake, a slot that is in no pair, or an item unlike all others
            (distance 1).
        served: (b,) how many slots hold an item; all where it is not said. What lies below is in no pair.

    Examples:
        >>> cosine_distances([[1, 0], [2, 0], [0, 1], [-1, 0]])[0, 0].tolist()
        [0.0, 0.0, 1.0, 2.0]
        >>> page = [[1, 0], [1, 0], [0, 0]]
        >>> [ild(cosine_distances(page, missing=missing)).round(4).item() for missing in ("drop", "unlike")]
        [0.0, 0.6667]
    """
    numbers = on_axes("vectors", floats_of("vectors", vectors), 3)
    used = np.arange(numbers.shape[1]) < served_of(served, *numbers.shape[:2])[:, None]
    unit, there = _directions(np.where(used[:, :, None], numbers, 0.0))
    if one_of("missing", missing, ("error", "drop", "unlike")) == "error" and (used & ~there).any():
        page, slot = np.argwhere(used & ~there)[0].tolist()
        raise SlatewiseError(f"vectors[{page}][{slot}]", "must have a direction", None, "say what `missing` ones mean")
    distances = np.empty((*numbers.shape[:2], numbers.shape[1]))
    for slot in range(numbers.shape[1]):
        distances[:, slot] = np.square(unit - unit[:, slot, None]).sum(axis=2) / 2
    distances[~_pairs(there)] = 1.0
    distances[:, np.arange(numbers.shape[1]), np.arange(numbers.shape[1])] = 0.0
    distances[~_pairs(used & (there | (missing == "unlike")))] = np.nan
    return distances


def ild(distances: ArrayLike) -> Numbers:
    """Return (b,) the mean distance over the known pairs of a page, NaN if there is none.

    >>> ild([[0, 1, 2], [1, 0, 0], [2, 0, 0]]).tolist(), ild([[0]]).tolist()
    ([1.0], [nan])
    """
    pairs, known = _unordered(distances)
    counts = known.sum(axis=1)
    total = np.where(known, pairs, 0.0).sum(axis=1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def ilmd(distances: ArrayLike) -> Numbers:
    """Return (b,) the least distance over the known pairs of a page, NaN if there is none.

    >>> ilmd([[0, 1, 2], [1, 0, 0.5], [2, 0.5, 0]]).tolist(), ilmd([[0]]).tolist()
    ([0.5], [nan])
    """
    pairs, known = _unordered(distances)
    least = np.where(known, pairs, np.inf).min(axis=1, initial=np.inf)
    return np.where(known.any(axis=1), least, np.nan)


def repeats(categories: ArrayLike, *, window: int) -> Numbers:
    """Return (b,) how many slots repeat a category of one of the previous `window` slots.

    Args:
        categories: (b, n) codes or (b, n, m) members.
        window: How many slots above are looked at. 0 is off, and longer windows find more.

    Examples:
        >>> [repeats([[0, 1, 0, 0, -1, -1]], window=window).item() for window in (0, 1, 2)]
        [0.0, 1.0, 2.0]
    """
    slots = slots_of("categories", categories)
    found = np.zeros(slots.shape[:2], np.bool_)
    for lag in range(1, min(whole("window", window), slots.shape[1] - 1) + 1):
        found[:, lag:] |= _alike(slots, lag)
    return found.sum(axis=1, dtype=np.float64)


def longest_run(categories: ArrayLike) -> Numbers:
    """Return (b,) the most slots in a row that are all of one category; a slot without any ends a run.

    >>> longest_run([[0, 1, 1, 1, 0], [0, -1, 0, 2, 3], [-1, -1, -1, -1, -1]]).tolist()
    [3.0, 1.0, 0.0]
    >>> longest_run([[[1, 0], [1, 1], [0, 1]]]).tolist()
    [2.0]
    """
    slots = slots_of("categories", categories)
    here = slots >= 0 if slots.ndim == 2 else slots > 0
    goes_on = np.zeros_like(here)
    goes_on[:, 1:] = (slots[:, 1:] == slots[:, :-1]) if slots.ndim == 2 else here[:, :-1]
    run = np.zeros((len(here), *here.shape[2:]))
    longest = np.zeros(len(here))
    for slot in range(here.shape[1]):
        run = here[:, slot] * (1 + run * goes_on[:, slot])
        longest = np.maximum(longest, run if run.ndim == 1 else run.max(axis=1, initial=0))
    return longest


def _alike(slots: Codes | Numbers, lag: int) -> Flags:
    """Return (b, n - lag) whether slots share a category with the slot so many above."""
    below, above = slots[:, lag:], slots[:, :-lag]
    return (
        (below == above) & (below >= 0) if slots.ndim == 2 else np.logical_or.reduce((below > 0) & (above > 0), axis=2)
    )


def _directions(vectors: Numbers) -> tuple[Numbers, Flags]:
    """Return (b, n, d) vectors of length 1, and (b, n) which have a direction; the others are zeros."""
    none = np.logical_and.reduce(np.isnan(vectors), axis=2)
    numbers = np.where(none[:, :, None], 0.0, vectors)
    if not np.isfinite(numbers).all():
        wrong = numbers[~np.isfinite(numbers)][0]
        raise SlatewiseError("vectors", "must be finite, or NaN as a whole", shown(float(wrong)))
    largest = np.abs(numbers).max(axis=2, keepdims=True, initial=0.0)
    scaled = numbers / np.where(largest > 0, largest, 1)
    length = np.sqrt(np.square(scaled).sum(axis=2, keepdims=True))
    return scaled / np.where(length > 0, length, 1), length[:, :, 0] > 0


def _pairs(slots: Flags) -> Flags:
    return slots[:, :, None] & slots[:, None, :]


def _unordered(distances: ArrayLike) -> tuple[Numbers, Flags]:
    """Return (b, n (n - 1) / 2) distances of the pairs i < j, and which of them are known."""
    table = on_axes("distances", floats_of("distances", distances), 3)
    if table.shape[1] != table.shape[2]:
        raise SlatewiseError("distances", "must be square", shown(table.shape[1:]))
    wrong = (table < 0) | np.isinf(table)
    if wrong.any():
        raise SlatewiseError("distances", "must be finite and >= 0, or NaN", shown(float(table[wrong][0])))
    above, below = np.triu_indices(table.shape[1], 1)
    pairs, mirrored = table[:, above, below], table[:, below, above]
    if not np.allclose(pairs, mirrored, rtol=_SLACK, atol=_SLACK, equal_nan=True):
        raise SlatewiseError("distances", "must be the same both ways")
    return pairs, ~np.isnan(pairs)
