"""How alike a row is to an item that was placed before.

An item that was placed has a seat: seats are numbered through the session and the page. Arrays are those of
`core.variety.Signals`, and

| name | shape | what |
|---|---|---|
| `seat` | (H,) int64 | row in each seat |
| `there` | (H, S) bool | whether the item has a value under a signal |
| `near` | (1 + T, H, D + S) float64 | [0]: its unit vectors; [1 + a]: bases, see `kernels.redundancy` |
| `glass` | (1 + T, H, D + S) float32 | the same, to look through |

Vectors of candidates stay where they are, in tables that many requests share: `address` says where.

A float32 sum of products of two unit vectors is off by no more than `rounding`. Rows and seats that lack a value are
like nothing: such a signal adds 0.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import copy, inlined, inlined_summing, kernel, leaf, summing
from slatewise.kernels.vectors import fetch, float_at, read, square

KIND, NEGATIVE, COLUMN, OWN, START, STOP = range(6)
"""Columns of `signal`."""
COSINE, SAME, OVERLAP, PREFIX, LINKED = range(5)
"""Kinds of a signal, as `core.variety.LIKENESSES` has them."""
KEEP, CLIP, SHIFT = range(3)
"""What becomes of negative cosines, as `core.variety.NEGATIVES` has them."""


@kernel
def rounding(width):
    """Return by how much a float32 sum of `width` products of two unit vectors can be off."""
    return 6e-8 * (16.0 + width / 4.0)


@summing
def decide(signal, address, scale, near, layer, one, row, at):
    """Return the product of a candidate's unit vector and a vector of a seat, in float64; 0 if it has none."""
    place, start = address[signal[one, COLUMN], row], signal[one, START]
    if place == 0:
        return 0.0
    total = 0.0
    for k in range(signal[one, STOP] - start):
        total += np.float64(float_at(place, k)) * near[layer, at, np.uint64(start + k)]
    return total * scale[signal[one, COLUMN], row]


@inlined
def bent(cosine, negative, both):
    """Return what becomes of a cosine; `both` says whether there are two vectors."""
    if negative == CLIP:
        return max(0.0, cosine)
    if negative == SHIFT:
        return 0.5 * (1.0 + cosine) if both else 0.0
    return cosine


@inlined
def sit(signal, address, scale, seen, seat, near, glass, there, at, row):
    """Give a row a seat."""
    n = address.shape[1]
    seat[at] = row
    for one in range(len(signal)):
        if signal[one, KIND] != COSINE:
            continue
        start, stop, column = signal[one, START], signal[one, STOP], signal[one, COLUMN]
        vector, rounded = near[0, at, start:stop], glass[0, at, start:stop]
        if row >= n:
            copy(seen[row - n, start:stop], vector)
        elif address[column, row] != 0:
            read(address[column, row], scale[column, row], vector)
        copy(vector, rounded)
        there[at, one] = square(vector) > 0.0


@inlined
def foresee(signal, address, row):
    """Have memory bring the vectors of a candidate that may be looked at soon."""
    for one in range(len(signal)):
        if signal[one, KIND] == COSINE:
            fetch(address[signal[one, COLUMN], row], signal[one, STOP] - signal[one, START])


@inlined
def plain(signal, levels, codes, lists, starts, one, row, other):
    """Return how alike two rows are under a signal that is no cosine."""
    kind, column = signal[one, KIND], signal[one, COLUMN]
    if kind == SAME:
        return 1.0 if codes[column, row] >= 0 and codes[column, row] == codes[column, other] else 0.0
    first, last = starts[column, row], starts[column, row + 1]
    begin, end = starts[column, other], starts[column, other + 1]
    if kind == OVERLAP:
        return _overlap(lists, first, last, begin, end)
    if kind == PREFIX:
        total = 0.0
        for level in range(min(last - first, end - begin, levels.shape[1])):
            if lists[first + level] != lists[begin + level]:
                break
            total += levels[one, level]
        return total
    own, others = codes[signal[one, OWN], row], codes[signal[one, OWN], other]
    for at in range(first, last):
        if lists[at] == others:
            return 1.0
    for at in range(begin, end):
        if lists[at] == own:
            return 1.0
    return 0.0


