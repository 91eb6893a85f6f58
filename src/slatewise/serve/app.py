"""The HTTP application: one route that composes pages, and what operators need around it.

`POST /v1/compose` takes a request as JSON, with candidates in rows or in columns, and returns a page. Whatever is wrong
with a request is a 4xx whose body names field, rule and value; bodies are measured while they are read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from secrets import token_bytes
from time import monotonic
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from slatewise import __version__
from slatewise.core.errors import RequestError, shown
from slatewise.feed import Feed
from slatewise.serve.journal import Journal
from slatewise.serve.limits import Limits
from slatewise.serve.meters import Meters
from slatewise.serve.openapi import openapi
from slatewise.serve.replies import ErrorReply, Health, Refusal
from slatewise.serve.rollout import Deployed, Rollout
from slatewise.serve.seal import Seal
from slatewise.serve.service import Call, Service, ShedError
from slatewise.serve.shared import Shared
from slatewise.serve.wire import JSON

HANG_UP = {"connection": "close"}
"""Sent with a refusal of a body that is too long, so that the rest of it is not read."""

log = logging.getLogger("slatewise.serve")


def application(feed: Feed, limits: Limits | None = None) -> Starlette:
    """Return the application that serves a feed; its kernels are compiled before it takes requests."""
    limits = limits or Limits()
    deployed = Deployed(feed.policy, limits)
    deployed.ladder.warm()
    service = Service(
        Rollout(deployed), shared=Shared(), journal=Journal(), meters=Meters(), seal=Seal(token_bytes(16))
    )
    return assembled(service, limits)


def assembled(service: Service, limits: Limits, *, more: Sequence[Route] = ()) -> Starlette:
    """Return the application around a service, with more routes if there are any."""

    async def compose(request: Request) -> Response:
        arrived = monotonic()
        _require_json(request)
        body = await _body(request, limits.body_bytes)
        return Response(await service.compose(Call(body, JSON, arrived)), media_type=JSON)

    async def healthz(_: Request) -> Response:
        health = Health(status="ok", policy=service.rollout.active.hash, version=__version__)
        return Response(msgspec.json.encode(health), media_type=JSON)

    async def describe(_: Request) -> Response:
        return Response(msgspec.json.encode(openapi(service.rollout.active.wire)), media_type=JSON)

    async def shed(request: Request, error: Exception) -> Response:
        assert isinstance(error, ShedError)
        service.meters.shed(error.why)
        return await _shed(request, error)

    return Starlette(
        routes=[
            Route("/v1/compose", compose, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/openapi.json", describe, methods=["GET"]),
            *more,
        ],
        exception_handlers={RequestError: _refused, HTTPException: _http_error, ShedError: shed, Exception: _failed},
    )


def _require_json(request: Request) -> None:
    media = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
    if media != JSON:
        raise HTTPException(415, f"content-type: must be {JSON}, got {shown(media)}")
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise HTTPException(415, f"content-encoding: must be identity, got {shown(encoding)}")


async def _body(request: Request, limit: int) -> bytes:
    """Read the body, and stop reading as soon as it is too long."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise HTTPException(413, f"body: must have at most {limit} bytes, got {said}", HANG_UP)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise HTTPException(413, f"body: must have at most {limit} bytes", HANG_UP)
            chunks.append(chunk)
    except ClientDisconnect:
        raise HTTPException(400, "body: must be complete, the client hung up") from None
    return b"".join(chunks)


def _reply(code: int, refusal: Refusal, headers: Any = None) -> Response:
    return Response(msgspec.json.encode(ErrorReply(error=refusal)), code, headers, JSON)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _reply(
        400,
        Refusal(where=error.where, rule=error.rule, got=error.got, hint=error.hint, message=error.message),
    )


async def _shed(_: Request, error: Exception) -> Response:
    assert isinstance(error, ShedError)
    refusal = Refusal(where="service", rule="has no time for the request", message=f"service: {error.why}")
    return _reply(503, refusal, {"retry-after": str(max(round(error.retry_s), 1))})


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where, _colon, rule = error.detail.partition(": ")
    refusal = Refusal(where=where if rule else "request", rule=rule or where, message=error.detail)
    return _reply(error.status_code, refusal, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    message = "the service failed on this request; its log says why"
    return _reply(500, Refusal(where="service", rule=message, message=message))
