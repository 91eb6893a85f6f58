"""Steering: what pages of a policy go by, as one worker knows it, and the letters and records that workers exchange.

What loops remember is published as a snapshot with a version, and read by every worker. A ledger travels as a letter,
numbered by its worker: a letter that comes twice counts once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple, final

import msgspec

from slatewise.core.control import Control
from slatewise.core.ledger import Ledger
from slatewise.feed import Feed

MOST_WORKERS = 1_024
"""Workers of whom the last letter is remembered, at most."""
STEPS = 8
"""Steps in which memories fade."""

log = logging.getLogger("slatewise.serve")


class Pulse(NamedTuple):
    """When loops do what.

    Attributes:
        window_s: Length of a control window.
        lease_s: How long a leader holds its lease without renewing it, once per window.
        fade_s: How long everything stays as it was while nothing is heard.
        over_s: Over which time it then fades to neutral.
    """

    window_s: float = 1.0
    lease_s: float = 4.0
    fade_s: float = 10.0
    over_s: float = 60.0

    def faded(self, silent_s: float) -> float:
        """Return how far memories have faded, in eighths.

        >>> [Pulse(fade_s=10.0, over_s=80.0).faded(silent_s) for silent_s in (-5.0, 19.9, 20.0, 1_000.0)]
        [0.0, 0.0, 0.125, 1.0]
        """
        return min(max(silent_s - self.fade_s, 0.0) / self.over_s * STEPS // 1, STEPS) / STEPS


class Snapshot(msgspec.Struct, frozen=True):
    """What loops remember, as it is published.

    Attributes:
        version: Its version.
        control: As `Control.snapshot` has it.
    """

    version: int
    control: str


class Letter(msgspec.Struct, frozen=True):
    """A ledger on its way to the leader.

    Attributes:
        worker: Who made it.
        number: Its number, rising.
        ledger: The ledger, of one entry at least.
    """

    worker: str
    number: int
    ledger: Ledger


_LETTER = msgspec.json.Decoder(Letter)
_SNAPSHOT = msgspec.json.Decoder(Snapshot)


@final
class Followed:
    """The loops of a policy, as a worker knows them.

    Attributes:
        feed: The policy at work.
        name: Of its record, its lease and its box.
        control: What loops remember.
        version: Its version; 0 before anything was published.
        heard: When they were last heard of, in seconds.
        body: The last record.
        seen: Fence and version under which the store has it.
        posted: The last window that was posted.
        led: The last window in which the lease was asked for.
        letters: What is to be posted.
        numbers: Worker to the number of its last letter.
        last: What pages went by last: a memory, how far it has faded, and what became of it.
    """

    def __init__(self, feed: Feed, control: Control, now: float) -> None:
        self.feed = feed
        self.name = f"loops:{feed.policy.hash}"
        self.control = control
        self.version = 0
        self.heard = now
        self.body = b""
        self.seen: tuple[int, int] | None = None
        self.posted = self.led = -1
        self.letters: list[bytes] = []
        self.numbers: dict[str, int] = {}
        self.last = (control, 0.0, control)

    def adopt(self, body: bytes) -> None:
        """Go on with what a record says."""
        if body != self.body:
            said = _SNAPSHOT.decode(body)
            self.control, self.version, self.body = self.feed.restore(said.control), said.version, body

    def faded(self, share: float) -> Control:
        """Return what pages go by after loops were not heard from: all of it (0), their start (1), or between."""
        found = self.control.memories
        stages = [stage for stage in self.feed.policy.controllers if stage.section in found]
        return Control({stage.section: stage.faded(found[stage.section], share) for stage in stages})

    def record(self) -> bytes:
        """Return the record of what loops remember now."""
        return msgspec.json.encode(Snapshot(self.version, self.control.snapshot()))

    def moved(self, letters: Sequence[bytes]) -> Control:
        """Return what loops remember after some letters, each of which counts once."""
        found: list[Letter] = []
        for one in letters:
            try:
                letter = _LETTER.decode(one)
            except msgspec.MsgspecError as error:
                log.warning("a letter in %s cannot be read: %s", self.name, error)
                continue
            if letter.number > self.numbers.get(letter.worker, -1):
                self.numbers.pop(letter.worker, None)
                self.numbers[letter.worker] = letter.number
                found.append(letter)
        for worker in list(self.numbers)[:-MOST_WORKERS]:
            del self.numbers[worker]
        found.sort(key=lambda one: (one.ledger[0].time, one.ledger[0].request, one.worker, one.number))
        return self.feed.advance(self.control, [one.ledger for one in found])
