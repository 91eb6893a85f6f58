"""Open-loop load: requests are sent when they are due, however long earlier ones take, and timed from that moment.

A generator that waits for replies asks a slow service less, and does not see its queue (coordinated omission). This one
runs in a process of its own, and gives every request its time before the first is sent. A request whose moment comes
while all connections are busy waits, and the wait counts. `closed` sends the next one when a reply is there.

    python benchmarks/load.py --url http://127.0.0.1:8000/v1/compose --rate 300 --seconds 10 --bodies bodies.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import numpy as np

LOST, UNSENT, SILENT = 0, -1, -2
"""Codes of requests without a reply: the connection broke, there was none to be had, nothing came in time."""

PATIENCE_S = 10.0
"""Seconds after the last arrival that replies are waited for."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent.

    Attributes:
        url: Where to; plain http.
        bodies: What.
        order: Whether bodies are `drawn`, or sent as they are `listed`, from the first again after the last.
        rate: Requests per second; of no meaning if `closed`.
        seconds: For how long.
        arrivals: How they are spread over time.
        connections: Keep-alive connections, opened before the first request.
        media: Media type of the bodies.
        headers: Sent with every request besides.
        stamp: Name of a header that says when the request was due, in milliseconds since 1970; "" for none.
        wanted: Names of reply headers to keep, in lower case.
        keep: Whether to keep the bodies of replies.
        seed: Of the arrivals.
    """

    url: str
    bodies: list[bytes]
    order: Literal["drawn", "listed"] = "drawn"
    rate: float = 100.0
    seconds: float = 5.0
    arrivals: Literal["poisson", "fixed", "closed"] = "poisson"
    connections: int = 128
    media: str = "application/json"
    headers: dict[str, str] = {}
    stamp: str = ""
    wanted: list[str] = []
    keep: bool = False
    seed: int = 1


class _Reply(msgspec.Struct, array_like=True, gc=False):
    due: float
    body: int
    code: int = UNSENT
    latency: float = float("nan")
    headers: list[str] = []
    content: bytes = b""


class Offered:
    """What came of a plan, request by request in the order in which they were due.

    Attributes:
        plan: The plan.
        due: (n,) when each was to be sent, in seconds after the start.
        body: (n,) which body it had.
        code: (n,) status code, or `LOST`, `UNSENT`, `SILENT`.
        latency_s: (n,) from when it was due until all of the reply was there; NaN without one.
        headers: Name of a wanted header to its n values, "" where there was none.
        content: Bodies of the replies, if they were kept.
        cpu_s: Processor time of the generator.
    """

    def __init__(self, plan: Plan, replies: Sequence[_Reply], cpu_s: float) -> None:
        """Take what the generator wrote down."""
        self.plan, self.cpu_s = plan, cpu_s
        self.due = np.array([one.due for one in replies])
        self.body = np.array([one.body for one in replies], np.int64)
        self.code = np.array([one.code for one in replies], np.int64)
        self.latency_s = np.array([one.latency for one in replies])
        told = [one.headers or [""] * len(plan.wanted) for one in replies]
        self.headers = {name: [headers[place] for headers in told] for place, name in enumerate(plan.wanted)}
        self.content = [one.content for one in replies] if plan.keep else []

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latency of pages; NaN if there are none."""
        pages = self.latency_s[self.code == 200]
        return float(np.percentile(pages, percent)) * 1e3 if len(pages) else float("nan")

    def goodput(self, within_s: float = 0.05) -> float:
        """Return the share of all requests that had a page in time."""
        return float(((self.code == 200) & (self.latency_s <= within_s)).mean()) if len(self.code) else 0.0

    def summary(self, within_s: float = 0.05) -> dict[str, Any]:
        """Return it in a few numbers."""
        codes, counts = np.unique(self.code, return_counts=True)
        return {
            "offered": len(self.code),
            "p50_ms": round(self.percentile_ms(50), 2),
            "p99_ms": round(self.percentile_ms(99), 2),
            "p999_ms": round(self.percentile_ms(99.9), 2),
            "goodput": round(self.goodput(within_s), 4),
            "codes": {str(code): int(count) for code, count in zip(codes.tolist(), counts.tolist(), strict=True)},
            "generator_cpu_ms_per_request": round(self.cpu_s / max(len(self.code), 1) * 1e3, 3),
        }


