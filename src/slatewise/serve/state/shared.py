"""Shared: what this process knows of what all processes must remember, and how it is kept up to date.

Caps over all users and what control loops remember are read from memory; a task beside the requests merges several
times a second. Only for caps of users the store is asked on the way of a request, once for all of them, and no longer
than there is time; if it does not answer, the page is granted what this process knows of, or nothing, as each cap says.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from math import ceil, floor, inf
from time import monotonic, time
from typing import Annotated, NamedTuple, TypeAlias, final
from uuid import uuid4

import msgspec
from msgspec import Meta

from slatewise.core.caps import asked
from slatewise.core.control import Control
from slatewise.core.errors import RequestError
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.serving import Cap
from slatewise.serve.http.replies import Freshness
from slatewise.serve.state.caps import counter, span_of, takes, want
from slatewise.serve.state.counts import Counts
from slatewise.serve.state.store.breaker import Breaker
from slatewise.serve.state.store.contract import StoreError, Took, UndoneError, Want
from slatewise.serve.state.store.memory import MemoryStore
from slatewise.serve.state.windows import Window

UNBOUNDED = 2**31
"""A cap that grants everything: what was served while the store could not be asked is told to it so."""

AT_ONCE = 64
"""Pages that tell the store what they took in one call: a server does nothing else for a millisecond or two."""

MOST = 65_536
"""Counters of users, and pages, that a process keeps in mind for the time that the store cannot be asked."""

_Rows: TypeAlias = dict[str, int]
_Granted: TypeAlias = Mapping[str, Mapping[str, int]]


class Remembered(NamedTuple):
    """What a page is composed with.

    Attributes:
        control: What control loops remember; None if the policy has none, or they are at their start.
        version: Version of that.
        state: How fresh it is.
        age_ms: How old it is.
    """

    control: Control | None = None
    version: int = 0
    state: Freshness = "fresh"
    age_ms: float = 0.0


class Steered(NamedTuple):
    """What the control loops of a policy remember, as it was published.

    Attributes:
        control: What they remember.
        version: Its version.
        time: When it was published, in seconds of the time that people have.
    """

    control: Control
    version: int
    time: float


class Syncing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this process keeps up with the others.

    Attributes:
        every_s: Seconds between two merges.
        stale_s: Seconds without an answer after which a worker spends only its share.
        workers: Workers that there are at least.
        queue: Pages that may wait to tell the store what they took.
    """

    every_s: Annotated[float, Meta(gt=0, le=60)] = 0.1
    stale_s: Annotated[float, Meta(gt=0, le=3_600)] = 0.5
    workers: Annotated[int, Meta(ge=1)] = 1
    queue: Annotated[int, Meta(ge=1)] = 10_000


