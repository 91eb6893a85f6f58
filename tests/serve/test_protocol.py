"""The protocol: whoever asks cannot tell it from uvicorn's, but for replies that uvicorn would break off."""

import asyncio
import gc
import time
import weakref
from itertools import pairwise

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from slatewise.serve.process.protocol import protocol
from slatewise.serve.timing.arrival import Turns

LARGE = b"x" * 70_000
"""More than waits to be received before a connection is read no further."""


class Line:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written, self.closed, self.paused = [], False, []

    def write(self, data):
        if not self.closed:
            self.written.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name, default=None):
        return default

    def pause_reading(self):
        self.paused.append(True)

    def resume_reading(self):
        self.paused.append(False)


class App:
    """Replies as the path says, and keeps what it received."""

    def __init__(self):
        self.received = []

    async def __call__(self, scope, receive, send):
        path, body = scope["path"], b""
        named = {key: scope[key] for key in ("method", "path", "raw_path", "query_string", "http_version", "headers")}
        more = path != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.received.append((named, "gone"))
                return
            body, more = body + message["body"], message["more_body"]
        self.received.append((named, body))
        if path == "/nothing":
            return
        if path == "/raise":
            raise ValueError("before the head")
        length = [] if path in ("/unsaid", "/empty") else [(b"content-length", b"%d" % (len(body) + (path == "/lie")))]
        leaving = [(b"connection", b"keep-alive, Close")] if path == "/leave" else []
        broken = [(b"x-rung", b"full\r\nx-other: 1")] if path == "/break" else []
        listening = asyncio.create_task(receive()) if path == "/listen" else None
        await asyncio.sleep(0)  # it waits by then
        headers = [(b"x-rung", b"full"), *length, *leaving, *broken]
        await send({"type": "http.response.start", "status": 204 if path == "/empty" else 200, "headers": headers})
        if path == "/fail":
            raise ValueError("after the head")
        half = len(body) // 2 if path == "/halves" else 0
        if half:
            await send({"type": "http.response.body", "body": body[:half], "more_body": True})
        await send({"type": "http.response.body", "body": b"" if path == "/empty" else body[half:]})
        if path == "/after":
            raise ValueError("after the reply")
        if path in ("/early", "/again"):
            self.received.append((named, (await receive())["type"]))
        if path == "/listen":
            self.received.append((named, (await listening)["type"]))


class Connection:
    """One connection without a socket."""

    def __init__(self, kind):
        self.app, self.line = App(), Line()
        config = uvicorn.Config(self.app, lifespan="off", log_config=None, ws="none", proxy_headers=False)
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.protocol = kind(config, self.state, {})
        self.protocol.connection_made(self.line)

    async def says(self, *pieces):
        for piece in pieces:
            if not self.line.closed:
                self.protocol.data_received(piece)
            for _ in range(8):
                await asyncio.sleep(0)

    async def ends(self):
        closed = self.line.closed
        self.protocol.connection_lost(None)
        for _ in range(8):
            await asyncio.sleep(0)
        assert not self.state.tasks, "nobody waits any more"
        return b"".join(self.line.written), closed, self.app.received


def ours():
    return protocol(Turns(), time.monotonic)


