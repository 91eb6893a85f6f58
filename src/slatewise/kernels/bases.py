"""Give an item that was placed a seat: its base, and its row of the likenesses and of their factor.

Arrays are those of `kernels.redundancy`.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import copy, inlined, leaf, summing, widest
from slatewise.kernels.likeness import NEGATIVE, SHIFT, START, STOP, between, compare, sit
from slatewise.kernels.redundancy import (
    AGAIN,
    BASES,
    EXHAUSTED,
    FIRST,
    FIXED,
    FORM,
    ITEMS,
    LAST,
    MOVES,
    PLAIN,
    RIDGE,
    SSD_VOLUME,
    VARIANT,
    VOLUME,
    WIDE,
    root_at,
)
from slatewise.kernels.vectors import square, stretch


@inlined
def take_seat(
    signal, share, root, levels, address, scale, seen, codes, lists, starts, seat, near, glass, there, term, size,
    fixed, gram, factor, scratch, order, at, row,
):  # fmt: skip
    """Give a row a seat; return whether it is exhausted under some term."""
    sit(signal, address, scale, seen, seat, near, glass, there, at, row)
    exhausted = False
    for a in range(len(term)):
        if term[a, FIXED] >= 0:
            into = fixed[term[a, FIXED], at]
            compare(signal, share, levels, codes, lists, starts, term[a, PLAIN], term[a, LAST], order, row, into)
        if term[a, FORM] == BASES:
            left = orthogonalise(signal, share, root, near, glass, there, term, scratch, a, at)
            if term[a, VARIANT] == SSD_VOLUME and left > EXHAUSTED:
                size[a, VOLUME] *= np.sqrt(left)
            exhausted = exhausted or left <= EXHAUSTED
        elif term[a, FORM] == ITEMS:
            for other in range(max(0, at - term[a, WIDE] + 1), at + 1):
                gram[a, at, other] = between(
                    signal, share, levels, codes, lists, starts, seat, near, there,
                    term[a, FIRST], term[a, LAST], at, other,
                )  # fmt: skip
            if not term[a, MOVES]:
                for other in range(at + 1):
                    scratch[other] = 1.0
                _factor_row(gram, factor, scratch, a, 0, at, 0.0)
                exhausted = exhausted or (factor[a, at, at] == 0.0 and gram[a, at, at] > 0.0)
    return exhausted


@inlined
def orthogonalise(signal, share, root, near, glass, there, term, scratch, a, at):
    """Make the base of an item; return what is left of the item, as links have it."""
    base = near[1 + a, at]
    length = 0.0
    for one in range(term[a, FIRST], term[a, LAST]):
        if not there[at, one]:
            continue
        start, stop = signal[one, START], signal[one, STOP]
        copy(near[0, at, start:stop], base[start:stop])
        stretch(base[start:stop], root[one])
        if signal[one, NEGATIVE] == SHIFT:
            base[signal[-1, STOP] + one] = root[one]
        length += share[one]
    first = max(0, at - term[a, WIDE])
    taken = _take_off(near[1 + a], base, first, at, scratch)
    left = length - taken
    if left < AGAIN * length:
        _take_off(near[1 + a], base, first, at, scratch)
        left = square(base)
    scale = 1.0 / np.sqrt(square(base)) if left > EXHAUSTED else 0.0
    stretch(base, scale)
    copy(base, glass[1 + a, at])
    return 1.0 - taken


@summing
def _take_off(basis, vector, first, at, parts):
    """Take off a vector its projection on earlier bases; return the square of what was taken. Four at a time."""
    widest()
    taken = 0.0
    whole = first + (at - first) // 4 * 4
    for other in range(first, whole, 4):
        one, two, three, four = basis[other], basis[other + 1], basis[other + 2], basis[other + 3]
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for k in range(len(vector)):
            a += vector[k] * one[k]
            b += vector[k] * two[k]
            c += vector[k] * three[k]
            d += vector[k] * four[k]
        parts[other - first], parts[other - first + 1] = a, b
        parts[other - first + 2], parts[other - first + 3] = c, d
        taken += a * a + b * b + c * c + d * d
    for other in range(whole, at):
        total = 0.0
        for k in range(len(vector)):
            total += vector[k] * basis[other, k]
        parts[other - first] = total
        taken += total * total
    for other in range(first, whole, 4):
        one, two, three, four = basis[other], basis[other + 1], basis[other + 2], basis[other + 3]
        a, b = parts[other - first], parts[other - first + 1]
        c, d = parts[other - first + 2], parts[other - first + 3]
        for k in range(len(vector)):
            vector[k] -= (a * one[k] + b * two[k]) + (c * three[k] + d * four[k])
    for other in range(whole, at):
        part, row = parts[other - first], basis[other]
        for k in range(len(vector)):
            vector[k] -= part * row[k]
    return taken


@leaf
def prepare(term, size, fade, gram, factor, scratch, p):
    """Make the factors of the windows before seat p, where they move."""
    for a in range(len(term)):
        if term[a, FORM] == ITEMS and term[a, MOVES]:
            first = max(0, p - term[a, WIDE])
            for at in range(first, p):
                scratch[at - first] = root_at(term, fade, a, p - at)
                _factor_row(gram, factor, scratch, a, first, at, size[a, RIDGE])


@leaf
def _factor_row(gram, factor, scratch, a, first, at, ridge):
    """Write a row of a factor: the seat `at` after those from `first` on, weighed by what is in `scratch`."""
    line = at - first
    whole = gram[a, at, at] * scratch[line] ** 2 + ridge
    left = whole
    for other in range(line):
        value = gram[a, at, first + other] * scratch[line] * scratch[other]
        for k in range(other):
            value -= factor[a, line, k] * factor[a, other, k]
        factor[a, line, other] = value / factor[a, other, other] if factor[a, other, other] > 0.0 else 0.0
        left -= factor[a, line, other] ** 2
    factor[a, line, line] = np.sqrt(left) if left > EXHAUSTED * whole else 0.0
