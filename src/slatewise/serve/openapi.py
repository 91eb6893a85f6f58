"""OpenAPI: what the service takes and returns, generated from the types that decode and encode it."""

from __future__ import annotations

from typing import Any

import msgspec

from slatewise import __version__
from slatewise.core.page import PageDocument
from slatewise.serve.wire import Wire


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused.

    Attributes:
        where: Path of the field.
        rule: What would have been right.
        got: The offending value, shortened.
        hint: What to do, or the nearest valid name.
        message: All of it in one sentence.
    """

    where: str
    rule: str
    got: str | None = None
    hint: str = ""
    message: str


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every reply that is no success.

    Attributes:
        error: Why.
    """

    error: Refusal


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That the service is up.

    Attributes:
        status: Always `ok`; a service that is not up does not answer.
        policy: Content hash of the policy that it serves.
        version: Version of the software.
    """

    status: str
    policy: str
    version: str


def openapi(wire: Wire) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service for the wire's policy."""
    _, schemas = msgspec.json.schema_components(
        [wire.body, PageDocument, ErrorReply, Health], ref_template="#/components/schemas/{name}"
    )
    refused = {
        "400": "The body is not JSON, or a field does not fit the policy.",
        "413": "The body is larger than the service takes.",
        "415": "The body is of another media type, or compressed.",
    }
    compose = {
        "operationId": "compose",
        "summary": "Compose a page",
        "requestBody": {"required": True, "content": _json("ComposeRequest")},
        "responses": {
            "200": {"description": "The page.", "content": _json("PageDocument")},
            **{code: {"description": why, "content": _json("ErrorReply")} for code, why in refused.items()},
        },
    }
    health = {
        "operationId": "health",
        "summary": "Tell that the service is up",
        "responses": {"200": {"description": "It is up.", "content": _json("Health")}},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "slatewise",
            "version": __version__,
            "description": "Composes the page that is served from scored candidates of several business lines.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {"/v1/compose": {"post": compose}, "/healthz": {"get": health}},
        "components": {"schemas": schemas},
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
