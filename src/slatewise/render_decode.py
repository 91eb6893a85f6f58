"""What the command line shows of fits of pages slot by slot: how likely what came was, and how tight bounds are."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slatewise.learn.decode_report import DecodeReport


def decode_table(report: DecodeReport) -> RenderableType:
    """Return how good a decoder is, head by head, and how tight its bounds are."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("head")
    told = ("gate entropy",) if report.entropies else ()
    for name in ("- log P of a list", "without context", "calibration error", "amplitude", *told):
        table.add_column(name, justify="right")
    rows = (
        ("click", report.click, report.click_ground, report.clicks.error, report.click_amplitude),
        ("leave", report.leave, report.leave_ground, report.leaves.error, report.leave_amplitude),
    )
    for (head, *figures), entropy in zip(rows, report.entropies or (None, None), strict=True):
        table.add_row(head, *(f"{figure:.4f}" for figure in (*figures, entropy) if figure is not None))
    at_first, below = report.looseness
    notes = Text(
        f"{report.lists} lists; bound over worth, median: {at_first:.3f} at first, {below:.3f} below prefixes\n"
    )
    if report.violations:
        notes.append(f"{report.violations} pages are worth more than their bound\n", style="red")
    return Group(table, notes)
