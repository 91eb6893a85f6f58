"""Rows of a benchmark: printed one line per target, and written for the README's tables."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"


class Row(NamedTuple):
    """One target: what, the goal, what was measured, what it is compared with in the same run, and whether it holds."""

    target: str
    goal: str
    measured: str
    peer: str
    ok: bool


def show(rows: list[Row]) -> None:
    """Print the rows."""
    widths = [max(len(str(row[field])) for row in rows) for field in range(4)]
    for row in rows:
        cells = "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=False))
        print(f"{cells}  {'ok' if row.ok else 'short'}")


def publish(family: str, rows: list[Row]) -> None:
    """Print the rows and write them to `results/<family>.json`."""
    show(rows)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps([{**row._asdict(), "ok": bool(row.ok)} for row in rows], indent=2, ensure_ascii=False)
    (RESULTS / f"{family}.json").write_text(text + "\n")


def fastest(*calls: Callable[[], Any], passes: int = 300, repeat: int = 25) -> list[float]:
    """Return the time of one call of each, in microseconds: the fastest of many short, interleaved passes.

    Other work on the machine only ever adds time, so the fastest pass says most about the code.
    """
    best = [float("inf")] * len(calls)
    for call in calls:
        call()
    for _ in range(passes):
        for place, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(repeat):
                call()
            best[place] = min(best[place], (time.perf_counter() - start) / repeat)
    return [one * 1e6 for one in best]
