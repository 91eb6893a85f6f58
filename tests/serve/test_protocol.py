"""The protocol: replies go out in one piece, and are the bytes that uvicorn would have sent."""

import asyncio
import time

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from slatewise.serve.process.protocol import Joined, protocol
from slatewise.serve.timing.arrival import Turns


class Wire:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written, self.closed = [], False

    def write(self, data):
        assert not self.closed
        self.written.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name, default=None):
        return default

    def pause_reading(self):
        pass

    resume_reading = pause_reading


@given(st.lists(st.binary(max_size=3)))
def test_what_is_written_arrives_in_its_order_when_somebody_hangs_up(pieces):
    wire = Wire()
    joined = Joined(wire)
    for place, piece in enumerate(pieces):
        joined.write(piece)
        if place:
            assert b"".join(wire.written) == b"".join(pieces[: place + 1]), "only the first piece ever waits"
    joined.close()
    assert b"".join(wire.written) == b"".join(pieces)
    assert joined.is_closing()


async def app(scope, receive, send):
    """Reply as the path says."""
    path, body = scope["path"], b""
    more = True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if path == "/nothing":
        return
    length = [] if path == "/chunks" else [(b"content-length", b"%d" % len(body))]
    leaving = [(b"connection", b"close")] if path == "/leave" else []
    code = 204 if path == "/empty" else 200
    await send({"type": "http.response.start", "status": code, "headers": [*length, *leaving]})
    if path == "/fail":
        raise ValueError("after the head")
    half = len(body) // 2
    if path in ("/chunks", "/halves"):
        await send({"type": "http.response.body", "body": body[:half], "more_body": True})
        await send({"type": "http.response.body", "body": body[half:]})
    else:
        await send({"type": "http.response.body", "body": body})


async def replied(kind, requests):
    """Return what a protocol writes, and whether it hangs up."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    config.load()
    wire = Wire()
    one = kind(config, ServerState(), {})
    one.connection_made(wire)
    for request in requests:
        one.data_received(request)
        for _ in range(10):
            await asyncio.sleep(0)
    one.connection_lost(None)
    return wire.written, wire.closed


def request(method, path, body=b"", *headers):
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("path", ["/", "/chunks", "/halves", "/leave", "/fail", "/empty", "/nothing"])
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("header", ["accept: */*", "expect: 100-continue", "connection: close"])
def test_a_reply_is_the_bytes_that_uvicorn_would_send(path, method, header):
    body = b"" if path == "/empty" else b"a body"
    one = request(method, path, body, header)
    requests = [one[: -len(body)], body, one, one] if body else [one, one]
    written, closed = asyncio.run(replied(protocol(Turns(), time.monotonic), requests))
    expected, hung_up = asyncio.run(replied(HttpToolsProtocol, requests))
    assert (b"".join(written), closed) == (b"".join(expected), hung_up)


def test_a_reply_goes_out_in_one_piece():
    requests = [request("POST", "/", b"one"), request("POST", "/", b"two") + request("POST", "/", b"three")]
    written, _ = asyncio.run(replied(protocol(Turns(), time.monotonic), requests))
    assert [piece[-3:] for piece in written] == [b"one", b"two", b"ree"]
