"""What fitted models are worth on logs of pages that are new to them: evaluate; and requests of such logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slatewise.cli.datasets import data
from slatewise.cli.shared import (
    AsJson,
    PolicyFile,
    app,
    extra,
    feed_of,
    folder_at,
    note,
    print_json,
    refusals,
    show,
    write_text,
)

if TYPE_CHECKING:
    from slatewise.evaluate.adworld import AdWorld, Catalogue
    from slatewise.learn.adfeed_pages import AdFeedReport
    from slatewise.learn.pages import Pages
    from slatewise.models.model import Model

PagesFile = Annotated[Path, typer.Argument(help="Log of pages: .parquet.", show_default=False)]


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="What was fitted: .json.", show_default=False)],
    log: PagesFile,
    label: Annotated[str, typer.Option(help="Feedback that is a click, or relevant; that of the fit by default.")] = "",
    exposed: Annotated[str, typer.Option(help="Feedback that says whether a slot was seen; likewise.")] = "",
    policy: Annotated[
        Path | None, typer.Option(help="On the feed with ads: a policy whose pages to look at, too.")
    ] = None,
    pages: Annotated[int, typer.Option(help="On the feed with ads: so many pages are composed.", min=0)] = 100,
    picture: Annotated[Path | None, typer.Option(help="On the feed with ads: a folder for rewards.svg.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a model of compose.rerank, compose.propose or compose.decode is worth on lists that are new to it."""
    with refusals(as_json), extra("models"):
        from slatewise.core.artefact import Artefact
        from slatewise.learn.judging import judged, model_of
        from slatewise.learn.pages import Pages
        from slatewise.render_judged import judged_table, worth_table

        artefact = Artefact.read(model)
        served = model_of(artefact)
        lists = Pages.read(log)
        drawn = _picture_of(served, lists, policy, picture)
        found = judged(artefact, lists, label=label, exposed=exposed)
        worth = _worth(served, lists, policy, pages)
        if as_json:
            print_json({"model": served.digest, "pages": lists.digest, "report": found, "worth": worth})
        else:
            show(judged_table(found))
            if worth is not None:
                show(worth_table(worth))
        drawn()
        note(f"{artefact.section}: {model}, {served.kind} {served.digest[:12]}, on {len(lists)} lists")


@data.command()
def requests(
    log: PagesFile,
    policy: PolicyFile,
    out: Annotated[Path, typer.Option(help="Write the requests here, as JSON lines.", show_default=False)],
    lists: Annotated[int, typer.Option(help="How many; 0 for all.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """The lists of a log as requests to a policy, with the columns that it declares."""
    with refusals(as_json), extra("learn"):
        import msgspec

        from slatewise.learn.asked import bodies
        from slatewise.learn.pages import Pages

        head = feed_of(policy).policy.head
        pages = Pages.read(log)
        found = bodies(pages.take(range(min(lists or len(pages), len(pages)))), head)
        write_text("out", out, "".join(msgspec.json.encode(body).decode() + "\n" for body in found))
        if as_json:
            print_json({"requests": len(found)})
        note(f"requests: {out}, {len(found)}")


def _worth(model: Model, pages: Pages, policy: Path | None, most: int) -> AdFeedReport | None:
    """Return what pages are truly worth, of a log of which that is known."""
    from slatewise.learn.adfeed_pages import worths

    feed = _feed_of(model, pages)
    if feed is None or not most:
        return None
    some = pages.take(range(min(most, len(pages))))
    return worths(model, some, world=feed[0], stock=feed[1], feed=None if policy is None else feed_of(policy))


def _feed_of(model: Model, pages: Pages) -> tuple[AdWorld, Catalogue] | None:
    """Return what the feed with ads is made of; None for other logs, and for what is no decoder."""
    from slatewise.evaluate.adworld import AdWorld, catalogue
    from slatewise.learn.adfeed_pages import is_adfeed

    world = AdWorld()
    stock = catalogue(world)
    return (world, stock) if model.kind == "decoder" and is_adfeed(pages, world, stock) else None


def _picture_of(model: Model, pages: Pages, policy: Path | None, folder: Path | None) -> Callable[[], None]:
    """Return what draws a picture into a folder; nothing without a folder.

    Raises:
        RequestError: A picture or a policy is asked for, and the truth is not known.
    """
    from slatewise.core.errors import RequestError

    feed = _feed_of(model, pages)
    for name, given in (("policy", policy), ("picture", folder)):
        if given is not None and feed is None:
            raise RequestError(name, "must be for a decoder and a log of the feed with ads", str(given))
    if folder is None or feed is None:
        return lambda: None
    with extra("report"):
        from slatewise.pictures.rewards import picture
    from slatewise.learn.adfeed_pages import landscape, numbers_of

    path = folder_at(folder) / "rewards.svg"

    def draw() -> None:
        found = landscape(model, numbers_of(pages)[0], world=feed[0], stock=feed[1])
        write_text("picture", path, picture(found))
        note(f"picture: {path}")

    return draw
