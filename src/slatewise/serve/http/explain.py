"""Explain: a page with its trace, and what each of its rules costs, beside the service's work.

The page is composed by the full pipeline; nothing is reserved, counted or logged for it, and it takes part in no
average. It is composed in a thread, one at a time, because what a rule costs takes a page more for each rule.
"""

from __future__ import annotations

from asyncio import to_thread
from threading import Lock
from typing import Literal, TypeAlias, final

import msgspec

from slatewise.core.request import Request
from slatewise.serve.http.replies import ExplainReply
from slatewise.serve.rollout.rollout import Deployed
from slatewise.serve.service import Call, Service
from slatewise.serve.timing.gate import ShedError

Depth: TypeAlias = Literal["trace", "costs"]


@final
class Explainer:
    """Explains pages of a service."""

    def __init__(self, service: Service) -> None:
        """Take the service whose policies compose."""
        self._service = service
        self._busy = Lock()

    async def explain(self, call: Call, depth: Depth = "trace") -> bytes:
        """Return the page for a request with its trace; with `costs`, also what each rule costs.

        Raises:
            RequestError: The request does not fit the policy.
            ShedError: Another page is being explained.
        """
        service = self._service
        deployed = service.rollout.active
        request = deployed.wire.decode(call.body, call.media).request
        chosen, _ = service.rollout.chosen(request.user or request.id)
        if chosen is not deployed:
            deployed, request = chosen, chosen.wire.decode(call.body, call.media).request
        remembered = service.shared.recall(deployed.policy)
        request = msgspec.structs.replace(
            request, time=request.time or service.today(), control=remembered.control or request.control
        )
        if not self._busy.acquire(blocking=False):
            raise ShedError("crowd")
        try:
            return await to_thread(_explained, deployed, request, depth)
        finally:
            self._busy.release()


def _explained(deployed: Deployed, request: Request, depth: Depth) -> bytes:
    page = deployed.ladder.compose(request, trace=True)
    costs = deployed.ladder.feeds[0].costs(request) if depth == "costs" else msgspec.UNSET
    return msgspec.json.encode(ExplainReply(**msgspec.structs.asdict(page.document()), costs=costs))
