"""The store in a file: for several processes on one host, without a server.

One table for each kind of record, in write-ahead mode. Every call is one transaction that takes the write lock first,
and runs in a thread of its own, so that the event loop never waits for the disk. Records of users and of windows are
those of the memory store, encoded; each merge also deletes some that are over. A file that is busy too long, or a disk
that is full, undoes the transaction and is a failure of the call.

References:
    SQLite, "Write-ahead logging", https://www.sqlite.org/wal.html.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, final

import msgspec

from slatewise.core.errors import RequestError
from slatewise.serve.state.store.contract import REPEAT_S, WORKER_S, Merge, Merged, Published, Took, UndoneError, Want
from slatewise.serve.state.store.records import Person
from slatewise.serve.state.windows import Window

BUSY_S = 0.2
"""How long a call waits for other processes, in seconds."""

QUEUED = 256
"""Calls at once; one more fails."""

SWEPT = 64
"""Records of each table that a merge deletes at most."""

TABLES = """
create table if not exists windows (counter text primary key, body blob not null, until real not null) without rowid;
create table if not exists workers (worker text primary key, sequence integer not null, until real not null);
create table if not exists people (user text primary key, body blob not null, until real not null) without rowid;
create table if not exists seen (key text primary key, time real not null, until real not null) without rowid;
create table if not exists leases (name text primary key, owner text, fence integer, time real, ttl_s real);
create table if not exists board (name text primary key, fence integer, version integer, time real, body blob);
create table if not exists letters (place integer primary key, box text not null, body blob not null);
create index if not exists windows_until on windows (until);
create index if not exists people_until on people (until);
create index if not exists seen_until on seen (until);
create index if not exists letters_box on letters (box, place);
"""

_WINDOW = msgspec.msgpack.Decoder(Window)
_PERSON = msgspec.msgpack.Decoder(Person)
_Answer = TypeVar("_Answer")


@final
class SqliteStore:
    """Shared state in a file; see `Store` for what its calls promise."""

    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            RequestError: It cannot be opened, or is something else.
        """
        self._thread = ThreadPoolExecutor(1, "slatewise-state")
        self._queued = 0
        try:
            self._file = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._file.execute("pragma journal_mode = wal")
            self._file.execute("pragma synchronous = normal")
            self._file.executescript(TABLES)
        except sqlite3.Error as error:
            raise RequestError("state", "must be a file for shared state", f"{path} ({error})") from None

    async def merge(self, merge: Merge) -> Merged:
        """See `Store.merge`."""
        return await self._atomically(lambda file: _merge(file, merge))

    async def reserve(self, user: str, page: str, wants: Sequence[Want], *, time: float, hold_s: float) -> list[int]:
        """See `Store.reserve`."""

        def reserved(file: sqlite3.Connection) -> list[int]:
            person = _person(file, user) or Person()
            granted = person.reserve(page, wants, time=time, hold_s=hold_s)
            _keep(file, user, person)
            return granted

        return await self._atomically(reserved)

    async def settle(self, pages: Sequence[Took]) -> list[bool]:
        """See `Store.settle`; all are one transaction."""

        def settled(file: sqlite3.Connection) -> list[bool]:
            for took in pages:
                person = _person(file, took.user) or Person()
                if took.untold:
                    person.reserve(took.page, took.untold, time=took.time, hold_s=took.hold_s)
                if took.page in person.pages:
                    person.settle(took.page, took.used)
                    _keep(file, took.user, person)
            return [True] * len(pages)

        return await self._atomically(settled)

    async def confirm(self, user: str, page: str, counter: str, *, time: float) -> bool:
        """See `Store.confirm`."""

        def confirmed(file: sqlite3.Connection) -> bool:
            person = _person(file, user)
            if person is None or not person.confirm(page, counter, time=time):
                return False
            _keep(file, user, person)
            return True

        return await self._atomically(confirmed)

    async def fresh(self, keys: Sequence[str], *, time: float, keep_s: float) -> list[bool]:
        """See `Store.fresh`."""
        return await self._atomically(lambda file: [_fresh(file, key, time, keep_s) for key in keys])

    async def lease(self, name: str, owner: str, *, time: float, ttl_s: float) -> int | None:
        """See `Store.lease`."""

        def leased(file: sqlite3.Connection) -> int | None:
            held = file.execute("select owner, fence, time, ttl_s from leases where name = ?", (name,)).fetchone()
            last, fence, since, lasts_s = held or ("", 0, time, 0.0)
            if owner != last and abs(time - since) < lasts_s:
                return None
            fence += owner != last
            file.execute("insert or replace into leases values (?, ?, ?, ?, ?)", (name, owner, fence, time, ttl_s))
            return fence

        return await self._atomically(leased)

    async def publish(self, name: str, body: bytes, *, fence: int, time: float) -> bool:
        """See `Store.publish`."""

        def published(file: sqlite3.Connection) -> bool:
            last = file.execute("select fence, version from board where name = ?", (name,)).fetchone()
            if last is not None and last[0] > fence:
                return False
            version = 1 if last is None else last[1] + 1
            file.execute("insert or replace into board values (?, ?, ?, ?, ?)", (name, fence, version, time, body))
            return True

        return await self._atomically(published)

    async def read(self, name: str) -> Published | None:
        """See `Store.read`."""

        def found(file: sqlite3.Connection) -> Published | None:
            row = file.execute("select fence, version, time, body from board where name = ?", (name,)).fetchone()
            return None if row is None else Published(fence=row[0], version=row[1], time=row[2], body=row[3])

        return await self._atomically(found)

    async def post(self, box: str, letters: Sequence[bytes], *, most: int) -> int:
        """See `Store.post`."""

        def posted(file: sqlite3.Connection) -> int:
            (inside,) = file.execute("select count(*) from letters where box = ?", (box,)).fetchone()
            fitting = letters[: max(most - inside, 0)]
            file.executemany("insert into letters (box, body) values (?, ?)", [(box, letter) for letter in fitting])
            return len(letters) - len(fitting)

        return await self._atomically(posted)

    async def take(self, box: str, most: int) -> list[bytes]:
        """See `Store.take`."""

        def taken(file: sqlite3.Connection) -> list[bytes]:
            query = "select place, body from letters where box = ? order by place limit ?"
            rows = file.execute(query, (box, most)).fetchall()
            file.executemany("delete from letters where place = ?", [(place,) for place, _ in rows])
            return [body for _, body in rows]

        return await self._atomically(taken)

    async def close(self) -> None:
        """See `Store.close`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    async def _atomically(self, step: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Run a step as one transaction, in the thread."""
        if self._queued >= QUEUED:
            raise UndoneError("too many calls wait for the file")
        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, step)
        finally:  # also if nobody waits for it any more, and it never began
            self._queued -= 1

    def _transact(self, step: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        try:
            self._file.execute("begin immediate")
            answer = step(self._file)
            self._file.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._file.execute("rollback")
            raise UndoneError(f"sqlite: {error}") from None
        except BaseException:
            self._file.execute("rollback")
            raise
        return answer


def _merge(file: sqlite3.Connection, merge: Merge) -> Merged:
    time = merge.time
    last = file.execute("select sequence from workers where worker = ?", (merge.worker,)).fetchone()
    windows = {counter: _window(file, counter) or Window(span_s) for counter, span_s in merge.spans.items()}
    if last is None or merge.sequence > last[0]:
        for counter, amount in merge.deltas.items():
            windows[counter].add(amount, time=time)
            row = (counter, msgspec.msgpack.encode(windows[counter]), time + 2 * merge.spans[counter])
            file.execute("insert or replace into windows values (?, ?, ?)", row)
    sequence = max(merge.sequence, 0 if last is None else last[0])
    file.execute("insert or replace into workers values (?, ?, ?)", (merge.worker, sequence, time + REPEAT_S))
    (workers,) = file.execute(
        "select count(*) from workers where abs(until - ?) < ?", (time + REPEAT_S, WORKER_S)
    ).fetchone()
    for table, key in (("windows", "counter"), ("people", "user"), ("seen", "key"), ("workers", "worker")):
        over = f"select {key} from {table} where until < ? limit {SWEPT}"
        file.execute(f"delete from {table} where {key} in ({over})", (time,))
    return Merged(totals={counter: window.total(time) for counter, window in windows.items()}, workers=workers)


def _window(file: sqlite3.Connection, counter: str) -> Window | None:
    row = file.execute("select body from windows where counter = ?", (counter,)).fetchone()
    return None if row is None else _WINDOW.decode(row[0])


def _person(file: sqlite3.Connection, user: str) -> Person | None:
    row = file.execute("select body from people where user = ?", (user,)).fetchone()
    return None if row is None else _PERSON.decode(row[0])


def _keep(file: sqlite3.Connection, user: str, person: Person) -> None:
    row = (user, msgspec.msgpack.encode(person), person.until)
    file.execute("insert or replace into people values (?, ?, ?)", row)


def _fresh(file: sqlite3.Connection, key: str, time: float, keep_s: float) -> bool:
    row = file.execute("select time, until from seen where key = ?", (key,)).fetchone()
    if row is not None and abs(time - row[0]) < row[1] - row[0]:
        return False
    file.execute("insert or replace into seen values (?, ?, ?)", (key, time, time + keep_s))
    return True
