"""Models from logs of pages: fit rerank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slatewise.cli.fit import Out, fit
from slatewise.cli.shared import AsJson, extra, folder_at, listed, note, print_json, refusals, show, write_text

if TYPE_CHECKING:
    from slatewise.learn.pages import Pages
    from slatewise.learn.rerank import Parts
    from slatewise.learn.training import Epoch
    from slatewise.models.inputs import Inputs

PagesFile = Annotated[Path, typer.Argument(help="Log of pages: .parquet.", show_default=False)]
Label = Annotated[str, typer.Option(help="Feedback that says what is relevant.")]
Split = Annotated[str, typer.Option("--split", help="part, time or user; as the log says, else by time.")]
Numbers = Annotated[str, typer.Option(help="Columns of numbers to read, as score,price; all by default.")]
Keys = Annotated[str, typer.Option(help="Columns of keys to read, as item_id,topic; all by default, - for none.")]
History = Annotated[str, typer.Option(help="Column of the history to read, as item_id.")]
Epochs = Annotated[int, typer.Option(help="Times that all lists are seen, at most.")]
Seed = Annotated[int, typer.Option(help="Root of every draw.")]
Run = Annotated[
    Path | None, typer.Option("--run", help="Folder of a run that may be interrupted and goes on from there.")
]
Picture = Annotated[Path | None, typer.Option(help="Folder for a picture of how it was learned, learning.svg.")]


@fit.command()
def rerank(
    log: PagesFile,
    out: Out,
    network: Annotated[str, typer.Option(help="prm, set_transformer or lambdamart.")] = "prm",
    loss: Annotated[str, typer.Option(help="What a network is fitted by.")] = "lambdarank",
    label: Label = "click",
    by: Split = "",
    numbers: Numbers = "",
    keys: Keys = "",
    history: History = "",
    epochs: Epochs = 30,
    seed: Seed = 0,
    run: Run = None,
    picture: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Fit a model that reorders lists, and write settings of compose.rerank."""
    with refusals(as_json), extra("models"):
        from slatewise.learn.rerank import fit_rerank
        from slatewise.learn.training import Training
        from slatewise.render_ranks import rank_table

        check_out(out, log)
        parts, draw = parts_of(log, by, seed), learning_in(picture)
        found = fit_rerank(
            parts,
            network=network,
            loss=loss,
            label=label,
            inputs=inputs_of(parts.learned, numbers, keys, history),
            training=Training(epochs=epochs, seed=seed),
            folder=run,
            watch=watched(),
        )
        found.artefact.write(out)
        if as_json:
            print_json({"report": found.report, "passes": found.passes, "provenance": found.provenance})
        else:
            show(rank_table(found.report, found.passes))
        note(f"compose.rerank: {out}, {found.model.kind} {found.model.digest[:12]}")
        if found.history is not None:
            draw([("", found.history.epochs)], "ndcg@10")


def check_out(out: Path, log: Path) -> None:
    """Refuse to write over a log, or where there can be no file, before anything is learned.

    Raises:
        RequestError: The files are one, or there is no such folder.
    """
    from slatewise.core.errors import RequestError

    if out.resolve() == log.resolve():
        raise RequestError("out", "must be another file than the log", str(out))
    if out.is_dir() or not out.parent.is_dir():
        raise RequestError("out", "must be a file in a folder that is there", str(out))


def parts_of(log: Path, by: str, seed: int) -> Parts:
    """Return a log of pages, split."""
    from slatewise.learn.pages import Pages
    from slatewise.learn.rerank import split

    return split(Pages.read(log), by=by, seed=seed)


def inputs_of(pages: Pages, numbers: str, keys: str, history: str) -> Inputs:
    """Return what a network is to read."""
    from slatewise.learn.rerank import known

    named_keys = [] if keys == "-" else listed(keys) or None
    return known(pages, numbers=listed(numbers) or None, keys=named_keys, history=history or None)


def watched() -> Callable[[Epoch], None]:
    """Return what tells of epochs, one line each."""
    return lambda epoch: note(f"epoch {epoch.number}: loss {epoch.loss:.4f}, ndcg@10 {epoch.score:.4f}")


def learning_in(folder: Path | None) -> Callable[[Sequence[tuple[str, Sequence[Epoch]]], str], None]:
    """Return what draws phases of learning, each with its name, and what their score is; nothing without a folder."""
    if folder is None:
        return lambda phases, score: None
    with extra("report"):
        from slatewise.pictures.curves import Curve, picture

    path = folder_at(folder) / "learning.svg"

    def draw(phases: Sequence[tuple[str, Sequence[Epoch]]], score: str) -> None:
        curves = [Curve(name, [one.loss for one in epochs], [one.score for one in epochs]) for name, epochs in phases]
        write_text("picture", path, picture(curves, score=score))
        note(f"picture: {path}")

    return draw
