"""Pages: compose, explain, check, schema, replay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slatewise.cli.shared import (
    REFUSED,
    AsJson,
    PolicyFile,
    RequestFile,
    app,
    extra,
    feed_of,
    new_file,
    print_json,
    refusals,
    show,
    write_text,
)

if TYPE_CHECKING:
    from slatewise.core.control import Control
    from slatewise.core.page import Page
    from slatewise.feed import Feed
    from slatewise.serve.wire import Order


@app.command()
def compose(policy: PolicyFile, request: RequestFile, as_json: AsJson = False, trace: bool = False) -> None:
    """Compose one page."""
    from slatewise import render

    with refusals(as_json):
        page = composed(feed_of(policy), request, trace=trace)
        if as_json:
            print_json(page.document())
        elif page.trace is not None:
            show(render.trace_table(page, page.trace.slots))
        else:
            show(render.page_table(page))


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
        feed = feed_of(policy)
        if costs:
            found = feed.costs(order_of(feed, request).request)
            print_json(found) if as_json else show(render.cost_table(found))
            return
        page = composed(feed, request, trace=True)
        if slot is not None and slot > len(page.items):
            raise RequestError("slot", f"must be at most {len(page.items)}, the length of the page", str(slot))
        assert page.trace is not None
        slots = tuple(one for one in page.trace.slots if slot in (None, one.slot))
        if as_json:
            print_json(slots)
        else:
            show(render.trace_table(page, slots))


@app.command()
def check(policy: PolicyFile, as_json: AsJson = False) -> None:
    """Check a policy and show its pipeline."""
    from slatewise import render

    with refusals(as_json):
        checked = feed_of(policy).policy
        if as_json:
            print_json({"hash": checked.hash, "policy": checked.document()})
        else:
            show(render.pipeline(checked))
            show(f"[dim]hash {checked.hash}[/]")


@app.command()
def schema(as_json: AsJson = True) -> None:
    """Print the JSON Schema of policies, for editors and checks; it is JSON with or without --json."""
    from slatewise.schema import policy_schema
    from slatewise.stages import STAGES

    print_json(policy_schema(STAGES))


@app.command()
def replay(
    policy: Annotated[
        Path, typer.Argument(help="Policy file; or, alone, a decision log: its folder, or a file.", show_default=False)
    ],
    requests: Annotated[Path | None, typer.Argument(help="Requests: .jsonl or .parquet.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Write the pages here, as JSON lines.")] = None,
    threads: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
    costs: Annotated[bool, typer.Option("--costs", help="Compose each page without each rule, too.")] = False,
    window: Annotated[int, typer.Option(help="Move control loops on every so many pages; 0 is never.", min=0)] = 0,
    control: Annotated[Path | None, typer.Option(help="Snapshot of control loops to start from.")] = None,
    control_out: Annotated[Path | None, typer.Option(help="Write their snapshot here in the end.")] = None,
    other: Annotated[Path | None, typer.Option("--policy", help="Compose a log's pages by this policy.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compose the pages of a file of requests and sum up what rules did; or those of a decision log, and compare."""
    from slatewise import render
    from slatewise.core.errors import RequestError
    from slatewise.evaluate.loops import Loops
    from slatewise.evaluate.replay import Tally
    from slatewise.evaluate.replay import replay as pages_of
    from slatewise.serve.files import count_requests, read_requests
    from slatewise.serve.wire import Wire

    if requests is None:
        _replay_log(policy, out, other, as_json=as_json)
        return
    with refusals(as_json), extra("parquet"), new_file(out, requests) as write:
        if other is not None:
            raise RequestError("policy", "is for the pages of a decision log", str(other))
        if control_out is not None and control_out.resolve() in {path.resolve() for path in (requests, out) if path}:
            raise RequestError("control_out", "must be another file than the requests and the pages", str(control_out))
        feed = feed_of(policy)
        tally = Tally(feed.policy)
        orders = (order.request for order in read_requests(requests, Wire(feed.policy)))
        loops = Loops(feed, window=window, control=_restored(feed, control))
        pages = pages_of(feed, orders, threads=threads, measure="costs" if costs else "pages", loops=loops)
        for played in render.progress(pages, count_requests(requests)):
            tally.add(*played)
            write(played.page)
        if control_out is not None:
            write_text("control_out", control_out, loops.control.snapshot() + "\n")
        summary = tally.summary()
        if as_json:
            print_json(summary)
        else:
            show(render.summary_tables(summary))


def _replay_log(log: Path, out: Path | None, other: Path | None, *, as_json: AsJson) -> None:
    """Compose the pages of a decision log again; leave with 1 if some page came out in another way than it was served.

    Under another policy, pages may differ.
    """
    from slatewise import render
    from slatewise.render_log import log_tables
    from slatewise.serve.log.findings import Findings
    from slatewise.serve.log.reading import count_decisions
    from slatewise.serve.log.replaying import replayed

    with refusals(as_json), extra("parquet"), new_file(out, log) as write:
        policy = None if other is None else feed_of(other).policy
        findings = Findings()
        for compared in render.progress(replayed(log, policy=policy), count_decisions(log)):
            findings.add(compared)
            if compared.page is not None:
                write(compared.page)
        report = findings.report()
        print_json(report) if as_json else show(log_tables(report))
    if report.different and other is None:
        raise typer.Exit(REFUSED)


def _restored(feed: Feed, snapshot: Path | None) -> Control | None:
    from slatewise.core.errors import RequestError

    if snapshot is None:
        return None
    try:
        text = snapshot.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise RequestError("control", "must be a readable snapshot", f"{snapshot} ({why})") from None
    return feed.restore(text)


def composed(feed: Feed, request: str, *, trace: bool) -> Page:
    order = order_of(feed, request)
    return feed.compose(order.request, trace=trace or order.trace)


def order_of(feed: Feed, request: str) -> Order:
    from slatewise.core.errors import RequestError
    from slatewise.serve.wire import Wire

    try:
        body = sys.stdin.buffer.read() if request == "-" else Path(request).read_bytes()
    except OSError as error:
        raise RequestError("request", "must be a readable file", f"{request} ({error.strerror})") from None
    return Wire(feed.policy).decode(body)
