"""Ids: what items are called, all text or all whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Keys
from slatewise.core.errors import RequestError, shown


def are_distinct(ids: Any) -> bool:
    """Tell whether ids are an array of whole numbers that are all distinct."""
    if not _are_whole(ids):
        return False
    ordered = np.sort(ids)
    return bool((ordered[1:] > ordered[:-1]).all())


def _are_whole(ids: Any) -> TypeGuard[NDArray[np.integer]]:
    return isinstance(ids, np.ndarray) and cast("NDArray[Any]", ids).dtype.kind in "iu" and ids.ndim == 1


def ids_of(values: Any) -> list[Any]:
    """Return ids as a list of text or of whole numbers.

    Raises:
        RequestError: One is neither, or there are both.
    """
    if _are_whole(values):
        return values.tolist()
    ids = cast("list[Any]", values.tolist() if isinstance(values, np.ndarray) else list(values))
    types = set(map(type, ids))
    if types <= {str} or types <= {int}:
        return ids
    if all(isinstance(value, np.integer | np.str_) for value in ids):
        return ids_of([value.item() for value in ids])
    for row, value in enumerate(ids):
        if type(value) not in (str, int):
            raise RequestError(f"candidates.item_id[{row}]", "must be text or a whole number", shown(value))
    raise RequestError("candidates.item_id", "must be all text or all whole numbers", "both")


def wholes_of(ids: Sequence[Any]) -> NDArray[np.int64]:
    """Return (n,) ids as numbers; none at all if they are texts, or one has more than 63 bits."""
    try:
        return np.array(ids if type(ids[0]) is int else (), np.int64)
    except (IndexError, OverflowError):
        return np.empty(0, np.int64)


@lru_cache(1024)
def sorted_places(names: tuple[Any, ...]) -> NDArray[np.int64]:
    """Return the place of each of some names among them when sorted."""
    places = np.empty(len(names), np.int64)
    places[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return places


def require_distinct(ids: Sequence[Any], lines: Keys) -> None:
    """Refuse ids that a line names twice.

    Raises:
        RequestError: Names both rows.
    """
    first: dict[tuple[Any, int], int] = {}
    for row, pair in enumerate(zip(ids, lines.codes.tolist(), strict=True)):
        if pair in first:
            raise RequestError(
                f"candidates.item_id[{row}]",
                f"must be distinct within line {lines.name(row)!r}",
                f"{shown(ids[row])} again (first at row {first[pair]})",
            )
        first[pair] = row
