"""OpenAPI: what the service takes and returns, generated from the types that decode and encode it.

Each part of the service describes its own routes as `Operation`s; this module makes one document of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, cast

import msgspec

from slatewise import __version__
from slatewise.serve.arrow import ARROW, METADATA
from slatewise.serve.http.headers import ENCODINGS, LONGEST_MS
from slatewise.serve.http.replies import BatchReply, ComposeReply, ErrorReply, ExplainReply, Health
from slatewise.serve.limits import Limits
from slatewise.serve.wire import BUDGET, JSON, POLICY, RUNG, START, Wire

_REF = "#/components/schemas/{name}"

PACKED = {
    "name": "Content-Encoding",
    "in": "header",
    "required": False,
    "description": "How the body is compressed.",
    "schema": {"type": "string", "enum": list(ENCODINGS), "default": ENCODINGS[0]},
}
"""Parameter of a route that is asked with large bodies."""

_REASONS = {
    400: "The body, a parameter or a header does not fit.",
    401: "There is no token, or it is not known.",
    403: "The token does not allow this.",
    404: "There is nothing of that name.",
    405: "The route takes another method.",
    406: "The reply is JSON, and that is not accepted.",
    409: "It cannot be done now.",
    413: "The body is longer than the service takes.",
    415: "The body is of another media type or encoding.",
    500: "The service failed; its log says why.",
    503: "There is no time for the request; `Retry-After` says when there may be.",
}


class Operation(NamedTuple):
    """One method of one route.

    Attributes:
        path: Its path; `{name}` stands for a parameter.
        method: The method, in lower case.
        name: Name of the operation, as generated clients call it.
        summary: What it does.
        replies: The type of a success; text stands for plain text of that media type.
        asks: Media type to the type of the body; empty if it takes none.
        codes: Codes of successes, each with that reply.
        refusals: Codes of refusals, all with an `ErrorReply`.
        parameters: Parameters of path, query and headers.
        headers: Name of a header of the reply to what it says.
        examples: Name to a body as an example of it.
        token: Scope of the bearer token that it wants; empty if none.
    """

    path: str
    method: str
    name: str
    summary: str
    replies: Any
    asks: Mapping[str, Any] = {}
    codes: Sequence[int] = (200,)
    refusals: Sequence[int] = ()
    parameters: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = {}
    examples: Mapping[str, Any] = {}
    token: str = ""


def openapi(wire: Wire, limits: Limits | None = None, more: Iterable[Operation] = ()) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service for the wire's policy.

    Args:
        wire: What decodes requests.
        limits: Of batches; those of requests are the wire's.
        more: Operations of other parts of the service.
    """
    batch = _batch_type(wire, limits or Limits())
    operations = [*page_operations(wire, batch), *more]
    kinds = [wire.rest, ErrorReply, *(kind for operation in operations for kind in _kinds(operation))]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "slatewise",
            "version": __version__,
            "description": "Composes the page that is served from scored candidates of several business lines.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: _bounded(schemas[name]) for name in sorted(schemas)},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token from the operator's settings."}
            },
        },
    }


def page_operations(wire: Wire, batch: type[msgspec.Struct]) -> list[Operation]:
    """Return the routes that compose pages, and those that tell how the service is."""
    timely = [
        _parameter("header", BUDGET, "Time for the page in ms, from its arrival to the reply; else the policy's.")
        | {"schema": {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_MS}},
        _parameter("header", START, "When the first proxy had the request, in ms since 1970; absurd ages count as 0.")
        | {"schema": {"type": "number"}},
    ]
    costs = _parameter("query", "costs", "Whether to say what each rule costs.") | {
        "schema": {"type": "string", "enum": ["true", "false"], "default": "false"}
    }
    refusals = (400, 405, 406, 413, 415, 503)
    rows = {"request_id": "r-1", "candidates": [_sample(wire)]}
    columns = {**rows, "candidates": {name: [value] for name, value in _sample(wire).items()}}
    both: dict[str, Any] = {JSON: wire.body, ARROW: bytes}
    return [
        Operation(
            "/v1/compose",
            "post",
            "compose",
            "Compose a page",
            ComposeReply,
            both,
            refusals=refusals,
            parameters=timely,
            headers={POLICY: "Hash of the policy that served the page.", RUNG: "Name of the rung that composed it."},
            examples={"rows": rows, "columns": columns},
        ),
        Operation(
            "/v1/compose/batch",
            "post",
            "compose_batch",
            "Compose the pages of many requests, within one budget",
            BatchReply,
            {JSON: batch},
            refusals=refusals,
            parameters=timely,
            examples={"two": {"requests": [rows, columns]}},
        ),
        Operation(
            "/v1/explain",
            "post",
            "explain",
            "Compose a page with its trace, without serving it",
            ExplainReply,
            both,
            refusals=refusals,
            parameters=[costs],
            examples={"rows": rows},
        ),
        Operation("/healthz", "get", "health", "Tell that the service is up", Health, refusals=(405,)),
    ]


