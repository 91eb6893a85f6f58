"""How kernels are compiled.

Numba counts references to every array that a function is given, by an atomic operation at either end of each call,
unless it can prove that it need not. For functions of a few nanoseconds that is most of their time. A function that
makes no array has none to outlive its caller's, so that there is nothing to count: `leaf` is for these, `kernel` for
all others. A `leaf` may slice what it was given to read or write it, but not return the slice.

Division by zero gives infinity, as in NumPy, and raises nothing: kernels guard against it where it may happen.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.extending import intrinsic

_KEPT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_COUNTED: dict[str, Any] = {"_nrt": True}
_UNCOUNTED: dict[str, Any] = {"_nrt": False}
_INLINED: dict[str, Any] = {"forceinline": True, "error_model": "numpy", **_UNCOUNTED}
_SUMS: dict[str, Any] = {"fastmath": {"reassoc", "contract"}}

kernel = njit(**_KEPT, **_COUNTED)
leaf = njit(**_KEPT, **_UNCOUNTED)
inlined = njit(**_INLINED)
"""A leaf of which a call costs nothing, for what is done in the innermost loops."""
summing = njit(**_KEPT, **_UNCOUNTED, **_SUMS)
"""A leaf whose sums may be taken in any order."""
inlined_summing = njit(**_INLINED, **_SUMS)
"""Both."""


def _ask_for_width(typing_context):
    """Let the loops of the function that calls this use the widest registers there are."""

    def codegen(context, builder, signature, arguments):
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite knows only older names
        return context.get_dummy_value()

    return types.void(), codegen


widest: Any = intrinsic(_ask_for_width)
"""For loops over hundreds of numbers: LLVM takes half of what newer processors have, which is best for shorter ones."""


@leaf
def copy(source, into):
    """Write the numbers of a vector into another one; a leaf cannot assign a slice."""
    for at in range(len(source)):
        into[at] = source[at]
