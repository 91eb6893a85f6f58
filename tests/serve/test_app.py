"""The service over real sockets: pages, refusals, limits, and still answering after all of them."""

import contextlib
import copy
import json
import socket

import httpx
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from slatewise import Feed, Policy, PolicyError
from slatewise.core.document import Document
from slatewise.serve.wire import Wire
from slatewise.stages import STAGES

ROWS = [
    {"item_id": f"i{row}", "line": line, "p_click": row / 10, "p_share": None, "author": "x", "local": row == 3}
    for row, line in enumerate(["posts", "ads", "posts", "videos", "ads", "posts"])
]
BODY = {"request_id": "r1", "slots": 4, "context": {"tenure": "new"}, "candidates": ROWS}
BODY["history"] = {"author": {"x": 3}, "line": {"ads": 0.5}}
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
JUNK = [None, True, 0, -1, 1e308, "", "x" * 300, [], {}, [None], {"a": 1}, "posts", 2**70, -0.5]


def mutated(document, rng):
    """Return a copy with one node replaced, removed, renamed or doubled."""
    document = copy.deepcopy(document)
    nodes = []

    def visit(node):
        if isinstance(node, dict | list):
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                nodes.append((node, key))
                visit(node[key])

    visit(document)
    node, key = nodes[rng.integers(len(nodes))]
    action = rng.integers(4)
    if action == 0:
        del node[key]
    elif action == 1 and isinstance(node, dict):
        node[f"{key}_"] = node.pop(key)
    elif action == 2 and isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    else:
        node[key] = JUNK[rng.integers(len(JUNK))]
    return document


def test_rows_columns_and_the_library_give_the_same_bytes(client, feed):
    page = feed.compose(Wire(feed.policy).convert(BODY).request).encode()
    assert client.post("/v1/compose", json=BODY).content.startswith(page[:-1])
    assert client.post("/v1/compose", json={**BODY, "candidates": COLUMNS}).content.startswith(page[:-1])


def test_a_trace_comes_when_asked_for_and_the_state_goes_on(client):
    first = client.post("/v1/compose", json={**BODY, "trace": True}).json()
    assert [slot["item_id"] for slot in first["trace"]["slots"]] == [item["item_id"] for item in first["items"]]
    second = client.post("/v1/compose", json={**BODY, "state": first["state"]}).json()
    assert "trace" not in second
    assert not {item["item_id"] for item in first["items"]} & {item["item_id"] for item in second["items"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": [{**ROWS[0], "p_click": "x"}]}, "candidates[0].p_click: must be a number, got 'x'"),
        (
            {"candidates": [{**ROWS[0], "pclick": 1}]},
            "candidates[0].pclick: is not known here; did you mean 'p_click'?",
        ),
        ({"candidates": {**COLUMNS, "p_click": [1.0]}}, "candidates.p_click: must have 6 rows like item_id, got 1"),
        ({"slots": 101}, "slots: must be <= 100, got 101"),
        ({"context": {"tenure": "gnu"}}, "context.tenure: must be one of 'new', 'regular', got 'gnu'"),
        (
            {"candidates": [*ROWS, ROWS[0]]},
            "candidates[6].item_id: must be distinct within line 'posts', got 'i0' again",
        ),
        ({"candidates": [{**ROWS[0], "line": "add"}]}, "candidates[0].line: must be a line of the policy, got 'add'"),
        ({"candidates": [{**ROWS[0], "item_id": "x" * 257}]}, "candidates[0].item_id: must be of length <= 256"),
        ({"candidates": ROWS * 400}, "candidates: must be of length <= 2000"),
        ({"history": {"author": {"x": -1}}}, "history.author.x: must be >= 0, got -1"),
        ({"history": {"authr": {"x": 1}}}, "history.authr: is no column of the policy; did you mean 'author'?"),
        ({"state": "zzz"}, "state: must be a token from an earlier page, got 'zzz'"),
    ],
)
def test_a_field_that_does_not_fit_is_named(client, change, message):
    reply = client.post("/v1/compose", json={**BODY, **change})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        ({"method": "POST", "url": "/v1/compose", "content": b"x", "headers": {"content-type": "text/plain"}}, 415),
        ({"method": "POST", "url": "/v1/compose", "content": b"{}", "headers": {"content-encoding": "gzip"}}, 415),
        ({"method": "POST", "url": "/v1/compose", "content": b" " * 2_000_000}, 413),
        ({"method": "GET", "url": "/v1/compose"}, 405),
        ({"method": "GET", "url": "/nothing"}, 404),
    ],
)
def test_other_refusals_have_the_same_form(client, request_line, code):
    reply = client.request(**request_line)
    assert reply.status_code == code
    assert set(reply.json()["error"]) == {"where", "rule", "got", "hint", "message"}


def test_a_body_without_a_length_is_measured_while_it_is_read(client):
    sent = 0

    def endless():
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 65_536

    # The service hangs up; whether its answer arrives before that is up to the sockets.
    with contextlib.suppress(httpx.TransportError):
        assert client.post("/v1/compose", content=endless()).status_code == 413
    assert sent < 1000
    assert client.get("/healthz").status_code == 200


def test_malformed_bodies_are_refused_and_the_service_goes_on(client):
    rng = np.random.default_rng(3)
    refused = 0
    raw = json.dumps(BODY).encode()
    while refused < 500:
        kind = rng.integers(5)
        if kind == 0:
            body = raw[: rng.integers(len(raw))]
        elif kind == 1:
            body = rng.bytes(int(rng.integers(1, 200)))
        elif kind == 2:
            body = b"[" * int(rng.integers(1, 50_000))
        else:
            body = json.dumps(mutated(BODY if kind == 3 else {**BODY, "candidates": COLUMNS}, rng)).encode()
        reply = client.post("/v1/compose", content=body)
        assert reply.status_code in (200, 400), body
        if reply.status_code == 400:
            refused += 1
            error = reply.json()["error"]
            assert error["where"], body
            assert error["rule"], body
            assert "Traceback" not in error["message"]
    assert client.post("/v1/compose", json=BODY).status_code == 200


def test_malformed_policies_are_refused(feed):
    rng = np.random.default_rng(4)
    document, refusals = feed.policy.document(), []
    while len(refusals) < 500:
        broken = mutated(document, rng)
        try:
            Feed(Policy.parse(Document.parse(json.dumps(broken), "json", "p.json"), STAGES))
        except PolicyError as error:
            refusals.append(error)
    assert all(error.where and error.rule for error in refusals)


def test_a_client_that_hangs_up_costs_nothing(client):
    url = client.base_url
    with socket.create_connection((url.host, url.port)) as raw:
        raw.sendall(b"POST /v1/compose HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert client.get("/healthz").json()["status"] == "ok"


def test_the_openapi_document_describes_what_is_taken_and_sent(client):
    document = client.get("/openapi.json").json()

    def valid(name, value):
        return Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"}).is_valid(value)

    assert valid("ComposeRequest", BODY)
    assert valid("ComposeRequest", {**BODY, "candidates": COLUMNS})
    assert not valid("ComposeRequest", {**BODY, "candidates": [{**ROWS[0], "p_click": "x"}]})
    assert valid("PageDocument", client.post("/v1/compose", json={**BODY, "trace": True}).json())
    assert valid("ErrorReply", client.post("/v1/compose", content=b"{").json())
