"""What judges and proposes whole pages, from logs of pages: fit evaluator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slatewise.cli.fit import Out, fit
from slatewise.cli.fit_models import History, Keys, Numbers, check_out, inputs_of
from slatewise.cli.shared import AsJson, extra, listed, note, print_json, refusals, show

if TYPE_CHECKING:
    from slatewise.learn.pages import Pages
    from slatewise.models.inputs import Inputs
    from slatewise.models.model import Model

KINDS = ("pointer", "parallel")


@fit.command()
def evaluator(
    log: Annotated[Path, typer.Argument(help="Log of pages: .parquet.", show_default=False)],
    out: Out,
    click: Annotated[str, typer.Option(help="Feedback that is of worth.")] = "click",
    exposed: Annotated[str, typer.Option(help="Feedback that says whether a slot was seen.")] = "",
    numbers: Numbers = "",
    keys: Keys = "",
    history: History = "",
    members: Annotated[int, typer.Option(help="Networks, each fitted without another part of the log.")] = 3,
    generators: Annotated[str, typer.Option(help="Networks that propose pages, besides: pointer,parallel.")] = "",
    slots: Annotated[int, typer.Option(help="Rows of the pages that those make.")] = 10,
    worth: Annotated[str, typer.Option(help="What a click is worth to those, as bid=1,value=0.5.")] = "",
    cost: Annotated[str, typer.Option(help="What showing a row takes, as fee=0.1.")] = "",
    epochs: Annotated[int, typer.Option(help="Times that all lists are seen, at most.")] = 40,
    seed: Annotated[int, typer.Option(help="Root of every draw.")] = 0,
    run: Annotated[Path | None, typer.Option(help="Folder of a run that may be interrupted and goes on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit an evaluator of pages, and generators that learn from it, and write settings of compose.propose."""
    with refusals(as_json), extra("models"):
        from msgspec.structs import replace

        from slatewise.learn.evaluator import TRAINING, fit_evaluator
        from slatewise.learn.generating import Judge
        from slatewise.learn.pages import Pages
        from slatewise.render_evaluator import evaluator_table

        check_out(out, log)
        kinds, judged = _kinds(generators), {"worth": _weights("worth", worth), "cost": _weights("cost", cost)}
        pages = Pages.read(log)
        inputs = inputs_of(pages, numbers, keys, history)
        training = replace(TRAINING, epochs=epochs, seed=seed)
        found = fit_evaluator(
            pages, click=click, exposed=exposed, inputs=inputs, members=members, training=training, folder=run
        )
        models = _generators(kinds, pages, Judge(found, **judged), inputs, click, slots, training, run)
        artefact = replace(found.artefact(*models), provenance={"log": log.name, **found.provenance})
        artefact = replace(
            artefact, settings={**artefact.settings, **{name: one for name, one in judged.items() if one}}
        )
        artefact.write(out)
        if as_json:
            print_json({"report": artefact.report, "provenance": artefact.provenance})
        else:
            show(evaluator_table(found.report))
        note(f"compose.propose: {out}, evaluator {found.model.digest[:12]}")


def _kinds(text: str) -> list[str]:
    from slatewise.core.errors import RequestError, did_you_mean, shown

    named = listed(text)
    for one in named:
        if one not in KINDS:
            raise RequestError("generators", "must be pointer, parallel, or both", shown(one), did_you_mean(one, KINDS))
    return named


def _weights(where: str, text: str) -> dict[str, float]:
    """Return columns and what they count."""
    from slatewise.core.errors import RequestError, shown

    found: dict[str, float] = {}
    for one in listed(text):
        name, _, number = one.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise RequestError(where, "must be columns and numbers, as bid=1,value=0.5", shown(one)) from None
    return found


def _generators(
    kinds: list[str], pages: Pages, judge: Any, inputs: Inputs, label: str, slots: int, training: Any, run: Path | None
) -> list[Model]:
    from slatewise.learn.generate import fit_parallel, fit_pointer

    fits: dict[str, Any] = {"pointer": fit_pointer, "parallel": fit_parallel}
    found: list[Model] = []
    for kind in kinds:
        folder = None if run is None else run / kind
        one = fits[kind](pages, label=label, slots=slots, judge=judge, inputs=inputs, training=training, folder=folder)
        own, first = one.report.value or 0.0, one.report.first_value or 0.0
        note(f"{kind}: its likeliest page is worth {own:.3f}, that of the log {first:.3f}")
        found.append(one.model)
    return found
