"""How likely scores win: fit landscape, landscape report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slatewise.cli.fit import LogFile, Out, fit
from slatewise.cli.shared import AsJson, app, extra, folder_at, listed, note, print_json, refusals, show, write_text

if TYPE_CHECKING:
    from slatewise.learn.landscape import Fitted, Log

landscape = typer.Typer(help="How likely scores win.", no_args_is_help=True)
app.add_typer(landscape, name="landscape")

Estimator = Annotated[str, typer.Option(help="auto, or the estimator to use.")]
Feedback = Annotated[str, typer.Option(help="What is seen: full, price_if_won, price_if_lost or flag.")]
Context = Annotated[str, typer.Option(help="Columns of features of the request, as exchange,hour.")]
Unit = Annotated[float, typer.Option(help="The step of prices.", min=0.0)]
Held = Annotated[float, typer.Option(help="Share of each line's rows, the latest, to report on.")]
Note = Annotated[str, typer.Option("--note", help="What else to write down of where it comes from.")]
Picture = Annotated[Path | None, typer.Option(help="Folder for a picture of each line.")]


@fit.command("landscape")
def fit_landscape(
    log: LogFile,
    out: Out,
    estimator: Estimator = "auto",
    feedback: Feedback = "price_if_won",
    context: Context = "",
    unit: Unit = 1.0,
    held: Held = 0.2,
    picture: Picture = None,
    about: Note = "",
    as_json: AsJson = False,
) -> None:
    """Fit a landscape for each line, and write settings of blend.shade."""
    with refusals(as_json), extra(_needed(estimator)):
        from slatewise.learn.landscape import fit_lines
        from slatewise.learn.landscape_export import artefact
        from slatewise.learn.provenance import provenance

        columns = _columns(log, context)
        lines = fit_lines(
            columns, estimator=estimator, feedback=feedback, context=listed(context), unit=unit, held=held
        )
        how = {"feedback": feedback, "context": listed(context), "unit": unit, "held": held, "note": about}
        found = artefact(lines, provenance(log, columns, **how))
        found.write(out)
        _told(lines, picture, as_json)
        note(f"{found.section}: {out}, version {found.version}")


@landscape.command()
def report(
    log: LogFile,
    estimators: Annotated[str, typer.Option(help="Estimators to compare, as lognormal,hazard.")] = "auto",
    feedback: Feedback = "price_if_won",
    context: Context = "",
    unit: Unit = 1.0,
    held: Held = 0.2,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Say how right landscapes of the early rows are on the late ones."""
    with refusals(as_json), extra(_needed(estimators)):
        from slatewise.learn.landscape import fit_lines

        columns = _columns(log, context)
        tried = {
            one: fit_lines(columns, estimator=one, feedback=feedback, context=listed(context), unit=unit, held=held)
            for one in listed(estimators)
        }
        several = len(tried) > 1
        _told(
            {
                f"{line}, {one}" if several else line: fitted
                for one, lines in tried.items()
                for line, fitted in lines.items()
            },
            picture,
            as_json,
        )


def _needed(estimators: str) -> str:
    """Return the extra that estimators need."""
    return "models" if "recurrent" in listed(estimators) else "learn"


def _columns(log: Path, context: str) -> Log:
    from slatewise.learn.logs import read_log

    return read_log(
        log,
        numbers=("score", "won", "price", "time"),
        keys=("line", "cluster", *listed(context)),
        optional=("price", "time", "line", "cluster"),
        missing=("price",),
    )


def _told(lines: Mapping[str, Fitted], picture: Path | None, as_json: bool) -> None:
    """Print the reports, and draw what is to be drawn."""
    from slatewise.render_landscape import landscape_tables

    if as_json:
        print_json({line: fitted.report for line, fitted in lines.items()})
    else:
        show(landscape_tables({line: (fitted.estimator, fitted.report) for line, fitted in lines.items()}))
    if picture is None:
        return
    with extra("report"):
        from slatewise.pictures import landscape as pictures
    from slatewise.learn.landscape_export import curves

    folder = folder_at(picture)
    for place, (line, fitted) in enumerate(lines.items(), 1):
        scores, wins = curves(fitted, most=len(pictures.COLOURS))
        path = folder / f"landscape-{place}.svg"
        drawn = pictures.Curves(line, scores, wins, fitted.landscape.limit * fitted.unit)
        write_text("picture", path, pictures.picture(drawn, fitted.report))
        note(f"picture: {path}")
