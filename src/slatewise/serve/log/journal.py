"""Journal: the decision log, written beside the requests.

    request  -> a queue, bounded in records and in bytes -> a thread -> segments in Parquet

A request adds a reference to the queue, or counts that it was dropped; it waits for nothing. The thread does the rest,
in small pieces between which it gives way, so that no page waits for the log. When the disk is full or gone, the
segment is kept and tried again, the queue fills up, and pages are dropped from the log; none is dropped from serving.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep, time
from typing import Annotated, final

import msgspec
from msgspec import Meta

from slatewise.core.errors import RequestError
from slatewise.core.policy import Policy
from slatewise.serve.log.decisions import Decision, Noted, arrow
from slatewise.serve.log.records import Recorder, Users, drawn
from slatewise.serve.log.segments import Segment, named, prune

Megabytes = Annotated[float, Meta(gt=0, le=1_000_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]

PAGE_BYTES, EVENT_BYTES = 16_384, 1_024
"""About what a page takes beside its body and the candidates made of it, and what an event takes."""
TICK_S = 0.25
"""The thread looks after the queue this often."""
GIVE_WAY_S = 2e-4
"""For so long the thread sleeps after every few records."""
AT_ONCE = 4
"""So many: for as long as they take, about 0.5 ms, a request may have to wait."""
PRUNED_EVERY = 8
"""After so many segments the folder is looked through for old ones."""
LONGEST_WAIT_S = 30.0
"""Between two attempts to write a segment."""

log = logging.getLogger("slatewise.serve.log.journal")


@final
class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the decision log is, and how large it may get.

    Attributes:
        folder: The folder; several processes may write to the same one.
        users: How users are logged: `plain`, `hashed` with the service's key, or `none`.
        segment_s: Seconds after which a segment is written.
        segment_mb: Size in memory at which it is written before that.
        queue: Most pages that wait to be written.
        queue_mb: Most that they may take.
        keep_mb: Most that all segments may take; the oldest go first.
        keep_days: Days after which a segment goes.
    """

    folder: Annotated[str, Meta(min_length=1)]
    users: Users = "plain"
    segment_s: Annotated[float, Meta(gt=0, le=86_400)] = 30.0
    segment_mb: Megabytes = 16.0
    queue: Count = 5_000
    queue_mb: Megabytes = 64.0
    keep_mb: Megabytes = 10_000.0
    keep_days: Annotated[float, Meta(gt=0, le=36_500)] = 30.0


