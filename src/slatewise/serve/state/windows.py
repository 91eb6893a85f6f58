"""Windows: sums over the last so many seconds, in a fixed number of buckets.

    bucket of a time    = floor(12 time / span)
    sum at a time       = buckets no older than 12 before that of the time

A sum holds all that is younger than the span and nothing that is older than the span and a twelfth of it: a cap that is
kept by it is kept over every span. Whatever comes in, a window has at most 25 buckets. What lies in the future by more
than the span was counted by a clock that was wrong, and does not count. Cost: O(1) for each count and each sum.

References:
    Datar, Gionis, Indyk & Motwani (2002), "Maintaining stream statistics over sliding windows", SIAM J. Comput. 31(6).
        Buckets of equal length are the simplest of these; their error in age is one bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Self, final

import msgspec

BUCKETS = 12


@final
class Window(msgspec.Struct):
    """A sum that slides.

    Attributes:
        span_s: Its length, in seconds, > 0.
        buckets: Number of a bucket to what was counted in it.

    Examples:
        >>> window = Window(span_s=60.0)
        >>> window.add(2.0, time=100.0)
        >>> window.add(1.0, time=130.0)
        >>> window.total(130.0), window.total(166.0), window.total(200.0)
        (3.0, 1.0, 0.0)
    """

    span_s: float
    buckets: dict[int, float] = {}

    def add(self, amount: float, *, time: float) -> None:
        """Count an amount."""
        now = self._bucket(time)
        for bucket in [bucket for bucket in self.buckets if abs(bucket - now) > BUCKETS]:
            del self.buckets[bucket]
        self.buckets[now] = self.buckets.get(now, 0.0) + amount

    def absorb(self, buckets: Mapping[int, float]) -> None:
        """Count what another window of the same span had counted."""
        for bucket, amount in buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0.0) + amount

    def total(self, time: float) -> float:
        """Return what was counted within the span before a time."""
        now = self._bucket(time)
        return sum((amount for bucket, amount in self.buckets.items() if abs(bucket - now) <= BUCKETS), 0.0)

    def taken(self) -> Self:
        """Return a window with all that this one holds, and empty this one."""
        taken = type(self)(self.span_s, self.buckets)
        self.buckets = {}
        return taken

    def _bucket(self, time: float) -> int:
        return floor(time * BUCKETS / self.span_s)
