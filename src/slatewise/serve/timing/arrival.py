"""Arrival: when a request came, as far as a process can know.

A request waits in the kernel, and then in the event loop, before any of our code sees it. While the loop works, it
looks at no connection; so what it finds when it comes round may have waited since it last looked. `Turns` keeps when
that was, and a request is taken to be as old as it can be: rather too early than too late. It is told of three things:
that data came, that a reply was done, and that a timer fired, which is late where anything kept the loop busy. The
first look after that finds all that waited meanwhile; what comes later did not wait.

How old a request is said to be is never less than it is in the loop by more than `BEAT_S + SLACK_S`. What it waited
before the kernel had it, only a proxy can know: `X-Slatewise-Start` says when it was there, in milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import final

from slatewise.serve import wire

ARRIVED = "slatewise.arrived"
"""Key of a scope: when the request arrived, in seconds of the service's monotonic clock."""

BUDGET, START = wire.BUDGET.lower().encode(), wire.START.lower().encode()
"""Headers: time for the request, and when a proxy had it; both in milliseconds."""

LONGEST_S = 60.0
"""Largest budget, and largest age that is believed."""

BEAT_S = 0.005
"""How often the timer fires while there are connections."""

SLACK_S = 0.0005
"""What is not taken for work: the loop's own time between two callbacks."""


@final
class Turns:
    """When the loop last looked at its connections.

    All times are seconds of one monotonic clock, which the caller reads.
    """

    __slots__ = ("_beat", "_data", "_floor", "_looked", "_since", "_turned", "_worked")

    def __init__(self) -> None:
        """Start with a loop that was never busy."""
        self._looked = self._floor = self._data = self._worked = -inf
        self._beat: float | None = None
        self._since = inf
        self._turned = True  # since data came last, so that what comes now is of another look

    def data(self, now: float) -> float:
        """Return when data that is seen now may have come."""
        has_worked = self._worked > self._data
        if self._turned or (self._beat is None and now - self._data > SLACK_S):
            # The first of this look: what it finds came after the look before.
            floor = self._looked if has_worked and now - self._worked <= SLACK_S else now
            self._floor = min(floor, self._since, self._blind_since(now))
            self._looked, self._turned = now, False
        self._data = now
        return self._floor

    def replied(self, now: float) -> None:
        """Take note that a reply was done."""
        self._worked, self._turned = now, True

    def beat(self, now: float | None) -> bool:
        """Take note that the timer fired, or, for None, that it does not run any more.

        Returns whether it was late: `looked` is to be called as soon as the loop has looked again.
        """
        self._since = inf if now is None else self._blind_since(now)
        self._beat, self._turned = now, True
        return self._since < inf

    def looked(self) -> None:
        """Take note that the loop has looked since the timer was late: whoever waited was found."""
        self._since, self._turned = inf, True

    def _blind_since(self, now: float) -> float:
        """Return since when nobody may have been seen; infinite if the timer is not late."""
        if self._beat is None or now - self._beat <= BEAT_S + SLACK_S:
            return inf
        return max(self._beat, self._data)


def said(headers: Mapping[bytes, bytes], today: float) -> tuple[float | None, float]:
    """Return (the budget in milliseconds, the age in seconds) that headers say; None and 0 where they say nothing.

    What is no number is nothing here: it is refused where the whole request is read.
    """
    budget_ms, age_s = None, 0.0
    if (budget := headers.get(BUDGET)) is not None:
        number = _number(budget)
        budget_ms = number if 0 < number <= LONGEST_S * 1e3 else None
    if (start := headers.get(START)) is not None and (number := _number(start)) == number:
        age_s = today - number / 1e3
    return budget_ms, age_s


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
