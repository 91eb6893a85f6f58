"""What goes on by itself: serve, what watches it, demo."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slatewise.cli.shared import AsJson, PolicyFile, app, extra, feed_of, print_json, refusals


class Watched(StrEnum):
    """What there is to watch a service with."""

    DASHBOARD = "dashboard"
    ALERTS = "alerts"


@app.command()
def serve(
    policy: PolicyFile,
    settings: Annotated[Path | None, typer.Option(help="File of settings: .yaml, .toml or .json.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; only this machine by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port, 8000 by default; 0 takes a free one.", max=65535)] = None,
    fd: Annotated[int | None, typer.Option(help="Number of a socket that is open already.", min=0)] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; 1 by default.", min=1)] = None,
    state: Annotated[str | None, typer.Option(help="memory:, sqlite:PATH or redis://...")] = None,
    journal: Annotated[Path | None, typer.Option(help="Folder of the decision log; none by default.")] = None,
    rollout: Annotated[str | None, typer.Option(help="What serves first: resume (what did last), or file.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File of bearer tokens.")] = None,
    anyone: Annotated[bool, typer.Option("--open", help="Let others reach it without a token.")] = False,
    body_bytes: Annotated[int | None, typer.Option(help="Largest body, in bytes.", min=1)] = None,
    candidates: Annotated[int | None, typer.Option(help="Most candidates of a request.", min=1)] = None,
    drain_s: Annotated[float | None, typer.Option(help="Seconds to serve on after SIGTERM.", min=0)] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    as_json: AsJson = False,
) -> None:
    """Serve pages over HTTP."""
    with refusals(as_json), extra("serve"):
        from slatewise.serve.process.workers import single_threaded, supervise

        single_threaded()
        from slatewise.serve.process.listener import address, listen
        from slatewise.serve.process.settings import load

        flags = {
            "host": host,
            "port": port,
            "workers": workers,
            "state": state,
            "journal.folder": journal and str(journal),
            "rollout": rollout,
            "token_file": token_file and str(token_file),
            "access": "open" if anyone else None,
            "limits.body_bytes": body_bytes,
            "limits.candidates": candidates,
            "drain_s": drain_s,
            "log_level": log_level,
        }
        how = load(settings, environ=os.environ, flags=flags)
        if how.workers > 1:
            listener = listen(how, fd=fd, environ=os.environ)
            raise typer.Exit(supervise(policy, how, listener, ready=_telling(address(listener))))
        from slatewise.serve.process.server import serve as run

        feed = feed_of(policy)
        listener = listen(how, fd=fd, environ=os.environ)
        run(feed.policy, how, listener, ready=_telling(address(listener)))


def _telling(where: str) -> Callable[[str], None]:
    """Return what writes to the log that a policy is served from now on."""
    return lambda policy: logging.getLogger("slatewise.serve").info("serving policy %s on %s", policy, where)


@app.command()
def monitoring(
    what: Annotated[Watched, typer.Argument(help="What to print.", show_default=False)],
) -> None:
    """Print what watches a service: a dashboard for Grafana, alarms for Prometheus."""
    from importlib.resources import files

    file = "slatewise.json" if what == Watched.DASHBOARD else "alerts.yaml"
    text = (files("slatewise.serve.process") / "dashboards" / file).read_text(encoding="utf-8")
    typer.echo(text, nl=False)


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
