"""Columns: what a candidate may carry, and how raw values become arrays.

| kind | stored as | missing (only with `?`) |
|---|---|---|
| `number` | (n,) float64, finite | NaN |
| `key` | `Keys`: (n,) int32 codes and the names they stand for | code -1 |
| `flag` | (n,) bool | not possible |
| `embedding` | `Embedding`: a shared float32 table and (n,) row ids | row id -1 |

A kind with a question mark (`number?`) may have missing values; a stage that reads it says what it does with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, cast, final, get_args

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.errors import RequestError, shown

Kind: TypeAlias = Literal["number", "number?", "key", "key?", "flag", "embedding", "embedding?"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LARGEST_WHOLE = 2**53
"""Largest whole number up to which float64 holds every one."""

LARGEST = 1e30
"""Largest size of a number in a column or a policy: products of a few of them are still finite."""

Signed: TypeAlias = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Positive: TypeAlias = Annotated[float, Meta(gt=0, le=LARGEST)]

Numbers: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Codes: TypeAlias = NDArray[np.int32]


class Keys(NamedTuple):
    """A categorical column.

    Attributes:
        codes: (n,) index into `names`, -1 where the value is missing.
        names: Distinct values, in no particular order.
    """

    codes: Codes
    names: tuple[Any, ...]

    @classmethod
    def of(cls, values: Iterable[Any]) -> Keys:
        """Encode values; None is missing.

        >>> Keys.of(["ads", "posts", "ads", None]).codes.tolist()
        [0, 1, 0, -1]
        """
        values = list(values)
        names = tuple(value for value in dict.fromkeys(values) if value is not None)
        places = dict(zip(names, range(len(names)), strict=True))
        places[None] = -1
        return cls(np.fromiter(map(places.__getitem__, values), np.int32, len(values)), names)

    def name(self, row: int) -> Any:
        """Return the value of one row, None where it is missing."""
        code = self.codes[row]
        return self.names[code] if code >= 0 else None

    def take(self, rows: NDArray[np.integer]) -> Keys:
        """Return the column of some rows."""
        return Keys(self.codes[rows], self.names)


@final
class EmbeddingTable:
    """A matrix of embeddings that many requests share; checked once, never copied.

    Attributes:
        matrix: (m, d) float32, finite, read-only.
    """

    __slots__ = ("matrix",)

    def __init__(self, matrix: Any) -> None:
        values = np.asarray(matrix)
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise RequestError(
                "embedding table", "must be a matrix of numbers", f"{values.dtype} of shape {values.shape}"
            )
        self.matrix: NDArray[np.float32] = np.ascontiguousarray(values, dtype=np.float32).view()
        broken = np.flatnonzero(~np.isfinite(self.matrix).all(axis=1))
        if broken.size:
            raise RequestError(f"embedding table[{broken[0]}]", "must be finite", shown(values[broken[0]].tolist()))
        self.matrix.setflags(write=False)


class Embedding(NamedTuple):
    """An embedding column: row ids into a shared table.

    Attributes:
        table: The shared matrix.
        rows: (n,) row of each candidate in the table, -1 where it has none.
    """

    table: EmbeddingTable
    rows: Codes

    def take(self, rows: NDArray[np.integer]) -> Embedding:
        """Return the column of some rows; the table is shared."""
        return Embedding(self.table, self.rows[rows])


Column: TypeAlias = Numbers | Flags | Keys | Embedding


def kind_of(column: Column) -> Kind:
    """Return the kind of a stored column, without its question mark."""
    if isinstance(column, Keys):
        return "key"
    if isinstance(column, Embedding):
        return "embedding"
    return "flag" if column.dtype == np.bool_ else "number"


def guess(values: Any) -> Kind:
    """Return the kind that raw values look like: text and huge whole numbers are keys, nested numbers an embedding.

    >>> guess([1, 2]), guess(["a", None]), guess([True, False]), guess([[1.0, 0.0]])
    ('number', 'key', 'flag', 'embedding')
    """
    if isinstance(values, Keys):
        return "key"
    if isinstance(values, Embedding):
        return "embedding"
    if isinstance(values, np.ndarray):
        array = cast("NDArray[Any]", values)
        if array.ndim == 2:
            return "embedding"
        if array.dtype.kind in "bf":
            return "flag" if array.dtype.kind == "b" else "number"
        values = array.tolist()
    present = [value for value in cast("Iterable[Any]", values) if value is not None]
    if all(isinstance(value, str | int) and not isinstance(value, bool) for value in present) and any(
        isinstance(value, str) or abs(value) > LARGEST_WHOLE for value in present
    ):
        return "key"  # text, or whole numbers that a float cannot hold: they must be ids
    first = present[0] if present else 0.0
    if isinstance(first, bool | np.bool_):
        return "flag"
    if isinstance(first, Sequence | np.ndarray):
        return "embedding"
    return "number" if isinstance(first, int | float | np.number) else "key"


def store(where: str, values: Any, kind: Kind) -> Column:
    """Turn raw values into a stored column of `kind`; missing values pass, `require_present` judges them.

    Raises:
        RequestError: A value is not of the kind, is infinite, or points outside its table.
    """
    match kind.rstrip("?"):
        case "number":
            return _numbers(where, values)
        case "key":
            return _keys(where, values)
        case "flag":
            return _flags(where, values)
        case _:
            return _embedding(where, values)


def absent(column: Column) -> Flags:
    """Return (n,) bool: which rows have no value."""
    if isinstance(column, Keys):
        return column.codes < 0
    if isinstance(column, Embedding):
        return column.rows < 0
    return np.isnan(column)


def require_present(where: str, column: Column) -> None:
    """Refuse a column with missing values.

    Raises:
        RequestError: Names the first row that lacks a value.
    """
    without = absent(column)
    if without.any():
        kind = kind_of(column)
        hint = f"declare the column with a question mark ('{kind}?') if values may be missing"
        hint = "" if where == "candidates.line" else hint
        raise RequestError(f"{where}[{int(without.argmax())}]", "must have a value", "none", hint)


def _numbers(where: str, values: Any) -> Numbers:
    if isinstance(values, Keys) and all(isinstance(name, int) for name in values.names):
        names = np.array([*values.names, np.nan], dtype=np.float64)
        return _numbers(where, names[values.codes])
    if isinstance(values, Keys) and len(values.codes):
        raise RequestError(f"{where}[0]", "must be a number", shown(values.name(0)))
    if isinstance(values, Keys | Embedding):
        raise RequestError(where, "must be numbers", f"a column of kind {kind_of(values)!r}")
    if not isinstance(values, np.ndarray):
        values = _from_list(where, values)
    array = cast("NDArray[Any]", values)
    if array.dtype.kind not in "iuf" or array.ndim != 1:
        raise RequestError(where, "must be one number per row", f"{array.dtype} of shape {array.shape}")
    numbers = array.astype(np.float64, copy=False)
    too_large = np.abs(numbers) > LARGEST
    if too_large.any():
        row = int(too_large.argmax())
        rule = f"must be finite, at most {LARGEST:g} in size"
        raise RequestError(f"{where}[{row}]", rule, shown(float(numbers[row])))
    return numbers


def _from_list(where: str, values: Iterable[Any]) -> NDArray[Any]:
    items = list(values)
    if set(map(type, items)) <= {float, int}:
        return np.array(items, dtype=np.float64)
    for row, value in enumerate(items):
        if value is not None and (isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number)):
            raise RequestError(f"{where}[{row}]", "must be a number", shown(cast("object", value)))
    return np.array([np.nan if value is None else value for value in items], dtype=np.float64)


def _keys(where: str, values: Any) -> Keys:
    if isinstance(values, Keys):
        return values
    if isinstance(values, Embedding):
        raise RequestError(where, "must be one value per row", "an embedding")
    if isinstance(values, np.ndarray):
        array = cast("NDArray[Any]", values)
        if array.ndim != 1:
            raise RequestError(where, "must be one value per row", f"an array of shape {array.shape}")
        values = array.tolist()
    items = list(cast("Iterable[Any]", values))
    if set(map(type, items)) <= {str, type(None)}:
        return Keys.of(items)
    return Keys.of(_key(f"{where}[{row}]", value) for row, value in enumerate(items))


def _key(where: str, value: Any) -> str | int | None:
    """Return text as it is, a whole number as one, and None for None or NaN."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float):
        raise RequestError(where, "must be text or a whole number", shown(cast("object", value)))
    if isinstance(value, float) and np.isnan(value):
        return None
    if not float(value).is_integer():
        raise RequestError(where, "must be text or a whole number to be a key", shown(value))
    return int(value)


