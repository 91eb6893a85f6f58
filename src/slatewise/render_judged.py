"""What the command line shows of models that are judged on another log, and of pages whose true worth is known."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.table import Table

from slatewise.learn.adfeed_pages import AdFeedReport
from slatewise.learn.decode_report import DecodeReport
from slatewise.learn.evaluator_report import EvaluatorReport
from slatewise.learn.judging import Judged
from slatewise.render_decode import decode_table
from slatewise.render_evaluator import evaluator_table
from slatewise.render_ranks import rank_table


def judged_table(found: Judged) -> RenderableType:
    """Return what a model is worth, as its fit shows it."""
    match found:
        case DecodeReport():
            return decode_table(found)
        case EvaluatorReport():
            return evaluator_table(found)
        case ranks, passes:
            return rank_table(ranks, passes)


def worth_table(found: AdFeedReport) -> RenderableType:
    """Return what pages are truly worth, the best of all first."""
    title = f"{found.requests} requests composed again, by the truth of the feed"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column("pages")
    for name in ("worth", "of the best", "promised", "CTR", "RPM", "engagement", "ads", "broken rules"):
        table.add_column(name, justify="right")
    for kind, one in found.orders.items():
        worth = one.reward
        table.add_row(
            kind,
            f"{worth.estimate:.3f} ({worth.low:.3f} to {worth.high:.3f})",
            f"{one.of_best:.1%}",
            "" if one.promised is None else f"{one.promised:.3f}",
            f"{one.ctr:.1%}",
            f"{one.rpm:.0f}",
            f"{one.engagement:.3f}",
            f"{one.ads:.2f}",
            str(one.broken),
        )
    return table