@inlined
def _overlap(lists, first, last, begin, end):
    """Return how much two sets have in common: what both have, of all that either has. Both are sorted."""
    both, many = 0, (last - first) + (end - begin)
    if first == last or begin == end:
        return 0.0
    while first < last and begin < end:
        if lists[first] == lists[begin]:
            both += 1
            first += 1
            begin += 1
        elif lists[first] < lists[begin]:
            first += 1
        else:
            begin += 1
    return both / (many - both)


@inlined_summing
def _look_on(place, width, glass, layer, at, start, into):
    """Write the products of a vector at an address with those of seats `at` to `at + 3`, in float32."""
    one, two, three, four = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for k in range(width):
        value, column = float_at(place, k), np.uint64(start + k)
        one += value * glass[layer, at, column]
        two += value * glass[layer, at + 1, column]
        three += value * glass[layer, at + 2, column]
        four += value * glass[layer, at + 3, column]
    into[0], into[1], into[2], into[3] = one, two, three, four


@inlined
def glance(signal, share, address, scale, glass, there, first, last, row, at, four):
    """Write how alike a candidate is to seats `at` to `at + 3` under cosines, in float32.

    `four` is (8,) float64 to write in; the last half of it is room.
    """
    value = four[4:]
    for place in range(4):
        four[place] = 0.0
    for one in range(first, last):
        column, start, negative = signal[one, COLUMN], signal[one, START], signal[one, NEGATIVE]
        vector = address[column, row]
        if vector == 0:
            continue
        _look_on(vector, signal[one, STOP] - start, glass, 0, at, start, value)
        weight, length = share[one], scale[column, row]
        if negative == KEEP:
            for place in range(4):
                four[place] += weight * (value[place] * length)
        elif negative == CLIP:
            for place in range(4):
                four[place] += weight * max(0.0, value[place] * length)
        else:
            for place in range(4):
                four[place] += weight * bent(value[place] * length, SHIFT, there[at + place, one])


@inlined
def components(signal, root, address, scale, glass, layer, first, last, row, at, four):
    """Write the products of a candidate and bases `at` to `at + 3` of a layer, in float32; `four` as in `glance`."""
    value = four[4:]
    for place in range(4):
        four[place] = 0.0
    for one in range(first, last):
        column, start = signal[one, COLUMN], signal[one, START]
        vector = address[column, row]
        if vector == 0:
            continue
        _look_on(vector, signal[one, STOP] - start, glass, layer, at, start, value)
        weight, length = root[one], scale[column, row]
        for place in range(4):
            four[place] += weight * (value[place] * length)
        if signal[one, NEGATIVE] == SHIFT:
            for place in range(4):
                four[place] += weight * glass[layer, at + place, signal[-1, STOP] + one]


@leaf
def alike(signal, share, address, scale, near, there, first, last, row, at):
    """Return how alike a candidate and a seat are under cosines `first` to `last` - 1, in float64."""
    total = 0.0
    for one in range(first, last):
        both = there[at, one] and address[signal[one, COLUMN], row] != 0
        cosine = decide(signal, address, scale, near, 0, one, row, at)
        total += share[one] * bent(cosine, signal[one, NEGATIVE], both)
    return total


@kernel
def compare(signal, share, levels, codes, lists, starts, first, last, order, other, into):
    """Write how alike each candidate is to a row under signals `first` to `last` - 1, which are no cosines."""
    into[:] = 0.0
    for one in range(first, last):
        if signal[one, KIND] == SAME:
            column, code = signal[one, COLUMN], codes[signal[one, COLUMN], other]
            for pos in range(len(order) if code >= 0 else 0):
                into[pos] += share[one] * (codes[column, order[pos]] == code)
            continue
        for pos in range(len(order)):
            into[pos] += share[one] * plain(signal, levels, codes, lists, starts, one, order[pos], other)


@leaf
def between(signal, share, levels, codes, lists, starts, seat, near, there, first, last, at, other):
    """Return how alike two seats are under signals `first` to `last` - 1."""
    total = 0.0
    for one in range(first, last):
        if signal[one, KIND] == COSINE:
            value = 0.0
            for k in range(signal[one, START], signal[one, STOP]):
                value += near[0, at, k] * near[0, other, k]
            value = bent(value, signal[one, NEGATIVE], there[at, one] and there[other, one])
        else:
            value = plain(signal, levels, codes, lists, starts, one, seat[at], seat[other])
        total += share[one] * value
    return total
