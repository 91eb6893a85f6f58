"""What the command line shows of fits of orders: how good they are, beside orders that know nothing."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slatewise.evaluate.intervals import Interval
from slatewise.learn.rank_passes import Passes
from slatewise.learn.rank_report import FIGURES, RankReport


def rank_table(report: RankReport, passes: Passes | None = None) -> RenderableType:
    """Return how good an order is, and what more passes do."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("order")
    for figure in FIGURES:
        table.add_column(figure, justify="right")
    for name, figures in report.orders.items():
        table.add_row(name, *(_told(figures.get(figure)) for figure in FIGURES))
    table.add_row("gain", *(_told(report.gains[figure]) for figure in FIGURES))
    notes = Text(f"{report.lists} lists, {report.empty} without anything relevant; {report.convention}\n", style="dim")
    if not report.is_sound:
        notes.append("an order that knows nothing is not as random: look for what gives labels away\n", style="red")
    if passes is not None:
        kept = ", ".join(f"{value:.4f}" for value in passes.ndcg)
        notes.append(f"ndcg@10 after 1, 2, 3 passes: {kept}; {passes.oscillating:.1%} of lists come to no rest")
    return Group(table, notes)


def _told(one: Interval | None) -> Text:
    return Text("" if one is None else f"{one.estimate:.3f} ({one.low:.3f} to {one.high:.3f})")
