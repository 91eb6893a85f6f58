"""Whether what was predicted came true, line by line: a picture for light and dark.

Each panel has showings in 20 bins of equal mass: what was predicted, and how often it happened, with intervals. The
band is where bins of a perfect model would be, 90 times of 100, on as many showings; points within it say nothing
against the map. Below is where predictions are. Axes are logarithmic, as events are rare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from scipy.stats import beta

from slatewise.core.columns import Numbers
from slatewise.evaluate.calibration import binned, ece, pcoc, perfect_ece, perfect_rates
from slatewise.pictures.svg import DARK, LIGHT, LINES, alone, drawn, placeholders

WIDE, TALL, LOW = 3.9, 3.3, 0.75
"""Inches: the width of a panel, its height, and the height of what is below it."""
LEFT, TOP, BOTTOM, BETWEEN, GAP = 1.05, 0.85, 1.1, 1.4, 0.12
ROW = 2
"""Panels side by side."""

SURE = 0.9
"""Of intervals and bands."""
BARS = 40
DECADES = 1e3
"""Most that an axis spans, as a factor."""


class Reliability(NamedTuple):
    """Predictions of one line, and what happened.

    Attributes:
        before: (n,) scores as they came; None if they are no probabilities.
        after: (n,) what the map makes of them.
        outcome: (n,) 1 if the event happened, else 0.
    """

    before: Numbers | None
    after: Numbers
    outcome: Numbers


def picture(lines: Mapping[str, Reliability]) -> str:
    """Return the picture as a file of SVG, for light and dark.

    Args:
        lines: Line to its predictions.
    """
    colours = placeholders(["after"])
    columns, rows = min(len(lines), ROW), -(-len(lines) // ROW)
    high = TALL + GAP + LOW
    width = columns * (LEFT + WIDE) + 0.3
    height = TOP + rows * high + (rows - 1) * BETWEEN + BOTTOM
    with drawn(width, height, colours) as (figure, svg):
        figure.set_layout_engine("none")
        for place, (name, line) in enumerate(lines.items()):
            left = LEFT + place % ROW * (LEFT + WIDE)
            top = height - TOP - place // ROW * (high + BETWEEN)
            _panel(figure, name, line, left, top, colours)
        _legend(figure, colours)
    light, dark = ({"after": colour} for colour in LINES[0])
    return alone(svg[0], LIGHT | light, DARK | dark)


def _panel(figure: Figure, name: str, line: Reliability, left: float, top: float, colours: Mapping[str, str]) -> None:
    """Draw a line's panel, its upper left corner given in inches from below."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, (top - TALL) / height, WIDE / width, TALL / height))
    below = figure.add_axes((left / width, (top - TALL - GAP - LOW) / height, WIDE / width, LOW / height))
    found = binned(line.after, line.outcome)
    events = found.rate * found.shown
    low = beta.ppf((1 - SURE) / 2, events + 0.5, found.shown - events + 0.5)
    high = beta.ppf((1 + SURE) / 2, events + 0.5, found.shown - events + 0.5)
    chance = np.quantile(perfect_rates(line.after), [(1 - SURE) / 2, (1 + SURE) / 2], axis=0)
    most = 1.4 * max(high.max(), chance[1].max())
    floor = max(0.5 * min(found.predicted.min(), np.min(found.rate[events > 0], initial=1.0)), most / DECADES)
    ends = (max(0.8 * found.predicted.min(), found.predicted.max() / DECADES), 1.25 * found.predicted.max())
    if line.before is not None:
        raw = binned(line.before, line.outcome)
        some = raw.rate > 0
        axes.plot(raw.predicted[some], raw.rate[some], "o", ms=4.5, mfc="none", mec=colours["soft"], mew=1.1, zorder=2)
        ends = (
            min(ends[0], max(0.8 * raw.predicted.min(), ends[1] / DECADES)),
            max(ends[1], 1.25 * raw.predicted.max()),
        )
    axes.fill_between(
        found.predicted, np.maximum(chance[0], floor), np.maximum(chance[1], floor),
        color=colours["faint"], lw=0, zorder=0,
    )  # fmt: skip
    axes.plot(ends, ends, color=colours["soft"], lw=0.9, ls=(0, (2, 2)), zorder=1)
    shown = np.maximum(found.rate, floor)
    axes.vlines(found.predicted, np.maximum(low, floor), high, color=colours["after"], lw=1.1, alpha=0.6, zorder=3)
    some = events > 0
    axes.plot(found.predicted[some], shown[some], "o", color=colours["after"], ms=5, mew=0, zorder=4)
    none = ~some & (found.predicted > ends[0])
    axes.plot(found.predicted[none], shown[none], "v", color=colours["after"], ms=5, mew=0, zorder=4, clip_on=False)
    _scales(axes, below, ends, (floor, most), colours)
    _histogram(below, line, colours)
    told = perfect_ece(line.after)
    base = line.outcome.mean()
    axes.set_title(name, loc="left", fontsize=12, color=colours["ink"], pad=36)
    figure.text(
        left / width,
        (top + 0.09) / height,
        f"{line.outcome.sum():,.0f} events of {len(line.outcome):,} showings; predicted / observed "
        f"{pcoc(line.after, line.outcome):.3f};\n"
        f"ECE {ece(line.after, line.outcome) / base:.0%} of the rate, if perfect {told.low / base:.0%} to "
        f"{told.high / base:.0%}",
        fontsize=9.5,
        color=colours["soft"],
    )


def _scales(
    axes: Axes, below: Axes, across: tuple[float, float], up: tuple[float, float], colours: Mapping[str, str]
) -> None:
    for one in (axes, below):
        one.set_xscale("log")
        one.set_xlim(*across)
        one.xaxis.set_minor_locator(NullLocator())
        one.xaxis.set_major_locator(_ticks(across))
        one.xaxis.set_major_formatter(lambda value, _: _told(value))
    axes.set_yscale("log")
    axes.set_ylim(*up)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(_ticks(up))
    axes.yaxis.set_major_formatter(lambda value, _: _told(value))
    axes.tick_params(axis="x", labelbottom=False, length=0)
    axes.tick_params(axis="y", colors=colours["soft"])
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_ylabel("happened")
    below.set_xlabel("predicted")
    below.tick_params(axis="x", colors=colours["soft"])
    below.set_yticks([])


def _ticks(ends: tuple[float, float]) -> LogLocator:
    """Return ticks at powers of ten, with 2 and 5 where there are few of these."""
    return LogLocator(subs=(1.0,) if np.log10(ends[1] / ends[0]) > 3 else (1.0, 2.0, 5.0), numticks=20)


def _told(value: float) -> str:
    return f"{100 * value:.3g} %"


def _histogram(below: Axes, line: Reliability, colours: Mapping[str, str]) -> None:
    edges = np.geomspace(*below.get_xlim(), BARS + 1)
    counts = np.histogram(line.after, edges)[0]
    below.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours["after"], alpha=0.45, lw=0)
    if line.before is not None:
        below.stairs(np.histogram(line.before, edges)[0], edges, color=colours["soft"], lw=1.0)


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    width, height = figure.get_size_inches()
    told = "filled: after the map, with intervals of 90 %; hollow: before; triangle: no event"
    band = "band: where bins of a perfect model would be, 90 times of 100; below: where predictions are"
    for row, text in enumerate((told, band)):
        figure.text(0.2 / width, (0.36 - 0.19 * row) / height, text, fontsize=9.5, color=colours["soft"], va="center")
