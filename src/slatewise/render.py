"""What the command line shows: pages, traces and pipelines as tables and pictures in text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from math import isnan
from operator import attrgetter
from typing import TypeVar

from rich import box
from rich.console import Console, Group, RenderableType
from rich.progress import track
from rich.table import Table
from rich.text import Text

from slatewise.core.page import Page, RuleCost, Status
from slatewise.core.policy import Policy
from slatewise.core.rules import Between, Match, Rule
from slatewise.core.stage import Annotator, Selector, Stage
from slatewise.core.trace import Other, Part, SlotTrace
from slatewise.evaluate.day import BudgetDay, Day
from slatewise.evaluate.replay import Summary
from slatewise.evaluate.tradeoff import AHEAD, Arm, Tradeoff

_T = TypeVar("_T")

HELD_BACK = ("bound in slots", "on pages", "cost")
"""Columns of what a rule held back, slot by slot."""
LOST = ("binds on pages", "value lost", "price")
"""Columns of what a rule cost, page by page, if that was measured."""
GAVE_WAY = ("relaxed", "by", "kept short")
"""Columns of where a rule gave way or kept a page short."""

LARGEST = 3
"""Parts of one name that a trace shows one by one; the others are summed up."""


def page_table(page: Page) -> RenderableType:
    """Return a page as a table with its status."""
    table = _table("slot", "item", "line", "utility", numeric=("slot", "utility"))
    for item in page.items:
        table.add_row(str(item.slot), Text(str(item.item_id)), Text(item.line), number(item.utility))
    return Group(table, status_line(page.status, page.value))


def status_line(status: Status, value: float) -> Text:
    """Return a page's status in one line."""
    colour = {"optimal": "green", "feasible": "green", "relaxed": "yellow", "empty": "red"}[status.kind]
    text = Text.assemble((status.kind, f"bold {colour}"), f"  value {number(value)}")
    if status.gap:
        text.append(f", the best at most {status.gap:.2%} above")
    for one in status.relaxed:
        text.append(f"\n  rule '{one.rule}' gave way by {number(one.by)}", style="yellow")
        if one.against:
            text.append(f"; it collides with {', '.join(map(repr, one.against))}", style="yellow")
    if status.missing:
        why = f"; kept so by {', '.join(map(repr, status.held))}" if status.held else ""
        text.append(f"\n  {status.missing} slots not filled{why}", style="yellow")
    if status.strength is not None:
        text.append(f"\n  strength {number(status.strength)}")
    if status.spent is not None:
        text.append(f", {status.spent:.2%} of the value given up for it")
    if status.exhausted is not None:
        text.append(f"\n  exhausted in slot {status.exhausted}: its row adds nothing to what stands above", style="dim")
    return text


def trace_table(page: Page, slots: tuple[SlotTrace, ...]) -> RenderableType:
    """Return a trace: per slot the value terms, the runner-up, and the rule that held something back."""
    table = _table("slot", "item", "what it is worth", "runner-up", "held back by a rule", numeric=("slot",))
    for column in table.columns:
        column.no_wrap = True
    for slot in slots:
        table.add_row(
            str(slot.slot),
            Text.assemble((str(slot.item_id), "bold"), f"\n{slot.line}"),
            _worth(slot),
            _other(slot.runner_up, slot.near_tie),
            _held(slot.held_back),
        )
    return Group(table, status_line(page.status, page.value))


def _worth(slot: SlotTrace) -> Text:
    """Write what each stage made of the row, and what it is worth in its slot, with the parts of sums below."""
    lines: list[Text] = []
    for step in slot.steps:
        lines.append(Text.assemble(f"{step.column} {number(step.value)}", (f"  {step.stage}", "dim")))
        lines += [Text(f"  {name} {part:+.4g}", style="dim") for name, part in step.terms.items()]
    lines = lines or [Text(f"utility {number(slot.utility)}")]
    if slot.parts:
        lines.append(Text(f"worth {number(slot.worth)}"))
        lines += [Text(f"  {part}", style="dim") for part in _parts(slot.parts)]
    return Text("\n").join(lines)


def _parts(parts: Iterable[Part]) -> Iterator[str]:
    """Yield what a row is worth in its slot, part by part: of each name the largest, and the sum of the others."""
    for name, some in groupby(parts, attrgetter("name")):
        found = sorted(some, key=lambda part: -abs(part.amount))
        for part in found[:LARGEST]:
            yield f"{name} {part.amount:+.4g}" + ("" if part.item_id is None else f" ({part.item_id})")
        others = [part.amount for part in found[LARGEST:]]
        if others:
            yield f"{name} {sum(others):+.4g} ({len(others)} more)"


