"""What holds shares and budgets, and what swings: pace-sim."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slatewise.cli.shared import AsJson, app, extra, folder_at, note, print_json, refusals, show, write_text

if TYPE_CHECKING:
    from slatewise.evaluate.day import BudgetDay, Day

SHARES = ("posts=0.35", "video=0.25", "commerce=0.2", "live=0.12", "ads=0.08")
"""What made-up lines are to have."""


@app.command("pace-sim")
def pace_sim(
    log: Annotated[Path | None, typer.Argument(help="Log: .parquet, .csv or .jsonl; made up without.")] = None,
    share: Annotated[list[str] | None, typer.Option(help="Share of a line, as ads=0.2; of each line.")] = None,
    budget: Annotated[float, typer.Option(help="Budget instead of shares, as a part of all prices.", min=0)] = 0.0,
    requests: Annotated[int, typer.Option(help="Requests to make up.", min=100)] = 96_000,
    minutes: Annotated[float, typer.Option(help="From one setting of prices to the next.", min=1, max=480)] = 15.0,
    seed: Annotated[int, typer.Option(help="Root of what is made up.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for a picture, pacing.svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a day of traffic under several controllers: what they hold, what it costs, and how much they swing."""
    with refusals(as_json), extra("parquet"):
        from slatewise.core.errors import RequestError
        from slatewise.evaluate.day import document

        if budget and share:
            raise RequestError("share", "must be left out with a budget, which is one line's", ", ".join(share))
        found = (
            _budget_day(log, budget, requests, minutes, seed) if budget else _day(log, share, requests, minutes, seed)
        )
        if as_json:
            print_json(document(found))
        else:
            from slatewise import render

            show(render.pacing_table(found))
        if out is not None:
            with extra("report"):
                from slatewise.pictures.pacing import picture
            path = folder_at(out) / "pacing.svg"
            write_text("out", path, picture(found))
            note(f"picture: {path}")


def _day(log: Path | None, share: list[str] | None, requests: int, minutes: float, seed: int) -> Day:
    """Return a day of lines, from a log with a column of worths for each, or made up."""
    import numpy as np

    from slatewise.core.errors import RequestError, shown
    from slatewise.evaluate.day import made_up, replayed
    from slatewise.learn.logs import read_log

    shares: dict[str, float] = {}
    for text in share or SHARES:
        line, _, part = text.partition("=")
        if not line or line in shares:
            raise RequestError("share", "must name a line, each once", shown(text))
        try:
            shares[line] = float(part)
        except ValueError:
            raise RequestError("share", "must be a line and its share, as ads=0.2", shown(text)) from None
    if log is None:
        return replayed(made_up(len(shares), requests=requests, seed=seed), shares, minutes=minutes)
    columns = read_log(log, numbers=tuple(shares))
    return replayed(np.stack([columns[line] for line in shares], axis=1), shares, minutes=minutes)


def _budget_day(log: Path | None, budget: float, requests: int, minutes: float, seed: int) -> BudgetDay:
    """Return a day of a budget, from a log with columns `value` and `price`, or made up."""
    from slatewise.evaluate.day import made_up, spread
    from slatewise.learn.logs import read_log

    if log is None:
        value, price = made_up(2, requests=requests, seed=seed).T
        return spread(value, price, budget, minutes=minutes)
    columns = read_log(log, numbers=("value", "price"))
    return spread(columns["value"], columns["price"], budget, minutes=minutes)
