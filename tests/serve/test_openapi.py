"""The description of the service: what is taken and sent is what it says, and strangers' tools can work with it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bodies import BODY, COLUMNS, ROWS
from serve.living import listening
from slatewise.serve.http.front import Front
from slatewise.serve.http.openapi import Operation, openapi, operator_operations
from slatewise.serve.http.replies import Health
from slatewise.serve.limits import Limits
from slatewise.serve.process.assembly import put_together
from slatewise.serve.process.meters import Meters
from slatewise.serve.process.settings import Settings
from slatewise.serve.wire import JSON, Wire

KEPT = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
STREAMED = ("application/vnd.apache.arrow.stream", "application/yaml", "application/toml")
OVERRIDES = "content_type_overrides:\n" + "".join(f"  {media}: application/octet-stream\n" for media in STREAMED)
TOKEN = "opens-everything-here"
OWN = {("/readyz", "GET"), ("/metrics", "GET"), ("/openapi.json", "GET")}
"""What is answered in front of the application, and the description itself."""


@pytest.fixture(scope="module")
def parts(feed):
    return put_together(feed.policy, Settings(token=TOKEN), Meters())


@pytest.fixture(scope="module")
def client(feed, parts):
    """A client of the whole service, who may do everything."""
    front = Front(Meters())
    front.open(parts.app, pages=parts.pages, policy=lambda: feed.policy.hash, spans=None)
    with listening(front, {"authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def test_the_document_describes_what_is_taken_and_sent(client, document):
    def valid(name, value):
        return Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"}).is_valid(value)

    assert valid("ComposeRequest", BODY)
    assert valid("ComposeRequest", {**BODY, "candidates": COLUMNS})
    assert not valid("ComposeRequest", {**BODY, "candidates": [{**ROWS[0], "p_click": "x"}]})
    assert not valid("BatchRequest", {"requests": []})
    assert valid("ComposeReply", client.post("/v1/compose", json={**BODY, "trace": True}).json())
    assert valid("ExplainReply", client.post("/v1/explain?costs=true", json=BODY).json())
    batch = client.post("/v1/compose/batch", json={"requests": [BODY, {}]}).json()
    assert valid("BatchReply", batch)
    assert not valid("ComposeReply", batch)
    assert valid("ErrorReply", client.post("/v1/compose", content=b"{").json())
    assert valid("Health", client.get("/healthz").json())


def test_every_route_is_described_and_every_example_is_taken(client, document, parts):
    routes = {(route.path, method) for route in parts.app.routes for method in route.methods}
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert {route for route in routes if route[1] != "HEAD"} | OWN == described | {("/openapi.json", "GET")}
    assert all(client.get(path).status_code == 200 for path, _ in OWN)
    examples = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {"content": {}})["content"].get("application/json", {})
            for example in body.get("examples", {}).values():
                examples += 1
                reply = client.request(method, path, json=example["value"])
                assert reply.status_code == 200, reply.text
    assert examples >= 5


def test_the_document_has_the_limits_of_the_service(feed):
    document = openapi(Wire(feed.policy, Limits(slots=7)), Limits(batch=3))
    schemas = document["components"]["schemas"]
    assert schemas["BatchRequest"]["properties"]["requests"]["maxItems"] == 3
    assert schemas["ComposeRequest"]["properties"]["slots"]["anyOf"][0]["maximum"] == 7


def test_what_wants_a_token_is_what_is_refused_without(client, document):
    wanted = {"open": set(), "token": set()}
    with httpx.Client(base_url=client.base_url, timeout=30) as stranger:
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                closed = stranger.request(method, path, content=b"{}").status_code == 401
                assert closed == ("security" in operation), (method, path)
                wanted["token" if closed else "open"].add(path)
    assert (len(wanted["open"]), len(wanted["token"])) == (6, 8)


def test_other_parts_of_a_service_add_their_operations(feed):
    told = Operation(
        "/v1/events", "post", "tell", "Tell events", Health, {JSON: Health}, (200, 202), (401, 503), token="events"
    )
    document = openapi(Wire(feed.policy), more=[*operator_operations(), told])
    described = document["paths"]["/v1/events"]["post"]
    assert described["security"] == [{"token": []}]
    assert list(described["responses"]) == ["200", "202", "401", "503"]
    assert "Retry-After" in described["responses"]["503"]["headers"]
    assert list(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_a_strangers_generator_makes_a_client_that_works(client, document, tmp_path):
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.yaml").write_text(OVERRIDES + "post_hooks: []\n")
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--path", "openapi.json"]
    command += ["--config", "config.yaml", "--meta", "none", "--output-path", "stranger", "--fail-on-warning"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert made.returncode == 0, made.stdout + made.stderr
    asked = f"""
import json
from stranger import AuthenticatedClient
from stranger.api.default import compose, events, health, policies
from stranger.models import ComposeRequest, EventBatch
client = AuthenticatedClient(base_url={str(client.base_url)!r}, timeout=30, token={TOKEN!r})
body = ComposeRequest.from_dict(json.loads({json.dumps(BODY)!r}))
page = compose.sync(client=client, body=body)
seen = dict(id="1", source="s", type="impression", time=1.0, page=page.served.page, item_id=page.items[0].item_id)
told = events.sync(client=client, body=EventBatch.from_dict(dict(events=[seen])))
assert policies.sync(client=client).record.active == page.policy
print(health.sync(client=client).status, told.late, [item.item_id for item in page.items])
"""
    ran = subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=False)
    items = [item["item_id"] for item in client.post("/v1/compose", json=BODY).json()["items"]]
    assert ran.stdout.strip() == f"ok 1 {items}", ran.stderr
    assert importlib.util.find_spec("stranger") is None  # it was made in a folder of its own


def test_replies_keep_to_the_document_whatever_is_asked(client, document):
    """Requests that the document allows, and some that it does not, from a tool that reads only the document."""
    document = json.loads(json.dumps(document))
    for methods in document["paths"].values():
        for operation in methods.values():  # the tool makes up bytes for streams, and these are fuzzed elsewhere
            for media in STREAMED:
                operation.get("requestBody", {"content": {}})["content"].pop(media, None)
    schema, codes = schemathesis.openapi.from_dict(document), []
    for found in schema.get_all_operations():

        @settings(max_examples=60, suppress_health_check=list(HealthCheck), database=None)
        @given(case=found.ok().as_strategy())
        def keeps_to_it(case):
            reply = case.call(base_url=str(client.base_url), headers=dict(client.headers))
            codes.append(reply.status_code)
            if reply.status_code != 503:
                case.validate_response(reply, checks=KEPT)

        keeps_to_it()
    assert codes.count(200) >= 10
    assert codes.count(400) >= 10
