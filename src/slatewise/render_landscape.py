"""Reports of landscapes as text."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slatewise.evaluate.intervals import Interval
from slatewise.evaluate.landscape import Report

SHOWN = 8
"""Contexts whose range is shown: those known least far."""


def landscape_tables(reports: Mapping[str, tuple[str, Report]]) -> RenderableType:
    """Return a table for each line.

    Args:
        reports: Line to the estimator and the report.
    """
    return Group(*(part for line, (estimator, found) in reports.items() for part in _line(line, estimator, found)))


def _line(line: str, estimator: str, found: Report) -> list[RenderableType]:
    head = Text.assemble((line, "bold"), f"  {estimator}; known up to {found.limit:g} ticks; {found.rows} later rows")
    table = Table(box=None, pad_edge=False)
    for name in ("figure", "value", "from", "to"):
        table.add_column(
            name, justify="left" if name == "figure" else "right", style="" if name == "figure" else "cyan"
        )
    told: dict[str, Interval] = {
        "AUC at the own score": found.auc,
        "log loss": found.log_loss,
        "ANLP": found.anlp,
        "ANLP below the limit": found.anlp_within,
        "ANLP beyond it": found.anlp_beyond,
        "C-index": found.concordance,
        "Brier below the limit": found.brier,
    }
    for name, one in told.items():
        table.add_row(name, *map(_number, (one.estimate, one.low, one.high)))
    table.add_row("rivals beyond the limit", _number(found.survival), "seen", _number(found.survival_seen))
    least = sorted(found.identified.items(), key=lambda item: item[1])[:SHOWN]
    ranges = ", ".join(f"{name} up to {limit:g}" for name, limit in least)
    return [head, table, *([Text(f"least known: {ranges}", style="dim")] if ranges else [])]


def _number(value: float) -> str:
    return "not known" if value != value else f"{value:.4g}"
