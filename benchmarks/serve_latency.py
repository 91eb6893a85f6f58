"""Latency of pages under open-loop load: 300 requests a second on one core, timed from when each was due."""

from __future__ import annotations

from collections import Counter

from load import Plan, offered
from report import Row, show
from serving import PACED, paced_bodies, serving

RATE, SECONDS, WARM_S = 300.0, 30.0, 3.0
GOALS_MS = {50.0: 2.0, 99.0: 8.0, 99.9: 15.0}


def rows() -> list[Row]:
    """Measure the demo's full policy, with candidates as rows and as columns."""
    found: list[Row] = []
    for form in ("rows", "columns"):
        bodies = paced_bodies(64, form=form)
        with serving(PACED, core=0) as server:
            offered(Plan(url=server.url, bodies=bodies, rate=RATE / 2, seconds=WARM_S), core=1)
            before = server.cpu_s()
            run = offered(
                Plan(url=server.url, bodies=bodies, rate=RATE, seconds=SECONDS, wanted=["x-slatewise-rung"]), core=1
            )
            cpu_ms = (server.cpu_s() - before) / len(run.code) * 1e3
        rungs = Counter(run.headers["x-slatewise-rung"])
        full = rungs.get("full", 0) / len(run.code)
        failed = Counter(str(code) for code in run.code.tolist() if code != 200)
        said = ", ".join(f"{count} times {code}" for code, count in failed.items()) or "none failed"
        figures = {percent: run.percentile_ms(percent) for percent in GOALS_MS}
        found.append(
            Row(
                f"300 requests/s on one core, {form}: P50, P99, P99.9",
                "≤ 2, 8, 15 ms",
                ", ".join(f"{one:.1f}" for one in figures.values()) + f" ms; {said}",
                f"{cpu_ms:.2f} ms CPU a request; {full:.1%} on the full rung",
                not failed and all(figures[percent] <= goal for percent, goal in GOALS_MS.items()),
            )
        )
    return found


if __name__ == "__main__":
    show(rows())
