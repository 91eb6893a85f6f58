"""Protocol: uvicorn's HTTP, which also writes down when requests arrived, and sends each reply in one piece.

uvicorn writes the head of a reply and its body one after the other: two calls of the system and two packets, for each
of which a client wakes up. Here the head waits for the body, which comes at once wherever a page is made.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from typing import Any, cast, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slatewise.serve.timing.arrival import ARRIVED, BEAT_S, Turns


@final
class Joined:
    """Where one reply is written: what is written first goes out with what comes next."""

    __slots__ = ("_first", "_transport")

    def __init__(self, transport: Transport) -> None:
        """Write to a transport."""
        self._transport = transport
        self._first: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write the next piece."""
        if self._first is None:
            self._first = data
        else:
            self._transport.write(self._first + data)
            self._first = b""

    def close(self) -> None:
        """Write what waits, and hang up."""
        if self._first:
            self._transport.write(self._first)
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether somebody hung up."""
        return self._transport.is_closing()


def protocol(turns: Turns, clock: Callable[[], float]) -> type[HttpToolsProtocol]:
    """Return the protocol, for `uvicorn.Config(http=...)`; `turns` is told what `clock` says."""

    class Protocol(HttpToolsProtocol):
        """HTTP with arrivals, and with replies in one piece."""

        _beats: set[AbstractEventLoop] = set()

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if self.loop not in self._beats:
                self._beats.add(self.loop)
                self._beat()

        def data_received(self, data: bytes) -> None:
            self._arrived = turns.data(clock())
            super().data_received(data)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            cast("dict[str, Any]", self.scope)[ARRIVED] = self._arrived

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            if self.scope["method"] != "HEAD" and not self.expect_100_continue:
                self.cycle.transport = cast("Transport", Joined(self.transport))

        def on_response_complete(self) -> None:
            turns.replied(clock())
            super().on_response_complete()

        def _beat(self) -> None:
            if self.connections:
                turns.beat(clock())
                self.loop.call_later(BEAT_S, self._beat)
            else:
                turns.beat(None)
                self._beats.discard(self.loop)

    return Protocol
