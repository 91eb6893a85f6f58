"""Front: what every request passes first, and what can be asked before the service is ready.

`/healthz` says that the process lives, `/readyz` whether requests should be sent here, `/metrics` what was measured.
Routes that compose pages are found here, too: they need no router, which would cost them more than their headers do.
While a service starts, other requests are turned away with 503; while it drains they are answered, and the connection
is closed after the reply, so that its client goes elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Literal, TypeAlias, final

import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slatewise import __version__
from slatewise.serve.http.refusals import refused
from slatewise.serve.http.replies import ErrorReply, Health, Refusal
from slatewise.serve.process.logs import CURRENT
from slatewise.serve.process.meters import MEDIA, Meters
from slatewise.serve.process.spans import TRAIL, Spans
from slatewise.serve.wire import JSON

Phase: TypeAlias = Literal["starting", "ready", "draining"]
RETRY = (b"retry-after", b"1")
HANG_UP = (b"connection", b"close")

log = logging.getLogger("slatewise.serve")


@final
class Front:
    """An ASGI application around the one that serves.

    Attributes:
        phase: Where the process is in its life.
        in_flight: Requests that are being answered.
    """

    def __init__(self, meters: Meters, policy: str = "") -> None:
        """Begin to answer; nothing is served yet. `policy` is the hash of the one that will be."""
        self.phase: Phase = "starting"
        self.in_flight = 0
        self._meters = meters
        self._app: ASGIApp | None = None
        self._pages: Mapping[str, ASGIApp] = {}
        self._spans: Spans | None = None
        self._policy: Callable[[], str] = lambda: policy
        self._own = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}

    def open(
        self, app: ASGIApp, *, pages: Mapping[str, ASGIApp], policy: Callable[[], str], spans: Spans | None
    ) -> None:
        """Serve from now on.

        Args:
            app: Answers requests.
            pages: Answers those that are posted to a path; `app` would, too, but has to look for it.
            policy: Says the hash of the policy that serves.
            spans: Where spans go.
        """
        self._app, self._pages, self._policy, self._spans = app, pages, policy, spans
        self.phase = "ready"

    def drain(self) -> None:
        """Tell clients and load balancers to go elsewhere; requests are still answered."""
        self.phase = "draining"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        CURRENT.set(scope)
        own = self._own.get(scope["path"])
        if own is not None:
            await self._answered(scope, send, own)
        elif self._app is None:
            self._meters.shed("starting")
            await self._reply(send, 503, _refusal(503, "service", "is starting"), RETRY)
        else:
            page = self._pages.get(scope["path"]) if scope["method"] == "POST" else None
            await self._served(page or self._app, scope, receive, send)

    async def _served(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        trail = self._spans and self._spans.begin(scope["method"], scope["path"], scope["headers"])
        scope[TRAIL] = trail
        code = 0

        async def sending(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                if code >= 400:
                    self._meters.refused(code)
                if self.phase == "draining":
                    message["headers"] = [*message["headers"], HANG_UP]
                if trail:
                    message["headers"] = [*message["headers"], (b"traceparent", trail.header)]
            await send(message)

        self.in_flight += 1
        began = monotonic()
        try:
            await app(scope, receive, sending)
        except Exception as error:
            if not code:  # else it was replied to, and the log says why
                reply = await refused(Request(scope), error)
                await reply(scope, receive, sending)
        finally:
            self.in_flight -= 1
            if trail:
                trail.end(code)
            if log.isEnabledFor(logging.DEBUG):
                took = (monotonic() - began) * 1e3
                log.debug("%s %s %d in %.2f ms", scope["method"], scope["path"], code, took)

    async def _answered(self, scope: Scope, send: Send, own: Callable[[Send], Awaitable[None]]) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await own(send)
        else:
            refusal = _refusal(405, "method", "must be GET", scope["method"])
            await self._reply(send, 405, refusal, (b"allow", b"GET, HEAD"))

    async def _healthz(self, send: Send) -> None:
        await self._reply(send, 200, self._health("ok"))

    async def _readyz(self, send: Send) -> None:
        if self.phase == "ready":
            await self._reply(send, 200, self._health("ok"))
        else:
            await self._reply(send, 503, self._health(self.phase), RETRY)

    async def _metrics(self, send: Send) -> None:
        await self._reply(send, 200, self._meters.text(), media=MEDIA)

    def _health(self, status: str) -> bytes:
        return msgspec.json.encode(Health(status=status, policy=self._policy(), version=__version__))

    async def _reply(
        self, send: Send, code: int, body: bytes, *headers: tuple[bytes, bytes], media: str = JSON
    ) -> None:
        told = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode()), *headers]
        if self.phase == "draining":
            told.append(HANG_UP)
        await send({"type": "http.response.start", "status": code, "headers": told})
        await send({"type": "http.response.body", "body": body})


def _refusal(code: int, where: str, rule: str, got: str | None = None) -> bytes:
    told = f"{where}: {rule}" + (f", got {got}" if got else "")
    return msgspec.json.encode(ErrorReply(error=Refusal(code=code, where=where, rule=rule, got=got, message=told)))
