"""The service over real sockets: pages, refusals, limits, and still answering after all of them."""

import asyncio
import contextlib
import gzip
import json
import socket
import time
import tracemalloc
import zlib
from unittest.mock import Mock

import httpx
import msgspec
import numpy as np
import pyarrow
import pytest
from starlette.exceptions import HTTPException

from bodies import BODY, COLUMNS, REST, ROWS, mutated, streamed
from slatewise import Feed, Policy, PolicyError, RequestError
from slatewise.core.document import Document
from slatewise.core.serving import Serving
from slatewise.serve.arrow import ARROW
from slatewise.serve.events.seal import Seal
from slatewise.serve.http.app import application, assembled
from slatewise.serve.http.body import read_body
from slatewise.serve.http.explain import Explainer
from slatewise.serve.http.headers import Said
from slatewise.serve.http.replies import BatchReply, ComposeReply
from slatewise.serve.http.routes import page_routes
from slatewise.serve.limits import Limits
from slatewise.serve.log.journal import Journal
from slatewise.serve.rollout.rollout import Deployed, Rollout
from slatewise.serve.service import Answer, Call, Service
from slatewise.serve.state.shared import Remembered, Shared
from slatewise.serve.wire import JSON, Wire
from slatewise.stages import STAGES


def test_rows_columns_streams_and_the_library_give_the_same_bytes(client, feed):
    page = feed.compose(Wire(feed.policy).convert(BODY).request).encode()
    assert client.post("/v1/compose", json=BODY).content.startswith(page[:-1])
    assert client.post("/v1/compose", json={**BODY, "candidates": COLUMNS}).content.startswith(page[:-1])
    stream = streamed(COLUMNS, REST, types={"p_share": pyarrow.float64()}, dictionaries=["line"])
    reply = client.post("/v1/compose", content=stream, headers={"content-type": ARROW})
    assert reply.content.startswith(page[:-1])
    assert (reply.headers["x-slatewise-policy"], reply.headers["x-slatewise-rung"]) == (feed.policy.hash, "full")


