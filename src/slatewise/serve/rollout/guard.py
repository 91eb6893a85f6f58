"""Guard: when a policy that has begun to serve is taken back without anybody being asked.

What its pages are like is compared with those of the policy that served before or serves beside it. It is taken back
as soon as, within a window of enough pages,

    rate of the new > multiple * max(rate of the other, least)

for the share of requests that failed, of pages on which a rule gave way, of pages below the first rung of the ladder,
or for the mean latency. The first window after a change begins with it, and no window holds pages from before.
Requests that were shed count nowhere: too many of them are no policy's fault alone, and one that is too slow is seen on
its rungs before it sheds. Cost: five additions for a page.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Annotated, NamedTuple, final

import msgspec
from msgspec import Meta

from slatewise.core.page import Page

if TYPE_CHECKING:
    from slatewise.serve.rollout.rollout import Deployed, Standing

Amount = Annotated[float, Meta(ge=0)]


@final
class Outcomes:
    """How pages of a policy came out since it was last looked at from the beginning.

    Attributes:
        pages: Pages served.
        failed: Requests that were refused, or that failed.
        relaxed: Pages on which a rule gave way.
        reduced: Pages from below the first rung.
        latency_s: Time from arrival to reply, summed.
    """

    __slots__ = ("failed", "latency_s", "pages", "reduced", "relaxed")

    def __init__(self) -> None:
        """Start with nothing."""
        self.clear()

    def clear(self) -> None:
        """Start again."""
        self.pages = self.failed = self.relaxed = self.reduced = 0
        self.latency_s = 0.0

    def add(self, page: Page, *, rung: int, latency_s: float) -> None:
        """Count a page."""
        self.pages += 1
        self.latency_s += latency_s
        if rung:
            self.reduced += 1
        if page.status.kind == "relaxed":
            self.relaxed += 1

    def rates(self) -> Rates:
        """Return what they come to."""
        pages, asked = max(self.pages, 1), max(self.pages + self.failed, 1)
        return Rates(
            asked=self.pages + self.failed,
            failed=self.failed / asked,
            relaxed=self.relaxed / pages,
            reduced=self.reduced / pages,
            latency_ms=self.latency_s / pages * 1e3,
        )


class Rates(NamedTuple):
    """How pages come out.

    Attributes:
        asked: Requests that were counted.
        failed: Share of them that failed.
        relaxed: Share of pages on which a rule gave way.
        reduced: Share of pages from below the first rung.
        latency_ms: Mean latency, in milliseconds.
    """

    asked: int = 0
    failed: float = 0.0
    relaxed: float = 0.0
    reduced: float = 0.0
    latency_ms: float = 0.0


class Rails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a policy that has begun to serve must keep to.

    Attributes:
        multiple: By how many times it may be worse than the other.
        requests: Requests that have to be there before it is judged.
        window_s: Length of a window, in seconds.
        watch_s: How long a policy is watched after it began to serve everybody, in seconds; 0 is not at all. A canary
            is watched as long as it is one.
        failed: Share of requests that may fail whatever the other does, before `multiple`.
        relaxed: The same for pages on which a rule gave way.
        reduced: The same for pages from below the first rung.
        latency_ms: The same for the mean latency, in milliseconds.
    """

    multiple: Annotated[float, Meta(ge=1)] = 2.0
    requests: Annotated[int, Meta(ge=1)] = 200
    window_s: Annotated[float, Meta(gt=0)] = 60.0
    watch_s: Amount = 900.0
    failed: Amount = 0.005
    relaxed: Amount = 0.02
    reduced: Amount = 0.05
    latency_ms: Amount = 2.0


MEASURES = ("failed", "relaxed", "reduced", "latency_ms")


def broken(rails: Rails, new: Rates, other: Rates) -> str:
    """Return what a policy does worse than it may, as a sentence; empty if nothing, or if it is too early to say.

    >>> broken(Rails(requests=10), Rates(asked=10, failed=0.5), Rates(asked=10, failed=0.25))
    ''
    >>> broken(Rails(requests=10), Rates(asked=10, failed=0.6), Rates(asked=10, failed=0.25))
    'failed: 0.6, more than 2 times 0.25'
    """
    if new.asked < rails.requests:
        return ""
    for name in MEASURES:
        found, least = getattr(new, name), max(getattr(other, name), getattr(rails, name))
        if found > rails.multiple * least:
            return f"{name}: {found:.4g}, more than {rails.multiple:g} times {least:.4g}"
    return ""


class Fault(NamedTuple):
    """Why a policy is taken back.

    Attributes:
        policy: Its hash.
        why: What it does worse than it may, as a sentence.
    """

    policy: str
    why: str


@final
class Guard:
    """Looks after the policy that began to serve last: a canary as long as it is one, another for a while.

    All times are seconds of the same clock.
    """

    def __init__(self, rails: Rails) -> None:
        """Look after none."""
        self._rails = rails
        self._policy: str | None = None
        self._other: Rates | None = None
        self._until = self._ends = 0.0

    def swapped(self, old: Standing, new: Standing, *, now: float) -> None:
        """Begin to look after what serves now and did not before; what was rolled back to is trusted."""
        if new.canary is not None and new.canary is not old.canary:
            self._begin(new.canary, until=inf, now=now)
            new.active.outcomes.clear()
        elif new.active is not old.active and new.previous is old.active:
            self._begin(new.active, until=now + self._rails.watch_s, now=now)
            self._other = old.active.outcomes.rates()
        elif new.canary is None:
            self._policy = None

    def look(self, standing: Standing, *, now: float) -> Fault | None:
        """Return why the policy has to be taken back; None if it need not be."""
        new, other = standing.canary or standing.active, standing.active
        if self._policy != new.hash or now >= self._until:
            return None
        why = broken(self._rails, new.outcomes.rates(), self._other or other.outcomes.rates())
        if now >= self._ends:
            new.outcomes.clear()
            other.outcomes.clear()
            self._ends = now + self._rails.window_s
        return Fault(new.hash, why) if why else None

    def _begin(self, policy: Deployed, *, until: float, now: float) -> None:
        policy.outcomes.clear()
        self._policy, self._other = policy.hash, None
        self._until, self._ends = until, now + self._rails.window_s
