"""What the slots of a page are about: a category each, or several that share it.

Categories come in one of two forms, and every function takes both:

    codes    (b, n) whole numbers from 0, one per slot; -1 where a slot is empty or its item has no category
    members  (b, n, m) numbers >= 0, how much a slot belongs to each of m categories; all 0 where to none

A slot counts as one, so what it belongs to is divided by its sum: an item of two genres is half of each. `members`
makes the second form from names; `Keys.of` (`slatewise.core.columns`) makes codes of a column.

    amount_c = sum_r weight_r * member_rc / sum_c' member_rc'

Cost: O(b * n * m), for codes O(b * (n + m)).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.columns import Numbers
from slatewise.core.errors import SlatewiseError, did_you_mean, shown
from slatewise.evaluate.inputs import Codes, amounts_of, codes_of, floats_of, same_pages, whole

Named: TypeAlias = str | Collection[str] | None
"""What an item is about: one name, several, or none."""


def members(pages: Sequence[Sequence[Named]], catalogue: Sequence[str]) -> Numbers:
    """Return (b, n, m) how much each slot belongs to each category; shorter pages are filled up with zeros.

    >>> members([["news", ("news", "sport")], [None]], ["news", "sport"]).tolist()
    [[[1.0, 0.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0]]]
    """
    places = {name: place for place, name in enumerate(catalogue)}
    found = np.zeros((len(pages), max(map(len, pages), default=0), len(catalogue)))
    for row, page in enumerate(pages):
        for slot, named in enumerate(page):
            names = {named} if isinstance(named, str) else set(named or ())
            for name in names:
                if name not in places:
                    where = f"pages[{row}][{slot}]"
                    raise SlatewiseError(where, "must be in the catalogue", shown(name), did_you_mean(name, places))
                found[row, slot, places[name]] = 1 / len(names)
    return found


def category_amounts(categories: ArrayLike, catalogue: int, *, weights: ArrayLike | None = None) -> Numbers:
    """Return (b, m) how much of each page is of each category.

    Args:
        categories: (b, n) codes or (b, n, m) members.
        catalogue: How many categories there are, m.
        weights: What slots or items count, (n,) for all pages or (b, n); 1 where not given.

    Examples:
        >>> category_amounts([[0, 0, 1, -1]], 3).tolist()
        [[2.0, 1.0, 0.0]]
        >>> category_amounts([[0, 0, 1, -1]], 3, weights=[1.0, 0.5, 0.25, 0.2]).tolist()
        [[1.5, 0.25, 0.0]]
        >>> category_amounts([[[1, 0], [1, 1]]], 2).tolist()
        [[1.5, 0.5]]
    """
    slots = slots_of("categories", categories, whole("catalogue", catalogue, low=1))
    counts = _weights(weights, slots.shape[0], slots.shape[1])
    if slots.ndim == 3:
        total = slots.sum(axis=2, keepdims=True)
        return np.einsum("bnm,bn->bm", slots / np.where(total > 0, total, 1), counts)
    cells = slots + catalogue * np.arange(len(slots))[:, None]
    there = slots >= 0
    amounts = np.bincount(cells[there], counts[there], minlength=len(slots) * catalogue)
    return amounts.reshape(len(slots), catalogue).astype(np.float64)


def slots_of(where: str, categories: ArrayLike, catalogue: int | None = None) -> Codes | Numbers:
    """Return codes (b, n) or members (b, n, m)."""
    numbers = floats_of(where, categories)
    if numbers.ndim < 3:
        return codes_of(where, numbers, catalogue)
    slots = amounts_of(where, numbers, axes=3)
    if catalogue is not None and slots.shape[2] != catalogue:
        raise SlatewiseError(where, f"must have {catalogue} members per slot", str(slots.shape[2]))
    return slots


def _weights(weights: ArrayLike | None, pages: int, slots: int) -> Numbers:
    if weights is None:
        return np.ones((pages, slots))
    numbers = amounts_of("weights", weights)
    if numbers.shape[1] != slots:
        raise SlatewiseError("weights", f"must have {slots} numbers per page", str(numbers.shape[1]))
    if len(numbers) != 1:
        same_pages("weights", numbers, "categories", pages)
    return np.broadcast_to(numbers, (pages, slots))
