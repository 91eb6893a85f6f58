"""The command line: one command per verb.

Data goes to standard output and everything else to standard error. Exit codes: 0 done; 1 the policy or a request was
refused; 2 the command was used wrongly; 3 something is not installed. Libraries are imported inside the commands, so
that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

if TYPE_CHECKING:
    from slatewise.core.page import Page
    from slatewise.evaluate.tradeoff import Tradeoff
    from slatewise.feed import Feed
    from slatewise.serve.wire import Order

REFUSED, NOT_INSTALLED = 1, 3
PIPED_WIDTH = 160
"""Columns of tables that go to a file or a pipe."""

app = typer.Typer(
    name="slatewise",
    help="From scored candidates of several business lines to the page that is served.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its imports alone take half of what `--help` may
)

PolicyFile = Annotated[Path, typer.Argument(help="Policy file: .yaml, .toml or .json.", show_default=False)]
RequestFile = Annotated[str, typer.Argument(help="Request as JSON; - for standard input.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def compose(policy: PolicyFile, request: RequestFile, as_json: AsJson = False, trace: bool = False) -> None:
    """Compose one page."""
    from slatewise import render

    with refusals(as_json):
        page = _compose(_feed(policy), request, trace=trace)
        if as_json:
            _print_json(page.document())
        elif page.trace is not None:
            _show(render.trace_table(page, page.trace.slots))
        else:
            _show(render.page_table(page))


@app.command()
def explain(
    policy: PolicyFile,
    request: RequestFile,
    slot: Annotated[int | None, typer.Option(help="Only this slot, from 1.", min=1)] = None,
    costs: Annotated[bool, typer.Option("--costs", help="What each rule costs the page, instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say why each item stands where it stands."""
    from slatewise import render
    from slatewise.core.errors import RequestError

    with refusals(as_json):
        feed = _feed(policy)
        if costs:
            found = feed.costs(_order(feed, request).request)
            _print_json(found) if as_json else _show(render.cost_table(found))
            return
        page = _compose(feed, request, trace=True)
        if slot is not None and slot > len(page.items):
            raise RequestError("slot", f"must be at most {len(page.items)}, the length of the page", str(slot))
        assert page.trace is not None
        slots = tuple(one for one in page.trace.slots if slot in (None, one.slot))
        if as_json:
            _print_json(slots)
        else:
            _show(render.trace_table(page, slots))


@app.command()
def check(policy: PolicyFile, as_json: AsJson = False) -> None:
    """Check a policy and show its pipeline."""
    from slatewise import render

    with refusals(as_json):
        checked = _feed(policy).policy
        if as_json:
            _print_json({"hash": checked.hash, "policy": checked.document()})
        else:
            _show(render.pipeline(checked))
            _show(f"[dim]hash {checked.hash}[/]")


@app.command()
def schema(as_json: AsJson = True) -> None:
    """Print the JSON Schema of policies, for editors and checks; it is JSON with or without --json."""
    from slatewise.schema import policy_schema
    from slatewise.stages import STAGES

    _print_json(policy_schema(STAGES))


