"""Raw: what callers hand over (lists, NumPy arrays, Arrow tables, Polars frames) becomes columns.

Every value is looked at here, once; what is not of its column's kind is refused with the row where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import (
    LARGEST,
    LARGEST_WHOLE,
    Column,
    Embedding,
    EmbeddingTable,
    Flags,
    KeyLists,
    Keys,
    Kind,
    Numbers,
    kind_of,
)
from slatewise.core.errors import RequestError, shown


def columns_of(data: Any) -> dict[str, Any]:
    """Return the raw columns of whatever holds some, by name.

    Raises:
        RequestError: It is nothing that holds columns.
    """
    if isinstance(data, Mapping):
        return dict(cast("Mapping[str, Any]", data))
    if hasattr(data, "get_columns"):  # Polars
        return {column.name: _polars(column) for column in data.get_columns()}
    if hasattr(data, "column_names"):  # Arrow
        return {name: _arrow(data.column(name)) for name in data.column_names}
    raise RequestError(
        "candidates", "must be a mapping of columns, an Arrow table or a Polars frame", type(data).__name__
    )


def _polars(column: Any) -> Any:
    return column.to_list() if column.null_count() else _array(column.to_numpy(), column.to_list)


def _arrow(column: Any) -> Any:
    if column.null_count or column.type.num_fields:  # nested values are lists in the end
        return column.to_pylist()
    return _array(column.to_numpy(zero_copy_only=False), column.to_pylist)


def _array(values: NDArray[Any], to_list: Any) -> Any:
    return values if values.dtype.kind in "iufb" else to_list()


def guess(values: Any) -> Kind:
    """Return the kind that raw values look like: text and huge whole numbers are keys, nested numbers an embedding.

    >>> guess([1, 2]), guess(["a", None]), guess([True, False])
    ('number', 'key', 'flag')
    >>> guess([["a", "b"], []]), guess([[1.0, 0.0]])
    ('keys', 'embedding')
    """
    if isinstance(values, Keys | KeyLists | Embedding):
        return kind_of(values)
    if isinstance(values, np.ndarray):
        array = cast("NDArray[Any]", values)
        if array.ndim == 2 and array.dtype.kind in "iufb":
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
    if isinstance(first, Sequence | np.ndarray) and not isinstance(first, str):
        filled = next((one for one in present if len(one)), ())
        return "keys" if not len(filled) or any(isinstance(value, str) for value in filled) else "embedding"
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
        case "keys":
            return _key_lists(where, values)
        case "flag":
            return _flags(where, values)
        case _:
            return _embedding(where, values)


def _numbers(where: str, values: Any) -> Numbers:
    if isinstance(values, Keys) and all(isinstance(name, int) for name in values.names):
        names = np.array([*values.names, np.nan], dtype=np.float64)
        return _numbers(where, names[values.codes])
    if isinstance(values, Keys) and len(values.codes):
        raise RequestError(f"{where}[0]", "must be a number", shown(values.name(0)))
    if isinstance(values, Keys | KeyLists | Embedding):
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
    if isinstance(values, KeyLists | Embedding):
        raise RequestError(where, "must be one value per row", f"a column of kind {kind_of(values)!r}")
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


def _key_lists(where: str, values: Any) -> KeyLists:
    if isinstance(values, KeyLists):
        return _bounded(where, values)
    if isinstance(values, Embedding):
        hint = "lists of whole numbers are taken for an embedding unless `kinds` says 'keys'"
        raise RequestError(where, "must be lists of keys", "a column of kind 'embedding'", hint)
    if isinstance(values, Keys):
        values = [values.name(row) for row in range(len(values.codes))]
    if isinstance(values, np.ndarray):
        array = cast("NDArray[Any]", values)
        if array.ndim == 2 and array.dtype.kind in "iu":
            names, codes = np.unique(array, return_inverse=True)
            starts = np.arange(len(array) + 1, dtype=np.int32) * np.int32(array.shape[1])
            return KeyLists(codes.ravel().astype(np.int32), starts, tuple(names.tolist()))
        values = array.tolist()
    items = list(cast("Iterable[Any]", values))
    if set(map(type, items)) <= {list, tuple, type(None)}:
        filled = [keys or () for keys in items]
        flat = list(chain.from_iterable(filled))
        if set(map(type, flat)) <= {str, int}:
            return KeyLists.joined(flat, list(map(len, filled)))
    return KeyLists.of([_key_list(f"{where}[{row}]", value) for row, value in enumerate(items)])


def _key_list(where: str, value: Any) -> Sequence[Any]:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ()
    if isinstance(value, np.ndarray):
        value = cast("NDArray[Any]", value).tolist()
    if not isinstance(value, list | tuple):
        raise RequestError(where, "must be a list of text or whole numbers", shown(cast("object", value)))
    keys = [_key(f"{where}[{place}]", one) for place, one in enumerate(cast("Sequence[Any]", value))]
    if None in keys:
        raise RequestError(f"{where}[{keys.index(None)}]", "must be text or a whole number", "none")
    return keys


def _bounded(where: str, lists: KeyLists) -> KeyLists:
    """Refuse codes and starts that point outside: kernels trust them."""
    codes, starts = np.asarray(lists.codes, dtype=np.int32), np.asarray(lists.starts, dtype=np.int32)
    if starts[:1].tolist() != [0] or starts[-1] != len(codes) or (starts[1:] < starts[:-1]).any():
        raise RequestError(where, f"must have starts that rise from 0 to {len(codes)}", shown(starts.tolist()))
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(lists.names):
        rule = f"must have codes from 0 to {len(lists.names) - 1}"
        raise RequestError(where, rule, f"{codes.min()} to {codes.max()}")
    return KeyLists(codes, starts, tuple(lists.names))


def _flags(where: str, values: Any) -> Flags:
    if isinstance(values, np.ndarray) and cast("NDArray[Any]", values).dtype.kind == "b":
        return cast("Flags", values)
    if isinstance(values, Keys | KeyLists | Embedding):
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
    if isinstance(values, Keys | KeyLists):
        raise RequestError(where, "must be vectors of numbers", f"a column of kind {kind_of(values)!r}")
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
