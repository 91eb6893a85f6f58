"""What the command line shows of decision logs: whether pages come out as they were served."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slatewise.serve.log.findings import Report
from slatewise.serve.log.replaying import Difference

SLOTS = 3
"""Slots that are told of a page."""


def log_tables(report: Report) -> RenderableType:
    """Return what a replay found."""
    head = Text.assemble(
        (f"{report.pages:,} pages", "bold"),
        f"  {report.replayed:,} replayed: {report.identical:,} identical, ",
        (f"{report.different:,} different", "red" if report.different else ""),
        f"; {report.without_inputs:,} without inputs",
    )
    if report.overlap is None:
        return Group(head, *_told(report.differences))
    served = max(sum(one.served for one in report.lines), 1)
    replayed = max(sum(one.replayed for one in report.lines), 1)
    lines = _table("line", "served", "replayed")
    for one in report.lines:
        lines.add_row(Text(one.line), f"{one.served / served:.1%}", f"{one.replayed / replayed:.1%}")
    notes = Text(
        f"items in common {report.overlap:.1%}; pages relaxed {report.relaxed[0]} and {report.relaxed[1]}, "
        f"slots not filled {report.missing[0]} and {report.missing[1]}"
    )
    return Group(head, notes, lines, *_told(report.differences))


def _told(differences: tuple[Difference, ...]) -> list[RenderableType]:
    if not differences:
        return []
    table = _table("request", "page", "what differs")
    for one in differences:
        slots = [f"slot {slot}: {now} for {before}" for slot, (before, now) in one.slots.items()]
        more = [f"{len(slots) - SLOTS} more"] if len(slots) > SLOTS else []
        table.add_row(Text(one.request), Text(one.page), Text("; ".join([one.why, *slots[:SLOTS], *more])))
    return [table]


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in ("served", "replayed") else "left")
    return table
