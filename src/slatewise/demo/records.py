"""What the site wrote down: one visit, one reader's history; and how both lie in files.

A file has one JSON object per line, gzipped; visits are in order of (time, id). The
package ships a sample that needs nothing but itself; `demo.convert` reads the public data set it comes from.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

VISITS = "visits.jsonl.gz"
HISTORIES = "histories.jsonl.gz"
SHIPPED = Path(__file__).parent / "data"


class Visit(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A list of articles that a reader was shown, and what became of it.

    Attributes:
        id: Number of the visit.
        time: When, in seconds since 1970; the site's own clock.
        reader: Who, a number without meaning.
        shown: Articles that came into view, in no particular order.
        clicked: Those of them that the reader clicked.
        reading: The article on whose page the list stood; None on the front page.
    """

    id: int
    time: int
    reader: int
    shown: tuple[int, ...]
    clicked: tuple[int, ...]
    reading: int | None = None


class History(msgspec.Struct, frozen=True, gc=False):
    """What a reader opened before the first visit.

    Attributes:
        reader: Who.
        times: When each article was opened, in seconds since 1970, ascending.
        articles: The articles, in the same order.
    """

    reader: int
    times: tuple[int, ...]
    articles: tuple[int, ...]


Record = TypeVar("Record", Visit, History)


def shipped_visits() -> Iterator[Visit]:
    """Yield the visits of the sample, in order of time."""
    return _lines(SHIPPED / VISITS, Visit)


def shipped_histories() -> Iterator[History]:
    """Yield the histories of the sample's readers."""
    return _lines(SHIPPED / HISTORIES, History)


def write(records: Iterable[Visit] | Iterable[History], path: Path) -> None:
    """Write records to a file; equal records give equal bytes."""
    encode = msgspec.json.Encoder().encode
    text = b"".join(encode(record) + b"\n" for record in records)
    path.write_bytes(gzip.compress(text, 9, mtime=0))


def _lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    decode = msgspec.json.Decoder(kind).decode
    with gzip.open(path) as lines:
        yield from map(decode, lines)
