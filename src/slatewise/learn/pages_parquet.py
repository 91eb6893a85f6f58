"""Logs of pages as Parquet: one row for each row of a list.

    request, user, time            of the list, the same in all of its rows
    item, line, score              of the row
    slot, propensity               where the row was shown, and how likely that was; 0 or empty if it was not
    key.NAME, number.NAME          other columns of rows
    feedback.NAME                  what became of the row; empty where it was not observed
    context.NAME, history.NAME     of the list; a history stands in one of its rows, the others are empty

`request` and `item` have to be there. Rows may come in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes, KeyLists, Keys
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.core.files import replacing

if TYPE_CHECKING:
    from slatewise.learn.pages import Pages

KEYS = ("item", "line")
PLAIN = ("request", "user", "time", *KEYS, "score", "slot", "propensity")
GROUPS = {"key": "keys", "number": "numbers", "feedback": "feedback", "context": "context", "history": "histories"}
"""First words of other columns, and the fields of `Pages` that they are of."""


def read_columns(path: Path) -> dict[str, Any]:
    """Return what `Pages.of` takes.

    Raises:
        RequestError: The file is no such log; names the column, the row (from 1) and the value.
    """
    table = _table(path)
    request = _text(table, "request")
    if "item" not in table.column_names:
        raise RequestError("pages.item", "must be a column of the log", None, did_you_mean("item", table.column_names))
    if (request.codes < 0).any():
        raise RequestError(f"pages.request[{int((request.codes < 0).argmax()) + 1}]", "must not be missing")
    first = np.unique(request.codes, return_index=True)[1]
    found: dict[str, Any] = {"request": request.names, "lists": request.codes}
    found |= {field: {} for field in GROUPS.values()}
    for name in table.column_names:
        group, _, rest = name.partition(".")
        if name in KEYS:
            found["keys"][name] = _text(table, name)
        elif name == "score":
            found["numbers"][name] = _number(table, name)
        elif name in ("slot", "propensity"):
            found[name] = _number(table, name)
        elif name == "time":
            found[name] = _of_lists(name, _number(table, name), request, first)
        elif name == "user":
            user = _text(table, name)
            codes = _of_lists(name, user.codes, request, first)
            found[name] = np.array([*user.names, ""], object)[codes]
        elif group == "history" and rest:
            found["histories"][rest] = _histories(table, name, request)
        elif group == "context" and rest:
            context = _text(table, name)
            found["context"][rest] = Keys(_of_lists(name, context.codes, request, first), context.names)
        elif group in GROUPS and rest:
            found[GROUPS[group]][rest] = (_text if group == "key" else _number)(table, name)
        elif name != "request":
            hint = did_you_mean(name, [*PLAIN, *(f"{one}.{rest or 'NAME'}" for one in GROUPS)])
            raise RequestError(f"pages.{name}", "must be a column that logs have", None, hint)
    return found


def write_columns(pages: Pages, path: Path) -> None:
    """Write pages to a file; it is there whole, or not at all.

    Raises:
        RequestError: There can be no such file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    lists = pages.lists
    columns: dict[str, Any] = {
        "request": pa.array(pages.request, pa.string()).dictionary_encode().take(pa.array(lists)),
        "user": pa.array(pages.user, pa.string()).dictionary_encode().take(pa.array(lists)),
        "time": pages.time[lists],
        "slot": pages.slot,
        "propensity": _numbers_out(pages.propensity),
    }
    columns |= {(name if name in KEYS else f"key.{name}"): _keys_out(one) for name, one in pages.keys.items()}
    for name, one in pages.numbers.items():
        columns["score" if name == "score" else f"number.{name}"] = _numbers_out(one)
    columns |= {f"feedback.{name}": _numbers_out(one) for name, one in pages.feedback.items()}
    columns |= {f"context.{name}": _keys_out(one.take(lists)) for name, one in pages.context.items()}
    columns |= {f"history.{name}": _histories_out(pages, one) for name, one in pages.histories.items()}
    with replacing(path) as part:
        parquet.write_table(pa.table(columns), part, compression="zstd")


def _table(path: Path) -> Any:
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.ParquetFile(path).read()
    except OSError as error:
        raise RequestError("pages", "must be a readable file", shown(error.strerror or str(error))) from None
    except ArrowException as error:
        raise RequestError("pages", f"is not readable ({str(error).splitlines()[0]})") from None
    if not table.num_rows:
        raise RequestError("pages", "must have rows")
    return table


def _column(table: Any, name: str, to: Callable[[Any], Any], rule: str) -> Any:
    from pyarrow import ArrowException

    if table.column_names.count(name) != 1:
        raise RequestError(f"pages.{name}", "must be one column of the log", f"{table.column_names.count(name)}")
    column = table.column(name)
    try:
        return to(column)
    except (ArrowException, TypeError):
        raise RequestError(f"pages.{name}", rule, shown(str(column.type))) from None


def _text(table: Any, name: str) -> Keys:
    def read(column: Any) -> Keys:
        import pyarrow as pa

        encoded = column.cast(pa.string()).dictionary_encode().combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().chunk(0)
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        return Keys(codes, tuple(encoded.dictionary.to_pylist()))

    return _column(table, name, read, "must hold text or whole numbers")


def _number(table: Any, name: str) -> NDArray[np.float64]:
    def read(column: Any) -> NDArray[np.float64]:
        import pyarrow as pa

        whole = column.cast("uint8") if pa.types.is_boolean(column.type) else column
        return np.asarray(whole.cast(pa.float64()).to_numpy(), np.float64)

    return _column(table, name, read, "must hold numbers")


def _of_lists(name: str, values: NDArray[Any], request: Keys, first: NDArray[np.intp]) -> NDArray[Any]:
    """Return (b,) what all rows of a list say."""
    found = values[first]
    differs = found[request.codes] != values
    if differs.any():
        row = int(differs.argmax())
        rule = f"must be the same in all rows of request {request.name(row)!r}"
        raise RequestError(f"pages.{name}[{row + 1}]", rule, shown(values[row].item()))
    return found


def _histories(table: Any, name: str, request: Keys) -> KeyLists:
    import pyarrow as pa

    wanted = pa.list_(pa.string())
    values = _column(table, name, lambda column: column.cast(wanted).to_pylist(), "must hold lists of text")
    found: list[list[str]] = [[] for _ in request.names]
    for code, value in zip(request.codes.tolist(), values, strict=True):
        if value:
            found[code] = value
    return KeyLists.of(found)


def _numbers_out(values: NDArray[np.float64]) -> Any:
    import pyarrow as pa

    return pa.array(values, from_pandas=True)


def _keys_out(column: Keys) -> Any:
    import pyarrow as pa

    codes: Codes = column.codes
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(column.names, pa.string()))


def _histories_out(pages: Pages, column: KeyLists) -> Any:
    import pyarrow as pa

    found: list[Any] = [None] * len(pages.slot)
    for at, start in enumerate(pages.starts[:-1].tolist()):
        found[start] = column.row(at)
    return pa.array(found, pa.list_(pa.string()))
