"""Assembly: the parts of a service, made from its settings.

The only place that knows every part: what serves, what must be known before the first request, what goes on beside the
requests, and what must write down what it holds before the process ends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_bytes
from time import monotonic, time
from typing import NamedTuple
from uuid import uuid4

from starlette.requests import Request
from starlette.types import ASGIApp

from slatewise.core.policy import Policy
from slatewise.serve.control.loops import Loops
from slatewise.serve.events.intake import Intake
from slatewise.serve.events.seal import Seal
from slatewise.serve.http import policies, telling
from slatewise.serve.http.app import assembled
from slatewise.serve.http.body import body_of
from slatewise.serve.http.openapi import operator_operations
from slatewise.serve.http.routes import PageRoute, page_routes
from slatewise.serve.log.journal import Journal
from slatewise.serve.process import garbage
from slatewise.serve.process.meters import Meters
from slatewise.serve.process.settings import Settings
from slatewise.serve.process.spans import Spans
from slatewise.serve.process.tokens import Tokens
from slatewise.serve.rollout.desk import Desk
from slatewise.serve.rollout.registry import Registry
from slatewise.serve.rollout.rollout import Deployed, Rollout
from slatewise.serve.service import Service
from slatewise.serve.state.shared import Shared
from slatewise.serve.state.store.breaker import Breaker
from slatewise.serve.state.store.contract import StoreError
from slatewise.serve.state.store.opening import opened
from slatewise.stages import STAGES

log = logging.getLogger("slatewise.serve")


class Closer(NamedTuple):
    """A part that has to be closed.

    Attributes:
        name: What it is, for the log.
        close: Writes what it holds: a coroutine function, or a function that is called in a thread of its own.
    """

    name: str
    close: Callable[[], object]


class Parts(NamedTuple):
    """A service, put together.

    Attributes:
        app: Answers requests.
        pages: The part of it that composes pages, by path.
        rollout: Which policies it serves.
        spans: Where spans go; None if nowhere.
        first: What has to be done before the first request.
        beside: What goes on beside the requests, each until it is cancelled.
        closers: What is closed at the end, in this order.
    """

    app: ASGIApp
    pages: Mapping[str, PageRoute]
    rollout: Rollout
    spans: Spans | None
    first: Callable[[], Awaitable[None]]
    beside: tuple[Callable[[], Awaitable[None]], ...]
    closers: tuple[Closer, ...]


def put_together(policy: Policy, settings: Settings, meters: Meters) -> Parts:
    """Return the parts of a service, with every kernel compiled and every model loaded.

    Raises:
        PolicyError: Some rung of the policy is no policy.
        RequestError: A setting does not fit.
    """
    deployed = Deployed(policy, settings.limits)
    deployed.warm()
    rollout = Rollout(deployed)
    worker, key = uuid4().hex, token_bytes(32) if settings.key is None else settings.key.encode()
    store = opened(settings.state or "memory:", clock=monotonic)
    shared, seal = Shared(store, worker=worker), Seal(key)
    journal = Journal(settings.journal, key=key if settings.key is not None else b"")
    loops = Loops(store, shared.control, lambda: [one.ladder for one in _serving(rollout)], worker=worker)
    intake = Intake(seal=seal, store=store, counts=shared, notes=journal, outcomes=loops)
    service = Service(rollout, shared=shared, journal=journal, meters=meters, seal=seal, loops=loops)
    desk = Desk(
        rollout,
        Registry(STAGES, settings.limits, store=store),
        today=time,
        worker=worker,
        store=store,
        swapped=lambda record: _swapped(rollout, meters),
    )
    tokens = Tokens.of(settings.token, settings.token_file)

    async def read(request: Request) -> bytes:
        return await body_of(request, settings.limits.body_bytes)

    def may_tell(request: Request) -> object:
        return tokens.admit(request, "events")

    async def begin() -> None:
        try:
            log.info(await desk.start(settings.rollout))
        except StoreError as error:
            log.warning("serving %s, as the file has it: %s", rollout.active.hash, error)

    pages = page_routes(service, settings.limits)
    routes = [*telling.routes(intake, read=read, authorised=may_tell), *policies.routes(desk, tokens.admit, body_of)]
    described = [*telling.operations(), *policies.operations(), *operator_operations()]
    spans = Spans(settings.telemetry) if settings.telemetry.endpoint is not None else None
    closers = [
        Closer("events", intake.retry),
        Closer("shared state", shared.flush),
        Closer("store", store.close),
        Closer("decision log", journal.close),
    ]
    if spans is not None:
        closers.append(Closer("spans", spans.close))
    _put_in(rollout, meters)
    _follow(meters, store=store, service=service, desk=desk)
    return Parts(
        app=assembled(service, settings.limits, pages=pages, more=routes, described=described),
        pages=pages,
        rollout=rollout,
        spans=spans,
        first=begin,
        beside=(meters.watch, shared.run, loops.run, intake.run, desk.run),
        closers=tuple(closers),
    )


def _swapped(rollout: Rollout, meters: Meters) -> None:
    """Take note that other policies serve, and let go of what the old ones held."""
    _put_in(rollout, meters)
    garbage.sweep()


def _put_in(rollout: Rollout, meters: Meters) -> None:
    roles = ("active", "canary")
    meters.put_in([(one.policy, role, one.ladder.names) for one, role in zip(_serving(rollout), roles, strict=False)])


def _serving(rollout: Rollout) -> tuple[Deployed, ...]:
    """Return the active policy, and the canary if there is one."""
    standing = rollout.standing
    return (standing.active,) if standing.canary is None else (standing.active, standing.canary)


def _follow(meters: Meters, *, store: Breaker, service: Service, desk: Desk) -> None:
    """Have meters show what parts count by themselves."""
    meters.follow("slatewise_breaker_open", lambda: store.state != "closed")
    meters.follow("slatewise_store_failures_total", lambda: store.failed - store.late, "error")
    meters.follow("slatewise_store_failures_total", lambda: store.late, "timeout")
    shared, journal = service.shared, service.journal
    meters.follow("slatewise_granted_alone_total", lambda: shared.alone)
    meters.follow("slatewise_settlements_lost_total", lambda: shared.forgotten)
    meters.follow("slatewise_unbelieved_total", lambda: service.gate.unbelieved)
    meters.follow("slatewise_log_waiting", lambda: journal.waiting)
    for why in ("queue", "bytes", "record", "closing"):
        meters.follow("slatewise_log_dropped_total", lambda why=why: journal.drops[why], why)
    meters.follow("slatewise_canary_share", lambda: desk.rollout.share)
    for why in ("asked", "guard"):
        meters.follow("slatewise_rollbacks_total", lambda why=why: desk.rollbacks[why], why)
