"""Seats for the items that were placed, laid out for one page, with what the session saw in the first ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.bases import take_seat
from slatewise.kernels.compiled import kernel
from slatewise.kernels.redundancy import FIXED, FORM, ITEMS, VOLUME, lay_out
from slatewise.kernels.spacing import count_in
from slatewise.kernels.vectors import aligned

ALIGNED = 16
"""Vectors of seats have a multiple of so many numbers, so that they begin where memory is read fastest."""


class Seats(NamedTuple):
    """What is known of the items that were placed, and of the terms; see `kernels.likeness` and `redundancy`."""

    seat: Any
    near: Any
    glass: Any
    there: Any
    term: Any
    size: Any
    root: Any
    fixed: Any
    gram: Any
    factor: Any
    scratch: Any
    counts: Any
    sums: Any


@kernel
def seated(variety, bases, order, slots):
    """Return (seats with what the session saw in the first ones, length of the ring)."""
    signals, terms, spacings, balances = variety
    signal, share, levels, address, scale, before, codes, lists, starts = signals
    variant, spans, weight, window, first, _, ridge, volume = terms
    bag_starts, bag, target, _, _ = balances
    seen = len(before)
    n, wide, many = len(order), seen + slots, len(variant)
    term, size, root, ring = lay_out(signal, share, variant, spans, weight, window, first, ridge, volume, n, wide)
    columns = before.shape[1] + len(share)
    padded = (columns + ALIGNED - 1) // ALIGNED * ALIGNED
    square = wide if (term[:, FORM] == ITEMS).any() else 0
    near, glass = aligned((1 + many, wide, padded), np.float64), aligned((1 + many, wide + 3, padded), np.float32)
    seats = Seats(
        np.zeros(wide, np.int64),
        near,
        glass,
        np.zeros((wide + 3, len(share)), np.bool_),
        term,
        size,
        root,
        np.empty(((term[:, FIXED] >= 0).sum(), wide, n)),
        np.zeros((many if square else 0, square, square)),
        np.zeros((many if square else 0, square, square)),
        np.zeros(wide + 1),
        np.zeros(target.shape),
        np.zeros(len(spacings[1])),
    )
    seat, _, _, there, _, _, _, fixed, gram, factor, scratch, counts, _ = seats
    for at in range(seen):
        take_seat(
            signal, share, root, levels, address, scale, before, codes, lists, starts, seat, near, glass, there,
            term, size, fixed, gram, factor, scratch, order, at, n + at,
        )  # fmt: skip
        count_in(bag_starts, bag, counts, n + at)
        for a in range(len(bases)):
            if not np.isnan(bases[a, at, 0]):
                near[1 + a, at, :columns] = bases[a, at]
                glass[1 + a, at, :columns] = bases[a, at].astype(np.float32)
    size[:, VOLUME] = volume
    return seats, ring
