"""The HTTP application: the routes that compose pages, and what operators need around them.

`POST /v1/compose` takes a request as JSON, with candidates in rows or in columns, or as an Arrow stream, and returns a
page. Whatever is wrong with a request is a 4xx whose body names field, rule and value; bodies are measured while they
are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_bytes

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slatewise import __version__
from slatewise.core.errors import SlatewiseError
from slatewise.feed import Feed
from slatewise.serve.events.intake import Intake
from slatewise.serve.events.seal import Seal
from slatewise.serve.http import telling
from slatewise.serve.http.body import body_of
from slatewise.serve.http.openapi import Operation, openapi
from slatewise.serve.http.refusals import refused
from slatewise.serve.http.replies import Health
from slatewise.serve.http.routes import page_routes
from slatewise.serve.limits import Limits
from slatewise.serve.log.journal import Journal
from slatewise.serve.process.meters import Meters
from slatewise.serve.rollout.rollout import Deployed, Rollout
from slatewise.serve.service import Service
from slatewise.serve.state.shared import Shared
from slatewise.serve.state.store.contract import StoreError
from slatewise.serve.timing.gate import Gated, ShedError
from slatewise.serve.wire import JSON


def application(feed: Feed, limits: Limits | None = None) -> Starlette:
    """Return the application that serves a feed; its kernels are compiled before it takes requests."""
    limits = limits or Limits()
    deployed = Deployed(feed.policy, limits)
    deployed.warm()
    shared, journal, seal = Shared(), Journal(), Seal(token_bytes(32))
    service = Service(Rollout(deployed), shared=shared, journal=journal, meters=Meters(), seal=seal)
    intake = Intake(seal=seal, store=shared.store, counts=shared, notes=journal)

    async def read(request: Request) -> bytes:
        return await body_of(request, limits.body_bytes)

    return assembled(
        service,
        limits,
        more=telling.routes(intake, read=read, authorised=lambda _: None),
        described=telling.operations(),
    )


def assembled(
    service: Service, limits: Limits, *, more: Sequence[Route] = (), described: Sequence[Operation] = ()
) -> Starlette:
    """Return the application around a service; what composes is behind its gate.

    Args:
        service: The service.
        limits: Of its requests.
        more: Routes besides those that compose.
        described: What these take and return, for the description of the service.
    """

    async def healthz(_: Request) -> Response:
        health = Health(status="ok", policy=service.rollout.active.hash, version=__version__)
        return Response(msgspec.json.encode(health), media_type=JSON)

    async def describe(_: Request) -> Response:
        return Response(msgspec.json.encode(openapi(service.rollout.active.wire, limits, described)), media_type=JSON)

    return Starlette(
        routes=[
            *page_routes(service, limits),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/openapi.json", describe, methods=["GET"]),
            *more,
        ],
        middleware=[
            Middleware(Gated, gate=service.gate, rollout=service.rollout, clock=service.clock, today=service.today)
        ],
        exception_handlers=dict.fromkeys((SlatewiseError, StoreError, HTTPException, ShedError, Exception), refused),
    )
