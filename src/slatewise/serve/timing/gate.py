"""Gate: who is let in, decided before the body is read.

A request is turned away where even the cheapest page would come too late (`deadline` if it is late already, `crowd` if
those before it took its time), and where too many are inside (`crowd`). That costs some microseconds, a page hundreds:
what is not wasted on requests that are lost goes to those that are not.

Requests are taken in the order in which they came. The last come first served would have lower latency under overload,
but event loops are queues, and with a ladder below, the queue is short: a rung that is fast enough is taken long before
the deadline. What is too old is shed, so whoever waits behind it does not wait for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import msgspec
from starlette.types import Message

from slatewise.serve.http.replies import ErrorReply, Refusal
from slatewise.serve.timing.arrival import LONGEST_S
from slatewise.serve.wire import JSON

CROWD = 512
"""Requests inside at once; each may hold a body."""


class ShedError(Exception):
    """A request that is turned away because there is no time for it.

    Attributes:
        why: `deadline` or `crowd`.
        retry_s: When it may be asked again, in seconds.
    """

    def __init__(self, why: str, retry_s: float = 1.0) -> None:
        """Say why."""
        super().__init__(why)
        self.why = why
        self.retry_s = retry_s


@final
class Gate:
    """Counts who is inside.

    Attributes:
        inside: Requests that were let in and are not done.
        shed: Why requests were turned away, and how many.
        unbelieved: Requests that said when they started, and said it wrongly.
    """

    def __init__(self, *, most: int = CROWD, noted: Callable[[str], object] | None = None) -> None:
        """Let in so many at once; `noted` is told why a request was turned away."""
        self.inside = 0
        self.shed = {"deadline": 0, "crowd": 0}
        self.unbelieved = 0
        self._most = most
        self._noted = noted

    def enter(self, *, now: float, due: float, least_s: float) -> None:
        """Let a request in that is due then and takes so long at least.

        Raises:
            ShedError: There is no time or no room for it.
        """
        why = ""
        if now >= due:
            why = "deadline"
        elif self.inside >= self._most or now + least_s > due:
            why = "crowd"
        if why:
            raise self.turned_away(why)
        self.inside += 1

    def believed(self, age_s: float) -> float:
        """Return how old a request is that says so: 0 where no clock can have meant what it says."""
        if 0 <= age_s <= LONGEST_S:
            return age_s
        self.unbelieved += 1
        return 0.0

    def leave(self) -> None:
        """Take note that a request is done."""
        self.inside -= 1

    def turned_away(self, why: str) -> ShedError:
        """Count a request that is turned away, here or further in, and return what to raise."""
        self.shed[why] += 1
        if self._noted is not None:
            self._noted(why)
        return ShedError(why)


def _reply(why: str) -> tuple[Message, Message]:
    """Return what is sent to a request that is turned away; made once, so that it costs next to nothing."""
    rule = {
        "deadline": "must come before its deadline",
        "crowd": "must come while there is time for it",
    }[why]
    refusal = Refusal(code=503, where="service", rule=rule, got=why, message=f"service: {rule}")
    body = msgspec.json.encode(ErrorReply(error=refusal))
    headers = [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1")]
    start: Message = {"type": "http.response.start", "status": 503, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


REPLIES = {why: _reply(why) for why in ("deadline", "crowd")}
"""Why a request is turned away to what it is told."""