def _flags(where: str, values: Any) -> Flags:
    if isinstance(values, np.ndarray) and cast("NDArray[Any]", values).dtype.kind == "b":
        return cast("Flags", values)
    if isinstance(values, Keys | Embedding):
        raise RequestError(where, "must be true or false", f"a column of kind {kind_of(values)!r}")
    items = cast("list[object]", values.tolist() if isinstance(values, np.ndarray) else list(values))
    if set(map(type, items)) <= {bool}:
        return np.array(items, dtype=np.bool_)
    for row, value in enumerate(items):
        if not isinstance(value, bool | np.bool_):
            raise RequestError(f"{where}[{row}]", "must be true or false", shown(value))
    return np.array(items, dtype=np.bool_)


def _embedding(where: str, values: Any) -> Embedding:
    if isinstance(values, Embedding):
        rows = np.asarray(values.rows, dtype=np.int32)
        outside = (rows < -1) | (rows >= len(values.table.matrix))
        if outside.any():
            row = int(outside.argmax())
            rule = f"must be a row of its table (0..{len(values.table.matrix) - 1}, -1 for none)"
            raise RequestError(f"{where}[{row}]", rule, shown(int(rows[row])))
        return Embedding(values.table, rows)
    if isinstance(values, np.ndarray) and cast("NDArray[Any]", values).ndim == 2:
        matrix = cast("NDArray[Any]", values)
        return Embedding(EmbeddingTable(matrix), np.arange(len(matrix), dtype=np.int32))
    vectors = list(cast("Iterable[Any]", values))
    present = [vector for vector in vectors if vector is not None]
    for row, vector in enumerate(vectors):
        if vector is not None and np.shape(vector) != np.shape(present[0]):
            rule = f"must have the shape of the first vector, {np.shape(present[0])}"
            raise RequestError(f"{where}[{row}]", rule, str(np.shape(vector)))
    rows = np.full(len(vectors), -1, dtype=np.int32)
    rows[[vector is not None for vector in vectors]] = np.arange(len(present), dtype=np.int32)
    return Embedding(EmbeddingTable(np.array(present) if present else np.zeros((0, 0))), rows)
