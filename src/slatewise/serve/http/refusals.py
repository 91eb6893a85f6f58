"""Refusals: what is said, and with which code, when a request gets no page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from slatewise.core.errors import SlatewiseError
from slatewise.serve.http.replies import ErrorReply, Refusal
from slatewise.serve.rollout.record import NoPolicyError, NotYetError
from slatewise.serve.state.store.contract import StoreError
from slatewise.serve.timing.gate import ShedError
from slatewise.serve.wire import JSON

REFUSALS = (SlatewiseError, StoreError, ShedError, HTTPException)
"""What is not a fault of ours."""

log = logging.getLogger("slatewise.serve")


class Answer(NamedTuple):
    """A refusal over HTTP.

    Attributes:
        code: Its code.
        body: Its body.
        headers: Headers besides.
    """

    code: int
    body: bytes
    headers: Mapping[str, str] | None = None


def refusal_of(error: Exception) -> Answer:
    """Return what is said of an error; what is none of ours is not told."""
    match error:
        case SlatewiseError():
            code = 404 if isinstance(error, NoPolicyError) else 409 if isinstance(error, NotYetError) else 400
            refusal = Refusal(
                code=code, where=error.where, rule=error.rule, got=error.got, hint=error.hint, message=error.message
            )
            return _answer(refusal)
        case StoreError():
            rule, got = "must be there to change policies", str(error)
            refusal = Refusal(code=503, where="store", rule=rule, got=got, message=f"store: {rule} ({got})")
            return _answer(refusal, {"retry-after": "1"})
        case ShedError():
            rule = "must have time for the request"
            refusal = Refusal(code=503, where="service", rule=rule, got=error.why, message=f"service: {rule}")
            return _answer(refusal, {"retry-after": str(max(ceil(error.retry_s), 1))})
        case HTTPException():
            where, _colon, rule = error.detail.partition(": ")
            refusal = Refusal(
                code=error.status_code, where=where if rule else "request", rule=rule or where, message=error.detail
            )
            return _answer(refusal, error.headers)
        case _:
            message = "the service failed on this request; its log says why"
            return _answer(Refusal(code=500, where="service", rule=message, message=message))


async def refused(request: Request, error: Exception) -> Response:
    """Answer a request that failed; what is a fault of ours is logged."""
    answer = refusal_of(error)
    if answer.code == 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Response(answer.body, answer.code, answer.headers, JSON)


def _answer(refusal: Refusal, headers: Any = None) -> Answer:
    return Answer(refusal.code, msgspec.json.encode(ErrorReply(error=refusal)), headers)
