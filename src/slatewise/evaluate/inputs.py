"""What callers hand over, as arrays that were looked at: numbers, codes, cut-offs, names of conventions.

Pages come as arrays with one row per page, and a single page may come without its first axis. Whatever does not fit is
refused with the argument's name, the rule, and what was got.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slatewise.core.columns import Numbers
from slatewise.core.errors import SlatewiseError, did_you_mean, shown

Codes: TypeAlias = NDArray[np.int64]

_Array = TypeVar("_Array", bound=NDArray[np.generic])


def amounts_of(where: str, values: ArrayLike, *, axes: int = 2) -> Numbers:
    """Return finite numbers >= 0 on so many axes; with one axis less they are a single page.

    >>> amounts_of("ranked", [1, 0]).shape
    (1, 2)
    >>> amounts_of("ranked", [[1, -2]])
    Traceback (most recent call last):
    slatewise.core.errors.SlatewiseError: ranked: must be finite and >= 0, got -2.0
    """
    array = on_axes(where, floats_of(where, values), axes)
    right = (array >= 0) & (array < np.inf)
    if not right.all():
        raise SlatewiseError(where, "must be finite and >= 0", shown(float(array[~right][0])))
    return array


def floats_of(where: str, values: ArrayLike) -> Numbers:
    """Return values as float64 of any shape; lists of different lengths are refused."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise SlatewiseError(where, "must be numbers, in lists of one length", shown(values)) from None


def on_axes(where: str, array: _Array, axes: int) -> _Array:
    """Return the array on so many axes, a single page as the first of one."""
    single = array[None] if array.ndim == axes - 1 else array
    if single.ndim != axes:
        rule = f"must have {axes} axes" + (f", or {axes - 1} for a single page" if axes > 1 else "")
        raise SlatewiseError(where, rule, shown(array.shape))
    return single  # pyright: ignore[reportReturnType]


def codes_of(where: str, values: ArrayLike, count: int | None = None) -> Codes:
    """Return (b, n) whole numbers from -1, which stands for nothing, to below `count`.

    >>> codes_of("pages", [[2, 0, -1]]).tolist()
    [[2, 0, -1]]
    >>> codes_of("pages", [[2, 0, -1]], count=2)
    Traceback (most recent call last):
    slatewise.core.errors.SlatewiseError: pages: must be whole numbers from -1 to 1, got 2
    """
    numbers = on_axes(where, floats_of(where, values), 2)
    right = (numbers >= -1) & (numbers < (np.inf if count is None else count)) & (numbers == np.floor(numbers))
    if not right.all():
        top = "" if count is None else f" to {count - 1}"
        raise SlatewiseError(where, f"must be whole numbers from -1{top}", f"{numbers[~right][0]:g}")
    return numbers.astype(np.int64)


def without_gaps(where: str, codes: Codes) -> Codes:
    """Return pages whose empty slots are all at their end, and refuse others."""
    if ((codes[:, 1:] >= 0) & (codes[:, :-1] < 0)).any():
        raise SlatewiseError(where, "must have empty slots, -1, at the end only")
    return codes


def served_of(served: ArrayLike | None, pages: int, slots: int) -> Codes:
    """Return (b,) how many slots hold an item: all where it is not said."""
    if served is None:
        return np.full(pages, slots)
    counts = codes_of("served", np.atleast_1d(floats_of("served", served))[None])[0]
    if counts.shape != (pages,) or (counts < 0).any() or (counts > slots).any():
        raise SlatewiseError("served", f"must be {pages} numbers of slots from 0 to {slots}", shown(counts.tolist()))
    return counts


def whole(where: str, value: int, low: int = 0) -> int:
    """Return a whole number that is large enough.

    >>> whole("k", -1)
    Traceback (most recent call last):
    slatewise.core.errors.SlatewiseError: k: must be a whole number >= 0, got -1
    """
    if not isinstance(value, int | np.integer) or value < low:
        raise SlatewiseError(where, f"must be a whole number >= {low}", shown(value))
    return int(value)


def fraction(where: str, value: float, *, to: float = np.nextafter(1, 0)) -> float:
    """Return a number from 0 to less than 1, or as far as `to` says."""
    if not 0 <= value <= to:
        raise SlatewiseError(where, "must be >= 0 and " + ("<= 1" if to >= 1 else "< 1"), shown(value))
    return float(value)


def one_of(where: str, value: str, valid: tuple[str, ...]) -> str:
    """Return a name if it is valid.

    >>> one_of("empty", "dropp", ("drop", "zero"))
    Traceback (most recent call last):
    slatewise.core.errors.SlatewiseError: empty: must be one of 'drop', 'zero', got 'dropp'; did you mean 'drop'?
    """
    if value not in valid:
        hint = did_you_mean(value, valid) if isinstance(value, str) else ""
        hint = hint if hint.startswith("did") else ""
        raise SlatewiseError(where, "must be one of " + ", ".join(map(repr, valid)), shown(value), hint)
    return value


def same_pages(where: str, array: NDArray[np.generic], other: str, pages: int) -> None:
    """Refuse an array that has more or fewer pages than another argument."""
    if len(array) != pages:
        raise SlatewiseError(where, f"must have {pages} pages like {other}", str(len(array)))
