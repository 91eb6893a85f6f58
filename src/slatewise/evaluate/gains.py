"""What relevance is worth, and what a slot is: the two halves of every metric that sums over slots.

    gain(y) = y or 2^y - 1 or table[y],  discount(r) = 1 / log2(r + 1) or persistence^(r - 1) or 1 or measured

A discount that was measured need not fall from slot to slot. The best page then has its best item where most people
look, wherever that is.

References:
    Järvelin & Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4).
    Burges et al. (2005), "Learning to rank using gradient descent", ICML: the exponential gain.
    Moffat & Zobel (2008), "Rank-biased precision for measurement of retrieval effectiveness", ACM TOIS 27(1).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.columns import Numbers
from slatewise.core.errors import SlatewiseError, shown
from slatewise.evaluate.inputs import amounts_of, fraction, one_of

LARGEST_GRADE = 1000
"""Largest relevance whose exponential gain is taken; twice that is beyond float64."""


class Persistence(NamedTuple):
    """A reader who looks at the next slot with the same probability every time.

    Attributes:
        probability: That of going on, in [0, 1); 0 looks at the first slot only.
    """

    probability: float


Gain: TypeAlias = Literal["linear", "exp2"] | ArrayLike
Discount: TypeAlias = Literal["log2", "none"] | Persistence | ArrayLike


def gains_of(relevance: Numbers, gain: Gain) -> Numbers:
    """Return what each relevance is worth.

    Args:
        relevance: Numbers >= 0 of any shape.
        gain: `linear`, `exp2`, or a table: what grade 0 is worth, which is 0, then grade 1, and so on.

    Examples:
        >>> grades = np.array([0.0, 1.0, 3.0])
        >>> [gains_of(grades, gain).tolist() for gain in ("linear", "exp2", [0, 1, 5, 9])]
        [[0.0, 1.0, 3.0], [0.0, 1.0, 7.0], [0.0, 1.0, 9.0]]
    """
    if not isinstance(gain, str):
        return _looked_up(relevance, amounts_of("gain", gain, axes=1))
    if one_of("gain", gain, ("linear", "exp2")) == "linear":
        return relevance
    if relevance.size and relevance.max() > LARGEST_GRADE:
        raise SlatewiseError("relevance", f"must be <= {LARGEST_GRADE} for gain='exp2'", shown(float(relevance.max())))
    return np.exp2(relevance) - 1


def _looked_up(relevance: Numbers, table: Numbers) -> Numbers:
    if not len(table) or table[0] != 0:
        raise SlatewiseError("gain", "must begin with 0, what relevance 0 is worth", shown(table.tolist()))
    wrong = (relevance != np.floor(relevance)) | (relevance >= len(table))
    if wrong.any():
        rule = f"must be whole grades up to {len(table) - 1}, the last of the table `gain`"
        raise SlatewiseError("relevance", rule, f"{relevance[wrong][0]:g}")
    return table[relevance.astype(np.int64)]


def discounts_of(discount: Discount, k: int) -> Numbers:
    """Return (k,) what slots 1..k are worth.

    Args:
        discount: `log2`, `none`, a `Persistence`, or at least k measured numbers >= 0.
        k: How many.

    Examples:
        >>> discounts_of("log2", 3).round(4).tolist(), discounts_of("none", 3).tolist()
        ([1.0, 0.6309, 0.5], [1.0, 1.0, 1.0])
        >>> discounts_of(Persistence(0.5), 3).tolist(), discounts_of([1, 0.9, 0.2, 0.1], 3).tolist()
        ([1.0, 0.5, 0.25], [1.0, 0.9, 0.2])
    """
    if isinstance(discount, Persistence):
        return np.power(fraction("discount.probability", discount.probability), np.arange(k, dtype=np.float64))
    if isinstance(discount, str):
        log2 = one_of("discount", discount, ("log2", "none")) == "log2"
        return 1 / np.log2(np.arange(2, k + 2)) if log2 else np.ones(k)
    measured = amounts_of("discount", discount, axes=1)
    if len(measured) < k:
        raise SlatewiseError("discount", f"must have a number for each of {k} slots", str(len(measured)))
    return measured[:k]


def dcg(gains: Numbers, discounts: Numbers) -> Numbers:
    """Return (b,) gains summed over as many slots as have a discount, each times it.

    >>> dcg(np.array([[3.0, 2.0, 9.0]]), np.array([1.0, 0.5])).tolist()
    [4.0]
    """
    top = gains[:, : len(discounts)]
    return top @ discounts[: top.shape[1]]


def best_dcg(gains: Numbers, discounts: Numbers) -> Numbers:
    """Return (b,) the most that any order of these gains comes to: the larger gain where the discount is larger.

    >>> best_dcg(np.array([[2.0, 3.0]]), np.array([0.5, 1.0])).tolist()
    [4.0]
    """
    return dcg(-np.sort(-gains, axis=1), -np.sort(-discounts))
