"""What the command line shows of policies at work: who serves, what was changed, and what a policy would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slatewise.core.page import PlacedItem
from slatewise.serve.rollout.desk import Policies
from slatewise.serve.rollout.diff import Example, Report
from slatewise.serve.rollout.record import Audited, Pushed

SIDES = ("before", "after")
MOST_AUDITED = 10
"""Changes that are shown."""


def report_tables(report: Report) -> RenderableType:
    """Return what changes if a policy takes the place of another."""
    if not report.requests:
        return Text("no requests" + (f"; {report.skipped} that the policy before does not take" * bool(report.skipped)))
    found: list[RenderableType] = [_agreement(report), _sides(report), _lines(report)]
    for name, pairs in (("rules that gave way, pages", report.relaxed), ("rules of before broken", report.broken)):
        if pairs:
            found.append(_counts(name, pairs))
    if report.failures:
        table = _table("no page after, because", "requests", "such as", numeric=("requests",))
        for one in report.failures:
            table.add_row(Text(one.reason, style="red"), str(one.requests), Text(one.example))
        found.append(table)
    return Group(*found, *(_example(one) for one in report.examples))


def policies_tables(policies: Policies) -> RenderableType:
    """Return all policies, who serves them, and what was changed lately."""
    record = policies.record
    table = _table("policy", "serves", "pushed", "by", "rungs", "models", "shadow")
    for one in record.pushed:
        share = f"canary, {record.share:.4g} of users"
        roles = {record.active: "active", record.canary: share, record.previous: "previous"}
        models = ", ".join(f"{section} {digest[:12]}" for section, digest in one.models.items())
        cells = (
            one.hash,
            roles.get(one.hash, ""),
            moment(one.time),
            one.who,
            ", ".join(one.rungs),
            models,
            _tried(one),
        )
        table.add_row(*map(Text, cells))
    found: list[RenderableType] = [table]
    workers = _table("process", "active", "canary", "heard")
    for one in policies.workers:
        off = (one.active, one.canary) != (record.active, record.canary)
        cells = (one.worker, one.active, one.canary or "", one.fault or moment(one.time))
        workers.add_row(*(Text(cell, style="red" if off else "") for cell in cells))
    found.append(workers)
    if policies.split:
        found.append(Text("not all processes serve this yet; each looks once a second", style="yellow"))
    return Group(*found, audit_table(record.audit[:MOST_AUDITED]))


def audit_table(audit: Sequence[Audited]) -> RenderableType:
    """Return what was changed, newest first."""
    table = _table("when", "who", "what", "policy", "why")
    for one in audit:
        table.add_row(*map(Text, (moment(one.time), one.who, one.what, one.policy, one.why)))
    return table


def pushed_lines(policy: Pushed) -> RenderableType:
    """Return a policy's hash, and what is to be known of it."""
    return Text("\n").join([Text(policy.hash), *(Text(note, style="yellow") for note in policy.notes)])


def moment(seconds: float) -> str:
    """Return a time as people read it, in their own zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _agreement(report: Report) -> Text:
    pairs = max(report.requests - report.failed, 1)
    text = Text(f"{report.requests} requests, {report.equal} equal pages ({report.equal / pairs:.1%})")
    for name, value in (("overlap", report.overlap), ("RBO", report.rbo), ("moved by slots", report.moved)):
        text.append("" if value is None else f", {name} {value:.3f}")
    if report.failed:
        text.append(f"\n{report.failed} requests get no page", style="red")
    if report.skipped:
        text.append(f"\n{report.skipped} requests left aside, which the policy before does not take", style="yellow")
    return text


def _sides(report: Report) -> Table:
    table = _table("", *SIDES, numeric=SIDES)
    table.add_row("policy", *report.policies)
    for kind, counts in report.statuses.items():
        table.add_row(Text(f"pages {kind}"), *map(str, counts))
    table.add_row("slots missing", *map(str, report.missing))
    if report.worth is not None:
        table.add_row(f"worth to before, on {report.compared} pages", *(f"{one:.4g}" for one in report.worth))
    for name, pair in report.ms.items():
        table.add_row(f"ms a page, {name}", *(f"{one:.3g}" for one in pair))
    return table


def _lines(report: Report) -> Table:
    names = [f"{what} {side}" for what in ("share", "load", "spacing") for side in SIDES]
    table = _table("line", *names, numeric=names)
    for one in report.lines:
        spacing = ("" if space is None else f"{space:.2f}" for space in one.spacing)
        cells = (*(f"{share:.1%}" for share in one.share), *(f"{load:.2f}" for load in one.load), *spacing)
        table.add_row(Text(one.line), *cells)
    return table


def _counts(name: str, pairs: Mapping[str, tuple[int, int]]) -> Table:
    table = _table(name, *SIDES, numeric=SIDES)
    for rule, counts in pairs.items():
        table.add_row(Text(rule), *map(str, counts))
    return table


def _example(example: Example) -> Table:
    table = _table("slot", *SIDES, numeric=("slot",))
    table.title = Text(f"request {example.request_id!r}, RBO {example.rbo:.3f}")
    table.title_justify = "left"
    for slot in range(max(len(example.before), len(example.after))):
        sides = [_item(side[slot : slot + 1]) for side in (example.before, example.after)]
        same = sides[0] == sides[1]
        table.add_row(str(slot + 1), *(Text(side, style="dim" if same else "") for side in sides))
    return table


def _item(items: Sequence[PlacedItem]) -> str:
    return "".join(f"{item.item_id} ({item.line})" for item in items)


def _tried(policy: Pushed) -> str:
    trial = policy.trial
    return "" if trial is None else f"{trial.requests - trial.failed} of {trial.requests} pages"


def _table(*names: str, numeric: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE)
    for name in names:
        table.add_column(name, justify="right" if name in numeric else "left")
    return table
