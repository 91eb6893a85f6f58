"""Exchange: one request and its reply, between a connection and an ASGI application.

uvicorn's own does this for every server there is, and takes longer than reading what it is asked. This one is for
replies that say how long they are: their head waits for the body, and both are one call of the system and one packet.
Bodies are read no faster than they are taken, replies are made no faster than they are sent, and no header ends before
its line does.
"""

from __future__ import annotations

import logging
from asyncio import Future
from typing import final

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FAILED = b"Internal Server Error"
FAILED_HEADERS = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", b"%d" % len(FAILED)),
    (b"connection", b"close"),
)
BARE = (204, 304)
"""Codes of replies that have no body, and need not say so."""

log = logging.getLogger("uvicorn.error")


@final
class Exchange:
    """A request that is read, and a reply that is written.

    Attributes:
        scope: The request, as ASGI has it.
        keep_alive: Whether the connection is kept after the reply.
        disconnected: Whether the client hung up.
        response_complete: Whether the reply was written.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_expects",
        "_fresh",
        "_head",
        "_left",
        "_more",
        "_woken",
        "disconnected",
        "keep_alive",
        "response_complete",
        "scope",
    )

    def __init__(self, connection: HttpToolsProtocol, scope: Scope, *, keep_alive: bool) -> None:
        """Take a request whose headers were read on a connection."""
        self.scope, self.keep_alive = scope, keep_alive
        self.disconnected = self.response_complete = False
        self._connection = connection
        self._expects = connection.expect_100_continue
        self._body, self._more, self._fresh = b"", True, False
        self._head: bytes | None = None  # empty as soon as it is written
        self._left = 0
        self._woken: Future[None] | None = None

    @property
    def message_event(self) -> Exchange:
        """What a connection sets when it is lost."""
        return self

    def set(self) -> None:
        """Wake whoever waits to receive."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def take(self, chunk: bytes) -> int:
        """Take a piece of the body, and return how many bytes wait to be received; one that is whole is not copied."""
        self._body += chunk
        self._fresh = True
        self.set()
        return len(self._body)

    def end(self) -> None:
        """Take note that there is no more of the body."""
        self._more, self._fresh = False, True
        self.set()

    async def run_asgi(self, app: ASGIApp) -> None:
        """Have an application answer; whatever becomes of it, its client does not wait for nothing."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            log.error("Exception in ASGI application\n", exc_info=error)
        else:
            if self.response_complete or self.disconnected:
                return
            log.error("ASGI callable returned without completing response.")
        if self._head == b"":
            self._connection.transport.close()
            return
        self._head = None
        await self.send({"type": "http.response.start", "status": 500, "headers": FAILED_HEADERS})
        await self.send({"type": "http.response.body", "body": FAILED})

    async def receive(self) -> Message:
        """Return what came of the body since this was asked last, or that the client is gone or has its reply."""
        connection = self._connection
        if self._expects and not connection.transport.is_closing():
            self._expects = False
            connection.transport.write(CONTINUE)
        while not (self._fresh or self.disconnected or self.response_complete):
            connection.flow.resume_reading()
            self._woken = connection.loop.create_future()
            await self._woken
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self._body, self._fresh = self._body, b"", False
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """Take the head of the reply, or the next piece of its body.

        Raises:
            RuntimeError: It is not what comes next, has a header that is none, or is not as long as its head says.
        """
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        kind, next_kind = message["type"], "http.response.start" if self._head is None else "http.response.body"
        if kind != next_kind or self.response_complete:
            raise RuntimeError(f"a reply must go on with {next_kind}, or be done, got {kind}")
        if self._head is None:
            self._expects = False
            self._head = self._headed(message)
        else:
            self._write(self._head, message.get("body", b""), more=message.get("more_body", False))

    def _headed(self, message: Message) -> bytes:
        """Return the head of a reply as it is written."""
        code, length, leaving = message["status"], b"0" if message["status"] in BARE else b"", False
        headers = [*self._connection.server_state.default_headers, *message["headers"]]
        head = [STATUS_LINE[code]]
        for name, value in headers:
            head += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                length = value
            elif name == b"connection":
                leaving = b"close" in value.lower()
        self.keep_alive = self.keep_alive and not leaving
        if not (self.keep_alive or leaving):
            headers.append((b"connection", b"close"))
            head.append(b"connection: close\r\n")
        head.append(b"\r\n")
        found = b"".join(head)
        if not found.count(b"\r") == found.count(b"\n") == 2 + len(headers):
            raise RuntimeError("Invalid HTTP header value.")
        self._left = 0 if self.scope["method"] == "HEAD" else int(length)
        return found

    def _write(self, head: bytes, body: bytes, *, more: bool) -> None:
        """Write a piece of the body, and the head if it waits."""
        body = b"" if self.scope["method"] == "HEAD" else body
        left = self._left - len(body)
        if left < 0 or (left and not more):
            raise RuntimeError("Response content longer or shorter than Content-Length")
        self._head, self._left = b"", left
        connection = self._connection
        connection.transport.write(head + body)
        if not more:
            self.response_complete = True
            self.set()
            if not self.keep_alive:
                connection.transport.close()
            connection.on_response_complete()
