"""Read the public EB-NeRD data set: a directory with `behaviors.parquet` and `history.parquet`.

Only times, readers, articles and clicks are read; age, gender, postcode, subscription and device never leave the file.
Visits are read one day at a time, so that memory holds a day and not the data set; the price is one pass over the file
per day. The sample that the package ships is made with

    python -m slatewise.demo.convert DIRECTORY src/slatewise/demo/data
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from slatewise.core.errors import SlatewiseError
from slatewise.demo.records import HISTORIES, VISITS, History, Visit, write

DAY_S = 86_400
BATCH_ROWS = 1_000
VISIT_COLUMNS = [
    "impression_id", "impression_time", "user_id", "article_id", "article_ids_inview", "article_ids_clicked"
]  # fmt: skip
HISTORY_COLUMNS = ["user_id", "impression_time_fixed", "article_id_fixed"]


def visits(directory: Path, limit: int | None = None) -> Iterator[Visit]:
    """Yield visits in order of (time, id), the first `limit` of them if given.

    Raises:
        SlatewiseError: The file is not there, lacks a column, or pyarrow is not installed.
    """
    return islice(_visits(_dataset(directory, "behaviors.parquet", VISIT_COLUMNS)), limit)


def histories(directory: Path, readers: Collection[int] | None = None) -> Iterator[History]:
    """Yield histories in the order of the file, of `readers` alone if given.

    Raises:
        SlatewiseError: The file is not there, lacks a column, or pyarrow is not installed.
    """
    data = _dataset(directory, "history.parquet", HISTORY_COLUMNS)
    return _histories(data, readers)


def _visits(data: Any) -> Iterator[Visit]:
    import pyarrow.compute as compute

    time = compute.field("impression_time")
    for start, stop in _days(data):
        table = data.to_table(columns=VISIT_COLUMNS, filter=(time >= start) & (time < stop))
        table = table.sort_by([("impression_time", "ascending"), ("impression_id", "ascending")])
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            yield from map(_visit, batch.to_pylist())


def _days(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the first and the last moment of each day between the first visit and the last."""
    import pyarrow as arrow
    import pyarrow.compute as compute

    times = data.to_table(columns=["impression_time"])["impression_time"]
    if not len(times):
        return
    first, last = (compute.call_function(which, [times]).as_py() for which in ("min", "max"))
    kind = data.schema.field("impression_time").type
    for day in range(_seconds(first) // DAY_S, _seconds(last) // DAY_S + 1):
        start, stop = (arrow.scalar(at * DAY_S, arrow.timestamp("s")).cast(kind) for at in (day, day + 1))
        yield start, stop


def _visit(row: dict[str, Any]) -> Visit:
    return Visit(
        id=row["impression_id"],
        time=_seconds(row["impression_time"]),
        reader=row["user_id"],
        shown=tuple(row["article_ids_inview"]),
        clicked=tuple(row["article_ids_clicked"]),
        reading=row["article_id"],
    )


def _histories(data: Any, readers: Collection[int] | None) -> Iterator[History]:
    import pyarrow.compute as compute

    wanted = None if readers is None else compute.field("user_id").isin(sorted(readers))
    for batch in data.to_batches(columns=HISTORY_COLUMNS, filter=wanted, batch_size=BATCH_ROWS):
        times, articles = (batch.column(name) for name in HISTORY_COLUMNS[1:])
        seconds = compute.call_function(
            "floor_temporal", [times.flatten()], compute.RoundTemporalOptions(unit="second")
        )
        seconds = seconds.cast("timestamp[s]").cast("int64").to_pylist()
        ends = np.cumsum(compute.call_function("list_value_length", [times]).to_numpy()).tolist()
        starts = [0, *ends[:-1]]
        for reader, start, end, opened in zip(
            batch.column("user_id").to_pylist(), starts, ends, articles.to_pylist(), strict=True
        ):
            yield History(reader, tuple(seconds[start:end]), tuple(opened))


def _seconds(moment: Any) -> int:
    from datetime import UTC

    return int(moment.replace(tzinfo=UTC).timestamp())


def _dataset(directory: Path, name: str, columns: list[str]) -> Any:
    try:
        import pyarrow.dataset as dataset
    except ImportError:
        raise SlatewiseError(
            "data", "needs pyarrow to be read", hint="install the extra: pip install 'slatewise[parquet]'"
        ) from None
    path = Path(directory) / name
    if not path.is_file():
        raise SlatewiseError("data", f"must be a directory with {name}", str(directory))
    data = dataset.dataset(path, format="parquet")
    for column in columns:
        if column not in data.schema.names:
            raise SlatewiseError(f"data.{name}", f"must have the column {column!r}", str(data.schema.names))
    return data


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    write(visits(source), target / VISITS)
    write(histories(source), target / HISTORIES)