class Offering:
    """A plan at work in another process; the caller may meanwhile do harm to the service."""

    def __init__(self, plan: Plan, core: int | None = None) -> None:
        """Start it, on a core of its own if one is named."""
        self.plan = plan
        self._folder = tempfile.TemporaryDirectory()
        self._out = Path(self._folder.name) / "replies"
        wanted = Path(self._folder.name) / "plan"
        wanted.write_bytes(msgspec.msgpack.encode(plan))
        command = [sys.executable, __file__, "--plan", str(wanted), str(self._out)]
        self._process = subprocess.Popen(command if core is None else ["taskset", "-c", str(core), *command])
        while not self._out.exists() and self._process.poll() is None:
            time.sleep(0.001)
        self.began = time.monotonic()

    def result(self) -> Offered:
        """Wait for the end and return what came of it."""
        with self._folder:
            if self._process.wait():
                raise RuntimeError("the load generator failed")
            cpu_s, replies = msgspec.msgpack.decode(self._out.read_bytes(), type=tuple[float, list[_Reply]])
        return Offered(self.plan, replies, cpu_s)


def offered(plan: Plan, core: int | None = None) -> Offered:
    """Carry out a plan in another process, and wait for its end."""
    return Offering(plan, core).result()


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, generator: _Generator) -> None:
        self._generator = generator
        self._buffer = bytearray()
        self._length = -1
        self._head = b""
        self.reply: _Reply | None = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._generator.free(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._length < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = bytes(self._buffer[:end])
            self._length = int(_header(self._head, b"content-length") or 0)
            del self._buffer[: end + 4]
        if len(self._buffer) >= self._length:
            self._done()

    def connection_lost(self, exc: Exception | None) -> None:
        self._generator.gone(self, self.reply)

    def _done(self) -> None:
        reply, head, content = self.reply, self._head, bytes(self._buffer)
        self.reply, self._length = None, -1
        self._buffer.clear()
        assert reply is not None
        reply.code = int(head[9:12])
        self._generator.done(reply, head, content)
        if _header(head, b"connection").lower() == b"close":
            self.transport.close()
        else:
            self._generator.free(self)


class _Generator:
    """Sends what is due."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        url = urlsplit(plan.url)
        self._host, self._port = url.hostname or "127.0.0.1", url.port or 80
        head = [f"POST {url.path or '/'} HTTP/1.1", f"host: {url.netloc}", f"content-type: {plan.media}"]
        head += [f"{name}: {value}" for name, value in plan.headers.items()]
        self._head = "\r\n".join(head).encode()
        self._tails = [b"\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body) for body in plan.bodies]
        self._wanted = [name.encode() for name in plan.wanted]
        self._idle: list[_Connection] = []
        self._late: deque[_Reply] = deque()
        self._closed = plan.arrivals == "closed"
        self._open = 0
        self._retry: asyncio.TimerHandle | None = None
        self.replies: list[_Reply] = []

    async def run(self, begun: Path) -> None:
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(self._connect() for _ in range(self._plan.connections)))
        begun.touch()
        self._start, self._wall = time.monotonic() + 0.01, time.time() + 0.01
        if self._closed:
            for connection in self._idle[:]:
                self.free(connection)
            await asyncio.sleep(self._plan.seconds)
            self._closed = False
        else:
            await self._send_all()
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and any(one.code == SILENT for one in self.replies):
            await asyncio.sleep(0.01)
        if self._retry is not None:
            self._retry.cancel()

    async def _send_all(self) -> None:
        """Send each request when it is due; the alarm of the system is finer than the loop's timers."""
        rng, plan = np.random.default_rng(self._plan.seed), self._plan
        count = int(plan.rate * plan.seconds)
        gaps = rng.exponential(1 / plan.rate, count) if plan.arrivals == "poisson" else np.full(count, 1 / plan.rate)
        drawn = rng.integers(0, len(plan.bodies), count)
        order = drawn if plan.order == "drawn" else np.arange(count) % len(plan.bodies)
        waiting = deque(_Reply(due, body) for due, body in zip(np.cumsum(gaps).tolist(), order.tolist(), strict=True))
        self.replies = list(waiting)
        finished = self._loop.create_future()

        def send_due() -> None:
            while waiting:
                left = self._start + waiting[0].due - time.monotonic()
                if left > 0:
                    signal.setitimer(signal.ITIMER_REAL, max(left, 1e-5))
                    return
                self._late.append(waiting.popleft())
                self._send_late()
            if not finished.done():
                finished.set_result(None)

        self._loop.add_signal_handler(signal.SIGALRM, send_due)
        send_due()
        await finished

    def _send_late(self) -> None:
        while self._late and self._idle:
            self._send(self._idle.pop(), self._late.popleft())
        if not self._open:
            self._late.clear()  # and stay unsent
            self._reopen_soon()

    def _send(self, connection: _Connection, reply: _Reply) -> None:
        reply.code = SILENT
        connection.reply = reply
        stamp = self._plan.stamp
        said = b"\r\n%s: %.3f" % (stamp.encode(), (self._wall + reply.due) * 1e3) if stamp else b""
        connection.transport.write(self._head + said + self._tails[reply.body])

    def free(self, connection: _Connection) -> None:
        if self._closed and hasattr(self, "_start"):
            self.replies.append(_Reply(time.monotonic() - self._start, len(self.replies) % len(self._tails)))
            self._send(connection, self.replies[-1])
        else:
            self._idle.append(connection)
            self._send_late()

    def done(self, reply: _Reply, head: bytes, content: bytes) -> None:
        reply.latency = time.monotonic() - self._start - reply.due
        reply.headers = [_header(head, name).decode() for name in self._wanted]
        reply.content = content if self._plan.keep else b""

    def gone(self, connection: _Connection, reply: _Reply | None) -> None:
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if reply is not None and reply.code == SILENT:
            reply.code = LOST
        self._reopen_soon()

    def _reopen_soon(self) -> None:
        if self._retry is None:
            self._retry = self._loop.call_later(0.0 if self._open else 0.02, self._reopen)

    def _reopen(self) -> None:
        self._retry = None
        self._reopening = [self._loop.create_task(self._connect()) for _ in range(self._plan.connections - self._open)]

    async def _connect(self) -> None:
        self._open += 1
        try:
            await self._loop.create_connection(lambda: _Connection(self), self._host, self._port)
        except OSError:
            self._open -= 1
            self._reopen_soon()


def _header(head: bytes, name: bytes) -> bytes:
    """Return a header of a reply's head; empty if it is not there."""
    start = head.lower().find(b"\r\n" + name + b":")
    return head[start + len(name) + 3 :].split(b"\r\n", 1)[0].strip() if start >= 0 else b""


def main() -> None:
    """Send what is asked for, and print what came of it as JSON."""
    parser = argparse.ArgumentParser(description="Open-loop load.")
    parser.add_argument("--url")
    for name, default in (("--rate", 100.0), ("--seconds", 5.0), ("--connections", 128)):
        parser.add_argument(name, type=type(default), default=default)
    parser.add_argument("--arrivals", choices=["poisson", "fixed", "closed"], default="poisson")
    parser.add_argument("--bodies", help="a file with a body per line; without it, those of the demo")
    parser.add_argument("--stamp", default="", help="a header that says when the request was due")
    asked = parser.parse_args()
    from serving import paced_bodies

    bodies = Path(asked.bodies).read_bytes().splitlines() if asked.bodies else paced_bodies(64)
    names = ("url", "rate", "seconds", "connections", "arrivals", "stamp")
    plan = Plan(bodies=bodies, **{name: getattr(asked, name) for name in names})
    print(json.dumps(offered(plan).summary(), indent=2))


def _carry_out(plan: Path, out: Path) -> None:
    """Be the other process."""
    import uvloop

    generator = _Generator(msgspec.msgpack.decode(plan.read_bytes(), type=Plan))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(generator.run(out))
    out.write_bytes(msgspec.msgpack.encode((time.process_time(), generator.replies)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plan"]:
        _carry_out(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