def _other(other: Other | None, near_tie: bool = False) -> Text:
    if other is None:
        return Text("none", style="dim")
    behind = f"{other.margin:.4g} behind" + (", a near tie" if near_tie else "")
    return Text.assemble((str(other.item_id), "bold"), f"\n{other.line} {number(other.utility)}\n{behind}")


def _held(other: Other | None) -> Text:
    if other is None:
        return Text("")
    return Text.assemble(
        (other.rule, "yellow"),
        f"\n{other.item_id}, {other.line} {number(other.utility)}\ncost {number(-other.margin)}",
    )


def cost_table(costs: Iterable[RuleCost]) -> RenderableType:
    """Return what each rule costs a page."""
    table = _table(
        "rule", "binds", "value lost", "price", "gave way by", numeric=("value lost", "price", "gave way by")
    )
    for cost in costs:
        binds = "yes" if cost.binds else ""
        table.add_row(Text(cost.rule), binds, number(cost.lost), _known(cost.price), number(cost.relaxed))
    return table


def _known(value: float | None) -> str:
    return "" if value is None else number(value)


def pipeline(policy: Policy) -> Text:
    """Return the pipeline as a picture in text: each stage, what it reads and what it makes."""
    head = policy.head
    text = Text()
    given = ", ".join(f"{name}: {kind}" for name, kind in head.columns.items())
    text.append("candidates", style="bold")
    text.append(f"  lines {', '.join(head.lines)}\n", style="dim")
    text.append(f"  │  item_id, line, {given}\n")
    for stage in policy.stages:
        text.append_text(_stage(stage))
    text.append("  ▼\n")
    text.append("page", style="bold")
    text.append(f"  {head.slots} slots", style="dim")
    return text


def _stage(stage: Stage) -> Text:
    kind = "picks rows" if isinstance(stage, Selector) else "adds columns" if isinstance(stage, Annotator) else "rules"
    text = Text("  ▼\n")
    text.append(stage.section, style="bold cyan")
    text.append(f"  {kind}\n", style="dim")
    if stage.reads:
        text.append(f"  │  reads  {', '.join(stage.reads)}\n")
    if stage.writes:
        text.append(f"  │  writes {', '.join(stage.writes)}\n")
    for rule in stage.hard_rules:
        text.append(f"  │  {rule.name}: ", style="default")
        text.append(f"{sentence(rule)}\n", style="dim")
    return text


def sentence(rule: Rule) -> str:
    """Return a rule in words.

    >>> sentence(Rule(name="ad load", group={"line": "ads"}, first=10, at_most=2))
    'at most 2 rows with line ads in the first 10 slots'
    """
    return " ".join(_words(rule))


def _words(rule: Rule) -> Iterator[str]:
    bounds = [("at least", rule.at_least), ("at most", rule.at_most)]
    yield " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    one = max(bound for _, bound in bounds if bound is not None) == 1
    rows = "row" if one else "rows"
    weighed = f"of {rule.weight}" if rule.weight else "of the exposure, for rows" if rule.exposure else rows
    yield f"distinct {rule.distinct}" if rule.distinct else weighed
    for name, match in rule.group.items():
        yield _with(name, match, "is" if one else "are")
    if rule.per:
        yield f"per {rule.per}"
    if rule.every:
        yield f"in every {rule.every} slots"
    if rule.slots:
        first, last = rule.slots
        yield f"in slots {first} to {last}" if first < last else f"in slot {first}"
    elif rule.first:
        yield f"in the first {rule.first} slots" if rule.first > 1 else "in slot 1"
    elif not rule.every:
        yield "on the page"
    if rule.priority == "contractual":
        yield "(contractual)"


def _with(name: str, match: Match, are: str) -> str:
    match match:
        case bool():
            return f"that {are} {name}" if match else f"that {are} not {name}"
        case Between():
            low = "" if match.at_least is None else f" >= {match.at_least:g}"
            return f"with {name}{low}" + ("" if match.at_most is None else f" <= {match.at_most:g}")
        case list():
            return f"with {name} {' or '.join(map(str, match))}"
        case _:
            return f"with {name} {match}"


