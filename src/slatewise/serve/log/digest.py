"""Digest: one number for all candidates of a request, by which two of them are known to be the same.

It is of what candidates are, not of how they came: rows or columns, JSON or Arrow, in any order, give one digest, since
they give one page. Rows are taken by (item_id, line) and columns by name; names stand in the order of their values, and
numbers as little-endian float64, with one zero and one missing number. Cost: O(n log n) for the order, O(n * d) for the
rest; about 0.07 ms for 300 candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Column, Embedding, KeyLists, Keys, kind_of

BYTES = 16


def candidates_digest(candidates: Candidates) -> str:
    """Return the digest of candidates, as 32 hexadecimal digits.

    >>> items = Candidates.of(item_id=["a", "b"], line=["posts", "ads"], score=[0.25, -0.0])
    >>> same = Candidates.of(score=[0.0, 0.25], line=["ads", "posts"], item_id=["b", "a"])
    >>> other = Candidates.of(item_id=["a", "b"], line=["posts", "ads"], score=[0.25, 1e-9])
    >>> candidates_digest(items) == candidates_digest(same), candidates_digest(items) == candidates_digest(other)
    (True, False)
    """
    ids = candidates.item_id
    order = np.argsort(candidates.rank) if candidates.repeats else _sorted(ids)
    digest = blake2b(digest_size=BYTES)
    for part in (msgspec.json.encode([ids[row] for row in order.tolist()]), *_columns(candidates, order)):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _sorted(ids: Sequence[Any]) -> NDArray[np.integer]:
    """Return rows in the order of their ids, which are distinct."""
    return np.array(sorted(range(len(ids)), key=ids.__getitem__), np.intp)


def _columns(candidates: Candidates, order: NDArray[np.integer]) -> Iterator[bytes]:
    for name in sorted(candidates.columns):
        column = candidates.columns[name]
        yield f"{name}\0{kind_of(column)}".encode()
        yield from _parts(column, order)


def _parts(column: Column, order: NDArray[np.integer]) -> Iterator[bytes]:
    match column:
        case Keys(codes, names):
            yield from _named(codes[order], names)
        case KeyLists():
            taken = column.take(order)
            yield taken.starts.astype("<i4").tobytes()
            yield from _named(taken.codes, taken.names)
        case Embedding(table, rows):
            places = rows[order]
            vectors = np.zeros((len(places), table.matrix.shape[1]), "<f4")
            vectors[places >= 0] = table.matrix[places[places >= 0]]
            # Where no row has a vector, how long one would be says nothing.
            yield vectors.shape[1].to_bytes(8, "little") + (vectors + 0.0).tobytes() if vectors.any() else b""
        case _:
            values = column[order]
            if values.dtype == np.bool_:
                yield values.astype("<u1").tobytes()
            else:
                numbers = values + 0.0  # makes -0.0 a zero
                numbers[np.isnan(numbers)] = np.nan
                yield numbers.astype("<f8").tobytes()


def _named(codes: Codes, names: Sequence[Any]) -> Iterator[bytes]:
    """Yield the names that codes stand for, in one order, and codes by their places there."""
    used = np.zeros(len(names) + 1, np.bool_)  # the last place is that of missing values
    used[codes] = True
    present = np.flatnonzero(used[:-1]).tolist()
    try:
        present.sort(key=names.__getitem__)
    except TypeError:  # text and whole numbers
        present.sort(key=lambda code: (isinstance(names[code], str), names[code]))
    places = np.full(len(names) + 1, -1, np.int32)
    places[present] = np.arange(len(present), dtype=np.int32)
    yield msgspec.json.encode([names[code] for code in present])
    yield places[codes].astype("<i4").tobytes()
