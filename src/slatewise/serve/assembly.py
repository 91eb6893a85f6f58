"""Assembly: the parts of a service, made from its settings.

The only place that knows every part: what serves, what goes on beside the requests, and what must write down what it
holds before the process ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from secrets import token_bytes
from typing import NamedTuple

from starlette.types import ASGIApp

from slatewise.core.policy import Policy
from slatewise.serve.app import assembled
from slatewise.serve.journal import Journal
from slatewise.serve.meters import Meters
from slatewise.serve.rollout import Deployed, Rollout
from slatewise.serve.seal import Seal
from slatewise.serve.service import Service
from slatewise.serve.settings import Settings
from slatewise.serve.shared import Shared
from slatewise.serve.spans import Spans
from slatewise.serve.tokens import Tokens


class Closer(NamedTuple):
    """A part that has to be closed.

    Attributes:
        name: What it is, for the log.
        close: Writes what it holds; called in a thread of its own.
    """

    name: str
    close: Callable[[], object]


class Parts(NamedTuple):
    """A service, put together.

    Attributes:
        app: Answers requests.
        policy: Hash of the policy that it begins with.
        tokens: Who may do what.
        spans: Where spans go; None if nowhere.
        beside: What goes on beside the requests, each until it is cancelled.
        closers: What is closed at the end, in this order.
    """

    app: ASGIApp
    policy: str
    tokens: Tokens
    spans: Spans | None
    beside: tuple[Callable[[], Awaitable[None]], ...]
    closers: tuple[Closer, ...]


def put_together(policy: Policy, settings: Settings, meters: Meters) -> Parts:
    """Return the parts of a service, with every kernel compiled and every model loaded.

    Raises:
        PolicyError: Some rung of the policy is no policy.
        RequestError: A setting does not fit.
    """
    deployed = Deployed(policy, settings.limits)
    deployed.ladder.warm()
    meters.put_in([(policy, "active", deployed.ladder.names)])
    journal = Journal()
    meters.follow("slatewise_log_dropped_total", lambda: journal.dropped, "queue")
    key = token_bytes(32) if settings.key is None else settings.key.encode()
    service = Service(Rollout(deployed), shared=Shared(), journal=journal, meters=meters, seal=Seal(key))
    spans = Spans(settings.telemetry) if settings.telemetry.endpoint is not None else None
    closers = [Closer("decision log", journal.close)]
    if spans is not None:
        closers.append(Closer("spans", spans.close))
    return Parts(
        app=assembled(service, settings.limits),
        policy=deployed.hash,
        tokens=Tokens.of(settings.token, settings.token_file),
        spans=spans,
        beside=(meters.watch,),
        closers=tuple(closers),
    )
