"""Decisions as the service makes them, without the service."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from slatewise.core.control import Control
from slatewise.ladder import Conditions, Ladder
from slatewise.serve.http.replies import Served
from slatewise.serve.log.decisions import Decision
from slatewise.serve.state.shared import Remembered
from slatewise.serve.wire import JSON, Wire


@dataclass
class Decider:
    """Serves pages of one policy, and keeps the bytes of each."""

    policy: Any
    pages: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self):
        self.ladder, self.wire = Ladder(self.policy), Wire(self.policy)

    def __call__(self, body, *, media=JSON, control=None, version=0, trace=False, under=None, time=1e9):
        """Return what is known of the page for a body, which is plain data or bytes."""
        body = body if isinstance(body, bytes) else msgspec.json.encode(body)
        request = self.wire.decode(body, media).request
        if control is not None:
            request = msgspec.structs.replace(request, control=control)
        under = under or Conditions(time=0.0 if request.time else time)
        page = self.ladder.compose(request, under, trace=trace)
        token = f"p{len(self.pages)}"
        self.pages[token] = page.untraced().encode()
        rung = self.ladder.names[under.rung]
        served = Served(page=token, rung=rung, level=under.rung, quality=under.quality, state_version=version)
        remembered = Remembered(control, version)
        timings = {"age": 0.5, "decode": 0.25, "reserve": 0.0, "compose": 2.0, "encode": 0.125}
        return Decision(
            self.policy, request, body, media, under, remembered, page, served, timings, time, request.id or token
        )


def control_of(ladder, requests):
    """Return what control loops remember after a window of requests."""
    feed = ladder.feeds[0]
    return feed.advance(Control(), [feed.account(request) for request in requests])
