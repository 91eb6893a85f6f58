"""The house: what the pipeline costs around its kernels, the greedy page, and the wire.

Run with `make bench-house`. Each figure stands beside a peer measured in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import ClassVar
from unittest.mock import patch

import numpy as np

from report import Row, fastest, publish
from slatewise import (
    Calibrate,
    Candidates,
    Constrain,
    Feed,
    Fuse,
    Layout,
    Merge,
    Policy,
    Ratio,
    Request,
    Solve,
    Weight,
)
from slatewise.core.columns import Kind, Numbers
from slatewise.core.constraints import Constraints
from slatewise.core.stage import Annotator
from slatewise.kernels import greedy
from slatewise.methods import opening
from slatewise.methods.opening import NO_PREFERENCE
from slatewise.serve.wire import Wire
from slatewise.testing.families import FEED_RULES

ROWS, SLOTS, SEED = 300, 20, 11


class Passing(Annotator, frozen=True, kw_only=True):
    """An annotator that costs one multiplication: it stands for the stages that users add."""

    column: ClassVar[str]

    @property
    def reads(self) -> Mapping[str, Kind]:
        return {"p_click": "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        return {self.column: "number"}

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        return {self.column: 0.5 * candidates.number("p_click")}


PASSING = [
    type(f"Passing{number}", (Passing,), {"section": f"score.pass{number}", "column": f"x{number}"}, frozen=True)
    for number in range(4)
]


def columns() -> dict[str, list]:
    """Return the columns of a request: 300 candidates of four lines."""
    rng = np.random.default_rng(SEED)
    return {
        "item_id": [f"item-{row:05d}" for row in range(ROWS)],
        "line": rng.choice(["posts", "videos", "live", "ads"], ROWS, p=[0.5, 0.25, 0.1, 0.15]).tolist(),
        "p_click": rng.beta(2, 20, ROWS).tolist(),
        "p_share": rng.beta(1, 60, ROWS).tolist(),
        "author": [f"author-{one}" for one in rng.integers(0, 80, ROWS)],
        "topic": [f"topic-{one}" for one in rng.integers(0, 12, ROWS)],
        "local": (rng.random(ROWS) < 0.05).tolist(),
    }


def policy() -> Policy:
    """Return a policy of ten stages."""
    return Policy.of(
        Fuse(terms={"p_click": 1.0, "p_share": 5.0}),
        *(one() for one in PASSING),
        Calibrate(lines={"ads": Ratio(factor=1.4), "live": Ratio(factor=0.8)}),
        Weight(lines={"videos": 1.1}),
        Merge(layout={"ads": Layout(first_slot=2)}, depth=3),
        Constrain(rules=FEED_RULES),
        Solve(method="greedy"),
        lines=["posts", "videos", "live", "ads"],
        columns={"p_click": "number", "p_share": "number", "author": "key", "topic": "key", "local": "flag"},
        slots=SLOTS,
    )


def pipeline() -> Row:
    """Measure ten stages with the kernels' answers recorded, so that only what is around them is left."""
    feed = Feed(policy())
    assert len(feed.policy.stages) == 10
    head = feed.policy.head
    items = Candidates.of(columns(), kinds=head.columns).conform(
        head.columns, head.lines
    )  # as the wire hands them over
    request = Request(id="r", candidates=items)
    answers = {}
    real = greedy.fill

    def record(*arguments):
        return answers.setdefault(arguments[3], real(*arguments))

    with patch.object(greedy, "fill", record), patch.object(opening, "fill", record):
        page = feed.compose(request)

    def recall(*arguments):
        return answers[arguments[3]]

    with patch.object(greedy, "fill", recall), patch.object(opening, "fill", recall):
        assert feed.compose(request).items == page.items
        around, arithmetic = fastest(lambda: feed.compose(request), numpy_glue(request))
    (whole,) = fastest(lambda: feed.compose(request))
    return Row(
        f"pipeline around its kernels, {ROWS} candidates, ten stages",
        "<= 150 µs",
        f"{around:.0f} µs ({whole:.0f} µs with the kernels)",
        f"the stages' arithmetic and one sort in bare NumPy: {arithmetic:.0f} µs",
        around <= 150,
    )


