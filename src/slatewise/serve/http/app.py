"""The HTTP application: the routes that compose pages, and what operators need around them.

`POST /v1/compose` takes a request as JSON, with candidates in rows or in columns, or as an Arrow stream, and returns a
page. Whatever is wrong with a request is a 4xx whose body names field, rule and value; bodies are measured while they
are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from secrets import token_bytes

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slatewise import __version__
from slatewise.feed import Feed
from slatewise.serve.events.intake import Intake
from slatewise.serve.events.seal import Seal
from slatewise.serve.http import telling
from slatewise.serve.http.body import body_of
from slatewise.serve.http.openapi import Operation, openapi
from slatewise.serve.http.refusals import REFUSALS, refused
from slatewise.serve.http.replies import Health
from slatewise.serve.http.routes import PageRoute, page_routes
from slatewise.serve.limits import Limits
from slatewise.serve.log.journal import Journal
from slatewise.serve.process.meters import Meters
from slatewise.serve.rollout.rollout import Deployed, Rollout
from slatewise.serve.service import Service
from slatewise.serve.state.shared import Shared
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
        pages=page_routes(service, limits),
        more=telling.routes(intake, read=read, authorised=lambda _: None),
        described=telling.operations(),
    )


def assembled(
    service: Service,
    limits: Limits,
    *,
    pages: Mapping[str, PageRoute],
    more: Sequence[Route] = (),
    described: Sequence[Operation] = (),
) -> Starlette:
    """Return the application around a service.

    Args:
        service: The service.
        limits: Of its requests.
        pages: Routes that compose pages, by path.
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
            *(Route(path, route, methods=["POST"]) for path, route in pages.items()),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/openapi.json", describe, methods=["GET"]),
            *more,
        ],
        exception_handlers=dict.fromkeys((*REFUSALS, Exception), refused),
    )