def request(method, path, body=b"", *headers, version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


PATHS = (
    "/",
    "/a%20b?q=1",
    "/halves",
    "/leave",
    "/empty",
    "/nothing",
    "/raise",
    "/early",
    "/again",
    "/after",
    "/listen",
)
HEADERS = ("accept: */*", "expect: 100-continue", "connection: close", "connection: keep-alive", "upgrade: h2c")
requests = st.builds(
    request,
    st.sampled_from(["POST", "GET", "HEAD"]),
    st.sampled_from(PATHS),
    st.sampled_from([b"", b"b", b"a body", LARGE]),
    st.sampled_from(HEADERS),
    version=st.sampled_from(["1.1", "1.0"]),
)


@settings(max_examples=300)
@given(st.lists(requests | st.just(b"nonsense\r\n\r\n"), max_size=4), st.lists(st.integers(0, 500), max_size=6))
def test_it_writes_and_hands_on_what_uvicorn_does(sent, cuts):
    stream = b"".join(sent)
    cuts = [0, *sorted(cuts), len(stream)]
    pieces = [piece for start, end in pairwise(cuts) if (piece := stream[start:end])]

    async def found(kind):
        connection = Connection(kind)
        await connection.says(*pieces)
        return await connection.ends()

    assert asyncio.run(found(ours())) == asyncio.run(found(HttpToolsProtocol))


def test_a_reply_goes_out_in_one_piece():
    async def written():
        connection = Connection(ours())
        await connection.says(request("POST", "/", b"one"), request("POST", "/", b"two") + request("POST", "/", b"6"))
        return connection.line.written

    assert [piece.rpartition(b"\r\n")[2] for piece in asyncio.run(written())] == [b"one", b"two", b"6"]


@pytest.mark.parametrize("path", ["/fail", "/lie", "/unsaid", "/break"])
def test_a_reply_that_would_be_broken_off_is_a_failure_instead(path):
    async def found():
        connection = Connection(ours())
        await connection.says(request("POST", path, b"a body"))
        return await connection.ends()

    written, closed, _ = asyncio.run(found())
    assert written.startswith(b"HTTP/1.1 500 ")
    assert written.endswith(b"\r\n\r\nInternal Server Error")
    assert b"x-other" not in written
    assert closed


def test_a_body_is_read_no_faster_than_it_is_taken():
    async def paused():
        connection = Connection(ours())
        head, body = request("POST", "/")[:-4].replace(b": 0", b": 210000"), LARGE
        one = connection.protocol
        one.data_received(head + b"\r\n\r\n" + body)
        assert connection.line.paused == [True]
        await connection.says(b"")
        paused = list(connection.line.paused)
        await connection.says(body, body)
        return paused, await connection.ends()

    paused, (written, _, received) = asyncio.run(paused())
    assert paused == [True, False]
    assert written.endswith(3 * LARGE)
    assert received[0][1] == 3 * LARGE


def test_a_reply_waits_until_it_can_be_written():
    async def written():
        connection = Connection(ours())
        connection.protocol.pause_writing()
        await connection.says(request("POST", "/", b"a body"))
        await connection.says(request("POST", "/", b"the next"))
        before = list(connection.line.written)
        assert connection.line.paused == [True], "no more is read while two wait"
        connection.protocol.resume_writing()
        await connection.says(b"")
        return before, connection.line.written

    before, after = asyncio.run(written())
    assert (before, len(after)) == ([], 2)


@pytest.mark.parametrize(("path", "header"), [("/early", "expect: 100-continue"), ("/listen", "accept: */*")])
def test_whoever_receives_after_the_reply_is_told_that_it_was_sent(path, header):
    async def found():
        connection = Connection(ours())
        await connection.says(request("POST", path, b"", header))
        return b"".join(connection.line.written), [said for _, said in connection.app.received]

    written, received = asyncio.run(found())
    assert b"100 Continue" not in written
    assert received == [b"", "http.disconnect"]


def test_whoever_hangs_up_is_gone_for_the_application():
    async def received():
        connection = Connection(ours())
        await connection.says(request("POST", "/", b"a body")[:-1])
        return (await connection.ends())[2]

    ((_, said),) = asyncio.run(received())
    assert said == "gone"


@pytest.mark.parametrize("path", ["/", "/leave", "/nothing", "/listen", "hangs up"])
def test_a_connection_that_was_lost_is_freed_at_once(path):
    async def gone():
        connection = Connection(ours())
        cut = -1 if path == "hangs up" else None
        await connection.says(request("POST", "/" if cut else path, b"a body")[:cut])
        await connection.ends()
        return weakref.ref(connection.protocol)

    gc.disable()
    try:
        assert asyncio.run(gone())() is None
    finally:
        gc.enable()
