"""Logs: tables of what happened, as columns to fit on.

A log is a Parquet file, a CSV file with a header, or JSON lines. Columns that are asked for must be there and hold what
they are asked to hold; others are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slatewise.core.errors import RequestError, did_you_mean, shown

Log: TypeAlias = Mapping[str, NDArray[Any]]
"""Columns over the same rows: float64 numbers, text as objects."""

ENDINGS = (".parquet", ".csv", ".jsonl")


def read_log(
    path: str | Path,
    *,
    numbers: Sequence[str] = (),
    keys: Sequence[str] = (),
    optional: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> dict[str, NDArray[Any]]:
    """Return the columns of a log.

    Args:
        path: A .parquet, .csv or .jsonl file.
        numbers: Columns of numbers, finite.
        keys: Columns of text or whole numbers; they come back as text.
        optional: Those of them that need not be there.
        missing: Columns of numbers that may lack values, which come back as NaN.

    Raises:
        RequestError: Names the file, the column, the row (from 1) and the value.
    """
    table = _table(Path(path))
    found: dict[str, NDArray[Any]] = {}
    for name in (*numbers, *keys):
        if (times := table.column_names.count(name)) > 1:
            raise RequestError(f"log.{name}", "must be one column of the log", f"{times} columns")
        if times:
            column = table.column(name)
            found[name] = _keys(column, name) if name in keys else _numbers(column, name, name in missing)
        elif name not in optional:
            hint = did_you_mean(name, table.column_names) or "it has " + ", ".join(map(repr, table.column_names))
            raise RequestError(f"log.{name}", "must be a column of the log", shown(str(path)), hint)
    if not table.num_rows:
        raise RequestError("log", "must have rows", shown(str(path)))
    return found


def _table(path: Path) -> Any:
    from pyarrow import ArrowException, csv, json, parquet

    readers = {".parquet": parquet.read_table, ".csv": csv.read_csv, ".jsonl": json.read_json}
    if path.suffix.lower() not in readers:
        raise RequestError("log", "must end in " + ", ".join(ENDINGS), shown(str(path)))
    try:
        return readers[path.suffix.lower()](path)
    except OSError as error:
        raise RequestError("log", "must be a readable file", f"{path} ({error.strerror or error})") from None
    except ArrowException as error:
        raise RequestError("log", f"is not readable ({str(error).splitlines()[0]})", shown(str(path))) from None


def _numbers(column: Any, name: str, may_lack: bool) -> NDArray[np.float64]:
    from pyarrow import ArrowException, float64, types

    if types.is_boolean(column.type):
        column = column.cast("uint8")
    try:
        values = np.asarray(column.cast(float64()).to_numpy(), np.float64)
    except ArrowException:
        raise RequestError(f"log.{name}", "must hold numbers", shown(str(column.type))) from None
    wrong = np.flatnonzero(np.isinf(values) if may_lack else ~np.isfinite(values))
    if len(wrong):
        raise RequestError(f"log.{name}[{wrong[0] + 1}]", "must be a finite number", str(column[int(wrong[0])]))
    return values


def _keys(column: Any, name: str) -> NDArray[Any]:
    from pyarrow import ArrowException

    try:
        values = np.asarray(column.cast("string").to_numpy(zero_copy_only=False), object)
    except ArrowException:
        raise RequestError(f"log.{name}", "must hold text or whole numbers", shown(str(column.type))) from None
    lacking = np.flatnonzero((values == None) | (values == ""))  # noqa: E711
    if len(lacking):
        raise RequestError(f"log.{name}[{lacking[0] + 1}]", "must not be missing")
    return values
