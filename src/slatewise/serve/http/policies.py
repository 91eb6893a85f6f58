"""Routes for policies: handed in, tried, put to work and taken back over HTTP, by whoever has the token for it.

| route | what it does |
|---|---|
| `GET /v1/policies` | all policies, who serves them, and what was changed |
| `POST /v1/policies` | checks, compiles and keeps a policy |
| `POST /v1/policies/validate` | the same, and keeps nothing |
| `POST /v1/policies/rollback` | takes the canary away, or goes back to the policy before |
| `GET /v1/policies/{policy}` | what it says |
| `POST /v1/policies/{policy}/shadow` | composes the last requests with it, and reports what would change |
| `POST /v1/policies/{policy}/canary` | lets it serve a share of users |
| `POST /v1/policies/{policy}/promote` | lets it serve everybody |

`{policy}` is a hash, or `active`, `canary` or `previous`. Each of them may be asked twice: the second time changes
nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slatewise.serve.http.openapi import PACKED, Operation
from slatewise.serve.rollout.desk import Desk
from slatewise.serve.rollout.diff import Report
from slatewise.serve.rollout.record import Pushed
from slatewise.serve.rollout.registry import LONGEST
from slatewise.serve.rollout.roster import Policies
from slatewise.serve.wire import JSON, decoded

Authorised: TypeAlias = Callable[[Request, Literal["read", "policies"]], str]
"""Returns the name of whoever asks, or raises the refusal."""
Read: TypeAlias = Callable[[Request, int], Awaitable[bytes]]
"""Reads a body of at most so many bytes, or raises the refusal."""
SHORT = 4_096
"""Bytes of a body that is no policy."""

_T = TypeVar("_T")


@final
class ShadowAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On what a policy is to be tried.

    Attributes:
        last: How many of the last requests.
    """

    last: Annotated[int, Meta(ge=1, le=10_000)] = 200


@final
class CanaryAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a policy is to serve.

    Attributes:
        share: Share of users; 0 is nobody.
        force: Whether it may be one that was not tried, or failed when it was.
    """

    share: Annotated[float, Meta(ge=0, le=1)]
    force: bool = False


@final
class PromoteAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a policy is to serve everybody.

    Attributes:
        force: Whether it may be one that was not tried, or failed when it was.
    """

    force: bool = False


@final
class RollbackAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be taken back.

    Attributes:
        of: Hash of the policy that shall serve no more; None takes the canary, or the active policy if there is none.
            A policy that does not serve any more changes nothing.
    """

    of: str | None = None


def routes(desk: Desk, authorised: Authorised, read: Read) -> list[Route]:
    """Return the routes.

    Args:
        desk: The policies.
        authorised: Says who asks.
        read: Reads bodies.
    """

    async def listed(request: Request) -> Response:
        authorised(request, "read")
        return _json(desk.listed())

    async def shown(request: Request) -> Response:
        authorised(request, "read")
        return Response(await desk.document(request.path_params["policy"]), media_type=JSON)

    async def push(request: Request) -> Response:
        who = authorised(request, "policies")
        known = desk.record.hashes
        pushed = await desk.push(await read(request, LONGEST), _media(request), who=who)
        return _json(pushed, 200 if pushed.hash in known else 201)

    async def validate(request: Request) -> Response:
        who = authorised(request, "policies")
        return _json(await desk.validate(await read(request, LONGEST), _media(request), who=who))

    async def shadow(request: Request) -> Response:
        who = authorised(request, "policies")
        asked = _asked(await read(request, SHORT), ShadowAsked)
        return _json(await desk.shadow(request.path_params["policy"], last=asked.last, who=who))

    async def canary(request: Request) -> Response:
        who = authorised(request, "policies")
        asked = _asked(await read(request, SHORT), CanaryAsked)
        await desk.canary(request.path_params["policy"], asked.share, who=who, trial=_trial(asked))
        return _json(desk.listed())

    async def promote(request: Request) -> Response:
        who = authorised(request, "policies")
        asked = _asked(await read(request, SHORT), PromoteAsked)
        await desk.promote(request.path_params["policy"], who=who, trial=_trial(asked))
        return _json(desk.listed())

    async def rollback(request: Request) -> Response:
        who = authorised(request, "policies")
        asked = _asked(await read(request, SHORT), RollbackAsked)
        await desk.rollback(who=who, of=asked.of)
        return _json(desk.listed())

    at = "/v1/policies"
    return [
        Route(at, listed, methods=["GET"]),
        Route(at, push, methods=["POST"]),
        Route(f"{at}/validate", validate, methods=["POST"]),
        Route(f"{at}/rollback", rollback, methods=["POST"]),
        Route(f"{at}/{{policy}}", shown, methods=["GET"]),
        Route(f"{at}/{{policy}}/shadow", shadow, methods=["POST"]),
        Route(f"{at}/{{policy}}/canary", canary, methods=["POST"]),
        Route(f"{at}/{{policy}}/promote", promote, methods=["POST"]),
    ]


def operations() -> list[Operation]:
    """Return the routes as they are described."""
    at, one = "/v1/policies", "/v1/policies/{policy}"
    read: Mapping[str, Any] = {"token": "read", "refusals": (401, 403, 405, 503)}
    refusals = (400, 401, 403, 405, 406, 413, 415, 503)
    change: Mapping[str, Any] = {"token": "policies", "refusals": refusals, "parameters": [PACKED]}
    named: Mapping[str, Any] = {"token": "policies", "refusals": (*refusals, 404, 409), "parameters": [_POLICY]}
    sent = {JSON: dict[str, Any], "application/yaml": str, "application/toml": str}
    return [
        Operation(at, "get", "policies", "Tell all policies, who serves them, and what was changed", Policies, **read),
        Operation(at, "post", "push", "Check, compile and keep a policy", Pushed, sent, codes=(200, 201), **change),
        Operation(f"{at}/validate", "post", "validate", "Check and compile a policy", Pushed, sent, **change),
        Operation(
            f"{at}/rollback",
            "post",
            "rollback",
            "Take the canary away, or go back to the policy before",
            Policies,
            {JSON: RollbackAsked},
            **{**named, "parameters": ()},
        ),
        Operation(
            one,
            "get",
            "policy",
            "Tell what a policy says",
            dict[str, Any],
            **{**read, "refusals": (*read["refusals"], 404), "parameters": [_POLICY]},
        ),
        Operation(
            f"{one}/shadow",
            "post",
            "shadow",
            "Compose the last requests with a policy, and report what would change",
            Report,
            {JSON: ShadowAsked},
            **named,
        ),
        Operation(
            f"{one}/canary",
            "post",
            "canary",
            "Let a policy serve a share of users",
            Policies,
            {JSON: CanaryAsked},
            **named,
        ),
        Operation(
            f"{one}/promote", "post", "promote", "Let a policy serve everybody", Policies, {JSON: PromoteAsked}, **named
        ),
    ]


_POLICY = {
    "name": "policy",
    "in": "path",
    "required": True,
    "description": "Hash of the policy, or `active`, `canary` or `previous`.",
    "schema": {"type": "string"},
}


def _asked(body: bytes, kind: type[_T]) -> _T:
    return decoded(body or b"{}", msgspec.json.Decoder(kind))


def _trial(asked: CanaryAsked | PromoteAsked) -> Literal["needed", "waived"]:
    return "waived" if asked.force else "needed"


def _media(request: Request) -> str:
    return request.headers.get("content-type", JSON).split(";")[0].strip().lower()


def _json(value: Any, code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), code, media_type=JSON)
