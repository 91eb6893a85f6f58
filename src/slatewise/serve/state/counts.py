"""Counts: what this process has counted and what it knows of all others, without asking on the way of a request.

    estimate = merged + in flight + pending

What is counted is pending until the next merge takes it along; a merge that was not answered is sent again under the
same number, so that it is applied once. A cap that is kept by estimates may be exceeded by at most

    workers x rate of a worker x staleness

where a counter that is in use is as stale as the last merge, and one that rests is asked for by turns, `RESTING` of
them in each. A worker that has not been answered for `stale_s` spends only its share, by as many workers as it has
seen, of what remained when it was; once a whole span has passed, its share of the whole. Cost: O(1) for a count and an
estimate, O(counters in use + `RESTING`) for a merge.

References:
    Olston, Jiang & Widom (2003), "Adaptive filters for continuous queries over distributed data streams", SIGMOD.
        Sums over sources that report late, and what their error is bounded by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from math import inf
from typing import final

import msgspec

from slatewise.serve.state.caps import span_of
from slatewise.serve.state.store.contract import Merge, Merged
from slatewise.serve.state.windows import Window

RESTING = 256
"""Counters that were not used since the last merge and are asked for in the next."""

MOST = 65_536
"""Counters that a process keeps in mind; one more takes the place of the one that was used least lately."""


class Count(msgspec.Struct):
    """What is known of a counter.

    Attributes:
        pending: What was counted here and not sent yet.
        flying: What was sent and not answered yet.
        merged: What it held over all workers at the last answer.
        told: When that was; minus infinity if it never was.
        used: When it was last counted or asked here.
    """

    pending: Window
    flying: Window
    merged: float = 0.0
    told: float = -inf
    used: float = -inf


@final
class Counts:
    """The counters of one process.

    Attributes:
        workers: Workers that share them, as far as is known, >= 1.
        told: When the store last answered; minus infinity if it never did.

    All of `time` is the time that people have, all of `now` one monotonic clock; both in seconds.

    Examples:
        >>> from slatewise.serve.state.store.contract import Merged
        >>> counts = Counts("worker 1", stale_s=0.5)
        >>> counts.add("60.0/ads/", 3, time=0.0, now=0.0)
        >>> counts.room("60.0/ads/", 10, time=0.0, now=0.0)
        7.0
        >>> merge = counts.sent(time=0.1, now=0.1)
        >>> counts.landed(Merged(totals={"60.0/ads/": 5}, workers=2), now=0.1)  # the other worker had counted 2
        >>> counts.room("60.0/ads/", 10, time=0.2, now=0.2), counts.room("60.0/ads/", 10, time=5.0, now=5.0)
        (5.0, 2.5)
    """

    def __init__(self, worker: str, *, stale_s: float, workers: int = 1) -> None:
        """Start with nothing counted; `workers` are there at least."""
        self.workers = workers
        self.told = -inf
        self._least = workers
        self._worker = worker
        self._stale_s = stale_s
        self._counts: dict[str, Count] = {}
        self._resting: Iterator[str] = iter(())
        self._sequence = 0
        self._flight: Merge | None = None
        self._unsure = False
        self._last = -inf

    def __len__(self) -> int:
        """Return the number of counters that are kept in mind."""
        return len(self._counts)

    def add(self, counter: str, amount: float, *, time: float, now: float) -> None:
        """Count an amount."""
        self._used(counter, now).pending.add(amount, time=time)

    def room(self, counter: str, at_most: float, *, time: float, now: float) -> float:
        """Return what this process may still spend of a cap; negative if there was too much already."""
        count = self._used(counter, now)
        spent = count.flying.total(time) + count.pending.total(time)
        if now - self.told <= self._stale_s:
            return at_most - count.merged - spent
        merged = count.merged if now - count.told < count.pending.span_s else 0.0
        return (at_most - merged) / self.workers - spent

    def sent(self, *, time: float, now: float) -> Merge:
        """Return what is to be sent to the store: the last merge again if it was not answered."""
        self._forget(now)
        if self._flight is not None:
            self._unsure = True
            return msgspec.structs.replace(self._flight, time=time, deltas=self._flying(self._flight.spans, time))
        self._sequence += 1
        spans: dict[str, float] = {}
        for counter in self._asked():
            count = self._counts[counter]
            spans[counter] = count.pending.span_s
            count.flying = count.pending.taken()
        self._last, self._unsure = now, False
        deltas = self._flying(spans, time)
        self._flight = Merge(worker=self._worker, sequence=self._sequence, time=time, deltas=deltas, spans=spans)
        return self._flight

    def landed(self, merged: Merged, *, now: float) -> None:
        """Take in the answer."""
        for counter, total in merged.totals.items():
            if counter in self._counts:
                count = self._counts[counter]
                count.merged, count.told, count.flying = total, now, Window(count.pending.span_s)
        self.told, self.workers = now, max(merged.workers, self._least)
        self._flight = None

    def returned(self) -> None:
        """Take back what the store surely did not count; what it was sent before, without an answer, is sent again."""
        if self._flight is not None and not self._unsure:
            for counter in self._flight.spans.keys() & self._counts.keys():
                count = self._counts[counter]
                count.pending.absorb(count.flying.taken().buckets)
            self._flight = None

    def _flying(self, counters: Iterable[str], time: float) -> dict[str, float]:
        """Return what is in flight and not too old to count."""
        known = (counter for counter in counters if counter in self._counts)
        totals = ((counter, self._counts[counter].flying.total(time)) for counter in known)
        return {counter: total for counter, total in totals if total}

    def _used(self, counter: str, now: float) -> Count:
        count = self._counts.pop(counter, None)
        if count is None:
            span_s = span_of(counter)
            count = Count(Window(span_s), Window(span_s))
        self._counts[counter] = count
        count.used = now
        return count

    def _asked(self) -> list[str]:
        """Return the counters that were used since the last merge, and some of those that were not."""
        asked: list[str] = []
        for counter in reversed(self._counts):
            if self._counts[counter].used < self._last:
                break
            asked.append(counter)
        resting = [counter for counter in islice(self._resting, RESTING) if counter in self._counts]
        if not resting:
            self._resting = iter(list(self._counts))
            resting = list(islice(self._resting, RESTING))
        return list(dict.fromkeys(asked + resting))

    def _forget(self, now: float) -> None:
        """Forget what was not used for its whole span, and what is too much; look at two that were used least lately.

        What is pending or in flight is never forgotten.
        """
        crowd = max(len(self._counts) - MOST, 0)
        for counter in list(islice(self._counts, max(crowd, 2))):
            count = self._counts[counter]
            if not (count.pending.buckets or count.flying.buckets) and (
                crowd or now - count.used > count.pending.span_s
            ):
                del self._counts[counter]
