"""Settings from logs: fit calibrate, fit weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slatewise.cli.shared import (
    AsJson,
    app,
    extra,
    feed_of,
    folder_at,
    listed,
    note,
    print_json,
    refusals,
    show,
    write_text,
)

if TYPE_CHECKING:
    from slatewise.core.artefact import Artefact
    from slatewise.learn.calibrate import Fitted

fit = typer.Typer(
    help="Fit settings from a log, and write them where a policy takes them `from`.", no_args_is_help=True
)
app.add_typer(fit, name="fit")

LogFile = Annotated[Path, typer.Argument(help="Log: .parquet, .csv or .jsonl.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Write the settings here, as JSON.", show_default=False)]
Segments = Annotated[str, typer.Option(help="Columns whose values make segments, as scene,tenure.")]
Note = Annotated[str, typer.Option(help="What else to write down of where it comes from.")]


@fit.command()
def calibrate(
    log: LogFile,
    out: Out,
    method: Annotated[str, typer.Option(help="auto, or the method to use.")] = "auto",
    segments: Segments = "",
    reference: Annotated[str, typer.Option(help="For quantile: the line to be like.")] = "",
    held: Annotated[float, typer.Option(help="Share of the log, the latest, to report on.")] = 0.3,
    picture: Annotated[Path | None, typer.Option(help="Folder for a picture, reliability.svg.")] = None,
    about: Annotated[str, typer.Option("--note", help="What else to write down of where it comes from.")] = "",
    as_json: AsJson = False,
) -> None:
    """Fit a map for each line: scores to values in one currency."""
    with refusals(as_json), extra("learn"):
        from msgspec import to_builtins

        from slatewise.core.artefact import Artefact
        from slatewise.learn.calibrate import fit_calibrate
        from slatewise.learn.logs import read_log
        from slatewise.learn.provenance import provenance, settings_of
        from slatewise.render_fits import calibration_table

        _check_out(out, log)
        named = _features(segments, "line", "user", "score", "outcome", "worth", "time")
        columns = read_log(
            log,
            numbers=("score", "outcome", "worth", "time"),
            keys=("line", "user", *named),
            optional=("worth", "time", "user"),
            missing=("worth",),
        )
        draw = _picture_in(picture)
        found = fit_calibrate(columns, method=method, segments=named, reference=reference, held=held)
        how = {"method": method, "segments": named, "held": held, "note": about}
        artefact = Artefact(
            section="blend.calibrate",
            settings=settings_of(found.stage),
            report=to_builtins(found.reports),
            provenance=provenance(log, columns, **how),
        )
        _finish(artefact, out, calibration_table(found.reports), as_json)
        draw(found)


@fit.command()
def weight(
    log: LogFile,
    out: Out,
    segments: Segments = "",
    anchor: Annotated[str, typer.Option(help="The line whose weight is 1.")] = "",
    policy: Annotated[
        Path | None, typer.Option(help="Fit from the experiment of this policy's blend.weight, instead.")
    ] = None,
    about: Annotated[str, typer.Option("--note", help="What else to write down of where it comes from.")] = "",
    as_json: AsJson = False,
) -> None:
    """Fit each line's weight: from observed over expected, or from the experiment of a policy."""
    with refusals(as_json), extra("learn"):
        from slatewise.core.artefact import Artefact
        from slatewise.core.errors import RequestError
        from slatewise.learn.logs import read_log
        from slatewise.learn.provenance import provenance, settings_of
        from slatewise.render_fits import cell_table, gradient_table

        _check_out(out, log)
        named = _features(segments, "line", "user", "observed", "expected", "outcome")
        if policy is not None and anchor:
            raise RequestError("anchor", "must be that of the policy's `blend.weight`", anchor, "leave it out")
        if policy is None:
            from slatewise.learn.weight import fit_observed

            columns = read_log(log, numbers=("observed", "expected"), keys=("line", *named))
            found = fit_observed(columns, segments=named, anchor=anchor or None)
            report, table = {"cells": found.cells}, cell_table(found.cells)
        else:
            from slatewise.learn.experiment import fit_experiment

            checked = feed_of(policy).policy
            columns = read_log(log, numbers=("outcome",), keys=("user", *named))
            found = fit_experiment(columns, stage=_weight_of(checked), lines=checked.head.lines, features=named)
            report = {"gradients": found.gradients, "unsupported": found.unsupported}
            table = gradient_table(found.gradients, found.unsupported)
        artefact = Artefact(
            section="blend.weight",
            settings=settings_of(found.stage),
            report=_plain(report),
            provenance=provenance(log, columns, segments=named, note=about),
        )
        _finish(artefact, out, table, as_json)


def _check_out(out: Path, log: Path) -> None:
    from slatewise.core.errors import RequestError

    if out.resolve() == log.resolve():
        raise RequestError("out", "must be another file than the log", str(out))


def _features(text: str, *taken: str) -> list[str]:
    """Return the columns of segments: each once, and none that the log has for something else."""
    from slatewise.core.errors import RequestError, shown

    named = listed(text)
    for at, name in enumerate(named):
        if name in taken or name in named[:at]:
            raise RequestError("segments", "must be features of the request, each once", shown(name))
    return named


def _weight_of(policy: Any) -> Any:
    from slatewise.blend.weight import Weight
    from slatewise.core.errors import RequestError

    for stage in policy.stages:
        if isinstance(stage, Weight):
            return stage
    raise RequestError("policy", "must have a section `blend.weight`")


def _plain(value: Any) -> Any:
    from msgspec import to_builtins

    return to_builtins(value)


def _finish(artefact: Artefact, out: Path, table: Any, as_json: bool) -> None:
    """Write an artefact and show what was found."""
    artefact.write(out)
    if as_json:
        print_json(artefact)
    else:
        show(table)
    note(f"{artefact.section}: {out}, version {artefact.version}")


def _picture_in(folder: Path | None) -> Callable[[Fitted], None]:
    """Return what draws a picture into a folder; nothing without a folder."""
    if folder is None:
        return lambda found: None
    with extra("report"):
        from slatewise.pictures.reliability import Reliability, picture
    import numpy as np

    from slatewise.learn.calibrate import predictions
    from slatewise.learn.reports import inside

    path = folder_at(folder) / "reliability.svg"

    def drawn(found: Fitted) -> dict[str, Reliability]:
        lines: dict[str, Reliability] = {}
        for line, report in found.reports.items():
            rows = np.flatnonzero(found.held["line"] == line)
            if report.after is not None:
                before = found.held["score"][rows] if report.before is not None else None
                after = inside(predictions(found.stage, found.held, rows))
                lines[line] = Reliability(before, after, found.held["outcome"][rows])
        return lines

    def draw(found: Fitted) -> None:
        lines = drawn(found)
        if lines:
            write_text("picture", path, picture(lines))
            note(f"picture: {path}")

    return draw
