"""The wire over HTTP: what transport, codec and validation cost a request, beside a bare echo in the same process.

A server in a process of its own decodes bodies exactly as the service does, composes nothing, and encodes the same page
each time; its CPU time is read before and after each block of requests, and the blocks of all forms take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import json
import socket
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import Any

import msgspec
import numpy as np
import pyarrow
from pyarrow import ipc

import slatewise
from report import Row, show
from slatewise.serve.arrow import ARROW
from slatewise.serve.wire import JSON

POLICY = Path(slatewise.__file__).parent / "demo" / "policies" / "paced.yaml"
ROWS, SLOTS, SEED = 300, 20, 11
GOALS = {"rows": 250.0, "columns": 160.0, "Arrow": 160.0}
IN_FLIGHT = 1, 4
"""With one request at a time, the server sleeps before each, and waking a processor up counts as its time."""
REST = {"request_id": "request-000017", "user": "user-12345", "slots": SLOTS}


def columns() -> dict[str, list[Any]]:
    """Return 300 candidates of the demo's three lines, as its policy has them."""
    rng = np.random.default_rng(SEED)
    return {
        "item_id": [f"N{100_000 + row}" for row in range(ROWS)],
        "line": rng.choice(["for_you", "trending", "fresh"], ROWS, p=[0.5, 0.3, 0.2]).tolist(),
        "score": rng.gamma(2.0, 1.5, ROWS).tolist(),
        "opened": (rng.random(ROWS) < 0.05).tolist(),
        "cluster": [f"c{one}" if one else None for one in rng.integers(0, 40, ROWS)],
    }


def bodies() -> dict[str, tuple[str, bytes]]:
    """Return the same request in every form: its media type and its bytes."""
    by_column = columns()
    by_row = [dict(zip(by_column, row, strict=True)) for row in zip(*by_column.values(), strict=True)]
    arrays = {name: pyarrow.array(values) for name, values in by_column.items()}
    arrays |= {name: arrays[name].dictionary_encode() for name in ("line", "cluster")}
    table = pyarrow.table(arrays).replace_schema_metadata({"slatewise": json.dumps(REST)})
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    forms = {"rows": by_row, "columns": by_column}
    found = {name: (JSON, msgspec.json.encode({**REST, "candidates": form})) for name, form in forms.items()}
    return {**found, "Arrow": (ARROW, sink.getvalue())}


def server() -> None:
    """Serve `/echo` (bare ASGI), `/v1/compose` (all but composing) and `/cpu` until killed; prints the port."""
    import uvicorn

    from slatewise import Policy
    from slatewise.serve.http.front import Front
    from slatewise.serve.http.replies import Served, reply_of
    from slatewise.serve.http.routes import COMPOSE, PageRoute, Reply, Taken, named
    from slatewise.serve.process import garbage
    from slatewise.serve.process.assembly import put_together
    from slatewise.serve.process.meters import Meters
    from slatewise.serve.process.server import configured
    from slatewise.serve.process.settings import Settings
    from slatewise.stages import STAGES

    settings, meters = Settings(), Meters()
    parts = put_together(Policy.load(POLICY, STAGES), settings, meters)
    deployed = parts.rollout.active
    form, body = bodies()["rows"]
    page = deployed.ladder.compose(deployed.wire.decode(body, form).request)

    async def answer(call: Any, _: Any) -> Reply:
        deployed.wire.decode(call.body, call.media)
        return Reply(reply_of(page, Served(page="x" * 40)), named(page.policy, "full"))

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await reply(send, b"{}")

    async def reply(send: Any, body: bytes) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    front = Front(meters)
    taken = Taken((JSON, ARROW), settings.limits.body_bytes)
    pages = {COMPOSE: PageRoute(parts.pages[COMPOSE].service, taken, answer)}
    front.open(parts.app, pages=pages, policy=lambda: deployed.hash, spans=None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/cpu":
            await reply(send, str(process_time()).encode())
        else:
            await (echo if scope["path"] == "/echo" else front)(scope, receive, send)

    garbage.settle()
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(configured(app, settings)).run([listener])


def measured(passes: int = 9, block: int = 400) -> dict[tuple[str, str, int], float]:
    """Return the server's CPU time of a request in microseconds: the median of the blocks.

    By route, form and how many requests are in flight at any time.
    """
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            return asyncio.run(_measured(port, passes, block))
        finally:
            process.kill()


async def _measured(port: int, passes: int, block: int) -> dict[tuple[str, str, int], float]:
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(max(IN_FLIGHT))]

    async def ask(place: int, request: bytes, count: int = 1) -> bytes:
        reader, writer = connections[place]
        content = b""
        for _ in range(count):
            writer.write(request)
            said = await reader.readuntil(b"\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 200"), said
            length = next(line for line in said.lower().split(b"\r\n") if line.startswith(b"content-length"))
            content = await reader.readexactly(int(length.split(b":")[1]))
        return content

    async def cpu() -> float:
        return float(await ask(0, b"GET /cpu HTTP/1.1\r\nhost: x\r\n\r\n"))

    found: dict[tuple[str, str, int], list[float]] = {}
    for turn in range(passes + 1):
        for name, (media, body) in bodies().items():
            for route, many in itertools.product(("/echo", "/v1/compose"), IN_FLIGHT):
                head = (
                    f"POST {route} HTTP/1.1\r\nhost: x\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n\r\n"
                )
                before = await cpu()
                await asyncio.gather(*(ask(place, head.encode() + body, block // many) for place in range(many)))
                spent = (await cpu() - before) / block * 1e6
                if turn:  # the first turn warms up
                    found.setdefault((route, name, many), []).append(spent)
    for _, writer in connections:
        writer.close()
    return {key: float(np.median(values)) for key, values in found.items()}


def rows() -> list[Row]:
    """Return one row for each form of a request."""
    cpu, sizes = measured(), {name: len(body) for name, (_, body) in bodies().items()}
    idle, busy = IN_FLIGHT
    return [
        Row(
            f"transport, codec and validation, {ROWS} candidates as {name}, server busy",
            f"<= {goal:.0f} µs CPU",
            f"{cpu['/v1/compose', name, busy]:.0f} µs, body of {sizes[name] / 1000:.0f} kB; "
            f"{cpu['/v1/compose', name, idle]:.0f} µs if it sleeps before each",
            f"a bare ASGI echo of the body: {cpu['/echo', name, busy]:.0f} and {cpu['/echo', name, idle]:.0f} µs",
            cpu["/v1/compose", name, busy] <= goal,
        )
        for name, goal in GOALS.items()
    ]


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", action="store_true", help="be the server that is measured")
    if options.parse_args().serve:
        server()
    else:
        show(rows())
