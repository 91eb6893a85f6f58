"""Columns of logs of pages: what callers hand over, checked; draws that are the same in every process; hashes.

Rows are counted from 1 in refusals, as in files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slatewise.core.columns import Codes, Flags, KeyLists, Keys, Numbers
from slatewise.core.errors import RequestError, shown

Texts: TypeAlias = NDArray[np.object_]
Places: TypeAlias = NDArray[np.int64]
Words: TypeAlias = Keys | Sequence[str | None] | NDArray[Any]

LONGEST_HISTORY = 20
"""How much of a history is kept."""


def refuse(name: str, wrong: Flags, values: NDArray[Any], rule: str) -> None:
    """Refuse a column with the first value that is wrong, if one is.

    Raises:
        RequestError: Names the column, the row and the value.
    """
    if wrong.any():
        row = int(wrong.argmax())
        raise RequestError(f"pages.{name}[{row + 1}]", rule, shown(values[row : row + 1].tolist()[0]))


def texts(name: str, values: Sequence[str] | Texts, size: int) -> Texts:
    """Return (size,) text."""
    found = np.empty(len(values), object)
    found[:] = [str(value) for value in values]
    return _sized(name, found, size)


def keys(name: str, values: Words, size: int) -> Keys:
    """Return a column of text with codes in the order of the names used, so that they depend on the column alone."""
    given = values if isinstance(values, Keys) else Keys.of(None if one is None else str(one) for one in values)
    _sized(name, given.codes, size)
    used = np.unique(given.codes[given.codes >= 0])
    names = np.array([str(given.names[code]) for code in used.tolist()], object)
    order = np.argsort(names, kind="stable")
    codes = np.full(len(given.names) + 1, -1, np.int32)  # the last one is for rows that have none
    codes[used[order]] = np.arange(len(used))
    return Keys(codes[given.codes], tuple(names[order].tolist()))


def numbers(name: str, values: ArrayLike, size: int) -> Numbers:
    """Return (size,) numbers, NaN where they are missing.

    Raises:
        RequestError: One is infinite, or there are more or fewer.
    """
    found = _sized(name, np.array(values, np.float64), size)
    refuse(name, np.isinf(found), found, "must be a finite number")
    return found


def whole(name: str, values: ArrayLike, size: int) -> Codes:
    """Return (size,) whole numbers >= 0.

    Raises:
        RequestError: One is not of that kind, or there are more or fewer.
    """
    found = numbers(name, values, size)
    refuse(name, ~((found >= 0) & (found == np.floor(found))), found, "must be a whole number >= 0")
    return found.astype(np.int32)


def present(name: str, values: Numbers) -> Numbers:
    """Return numbers of which none is missing.

    Raises:
        RequestError: One is.
    """
    refuse(name, np.isnan(values), values, "must be a finite number")
    return values


def recent(name: str, values: KeyLists | Sequence[Sequence[str]], size: int) -> KeyLists:
    """Return lists of text, the first 20 of each."""
    given = values if isinstance(values, KeyLists) else KeyLists.of(values)
    starts = _sized(name, given.starts[:-1], size).astype(np.int64)
    kept = np.minimum(np.diff(given.starts), LONGEST_HISTORY)
    ends = np.cumsum(kept)
    places = np.arange(ends[-1] if size else 0) + np.repeat(starts - ends + kept, kept)
    column = keys(name, Keys(given.codes[places], given.names), len(places))
    return KeyLists(column.codes, np.concatenate([[0], ends]).astype(np.int32), column.names)


def named(values: Mapping[str, Any], of: Any, size: int) -> dict[str, Any]:
    """Return columns by name, each by a function of this module."""
    return {name: of(name, column, size) for name, column in values.items()}


def draw(text: str) -> int:
    """Return 64 pseudo-random bits for a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def draws(values: Sequence[str] | Texts) -> NDArray[np.uint64]:
    """Return 64 pseudo-random bits for each text."""
    return np.array([draw(text) for text in values], np.uint64)


def mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return other bits for each number, one to one: the end of SplitMix64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits


def cuts(shares: Sequence[float], size: int) -> list[int]:
    """Return where parts begin and end that have these shares of `size`.

    Raises:
        RequestError: The shares are not > 0, or their sum is not 1.
    """
    parts = np.array(shares, np.float64)
    if not len(parts) or not (parts > 0).all() or abs(parts.sum() - 1) > 1e-9:
        raise RequestError("shares", "must be > 0, with a sum of 1", shown(list(shares)))
    return [0, *np.round(np.cumsum(parts) * size).astype(int).tolist()]


def content(column: Any) -> Iterator[bytes]:
    """Yield what a column says, in bytes; however its names are numbered, and whatever others there are."""
    if isinstance(column, KeyLists):
        yield column.starts.astype(np.int64).tobytes()
    if isinstance(column, Keys | KeyLists):
        codes, names = keys("", Keys(column.codes, column.names), len(column.codes))
        yield codes.tobytes()
        column = np.array(names, object)
    yield "\0".join(column.tolist()).encode() if column.dtype == object else np.ascontiguousarray(column).tobytes()


def _sized(name: str, values: NDArray[Any], size: int) -> NDArray[Any]:
    if values.shape != (size,):
        raise RequestError(f"pages.{name}", f"must have {size} values", shown(values.shape))
    return values
