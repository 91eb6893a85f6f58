"""Protocol: uvicorn's HTTP, with exchanges of our own, and with the time at which each request arrived."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from typing import Any, ClassVar, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slatewise.serve.process.exchange import Exchange
from slatewise.serve.timing.arrival import ARRIVED, BEAT_S, Turns


def protocol(
    turns: Turns, clock: Callable[[], float], counted: Callable[[int], object] = bool
) -> type[HttpToolsProtocol]:
    """Return the protocol, for `uvicorn.Config(http=...)`.

    Args:
        turns: Told when the loop looks, and works.
        clock: What it is told, a monotonic clock.
        counted: Told how many connections there are, when that has changed.
    """

    class Protocol(HttpToolsProtocol):
        """One connection: its parser, its time-outs and its pipeline are uvicorn's, its exchanges are ours."""

        _beats: ClassVar[set[AbstractEventLoop]] = set()

        def connection_made(self, transport: Any) -> None:
            """Begin, and have the timer fire."""
            super().connection_made(transport)
            counted(len(self.connections))
            if self.loop not in self._beats:
                self._beats.add(self.loop)
                self._beat()

        def connection_lost(self, exc: Exception | None) -> None:
            """End; an exchange that is over is let go of, so that neither waits for the collector of cycles."""
            super().connection_lost(exc)
            counted(len(self.connections))
            if self.cycle is not None and self.cycle.response_complete:
                self.cycle = cast("Any", None)

        def data_received(self, data: bytes) -> None:
            """Read, and write down since when that may have waited."""
            self._arrived = turns.data(clock())
            super().data_received(data)

        def on_message_begin(self) -> None:
            """Begin to read a request."""
            self.url, self.headers, self.expect_100_continue = b"", [], False

        def on_headers_complete(self) -> None:
            """Have the application answer, or wait for its turn on this connection."""
            parser: Any = self.parser
            url, version = httptools.parse_url(self.url), parser.get_http_version()
            path = url.path.decode("ascii")
            scope: dict[str, Any] = {
                "type": "http",
                "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
                "http_version": version,
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme,
                "root_path": self.root_path,
                "headers": self.headers,
                "state": self.app_state.copy(),
                "method": parser.get_method().decode("ascii"),
                "path": self.root_path + (unquote(path) if "%" in path else path),
                "raw_path": self.root_path.encode("ascii") + url.path,
                "query_string": url.query or b"",
                ARRIVED: self._arrived,
            }
            app, most, before = self.app, self.limit_concurrency, self.cycle
            if most is not None and (len(self.connections) >= most or len(self.tasks) >= most):
                app = service_unavailable
                self.logger.warning("Exceeded concurrency limit.")
            exchange = Exchange(self, scope, keep_alive=version != "1.0" and parser.should_keep_alive())
            self.scope, self.cycle = cast("Any", scope), cast("Any", exchange)
            if before is None or before.response_complete:
                task = self.loop.create_task(exchange.run_asgi(cast("Any", app)))
                task.add_done_callback(self._ended)
                self.tasks.add(task)
            else:
                self.flow.pause_reading()
                self.pipeline.appendleft(cast("Any", (exchange, app)))

        def on_body(self, body: bytes) -> None:
            """Take a piece of a body, and no more of it before the application does."""
            exchange = cast("Exchange", self.cycle)
            if not exchange.response_complete and exchange.take(body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()

        def on_message_complete(self) -> None:
            """Take note that a body has ended."""
            cast("Exchange", self.cycle).end()

        def on_response_complete(self) -> None:
            """Go on with the next request."""
            turns.replied(clock())
            super().on_response_complete()

        def _ended(self, task: Task[None]) -> None:
            self.tasks.discard(task)
            cycle = cast("Exchange | None", self.cycle)
            if self.transport.is_closing() and cycle is not None and (cycle.response_complete or cycle.disconnected):
                self.cycle = cast("Any", None)

        def _beat(self) -> None:
            if self.connections:
                if turns.beat(clock()):
                    self.loop.call_soon(self.loop.call_soon, turns.looked)  # what is called a turn later follows a look
                self.loop.call_later(BEAT_S, self._beat)
            else:
                turns.beat(None)
                self._beats.discard(self.loop)

    return Protocol
