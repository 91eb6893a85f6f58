"""Breaker: a store that fails fast, so that none that is slow, hung or gone costs a request more than it may.

    closed --(failures in a row, within a while)--> open --(a while)--> one call tries --> closed, or open again

Every call has a time limit, and there are only so many at once. An answer ends the row, so a store that is late now and
then is not left alone for it. A call that no request waits for and that runs out of time counts as two failures, as
there are few of them; a call that is turned away counts as none. Nothing is tried again here. Whether an open breaker
may close is tried by a call beside the requests: what a request waits for is turned away until then.

A process that is busy is not a store that is late: an answer that is there when its time is over is taken, although
nobody had come to read it.

References:
    Nygard (2018), "Release It!", 2nd ed., section 5.2, "Circuit breaker".
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from typing import Annotated, Any, Literal, TypeVar, final

import msgspec
from msgspec import Meta

from slatewise.serve.state.store.contract import Merge, Merged, Published, Store, StoreError, Took, UndoneError, Want

PASSES = 4
"""Passes of the event loop in which an answer that is there is read: poll, take, parse, return."""

log = logging.getLogger("slatewise.serve")

_Answer = TypeVar("_Answer")
_Seconds = Annotated[float, Meta(gt=0, le=60)]
_Number = Annotated[int, Meta(ge=1)]


class Patience(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a store may take before it is left alone.

    Attributes:
        reserve_s: Time for `reserve`, which a request waits for, in seconds.
        call_s: Time for any other call, in seconds.
        failures: Failures in a row that open the breaker; any call but `reserve` that is out of time counts as two.
        within_s: Within so many seconds.
        probe_s: Seconds after which an open breaker lets one call through, unless a request waits for it.
        at_once: Calls that may be under way at once: so many that requests wait for, and so many others. A crowd of
            requests does not keep what they took from being told.
    """

    reserve_s: _Seconds = 0.010
    call_s: _Seconds = 0.250
    failures: _Number = 5
    within_s: _Seconds = 1.0
    probe_s: _Seconds = 1.0
    at_once: _Number = 16


@final
class Breaker:
    """A store behind a breaker; see `Store` for its calls. All raise `StoreError` in time.

    Attributes:
        kind: Kind of the store.
        state: `closed` (calls go through), `open` (none does), or `trying` (one does).
        calls: Calls that went through.
        failed: Of these, calls that failed.
        late: Of these, calls that ran out of time.
        turned_away: Calls that did not go through, as it was open.
        crowded: Calls that did not go through, as there were too many.
        opened: Times that it opened after it had been closed.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float], patience: Patience | None = None) -> None:
        """Start closed; `clock` is monotonic, in seconds."""
        self.kind = store.kind
        self.state: Literal["closed", "open", "trying"] = "closed"
        self.calls = self.failed = self.late = self.turned_away = self.crowded = self.opened = 0
        self._store = store
        self._clock = clock
        self._patience = patience or Patience()
        self._failures: deque[float] = deque()
        self._until = -inf
        self._under_way = {True: 0, False: 0}

    async def merge(self, merge: Merge) -> Merged:
        """See `Store.merge`."""
        return await self._through(self._store.merge(merge))

    async def reserve(
        self, user: str, page: str, wants: Sequence[Want], *, time: float, hold_s: float, left_s: float = inf
    ) -> list[int]:
        """See `Store.reserve`; it takes no longer than `left_s`."""
        call = self._store.reserve(user, page, wants, time=time, hold_s=hold_s)
        return await self._through(call, min(self._patience.reserve_s, left_s))

    async def settle(self, pages: Sequence[Took]) -> list[bool]:
        """See `Store.settle`."""
        return await self._through(self._store.settle(pages))

    async def confirm(self, user: str, page: str, counter: str, *, time: float) -> bool:
        """See `Store.confirm`."""
        return await self._through(self._store.confirm(user, page, counter, time=time))

    async def fresh(self, keys: Sequence[str], *, time: float, keep_s: float) -> list[bool]:
        """See `Store.fresh`."""
        return await self._through(self._store.fresh(keys, time=time, keep_s=keep_s))

    async def lease(self, name: str, owner: str, *, time: float, ttl_s: float) -> int | None:
        """See `Store.lease`."""
        return await self._through(self._store.lease(name, owner, time=time, ttl_s=ttl_s))

    async def publish(self, name: str, body: bytes, *, fence: int, time: float) -> bool:
        """See `Store.publish`."""
        return await self._through(self._store.publish(name, body, fence=fence, time=time))

    async def read(self, name: str) -> Published | None:
        """See `Store.read`."""
        return await self._through(self._store.read(name))

    async def post(self, box: str, letters: Sequence[bytes], *, most: int) -> int:
        """See `Store.post`."""
        return await self._through(self._store.post(box, letters, most=most))

    async def take(self, box: str, most: int) -> list[bytes]:
        """See `Store.take`."""
        return await self._through(self._store.take(box, most))

    async def close(self) -> None:
        """See `Store.close`."""
        await self._store.close()

    async def _through(self, call: Coroutine[Any, Any, _Answer], limit_s: float | None = None) -> _Answer:
        self._admit(call, limit_s)
        awaited = limit_s is not None
        self._under_way[awaited] += 1
        self.calls += 1
        trying = self.state == "trying"
        try:
            answer = await _within(call, self._patience.call_s if limit_s is None else limit_s)
        except TimeoutError:
            self.late += 1
            self._fail(2 if limit_s is None else 1, f"{self.kind}: no answer in time")
            raise StoreError("the store did not answer in time") from None
        except StoreError as error:
            self._fail(1, str(error))
            raise
        except BaseException:  # cancelled: nothing was learned
            if trying and self.state == "trying":
                self.state = "open"
            raise
        finally:
            self._under_way[awaited] -= 1
        self._failures.clear()
        if self.state == "trying" and trying:
            self.state = "closed"
            log.info("the store answers again")
        return answer

    def _admit(self, call: Coroutine[Any, Any, Any], limit_s: float | None) -> None:
        """Raise if the call may not go through; an open breaker lets one without a request through to try."""
        if limit_s is None and self.state == "open" and self._clock() >= self._until:
            self.state = "trying"
            return
        if self.state != "closed":
            self.turned_away += 1
            call.close()
            raise UndoneError("the store is left alone for a while")
        if self._under_way[limit_s is not None] >= self._patience.at_once:
            self.crowded += 1
            call.close()
            raise UndoneError("too many calls of the store are under way")

    def _fail(self, weight: int, why: str) -> None:
        now = self._clock()
        self.failed += 1
        self._failures.extend([now] * weight)
        while self._failures and self._failures[0] <= now - self._patience.within_s:
            self._failures.popleft()
        if self.state == "trying" or (self.state == "closed" and len(self._failures) >= self._patience.failures):
            if self.state == "closed":
                self.opened += 1
                pause = self._patience.probe_s
                log.warning("the store is left alone, and tried again every %g s: %s", pause, why)
            self.state = "open"
            self._until = now + self._patience.probe_s


async def _within(call: Coroutine[Any, Any, _Answer], limit_s: float) -> _Answer:
    """Return what a call returns, if it does in time, or if its answer came in time and was not read yet."""
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait((task,), timeout=max(limit_s, 0.0))
        for _ in range(PASSES):
            if not task.done():
                await asyncio.sleep(0)
    finally:
        if not task.done():
            task.cancel()
    if task.cancelled() or not task.done():
        raise TimeoutError
    return task.result()
