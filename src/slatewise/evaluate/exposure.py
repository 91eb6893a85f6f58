"""Who is looked at, over many pages: items of the catalogue, and lines.

Pages are (b, n) numbers of items, from 0 to the number of eligible items, -1 where a slot is empty. A slot counts what
the exposure curve says (`slatewise.core.exposure`); `log` is what `compose.solve` assumes.

    exposure_i = sum over slots that show i of curve(slot)
    Gini = sum_i (2 i - N - 1) e_(i) / (N sum_i e_i) over exposures in ascending order; items never shown count as 0

Cost: O(b * n + N log N).

References:
    Lerman & Yitzhaki (1989), "Improving the accuracy of estimates of Gini coefficients", Journal of Econometrics 42:
    the sum over ranks.
    Singh & Joachims (2018), "Fairness of exposure in rankings", KDD.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.columns import Numbers
from slatewise.core.errors import SlatewiseError
from slatewise.core.exposure import Curve, exposure_of
from slatewise.evaluate.categories import category_amounts, slots_of
from slatewise.evaluate.inputs import amounts_of, codes_of, one_of, whole

_NAMED: tuple[str, ...] = get_args(get_args(Curve)[0])


def item_exposure(pages: ArrayLike, items: int, *, curve: Curve = "log") -> Numbers:
    """Return (items,) how much each item was looked at, over all pages.

    Args:
        pages: (b, n) numbers of items in serving order, -1 where there is none.
        items: How many are eligible.
        curve: How much each slot is looked at; `flat` counts showings.

    Examples:
        >>> [item_exposure([[0, 1], [0, -1]], 3, curve=curve).round(4).tolist() for curve in ("log", "flat")]
        [[2.0, 0.6309, 0.0], [2.0, 1.0, 0.0]]
    """
    codes = codes_of("pages", pages, whole("items", items, low=1))
    looks = np.broadcast_to(_looks(curve, codes.shape[1]), codes.shape)
    return np.bincount(codes[codes >= 0], looks[codes >= 0], minlength=items).astype(np.float64)


def line_exposure(lines: ArrayLike, count: int, *, curve: Curve = "log") -> Numbers:
    """Return (b, count) how much each line, or category, of a page is looked at.

    Args:
        lines: (b, n) codes of lines in serving order, -1 where a slot is empty; or (b, n, count) members.
        count: How many lines there are.
        curve: How much each slot is looked at.

    Examples:
        >>> line_exposure([[0, 1, 0, 1]], 2, curve=[1, 0.5, 0.25]).tolist()
        [[1.25, 0.75]]
    """
    slots = slots_of("lines", lines, whole("count", count, low=1))
    return category_amounts(slots, count, weights=_looks(curve, slots.shape[1]))


def coverage(pages: ArrayLike, items: int) -> float:
    """Return the share of eligible items that is on any page.

    >>> coverage([[0, 1], [0, -1]], 4)
    0.5
    """
    codes = codes_of("pages", pages, whole("items", items, low=1))
    return len(np.unique(codes[codes >= 0])) / items


def gini(exposure: ArrayLike) -> float:
    """Return how unequally exposure is shared out: 0 if equally, (N - 1) / N if one item has it all.

    NaN if there is none to share out.

    Args:
        exposure: (N,) exposure of every eligible item, 0 for those never shown: leaving them out makes any system look
            fair.

    Examples:
        >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 3]), gini([1, 2, 3])
        (0.0, 0.75, 0.2222222222222222)
    """
    rising = np.sort(amounts_of("exposure", exposure, axes=1))
    total = rising.sum()
    if not total > 0:
        return np.nan
    size = len(rising)
    return float((2 * np.arange(1, size + 1) - size - 1) @ rising / (size * total))


def _looks(curve: Curve, slots: int) -> Numbers:
    if isinstance(curve, str):
        one_of("curve", curve, _NAMED)
    elif not len(amounts_of("curve", curve, axes=1)):
        raise SlatewiseError("curve", "must not be empty")
    return exposure_of(curve, slots)
