"""Models of pages with ads, slot by slot, from logs of pages: fit decode."""

from __future__ import annotations

from typing import Annotated

import typer

from slatewise.cli.fit import Out, fit
from slatewise.cli.fit_models import (
    History,
    Keys,
    Numbers,
    PagesFile,
    Picture,
    Run,
    Seed,
    Split,
    check_out,
    inputs_of,
    learning_in,
    parts_of,
)
from slatewise.cli.shared import AsJson, extra, listed, note, print_json, refusals, show

EXPOSED = "exposed"


@fit.command()
def decode(
    log: PagesFile,
    out: Out,
    ads: Annotated[str, typer.Option(help="Lines that are ads, as ads,offers.")] = "ads",
    label: Annotated[str, typer.Option(help="Feedback that is a click.")] = "click",
    exposed: Annotated[str, typer.Option(help="Feedback that says whether a slot was seen.")] = EXPOSED,
    by: Split = "",
    numbers: Numbers = "",
    keys: Keys = "",
    history: History = "",
    width: Annotated[int, typer.Option(help="Numbers of a token: 32 is fast, 64 learns more from more pages.")] = 32,
    bound: Annotated[float, typer.Option(help="The most that context moves log-odds.")] = 1.0,
    rate: Annotated[float, typer.Option(help="Largest step.")] = 2e-3,
    batch: Annotated[int, typer.Option(help="Pages of a step.")] = 128,
    seed: Seed = 0,
    run: Run = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Fit what is clicked and who leaves, slot by slot, and write settings of compose.decode."""
    with refusals(as_json), extra("models"):
        from slatewise.learn.decode import Recipe, fit_decode, shape_of
        from slatewise.learn.training import Training
        from slatewise.render_decode import decode_table

        check_out(out, log)
        parts, draw, recipe = parts_of(log, by, seed), learning_in(picture), Recipe()
        if exposed not in ("", EXPOSED):
            parts.learned.labels(exposed)  # only the usual name may be of a column that the log does not have
        found = fit_decode(
            parts,
            ads=listed(ads),
            label=label,
            exposed=exposed,
            inputs=inputs_of(parts.learned, numbers, keys, history),
            shape=shape_of(parts.learned, width=width, hidden=2 * width, bound=bound),
            recipe=recipe,
            training=Training(rate=rate, batch=batch, seed=seed),
            folder=run,
            watch=lambda epoch: note(f"epoch {epoch.number}: loss {epoch.loss:.4f}, score {epoch.score:.4f}"),
        )
        found.artefact.write(out)
        if as_json:
            print_json({"report": found.report, "provenance": found.provenance})
        else:
            show(decode_table(found.report))
        note(f"compose.decode: {out}, {found.model.kind} {found.model.digest[:12]}")
        names = [phase.learns for phase in recipe.phases]
        draw([*zip(names, found.epochs, strict=True)], "log-likelihood of a list")
