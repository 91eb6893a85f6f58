"""Store: what the service asks of the place where it keeps shared state.

Every call is one atomic step. None of them is on the way of a request but `reserve`, and that only where a policy has
caps of users. What fails raises `StoreError`; whoever calls goes on without.

Every call that depends on time is given it, in seconds of the time that people have. Clocks of workers differ a little
and may jump: what lies further in the future than it may lie in the past is taken for an error of a clock, and is
over. Counts slide in twelfths of their span (`serve.windows`): what is older than the span and a twelfth of it never
counts, what is younger than the span always does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

LATE_S = 3_600.0
"""How long after its hold has ended an item of a page can still be confirmed, in seconds."""

WORKER_S = 10.0
"""How long after its last merge a worker counts as one of the workers, in seconds."""

REPEAT_S = 3_600.0
"""How long after its last merge a worker's merges are told from repeated ones, in seconds."""

MOST_PAGES = 128
"""Pages of a user that are remembered. One more takes the place of the oldest whose hold has ended; a user with so many
pages on hold is granted nothing more."""


class StoreError(Exception):
    """The store did not answer, or not in time; nothing is known of what it did."""


class UndoneError(StoreError):
    """The store was not reached, or it refused: it surely did nothing."""


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a worker that are to be added, once.

    Attributes:
        worker: Who counted.
        sequence: Number of this merge, rising; one that was applied before is not applied again.
        time: Clock of the worker, in seconds.
        deltas: Counter to what is to be added.
        spans: Counter to the length of its sliding window, in seconds; also of counters that are only read.
    """

    worker: str
    sequence: int
    time: float
    deltas: Mapping[str, float]
    spans: Mapping[str, float]


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge brought back.

    Attributes:
        totals: Counter to what it holds now, over all workers.
        workers: Workers that merged lately, this one included, >= 1.
    """

    totals: Mapping[str, float]
    workers: int


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What a page may take from a cap of its user.

    Attributes:
        counter: The cap and the value that it is counted by.
        wanted: Rows that could use it, >= 1.
        at_most: The cap.
        within_s: Its sliding span.
    """

    counter: str
    wanted: int
    at_most: int
    within_s: float


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """What a page really took.

    Attributes:
        user: Whose page.
        page: Its name.
        used: Counter to the items that it shows.
        time: When it was served, in seconds.
        untold: What it took of without having asked; that is reserved first.
        hold_s: How long that is on hold.
    """

    user: str
    page: str
    used: Mapping[str, int]
    time: float
    untold: Sequence[Want] = ()
    hold_s: float = 0.0


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A record that one worker writes and all read.

    Attributes:
        fence: Number of the lease under which it was written.
        version: Rises with every write.
        time: When it was written, by the clock of the writer.
        body: The record.
    """

    fence: int
    version: int
    time: float
    body: bytes


class Store(Protocol):
    """Where shared state is kept: `memory`, `sqlite` or `redis`."""

    kind: str

    async def merge(self, merge: Merge) -> Merged:
        """Add counts, and return what every counter in `spans` holds now, over all workers, this merge included."""
        ...

    async def reserve(self, user: str, page: str, wants: Sequence[Want], *, time: float, hold_s: float) -> list[int]:
        """Take from a user's caps, all in one step, and return what each want was granted.

        What is not confirmed within `hold_s` is given back. Until then the same page asked again is granted the same;
        once it is settled, what it really took.
        """
        ...

    async def settle(self, pages: Sequence[Took]) -> list[bool]:
        """Say what pages really took: the rest of what they had reserved is given back.

        Each page is a step of its own. The first word on it stands. Of one that the store does not know, and that has
        nothing untold, nothing is remembered. Returns which were done: one that the store refused does not keep others
        from being heard. It raises if it refused all.
        """
        ...

    async def confirm(self, user: str, page: str, counter: str, *, time: float) -> bool:
        """Count one item as shown, also up to `LATE_S` after its hold; return whether it was.

        It is not if the page took no more of the counter than was counted already, or if the store does not know it.
        """
        ...

    async def fresh(self, keys: Sequence[str], *, time: float, keep_s: float) -> list[bool]:
        """Tell of each key whether it was not seen within `keep_s`, and remember it."""
        ...

    async def lease(self, name: str, owner: str, *, time: float, ttl_s: float) -> int | None:
        """Take or renew a lease; return its fencing number, one more for each new holder; None if another has it."""
        ...

    async def publish(self, name: str, body: bytes, *, fence: int, time: float) -> bool:
        """Write a record; refused (False) if one was written under a higher fence."""
        ...

    async def read(self, name: str) -> Published | None:
        """Return a record."""
        ...

    async def post(self, box: str, letters: Sequence[bytes], *, most: int) -> int:
        """Put letters into a box, at most `most` in all; return how many did not fit."""
        ...

    async def take(self, box: str, most: int) -> list[bytes]:
        """Take letters out of a box, oldest first."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...
