"""Pages as they were shown: what networks read of the rows that had slots, in their order, and what became of them.

Also parts of a log in which no group is torn apart. Cost: O(b * l log l).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.learn.pages import Pages
from slatewise.models.inputs import Arrays, Inputs

READ = ("numbers", "keys", "context", "history", "mask")
"""Arrays that networks take, in the order of their arguments."""


def served(inputs: Inputs, pages: Pages, *, click: str = "click", exposed: str = "") -> Arrays:
    """Return arrays of the rows that were shown, in the order of their slots, with what became of them.

    Returns:
        What `inputs` reads; `label` (b, l) 1 where it was clicked and `told` where that is known; `exposed` 1 where it
        was seen, NaN where that is not known.
    """
    for name in (click, exposed):
        if name and name not in pages.feedback:
            hint = did_you_mean(name, pages.feedback)
            raise RequestError("pages.feedback", "must have the column", shown(name), hint)
    arrays = inputs.of_pages(pages)
    length = arrays["mask"].shape[1]
    slots = pages.padded(pages.slot, length)
    order = np.argsort(np.where(slots > 0, slots, np.iinfo(np.int32).max), axis=1, kind="stable")
    longest = max(int((slots > 0).sum(axis=1).max(initial=0)), 1)

    def arranged(array: NDArray[Any]) -> NDArray[Any]:
        there = order.reshape(*order.shape, *(1,) * (array.ndim - 2))
        return np.take_along_axis(array, there, axis=1)[:, :longest]

    mask = arranged(slots) > 0
    clicked = arranged(pages.padded(pages.feedback[click], length, np.nan))
    seen = np.full(mask.shape, np.nan)
    if exposed:
        seen = arranged(pages.padded(pages.feedback[exposed], length, np.nan))
    return {
        "numbers": arranged(arrays["numbers"]),
        "keys": arranged(arrays["keys"]),
        "context": arrays["context"],
        "history": arrays["history"],
        "mask": mask,
        "label": np.nan_to_num(clicked).astype(np.float32),
        "told": mask & ~np.isnan(clicked) & (np.isnan(seen) | (seen > 0)),
        "exposed": seen.astype(np.float32),
    }


def parts_of(pages: Pages, groups: NDArray[Any] | None, parts: int, *, seed: int) -> NDArray[np.int64]:
    """Return (b,) the part, from 0, that each list is of; whole groups are drawn.

    Args:
        pages: The lists.
        groups: (b,) what is not to be torn apart; users where not said, and requests where there are none.
        parts: How many parts.
        seed: Root of the draw.
    """
    names = np.where(pages.user == "", pages.request, pages.user) if groups is None else groups
    _, codes = np.unique(names.astype(str), return_inverse=True)
    count = int(codes.max(initial=0)) + 1
    return (np.random.default_rng([seed, count]).permutation(count) % parts)[codes]
