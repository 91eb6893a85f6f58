"""Logs of pages from data sets, and from the feed with ads: data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slatewise.cli.shared import AsJson, app, extra, note, print_json, refusals

if TYPE_CHECKING:
    from slatewise.learn.datasets_files import Reading

data = typer.Typer(help="Write logs of pages, as what learns from pages takes them.", no_args_is_help=True)
app.add_typer(data, name="data")

Out = Annotated[Path, typer.Option(help="Write the log here, as Parquet.", show_default=False)]
Source = Annotated[
    Path | None, typer.Option("--from", help="The file or folder; else below SLATEWISE_DATA.", show_default=False)
]
Seed = Annotated[int, typer.Option(help="Root of what is drawn.")]

SETS = {
    "ml1m": "MovieLens-1M: 30 candidates of a factor model for each user and fold.",
    "ml100k": "MovieLens-100K: what users rated in a row, liked or not.",
    "ltr": "Learning to rank: grades from 0 to 4 and features, in the order of trees.",
    "yandex": "Yandex: result pages with clicks.",
    "ebnerd": "EB-NeRD: articles in view of a news feed.",
    "obd": "Open Bandit: items of a shop, shown with known chances.",
    "kuairand": "KuaiRand: videos in the order in which they came.",
    "avito": "Avito: context ads of searches.",
}


@data.command()
def adfeed(
    out: Out,
    lists: Annotated[int, typer.Option(help="How many pages.", min=1)] = 20_000,
    start: Annotated[int, typer.Option(help="Number of the first request.", min=0)] = 0,
    structure: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder of MovieLens-1M, for readers and posts; drawn without.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Root of what is shown and what readers do; not of the feed.")] = 0,
    as_json: AsJson = False,
) -> None:
    """The feed with ads, in which the truth is known."""
    with refusals(as_json), extra("learn"):
        from slatewise.evaluate.adworld import AdWorld, catalogue
        from slatewise.learn.adfeed import movielens, sample
        from slatewise.learn.datasets_files import Reading

        world = AdWorld()
        stock = catalogue(world) if structure is None else movielens(world, structure)
        _finish(Reading(sample(lists, world=world, stock=stock, start=start, seed=seed), {}, {}), out, as_json)


def _command(name: str) -> Callable[..., None]:
    def command(out: Out, source: Source = None, seed: Seed = 0, as_json: AsJson = False) -> None:
        with refusals(as_json), extra("models" if name == "ltr" else "learn"):
            from slatewise.learn.datasets import read

            _finish(read(name, source, seed=seed), out, as_json)

    return command


for _name, _help in SETS.items():
    data.command(_name, help=_help)(_command(_name))


def _finish(found: Reading, out: Path, as_json: bool) -> None:
    """Write a log, and say what it holds and what was left out."""
    pages = found.pages
    pages.write(out)
    told: dict[str, Any] = {"lists": len(pages), "rows": len(pages.slot), "digest": pages.digest}
    if as_json:
        print_json({**told, "dropped": found.dropped, "notes": found.notes})
    else:
        print(f"{len(pages)} lists, {len(pages.slot)} rows")
        for name, times in found.dropped.items():
            print(f"left out: {times} {name}")
        for name, value in found.notes.items():
            print(f"{name}: {value:.4g}")
    note(f"pages: {out}, sha256 {pages.digest[:16]}")
