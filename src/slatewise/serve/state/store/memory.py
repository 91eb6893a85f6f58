"""The store in the memory of one process: the default, for one worker, and what the other stores are tested against.

Nothing survives the process and nothing is shared. A call is a step of plain Python without an `await`, so it is atomic
for all who run in the same event loop. Each call also looks at the two oldest records and forgets those whose time is
over, so memory is bounded by what is alive, twice over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, final

from slatewise.serve.state.store.contract import REPEAT_S, WORKER_S, Merge, Merged, Published, Took, Want
from slatewise.serve.state.store.records import Person
from slatewise.serve.state.windows import Window

_Record = TypeVar("_Record")


class _Applied(NamedTuple):
    sequence: int
    time: float


class _Lease(NamedTuple):
    owner: str
    fence: int
    time: float
    ttl_s: float


@final
class MemoryStore:
    """Shared state that only this process has; see `Store` for what its calls promise."""

    kind = "memory"

    def __init__(self) -> None:
        """Start empty."""
        self._windows: dict[str, Window] = {}
        self._workers: dict[str, _Applied] = {}
        self._people: dict[str, Person] = {}
        self._seen: dict[str, tuple[float, float]] = {}
        self._leases: dict[str, _Lease] = {}
        self._board: dict[str, Published] = {}
        self._boxes: dict[str, deque[bytes]] = {}

    async def merge(self, merge: Merge) -> Merged:
        """See `Store.merge`."""
        time = merge.time
        last = self._workers.get(merge.worker)
        if last is None or merge.sequence > last.sequence:
            for counter, amount in merge.deltas.items():
                window = self._windows.pop(counter, None) or Window(merge.spans[counter])
                window.add(amount, time=time)
                self._windows[counter] = window
            last = _Applied(merge.sequence, time)
        self._workers[merge.worker] = _Applied(last.sequence, time)
        for worker in [worker for worker, one in self._workers.items() if abs(time - one.time) >= REPEAT_S]:
            del self._workers[worker]
        _forget(self._windows, lambda window: not window.total(time))
        totals = {counter: self._windows[counter].total(time) for counter in merge.spans if counter in self._windows}
        workers = sum(abs(time - one.time) < WORKER_S for one in self._workers.values())
        return Merged(totals={**dict.fromkeys(merge.spans, 0.0), **totals}, workers=workers)

    async def reserve(self, user: str, page: str, wants: Sequence[Want], *, time: float, hold_s: float) -> list[int]:
        """See `Store.reserve`."""
        person = self._people.pop(user, None) or Person()
        granted = person.reserve(page, wants, time=time, hold_s=hold_s)
        self._people[user] = person
        _forget(self._people, lambda person: person.until <= time)
        return granted

    async def settle(self, pages: Sequence[Took]) -> list[bool]:
        """See `Store.settle`."""
        for took in pages:
            if took.untold:
                await self.reserve(took.user, took.page, took.untold, time=took.time, hold_s=took.hold_s)
            if took.user in self._people:
                self._people[took.user].settle(took.page, took.used)
        return [True] * len(pages)

    async def confirm(self, user: str, page: str, counter: str, *, time: float) -> bool:
        """See `Store.confirm`."""
        return user in self._people and self._people[user].confirm(page, counter, time=time)

    async def fresh(self, keys: Sequence[str], *, time: float, keep_s: float) -> list[bool]:
        """See `Store.fresh`."""
        found: list[bool] = []
        for key in keys:
            seen, kept_s = self._seen.pop(key, (time, 0.0))
            found.append(abs(time - seen) >= kept_s)
            self._seen[key] = (time, keep_s) if found[-1] else (seen, kept_s)
            _forget(self._seen, lambda one: abs(time - one[0]) >= one[1])
        return found

    async def lease(self, name: str, owner: str, *, time: float, ttl_s: float) -> int | None:
        """See `Store.lease`."""
        held = self._leases.get(name, _Lease("", 0, time, 0.0))
        if owner != held.owner and abs(time - held.time) < held.ttl_s:
            return None
        fence = held.fence + (owner != held.owner)
        self._leases[name] = _Lease(owner, fence, time, ttl_s)
        return fence

    async def publish(self, name: str, body: bytes, *, fence: int, time: float) -> bool:
        """See `Store.publish`."""
        last = self._board.get(name)
        if last is not None and last.fence > fence:
            return False
        version = 1 if last is None else last.version + 1
        self._board[name] = Published(fence=fence, version=version, time=time, body=body)
        return True

    async def read(self, name: str) -> Published | None:
        """See `Store.read`."""
        return self._board.get(name)

    async def post(self, box: str, letters: Sequence[bytes], *, most: int) -> int:
        """See `Store.post`."""
        inside = self._boxes.setdefault(box, deque())
        fitting = letters[: max(most - len(inside), 0)]
        inside.extend(fitting)
        return len(letters) - len(fitting)

    async def take(self, box: str, most: int) -> list[bytes]:
        """See `Store.take`."""
        inside = self._boxes.get(box, deque())
        return [inside.popleft() for _ in range(min(most, len(inside)))]

    async def close(self) -> None:
        """See `Store.close`; what it held stays until the process ends."""


def _forget(records: dict[str, _Record], over: Callable[[_Record], bool]) -> None:
    """Look at the two oldest records: drop them if they are over, else put them behind the others."""
    for key in list(zip(records, range(2), strict=False)):
        record = records.pop(key[0])
        if not over(record):
            records[key[0]] = record
