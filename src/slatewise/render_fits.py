"""What the command line shows of fits: how right maps are, what weights rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slatewise.evaluate.intervals import Interval
from slatewise.learn.experiment import Gradient
from slatewise.learn.reports import LineReport
from slatewise.learn.weight import Cell


def calibration_table(reports: Mapping[str, LineReport]) -> RenderableType:
    """Return how right each line's map is, on showings that it was not fitted on."""
    names = ("line", "method", "events", "predicted / observed", "ECE / rate", "if perfect", "log loss - ratio's")
    table = _table(*names, "alarm")
    whys = Text()
    for line, report in reports.items():
        cells = [line, report.method, f"{report.events:g} of {report.rows}", _told(report.pcoc)]
        if report.after is not None and report.against_ratio is not None and report.drift is not None:
            rate = report.events / report.rows
            perfect = report.after.ece_if_perfect
            cells.append(_part(report.after.ece.estimate, rate))
            cells.append(f"{_part(perfect.low, rate)} to {_part(perfect.high, rate)}")
            cells.append(_told(report.against_ratio.log_loss, ".1e"))
            alarm = report.drift.alarm_row
            cells.append("none" if alarm is None else f"from row {alarm}")
        table.add_row(*map(Text, cells))
        whys.append(f"{line}: {report.why}\n", style="dim")
    whys.rstrip()
    return Group(table, whys)


def cell_table(cells: Sequence[Cell]) -> RenderableType:
    """Return what weights by line and segment rest on."""
    table = _table("line", "segment", "observed", "expected", "ratio", "weight")
    for cell in cells:
        numbers = f"{cell.observed:.6g}", f"{cell.expected:.6g}", f"{cell.ratio:.3f}", f"{cell.weight:.3f}"
        table.add_row(*map(Text, (cell.line, _when(cell.when), *numbers)))
    return table


def gradient_table(gradients: Sequence[Gradient], unsupported: Sequence[Mapping[str, str]]) -> RenderableType:
    """Return what an experiment found, and of what it could say nothing."""
    table = _table("line", "segment", "users", "outcome per ln weight", "step")
    for one in gradients:
        cells = one.line, _when(one.when), str(one.users), _told(one.gradient, ".3g"), f"{one.step:+.4f}"
        table.add_row(*map(Text, cells))
    if not unsupported:
        return table
    return Group(table, Text("too few users: " + "; ".join(map(_when, unsupported)), style="yellow"))


def _when(when: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in when.items()) or "all"


def _part(gap: float, rate: float) -> str:
    return f"{gap / rate:.0%}" if rate > 0 else "-"


def _told(one: Interval, form: str = ".3f") -> str:
    return f"{one.estimate:{form}} ({one.low:{form}} to {one.high:{form}})"


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="left" if name in ("line", "method", "segment", "alarm") else "right")
    return table
