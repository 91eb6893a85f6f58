"""The store under a service: killed, hung, full, started again; what requests notice of it.

Each fault happens to a real Redis server while pages are asked for, open loop, by another process. The peer is a
second service on the same core, asked at the same time, with a server that nothing happens to. A store in the way of
no request adds nothing; one that is asked for caps of users may add what a reservation may take, until the breaker
opens. Pages are filled greedily: what the store adds does not depend on how long a page takes, and shows better
beside a short one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from load import Offered, Offering, Plan
from report import Row, show
from serving import PACED, paced_bodies, serving
from slatewise.serve.state.store.breaker import Breaker
from slatewise.serve.state.store.contract import Merge, StoreError, Took, Want
from slatewise.serve.state.store.opening import opened

RATE, SECONDS, FAULT_S, REPAIR_S = 20.0, 12.0, 3.0, 7.0

CAPS = """
serve:
  caps:
    - {name: interests, per: cluster, at_most: 1000}
    - {name: fresh, group: {line: fresh}, scope: all, at_most: 1000000, within_s: 60}
"""


class Redis:
    """A server without a disk, on a free port."""

    def __init__(self) -> None:
        """Start it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        program = shutil.which("redis-server") or "redis-server"
        command = [program, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                self.ask("PING")
                return
            except OSError:
                time.sleep(0.005)

    def ask(self, words: str) -> None:
        """Send a command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as raw:
            raw.sendall(f"{words}\r\n".encode())
            raw.recv(4096)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()


class Fault(NamedTuple):
    """What happens to a server, and how it ends."""

    begin: Callable[[Redis], object]
    end: Callable[[Redis], object]


FAULTS = {
    "killed, then started empty": Fault(lambda one: one.kill(), lambda one: one.start()),
    "hung, then going on": Fault(
        lambda one: os.kill(one.process.pid, signal.SIGSTOP), lambda one: os.kill(one.process.pid, signal.SIGCONT)
    ),
    "full, then with room": Fault(
        lambda one: one.ask("CONFIG SET maxmemory 1"), lambda one: one.ask("CONFIG SET maxmemory 0")
    ),
}


def main() -> None:
    """Print the rows."""
    show(rows())


def rows() -> list[Row]:
    """Return a row for each target."""
    found = [_cost("memory:"), _cost("sqlite:"), _cost("redis:")]
    for name, fault in FAULTS.items():
        opens, closes = asyncio.run(_breaker(fault))
        found.append(Row(f"breaker opens, server {name}", "<= 1 s", f"{opens:.2f} s", "", opens <= 1))
        found.append(Row(f"breaker closes, server {name}", "<= 2 s", f"{closes:.2f} s", "", closes <= 2))
        hurt, quiet = _served(fault)
        failed, others = int((hurt.code != 200).sum()), int((quiet.code != 200).sum())
        peer = f"{others} without a fault"
        found.append(Row(f"failed pages, server {name}", "0", f"{failed} of {len(hurt.code)}", peer, failed == 0))
        mine, theirs = _during(hurt), _during(quiet)
        goal, peer = "<= 10 ms added", f"{theirs:.1f} ms without a fault"
        found.append(Row(f"P99 meanwhile, server {name}", goal, f"{mine:.1f} ms", peer, mine - theirs <= 10))
        back = _recovery(hurt)
        found.append(Row(f"pages are fresh again, server {name}", "<= 2 s", f"{back:.2f} s", "", back <= 2))
    return found


def _cost(kind: str) -> Row:
    """Measure the processor time of a reservation of 100 values and its settlement, in this process."""
    wants = [Want(counter=f"86400.0/a/{place}", wanted=2, at_most=1000, within_s=86_400.0) for place in range(100)]

    async def measured(store: Breaker) -> list[float]:
        spent: list[float] = []
        for page in range(600):
            began = time.process_time()
            user = f"u{page % 50}"
            try:
                await store.reserve(user, f"p{page}", wants, time=1e9 + page, hold_s=300.0)
                await store.settle([Took(user=user, page=f"p{page}", used={"86400.0/a/7": 1}, time=1e9 + page)])
            except StoreError:
                continue  # another process had the processor
            spent.append(time.process_time() - began)
        await store.close()
        return spent

    with tempfile.TemporaryDirectory() as folder:
        server = Redis() if kind == "redis:" else None
        url = server.url if server is not None else f"sqlite:{folder}/state.db" if kind == "sqlite:" else kind
        spent = asyncio.run(measured(opened(url, clock=time.monotonic)))
        if server is not None:
            server.kill()
    cost = float(np.median(spent)) * 1e6
    return Row(f"reserve 100 values and settle, {kind}", "", f"{cost:.0f} us of processor time", "", True)


async def _breaker(fault: Fault) -> tuple[float, float]:
    """Return how long a breaker takes to open and to close, where a page is asked for each 10 ms and merges go on."""
    server = Redis()
    store = opened(server.url, clock=time.monotonic)
    sequence = 0

    async def merging() -> None:
        nonlocal sequence
        while True:
            sequence += 1
            try:
                merge = Merge(
                    worker="w", sequence=sequence, time=time.time(), deltas={"60.0/a/": 1.0}, spans={"60.0/a/": 60.0}
                )
                await store.merge(merge)
            except StoreError:
                pass
            await asyncio.sleep(0.1)

    async def reserving() -> None:
        page = 0
        while True:
            page += 1
            try:
                want = Want(counter="60.0/b/", wanted=1, at_most=9, within_s=60.0)
                await store.reserve(f"u{page}", f"p{page}", [want], time=time.time(), hold_s=9.0)
            except StoreError:
                pass
            await asyncio.sleep(0.01)

    async def until(state: str) -> float:
        began = time.monotonic()
        while store.state != state and time.monotonic() - began < 30:
            await asyncio.sleep(0.002)
        return time.monotonic() - began

    tasks = [asyncio.create_task(merging()), asyncio.create_task(reserving())]
    await asyncio.sleep(1.0)
    await until("closed")
    fault.begin(server)
    opens = await until("open")
    await asyncio.sleep(2.5)
    fault.end(server)
    closes = await until("closed")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()
    server.kill()
    return opens, closes


def _served(fault: Fault) -> tuple[Offered, Offered]:
    """Ask two services for pages, while the server of the first one's state suffers a fault."""
    servers = [Redis(), Redis()]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        policy = Path(folder) / "capped.yaml"
        policy.write_text(PACED.read_text().replace("solve: {}", "solve: {method: greedy}") + CAPS)
        services = [running.enter_context(serving(policy, "--state", server.url)) for server in servers]
        plans = [Plan(url=service.url, bodies=_bodies(), rate=RATE, seconds=SECONDS, keep=True) for service in services]
        for plan in plans:
            Offering(Plan(url=plan.url, bodies=plan.bodies[:50], rate=25.0, seconds=2.0), core=1).result()
        offerings = [Offering(plan, core=1) for plan in plans]
        time.sleep(max(offerings[0].began + FAULT_S - time.monotonic(), 0))
        fault.begin(servers[0])
        time.sleep(max(offerings[0].began + REPAIR_S - time.monotonic(), 0))
        fault.end(servers[0])
        hurt, quiet = [offering.result() for offering in offerings]
    for server in servers:
        server.kill()
    return hurt, quiet


def _bodies() -> list[bytes]:
    """Return requests with names of their own, so that each is a page of its own."""
    bodies = paced_bodies(64, form="columns")
    named = (bodies[place % len(bodies)] for place in range(int(RATE * SECONDS)))
    return [b'{"request_id":"n%d",%s' % (place, body.split(b",", 1)[1]) for place, body in enumerate(named)]


def _during(result: Offered) -> float:
    """Return the P99 of pages that were due while the fault lasted, in milliseconds."""
    due = (result.due >= FAULT_S) & (result.due < REPAIR_S) & (result.code == 200)
    return float(np.percentile(result.latency_s[due], 99)) * 1e3


def _recovery(result: Offered) -> float:
    """Return how long after the end of the fault the last page was due whose state was not fresh, in seconds."""
    late = [
        due
        for due, content, code in zip(result.due, result.content, result.code, strict=True)
        if code == 200 and due >= REPAIR_S and json.loads(content)["served"]["state"] != "fresh"
    ]
    return max(late, default=REPAIR_S) - REPAIR_S


if __name__ == "__main__":
    main()