@final
class Shared:
    """The state of one process.

    Attributes:
        store: Where it is shared.
        control: Hash of a policy to what its control loops remember; whoever runs the loops sets it.
        forgotten: Pages that did not tell the store what they took, as the queue was full; their holds run out.
        alone: Pages whose caps of users were granted without the store.
    """

    def __init__(
        self,
        store: Breaker | None = None,
        *,
        worker: str = "",
        syncing: Syncing | None = None,
        clock: Callable[[], float] = monotonic,
        today: Callable[[], float] = time,
    ) -> None:
        """Start with nothing known.

        Args:
            store: Where state is shared; the memory of this process if not given.
            worker: Name of this process, which no other has and no earlier one had; a random one if not given.
            syncing: How it keeps up with the others.
            clock: A monotonic clock, in seconds.
            today: The time that people have, in seconds.
        """
        self.store = store or Breaker(MemoryStore(), clock=clock)
        self.control: dict[str, Steered] = {}
        self.forgotten = 0
        self.alone = 0
        self._syncing = syncing or Syncing()
        self._clock, self._today = clock, today
        self._started = clock()
        stale_s = inf if self.store.kind == "memory" else self._syncing.stale_s
        self._counts = Counts(worker or uuid4().hex, stale_s=stale_s, workers=self._syncing.workers)
        self._taken: deque[Took] = deque()
        self._local: dict[str, Window] = {}
        self._untold: dict[str, dict[str, Want]] = {}

    def recall(self, policy: Policy) -> Remembered:
        """Return what is known now; it never waits."""
        steered = self.control.get(policy.hash) if self.control else None
        state, age_s = self._freshness()
        if steered is None:
            return Remembered(None, 0, state, age_s * 1e3)
        return Remembered(steered.control, steered.version, state, age_s * 1e3)

    async def granted(self, policy: Policy, request: Request, page: str, *, left_s: float) -> _Granted:
        """Return what the policy's caps allow this page; the store is asked only for caps of users.

        A cap that would let every row be shown is left out; of one that binds, a value that is not there has nothing.

        Args:
            policy: The policy.
            request: The request.
            page: Name of the page; the same page is granted the same.
            left_s: Time that is left for it.

        Raises:
            RequestError: A policy with caps of users is asked by nobody, or by a request without a name.
        """
        granted: dict[str, Mapping[str, int]] = {}
        of_user: list[tuple[Cap, _Rows]] = []
        if not policy.head.serve.caps:
            return granted
        slots = policy.head.slots if request.slots is None else request.slots
        for cap in policy.head.serve.caps:
            rows = {value: min(many, slots) for value, many in asked(cap, request.candidates).items()}
            if cap.scope == "user":
                of_user.append((cap, rows))
            else:
                _bind(granted, cap, rows, [self._room(cap, value, many) for value, many in rows.items()])
        if of_user:
            await self._ask(granted, of_user, request, page, hold_s=policy.head.serve.hold_s, left_s=left_s)
        return granted

    def served(self, policy: Policy, request: Request, page: Page, token: str) -> None:
        """Take note of a page that was served: what it counts, and what it did not take of what it was granted."""
        if not policy.head.serve.caps:
            return
        now, used = self._today(), Counter[str]()
        for take in takes(policy, request, page.slate.rows):
            if take.cap.scope == "user":
                used[take.counter] += 1
            elif take.cap.counts == "served":
                self.count(take.counter, 1.0, time=now)
        if any(cap.scope == "user" for cap in policy.head.serve.caps):
            for name, items in used.items():
                self._window(request.user, name).add(items, time=now)
            untold = self._untold.pop(token, {})
            said = [msgspec.structs.replace(untold[name], wanted=items) for name, items in used.items() if untold]
            hold_s = policy.head.serve.hold_s
            self._enqueue(Took(user=request.user, page=token, used=used, time=now, untold=said, hold_s=hold_s))

    def count(self, counter: str, amount: float, *, time: float) -> None:
        """Count what pages or events did, under a counter that all workers share; what is over is not counted."""
        if self._today() - time <= span_of(counter):
            self._counts.add(counter, amount, time=time, now=self._clock())

    async def run(self) -> None:
        """Keep up with the others until cancelled; what is still here is sent then."""
        try:
            while True:
                began = self._clock()
                await self.sync()
                await asyncio.sleep(max(self._syncing.every_s - (self._clock() - began), 0.0))
        except asyncio.CancelledError:
            await self.flush()
            raise

    async def flush(self) -> None:
        """Send all that is left, as long as the store answers."""
        with suppress(StoreError):
            for _ in range(2):  # the merge that was under way, and what was counted since
                await self._merge()
            for _ in range(ceil(len(self._taken) / AT_ONCE)):
                with suppress(UndoneError):  # of all of these; others may be taken
                    await self._tell()

    async def sync(self) -> None:
        """Merge once, and tell the store what pages took; if it does not answer, all of it waits for the next time."""
        with suppress(StoreError):
            await self._merge()
            until = self._clock() + self._syncing.every_s  # the next merge does not wait for a long queue
            while self._taken and self._clock() < until and await self._tell():
                pass

    async def _merge(self) -> None:
        merge = self._counts.sent(time=self._today(), now=self._clock())
        try:
            merged = await self.store.merge(merge)
        except UndoneError:
            self._counts.returned()
            raise
        self._counts.landed(merged, now=self._clock())

    async def _tell(self) -> bool:
        """Tell the store what the oldest pages took; those that it refuses wait again. Tell if there are none."""
        telling = list(islice(self._taken, AT_ONCE))
        try:
            done = await self.store.settle(telling)
        except UndoneError:
            self._taken.rotate(-len(telling))  # so that they keep no others waiting
            raise
        for _ in telling:
            self._taken.popleft()
        self._taken.extend(one for one, there in zip(telling, done, strict=True) if not there)
        return all(done)

    async def _ask(
        self,
        granted: dict[str, Mapping[str, int]],
        of_user: Sequence[tuple[Cap, _Rows]],
        request: Request,
        page: str,
        *,
        hold_s: float,
        left_s: float,
    ) -> None:
        for field, given in (("user", request.user), ("request_id", request.id)):
            if not given:
                hint = "the policy caps what each user is shown, and counts a page once"
                raise RequestError(field, "must be given", "nothing", hint)
        wants = [want(cap, value, many) for cap, rows in of_user for value, many in rows.items()]
        if not wants:
            return
        try:
            answer = await self.store.reserve(
                request.user, page, wants, time=self._today(), hold_s=hold_s, left_s=left_s
            )
            answered = True
        except StoreError:
            answer, answered = self._by_itself(request.user, page, wants), False
        place = 0
        for cap, rows in of_user:
            shares = answer[place : place + len(rows)]
            place += len(rows)
            _bind(granted, cap, rows, shares if answered or cap.failing == "open" else [0] * len(rows))

    def _by_itself(self, user: str, page: str, wants: Sequence[Want]) -> list[int]:
        """Return what wants are granted by what this process knows of, and keep in mind that the store was not told."""
        self.alone += 1
        self._untold[page] = {one.counter: msgspec.structs.replace(one, at_most=UNBOUNDED) for one in wants}
        for oldest in list(islice(self._untold, max(len(self._untold) - MOST, 0))):
            del self._untold[oldest]
        now = self._today()
        return [max(min(one.wanted, one.at_most - floor(self._seen(user, one.counter, now))), 0) for one in wants]

    def _room(self, cap: Cap, value: str, rows: int) -> int:
        if cap.failing == "closed" and self._freshness()[0] == "local":
            return 0
        room = self._counts.room(counter(cap, value), cap.at_most, time=self._today(), now=self._clock())
        return rows * (room > 0) if cap.counts == "spend" else max(min(floor(room), rows), 0)

    def _freshness(self) -> tuple[Freshness, float]:
        if self.store.kind == "memory":
            return "fresh", 0.0
        now = self._clock()
        age_s = now - max(self._counts.told, self._started)
        if self._counts.told == -inf or age_s > self._syncing.stale_s:
            return "local", age_s
        return ("fresh" if age_s <= 3 * self._syncing.every_s else "stale"), age_s

    def _seen(self, user: str, counter: str, time: float) -> float:
        window = self._local.get(f"{user}\0{counter}")
        return 0.0 if window is None else window.total(time)

    def _window(self, user: str, counter: str) -> Window:
        key = f"{user}\0{counter}"
        window = self._local.pop(key, None) or Window(float(counter.partition("/")[0]))
        self._local[key] = window
        if len(self._local) > MOST:
            del self._local[next(iter(self._local))]
        return window

    def _enqueue(self, taken: Took) -> None:
        if len(self._taken) >= self._syncing.queue:
            self.forgotten += 1
        else:
            self._taken.append(taken)


def _bind(granted: dict[str, Mapping[str, int]], cap: Cap, rows: _Rows, shares: Sequence[int]) -> None:
    """Note what a cap grants, unless that is all."""
    if any(share < many for share, many in zip(shares, rows.values(), strict=True)):
        granted[cap.name] = {value: share for value, share in zip(rows, shares, strict=True) if share}
