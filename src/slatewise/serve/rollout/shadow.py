"""Shadow: requests that were served, kept for a while, and other policies tried on them beside the service.

    ring of requests -> pages by the policy that serves, pages by the other -> report

Each request is composed again by both, under what was known when it was served, on the full pipeline. That takes time
from the process that serves, so it is done in a thread, with a rest after each request. Cost of keeping: an append for
a page that is kept, a comparison for one that is not; memory is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, final

import msgspec

from slatewise.core.control import Control
from slatewise.core.errors import SlatewiseError
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.ladder import FULL, Conditions, Ladder
from slatewise.serve.rollout.diff import Diff, Report
from slatewise.serve.wire import Wire

REST = 2.0
"""For each second that trying takes, the service has so many to itself."""


class Asked(NamedTuple):
    """A request as it was served.

    Attributes:
        body: Its bytes.
        media: Media type of the body.
        under: What was decided from clocks and counts.
        control: What control loops remembered; None if they were at their start.
    """

    body: bytes
    media: str
    under: Conditions = FULL
    control: Control | None = None


@final
class Ring:
    """Requests served lately.

    Attributes:
        most: How many are kept.
        most_bytes: How long their bodies may be together.
        apart_s: Seconds that lie between two that are kept, at least; so they are not all of one moment.
    """

    def __init__(self, *, most: int = 512, most_bytes: int = 32 * 2**20, apart_s: float = 0.05) -> None:
        """Start empty."""
        self.most = most
        self.most_bytes = most_bytes
        self.apart_s = apart_s
        self._kept: deque[Asked] = deque()
        self._bytes = 0
        self._next = float("-inf")

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._kept)

    def wants(self, now: float) -> bool:
        """Tell whether a request is to be kept: the last one was kept more than a moment ago."""
        return now >= self._next

    def add(self, asked: Asked, *, now: float) -> None:
        """Keep a request; the oldest go."""
        self._next = now + self.apart_s
        self._kept.append(asked)
        self._bytes += len(asked.body)
        while len(self._kept) > self.most or self._bytes > self.most_bytes:
            self._bytes -= len(self._kept.popleft().body)

    def last(self, count: int) -> list[Asked]:
        """Return the last requests, oldest first."""
        return list(self._kept)[-count:] if count else []


class Side(Protocol):
    """What composes pages by a policy."""

    @property
    def policy(self) -> Policy: ...
    @property
    def wire(self) -> Wire: ...
    @property
    def ladder(self) -> Ladder: ...


def shadowed(
    asked: Iterable[Asked],
    before: Side,
    after: Side,
    *,
    clock: Callable[[], float],
    rest: Callable[[float], object] = lambda seconds: None,
) -> Report:
    """Return what changes if a policy takes the place of another.

    Args:
        asked: The requests.
        before: The one.
        after: The other.
        clock: What pages are timed by, in seconds.
        rest: Waits so many seconds.
    """
    diff = Diff(before.policy, after.policy)
    for one in asked:
        began = clock()
        _compare(diff, one, before, after, clock)
        rest(REST * (clock() - began))
    return diff.report()


def _compare(diff: Diff, one: Asked, before: Side, after: Side, clock: Callable[[], float]) -> None:
    under = msgspec.structs.replace(one.under, rung=0, quality=1.0)
    try:
        request = _request(before, one)
        began = clock()
        page = before.ladder.compose(request, under)
        took = clock() - began
    except SlatewiseError:
        diff.skip()  # it was served by a policy with other columns than the one that serves now
        return
    try:
        other = _request(after, one)
        began = clock()
        found = after.ladder.compose(other, under)
    except SlatewiseError as error:
        diff.fail(request, page, str(error) if error.got is None else f"{error.where}: {error.rule}")
    except Exception as error:
        diff.fail(request, page, f"{type(error).__name__}: {error}")
    else:
        diff.add(request, page, found, took_s=(took, clock() - began))


def _request(side: Side, one: Asked) -> Request:
    request = side.wire.decode(one.body, one.media).request
    return msgspec.structs.replace(request, control=one.control) if one.control is not None else request
