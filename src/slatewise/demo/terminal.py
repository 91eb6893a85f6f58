"""The outcome as text: two pages side by side, then the tables."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console, Group
from rich.rule import Rule as Heading
from rich.table import Table
from rich.text import Text

from slatewise.demo.arms import ARMS, PACED
from slatewise.demo.outcome import Measured, Outcome
from slatewise.demo.showcase import Cell, Showcase
from slatewise.demo.wording import NAMES, day, ends, last_days, moment, percent, short, signed
from slatewise.evaluate.intervals import Interval

COLOURS = {"for_you": "magenta", "trending": "yellow", "fresh": "cyan"}
LEGEND = "● clicked   ✕ opened before   · really shown to the reader"


def show(outcome: Outcome, console: Console) -> None:
    """Print the outcome."""
    days = f"{moment(outcome.first)} to {moment(outcome.last)}"
    console.print(Heading(f"[bold]{outcome.visits:,} visits of {outcome.readers:,} readers[/bold], {days}"))
    if outcome.showcase:
        console.print(_pages(outcome.showcase))
    console.print(
        _measured(outcome),
        _compared(outcome),
        _shares(outcome),
        _mornings(outcome),
        _paced(outcome),
        _rules(outcome),
        _times(outcome),
    )
    console.print(Text(caution(outcome), style="dim"))


def caution(outcome: Outcome) -> str:
    """Return what the figures cannot show."""
    return (
        f"Clicks were made on the site's own pages: an article that was not in view could not be clicked, and of an "
        f"average ruled page only {percent(outcome.in_view['ruled'], 0)} was in view. The figures say which page would "
        f"have put the clicked article in front of the reader, not what the reader would have clicked on that page."
    )


def _pages(showcase: Showcase) -> Group:
    visit = showcase.visit
    where = "on the front page" if visit.reading is None else f"below article {visit.reading}"
    title = (
        f"Reader {visit.reader}, {moment(visit.time)}, {where}: {showcase.nominated} of {showcase.about} articles "
        f"nominated, {len(visit.shown)} really shown"
    )
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column("")
    for name, unit in (("(a) raw scores", "score"), ("(c) with rules", "value")):
        table.add_column(name, no_wrap=True)
        table.add_column("")
        table.add_column(unit, justify="right")
    table.add_column("better, held back by", style="dim")
    told = None
    for raw, ruled in zip(showcase.pages["raw"], showcase.pages["ruled"], strict=False):
        held = ruled.held_back.rule if ruled.held_back and ruled.held_back.item_id != told else ""
        told = ruled.held_back.item_id if ruled.held_back else told
        table.add_row(str(raw.slot), *_cell(raw, 2), *_cell(ruled, 4), held)
    return Group(Text(title), "", table, Text(LEGEND, style="dim"))


def _cell(cell: Cell, digits: int) -> Iterator[Text]:
    yield Text(f"{cell.item} {cell.line}", style=COLOURS[cell.line])
    marks = ("●" if cell.clicked else "") + ("✕" if cell.opened else "") + ("·" if cell.in_view else "")
    yield Text(marks, style="bold green" if cell.clicked else "red" if cell.opened else "dim")
    yield Text(f"{cell.utility:.{digits}f}")


def _measured(outcome: Outcome) -> Table:
    table = _table("Was the article that was really clicked on the page?")
    table.add_column("page of ten by")
    for name in ("hit rate, %", "95 % interval", "NDCG@10", "95 % interval"):
        table.add_column(name, justify="right")
    for name, ceiling in (("seen in the last 12 h", outcome.ceiling_about), ("nominated", outcome.ceiling_nominated)):
        table.add_row(f"ceiling: {name}", *_both(ceiling, 100, 1), "", "", style="dim")
    table.add_section()
    for one in outcome.measured:
        table.add_row(*_row(one), style="bold" if one.name in ARMS else "")
    return table


def _row(one: Measured) -> Iterator[str]:
    yield NAMES[one.name]
    yield from _both(one.hit_rate, 100, 1)
    yield from _both(one.ndcg, 1, 3)


def _both(interval: Interval, scale: float, digits: int) -> tuple[str, str]:
    return f"{scale * interval.estimate:.{digits}f}", ends(interval, scale, digits)


def _compared(outcome: Outcome) -> Table:
    table = _table("Differences on the same visits")
    table.add_column("")
    for name in ("hit rate, points", "95 % interval", "NDCG@10", "95 % interval"):
        table.add_column(name, justify="right")
    for one in outcome.compared:
        hit, gain = one.hit_rate, one.ndcg
        table.add_row(
            f"{short(one.name)} against {short(one.baseline)}",
            _clear(hit, signed(hit.estimate)),
            _clear(hit, ends(hit)),
            _clear(gain, signed(gain.estimate, 1, 3)),
            _clear(gain, ends(gain, 1, 3)),
        )
    return table


def _table(title: str) -> Table:
    return Table(
        title=f"\n[bold]{title}[/bold]", title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False
    )


def _clear(interval: Interval, text: str) -> Text:
    return Text(text, style="bold" if interval.excludes_zero else "")


def _shares(outcome: Outcome) -> Table:
    table = _table("Whose articles are on the page, % of slots")
    table.add_column("")
    for line in COLOURS:
        table.add_column(line, justify="right", style=COLOURS[line])
    table.add_column("really in view", justify="right")
    for arm, summary in outcome.summaries.items():
        shares = [f"{100 * line.share:.1f}" for line in summary.lines]
        table.add_row(NAMES[arm], *shares, f"{100 * outcome.in_view[arm]:.1f}")
    return table


def _mornings(outcome: Outcome) -> Table:
    table = _table("Clicks expected by each morning's calibration, over those that came")
    table.add_column("day")
    for line in COLOURS:
        table.add_column(line, justify="right", style=COLOURS[line])
        table.add_column("95 % interval", justify="right", style="dim")
    for of_day in last_days(outcome.mornings):
        cells = [
            text
            for one in of_day
            for text in (("–", "") if one.ratio is None else (f"{one.ratio.estimate:.2f}", ends(one.ratio, 1, 2)))
        ]
        table.add_row(day(of_day[0].day) + ("" if any(one.fitted for one in of_day) else " (a guess)"), *cells)
    return table


def _paced(outcome: Outcome) -> Text:
    share = next(line.share for line in outcome.summaries["paced"].lines if line.line == PACED)
    last = outcome.moves[-1].subsidy if outcome.moves else 0.0
    return Text(
        f"\n(d) gives {PACED} {percent(share)} of the slots (floor {percent(outcome.floor, 0)}); in the end, it is "
        f"lifted by {100 * last:.2f} clicks per 100 showings."
    )


def _rules(outcome: Outcome) -> Table:
    taken = percent(outcome.value_lost)
    table = _table(f"What the rules of (c) did; together they take {taken} of the value")
    table.add_column("rule")
    for name in ("bound on", "gave way", "takes value", "adds hits, points", "95 % interval"):
        table.add_column(name, justify="right")
    for rule in outcome.rules:
        table.add_row(
            rule.rule,
            percent(rule.pages),
            str(rule.relaxed),
            percent(rule.value_share, 2),
            _clear(rule.hit_rate, signed(rule.hit_rate.estimate, digits=2)),
            _clear(rule.hit_rate, ends(rule.hit_rate, digits=2)),
        )
    return table


def _times(outcome: Outcome) -> Table:
    table = _table("Time per page, milliseconds")
    table.add_column("")
    for name in ("half within", "99 in 100 within", "longest"):
        table.add_column(name, justify="right")
    for arm, summary in outcome.summaries.items():
        times = summary.times
        table.add_row(NAMES[arm], *(f"{one:.2f}" for one in (times.p50, times.p99, times.most)))
    return table