def operator_operations() -> list[Operation]:
    """Return the routes that load balancers and monitoring ask."""
    return [
        Operation(
            "/readyz",
            "get",
            "ready",
            "Tell whether requests should be sent here",
            Health,
            codes=(200, 503),
            refusals=(405,),
        ),
        Operation(
            "/metrics", "get", "metrics", "Tell what was measured, for Prometheus", "text/plain", refusals=(405,)
        ),
    ]


def _described(operation: Operation) -> dict[str, Any]:
    """Return an operation as OpenAPI has it."""
    reply = operation.replies
    content = {reply: {"schema": {"type": "string"}}} if isinstance(reply, str) else _content(JSON, reply)
    success: dict[str, Any] = {"description": "Done.", "content": content}
    if operation.headers:
        success["headers"] = {
            name: {"description": text, "required": True, "schema": {"type": "string"}}
            for name, text in operation.headers.items()
        }
    said: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": list(operation.parameters),
        "responses": {
            **{str(code): success for code in operation.codes},
            **{str(code): _refused(code) for code in operation.refusals},
        },
    }
    if operation.asks:
        body = {name: one for media, kind in operation.asks.items() for name, one in _content(media, kind).items()}
        for media in (JSON,) if operation.examples else ():
            body[media]["examples"] = {name: {"value": value} for name, value in operation.examples.items()}
        said["requestBody"] = {"required": True, "content": body}
    if operation.token:
        said["security"] = [{"token": []}]
        said["description"] = f"Wants a token with scope `{operation.token}`."
    return {name: value for name, value in said.items() if value != []}


def _content(media: str, kind: Any) -> dict[str, Any]:
    if kind is bytes:
        told = f"An Arrow IPC stream: candidates as columns, and `StreamMetadata` under `{METADATA.decode()}`."
        return {media: {"schema": {"type": "string", "format": "binary", "description": told}}}
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return {media: {"schema": schema}}


def _refused(code: int) -> dict[str, Any]:
    said = {"description": _REASONS[code], "content": _content(JSON, ErrorReply)}
    if code == 503:
        after = {"description": "Seconds to wait.", "required": True, "schema": {"type": "string"}}
        said["headers"] = {"Retry-After": after}
    return said


def _parameter(place: str, name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "description": description}


def _bounded(schema: Any) -> Any:
    """Return a schema whose tuples are bounded by their length alone; generators stumble over `items: false`."""
    if isinstance(schema, list):
        return [_bounded(one) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, Any]", schema)
    return {name: _bounded(value) for name, value in found.items() if name != "items" or value is not False}


def _kinds(operation: Operation) -> list[Any]:
    kinds = (operation.replies, *operation.asks.values())
    return [kind for kind in kinds if kind is not bytes and not isinstance(kind, str)]


def _batch_type(wire: Wire, limits: Limits) -> type[msgspec.Struct]:
    many = Annotated[list[wire.body], msgspec.Meta(min_length=1, max_length=limits.batch)]
    return msgspec.defstruct(
        "BatchRequest",
        [("requests", many)],
        forbid_unknown_fields=True,
        frozen=True,
        namespace={"__doc__": "Pages asked for."},
    )


def _sample(wire: Wire) -> dict[str, Any]:
    """Return a candidate with a plain value in every column."""
    made_up: dict[str, Any] = {
        "number": 0.5,
        "key": "a",
        "keys": ["a", "b"],
        "flag": True,
        "embedding": [0.6, 0.8],
    }
    columns = {name: made_up[kind.rstrip("?")] for name, kind in wire.kinds.items()}
    return {"item_id": "item-1", "line": wire.lines[0], **columns}
