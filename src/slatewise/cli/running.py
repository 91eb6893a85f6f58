"""What goes on by itself: serve, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slatewise.cli.shared import AsJson, PolicyFile, app, extra, feed_of, note, print_json, refusals


@app.command()
def serve(
    policy: PolicyFile,
    host: Annotated[str, typer.Option(help="Address to listen on; only this machine by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    body_bytes: Annotated[int, typer.Option(help="Largest body, in bytes.", min=1)] = 1_048_576,
    candidates: Annotated[int, typer.Option(help="Most candidates of a request.", min=1)] = 2_000,
    as_json: AsJson = False,
) -> None:
    """Serve pages over HTTP."""
    with refusals(as_json), extra("serve"):
        from slatewise.serve.app import serve as run
        from slatewise.serve.limits import Limits

        feed = feed_of(policy)
        limits = Limits(body_bytes=body_bytes, candidates=candidates)
        run(feed, host=host, port=port, limits=limits, ready=note)


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="EB-NeRD folder; the shipped sample by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("out"),
    visits: Annotated[int | None, typer.Option(help="Stop after so many visits.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Replay real visits to a news site, and leave a report."""
    from rich.console import Console

    with refusals(as_json), extra("report"):
        from slatewise.demo import news

        outcome = news.run(data, out, visits=visits, console=Console(stderr=True) if as_json else None)
        if as_json:
            print_json(outcome)
