"""The report of an evaluator as text."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slatewise.learn.evaluator_report import EvaluatorReport


def evaluator_table(report: EvaluatorReport) -> RenderableType:
    """Return what was predicted of the clicks of a page, and what came, from the pages of least value to the best."""
    given = "" if report.given_above is None else f", given those above {report.given_above:.3f}"
    head = Text.assemble(
        ("evaluator", "bold"),
        f"  {report.lists} lists not learned from; log-likelihood of a list's clicks {report.log_likelihood:.3f}",
        given,
    )
    table = Table(box=None, pad_edge=False)
    for name in ("tenth of the pages", "clicks predicted", "clicks that came"):
        table.add_column(name, justify="right", style="" if name.startswith("tenth") else "cyan")
    for place, (predicted, realised) in enumerate(zip(report.predicted, report.realised, strict=True), 1):
        table.add_row(str(place), f"{predicted:.3f}", f"{realised:.3f}")
    return Group(head, table)
