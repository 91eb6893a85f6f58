"""What readers of data sets share: what they return, and how files become columns."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Flags
from slatewise.core.errors import RequestError, shown
from slatewise.learn.pages import Pages


class Reading(NamedTuple):
    """A data set as pages.

    Attributes:
        pages: The lists.
        dropped: What was left out, and how often.
        notes: What else there is to say, such as how much of what people liked a first stage found.
    """

    pages: Pages
    dropped: dict[str, int]
    notes: dict[str, float]


def lines(path: str | Path, *, encoding: str = "utf-8") -> list[str]:
    """Return the lines of a file.

    Raises:
        RequestError: It is not there, or not text.
    """
    try:
        return Path(path).read_text(encoding=encoding).splitlines()
    except OSError as error:
        raise RequestError("data", "must be a readable file", f"{path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise RequestError("data", f"must be text in {encoding}", shown(str(path))) from None


def table(path: Path, *columns: str) -> Any:
    """Return a table; all columns of a .tsv are text.

    Args:
        path: A .parquet, .csv or .tsv file.
        columns: Names for a file without a first line of names.

    Raises:
        RequestError: It is not there, or not of that kind.
    """
    from pyarrow import ArrowException, csv, parquet, string

    try:
        if path.suffix == ".parquet":
            return parquet.ParquetFile(path).read()
        if path.suffix == ".csv":
            return csv.read_csv(path, csv.ReadOptions(column_names=list(columns)))
        with path.open(encoding="utf-8") as file:
            names = file.readline().rstrip("\r\n").split("\t")
        kinds = csv.ConvertOptions(column_types=dict.fromkeys(names, string()), strings_can_be_null=False)
        return csv.read_csv(path, None, csv.ParseOptions(delimiter="\t", quote_char=False), kinds)
    except OSError as error:
        raise RequestError("data", "must be a readable file", f"{path} ({error.strerror or error})") from None
    except ArrowException as error:
        raise RequestError("data", f"is not readable ({str(error).splitlines()[0]})", shown(str(path))) from None


def column(columns: Any, name: str) -> list[Any]:
    """Return the values of a column of a table.

    Raises:
        RequestError: There is none of that name.
    """
    if name not in columns.column_names:
        raise RequestError(f"data.{name}", "must be a column", None, "it has " + ", ".join(columns.column_names))
    return columns.column(name).to_pylist()


def in_a_row(begins: Flags, longest: int) -> NDArray[np.int64]:
    """Return the list of each row: a list begins where it says, and when one is full.

    >>> in_a_row(np.array([True, False, False, True, False]), 2).tolist()
    [0, 0, 1, 2, 2]
    """
    place = np.arange(len(begins))
    first = np.maximum.accumulate(np.where(begins, place, 0))
    return np.cumsum(begins | ((place - first) % longest == 0)) - 1


def seconds(text: str) -> float:
    """Return seconds since 1970 of a time in ISO form, in UTC where it does not say.

    >>> seconds("1970-01-01 00:01:00.0")
    60.0
    """
    time = datetime.fromisoformat(text.removesuffix(".0"))
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
