"""OpenAPI: what the service takes and returns, generated from the types that decode and encode it."""

from __future__ import annotations

from typing import Any

import msgspec

from slatewise import __version__
from slatewise.serve.replies import ComposeReply, ErrorReply, Health
from slatewise.serve.wire import Wire


def openapi(wire: Wire) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service for the wire's policy."""
    _, schemas = msgspec.json.schema_components(
        [wire.body, ComposeReply, ErrorReply, Health], ref_template="#/components/schemas/{name}"
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
            "200": {"description": "The page.", "content": _json("ComposeReply")},
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
