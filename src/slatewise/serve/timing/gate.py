"""Gate: who is let in, decided before the body is read.

A request is turned away where even the cheapest page would come too late (`deadline` if it is late already, `crowd` if
those before it took its time), where too many are inside (`crowd`), and while the process ends (`drain`). That costs
some microseconds, a page hundreds: what is not wasted on requests that are lost goes to those that are not.

Requests are taken in the order in which they came. The last come first served would have lower latency under overload,
but event loops are queues, and with a ladder below, the queue is short: a rung that is fast enough is taken long before
the deadline. What is too old is shed, so whoever waits behind it does not wait for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time
from typing import final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slatewise.serve.http.replies import ErrorReply, Refusal
from slatewise.serve.rollout.rollout import Rollout
from slatewise.serve.timing.arrival import ARRIVED, LONGEST_S, said
from slatewise.serve.wire import JSON

CROWD = 512
"""Requests inside at once; each may hold a body."""

PATHS = ("/v1/compose", "/v1/compose/batch", "/v1/explain")
"""Routes that compose pages; a line break after a path is none to whoever routes it."""


class ShedError(Exception):
    """A request that is turned away because there is no time for it.

    Attributes:
        why: `deadline`, `crowd` or `drain`.
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
        draining: Whether nobody is let in any more.
        shed: Why requests were turned away, and how many.
        unbelieved: Requests that said when they started, and said it wrongly.
    """

    def __init__(self, *, most: int = CROWD, noted: Callable[[str], object] | None = None) -> None:
        """Let in so many at once; `noted` is told why a request was turned away."""
        self.inside = 0
        self.draining = False
        self.shed = {"deadline": 0, "crowd": 0, "drain": 0}
        self.unbelieved = 0
        self._most = most
        self._noted = noted

    def enter(self, *, now: float, due: float, least_s: float) -> None:
        """Let a request in that is due then and takes so long at least.

        Raises:
            ShedError: There is no time or no room for it.
        """
        why = ""
        if self.draining:
            why = "drain"
        elif now >= due:
            why = "deadline"
        elif self.inside >= self._most or now + least_s > due:
            why = "crowd"
        if why:
            raise self.turned_away(why)
        self.inside += 1

    def leave(self) -> None:
        """Take note that a request is done."""
        self.inside -= 1

    def turned_away(self, why: str) -> ShedError:
        """Count a request that is turned away, here or further in, and return what to raise."""
        self.shed[why] += 1
        if self._noted is not None:
            self._noted(why)
        return ShedError(why)


@final
class Gated:
    """The application behind the gate: routes that compose pages are behind it, all others beside."""

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        rollout: Rollout,
        *,
        clock: Callable[[], float] = monotonic,
        today: Callable[[], float] = time,
    ) -> None:
        """Stand before an application; `clock` is monotonic, `today` is the time that people have, both in seconds."""
        self._app, self._gate, self._rollout = app, gate, rollout
        self._clock, self._today = clock, today

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away; what is let in knows when it arrived."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].removesuffix("\n").endswith(PATHS):
            await self._app(scope, receive, send)
            return
        now, active = self._clock(), self._rollout.active
        budget_ms, age_s = said(scope["headers"], self._today())
        if not 0 <= age_s <= LONGEST_S:
            self._gate.unbelieved += 1
            age_s = 0.0
        arrived = scope[ARRIVED] = min(scope.get(ARRIVED, now), now - age_s)
        due = arrived + (budget_ms or active.policy.head.serve.budget_ms) / 1e3
        try:
            self._gate.enter(now=now, due=due, least_s=active.pilot.least_s(now))
        except ShedError as error:
            for message in REPLIES[error.why]:
                await send(message)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._gate.leave()


def _reply(why: str) -> tuple[Message, Message]:
    """Return what is sent to a request that is turned away; made once, so that it costs next to nothing."""
    rule = {
        "deadline": "must come before its deadline",
        "crowd": "must come while there is time for it",
        "drain": "must come to a service that goes on",
    }[why]
    refusal = Refusal(code=503, where="service", rule=rule, got=why, message=f"service: {rule}")
    body = msgspec.json.encode(ErrorReply(error=refusal))
    headers = [(b"content-type", JSON.encode()), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1")]
    start: Message = {"type": "http.response.start", "status": 503, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


REPLIES = {why: _reply(why) for why in ("deadline", "crowd", "drain")}
"""Why a request is turned away to what it is told."""
