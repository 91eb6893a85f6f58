"""The trade-off as a picture: what pages gain in variety, over the value that they give up.

One panel for each column that was measured, and the policies as lines, each with its name at its end. What happened to
people on these pages may be drawn below, policy by policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression

from slatewise.core.columns import Numbers
from slatewise.evaluate.intervals import Interval
from slatewise.evaluate.tradeoff import Arm, Point, Tradeoff
from slatewise.pictures.svg import DARK, LIGHT, LINES, alone, drawn, placeholders

GIVEN_UP = 0.2
"""Share of value up to which curves are drawn; who gives up more has left the page."""

TICKS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2)

MARKERS = "os^DvP<X>"
NAMES = {"ild": "mean distance of two items", "entropy": "entropy, nats", "coverage": "share of items shown"}
"""What is drawn: of a column its first measure that has a name here; without columns, the last."""

WIDE, TALL, SMALL = 4.3, 3.9, 1.75
"""Inches: the width of a panel, its height, and the height of those below."""
LEFT, TOP, BOTTOM, BETWEEN = 0.75, 0.6, 0.65, 0.95
LEAD, LETTER = 0.5, 0.1
"""Inches right of a panel: up to the names, and for each of their letters."""
ROW = 2
"""Panels side by side."""
GAP_POINTS = 14.5
"""Points between names."""


class Outcomes(NamedTuple):
    """What came of the pages, measured for each user.

    Attributes:
        label: What was measured, such as `recall@20`.
        start: What it is at strength 0, the same for all policies.
        changes: Per policy and strength, what it is less or more than that.
    """

    label: str
    start: float
    changes: Sequence[Sequence[Interval]]


def picture(found: Tradeoff, outcomes: Outcomes | None = None) -> str:
    """Return the picture as a file of SVG, for light and dark.

    Args:
        found: The trade-off.
        outcomes: What to draw below, if anything.
    """
    colours = placeholders(f"line-{place}" for place in range(len(LINES)))
    panels = [*_measures(found.arms)] or [("", "coverage")]
    rows = -(-len(panels) // ROW)
    right = LEAD + LETTER * max(len(arm.name) for arm in found.arms)
    width = min(len(panels), ROW) * (LEFT + WIDE + right)
    below = 0.0 if outcomes is None else SMALL + BETWEEN + 0.4
    height = TOP + rows * TALL + (rows - 1) * BETWEEN + BOTTOM + below
    with drawn(width, height, colours) as (figure, svg):
        figure.set_layout_engine("none")
        for place, (column, measure) in enumerate(panels):
            left = LEFT + place % ROW * (LEFT + WIDE + right)
            bottom = height - TOP - TALL - place // ROW * (TALL + BETWEEN)
            axes = _panel(figure, left, bottom, WIDE, TALL)
            _curves(axes, found.arms, column, measure, colours)
        if outcomes is not None:
            _below(figure, found.arms, outcomes, colours)
    light, dark = ({f"line-{place}": pair[side] for place, pair in enumerate(LINES)} for side in (0, 1))
    return alone(svg[0], LIGHT | light, DARK | dark)


def _measures(arms: Sequence[Arm]) -> Iterator[tuple[str, str]]:
    """Yield what is drawn of each column that any page has a value for."""
    for column, measures in arms[0].points[0].columns.items():
        measure = next(name for name in measures if name in NAMES)
        if not np.isnan([_line(arm.points, column, measure)[1] for arm in arms]).all():
            yield column, measure


def _panel(figure: Figure, left: float, bottom: float, wide: float, tall: float) -> Axes:
    """Return axes with their place in inches."""
    width, height = figure.get_size_inches()
    return figure.add_axes((left / width, bottom / height, wide / width, tall / height))


def _colour(place: int, colours: Mapping[str, str]) -> str:
    return colours[f"line-{place % len(LINES)}"]


def _curves(axes: Axes, arms: Sequence[Arm], column: str, measure: str, colours: Mapping[str, str]) -> None:
    """Draw variety over value given up, with a name at the end of each line."""
    lines = [_line(arm.points, column, measure) for arm in arms]
    most = max(min(GIVEN_UP, max(np.max(given, initial=0) for given, _ in lines)), 0.01)
    ends = [_end(given, gained, most) for given, gained in lines]
    axes.set_xlim(-0.02 * most, most)
    inside = np.concatenate([gained[given <= most] for given, gained in lines] + [np.array([y for _, y in ends])])
    low, high = np.nanmin(inside), np.nanmax(inside)
    room = max(high - low, 1e-9)
    axes.set_ylim(low - 0.06 * room, high + 0.06 * room)
    for within in arms[0].within:
        if within.share < most:
            axes.axvline(within.share, color=colours["faint"], lw=1, zorder=0)
    for place, (given, gained) in enumerate(lines):
        dashes = (0, (4, 1.5)) if place % 2 else "-"
        axes.plot(given, gained, color=_colour(place, colours), lw=1.8, ls=dashes, zorder=2)
        marker = MARKERS[place % len(MARKERS)]
        axes.plot(given, gained, marker, color=_colour(place, colours), ms=4.5, mew=0, zorder=3)
    _names(axes, [arm.name for arm in arms], ends, most, colours)
    if len(arms) == 1:
        _strengths(axes, arms[0].points, *lines[0], most, colours)
    title = f"{column}: {NAMES[measure]}" if column else NAMES[measure]
    axes.set_title(title, loc="left", fontsize=12, color=colours["ink"], pad=12)
    axes.set_xlabel("value given up, %")
    axes.set_xticks([tick for tick in TICKS if tick <= most])
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", colors=colours["soft"])
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _line(points: Sequence[Point], column: str, measure: str) -> tuple[Numbers, Numbers]:
    """Return value given up, 0 where that is not known, and what is gained."""
    given = np.array([0.0 if isnan(point.kept) else 1 - point.kept for point in points])
    return given, np.array([point.columns[column][measure] if column else point.coverage for point in points])


def _end(given: Numbers, gained: Numbers, most: float) -> tuple[float, float]:
    """Return where a line leaves the panel, or ends within it."""
    beyond = np.flatnonzero(given > most)
    if not len(beyond) or beyond[0] == 0:
        return float(given[-1]), float(gained[-1])
    last = beyond[0] - 1
    part = (most - given[last]) / (given[last + 1] - given[last])
    return most, float(gained[last] + part * (gained[last + 1] - gained[last]))


def _names(
    axes: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], most: float, colours: Mapping[str, str]
) -> None:
    """Write names beside the panel, as near to the ends of their lines as they fit, and lead to them."""
    low, high = axes.get_ylim()
    gap = GAP_POINTS / (72 * TALL) * (high - low)
    order = sorted(range(len(ends)), key=lambda place: ends[place][1])
    steps = gap * np.arange(len(ends))
    spread = isotonic_regression(np.array([ends[place][1] for place in order]) - steps).x
    spread = np.clip(spread, low, max(high - steps[-1], low)) + steps
    for place, y in zip(order, spread.tolist(), strict=True):
        colour = _colour(place, colours)
        axes.plot(
            [ends[place][0], most * 1.035, most * 1.06], [ends[place][1], y, y],
            color=colour, lw=0.8, alpha=0.7, clip_on=False, zorder=1,
        )  # fmt: skip
        axes.plot([most * 1.075], [y], MARKERS[place % len(MARKERS)], color=colour, ms=5, mew=0, clip_on=False)
        axes.text(most * 1.1, y, names[place], color=colour, va="center_baseline", fontsize=11)


def _strengths(
    axes: Axes, points: Sequence[Point], given: Numbers, gained: Numbers, most: float, colours: Mapping[str, str]
) -> None:
    """Write strengths at the points of a line that has the panel to itself, where there is room."""
    low, high = axes.get_ylim()
    last = (-1.0, -1.0)
    for point, x, y in zip(points, given.tolist(), gained.tolist(), strict=True):
        at = (x / most * WIDE, (y - low) / (high - low) * TALL)
        if x <= most and np.hypot(at[0] - last[0], at[1] - last[1]) > 0.35:
            label = f"strength {point.strength:g}" if last[0] < 0 else f"{point.strength:g}"
            axes.annotate(label, (x, y), (6, -11), textcoords="offset points", fontsize=9.5, color=colours["soft"])
            last = at


def _below(figure: Figure, arms: Sequence[Arm], outcomes: Outcomes, colours: Mapping[str, str]) -> None:
    """Draw what came of the pages, a small panel for each policy, all on the same axes."""
    width, height = figure.get_size_inches()
    wide = (width - LEFT - 0.3) / len(arms)
    start = outcomes.start
    ends = np.array([(one.low, one.high) for row in outcomes.changes for one in row]) + start
    for place, (arm, row) in enumerate(zip(arms, outcomes.changes, strict=True)):
        axes = _panel(figure, LEFT + place * wide, BOTTOM, wide - 0.16, SMALL)
        strengths = [point.strength for point in arm.points]
        colour = _colour(place, colours)
        axes.axhline(start, color=colours["soft"], lw=0.9, ls=(0, (2, 2)))
        low, high = ([start + getattr(one, end) for one in row] for end in ("low", "high"))
        axes.fill_between(strengths, low, high, color=colour, alpha=0.25, lw=0)
        axes.plot(strengths, [start + one.estimate for one in row], color=colour, lw=1.8)
        held = arm.within[-1].strength
        if held is not None:
            level = start + row[strengths.index(held)].estimate
            axes.plot([held], [level], MARKERS[place % len(MARKERS)], color=colour, ms=6, mew=0)
        axes.set_title(arm.name, fontsize=11, color=colour, loc="left", pad=5)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(min(0.0, np.nanmin(ends)), 1.05 * np.nanmax(ends))
        axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(axis="y", colors=colours["soft"], labelleft=not place)
        axes.grid(axis="y")
    title = f"{outcomes.label} over strength ({start:.3f} at strength 0)"
    figure.text(LEFT / width, (BOTTOM + SMALL + 0.47) / height, title, fontsize=12)
    share = f"{100 * arms[0].within[-1].share:g} %"
    told = f"band: 95 % interval of the change from strength 0, by user; marker: gives up at most {share} of value"
    figure.text(LEFT / width, 0.14 / height, told, fontsize=9.5, color=colours["soft"])
