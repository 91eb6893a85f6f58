"""Where harm is done: a whole service, with a store, a log, a policy that has everything, and requests for it."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from ruamel.yaml import YAML

from chaos_check import rows_of
from load import Offering, Plan
from serve_drain import metrics
from serve_state import Redis
from serve_swap import ask
from serving import PACED, Server, paced_bodies

RATE, BACK_S = 40.0, 60.0
"""Requests per second, and how long anything is waited for."""

SERVE = """
serve:
  hold_s: 900
  rungs:
    - {name: narrow, candidates: 40, keep: score, quality: 0.25}
    - {name: plain, page: greedy}
  caps:
    - {name: articles, per: item_id, at_most: 2}
    - {name: trends of a user, group: {line: trending}, at_most: 20, failing: closed}
    - {name: trends, group: {line: trending}, scope: all, at_most: 400, within_s: 6}
"""
POLICY: dict[str, Any] = YAML(typ="safe").load(PACED.read_text() + SERVE)


class Ground(NamedTuple):
    """Where it all happens.

    Attributes:
        workers: How many there are.
        server: The service.
        redis: Its store.
        log: Folder of its decision log, on a disk of its own if that is permitted.
        token: What opens everything.
        policies: Policies to swap to.
        rules: Hash of each to its rules.
        bodies: Requests, without names.
        rows: Their candidates.
    """

    workers: int
    server: Server
    redis: Redis
    log: Path
    token: str
    policies: list[bytes]
    rules: dict[str, list[dict[str, Any]]]
    bodies: list[bytes]
    rows: list[dict[tuple[str, str], dict[str, Any]]]


@contextmanager
def grounds(workers: int, folder: Path) -> Iterator[Ground]:
    """Start a service and all that it needs."""
    path, log, token = folder / "feed.yaml", folder / "log", secrets.token_hex(16)
    path.write_text(PACED.read_text() + SERVE)
    log.mkdir()
    disk = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", log], capture_output=True, check=False)
    named = paced_bodies(64, form="columns")
    rows = [rows_of(msgspec.json.decode(body)["candidates"]) for body in named]
    redis = Redis()
    env = {"SLATEWISE_TOKEN": token, "SLATEWISE_JOURNAL_FOLDER": str(log), "SLATEWISE_JOURNAL_SEGMENT_S": "1"}
    options = ("--workers", str(workers), "--state", redis.url)
    server = Server(path, *options, core=None if workers > 1 else 0, env=env)
    try:
        server.until_ready(300)  # kernels may have to be compiled
        until(lambda: ready(server) == workers)
        documents, rules = [], {}
        for at_most in (3, 4):
            other = json.loads(json.dumps(POLICY))
            other["compose"]["constrain"]["rules"][2] |= {"every": at_most + 1, "at_most": at_most}
            documents.append(json.dumps(other).encode())
            rules[ask(server, token, "", documents[-1])["hash"]] = other["compose"]["constrain"]["rules"]
        bodies = [body.split(b",", 2)[2] for body in named]
        ground = Ground(workers, server, redis, log, token, documents, rules, bodies, rows)
        offered = [b'{"request_id":"w%d","user":"w%d",%s' % (n, n, body) for n, body in enumerate(bodies)]
        Offering(Plan(url=server.url, bodies=offered, rate=RATE, seconds=2.0)).result()
        yield ground
    finally:
        if server.process.poll() is None:
            server.stop()
        redis.kill()
        if disk.returncode == 0:
            subprocess.run(["umount", log], check=False)


def capacity_of(ground: Ground) -> float:
    """Return how many pages a second are served in closed loop."""
    bodies = [b'{"request_id":"c%d","user":"c%d",%s' % (n, n, body) for n, body in enumerate(ground.bodies)]
    plan = Plan(url=ground.server.url, bodies=bodies, arrivals="closed", connections=2 * ground.workers, seconds=2.0)
    return len(Offering(plan).result().code) / plan.seconds


def ready(server: Server) -> int:
    """Return how many workers are ready."""
    line = next((line for line in metrics(server.root).splitlines() if line.startswith("slatewise_ready_workers ")), "")
    return int(float(line.rpartition(" ")[2] or 0))


def until(holds: Callable[[], bool], seconds: float = BACK_S) -> bool:
    """Wait until something holds; tell whether it did."""
    end = time.monotonic() + seconds
    while not (there := holds()) and time.monotonic() < end:
        time.sleep(0.1)
    return there
