"""Decoded: columns whose values a decoder has checked become candidates, without another look at each value.

`Candidates.of` takes anything, and looks at every value for its kind. A decoder that was told the kinds has done so:
what is left to check is what only whole columns show (lengths, sizes of numbers, lines, ids named twice). Whatever is
wrong is said by `Candidates.of`, which then looks again. Cost: O(n) per column, most of it the hashing of texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import LARGEST, Column, Embedding, KeyLists, Keys, Kind, absent
from slatewise.core.raw import store

PLAIN = ("number", "number?", "key", "key?", "flag")
"""Kinds of which a value that is there is no gap: lists may be empty, and embeddings zeros."""

_Scalar = TypeVar("_Scalar", bound=np.generic)


def candidates_of(data: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind], lines: Sequence[str]) -> Candidates:
    """Return candidates as a policy declares them.

    Args:
        data: `item_id` and `line` and declared columns, as lists or tuples of values of their kinds: float for a
            number, bool for a flag, str or int for a key, sequences of them for keys, of float for an embedding; None
            only where the kind has a question mark. An optional column may be left out.
        kinds: The policy's columns.
        lines: The policy's lines.

    Raises:
        RequestError: As `Candidates.of` and `Candidates.conform`.
    """
    try:
        found = _trusted(data, kinds, lines)
    except KeyError:  # a line that the policy does not have
        found = None
    return found or Candidates.of(data, kinds=kinds).conform(kinds, lines)


def _trusted(data: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind], lines: Sequence[str]) -> Candidates | None:
    """Return candidates, or None where something is wrong."""
    ids, own = data["item_id"], data["line"]
    n = len(ids)
    if len(own) != n or set(map(type, ids)) not in ({str}, {int}):
        return None
    places = {name: place for place, name in enumerate(lines)}
    line = Keys(_locked(np.fromiter(map(places.__getitem__, own), np.int32, n)), tuple(lines))
    columns: dict[str, Column] = {"line": line}
    gaps: list[str] = []
    for name, kind in kinds.items():
        values = data.get(name)
        values = (None,) * n if values is None else values
        column = _column(name, values, kind) if len(values) == n else None
        if column is None:
            return None
        columns[name] = column
        if (kind not in PLAIN or None in values) and absent(column).any():
            if not kind.endswith("?"):
                return None
            gaps.append(name)
    items = np.arange(n, dtype=np.int32)
    repeats = len(set(ids)) < n
    if repeats:
        last = dict(zip(ids, range(n), strict=True))
        items = np.fromiter(map(last.__getitem__, ids), np.int32, n)
        nominations = items.astype(np.int64) * len(lines) + line.codes
        if len(np.unique(nominations)) < n:
            return None
    return Candidates(list(ids), columns, frozenset(gaps), items, repeats, conforms_to=(kinds, lines))


def _column(name: str, values: Sequence[Any], kind: Kind) -> Column | None:
    """Return values as they are stored; None if a number is too large."""
    match kind.rstrip("?"):
        case "number":
            numbers = np.array(values, dtype=np.float64)  # None becomes NaN
            return None if (np.abs(numbers) > LARGEST).any() else _locked(numbers)
        case "key":
            codes, names = Keys.of(values)
            return Keys(_locked(codes), names)
        case "keys":
            codes, starts, names = KeyLists.of(values)
            return KeyLists(_locked(codes), _locked(starts), names)
        case "flag":
            return np.frombuffer(bytes(values), dtype=np.bool_)
        case _:
            table, rows = cast("Embedding", store(f"candidates.{name}", values, kind))
            return Embedding(table, _locked(rows))


def _locked(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    array.setflags(write=False)
    return array
