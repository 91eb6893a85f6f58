"""Routes: what a body that arrives over HTTP goes through, for one page, for many, and for an explanation.

    headers -> gate -> body -> answer -> reply, or a refusal

Who finds the way to a route does not matter, as all of it is in the route itself: a router that looks at everything, or
a table of paths.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, TypeAlias, final
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import Request

from slatewise.core.errors import RequestError, shown
from slatewise.serve.arrow import ARROW
from slatewise.serve.http.body import Receive, read_body
from slatewise.serve.http.explain import Depth, Explainer
from slatewise.serve.http.headers import said
from slatewise.serve.http.refusals import REFUSALS, refusal_of, refused
from slatewise.serve.limits import Limits
from slatewise.serve.service import Call, Service
from slatewise.serve.timing import arrival
from slatewise.serve.timing.arrival import ARRIVED
from slatewise.serve.timing.gate import REPLIES, ShedError
from slatewise.serve.wire import JSON, POLICY, RUNG, decoded

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = Mapping[bytes, bytes]

PLAIN = " !#$&'()*+,/:;<=>?@[]^`{|}"
"""What stands in a header as it is, beside letters and digits; the rest of a name is written as in addresses."""

COMPOSE, BATCH, EXPLAIN = "/v1/compose", "/v1/compose/batch", "/v1/explain"

_TYPE = (b"content-type", JSON.encode())


class Taken(NamedTuple):
    """What a route takes.

    Attributes:
        media: Media types of bodies.
        limit: Bytes of a body.
    """

    media: tuple[str, ...]
    limit: int


class Reply(NamedTuple):
    """What a route replies.

    Attributes:
        body: The body, as JSON.
        headers: Headers beside its type and its length.
    """

    body: bytes
    headers: tuple[Header, ...] = ()


@final
class PageRoute:
    """An ASGI application that lets requests in, reads their bodies within limits and answers them."""

    def __init__(self, service: Service, taken: Taken, answer: Callable[[Call, Scope], Awaitable[Reply]]) -> None:
        """Take what composes, which bodies are taken, and what answers."""
        self.service, self._taken, self._answer = service, taken, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what there is no time for is turned away before its body is read."""
        gate, headers = self.service.gate, dict(scope["headers"])
        try:
            arrived = self._enter(headers, scope)
        except ShedError as error:
            for message in REPLIES[error.why]:
                await send(message)
            return
        try:
            await self._answered(headers, arrived, scope, receive, send)
        finally:
            gate.leave()

    def _enter(self, headers: Headers, scope: Scope) -> float:
        """Return when a request arrived that is let in."""
        service = self.service
        now, active = service.clock(), service.rollout.active
        budget_ms, age_s = arrival.said(headers, service.today())
        arrived = min(scope.get(ARRIVED, now), now - service.gate.believed(age_s))
        due = arrived + (budget_ms or active.policy.head.serve.budget_ms) / 1e3
        service.gate.enter(now=now, due=due, least_s=active.pilot.least_s(now))
        return arrived

    async def _answered(self, headers: Headers, arrived: float, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            told = said(headers, media=self._taken.media)
            body = await read_body(receive, told, self._taken.limit)
            reply = await self._answer(Call(body, told.media, arrived, told.budget_ms), scope)
        except REFUSALS as error:
            response = await refused(Request(scope), error)
            await response(scope, receive, send)
            return
        named = [*reply.headers, (b"content-length", b"%d" % len(reply.body)), _TYPE]
        await send({"type": "http.response.start", "status": 200, "headers": named})
        await send({"type": "http.response.body", "body": reply.body})


def page_routes(service: Service, limits: Limits) -> dict[str, PageRoute]:
    """Return the routes that compose pages, by path; each is asked by POST."""
    both, explainer = (JSON, ARROW), Explainer(service)
    batches = msgspec.json.Decoder(_batch_type(limits))

    async def compose(call: Call, _: Scope) -> Reply:
        body, policy, rung = await service.answer(call)
        return Reply(body, named(policy, rung))

    async def batch(call: Call, _: Scope) -> Reply:
        sent = decoded(call.body, batches)
        bodies = [await _entry(service, call._replace(body=bytes(raw)), limits) for raw in sent.requests]
        return Reply(b'{"replies":[' + b",".join(bodies) + b"]}")

    async def explain(call: Call, scope: Scope) -> Reply:
        return Reply(await explainer.explain(call, _depth(scope["query_string"])))

    return {
        COMPOSE: PageRoute(service, Taken(both, limits.body_bytes), compose),
        BATCH: PageRoute(service, Taken((JSON,), limits.batch_bytes), batch),
        EXPLAIN: PageRoute(service, Taken(both, limits.body_bytes), explain),
    }


@lru_cache(64)
def named(policy: str, rung: str) -> tuple[Header, ...]:
    """Return the headers that say how a page was served."""
    return (POLICY.lower().encode(), policy.encode()), (RUNG.lower().encode(), quote(rung, safe=PLAIN).encode())


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
