"""Segments: the files of a log, and when they go.

    FOLDER/decisions/20260131T120000123Z-5f3a9c01-000001.parquet     pages
    FOLDER/events/...                                                events
    FOLDER/policies/HASH.json, FOLDER/controls/NAME.json             what records name

A segment is gathered in memory and written at once: a file is there whole, or not at all. Names sort by time and are
distinct for every process that writes to the folder. What a segment names is written before it, and its time is set to
now, so that whatever a segment still names is younger than the segment and outlives it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from slatewise.core.files import replacing
from slatewise.serve.log.decisions import arrow, decision_schema, event_schema
from slatewise.serve.log.records import Record

Table: TypeAlias = Literal["decisions", "events"]
TABLES: tuple[Table, ...] = ("decisions", "events")
ENDING = ".parquet"

ABANDONED_S = 3_600.0
"""A file that was not finished for so long never will be."""

_BATCH = 8
"""Records that are turned into columns at a time: other threads wait for so long."""


@final
class Segment:
    """A file to be.

    Attributes:
        table: Which of the tables it is of.
        rows: Records in it.
        size: About how many bytes it takes in memory.
        since: When its first record was added, in seconds.
    """

    def __init__(self, table: Table) -> None:
        """Start an empty one."""
        self.table: Table = table
        self.rows = 0
        self.size = 0
        self.since = 0.0
        self._schema = decision_schema() if table == "decisions" else event_schema()
        arrow().RecordBatch.from_pylist([{}], self._schema)  # imports what it needs now, and not while pages are served
        self._batches: list[Any] = []
        self._waiting: list[Record] = []
        self._files: dict[str, bytes] = {}

    def add(self, record: Record, *, now: float) -> None:
        """Take a record."""
        if not self.rows:
            self.since = now
        self.rows += 1
        self._waiting.append(record)
        if len(self._waiting) >= _BATCH:
            self._gather()

    def write(self, folder: Path, name: str) -> int:
        """Write the segment, start anew, and return how many of its records no column could hold.

        Raises:
            RequestError: It could not be written; everything is kept for another time.
        """
        self._gather()
        pa = arrow()
        if self._batches:
            with replacing(folder / self.table / f"{name}{ENDING}", where="log") as part:
                part.parent.mkdir(parents=True, exist_ok=True)
                for path, text in self._files.items():
                    _put(folder / path, text)
                pa.parquet.write_table(pa.Table.from_batches(self._batches, self._schema), part, compression="zstd")
        lost = self.rows - sum(batch.num_rows for batch in self._batches)
        self._batches, self._files = [], {}
        self.rows, self.size = 0, 0
        return lost

    def _gather(self) -> None:
        """Turn waiting records into columns, and leave out those that cannot be."""
        records, self._waiting = self._waiting, []
        try:
            self._take(records)
        except (ValueError, TypeError, OverflowError):  # pyarrow's own are among them; one record spoils the batch
            for record in records:
                with suppress(ValueError, TypeError, OverflowError):
                    self._take([record])

    def _take(self, records: Sequence[Record]) -> None:
        if not records:
            return
        batch = arrow().RecordBatch.from_pylist([record.row for record in records], self._schema)
        self._batches.append(batch)
        self.size += batch.nbytes
        for path, text in (file for record in records for file in record.files):
            if path not in self._files:
                self._files[path] = text
                self.size += len(text)


def named(worker: str, sequence: int, *, now: float) -> str:
    """Return the name of a segment.

    >>> named("5f3a9c01", 1, now=0.5)
    '19700101T000000500Z-5f3a9c01-000001'
    """
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z-{worker}-{sequence:06d}"


def segments(folder: Path, table: Table = "decisions") -> list[Path]:
    """Return the segments of a table, oldest first."""
    return sorted((folder / table).glob(f"*{ENDING}"))


def prune(folder: Path, *, keep_mb: float, keep_days: float, now: float) -> int:
    """Remove the oldest segments until what is left is young and small enough, and what none of them names any more.

    Whoever else writes to the folder may do the same at the same time.

    Returns:
        How many segments were removed.
    """
    found = [(path, _stat(path)) for table in TABLES for path in segments(folder, table)]
    found.sort(key=lambda one: one[0].name)
    total = sum(stat.st_size for _, stat in found if stat is not None)
    removed = 0
    for path, stat in found:
        if stat is None:
            continue
        if total <= keep_mb * 1e6 and stat.st_mtime >= now - keep_days * 86_400:
            break
        with suppress(OSError):  # another process was quicker, or the folder is gone
            path.unlink()
            removed += 1
        total -= stat.st_size
    if removed:
        _forget(folder)
    for path in folder.glob("*/*.part"):  # of a process that ended while it wrote
        stat = _stat(path)
        if stat is not None and stat.st_mtime < now - ABANDONED_S:
            path.unlink(missing_ok=True)
    return removed


def _forget(folder: Path) -> None:
    """Remove what was last named before the oldest segment of pages was written."""
    kept = [stat.st_mtime for path in segments(folder) if (stat := _stat(path)) is not None]
    if not kept:
        return
    for path in (*folder.glob("controls/*.json"), *folder.glob("policies/*.json")):
        stat = _stat(path)
        if stat is not None and stat.st_mtime < min(kept) - 60:
            with suppress(OSError):
                path.unlink()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # another process was quicker
        return None


def _put(path: Path, text: bytes) -> None:
    """Make sure that a file is there, and that it counts as young."""
    try:
        os.utime(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")  # other processes may write the same at the same time
        part.write_bytes(text)
        part.replace(path)
