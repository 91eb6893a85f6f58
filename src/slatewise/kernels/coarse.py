"""A coarse look at all rows at once, for sums of cosines.

The sum of a row's cosines with many seats is one product: that of its unit vector and the sum of theirs. Where cosines
may be negative, what is known from earlier slots bounds it poorly, and all rows have to be looked at in every slot. So
their vectors are kept in whole numbers, half as large. By Cauchy and Schwarz, what was rounded off bounds the product.
Few rows need a closer look.

| name | shape | what |
|---|---|---|
| `grains` | (M, n, D) int16 | unit vectors of candidates, signals weighed by their shares, for each of M terms |
| `pile` | (1, 1, D) float64 | sum of the unit vectors of the seats |
| `coarse` | (D,) int16 | to write in |
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from slatewise.kernels.compiled import kernel, leaf, summing
from slatewise.kernels.likeness import COLUMN, START, STOP, float_at
from slatewise.kernels.redundancy import COARSE, FIRST, LAST

WHOLE = 16_384
"""What 1 is in grains. Products of unit vectors stay inside an int32."""
LANES = 32
"""Grains that are multiplied at once; D is a multiple."""
EXTRA = 1e-5
"""By how much sums here may be off besides, per unit of length."""


@kernel
def coarsely(signal, share, address, scale, order, term):
    """Return (grains, pile, coarse) for the terms that are looked at coarsely, in the order of `term[:, COARSE]`."""
    many = (term[:, COARSE] >= 0).sum()
    width = (signal[-1, STOP] + LANES - 1) // LANES * LANES if many else 0
    grains = np.zeros((many, len(order), width), np.int16)
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
            vector, start = address[signal[one, COLUMN], row], signal[one, START]
            weight = np.float32(WHOLE * share[one] * scale[signal[one, COLUMN], row])
            for k in range(signal[one, STOP] - start if vector != 0 else 0):
                grains[pos, np.uint64(start + k)] = np.int16(np.floor(weight * float_at(vector, k) + np.float32(0.5)))


@summing
def look_over(grains, pile, coarse, seats, part, weight, low, ceiling):
    """Write, for all candidates, a lower bound of D = part * (sum of cosines - seats), and lower their ceilings."""
    length = 0.0
    for k in range(len(coarse)):
        length += pile[0, 0, k] * pile[0, 0, k]
    length = np.sqrt(length)
    scale = WHOLE / length if length > 0.0 else 0.0
    for k in range(len(coarse)):
        coarse[k] = np.int16(np.floor(pile[0, 0, k] * scale + 0.5))
    lost = length * (2.0 * np.sqrt(len(coarse)) / (2 * WHOLE) + EXTRA)
    step = part * length / WHOLE**2
    for pos in range(len(low)):
        product = _product(grains[pos].ctypes.data, coarse.ctypes.data, len(coarse))
        under = step * product - part * (lost + seats)
        ceiling[pos] -= weight * (under - low[pos])
        low[pos] = under


def _multiply(typing_context, one, other, width):
    """Return the sum of products of int16 numbers at two addresses, `LANES` at a time: loops do not get that wide."""

    def codegen(context, builder, signature, arguments):
        number = ir.IntType(32)
        short, wide = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(number, LANES)
        total = cgutils.alloca_once_value(builder, ir.Constant(wide, [0] * LANES))
        starts = [builder.inttoptr(start, ir.IntType(16).as_pointer()) for start in arguments[:2]]
        step = context.get_constant(types.intp, LANES)
        with cgutils.for_range_slice(builder, step.type(0), arguments[2], step, step.type) as (k, _):
            parts = [builder.bitcast(builder.gep(start, [k]), short.as_pointer()) for start in starts]
            one, other = (builder.sext(builder.load(part, align=2), wide) for part in parts)
            builder.store(builder.add(builder.load(total), builder.mul(one, other)), total)
        add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(number, [wide]), f"llvm.vector.reduce.add.v{LANES}i32"
        )
        return builder.call(add, [builder.load(total)])

    return types.int32(types.uintp, types.uintp, types.intp), codegen


_product: Any = intrinsic(_multiply)
