"""Service: from a body to a page, and everything that is decided on the way.

    body -> request -> rung -> what caps allow -> page -> reply
                                                       -> journal, meters, state

One plain coroutine, without HTTP; it waits for nothing but the store, and for that only under caps of users.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time
from typing import NamedTuple, final

import msgspec

from slatewise.core.errors import RequestError
from slatewise.ladder import Conditions
from slatewise.serve.control.loops import Loops
from slatewise.serve.events.claims import claimed
from slatewise.serve.events.seal import Seal
from slatewise.serve.http.replies import Served, reply_of
from slatewise.serve.log.journal import Decision, Journal
from slatewise.serve.process import spans
from slatewise.serve.process.meters import Meters
from slatewise.serve.rollout.rollout import Rollout
from slatewise.serve.state.shared import Shared
from slatewise.serve.timing.gate import Gate


class Call(NamedTuple):
    """A request as it came.

    Attributes:
        body: Its bytes.
        media: Media type of the body.
        arrived: When it arrived, in seconds of the service's monotonic clock; rather too early than too late.
        budget_ms: Its time; None takes the policy's.
    """

    body: bytes
    media: str
    arrived: float
    budget_ms: float | None = None


class Answer(NamedTuple):
    """A page as it is sent.

    Attributes:
        body: The reply.
        policy: Hash of the policy that served it.
        rung: Name of the rung that composed it.
    """

    body: bytes
    policy: str
    rung: str


@final
class Service:
    """What one process serves with.

    Attributes:
        rollout: The policies.
        shared: What must be remembered between pages.
        journal: The decision log.
        meters: What is measured.
        seal: Makes tokens.
        loops: The control loops; None if they stand still.
        gate: Who is let in.
        clock: Monotonic clock, in seconds.
        today: The time that people have, in seconds since 1970.
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        shared: Shared,
        journal: Journal,
        meters: Meters,
        seal: Seal,
        loops: Loops | None = None,
        clock: Callable[[], float] = monotonic,
        today: Callable[[], float] = time,
    ) -> None:
        """Put the parts together."""
        self.rollout = rollout
        self.shared = shared
        self.journal = journal
        self.meters = meters
        self.seal = seal
        self.loops = loops
        self.gate = Gate(noted=meters.shed)
        self.clock = clock
        self.today = today

    async def compose(self, call: Call) -> bytes:
        """Return the reply with the page for a request; raises as `answer`."""
        return (await self.answer(call)).body

    async def answer(self, call: Call) -> Answer:
        """Return the reply with the page for a request, and what its headers say.

        Raises:
            RequestError: The request does not fit the policy.
            ShedError: There is no time for it.
        """
        clock = self.clock
        began = clock()
        order, deployed, variant = self.rollout.taken(call.body, call.media)
        policy, request = deployed.policy, order.request
        decoded = clock()
        budget_s = (call.budget_ms or policy.head.serve.budget_ms) / 1e3
        due = call.arrived + budget_s
        rating = deployed.pilot.choose(now=decoded, arrived=call.arrived, due=due)
        if rating is None:
            raise self.gate.turned_away("deadline")
        page_name = self.seal.page(request.id, call.body, deployed.hash)
        try:
            granted = await self.shared.granted(policy, request, page_name, left_s=due - decoded)
        except RequestError:  # such as that nobody asks, which another policy may not mind
            deployed.outcomes.failed += 1
            raise
        reserved = clock()
        remembered = self.shared.recall(policy)
        today = self.today()
        under = Conditions(
            rung=rating.rung, quality=rating.quality, granted=granted, time=0.0 if request.time else today
        )
        if remembered.control is not None:
            request = msgspec.structs.replace(request, control=remembered.control)
        trace, name = order.trace, request.id or page_name
        try:
            page = deployed.ladder.compose(request, under, trace=trace or self.journal.wants_trace(policy, name))
        except Exception:
            deployed.outcomes.failed += 1
            raise
        composed = clock()
        served = Served(
            page=self.seal.claim(claimed(page_name, policy, request, page, time=today)),
            rung=deployed.ladder.names[rating.rung],
            level=rating.rung,
            quality=rating.quality,
            variant=variant,
            state=remembered.state,
            state_version=remembered.version,
            state_age_ms=remembered.age_ms,
        )
        reply = reply_of(page if trace or page.trace is None else page.untraced(), served)
        ended = clock()
        rest_s = decoded - began + ended - composed
        latency_s = ended - call.arrived
        deployed.pilot.learn(rating, took_s=composed - reserved, rest_s=rest_s, latency_s=latency_s, now=ended)
        self.shared.served(policy, request, page, page_name)
        if self.loops is not None:
            self.loops.served(deployed.ladder, request, under, page_name)
        timings = {
            "age": (began - call.arrived) * 1e3,
            "decode": (decoded - began) * 1e3,
            "reserve": (reserved - decoded) * 1e3,
            "compose": (composed - reserved) * 1e3,
            "encode": (ended - composed) * 1e3,
        }
        decision = Decision(
            policy, request, call.body, call.media, under, remembered, page, served, timings, today, name
        )
        self.journal.offer(decision)
        self.rollout.served(deployed, decision, latency_s=latency_s, now=ended)
        self.meters.served(decision, latency_s=latency_s)
        spans.note(decision)
        return Answer(reply, deployed.hash, served.rung)