def numpy_glue(request: Request):
    """Return the arithmetic of the ten stages as straight NumPy code: no checks, no rules, no page."""
    items = request.candidates
    click, share, line = items.number("p_click"), items.number("p_share"), items.key("line").codes
    ratio, weight = np.array([1.0, 1.0, 0.8, 1.4]), np.array([1.0, 1.1, 1.0, 1.0])

    def glue():
        score = click + 5.0 * share
        for _ in range(4):
            0.5 * click
        utility = weight[line] * (ratio[line] * score)
        return np.argsort(-utility)[:SLOTS]

    return glue


def greedy_page() -> Row:
    """Measure one greedy page under six rules, and the loop that people write for it."""
    raw = columns()
    items = Candidates.of(raw, kinds=policy().head.columns)
    utility = items.number("p_click")
    constraints = Constraints(FEED_RULES, items, SLOTS)
    order, free = items.descending(utility), Solve().predecessors(items)
    arrays = constraints.arrays
    ours, glued = fastest(
        lambda: greedy.fill(order, arrays, free, SLOTS, 100_000, NO_PREFERENCE), lambda: first_fit(raw, raw["p_click"])
    )
    return Row(
        f"greedy page under six rules, n = {ROWS}, k = {SLOTS}",
        "<= 100 µs",
        f"{ours:.0f} µs",
        f"a loop of if-statements in Python, caps only, no floors: {glued:.0f} µs, {glued / ours:.1f}x",
        ours <= 100,
    )


def first_fit(raw: dict, utility: list[float]) -> list[int]:
    """Return a page by the loop that people write: the caps of the six rules, and none of the floors."""
    page: list[int] = []
    for row in sorted(range(ROWS), key=lambda row: -utility[row]):
        ads = sum(raw["line"][other] == "ads" for other in page)
        if raw["line"][row] == "ads" and (ads >= 2 or (page and raw["line"][page[-1]] == "ads")):
            continue
        if raw["author"][row] in [raw["author"][other] for other in page[-3:]]:
            continue
        page.append(row)
        if len(page) == SLOTS:
            break
    return page


def wire() -> list[Row]:
    """Measure body to request and page to body, for candidates in rows and in columns."""
    feed = Feed(policy())
    codec = Wire(feed.policy)
    by_column = columns()
    by_row = [dict(zip(by_column, row, strict=True)) for row in zip(*by_column.values(), strict=True)]
    rows = []
    for name, candidates in (("rows", by_row), ("columns", by_column)):
        body = json.dumps({"request_id": "r", "candidates": candidates}).encode()
        page = feed.compose(codec.decode(body).request)
        plain = json.loads(page.encode())
        ours, bare = fastest(
            lambda body=body, page=page: (codec.decode(body), page.encode()),
            lambda body=body, plain=plain: (json.loads(body), json.dumps(plain)),
        )
        rows.append(
            Row(
                f"wire, JSON {name}, {ROWS} candidates: decode, check, encode",
                "<= json of the standard library" if name == "rows" else "<= 2x json, which checks nothing",
                f"{ours:.0f} µs ({len(body) / 1024:.0f} KB)",
                f"json.loads + json.dumps, no checks: {bare:.0f} µs, {bare / ours:.1f}x",
                ours <= bare * (1 if name == "rows" else 2),
            )
        )
    return rows


def help_page() -> Row:
    """Measure `slatewise --help` as a whole process, and the interpreter alone."""

    def run(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        return (time.perf_counter() - start) * 1e3

    ours, bare = (min(run(*how) for _ in range(15)) for how in (("-m", "slatewise.cli", "--help"), ("-c", "pass")))
    return Row("slatewise --help", "<= 200 ms", f"{ours:.0f} ms", f"python -c pass: {bare:.0f} ms", ours <= 200)


if __name__ == "__main__":
    publish("house", [pipeline(), greedy_page(), *wire(), help_page()])
