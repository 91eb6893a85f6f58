"""Hot swap: policies pushed, tried, put to work and taken back while requests come in, and none of them fails.

    python benchmarks/serve_swap.py

Open-loop load on the demo's full policy. While it lasts, another policy goes its whole way again and again: pushed
(parsed, compiled), tried on the last requests, canary, promoted, rolled back. The same load without all that, in the
same run, says what it costs. The policy's time for a page is set to seconds, so that a machine with other work to do
sheds nothing and every failure is one of the swap.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from load import Offered, Offering, Plan
from report import Row, show
from serving import PACED, Server, paced_bodies, serving
from slatewise.core.policy import Policy
from slatewise.stages import STAGES

RATE = 100.0
"""Requests per second: some two in five of what a core can do, as trying policies takes its part."""
SECONDS = 20.0
BUDGET_MS = 10_000
TRIED = 40
"""Requests that a policy is tried on in each round."""


def rows(*, rate: float = RATE, seconds: float = SECONDS) -> list[Row]:
    """Return what swaps cost, and that no request fails of them."""
    token, bodies = secrets.token_hex(16), paced_bodies(64)
    with _policies() as (policy, others), serving(policy, core=0, env={"SLATEWISE_TOKEN": token}) as server:
        plan = Plan(url=server.url, bodies=bodies, rate=rate, seconds=seconds)
        Offering(msgspec.structs.replace(plan, seconds=2.0), core=1).result()  # warm
        before = server.cpu_s()
        still = Offering(plan, core=1).result()
        middle = server.cpu_s()
        offering = Offering(plan, core=1)
        changes = swaps(server, token, others, until=time.monotonic() + seconds)
        moved = offering.result()
        cpu = [1e3 * cost / len(moved.code) for cost in (middle - before, server.cpu_s() - middle)]
    failed, dropped = _failed(moved)
    cost = f"{cpu[0]:.2f} ms CPU per request without, {cpu[1]:.2f} with"
    tails = [f"{one.percentile_ms(50):.1f} / {one.percentile_ms(99):.1f} ms" for one in (still, moved)]
    return [
        Row(
            f"{changes} swaps under {rate:g} requests per second: failed, dropped",
            "0, 0",
            f"{failed}, {dropped} of {len(moved.code)}",
            f"{_failed(still)} without swaps; {cost}",
            failed == dropped == 0 and changes > 0,
        ),
        Row(
            "latency while policies are compiled, tried and swapped", "P50 / P99", tails[1], f"{tails[0]} without", True
        ),
    ]


@contextmanager
def _policies() -> Iterator[tuple[Path, list[bytes]]]:
    """Give the demo's policy with time, and documents of policies that differ from it."""
    document = json.loads(json.dumps(Policy.load(PACED, STAGES).document()))
    document["serve"]["budget_ms"] = BUDGET_MS
    others = []
    for at_most in (3, 4):
        other = json.loads(json.dumps(document))
        other["compose"]["constrain"]["rules"][2] |= {"every": at_most + 1, "at_most": at_most}
        other["columns"]["editor"] = "key?"
        others.append(json.dumps(other).encode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "paced.json"
        path.write_text(json.dumps(document))
        yield path, others


def swaps(server: Server, token: str, others: list[bytes], *, until: float) -> int:
    """Send policies on their way until the time is over; return how often what serves was changed."""
    changes = 0
    while time.monotonic() < until:
        for document in others:
            policy = ask(server, token, "", document)["hash"]
            report = ask(server, token, f"/{policy}/shadow", {"last": TRIED})
            if report["failed"]:
                raise RuntimeError(f"a policy failed on logged requests: {report['failures']}")
            ask(server, token, f"/{policy}/canary", {"share": 0.5, "force": True})
            ask(server, token, f"/{policy}/promote", {"force": True})
            ask(server, token, "/rollback", {"of": policy})
            changes += 3
    return changes


def ask(server: Server, token: str, route: str, body: bytes | dict[str, Any]) -> Any:
    """Return what the service says to a change of its policies."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    asked = urllib.request.Request(f"{server.root}/v1/policies{route}", data, headers)
    with urllib.request.urlopen(asked, timeout=300) as reply:
        return json.load(reply)


def _failed(offered: Offered) -> tuple[int, int]:
    """Return how many requests had a reply that is no page, and how many had none."""
    return int((offered.code > 200).sum()), int((offered.code <= 0).sum())


if __name__ == "__main__":
    show(rows())
