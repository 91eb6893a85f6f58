"""Overload: the demo's full policy, 300 candidates and 20 slots, asked for more pages than it can compose.

One process on one core; the load is open-loop, Poisson, from another process. Capacity is what the full pipeline serves
in closed loop. Its ladder has two rungs more: filled greedily, and filled greedily by the scores of the lines, without
what blends them. Goodput is the share of all requests that had a page within 50 ms of the moment when they were due,
turned away ones counted as lost. The same policy without a ladder, that is, with a minute of budget, stands beside it.
Every page that came is checked afresh against the hard rules. Requests are offered and pages are made at the same time
on the same machine, so only ratios of one run say something; other work on it costs goodput and never adds any.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from load import Offered, Plan, offered
from report import Row, show
from serving import PACED, Server, paced_bodies, serving
from slatewise import Feed
from slatewise.core.constraints import Constraints
from slatewise.core.exposure import exposure_of
from slatewise.kernels import audit
from slatewise.serve.wire import Wire

SECONDS, TIMES = 5.0, (1.65, 3.0, 10.0)
SERVER, LOADER = 0, 1
"""Cores."""

BLENDING = ["blend.calibrate", "blend.weight", "blend.pace"]
LADDER = {
    "rungs": [
        {"name": "greedy", "page": "greedy"},
        {"name": "rules", "page": "greedy", "without": BLENDING, "by": "score", "quality": 0.25},
    ]
}
NO_LADDER = {"budget_ms": 60_000, "quality": {"target_ms": 60_000}}


class Pages(NamedTuple):
    """What the pages of a run were.

    Attributes:
        shares: Rung to its share of the pages.
        lost: Rung to the mean share of utility that its pages lack beside the full page of the same request.
        broken: Pages that break a rule which the full page of the same request keeps, or that are shorter.
    """

    shares: dict[str, float]
    lost: dict[str, float]
    broken: int


@contextmanager
def policy(serve: dict[str, Any]) -> Iterator[Path]:
    """Write the demo's full policy with another `serve` section."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feed.yaml"
        path.write_text(f"{PACED.read_text()}\nserve: {json.dumps(serve)}\n")
        yield path


def judged(run: Offered, feed: Feed) -> Pages:
    """Check the pages of a run, by counting their rules on the request that they are for."""
    wire = Wire(feed.policy)
    requests = [feed.policy.admit(wire.decode(body).request) for body in run.plan.bodies]
    full = [feed.compose(request) for request in requests]
    worth = [feed.pool(request)[0].number("utility") for request in requests]  # all rows: the policy keeps each
    exposure = exposure_of("log", requests[0].slots or 0)
    bound = [Constraints(feed.policy.rules, one.candidates, one.slots or 0) for one in requests]
    rows = [
        {(item, line.name(row)): row for row, item in enumerate(one.candidates.item_id)}
        for one in requests
        for line in [one.candidates.key("line")]
    ]
    rungs, lost, broken = Counter[str](), dict[str, list[float]](), 0
    for content, body in zip(run.content, run.body.tolist(), strict=True):
        if not content.startswith(b'{"request_id"'):
            continue
        page = msgspec.json.decode(content)
        picked = np.array([rows[body][item["item_id"], item["line"]] for item in page["items"]], np.int32)
        allowed = audit.broken(full[body].slate.rows, bound[body].arrays)
        broken += bool(
            (audit.broken(picked, bound[body].arrays) > allowed).any() or len(picked) < len(full[body].items)
        )
        rung = page["served"]["rung"]
        rungs[rung] += 1
        value = float(worth[body][picked] @ exposure[: len(picked)])
        lost.setdefault(rung, []).append(1 - value / full[body].value)
    total = max(sum(rungs.values()), 1)
    return Pages(
        {rung: count / total for rung, count in rungs.items()},
        {rung: float(np.mean(values)) for rung, values in lost.items()},
        broken,
    )


def recovery_s(server: Server, bodies: list[bytes], rate: float) -> float:
    """Return how long after an overload it takes until nine pages in ten are full again, at a fifth of the capacity."""
    run = offered(Plan(url=server.url, bodies=bodies, rate=rate, seconds=8.0, keep=True), LOADER)
    full = np.array([b'"rung":"full"' in content for content in run.content])
    share = np.cumsum(full[::-1])[::-1] / np.arange(len(full), 0, -1)  # from each page on
    return float(run.due[np.argmax(share >= 0.9)]) if (share >= 0.9).any() else float("inf")


def rows() -> list[Row]:
    """Measure it."""
    bodies, feed = paced_bodies(64), Feed.load(PACED)
    with (
        policy(NO_LADDER) as off,
        policy(LADDER) as on,
        serving(off, core=SERVER) as bare,
        serving(on, core=SERVER) as laddered,
    ):
        for server in (bare, laddered):
            offered(Plan(url=server.url, bodies=bodies, arrivals="closed", connections=1, seconds=1.0), LOADER)
        closed = Plan(url=bare.url, bodies=bodies, arrivals="closed", connections=2, seconds=4.0)
        capacity = len(offered(closed, LOADER).code) / closed.seconds
        found: list[Row] = []
        for times in TIMES:
            plan = Plan(url="", bodies=bodies, rate=times * capacity, seconds=SECONDS, connections=256, keep=True)
            without = offered(msgspec.structs.replace(plan, url=bare.url, keep=False), LOADER).goodput()
            run = offered(msgspec.structs.replace(plan, url=laddered.url), LOADER)
            back = recovery_s(laddered, bodies, capacity / 5)
            found.append(_row(times, capacity, run, judged(run, feed), without, back))
    return found


def _row(times: float, capacity: float, run: Offered, pages: Pages, without: float, back: float) -> Row:
    shares = ", ".join(f"{rung} {share:.0%}" for rung, share in sorted(pages.shares.items()))
    lost = ", ".join(f"{rung} {share:.2%}" for rung, share in sorted(pages.lost.items()))
    good = run.goodput()
    return Row(
        f"offered {times:g} times the capacity of {capacity:.0f} pages/s",
        ">= 95 % good in 50 ms, rules hold" if times < 2 else "rules hold",
        f"{good:.1%} good, P99 {run.percentile_ms(99):.0f} ms, {pages.broken} pages break a rule; pages: {shares}; "
        f"value lost: {lost}; {int((run.code == 503).sum())} shed of {len(run.code)}; full again after {back:.1f} s",
        f"{without:.1%} good without a ladder",
        not pages.broken and (good >= 0.95 or times > 2),
    )


if __name__ == "__main__":
    show(rows())
