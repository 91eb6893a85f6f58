"""The client against the real service: the same pages as the library, and errors that say what to do."""

import asyncio
import copy
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import numpy as np
import pytest
import uvicorn

from bodies import BODY, COLUMNS, REST, ROWS, patient
from slatewise import Candidates, Request, RequestError
from slatewise.client import AsyncClient, Busy, Client, Refused, Unreachable
from slatewise.serve.events.events import EventsReply
from slatewise.serve.http.app import application
from slatewise.serve.wire import Wire


@pytest.fixture(scope="module")
def feed(pytestconfig):
    return patient(pytestconfig.rootpath / "tests" / "golden" / "policy.yaml")


@contextmanager
def listening(app):
    """Serve an application on a free port."""
    started = threading.Event()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    server.startup, begin = None, server.startup

    async def startup(sockets=None):
        await begin(sockets)
        started.set()

    server.startup = startup
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)


@pytest.fixture(scope="module")
def url(feed):
    with listening(application(feed)) as url:
        yield url


@contextmanager
def scripted(*replies):
    """Serve prepared replies, one after the other; yields the address and what was asked."""
    asked, left = [], list(replies)

    class Scripted(BaseHTTPRequestHandler):
        def do_POST(self):
            self.do_GET()

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append((self.path, dict(self.headers), body))
            code, headers, reply = left.pop(0)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Scripted) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join(timeout=30)


SHED = {"error": {"code": 503, "where": "service", "rule": "must have time", "got": "crowd", "message": "no"}}
BUSY = (503, {"retry-after": "1"}, msgspec.json.encode(SHED))
UP = (200, {}, b'{"status": "ok", "policy": "p", "version": "1"}')


@pytest.mark.parametrize("encoding", ["columns", "arrow"])
def test_a_page_is_the_librarys_page_however_it_is_asked(url, feed, encoding):
    request = Wire(feed.policy).convert(BODY).request
    page = feed.compose(request)
    arrays = {**COLUMNS, "p_click": np.array(COLUMNS["p_click"]), "local": np.array(COLUMNS["local"])}
    with Client(url, encoding=encoding) as client:
        replies = [
            client.compose(request),
            client.compose(candidates=ROWS, **REST),
            client.compose(candidates=COLUMNS, **REST),
            client.compose(candidates=arrays, **REST),
            client.compose(candidates=request.candidates, **REST),
            client.compose(Request(candidates=request.candidates), **REST),
        ]
    for reply in replies:
        assert (reply.items, reply.state, reply.policy) == (page.items, page.state.token, page.policy)
        assert reply.served.rung == "full"


@pytest.mark.parametrize("encoding", ["columns", "arrow"])
def test_the_session_goes_on(url, feed, encoding):
    request = Wire(feed.policy).convert(BODY).request
    state = feed.compose(request).state
    second = msgspec.structs.replace(request, state=state, seed=3, user="ann")
    with Client(url, encoding=encoding) as client:
        assert client.compose(second).items == feed.compose(second).items


@pytest.mark.parametrize("kind", ["keys?", "embedding?"])
def test_every_kind_of_column_goes_both_ways(kind):
    """What a stored column is sent as is read as the same column."""
    from slatewise import Policy, Solve
    from slatewise.serve.http.calls import page_call

    values = {"keys?": [["a", "b"], [], ["a"]], "embedding?": [[1.0, 0.5], None, [0.1, 2.0]]}[kind]
    policy = Policy.of(Solve(), lines=["posts"], columns={"utility": "number", "extra": kind})
    columns = {"item_id": [1, 2, 3], "line": ["posts"] * 3, "utility": [1.0, 2.0, 3.0], "extra": values}
    wire = Wire(policy)
    sent = Candidates.of(columns, kinds=policy.head.columns)
    for encoding in ("columns", "arrow"):
        call = page_call("/", object, None, {"candidates": sent}, encoding)
        read = wire.decode(call.body, call.media).request.candidates
        again = page_call("/", object, None, {"candidates": read}, "columns")
        assert again.body == page_call("/", object, None, {"candidates": sent}, "columns").body


def test_many_requests_have_a_page_or_a_refusal_each(url, feed):
    request = Wire(feed.policy).convert(BODY).request
    with Client(url) as client:
        first, second, third = client.compose_many([request, {**BODY, "slots": 0}, BODY])
    assert first.items == third.items == feed.compose(request).items
    assert isinstance(second, Refused)
    assert (second.code, str(second)) == (400, "slots: must be >= 1, got 0")


