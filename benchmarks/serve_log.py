"""The decision log: what it costs a request and the process, what it does beyond its capacity, and whether it is right.

Costs are processor time, of the thread or of the process, not time on the clock.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

import slatewise
from report import Row, show
from slatewise import Policy
from slatewise.core.document import Document
from slatewise.ladder import Conditions, Ladder
from slatewise.serve.http.replies import Served
from slatewise.serve.log.decisions import Decision
from slatewise.serve.log.findings import report_of
from slatewise.serve.log.journal import Journal, LogSettings
from slatewise.serve.log.records import Recorder
from slatewise.serve.log.replaying import replayed
from slatewise.serve.state.shared import Remembered
from slatewise.serve.wire import JSON, Wire
from slatewise.stages import STAGES

PACED = Path(slatewise.__file__).parent / "demo" / "policies" / "paced.yaml"
ROWS, SLOTS, PAGES, RATE, SECONDS = 300, 20, 3000, 3000, 5.0


def rows() -> list[Row]:
    """Measure the log with the demo's full policy."""
    policy = _logging(Policy.load(PACED, STAGES))
    decisions, composed = _decisions(policy, PAGES)
    with TemporaryDirectory() as folder:
        offered = _offered(Path(folder) / "offers", decisions)
        background = _background(Path(folder) / "background", decisions)
        line = _line(decisions)
        crowded = _crowded(Path(folder) / "crowded", decisions)
        right = _replayed(Path(folder) / "right", decisions)
    share = background / composed
    return [
        Row(
            "decision log: what a request pays",
            "< 15 µs CPU",
            f"{offered:.1f} µs CPU",
            f"{line:.0f} µs for the same record as a JSON line",
            offered < 15.0,
        ),
        Row(
            "decision log: what its thread takes per page, 300 candidates",
            "< 20 % of the page",
            f"{share:.0%}, {background:.2f} ms CPU; inputs of every tenth page included",
            f"{composed:.2f} ms to decode and compose it",
            share < 0.2,
        ),
        crowded,
        right,
    ]


def _logging(policy: Policy) -> Policy:
    return Policy.parse(Document({**policy.document(), "slots": SLOTS}, "", {}), STAGES)


def _decisions(policy: Policy, pages: int) -> tuple[list[Decision], float]:
    """Return pages as the service decides on them, and the processor time of decoding and composing one, in ms."""
    ladder, wire, rng = Ladder(policy), Wire(policy), np.random.default_rng(1)
    ladder.warm()
    found: list[Decision] = []
    took = 0.0
    for place in range(pages):
        body = _body(rng, place)
        before = time.thread_time()
        request = wire.decode(body).request
        under = Conditions(time=1e9 + place)
        page = ladder.compose(request, under)
        took += time.thread_time() - before
        timings = {"age": 0.1, "decode": 0.2, "reserve": 0.0, "compose": 1.5, "encode": 0.1}
        served = Served(page=f"page {place}")
        found.append(
            Decision(policy, request, body, JSON, under, Remembered(), page, served, timings, under.time, request.id)
        )
    return found, took / pages * 1e3


def _body(rng: np.random.Generator, place: int) -> bytes:
    columns: dict[str, Any] = {
        "item_id": [f"article-{one}" for one in rng.permutation(10_000)[:ROWS]],
        "line": rng.choice(["for_you", "trending", "fresh"], ROWS).tolist(),
        "score": rng.random(ROWS).tolist(),
        "opened": (rng.random(ROWS) < 0.1).tolist(),
        "cluster": [None if one == 0 else f"c{one}" for one in rng.integers(0, 40, ROWS)],
    }
    sent: Any = columns
    if place % 2:
        sent = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return msgspec.json.encode({"request_id": f"r{place}", "user": f"u{place % 97}", "candidates": sent})


def _offered(folder: Path, decisions: list[Decision]) -> float:
    """Return the processor time of an offer in the thread that makes it, in microseconds."""
    journal = Journal(LogSettings(folder=str(folder), queue=1_000_000, queue_mb=100_000))
    best = float("inf")
    for start in range(0, len(decisions), 500):
        part = decisions[start : start + 500]
        before = time.thread_time()
        for decision in part:
            journal.offer(decision)
        best = min(best, (time.thread_time() - before) / len(part))
    journal.close(within_s=60.0)
    return best * 1e6


def _background(folder: Path, decisions: list[Decision]) -> float:
    """Return the processor time of everything else, in milliseconds per page; nothing else runs meanwhile."""
    journal = Journal(LogSettings(folder=str(folder), queue=1_000_000, queue_mb=100_000))
    before = time.process_time()
    for decision in decisions:
        journal.offer(decision)
    while journal.waiting:
        time.sleep(0.05)
    journal.close(within_s=60.0)
    return (time.process_time() - before) / len(decisions) * 1e3


def _line(decisions: list[Decision]) -> float:
    """Return the processor time of making a record and encoding it as a line, in microseconds."""
    recorder = Recorder()
    before = time.thread_time()
    for decision in decisions:
        row = recorder.decision(decision).row
        msgspec.json.encode({**row, "body": None if row["body"] is None else row["body"].decode()})
    return (time.thread_time() - before) / len(decisions) * 1e6


def _crowded(folder: Path, decisions: list[Decision]) -> Row:
    """Offer ten times as many pages as a process serves, and look at the longest offer and at what is dropped."""
    journal = Journal(LogSettings(folder=str(folder), queue=2_000))
    offers, longest, most = int(RATE * SECONDS), 0.0, 0
    start = time.monotonic()
    for place in range(offers):
        ahead = start + place / RATE - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        before = time.thread_time()
        journal.offer(decisions[place % len(decisions)])
        longest = max(longest, time.thread_time() - before)
        most = max(most, journal.waiting)
    journal.close(within_s=60.0)
    lost = offers - journal.written - journal.dropped
    return Row(
        "decision log: ten times the load",
        "bounded queue, every drop counted",
        f"{journal.dropped / offers:.0%} dropped, at most {most} waiting, {lost} unaccounted for",
        f"longest offer {longest * 1e6:.0f} µs CPU",
        lost == 0 and most <= 2_000,
    )


def _replayed(folder: Path, decisions: list[Decision]) -> Row:
    """Log pages with their inputs and compose all of them again."""
    log = {"log": {"inputs": 1.0}}
    policy = Policy.parse(Document({**decisions[0].policy.document(), "serve": log}, "", {}), STAGES)
    journal = Journal(LogSettings(folder=str(folder), queue=1_000_000, queue_mb=100_000))
    for decision in _decisions(policy, PAGES)[0]:
        journal.offer(decision)
    journal.close(within_s=60.0)
    before = time.process_time()
    report = report_of(replayed(folder))
    rate = report.replayed / (time.process_time() - before)
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet")) / report.pages / 1e3
    return Row(
        "replay of the log, byte for byte",
        "all identical",
        f"{report.identical} of {report.pages} identical; {rate:.0f} pages a second of CPU",
        f"{size:.1f} KB a page on disk, inputs included",
        report.identical == report.pages == PAGES,
    )


if __name__ == "__main__":
    show(rows())