@final
class Journal:
    """A bounded queue of decisions, and the thread that writes them; one thread offers them.

    Attributes:
        settings: Where and how much; None if there is no log.
        drops: Records that the log does not have, by reason: `queue` and `bytes` found the queue full, `record` fits no
            table, `closing` was not written in time at the end.
        failures: How often a segment could not be written.
        written: Records written.
    """

    def __init__(
        self,
        settings: LogSettings | None = None,
        *,
        key: bytes = b"",
        clock: Callable[[], float] = monotonic,
        today: Callable[[], float] = time,
    ) -> None:
        """Start the thread, if there is a log.

        Args:
            settings: Where and how much; None keeps no log.
            key: Of hashes of users.
            clock: A monotonic clock, in seconds.
            today: The clock that people have, in seconds.

        Raises:
            RequestError: The folder cannot be made, or pyarrow is not installed.
        """
        self.settings = settings
        self.drops: dict[str, int] = {"queue": 0, "bytes": 0, "record": 0, "closing": 0}
        self.failures = 0
        self.written = 0
        self._queue: deque[Decision | Noted] = deque()
        # Each of these two is counted by one thread only.
        self._put_bytes, self._taken_bytes = 0, 0
        self._clock, self._today = clock, today
        self._closing = threading.Event()
        self._wait_s, self._retry = 0.0, -inf
        self._thread: threading.Thread | None = None
        if settings is None:
            return
        if settings.users == "hashed" and not key:
            raise RequestError("log.users", "must have a key to be hashed with", "none")
        arrow()
        self._folder = Path(settings.folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError("log.folder", f"must be a folder ({error.strerror})", settings.folder) from None
        self._recorder = Recorder(settings.users, key=key)
        self._worker, self._sequence = token_hex(4), 0
        self._segments = Segment("decisions"), Segment("events")
        self._thread = threading.Thread(target=self._run, args=(settings,), name="decision log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Records that the log does not have, whatever the reason."""
        return sum(self.drops.values())

    @property
    def waiting(self) -> int:
        """Records in the queue."""
        return len(self._queue)

    def wants_trace(self, policy: Policy, name: str) -> bool:
        """Tell whether a page should be composed with a trace for the log, by the name that pages are sampled by."""
        shares = policy.head.serve.log
        if self.settings is None or not shares.traces:
            return False
        lots = drawn(name)
        return lots.traces < shares.traces and lots.pages < shares.pages

    def offer(self, decision: Decision) -> None:
        """Take a decision, or drop and count it; it never waits."""
        if self.settings is None:
            return
        share = decision.policy.head.serve.log.pages
        if share >= 1.0 or drawn(decision.name).pages < share:
            self._put(self.settings, decision, _size(decision))

    def event(self, noted: Noted) -> None:
        """Take an event, or drop and count it; it never waits."""
        if self.settings is not None:
            self._put(self.settings, noted, EVENT_BYTES)

    def close(self, *, within_s: float = 5.0) -> None:
        """Write what is still there, and count what could not be written in time."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.set()
            thread.join(within_s)
            self.drops["closing"] += len(self._queue) + sum(segment.rows for segment in self._segments)

    def _put(self, settings: LogSettings, one: Decision | Noted, size: int) -> None:
        if self._closing.is_set():
            self.drops["closing"] += 1
        elif len(self._queue) >= settings.queue:
            self.drops["queue"] += 1
        elif self._put_bytes - self._taken_bytes + size > settings.queue_mb * 1e6:
            self.drops["bytes"] += 1
        else:
            self._put_bytes += size
            self._queue.append(one)

    def _run(self, settings: LogSettings) -> None:
        """Write until the end; this is the thread."""
        while not self._closing.wait(min(settings.segment_s / 4, TICK_S)):
            self._take(settings)
            for segment in self._segments:
                self._rotate(segment, settings)
        self._retry = -inf
        self._take(settings)
        for segment in self._segments:
            self._write(segment, settings)

    def _take(self, settings: LogSettings) -> None:
        """Empty the queue into segments, as long as there is room for more."""
        for place in count(1):
            if not self._queue:
                return
            one = self._queue[0]
            segment = self._segments[isinstance(one, Noted)]
            if not self._rotate(segment, settings):
                return
            self._queue.popleft()
            self._taken_bytes += _size(one)
            try:
                record = self._recorder.event(one) if isinstance(one, Noted) else self._recorder.decision(one)
            except Exception:
                if not self.drops["record"]:
                    log.warning("a record of the decision log could not be made", exc_info=True)
                self.drops["record"] += 1
            else:
                segment.add(record, now=self._clock())
            if place % AT_ONCE == 0 and not self._closing.is_set():
                sleep(GIVE_WAY_S)

    def _rotate(self, segment: Segment, settings: LogSettings) -> bool:
        """Write a segment if it is time to; tell whether it has room."""
        full = segment.size >= settings.segment_mb * 1e6
        old = segment.rows > 0 and self._clock() - segment.since >= settings.segment_s
        return (self._write(segment, settings) if full or old else True) or not full

    def _write(self, segment: Segment, settings: LogSettings) -> bool:
        """Write a segment, unless that failed a short while ago; tell whether there is room again."""
        if not segment.rows:
            return True
        if self._clock() < self._retry:
            return False
        now, rows = self._today(), segment.rows
        self._sequence += 1
        try:
            lost = segment.write(self._folder, named(self._worker, self._sequence, now=now))
        except Exception:
            if not self._wait_s:
                log.warning("the decision log cannot be written, and is tried again", exc_info=True)
            self.failures += 1
            self._wait_s = min(max(2 * self._wait_s, 0.5), LONGEST_WAIT_S)
            self._retry = self._clock() + self._wait_s
            return False
        self._wait_s = 0.0
        self.drops["record"] += lost
        self.written += rows - lost
        if self._sequence % PRUNED_EVERY == 1:
            try:
                prune(self._folder, keep_mb=settings.keep_mb, keep_days=settings.keep_days, now=now)
            except OSError:
                log.warning("old segments of the decision log stay", exc_info=True)
        return True


def _size(one: Decision | Noted) -> int:
    """Return about how many bytes a record takes while it waits."""
    return EVENT_BYTES if isinstance(one, Noted) else 2 * len(one.body) + PAGE_BYTES