@pytest.mark.parametrize("trace", [False, True])
def test_a_reply_has_the_bytes_of_its_type(client, trace):
    reply = client.post("/v1/compose", json={**BODY, "trace": trace})
    assert reply.headers["content-type"] == JSON
    assert msgspec.json.encode(msgspec.json.decode(reply.content, type=ComposeReply)) == reply.content


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
    ("request_line", "code", "where"),
    [
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "content-type"),
        ({"content": b"{}", "headers": {"content-encoding": "br"}}, 415, "content-encoding"),
        ({"content": b"{}", "headers": {"accept": "text/html"}}, 406, "accept"),
        ({"content": b"{}", "headers": {"accept": "application/json;q=0, */*"}}, 406, "accept"),
        ({"content": b" " * 2_000_000}, 413, "body"),
        ({"content": b"{}", "headers": {"content-encoding": "gzip"}}, 400, "body"),
        ({"content": b"{}", "headers": {"content-encoding": "zstd"}}, 400, "body"),
        ({"content": b"{}", "headers": {"content-type": ARROW}}, 400, "body"),
        ({"url": "/v1/compose/batch", "content": b"", "headers": {"content-type": ARROW}}, 415, "content-type"),
        ({"url": "/v1/compose/batch", "content": b" " * 16_777_217}, 413, "body"),
        ({"method": "GET"}, 405, "request"),
        ({"method": "GET", "url": "/nothing"}, 404, "request"),
    ],
)
def test_other_refusals_have_the_same_form(client, request_line, code, where):
    reply = client.request(**{"method": "POST", "url": "/v1/compose"} | request_line)
    assert reply.status_code == code
    error = reply.json()["error"]
    assert set(error) == {"code", "where", "rule", "got", "hint", "message"}
    assert (error["code"], error["where"]) == (code, where)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/*;q=0.5", "APPLICATION/JSON"])
def test_whoever_accepts_json_gets_it(client, accept):
    assert client.post("/v1/compose", json=BODY, headers={"accept": accept}).status_code == 200


@pytest.mark.parametrize(
    ("header", "value", "message"),
    [
        ("X-Slatewise-Budget-Ms", "0", "must be > 0 and <= 60000, got 0"),
        ("X-Slatewise-Budget-Ms", "60001", "must be > 0 and <= 60000, got 60001"),
        ("X-Slatewise-Budget-Ms", "nan", "must be a number of milliseconds, got 'nan'"),
        ("X-Slatewise-Budget-Ms", "soon", "must be a number of milliseconds, got 'soon'"),
        ("X-Slatewise-Start", "inf", "must be a number of milliseconds, got 'inf'"),
        ("X-Slatewise-Start", "9" * 40, "must be a number of milliseconds, got '999"),
    ],
)
def test_a_header_that_is_nonsense_is_refused(client, header, value, message):
    reply = client.post("/v1/compose", json=BODY, headers={header: value})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(f"{header}: {message}")


def test_a_request_without_time_left_is_turned_away(client):
    started = str((time.time() - 30) * 1e3)
    headers = {"X-Slatewise-Start": started, "X-Slatewise-Budget-Ms": "1000"}
    reply = client.post("/v1/compose", json=BODY, headers=headers)
    assert (reply.status_code, reply.json()["error"]["got"]) == (503, "deadline")
    assert int(reply.headers["retry-after"]) >= 1
    assert client.post("/v1/compose", json=BODY, headers={"X-Slatewise-Start": started}).status_code == 200


@pytest.mark.parametrize("start", ["0", "-5", "1e300", str(4_000_000_000_000)])
def test_an_absurd_start_is_not_believed(client, start):
    assert client.post("/v1/compose", json=BODY, headers={"X-Slatewise-Start": start}).status_code == 200


def zstd(body):
    return pyarrow.compress(body, "zstd", asbytes=True)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_a_packed_body_is_unpacked_within_the_limit(client, encoding, pack):
    raw = json.dumps(BODY).encode()

    def ask(body):
        return client.post("/v1/compose", content=body, headers={"content-encoding": encoding})

    assert ask(pack(raw)).json()["items"] == client.post("/v1/compose", content=raw).json()["items"]
    assert ask(pack(raw + b" " * 900_000)).status_code == 200
    assert ask(pack(b" " * 100_000_000)).status_code == 413
    assert ask(pack(raw)[:-3]).status_code == 400
    assert ask(pack(raw) + b"x").status_code == 400
    assert ask(pack(raw)[:10] + b"x" * 50).status_code == 400


def test_a_bomb_is_measured_while_it_is_unpacked(monkeypatch):
    """Neither the whole of what a body unpacks to, nor more of the body than that takes, is ever held."""
    packed = gzip.compress(b" " * 50_000_000)
    unpacked, packer = [], zlib.decompressobj

    class Watched:
        def __init__(self, *arguments):
            self._inner = packer(*arguments)

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def decompress(self, chunk, most):
            unpacked.append(len(out := self._inner.decompress(chunk, most)))
            return out

    monkeypatch.setattr(zlib, "decompressobj", Watched)

    async def receive():
        return {"type": "http.request", "body": packed, "more_body": False}

    headers = Said("application/json", "gzip", None, None)
    with pytest.raises(HTTPException, match="body: must have at most 1000 bytes") as caught:
        asyncio.run(read_body(receive, headers, limit=1000))
    assert caught.value.status_code == 413
    assert sum(unpacked) <= 1001


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_a_body_that_cannot_be_unpacked_leaves_nothing_in_memory(encoding, pack):
    packed = pack(json.dumps(BODY).encode())[:-3]

    async def receive():
        return {"type": "http.request", "body": packed, "more_body": False}

    def refuse():
        with pytest.raises(RequestError):
            asyncio.run(read_body(receive, Said(JSON, encoding, None, None), limit=100_000))

    refuse()
    tracemalloc.start()
    for _ in range(50):
        refuse()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000


def test_a_batch_has_a_reply_for_each_request_in_order(client):
    bad = {**BODY, "slots": 0}
    reply = client.post("/v1/compose/batch", json={"requests": [BODY, bad, {**BODY, "candidates": COLUMNS}]})
    assert reply.status_code == 200
    first, second, third = reply.json()["replies"]
    assert first["page"]["items"] == third["page"]["items"] == client.post("/v1/compose", json=BODY).json()["items"]
    assert (second["error"]["code"], second["error"]["message"]) == (400, "slots: must be >= 1, got 0")
    assert len(msgspec.json.decode(reply.content, type=BatchReply).replies) == 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"requests": []}, "requests: must be of length >= 1, got []"),
        ({"requests": [{}] * 65}, "requests: must be of length <= 64"),
        ({"request": [{}]}, "request: is not known here; did you mean 'requests'?"),
        ([], "body: must be a mapping, got []"),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(client, body, message):
    reply = client.post("/v1/compose/batch", json=body)
    assert (reply.status_code, reply.json()["error"]["message"][: len(message)]) == (400, message)


def test_requests_of_a_batch_share_one_budget(feed):
    """Each page takes 0.6 s by a clock that only pages move; the third request of a batch of 1 s is late."""
    now, meters = [100.0], Mock()
    meters.served = lambda *_, **__: now.append(now[-1] + 0.6)
    parts = {"shared": Shared(), "journal": Journal(), "meters": meters, "seal": Seal(b"k" * 16)}
    service = Service(Rollout(Deployed(feed.policy, Limits())), **parts, clock=lambda: now[-1])

    async def asked():
        transport = httpx.ASGITransport(assembled(service, Limits(), pages=page_routes(service, Limits())))
        async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:
            budget = {"X-Slatewise-Budget-Ms": "1000"}
            return await client.post("/v1/compose/batch", json={"requests": [BODY] * 3}, headers=budget)

    first, second, third = asyncio.run(asked()).json()["replies"]
    assert "page" in first
    assert "page" in second
    assert (third["error"]["code"], third["error"]["got"]) == (503, "deadline")


def test_an_explained_page_has_its_trace_and_what_its_rules_cost(client, feed):
    request = Wire(feed.policy).convert(BODY).request
    page = client.post("/v1/compose", json=BODY).json()
    told = client.post("/v1/explain", json=BODY).json()
    assert told["items"] == page["items"]
    assert [slot["item_id"] for slot in told["trace"]["slots"]] == [item["item_id"] for item in page["items"]]
    assert "costs" not in told
    costs = client.post("/v1/explain?costs=true", json=BODY).json()["costs"]
    assert costs == [msgspec.to_builtins(cost) for cost in feed.costs(request)]
    assert client.post("/v1/explain?costs=yes", json=BODY).json()["error"]["where"] == "costs"


def test_an_explanation_leaves_nothing_behind(feed):
    """It is no page that was served: nothing is reserved, counted, learned or logged for it."""
    deployed = Deployed(feed.policy, Limits())
    parts = {name: Mock() for name in ("shared", "journal", "meters", "seal")}
    parts["shared"].recall.return_value = Remembered()
    deployed.pilot = Mock()
    service = Service(Rollout(deployed), **parts)
    call = Call(json.dumps(BODY).encode(), JSON, 0.0)
    asyncio.run(Explainer(service).explain(call, "costs"))
    assert [call[0] for part in parts.values() for call in part.mock_calls] == ["recall"]
    assert not deployed.pilot.mock_calls


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


def test_a_rung_of_any_name_stands_in_a_header(feed, monkeypatch):
    async def answered(self, call):
        return Answer(b"{}", "hash", "l\u00e9ger \u2713\r\nx-other: 1")

    monkeypatch.setattr(Service, "answer", answered)

    async def asked():
        transport = httpx.ASGITransport(application(feed))
        async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:
            return await client.post("/v1/compose", json=BODY)

    reply = asyncio.run(asked())
    assert reply.headers["x-slatewise-rung"] == "l%C3%A9ger %E2%9C%93%0D%0Ax-other: 1"


def test_a_policy_is_blamed_for_refusing_who_does_not_say_who_asks(feed):
    cap = {"name": "few", "at_most": 2}
    head = msgspec.structs.replace(feed.policy.head, serve=msgspec.convert({"caps": [cap]}, Serving))
    deployed = Deployed(Policy(head, feed.policy.stages), Limits())
    service = Service(Rollout(deployed), shared=Shared(), journal=Journal(), meters=Mock(), seal=Seal(b"a key"))
    call = Call(json.dumps({**BODY, "user": "", "request_id": ""}).encode(), JSON, service.clock())
    with pytest.raises(RequestError, match="user: must be given"):
        asyncio.run(service.answer(call))
    assert deployed.outcomes.failed == 1
