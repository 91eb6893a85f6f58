"""Hostile requests: bodies, headers and routes that are wrong in every way, against a service of its own.

What counts is what the service says and writes: no traceback in its log, no 5xx other than turning a request away, and
good requests in between are answered as before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bodies import BODY, RAW, spoilt
from report import Row, show

POLICY = Path(__file__).parent.parent / "tests" / "golden" / "policy.yaml"
COUNT, CONNECTIONS = 100_000, 8
ROUTES = ["/v1/compose"] * 6 + ["/v1/compose/batch", "/v1/explain", "/v1/explain?costs=true", "/v1/events", "/v1/x"]
HEADERS = [
    {"accept": "text/html"},
    {"accept": "application/json;q=0"},
    {"content-type": "text/plain"},
    {"content-encoding": "br"},
    {"content-encoding": "gzip, gzip"},
    {"x-slatewise-budget-ms": "-1"},
    {"x-slatewise-budget-ms": "1e999"},
    {"x-slatewise-budget-ms": "0.001"},
    {"x-slatewise-start": "never"},
    {"x-slatewise-start": "1"},
    {"authorization": "Bearer \xff"},
    {"traceparent": "00-" + "z" * 60},
]


def hostile(rng: np.random.Generator) -> bytes:
    """Return a request as it is sent."""
    body, headers = spoilt(rng)
    if rng.random() < 0.1:
        headers = headers | HEADERS[rng.integers(len(HEADERS))]
    route = ROUTES[rng.integers(len(ROUTES))]
    if "batch" in route:
        body = b'{"requests":[' + body + b"," + RAW + b"]}"
    method = ["POST"] * 30 + ["GET", "PUT", "DELETE"]
    lines = [f"{method[rng.integers(len(method))]} {route} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def attacked(port: int, count: int) -> Counter[Any]:
    """Send hostile requests over a few connections; return how often each code came, and how often none did."""
    codes: Counter[Any] = Counter()
    good = f"POST /v1/compose HTTP/1.1\r\nhost: x\r\ncontent-length: {len(RAW)}\r\n\r\n".encode() + RAW

    async def one(seed: int) -> None:
        rng = np.random.default_rng(seed)
        link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number in range(count // CONNECTIONS):
            if link is None:
                link = await asyncio.open_connection("127.0.0.1", port)
            decent = number % 50 == 0
            try:
                link[1].write(good if decent else hostile(rng))
                code, hangs_up = await asyncio.wait_for(_reply(link[0]), 60)
                codes["good " + str(code) if decent else code] += 1
            except (OSError, asyncio.IncompleteReadError):
                codes["hung up"] += 1
                hangs_up = True
            if hangs_up:
                link[1].close()
                link = None
        if link is not None:
            link[1].close()

    await asyncio.gather(*map(one, range(CONNECTIONS)))
    return codes


async def _reply(reader: asyncio.StreamReader) -> tuple[int, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length")), b":0")
    await reader.readexactly(int(length.split(b":")[1]))
    return int(head.split()[1]), b"connection: close" in head


def rows(count: int = COUNT) -> list[Row]:
    """Return one row: what a service said to hostile requests, and what it wrote."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from slatewise.cli import app; app()", "serve", str(POLICY), "--port", str(port)]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(process, port)
            asyncio.run(attacked(port, CONNECTIONS * 200))
            before = _memory(process.pid)
            codes = asyncio.run(attacked(port, count))
            grown = _memory(process.pid) - before
        finally:
            process.kill()
        process.wait()
        log.seek(0)
        tracebacks = log.read().count(b"Traceback")
    failed = sum(times for code, times in codes.items() if isinstance(code, int) and code >= 500 and code != 503)
    hurt = sum(times for code, times in codes.items() if str(code).startswith("good") and code != "good 200")
    sent = sum(codes.values())
    said = ", ".join(f"{code}: {times}" for code, times in sorted(codes.items(), key=lambda pair: str(pair[0])))
    return [
        Row(
            f"{sent} hostile requests",
            "0 tracebacks, 0 5xx but 503",
            f"{tracebacks} tracebacks, {failed} 5xx, {hurt} good requests hurt, {grown:.1f} MB grown",
            said,
            not tracebacks and not failed and not hurt,
        )
    ]


def _wait(process: subprocess.Popen[bytes], port: int, seconds: float = 300) -> None:
    """Wait until the service composes a page."""
    for _ in range(int(seconds * 5)):
        assert process.poll() is None, "the service did not start"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as probe:
                probe.sendall(b"POST /v1/compose HTTP/1.1\r\nhost: x\r\nconnection: close\r\n")
                probe.sendall(f"content-length: {len(RAW)}\r\n\r\n".encode() + json.dumps(BODY).encode())
                if probe.recv(12).endswith(b"200"):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError("the service did not come up")


def _memory(pid: int) -> float:
    """Return the resident memory of a process in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=COUNT, help="requests to send")
    show(rows(options.parse_args().count))
