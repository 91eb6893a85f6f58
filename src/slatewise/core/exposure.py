"""Exposure: how much each slot of a page is looked at, as a share of what the first is."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal, TypeAlias

import numpy as np
from msgspec import Meta

from slatewise.core.columns import Numbers

Name: TypeAlias = Literal["flat", "halving", "log", "reciprocal"]
Curve: TypeAlias = Name | Annotated[list[Annotated[float, Meta(ge=0, le=1_000)]], Meta(min_length=1)]
"""`flat`: 1 everywhere; `log`: 1 / log2(1 + slot); `reciprocal`: 1 / slot; `halving`: 1, 1/2, 1/4, ...; or numbers,
the last for all that follow."""


def exposure_of(curve: Curve, slots: int) -> Numbers:
    """Return (slots,) float64: how much each slot is looked at.

    References:
        `log` is the discount of Järvelin & Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques".

    >>> exposure_of("reciprocal", 4).tolist(), exposure_of([1, 0.5], 4).tolist()
    ([1.0, 0.5, 0.3333333333333333, 0.25], [1.0, 0.5, 0.5, 0.5])
    >>> exposure_of("halving", 4).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    if isinstance(curve, str):
        return _named(curve, slots).copy()
    return np.asarray(curve, dtype=np.float64)[np.minimum(np.arange(slots), len(curve) - 1)]


@lru_cache
def _named(curve: Name, slots: int) -> Numbers:
    slot = np.arange(1, slots + 1)
    match curve:
        case "flat":
            return np.ones(slots)
        case "log":
            return 1 / np.log2(1 + slot)
        case "reciprocal":
            return 1 / slot
        case "halving":
            return np.exp2(1 - slot)
