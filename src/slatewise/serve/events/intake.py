"""Intake: events are counted, each once, whatever the store of shared state does meanwhile.

    event -> page of ours? -> within the horizon? -> first time? -> caps of users confirmed, caps counted,
                                                                    outcome for control loops, event log

A page's token says what its events count for, so any worker can take them. Whether an event is told for the first time
is asked of the store, for all events of a body at once. While it does not answer, events wait in a bounded queue and
are asked for again by the same names; when the queue has no room for all events of a body, none of them is taken.

What an event adds to caps over all users counts from when it happened; what a user has seen, from when it was told, as
a store forgets by the time that it is given.

An event is counted at most once if the store said what it did. If it did not answer at all, it may have noted the event
or not; then the event is counted when it is asked for again, and twice at most, if it had been told before, too.

Cost: 10 us per event, and a call of the store per body; under caps of users another per event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import Literal, NamedTuple, Protocol, final

from slatewise.core.errors import RequestError
from slatewise.serve.events.events import Event, EventsReply, Uncounted
from slatewise.serve.events.seal import Claim, Seal
from slatewise.serve.log.decisions import Noted
from slatewise.serve.state.store.contract import Store, StoreError, UndoneError

LATE_S = 3_600.0
"""Age at which events are no longer counted, by default: an hour."""
AHEAD_S = 300.0
"""How far ahead of the service's clock that of a source may be; such events count as of now."""
CLOCKS_S = 60.0
"""How far apart clocks of workers may be."""
MOST_WAITING = 20_000
"""Events that wait for the store, at most."""
AT_ONCE = 500
"""Waiting events that are asked for with one call."""
RETRY_S = 1.0
"""Seconds between two tries."""


class Counts(Protocol):
    """Where caps over all users are counted."""

    def count(self, counter: str, amount: float, *, time: float) -> None:
        """Add to a counter."""
        ...


class Notes(Protocol):
    """Where events are logged."""

    def event(self, noted: Noted) -> None:
        """Take an event; it never waits."""
        ...


class Outcomes(Protocol):
    """Who learns what showing an item brought."""

    def outcome(self, page: str, item: str | int, amount: float) -> None:
        """Take note of it."""
        ...


class FullError(Exception):
    """There is no room for events while the store does not answer; none of them was taken.

    Attributes:
        retry_s: When they may be told again, in seconds.
    """

    def __init__(self, retry_s: float = RETRY_S) -> None:
        """Say when."""
        super().__init__("events wait for the store of shared state, and there is no room for more")
        self.retry_s = retry_s


class Horizon(NamedTuple):
    """Which events count.

    Attributes:
        late_s: Age at which they no longer do.
        ahead_s: How far ahead of the service's clock a source's may be.
        most: Events that wait for the store, at most.
    """

    late_s: float = LATE_S
    ahead_s: float = AHEAD_S
    most: int = MOST_WAITING

    @property
    def keep_s(self) -> float:
        """How long names of events are remembered: no event still counts after that, so none counts twice."""
        return self.late_s + self.ahead_s + CLOCKS_S


@dataclass(slots=True)
class _Held:
    """An event on its way.

    Attributes:
        event: The event.
        claim: What its page's token says.
        time: When it happened, in seconds, not in the future.
        received: When it was told.
        fate: Whether it is still to be asked for, was counted, or had been told before.
        unsure: Whether the store may have noted it in a call that it did not answer.
        confirm: Counters of users' caps that it has to confirm still.
    """

    event: Event
    claim: Claim
    time: float
    received: float
    fate: Literal["asked", "counted", "repeated"] = "asked"
    unsure: bool = False
    confirm: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.fate != "asked" and not self.confirm