def summary_tables(summary: Summary) -> RenderableType:
    """Return what lines and rules did on many pages."""
    if not summary.pages:
        return Text("no pages", style="bold")
    lines = _table("line", "slots", "share", numeric=("slots", "share"))
    for line in summary.lines:
        lines.add_row(Text(line.line), str(line.slots), f"{line.share:.1%}")
    lost = any(rule.lost is not None for rule in summary.rules)
    names = (*HELD_BACK, *(LOST if lost else ()), *GAVE_WAY)
    rules = _table("rule", *names, numeric=names)
    for rule in summary.rules:
        held = (str(rule.slots), str(rule.pages), number(rule.cost))
        cost = (_known(rule.binds), _known(rule.lost), _known(rule.price)) if lost else ()
        gave = (str(rule.relaxed), number(rule.relaxed_by), str(rule.short))
        rules.add_row(Text(rule.rule), *held, *cost, *gave)
    statuses = ", ".join(f"{count} {kind}" for kind, count in summary.statuses.items())
    times = summary.times
    head = Text.assemble(
        (f"{summary.pages} pages", "bold"),
        f"  {statuses or 'none'}\nmean value {number(summary.value)}, {summary.missing} slots not filled\n",
        f"time per page: half within {times.p50:.3g} ms, 99 % within {times.p99:.3g} ms",
    )
    return Group(head, lines, *([rules] if summary.rules else []))


def tradeoff_tables(found: Tradeoff) -> RenderableType:
    """Return what variety gains and costs: a table for each policy, and how far each of them may go."""
    shares = [f"{one.share:.0%}" for one in found.arms[0].within]
    within = _table("largest strength that gives up at most", *shares, numeric=tuple(shares))
    for arm in found.arms:
        within.add_row(Text(arm.name), *("none" if one.strength is None else f"{one.strength:g}" for one in arm.within))
    head = Text.assemble((f"{found.requests} requests", "bold"), f"  {found.items} items in their pools")
    if found.small:
        few = f"requests with fewer than {AHEAD} times as many items as slots: {found.small}"
        head.append(f"\n{few}; variety has little to choose from there", style="yellow")
    return Group(head, *(table for arm in found.arms for table in (Text(f"\n{arm.name}", "bold"), _arm(arm))), within)


def _arm(arm: Arm) -> Table:
    """Return a policy's curve; what no page has is left out."""
    measures = [
        (column, measure)
        for column, means in arm.points[0].columns.items()
        for measure in means
        if not all(isnan(point.columns[column][measure]) for point in arm.points)
    ]
    names = ("strength", "value", "kept", "nDCG", *(f"{c}\n{m}" for c, m in measures), "coverage", "Gini")
    table = _table(*names, numeric=names)
    for point in arm.points:
        told = (point.columns[column][measure] for column, measure in measures)
        rest = (number(one) for one in (point.ndcg, *told))
        shares = f"{point.coverage:.1%}", number(point.gini)
        table.add_row(f"{point.strength:g}", number(point.value), f"{point.kept:.1%}", *rest, *shares)
    return table


def pacing_table(found: Day | BudgetDay) -> RenderableType:
    """Return what controllers held over a day, what it cost, and how much they swung."""
    if isinstance(found, BudgetDay):
        names = ("law", "value / best", "error of spending", "moves")
        table = _table(*names, numeric=names[1:])
        for one in found.arms:
            table.add_row(one.name, f"{one.kept:.3f}", f"{one.rmse:.3f}", f"{one.volatility:.3f}")
        return table
    targets = [f"{line}\n{target:.2f}" for line, target in zip(found.lines, found.targets.tolist(), strict=True)]
    names = ("controller", "value / best", "error of shares", "fast swings", "flips", "moves", *targets)
    table = _table(*names, numeric=names[1:])
    for arm in found.arms:
        swings = arm.swings
        measured = (arm.kept, swings.rmse, swings.fast_rms, swings.flips, arm.volatility)
        table.add_row(arm.name, *(f"{one:.3f}" for one in measured), *(f"{one:.2f}" for one in arm.total.tolist()))
    floor = found.arms[0].swings.fast_floor
    return Group(table, Text(f"fast swings that draws alone would give: {floor:.3f}", "dim"))


def progress(pages: Iterable[_T], total: int) -> Iterable[_T]:
    """Return the same pages and show, on standard error, how far along they are."""
    console = Console(stderr=True)
    return track(pages, description="composing", total=total, console=console, disable=not console.is_terminal)


def number(value: float) -> str:
    """Return a number as people read it: four digits that count.

    >>> number(0.123456), number(1234567.0)
    ('0.1235', '1.235e+06')
    """
    return f"{value:.4g}"


def _table(*names: str, numeric: tuple[str, ...] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in numeric else "left")
    return table
