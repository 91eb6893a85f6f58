"""A coarse look at all rows at once, for sums of cosines.

The sum of a row's cosines with many seats is one product: that of its unit vector and the sum of theirs. Where cosines
may be negative, what is known from earlier slots bounds it poorly, and all rows have to be looked at in every slot. So
their vectors are kept in whole numbers, half as large. By Cauchy and Schwarz, what was rounded off bounds the product.
Few rows need a closer look.

| name | shape | what |
|---|---|---|
| `grains` | (M, N, D) int16 | unit vectors of candidates, signals weighed by their shares, for each of M terms |
| `pile` | (1, 1, D) float64 | sum of the unit vectors of the seats |
| `coarse` | (D,) int16 | to write in |

D is a multiple of `PAIRS`, N of `LANES`: what is beyond is 0. Grains begin where a register is read fastest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from slatewise.kernels.compiled import kernel, leaf, summing
from slatewise.kernels.likeness import COLUMN, START, STOP
from slatewise.kernels.redundancy import COARSE, FIRST, LAST
from slatewise.kernels.vectors import aligned, float_at

WHOLE = 16_384
"""What 1 is in grains. Products of unit vectors stay inside an int32."""
LANES = 16
"""int32 numbers in a register: the products of so many rows are summed at once."""
PAIRS = 2 * LANES
"""Grains in a register."""
_NUMBERS = ir.VectorType(ir.IntType(32), LANES)
EXTRA = 1e-5
"""By how much sums here may be off besides, per unit of length."""


@kernel
def coarsely(signal, share, address, scale, order, term):
    """Return (grains, pile, coarse) for the terms that are looked at coarsely, in the order of `term[:, COARSE]`."""
    many = (term[:, COARSE] >= 0).sum()
    rows = (len(order) + LANES - 1) // LANES * LANES
    width = (signal[-1, STOP] + PAIRS - 1) // PAIRS * PAIRS if many else 0
    grains = aligned((many, rows, width), np.int16)
    for a in range(len(term)):
        if term[a, COARSE] >= 0:
            grind(signal, share, address, scale, order, term[a, FIRST], term[a, LAST], grains[term[a, COARSE]])
    return grains, np.zeros((1, 1, width)), np.zeros(width, np.int16)


@leaf
def grind(signal, share, address, scale, order, first, last, grains):
    """Write the grains of all candidates for one term, whose signals are `first` to `last` - 1."""
    for pos in range(len(order)):
        row = order[pos]
        for one in range(first, last):
            vector = address[signal[one, COLUMN], row]
            weight = np.float32(WHOLE * share[one] * scale[signal[one, COLUMN], row])
            part = grains[pos, signal[one, START] : signal[one, STOP]]
            for k in range(len(part) if vector != 0 else 0):
                part[k] = np.int16(np.floor(weight * float_at(vector, k) + np.float32(0.5)))


@summing
def look_over(grains, pile, coarse, seats, part, weight, low, ceiling, sums):
    """Write, for all candidates, a lower bound of D = part * (sum of cosines - seats), and lower their ceilings.

    `sums` is (16,) int32 to write in.
    """
    length = 0.0
    for k in range(len(coarse)):
        length += pile[0, 0, k] * pile[0, 0, k]
    length = np.sqrt(length)
    scale = WHOLE / length if length > 0.0 else 0.0
    for k in range(len(coarse)):
        coarse[k] = np.int16(np.floor(pile[0, 0, k] * scale + 0.5))
    lost = length * (2.0 * np.sqrt(len(coarse)) / (2 * WHOLE) + EXTRA)
    step, known = part * length / WHOLE**2, part * (lost + seats)
    for first in range(0, len(low), LANES):
        _products(grains[first].ctypes.data, coarse.ctypes.data, len(coarse), sums.ctypes.data)
        lows, ceilings = low[first : first + LANES], ceiling[first : first + LANES]
        for pos in range(len(lows)):
            under = step * sums[pos] - known
            ceilings[pos] -= weight * (under - lows[pos])
            lows[pos] = under


def _multiply(typing_context, rows, other, width, sums):
    """Write the sums of products of the grains of 16 rows and those of another one; loops do not get as wide."""

    def codegen(context, builder, signature, arguments):
        rows, other, width, sums = arguments
        rows, other = (builder.inttoptr(start, ir.IntType(16).as_pointer()) for start in (rows, other))
        step = context.get_constant(types.intp, PAIRS)
        quarters = []
        for first in range(0, LANES, 4):  # one after the other, as they lie
            totals = [cgutils.alloca_once_value(builder, ir.Constant(_NUMBERS, [0] * LANES)) for _ in range(4)]
            with cgutils.for_range_slice(builder, step.type(0), width, step, step.type) as (k, _):
                factors = _widened(builder, other, k)
                for row, total in enumerate(totals, first):
                    start = builder.add(builder.mul(width, width.type(row)), k)
                    products = builder.mul(_widened(builder, rows, start), factors)
                    pairs = _added(builder, products, products, range(0, PAIRS, 2), 1)
                    builder.store(builder.add(builder.load(total), pairs), total)
            quarters.append(_folded(builder, [builder.load(total) for total in totals], 4))
        found = _folded(builder, quarters, 1)
        in_order = ir.Constant(_NUMBERS, [row % 4 * 4 + row // 4 for row in range(LANES)])
        found = builder.shuffle_vector(found, found, in_order)
        builder.store(found, builder.inttoptr(sums, _NUMBERS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp, types.intp, types.uintp), codegen


def _widened(builder, start, k):
    """Return grains k to k + 31 as int32."""
    place = builder.bitcast(builder.gep(start, [k]), ir.VectorType(ir.IntType(16), PAIRS).as_pointer())
    return builder.sext(builder.load(place, align=2), ir.VectorType(ir.IntType(32), PAIRS))


def _added(builder, one, other, places, apart):
    """Return the sums of numbers at some places of two registers side by side and those `apart` places on."""
    parts = [ir.Constant(_NUMBERS, [place + on for place in places]) for on in (0, apart)]
    return builder.add(*(builder.shuffle_vector(one, other, part) for part in parts))


def _folded(builder, four, size):
    """Return the sums of four registers by fours, `size` neighbours of each at a time, those of the first first."""
    for apart, pairs in ((2 * size, ((0, 2), (1, 3))), (size, ((0, 1),))):
        starts = range(0, LANES, 2 * apart)
        places = [start + of + at for start in starts for of in (0, LANES) for at in range(apart)]
        four = [_added(builder, four[one], four[other], places, apart) for one, other in pairs]
    return four[0]


_products: Any = intrinsic(_multiply)
