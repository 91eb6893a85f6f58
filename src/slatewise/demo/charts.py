"""The report's pictures, as SVG to be put inline, in the page's own font and colours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num

from slatewise.demo.arms import ARMS, PACED
from slatewise.demo.outcome import Measured, Outcome
from slatewise.demo.wording import NAMES, short
from slatewise.evaluate.intervals import Interval
from slatewise.pictures.svg import drawn, placeholders

COLOUR = placeholders(("for_you", "trending", "fresh", "raw", "blended", "ruled", "paced", "random"))
"""Names of the CSS variables that pictures use, and the colours that stand for them while drawing."""


SMOOTH = 5
"""Windows that a share is smoothed over."""


def hit_rates(outcome: Outcome) -> str:
    """Draw the hit rate of every way of making pages, with its interval."""
    intervals = [one.hit_rate for one in outcome.measured]
    return _dots(outcome.measured, intervals, 100, "visits whose click is on the page, %")


def ndcgs(outcome: Outcome) -> str:
    """Draw NDCG@10 of every way of making pages, with its interval."""
    return _dots(outcome.measured, [one.ndcg for one in outcome.measured], 1, "NDCG@10")


def shares(outcome: Outcome) -> str:
    """Draw how the lines share the slots under each policy."""
    with _drawn(5.2, 3.2) as (axes, svg):
        for row, arm in enumerate(ARMS):
            start = 0.0
            for line in outcome.summaries[arm].lines:
                width = 100 * line.share
                axes.barh(row, max(width - 0.4, 0), left=start, height=0.56, color=COLOUR[line.line])
                if width > 7:
                    axes.text(start + width / 2, row, f"{width:.0f}", ha="center", va="center", color="#ffffff")
                start += width
        _rows(axes, [NAMES[arm] for arm in ARMS])
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of slots, %")
    return svg[0]


def running(outcome: Outcome) -> str:
    """Draw the hit rate of each policy over all visits up to a time."""
    curve = outcome.curve
    times = [datetime.fromtimestamp(time, UTC) for time in curve["time"]]
    with _drawn(5.2, 2.9) as (axes, svg):
        start = len(times) // 20  # the first few visits jump about
        for maker in ("random", *ARMS):
            axes.plot(date2num(times[start:]), 100 * np.array(curve[maker][start:]), color=COLOUR[maker], lw=2)
        axes.set_ylabel("hit rate so far, %")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.tick_params(axis="y", colors=COLOUR["soft"])
        axes.xaxis.set_major_locator(AutoDateLocator(minticks=2, maxticks=6))
        axes.xaxis.set_major_formatter(DateFormatter("%d %b"))
        axes.margins(x=0.01)
    return svg[0]


def pacing(outcome: Outcome) -> str:
    """Draw the share of slots that the paced line had, smoothed, its floor, and the subsidy that it took."""
    moves = outcome.moves
    times = date2num([datetime.fromtimestamp(move.time, UTC) for move in moves])
    shares = 100 * np.array([move.share for move in moves])
    smooth = np.array([shares[max(place - SMOOTH + 1, 0) : place + 1].mean() for place in range(len(shares))])
    so_far = np.cumsum(shares) / np.arange(1, len(shares) + 1)
    with drawn(10.8, 3.4, COLOUR) as (figure, svg):
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2)
        left.plot(times, shares, ".", color=COLOUR[PACED], alpha=0.35, ms=4)
        left.plot(times, smooth, color=COLOUR[PACED], lw=2)
        left.plot(times, so_far, color=COLOUR["ink"], lw=1.4)
        left.axhline(100 * outcome.floor, color=COLOUR["paced"], lw=1.4, ls=(0, (4, 3)))
        left.set_ylabel("share of slots, %")
        right.step(times, [100 * move.subsidy for move in moves], where="post", color=COLOUR["paced"], lw=2)
        right.set_ylabel("subsidy, clicks per 100 showings")
        for axes in (left, right):
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(AutoDateLocator(minticks=2, maxticks=6))
            axes.xaxis.set_major_formatter(DateFormatter("%d %b"))
    return svg[0]


def differences(outcome: Outcome) -> str:
    """Draw the differences of hit rates, with their intervals."""
    with _drawn(5.2, 2.9) as (axes, svg):
        axes.axvline(0, color=COLOUR["soft"], lw=1.2)
        for row, one in enumerate(outcome.compared):
            _dot(axes, row, one.hit_rate, 100, COLOUR[one.name])
        _rows(axes, [f"{short(one.name)} − {short(one.baseline)}" for one in outcome.compared])
        axes.set_xlabel("difference of hit rates, points")
        axes.grid(axis="x")
    return svg[0]


def _dots(measured: tuple[Measured, ...], intervals: list[Interval], scale: float, label: str) -> str:
    with _drawn(5.2, 2.9) as (axes, svg):
        for row, (one, interval) in enumerate(zip(measured, intervals, strict=True)):
            _dot(axes, row, interval, scale, COLOUR[one.name])
        _rows(axes, [NAMES[one.name] for one in measured])
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        axes.grid(axis="x")
    return svg[0]


def _dot(axes: Axes, row: int, interval: Interval, scale: float, colour: str) -> None:
    axes.plot([scale * interval.low, scale * interval.high], [row, row], color=colour, lw=5, alpha=0.35)
    axes.plot([scale * interval.estimate], [row], "o", color=colour, ms=7)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_axisbelow(True)


@contextmanager
def _drawn(width: float, height: float) -> Iterator[tuple[Axes, list[str]]]:
    """Give axes to draw on; the picture is in the list when the block ends."""
    with drawn(width, height, COLOUR) as (figure, svg):
        figure.set_layout_engine("constrained")
        yield figure.add_subplot(), svg