def test_an_explanation_has_a_trace_and_costs(url, feed):
    request = Wire(feed.policy).convert(BODY).request
    with Client(url) as client:
        assert client.explain(request).trace == feed.compose(request, trace=True).trace
        assert client.explain(request, depth="costs").costs == feed.costs(request)


def test_a_refusal_names_where_rule_value_and_hint(url):
    with Client(url) as client, pytest.raises(Refused) as caught:
        client.compose(candidates={**COLUMNS, "line": ["post"] * 6})
    error = caught.value
    assert (error.code, error.where, error.got) == (400, "candidates.line[0]", "'post'")
    assert error.hint == "did you mean 'posts'?"
    again = copy.copy(error)  # as an error goes from one process to another
    assert (str(again), again.code) == (str(error), 400)


def test_what_cannot_be_sent_is_refused_here():
    with Client("http://127.0.0.1:9", encoding="arrow") as client:
        with pytest.raises(RequestError, match="candidates: must be given"):
            client.compose(slots=3)
        with pytest.raises(RequestError, match=r"candidates\.author: must be all of one type to be sent as Arrow"):
            client.compose(candidates={**COLUMNS, "author": [1, "a", 2, "b", 3, "c"]})


def test_a_busy_service_is_asked_again_when_it_says_so():
    with scripted(BUSY, BUSY, UP) as (url, asked), Client(url) as client:
        assert client.health().status == "ok"
        assert len(asked) == 3


def test_a_pause_longer_than_the_time_left_is_not_waited_for():
    later = (503, {"retry-after": "7"}, BUSY[2])
    with scripted(later, BUSY) as (url, asked), Client(url) as client:
        with pytest.raises(Busy, match="ask again in 7 s") as caught:
            client.health()
        assert caught.value.retry_s == 7
        with pytest.raises(Busy):
            client.compose(candidates=[], budget_ms=40)
        assert len(asked) == 2
        assert asked[1][1]["X-Slatewise-Budget-Ms"] == "40"


def test_nothing_but_a_busy_service_is_asked_again():
    down = (500, {}, msgspec.json.encode({"error": {**SHED["error"], "code": 500}}))
    with scripted(down, (502, {}, b"<html>"), (200, {}, b"<html>")) as (url, asked), Client(url) as client:
        with pytest.raises(Refused) as caught:
            client.health()
        assert caught.value.code == 500
        for _ in range(2):
            with pytest.raises(Unreachable, match="reply: must be one of the service"):
                client.health()
        assert len(asked) == 3


def test_a_service_that_is_not_there_or_hangs_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout_s=0.2) as client, pytest.raises(Unreachable, match=r"must answer within 0\.2 s"):
            client.health()
    with Client(url) as client, pytest.raises(Unreachable):
        client.health()


def test_events_and_policies_are_asked_with_the_token():
    policies = (200, {}, b'{"record": {"active": "a", "since": 1}, "workers": [], "split": false}')
    pushed = (201, {}, b'{"hash": "b", "time": 2}')
    said = ((200, {}, b'{"accepted": 1}'), policies, policies, pushed)
    with scripted(*said) as (url, asked), Client(url, token="secret") as client:
        assert client.events([{"id": "e1"}]) == EventsReply(accepted=1)
        assert client.policies().record.active == "a"
        assert client.change("abc/canary", {"share": 0.1}).workers == ()
        assert client.change(body=b"version: 1", media="application/yaml").hash == "b"
    assert [path for path, _, _ in asked] == [
        "/v1/events",
        "/v1/policies",
        "/v1/policies/abc/canary",
        "/v1/policies",
    ]
    assert {headers["authorization"] for _, headers, _ in asked} == {"Bearer secret"}
    assert [body for _, _, body in asked] == [b'{"events":[{"id":"e1"}]}', b"", b'{"share":0.1}', b"version: 1"]
    assert asked[3][1]["content-type"] == "application/yaml"


def test_a_coroutine_asks_the_same(url, feed):
    request = Wire(feed.policy).convert(BODY).request

    async def ask():
        async with AsyncClient(url, encoding="arrow") as client:
            pages = await asyncio.gather(*(client.compose(request) for _ in range(8)))
            explained = await client.explain(request, depth="costs")
            many = await client.compose_many([request])
            health = await client.health()
            with pytest.raises(Refused):
                await client.compose(candidates=[{}])
            return [*pages, explained, *many], health

    pages, health = asyncio.run(ask())
    assert {page.items for page in pages} == {feed.compose(request).items}
    assert health.policy == feed.policy.hash


def test_the_client_needs_nothing_of_the_server():
    script = (
        "import sys, slatewise.client; print(sorted({'starlette', 'uvicorn', 'pyarrow', 'httpx'} & {*sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
