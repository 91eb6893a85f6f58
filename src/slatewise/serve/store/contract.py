"""Store: what the service asks of the place where it keeps shared state.

Every call is one atomic step. None of them is on the way of a request but `reserve`, and that only where a policy has
caps of users. What fails raises `StoreError`; whoever calls goes on without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class StoreError(Exception):
    """The store did not answer, or not in time; nothing is known of what it did."""


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

    async def merge(self, merge: Merge) -> Mapping[str, float]:
        """Add counts, and return what every counter in `spans` holds now, over all workers, this merge included."""
        ...

    async def reserve(self, user: str, page: str, wants: Sequence[Want], *, time: float, hold_s: float) -> list[int]:
        """Take from a user's caps, all in one step, and return what each want was granted.

        The same page asked again is granted the same. What is not confirmed within `hold_s` is given back.
        """
        ...

    async def settle(self, user: str, page: str, used: Mapping[str, int], *, time: float) -> None:
        """Say what a page really took: the rest of what it had reserved is given back."""
        ...

    async def confirm(self, user: str, page: str, counter: str, *, time: float) -> bool:
        """Count one item as shown, also late; return whether it was not counted before in full."""
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
