"""The table of learned pages: every method on every set, several seeds, into `docs/results.md`.

`make table` runs it, for an hour or more on two cores. Each cell (set, method, seed) is kept in out/table/ when it is
done, so that a run that was interrupted goes on where it was; a cell that is there is not measured again.

    python benchmarks/table.py --sets ml100k ltr --methods prm cgr --seeds 2
    python benchmarks/table.py --write                 the table, from the cells that there are

Conventions: NDCG@10 with gain 2^y - 1 and log2 discount, the ideal of the whole list; average precision over all
relevant rows of the list; HR@10 any relevant row in the first ten; equal scores in an order that is drawn; lists
without a relevant row left out. An interval is over seeds (t, 95 %); a difference from PRM is list by list, the mean of
the seeds on both sides, with an interval that draws users.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import textwrap
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from slatewise.evaluate.intervals import difference_by_cluster
from slatewise.learn.rank_report import figures
from table_methods import METHODS, SETS

ROOT = Path(__file__).parent.parent
CELLS, RESULTS = ROOT / "out" / "table", ROOT / "docs" / "results.md"
FIGURES = ("ndcg@10", "map", "hr@10")
BEGIN, END = "<!-- table -->", "<!-- /table -->"


@cache
def lists_of(name: str) -> Any:
    """Return a set's parts."""
    return SETS[name]()


def measured(name: str, method: str, seed: int) -> dict[str, Any]:
    """Return one cell, from where it is kept or anew."""
    path = CELLS / f"{name}-{method}-{seed}.json".replace(" ", "_")
    if path.is_file():
        return json.loads(path.read_text())
    data = lists_of(name)
    start = time.perf_counter()
    scores = METHODS[method](data, seed)
    seconds = time.perf_counter() - start
    held = data.parts.held
    length = int(held.lengths.max())
    labels, found = held.labels(data.label), np.full((len(held), length), np.nan)
    found[held.mask(length)] = scores
    drawn = np.random.default_rng(seed).random(found.shape)
    cell: dict[str, Any] = {
        "set": name,
        "method": method,
        "seed": seed,
        "seconds": round(seconds, 1),
        "commit": commit(),
    }
    for figure, values in figures(found, held.padded(labels, length), drawn).items():
        cell[figure] = [None if np.isnan(value) else round(float(value), 6) for value in values]
    cell["user"] = held.user.tolist() if (held.user != "").all() else held.request.tolist()
    CELLS.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(cell))
    part.replace(path)
    mean = {figure: round(float(np.nanmean(column(cell, figure))), 4) for figure in FIGURES}
    print(f"{name:8s} {method:16s} seed {seed}  {mean}  {seconds:.0f} s", flush=True)
    return cell


def column(cell: dict[str, Any], figure: str) -> NDArray[np.float64]:
    """Return (b,) a figure of each list, NaN where there is none."""
    return np.array(cell[figure], np.float64)


def commit() -> str:
    """Return what is checked out."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()


def kept() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the cells that there are, by set and method."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted(CELLS.glob("*-[0-9].json")):
        cell = json.loads(path.read_text())
        found.setdefault((cell["set"], cell["method"]), []).append(cell)
    return found


def with_interval(cells: list[dict[str, Any]], figure: str) -> str:
    """Return the mean over seeds and half of its interval."""
    means = np.array([np.nanmean(column(cell, figure)) for cell in cells])
    if len(means) < 2 or means.std() == 0:
        return f"{means.mean():.4f}"
    half = student.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return f"{means.mean():.4f} ± {half:.4f}"


def beside(cells: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    """Return the difference in NDCG@10, list by list, means of the seeds that both sides have."""
    common = {cell["seed"] for cell in cells} & {cell["seed"] for cell in other}
    cells, other = ([cell for cell in some if cell["seed"] in common] for some in (cells, other))
    ours, theirs = (np.mean([column(cell, "ndcg@10") for cell in some], axis=0) for some in (cells, other))
    there = ~np.isnan(ours)
    users = np.array(cells[0]["user"], object)[there]
    found = difference_by_cluster(ours[there], theirs[there], users, resamples=999)
    return f"{found.estimate:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def rows_of(name: str, found: dict[tuple[str, str], list[dict[str, Any]]]) -> list[str]:
    """Return the table of one set."""
    lines = [
        "| method | seeds | NDCG@10 | MAP | HR@10 | NDCG@10 beside PRM | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    prm = found.get((name, "prm"))
    for method in METHODS:
        cells = found.get((name, method))
        if not cells:
            continue
        against = beside(cells, prm) if prm and method != "prm" else ""
        shown = " | ".join(with_interval(cells, figure) for figure in FIGURES)
        seconds = float(np.mean([cell["seconds"] for cell in cells]))
        lines.append(f"| {method} | {len(cells)} | {shown} | {against} | {seconds:.0f} |")
    return lines


def write(extra: Callable[[], list[str]]) -> None:
    """Put the tables where `docs/results.md` has them."""
    found = kept()
    lines = []
    for name in SETS:
        if any(key[0] == name for key in found):
            cells = next(cells for key, cells in found.items() if key[0] == name)
            empty = sum(value is None for value in cells[0]["ndcg@10"])
            total = len(cells[0]["ndcg@10"])
            lines += [f"### {name}", "", f"{total} held-out lists, {empty} of them without a relevant row.", ""]
            lines += [*rows_of(name, found), ""]
    lines += extra()
    commits = sorted({cell["commit"] for cells in found.values() for cell in cells})
    lines += ["Command: `make table`; commits of the cells:", *textwrap.wrap(", ".join(commits) + ".", 120)]
    text = RESULTS.read_text()
    before, rest = text.split(BEGIN)
    RESULTS.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


def main() -> None:
    """Measure what is not there yet, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--feed", type=int, default=1000, help="requests of the feed with ads")
    parser.add_argument("--write", action="store_true", help="measure nothing")
    asked = parser.parse_args()
    from table_feed import feed_rows

    if not asked.write:
        for seed in range(asked.seeds):
            for name in asked.sets:
                for method in asked.methods:
                    measured(name, method, seed)
    write(lambda: feed_rows(CELLS, requests=asked.feed, fresh=not asked.write))


if __name__ == "__main__":
    main()