@final
class Intake:
    """Counts the events of one process.

    Attributes:
        accepted: Events that were counted.
        duplicates: Events that had been told before.
        late: Events whose time is outside the horizon.
        unknown: Events about pages that are none of the service's.
    """

    def __init__(
        self,
        *,
        seal: Seal,
        store: Store,
        counts: Counts,
        notes: Notes,
        outcomes: Outcomes | None = None,
        horizon: Horizon | None = None,
        today: Callable[[], float] = time,
    ) -> None:
        """Put the parts together; `today` is the time that people have, in seconds."""
        self.accepted = self.duplicates = self.late = self.unknown = 0
        self._seal = seal
        self._store = store
        self._counts = counts
        self._notes = notes
        self._outcomes = outcomes
        self._horizon = horizon or Horizon()
        self._today = today
        self._waiting: deque[_Held] = deque()
        self._names: set[str] = set()

    @property
    def waiting(self) -> int:
        """Events that the store has not answered for."""
        return len(self._names)

    async def take(self, events: Sequence[Event]) -> EventsReply:
        """Count some events, and return what became of them.

        Raises:
            FullError: The store does not answer and the queue is full; none of them was taken.
        """
        now = self._today()
        told = self._told(events, now)
        if len(self._names) + len(told.new) > self._horizon.most:
            raise FullError
        for one in told.late:
            self._note(one, "late")
        for one in told.repeated:
            self._repeat(one)
        self.late += len(told.late)
        self.unknown += len(told.uncounted) - len(told.late)
        self._names.update(one.event.key for one in told.new)
        await self._settle(told.new)
        repeated = sum(one.fate == "repeated" for one in told.new)
        return EventsReply(
            accepted=len(told.new) - repeated,
            duplicates=len(told.repeated) + repeated,
            late=len(told.late),
            unknown=len(told.uncounted) - len(told.late),
            waiting=sum(one.fate == "asked" for one in told.new),
            uncounted=tuple(told.uncounted),
        )

    async def run(self) -> None:
        """Ask again for events that wait, until cancelled."""
        while True:
            await asyncio.sleep(RETRY_S)
            await self.retry()

    async def retry(self) -> None:
        """Ask once for all events that wait, oldest first, until the store does not answer."""
        for _ in range(-(-len(self._waiting) // AT_ONCE)):
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            await self._settle(some)
            if not all(one.done for one in some):
                return

    def _told(self, events: Sequence[Event], now: float) -> _Told:
        """Sort events by what can be said of them without the store."""
        told = _Told([], [], [], [])
        claims: dict[str, Claim | None] = {}
        names: set[str] = set()
        for place, event in enumerate(events):
            if event.page not in claims:
                claims[event.page] = self._claim(event.page, now)
            claim, age = claims[event.page], now - event.seconds
            if claim is None:
                told.uncounted.append(Uncounted(place=place, id=event.id, why="unknown"))
                continue
            one = _Held(event, claim, time=min(event.seconds, now), received=now)
            if not -self._horizon.ahead_s <= age <= self._horizon.late_s:
                told.uncounted.append(Uncounted(place=place, id=event.id, why="late"))
                told.late.append(one)
            elif event.key in names or event.key in self._names:
                told.repeated.append(one)
            else:
                told.new.append(one)
                names.add(event.key)
        return told

    def _claim(self, token: str, now: float) -> Claim | None:
        try:
            return self._seal.read(token, now=now)
        except RequestError:
            return None

    async def _settle(self, held: Sequence[_Held]) -> None:
        """Take events as far as the store lets them go; those that are not done wait."""
        try:
            asked = [one for one in held if one.fate == "asked"]
            if asked:
                await self._ask(asked)
            for one in held:
                while one.confirm:
                    await self._store.confirm(one.claim.user, one.claim.page, one.confirm[0], time=self._today())
                    one.confirm = one.confirm[1:]
        except StoreError:
            pass  # who did not get through waits, and `waiting` counts it
        finally:
            self._waiting.extend(one for one in held if not one.done)
            self._names.difference_update(one.event.key for one in held if one.done)

    async def _ask(self, asked: Sequence[_Held]) -> None:
        """Ask which of some events are told for the first time, and count those."""
        keys = [one.event.key for one in asked]
        try:
            found = await self._store.fresh(keys, time=self._today(), keep_s=self._horizon.keep_s)
        except UndoneError:
            raise
        except StoreError:
            for one in asked:
                one.unsure = True
            raise
        for one, fresh in zip(asked, found, strict=True):
            if fresh or one.unsure:
                self._count(one)
            else:
                self._repeat(one)

    def _count(self, one: _Held) -> None:
        event, claim, item = one.event, one.claim, one.event.item_id
        one.fate = "counted"
        self.accepted += 1
        if item is not None and event.type != "engagement":
            amount = 1.0 if event.amount is None else event.amount
            for counter in claim.counts.get(event.type, {}).get(item, ()):
                self._counts.count(counter, amount, time=one.time)
        if item is not None and event.type == "impression":
            one.confirm = claim.takes.get(item, ())
        elif item is not None and self._outcomes is not None:
            self._outcomes.outcome(claim.page, item, 1.0 if event.amount is None else event.amount)
        self._note(one, "counted")

    def _repeat(self, one: _Held) -> None:
        one.fate = "repeated"
        self.duplicates += 1
        self._note(one, "repeated")

    def _note(self, one: _Held, counted: str) -> None:
        event, claim = one.event, one.claim
        self._notes.event(
            Noted(
                source=event.source,
                id=event.id,
                kind=event.type,
                time=event.seconds,
                received=one.received,
                page=event.page,
                request=claim.request,
                user=claim.user,
                item="" if event.item_id is None else str(event.item_id),
                slot=event.slot,
                amount=event.amount,
                counted=counted,
            )
        )


class _Told(NamedTuple):
    """Events by what can be said of them without the store."""

    new: list[_Held]
    repeated: list[_Held]
    late: list[_Held]
    uncounted: list[Uncounted]
