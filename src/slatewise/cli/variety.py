"""What variety gains and costs: tradeoff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slatewise.cli.shared import (
    AsJson,
    PolicyFile,
    app,
    extra,
    feed_of,
    folder_at,
    listed,
    note,
    numbers,
    print_json,
    refusals,
    show,
    write_text,
)

if TYPE_CHECKING:
    from slatewise.evaluate.tradeoff import Tradeoff


@app.command()
def tradeoff(
    policy: PolicyFile,
    requests: Annotated[Path, typer.Argument(help="Requests: .jsonl or .parquet.", show_default=False)],
    variants: Annotated[str, typer.Option(help="Variants of its first term to compare, as mmr,dpp.")] = "",
    against: Annotated[list[Path] | None, typer.Option(help="Another policy to compare; may be repeated.")] = None,
    strengths: Annotated[str, typer.Option(help="Strengths to try, from 0 to 1, as 0.1,0.5.")] = "",
    columns: Annotated[str, typer.Option(help="Further columns to measure, as genres,author.")] = "",
    slots: Annotated[int | None, typer.Option(help="Page size instead of the requests'.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for a picture, tradeoff.svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compose the pages of a file of requests at many strengths, and show what variety gains and costs."""
    from msgspec.structs import replace

    from slatewise import render
    from slatewise.evaluate.tradeoff import STRENGTHS, Tally, compared, trials
    from slatewise.serve.files import count_requests, read_requests
    from slatewise.serve.wire import Wire

    with refusals(as_json), extra("parquet"):
        named = [(path.stem, feed_of(path).policy) for path in (policy, *(against or []))]
        arms = compared(named, variants=listed(variants))
        steps = numbers("strengths", strengths) or STRENGTHS
        tally = Tally(arms, strengths=steps, columns=listed(columns))
        draw = _picture_in(out)
        orders = (order.request for order in read_requests(requests, Wire(named[0][1])))
        asked = (replace(one, slots=slots) if slots else one for one in orders)
        for trial in render.progress(trials(arms, asked, strengths=steps), count_requests(requests)):
            tally.add(trial)
        found = tally.tradeoff()
        if as_json:
            print_json(found)
        else:
            show(render.tradeoff_tables(found))
        draw(found)


def _picture_in(folder: Path | None) -> Callable[[Tradeoff], None]:
    """Return what draws a picture into a folder, which is made if it is not there; nothing without a folder."""
    if folder is None:
        return lambda found: None
    with extra("report"):
        from slatewise.pictures.tradeoff import picture
    path = folder_at(folder) / "tradeoff.svg"

    def draw(found: Tradeoff) -> None:
        write_text("out", path, picture(found))
        note(f"picture: {path}")

    return draw
