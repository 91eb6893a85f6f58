"""Cells of a page: which rows are in question for its slots, and what each slot counts in the windows of a rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes
from slatewise.core.constraints import Arrays
from slatewise.core.problem import PageProblem
from slatewise.kernels.audit import shares  # rounded as they are counted


def windows_of(arrays: Arrays, rule: int, length: int) -> NDArray[np.int64]:
    """Return (windows, h + length): what each slot of the page before and of this one counts in each window."""
    past = len(arrays.group) - len(arrays.items)
    slot = np.arange(past + length)
    start, stop = past + arrays.windows[rule, 0], past + min(arrays.windows[rule, 1], length)
    if start >= stop:
        return np.empty((0, past + length), np.int64)
    start -= min(past, arrays.reach[rule])
    width = min(arrays.windows[rule, 2], stop - start)
    first = np.arange(start, stop - width + 1)[:, None]
    window = ((slot >= first) & (slot < first + width)).astype(np.int64)
    if arrays.curve[rule, 0] >= 0:
        window[0, start:stop] = shares(arrays.curve[rule, start - past : stop - past])
    return window


def in_question(problem: PageProblem, length: int) -> Codes:
    """Return the rows in order, without those that `length` others go before which nothing but utility tells apart.

    A page with such a row has room for one of the others, and is worth no less with it, as exposure is >= 0. Rows of
    items that have several are always in question, and so are all where worth hangs on the slot. Cost: O(n R log n).
    """
    order, arrays, pairs = problem.order, problem.constraints.arrays, problem.pairs
    if problem.extra is not None:
        return order
    group, units = arrays.group[order], np.where(arrays.group >= 0, arrays.units, 0)[order]
    twins = np.bincount(arrays.items)[arrays.items[order]] > 1
    own = np.where(twins, order, -1)[:, None]
    kinds = np.hstack([group, units, own, *((pairs.left[order], pairs.right[order]) if pairs.worth.size else ())])
    kind = np.unique(kinds, axis=0, return_inverse=True)[1].ravel()
    by_kind = np.argsort(kind, kind="stable")
    ahead = np.empty(len(order), np.int64)
    ahead[by_kind] = np.arange(len(order)) - np.searchsorted(kind[by_kind], kind[by_kind])
    return order[ahead < length]
