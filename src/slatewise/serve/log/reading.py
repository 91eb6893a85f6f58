"""Reading: the records of a decision log, segment by segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from slatewise.core.errors import RequestError
from slatewise.serve.log.decisions import LAYOUT, arrow
from slatewise.serve.log.segments import Table, segments

Row: TypeAlias = dict[str, Any]
"""A record, as the tables of the log have it."""

ROWS = 64
"""Records in memory at a time."""


def read_decisions(path: str | Path, *, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the records of pages in a log, segment by segment.

    Args:
        path: The folder of a log, or one of its segments.
        columns: Those that are wanted; all of them if not given.

    Raises:
        RequestError: It is no log, or of a layout that is not known.
    """
    return _rows(Path(path), "decisions", columns)


def read_events(path: str | Path, *, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield the records of events, as `read_decisions` those of pages.

    Raises:
        RequestError: It is no log, or of a layout that is not known.
    """
    return _rows(Path(path), "events", columns)


def count_decisions(path: str | Path) -> int:
    """Return how many records of pages a log has.

    Raises:
        RequestError: It is no log, or of a layout that is not known.
    """
    return sum(file.metadata.num_rows for file in _files(Path(path), "decisions"))


def _rows(path: Path, table: Table, columns: Sequence[str] | None) -> Iterator[Row]:
    for file in _files(path, table):
        for batch in file.iter_batches(ROWS, columns=None if columns is None else list(columns)):
            yield from batch.to_pylist()


def _files(path: Path, table: Table) -> Iterator[Any]:
    """Yield each segment, open as long as it is looked at."""
    pa = arrow()
    paths = segments(path, table) if path.is_dir() else [path]
    if not paths:
        raise RequestError("log", f"must be a folder with `{table}`, or a segment", str(path))
    for one in paths:
        try:
            file = pa.parquet.ParquetFile(one)
        except FileNotFoundError:
            if path.is_dir():
                continue  # its time came while others were read
            raise RequestError("log", "must be there", str(one)) from None
        except (pa.ArrowInvalid, OSError) as error:
            raise RequestError("log", f"must be Parquet ({error})", str(one)) from None
        with file:
            told = (file.schema_arrow.metadata or {}).get(b"slatewise", b"").decode()
            if told != f"{table}/{LAYOUT}":
                raise RequestError("log", f"must be {table} of layout {LAYOUT}", f"{one} ({told or 'something else'})")
            yield file
