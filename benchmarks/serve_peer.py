"""The service beside what people write by hand: FastAPI, pydantic models, pyversity and four rules in Python.

Both take the same bodies (300 candidates of three lines) and answer with a page of 20 under the same four rules; ours
also proves that no page under the rules is worth more, theirs spreads by one-hot vectors of clusters and repairs the
page slot by slot. Servers take turns under the same closed loop of four clients, and the CPU time of the server's
process is read before and after each block.

Run `python benchmarks/serve_peer.py`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from pyversity import Strategy, diversify

import slatewise
from load import Plan, offered
from report import Row, show
from serving import Server

POLICY = Path(slatewise.__file__).parent / "demo" / "policies" / "paced.yaml"
ROWS, SLOTS, SEED, BODIES = 300, 20, 11, 100
BLOCKS, SECONDS = 5, 2.0
FACTOR = 0.02
RUNG = "x-slatewise-rung"


class Candidate(BaseModel):
    """A candidate as the peer has it."""

    item_id: str
    line: Literal["for_you", "trending", "fresh"]
    score: float
    opened: bool
    cluster: str | None = None


class Asked(BaseModel):
    """What the peer is asked for."""

    request_id: str = ""
    slots: int = SLOTS
    candidates: list[Candidate]


class Placed(BaseModel):
    """An item on the peer's page."""

    slot: int
    item_id: str
    line: str
    utility: float


class Answer(BaseModel):
    """The peer's page."""

    request_id: str
    items: list[Placed]


def columns(rng: np.random.Generator) -> dict[str, list[Any]]:
    """Return candidates of the demo's three lines, each with scores of its own unit."""
    line = rng.choice(["for_you", "trending", "fresh"], ROWS)
    score = np.select(
        [line == "for_you", line == "trending"], [rng.random(ROWS), rng.integers(1, 500, ROWS)], 30 * rng.random(ROWS)
    )
    return {
        "item_id": [f"N{100_000 + row}" for row in range(ROWS)],
        "line": line.tolist(),
        "score": score.tolist(),
        "opened": (rng.random(ROWS) < 0.1).tolist(),
        "cluster": [f"c{one}" if one else None for one in rng.integers(0, 12, ROWS)],
    }


def bodies() -> dict[str, list[bytes]]:
    """Return the same requests in rows and in columns."""
    rng = np.random.default_rng(SEED)
    found: dict[str, list[bytes]] = {"rows": [], "columns": []}
    for request in range(BODIES):
        by_column = columns(rng)
        by_row = [dict(zip(by_column, row, strict=True)) for row in zip(*by_column.values(), strict=True)]
        for name, form in (("rows", by_row), ("columns", by_column)):
            found[name].append(json.dumps({"request_id": f"r{request}", "slots": SLOTS, "candidates": form}).encode())
    return found


def peer() -> FastAPI:
    """Return the application that people write by hand."""
    app = FastAPI()

    @app.post("/v1/compose")
    def compose(asked: Asked) -> Answer:
        rows = [one for one in asked.candidates if not one.opened]
        utility = np.array([FACTOR * one.score for one in rows])
        codes: dict[str, int] = {}
        vectors = np.zeros((len(rows), 1 + len(rows)))
        for row, one in enumerate(rows):
            vectors[row, codes.setdefault(one.cluster, len(codes) + 1) if one.cluster else 0] = 1.0
        vectors = vectors[:, : len(codes) + 1]
        picked = diversify(vectors, utility, asked.slots, strategy=Strategy.MMR, diversity=0.1).indices.tolist()
        reserve = [row for row in np.argsort(-utility).tolist() if row not in set(picked)]
        page = repaired(rows, [*picked, *reserve], asked.slots)
        return Answer(
            request_id=asked.request_id,
            items=[
                Placed(slot=slot, item_id=rows[row].item_id, line=rows[row].line, utility=float(utility[row]))
                for slot, row in enumerate(page, 1)
            ],
        )

    return app


def repaired(rows: list[Any], preferred: list[int], slots: int) -> list[int]:
    """Fill slot by slot with the first row that keeps the rules; without one, with the first row."""
    page: list[int] = []
    left = list(preferred)
    clusters: set[str] = set()
    while len(page) < slots and left:
        slot = len(page)
        fresh_due = slot == 4 and all(rows[row].line != "fresh" for row in page)
        new_due = slot < 10 and 3 - len(clusters) >= 10 - slot
        for row in left:
            one = rows[row]
            if slot >= 2 and rows[page[-1]].line == rows[page[-2]].line == one.line:
                continue
            if fresh_due and one.line != "fresh":
                continue
            if new_due and (one.cluster is None or one.cluster in clusters):
                continue
            break
        else:
            row = left[0]
        left.remove(row)
        page.append(row)
        if rows[row].cluster is not None:
            clusters.add(rows[row].cluster)
    return page


class PeerServer(Server):
    """The peer in a process of its own, on one core."""

    def __init__(self, core: int = 0) -> None:
        """Start it."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/v1/compose"
        command = ["taskset", "-c", str(core), sys.executable, __file__, "--peer", str(self.port)]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)


def block(server: Server, sent: list[bytes], wanted: list[str]) -> tuple[float, float, float]:
    """Return (CPU time of a request, its median latency), in microseconds, and the share of whole pages, of one block.

    Whole pages are those of the full rung, which alone proves them.
    """
    before = server.cpu_s()
    plan = Plan(url=server.url, bodies=sent, seconds=SECONDS, arrivals="closed", connections=4, wanted=wanted)
    came = offered(plan, core=1)
    assert (came.code == 200).all(), came.summary()
    whole = [rung == "full" for name in wanted for rung in came.headers[name]]
    return (server.cpu_s() - before) / len(came.code) * 1e6, came.percentile_ms(50) * 1e3, float(np.mean(whole or [1]))


def rows() -> list[Row]:
    """Measure CPU time per request of both, in turns."""
    sent = bodies()
    ours, theirs = Server(POLICY), PeerServer()
    try:
        ours.until_ready()
        theirs.until_ready()
        cases = {"peer": (theirs, sent["rows"], []), **{name: (ours, some, [RUNG]) for name, some in sent.items()}}
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cases}
        for turn in range(BLOCKS + 1):
            for name, (server, some, wanted) in cases.items():
                came = block(server, some, wanted)
                if turn:  # the first block warms up
                    found[name].append(came)
    finally:
        for server in (ours, theirs):
            server.process.kill()
            server.process.wait()
    cpu, p50, whole = (
        {name: float(np.median([one[place] for one in some])) for name, some in found.items()} for place in range(3)
    )
    return [
        Row(
            f"CPU of a request in {name}, {ROWS} candidates, {SLOTS} slots, four rules, proven",
            "<= 1/5 of the peer's",
            f"{cpu[name]:.0f} µs, 1/{cpu['peer'] / cpu[name]:.1f}; P50 {p50[name] / 1e3:.2f} ms; "
            f"{whole[name]:.1%} on the full rung",
            f"FastAPI + pydantic + pyversity, rows: {cpu['peer']:.0f} µs; P50 {p50['peer'] / 1e3:.2f} ms",
            cpu[name] * 5 <= cpu["peer"],
        )
        for name in sent
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        import uvicorn

        uvicorn.run(peer(), host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
    else:
        show(rows())
