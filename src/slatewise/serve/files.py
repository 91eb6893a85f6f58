"""Files of requests: JSON lines or Parquet, one request a line or row, each the same as a body over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slatewise.core.errors import RequestError
from slatewise.serve.wire import Order, Wire

FORMS = (".jsonl", ".ndjson", ".parquet")


def count_requests(path: Path) -> int:
    """Return how many requests a file has.

    Raises:
        RequestError: The file is not there, or of no known form.
    """
    if _form(path) == ".parquet":
        return _parquet(path).metadata.num_rows
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def read_requests(path: Path, wire: Wire) -> Iterator[Order]:
    """Yield the requests of a file, in its order, a few at a time in memory.

    Raises:
        RequestError: With file and line (or row), and what is wrong with the request there.
    """
    if _form(path) == ".parquet":
        rows = (row for batch in _parquet(path).iter_batches(256) for row in batch.to_pylist())
        for number, row in enumerate(rows, 1):
            with _Place(path, number):
                order = wire.convert(_present(row))
            yield order
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                with _Place(path, number):
                    order = wire.decode(line)
                yield order


class _Place:
    """Adds file and line to a refusal."""

    def __init__(self, path: Path, number: int) -> None:
        self.source = f"{path}:{number}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RequestError):
            raise RequestError(error.where, error.rule, error.got, error.hint, self.source) from None


def _form(path: Path) -> str:
    if path.suffix not in FORMS:
        raise RequestError("requests", f"must end in {', '.join(FORMS)}", str(path))
    if not path.is_file():
        raise RequestError("requests", "must be a readable file", str(path))
    return path.suffix


def _parquet(path: Path) -> Any:
    from pyarrow import ArrowInvalid, parquet

    try:
        return parquet.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise RequestError("requests", f"must be Parquet ({error})", str(path)) from None


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without the fields that Parquet fills up with nulls."""
    present = {name: value for name, value in row.items() if value is not None}
    if "context" in present:
        present["context"] = _mapping(present["context"])
    if isinstance(history := _mapping(present.get("history")), dict):
        present["history"] = {name: _mapping(amounts) for name, amounts in history.items()}
    return present


def _mapping(value: Any) -> Any:
    """Return a struct or a map as a mapping without nulls, and anything else as it is."""
    if isinstance(value, list) and all(isinstance(one, tuple) for one in value):
        value = dict(value)  # a map: a list of pairs
    if not isinstance(value, Mapping):
        return value
    return {name: inner for name, inner in value.items() if inner is not None}
