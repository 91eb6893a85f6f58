"""Replay visits to a news site and compose a page for each, four ways.

The sample that comes with the package: 1,046 visits of 38 readers to Ekstra Bladet in the last days of February 2023,
with what they were shown and what they clicked. Given a directory with the public data set that it is from (EB-NeRD),
the same replay runs over that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.progress import track

from slatewise.core.errors import SlatewiseError, shown
from slatewise.demo import convert, records, report, terminal
from slatewise.demo.outcome import Outcome, conclude
from slatewise.demo.records import Visit
from slatewise.demo.replay import Replay
from slatewise.demo.site import Site

REPORT = "report.html"
WIDTH = 100
"""Columns of text that goes to a file or a pipe."""


def run(data: Path | None, out: Path, *, visits: int | None = None, console: Console | None = None) -> Outcome:
    """Replay, print what came out, and write a report.

    Args:
        data: A directory with behaviors.parquet and history.parquet; None for the sample of the package.
        out: Directory for the report; made if it is not there.
        visits: How many visits to replay, the earliest first; None for all.
        console: Where to print; None for standard output.

    Raises:
        SlatewiseError: There is nothing to replay, the data cannot be read, or an extra is not installed.
    """
    if visits is not None and visits < 1:
        raise SlatewiseError("visits", "must be >= 1", shown(visits))
    console = console or Console(width=None if sys.stdout.isatty() else WIDTH)
    start = perf_counter()
    outcome = conclude(replay(data, visits, console))
    out.mkdir(parents=True, exist_ok=True)
    path = out / REPORT
    report.write(outcome, path)
    terminal.show(outcome, console)
    console.print(f"\nReport: [bold]{path}[/bold]   ({perf_counter() - start:.0f} s)", highlight=False)
    return outcome


def replay(data: Path | None, limit: int | None, console: Console) -> Replay:
    """Return the replay of the sample, or of the data set in `data`.

    Raises:
        SlatewiseError: There is nothing to replay, or the data cannot be read.
    """
    if data is None:
        log: Iterable[Visit] = list(records.shipped_visits())[:limit]
        histories = records.shipped_histories()
    elif limit is None:
        log, histories = convert.visits(data), convert.histories(data)
    else:
        log = list(convert.visits(data, limit))
        histories = convert.histories(data, {visit.reader for visit in log})
    done = Replay(Site(histories))
    total = len(log) if isinstance(log, list) else None
    done.run(track(log, "Replaying visits", total=total, console=console, transient=True))
    if not done.readers:
        raise SlatewiseError("data", "must hold at least one visit", "none")
    return done