@app.command()
def replay(
    policy: PolicyFile,
    requests: Annotated[Path, typer.Argument(help="Requests: .jsonl or .parquet.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Write the pages here, as JSON lines.")] = None,
    threads: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
    costs: Annotated[bool, typer.Option("--costs", help="Compose each page without each rule, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compose the pages of a file of requests and sum up what the lines and the rules did."""
    from slatewise import render
    from slatewise.evaluate.replay import Tally
    from slatewise.evaluate.replay import replay as pages_of
    from slatewise.serve.files import count_requests, read_requests
    from slatewise.serve.wire import Wire

    with refusals(as_json), extra("parquet"), new_file(out, requests) as write:
        feed = _feed(policy)
        tally = Tally(feed.policy)
        orders = (order.request for order in read_requests(requests, Wire(feed.policy)))
        pages = pages_of(feed, orders, threads=threads, measure="costs" if costs else "pages")
        for played in render.progress(pages, count_requests(requests)):
            tally.add(*played)
            write(played.page)
        summary = tally.summary()
        if as_json:
            _print_json(summary)
        else:
            _show(render.summary_tables(summary))


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
        named = [(path.stem, _feed(path).policy) for path in (policy, *(against or []))]
        arms = compared(named, variants=_listed(variants))
        steps = _numbers("strengths", strengths) or STRENGTHS
        tally = Tally(arms, strengths=steps, columns=_listed(columns))
        draw = _picture_in(out)
        orders = (order.request for order in read_requests(requests, Wire(named[0][1])))
        asked = (replace(one, slots=slots) if slots else one for one in orders)
        for trial in render.progress(trials(arms, asked, strengths=steps), count_requests(requests)):
            tally.add(trial)
        found = tally.tradeoff()
        if as_json:
            _print_json(found)
        else:
            _show(render.tradeoff_tables(found))
        draw(found)


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

        feed = _feed(policy)
        limits = Limits(body_bytes=body_bytes, candidates=candidates)
        run(feed, host=host, port=port, limits=limits, ready=_note)


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
            _print_json(outcome)


@contextmanager
def new_file(path: Path | None, source: Path) -> Iterator[Callable[[Page], None]]:
    """Give a function that writes pages as JSON lines; the file appears when all are written, or not at all."""
    from slatewise.core.errors import RequestError

    if path is None:
        yield lambda page: None
        return
    if path.is_dir() or not path.parent.is_dir() or path.resolve() == source.resolve():
        raise RequestError("out", "must be a file in a folder that is there, and not the requests", str(path))
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield lambda page: _write_line(file, page)
        part.replace(path)
    except OSError as error:
        raise RequestError("out", "must be a file that can be written", f"{path} ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


def _write_line(file: BinaryIO, page: Page) -> None:
    file.write(page.untraced().encode() + b"\n")


@contextmanager
def refusals(as_json: bool) -> Iterator[None]:
    """Turn refusals into one line on standard error and exit code 1."""
    from slatewise.core.errors import SlatewiseError

    try:
        yield
    except SlatewiseError as error:
        if as_json:
            fields = ("where", "rule", "got", "hint", "source", "message")
            _print_json({"error": {name: getattr(error, name) for name in fields}})
        else:
            _note(str(error))
        raise typer.Exit(REFUSED) from None


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a missing optional library into the command that installs it, and exit code 3."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("slatewise"):
            raise
        _note(f"{error.name} is not installed: pip install 'slatewise[{name}]'")
        raise typer.Exit(NOT_INSTALLED) from None


def _feed(policy: Path) -> Feed:
    from slatewise.feed import Feed

    return Feed.load(policy)


def _compose(feed: Feed, request: str, *, trace: bool) -> Page:
    order = _order(feed, request)
    return feed.compose(order.request, trace=trace or order.trace)


def _order(feed: Feed, request: str) -> Order:
    from slatewise.core.errors import RequestError
    from slatewise.serve.wire import Wire

    try:
        body = sys.stdin.buffer.read() if request == "-" else Path(request).read_bytes()
    except OSError as error:
        raise RequestError("request", "must be a readable file", f"{request} ({error.strerror})") from None
    return Wire(feed.policy).decode(body)


def _listed(text: str) -> list[str]:
    return [name for name in map(str.strip, text.split(",")) if name]


def _numbers(where: str, text: str) -> list[float]:
    from slatewise.core.errors import RequestError, shown

    try:
        return list(map(float, _listed(text)))
    except ValueError:
        raise RequestError(where, "must be numbers with commas between", shown(text)) from None


def _picture_in(folder: Path | None) -> Callable[[Tradeoff], None]:
    """Return what draws a picture into a folder, which is made if it is not there; nothing without a folder."""
    from slatewise.core.errors import RequestError

    if folder is None:
        return lambda found: None
    with extra("report"):
        from slatewise.pictures.tradeoff import picture
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError("out", "must be a folder, or a place for one", f"{folder} ({error.strerror})") from None
    path = folder / "tradeoff.svg"

    def draw(found: Tradeoff) -> None:
        path.write_text(picture(found), encoding="utf-8")
        _note(f"picture: {path}")

    return draw


def _print_json(value: Any) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _show(renderable: Any) -> None:
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    Console(highlight=False, width=width).print(renderable)


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    app()
