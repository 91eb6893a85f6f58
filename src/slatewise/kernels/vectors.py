"""Vectors: read where they lie, measured, stretched.

Tables of vectors are shared by many requests. Kernels read them by address, which unlike an array has no owner to be
counted (`kernels.compiled`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from slatewise.kernels.compiled import inlined, kernel, leaf, summing

LINE = 64
"""Bytes that memory brings at once; what begins at a multiple is read fastest."""


def _read_float(typing_context, address, index):
    """Return the float32 number at an address, `index` numbers on."""

    def codegen(context, builder, signature, arguments):
        kind = context.get_value_type(types.float32)
        return builder.load(builder.gep(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]]))

    return types.float32(types.int64, types.int64), codegen


float_at: Any = intrinsic(_read_float)


def _fetch_line(typing_context, address):
    """Have memory bring what lies at an address, and go on meanwhile."""

    def codegen(context, builder, signature, arguments):
        place, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place, flag, flag, flag])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(
            fetch, [builder.inttoptr(arguments[0], place), flag(0), flag(3), flag(1)]
        )  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(types.int64), codegen


_fetch: Any = intrinsic(_fetch_line)


@inlined
def fetch(address, width):
    """Have memory bring a vector of float32 that will be read soon; any address will do."""
    for byte in range(0, 4 * width, LINE):
        _fetch(address + byte)


@kernel
def aligned(shape, kind):
    """Return zeros of three dimensions that begin at a multiple of `LINE`."""
    many = shape[0] * shape[1] * shape[2]
    room = np.zeros(many + LINE, kind)
    skip = -room.ctypes.data % LINE // room.itemsize
    return room[skip : skip + many].reshape(shape)


@leaf
def read(address, length, into):
    """Write the vector at an address, times `length`."""
    for k in range(len(into)):
        into[k] = float_at(address, k) * length


@leaf
def stretch(vector, length):
    """Multiply a vector by `length`."""
    for k in range(len(vector)):
        vector[k] *= length


@summing
def square(vector):
    """Return the squared length of a vector, in float64: of float32, no square is too large or too small for it."""
    total = 0.0
    for k in range(len(vector)):
        total += np.float64(vector[k]) * np.float64(vector[k])
    return total


@kernel
def inverse_lengths(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n,) float64: 1 / length of each row, 0 for a row of zeros, NaN for one that is not finite. O(n d)."""
    inverse = np.empty(len(matrix))
    for row in range(len(matrix)):
        length = np.sqrt(square(matrix[row]))
        inverse[row] = 0.0 if length == 0.0 else 1.0 / length if length < np.inf else np.nan
    return inverse
