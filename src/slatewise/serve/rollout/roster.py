"""Roster: what each process of a service serves, as they say themselves, so that a split fleet is seen.

Each process writes its own line into what it reads, at every look. Two that write at the same moment lose a line, which
is back at the next look; so a process counts as gone only after it missed several.
"""

from __future__ import annotations

from typing import final

import msgspec

from slatewise.serve.rollout.record import Record
from slatewise.serve.state.store.contract import Store

ROSTER = "workers"
"""Name under which it is published."""
GONE = 10
"""Looks that a process may miss before it is taken for gone."""


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What a process serves.

    Attributes:
        worker: Its name.
        active: Hash of the policy.
        canary: Hash of the canary; None if there is none.
        time: When it said so, in seconds.
        fault: Why it does not serve what it should; empty if it does.
    """

    worker: str
    active: str
    canary: str | None = None
    time: float
    fault: str = ""


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies of a service.

    Attributes:
        record: What is to be served, and how that came about.
        workers: What each process serves.
        split: Whether some process serves otherwise.
    """

    record: Record
    workers: tuple[Worker, ...]
    split: bool


@final
class Roster:
    """The processes that were heard of lately."""

    def __init__(self, every_s: float) -> None:
        """Start with none; all look every so many seconds."""
        self._every_s = every_s
        self._known: tuple[Worker, ...] = ()

    def with_own(self, own: Worker) -> tuple[Worker, ...]:
        """Return all processes by name, with what this one says now."""
        others = (one for one in self._known if one.worker != own.worker)
        return tuple(sorted((*others, own), key=lambda one: one.worker))

    async def tell(self, store: Store, own: Worker) -> None:
        """Say what this process serves, and hear what the others do.

        Raises:
            StoreError: The store did not answer.
        """
        found = await store.read(ROSTER)
        known = () if found is None else msgspec.json.decode(found.body, type=tuple[Worker, ...])
        gone = own.time - GONE * self._every_s
        self._known = tuple(one for one in known if one.time > gone)
        await store.publish(ROSTER, msgspec.json.encode(self.with_own(own)), fence=0, time=own.time)
