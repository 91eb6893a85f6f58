"""Routes: what a body that arrives over HTTP goes through, for one page, for many, and for an explanation."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, NamedTuple, TypeAlias, final
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from slatewise.core.errors import RequestError, shown
from slatewise.serve.arrow import ARROW
from slatewise.serve.http.body import Receive, read_body
from slatewise.serve.http.explain import Depth, Explainer
from slatewise.serve.http.headers import said
from slatewise.serve.http.refusals import refusal_of
from slatewise.serve.limits import Limits
from slatewise.serve.service import Answer, Call, Service
from slatewise.serve.timing.arrival import ARRIVED
from slatewise.serve.timing.gate import ShedError
from slatewise.serve.wire import JSON, POLICY, RUNG, decoded

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PLAIN = " !#$&'()*+,/:;<=>?@[]^`{|}"
"""What stands in a header as it is, beside letters and digits; the rest of a name is written as in addresses."""

COMPOSE, BATCH, EXPLAIN = "/v1/compose", "/v1/compose/batch", "/v1/explain"

_POLICY, _RUNG, _TYPE = POLICY.lower().encode(), RUNG.lower().encode(), (b"content-type", JSON.encode())


class Taken(NamedTuple):
    """What a route takes.

    Attributes:
        media: Media types of bodies.
        limit: Bytes of a body.
    """

    media: tuple[str, ...]
    limit: int


@final
class BodyRoute:
    """An ASGI application that reads a body within its limits and answers it."""

    def __init__(self, service: Service, taken: Taken, answer: Callable[[Call, Scope], Awaitable[ASGIApp]]) -> None:
        """Take what reads and what answers."""
        self.service, self._taken, self._answer = service, taken, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; refusals are raised, and answered by the application around."""
        headers = said(dict(scope["headers"]), media=self._taken.media)
        body = await read_body(receive, headers, self._taken.limit)
        call = Call(body, headers.media, scope[ARRIVED], headers.budget_ms)
        response = await self._answer(call, scope)
        await response(scope, receive, send)


@final
class _Page:
    """Sends a page, without what a response for any purpose would look at."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        body, policy, rung = self._answer
        named = (_POLICY, policy.encode()), (_RUNG, quote(rung, safe=PLAIN).encode())
        headers = [*named, (b"content-length", b"%d" % len(body)), _TYPE]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def page_routes(service: Service, limits: Limits) -> list[Route]:
    """Return the routes that compose pages."""
    both, explainer = (JSON, ARROW), Explainer(service)
    batches = msgspec.json.Decoder(_batch_type(limits))

    async def compose(call: Call, _: Scope) -> ASGIApp:
        answer = await service.answer(call)
        return _Page(answer)

    async def batch(call: Call, _: Scope) -> Response:
        sent = decoded(call.body, batches)
        bodies = [await _entry(service, call._replace(body=bytes(raw)), limits) for raw in sent.requests]
        return Response(b'{"replies":[' + b",".join(bodies) + b"]}", media_type=JSON)

    async def explain(call: Call, scope: Scope) -> Response:
        return Response(await explainer.explain(call, _depth(scope["query_string"])), media_type=JSON)

    table = {
        COMPOSE: (Taken(both, limits.body_bytes), compose),
        BATCH: (Taken((JSON,), limits.batch_bytes), batch),
        EXPLAIN: (Taken(both, limits.body_bytes), explain),
    }
    return [Route(path, BodyRoute(service, taken, answer), methods=["POST"]) for path, (taken, answer) in table.items()]


async def _entry(service: Service, call: Call, limits: Limits) -> bytes:
    """Return the reply to one request of a batch: its page, or its own error."""
    await sleep(0)  # requests that came in meanwhile are not kept waiting for a whole batch
    try:
        if len(call.body) > limits.body_bytes:
            raise HTTPException(413, f"body: must have at most {limits.body_bytes} bytes, got {len(call.body)}")
        return b'{"page":' + (await service.answer(call)).body + b"}"
    except (RequestError, ShedError, HTTPException) as error:
        return refusal_of(error).body


def _batch_type(limits: Limits) -> type[msgspec.Struct]:
    many = Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=limits.batch)]
    return msgspec.defstruct("BatchRequest", [("requests", many)], forbid_unknown_fields=True, frozen=True)


def _depth(query: bytes) -> Depth:
    asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    costs = asked.get("costs", "false")
    if costs not in ("true", "false"):
        raise RequestError("costs", "must be true or false", shown(costs))
    return "costs" if costs == "true" else "trace"
