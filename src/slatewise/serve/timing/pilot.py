"""Pilot: which rung of the ladder a page is composed on, by the time that is left and by how pages went lately.

Two loops. The **slow** one moves a quality factor q by what became of pages on the first two rungs, the last one not
among them (cheap pages look fast, and would have q rise in the middle of an overload):

    in time:  q = min(1, q + step)
    late:     q = max(least, q - step * percentile / (100 - percentile))

which stands still where `percentile` of the pages are in time. A rung is open while q reaches its threshold. The way
down is taken at once; the way up is one rung after each `calm_s` in which `percentile` of the pages were in time, with
q at the threshold of the rung that is tried: under steady overload that is one short trial a `calm_s`, and after it
`(rungs + 1) * calm_s` at most pass until the full pipeline is back.

The **fast** loop takes, of the rungs that are open, the highest on which this page would still be soon enough: by the
target on the first one, by the deadline on the last, and in even steps between. What a rung costs is its mean cost and
twice its mean deviation, both exponentially weighted; a rung that was not used forgets half of that in each `calm_s`,
so that one slow moment does not close it for good. Cost: O(rungs) per page.

References:
    Jacobson (1988), "Congestion avoidance and control", SIGCOMM, section 2: mean and deviation as an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import NamedTuple, final

from slatewise.core.serving import Serving

FIRST = 20
"""Pages before the factor moves: while a process is new, pages are slow for reasons that pass."""

EIGHTHS = 8
"""Steps in which the factor is told, so that pages can be composed again from few numbers."""


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

    Attributes:
        quality: The quality factor.
        level: The highest rung that is open.
    """

    def __init__(self, serving: Serving, *, rungs: int) -> None:
        """Start at the top of a ladder of so many rungs, the full pipeline among them."""
        how = serving.quality
        target_ms = serving.budget_ms / 4 if how.target_ms is None else how.target_ms
        self.quality, self.level = 1.0, 0
        self._last = rungs - 1
        self._target_s = target_ms / 1e3
        self._late = how.step * how.percentile / (100 - how.percentile)
        self._how = how
        self._thresholds = (how.full, *(rung.quality for rung in serving.rungs), 0.0)
        self._shares = _shares(min(target_ms / serving.budget_ms, 1.0), rungs)
        self._costs = [_Cost() for _ in range(rungs)]
        self._rest = _Cost()
        self._pages = 0
        self._calm_from, self._seen, self._belated = 0.0, 0, 0

    def choose(self, *, now: float, arrived: float, due: float) -> Rating | None:
        """Return what fits between now and the deadline; None if not even the last rung does."""
        self._move(now)
        for rung in range(self.level, self._last + 1):
            if now + self._costs[rung].expected(now, self._how.calm_s) <= arrived + self._shares[rung] * (
                due - arrived
            ):
                return Rating(rung, max(floor(self.quality * EIGHTHS), 1) / EIGHTHS)
        return None

    def least_s(self, now: float) -> float:
        """Return what a page takes on the last rung, with decoding and encoding."""
        calm_s = self._how.calm_s
        return self._costs[-1].expected(now, calm_s) + self._rest.expected(now, calm_s)

    def learn(self, rating: Rating, *, took_s: float, rest_s: float, latency_s: float, now: float) -> None:
        """Take note of a page.

        Args:
            rating: What it was composed on.
            took_s: How long composing it took.
            rest_s: How long decoding the request and encoding the page took.
            latency_s: How old its request was when the reply was ready.
            now: The time.
        """
        self._costs[rating.rung].learn(took_s, now)
        self._rest.learn(rest_s, now)
        self._pages += 1
        late = latency_s > self._target_s
        self._seen += 1
        self._belated += late
        if self._pages > FIRST and rating.rung <= 1 and rating.rung < max(self._last, 1):
            if late:
                self.quality = max(self.quality - self._late, self._how.least)
            else:
                self.quality = min(self.quality + self._how.step, 1.0)

    def _move(self, now: float) -> None:
        """Close the rungs that the factor does not reach, and try a higher one after a calm."""
        while self.level < self._last and self.quality < self._thresholds[self.level]:
            self.level += 1
            self._calm_from, self._seen, self._belated = now, 0, 0
        if self.level and now - self._calm_from >= self._how.calm_s:
            if self._belated <= self._seen * (1 - self._how.percentile / 100):
                self.level -= 1
                self.quality = max(self.quality, self._thresholds[self.level])
            self._calm_from, self._seen, self._belated = now, 0, 0


def _shares(first: float, rungs: int) -> Sequence[float]:
    """Return the share of the budget after which a page of each rung would be too late.

    >>> _shares(0.25, 3), _shares(0.25, 1)
    ([0.25, 0.625, 1.0], [1.0])
    """
    steps = max(rungs - 1, 1)
    return [first + (1 - first) * place / steps for place in range(rungs - 1)] + [1.0]


@final
class _Cost:
    """What something takes, in seconds."""

    __slots__ = ("_at", "_deviation", "_mean")

    WEIGHT = 0.1
    MOST = 4.0
    """A single cost counts at most so many times the mean: one pause of the machine is not the cost of a rung."""

    def __init__(self) -> None:
        self._mean = self._deviation = self._at = 0.0

    def learn(self, seconds: float, now: float) -> None:
        if not self._at:
            self._mean = seconds
        seconds = min(seconds, self.MOST * self._mean)
        off = seconds - self._mean
        self._mean += self.WEIGHT * off
        self._deviation += self.WEIGHT * (abs(off) - self._deviation)
        self._at = now

    def expected(self, now: float, half_life_s: float) -> float:
        """Return what it takes, rather too much than too little; 0 if nothing is known."""
        idle = now - self._at
        half_life_s = half_life_s or 1.0  # what is never forgotten would close the last rung for good
        fade = 1.0 if idle < half_life_s else 0.5 ** (idle / half_life_s)
        return (self._mean + 2 * self._deviation) * fade
