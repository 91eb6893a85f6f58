"""A landscape as a picture: how likely scores win, up to where that is known, and how right it is.

Left, win probability over score: a line for each context, and the mean of all requests. What is beyond the largest
score that was seen is dashed, on another ground. Right, rows in bins of equal size: the share that won over the win
probability that they were given, with intervals; on the diagonal all is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slatewise.core.columns import Numbers
from slatewise.evaluate.landscape import Report
from slatewise.pictures.svg import DARK, LIGHT, LINES, alone, drawn, placeholders

COLOURS = LINES[:4]
"""Colours of curves on light and on dark; told apart by their names, too."""

WIDE, TALL, LEFT, TOP, BOTTOM, BETWEEN, RIGHT = 4.6, 3.6, 0.75, 0.6, 0.65, 0.95, 0.3
"""Inches."""

ROOM = 0.045
"""Least distance of two names, as a share of the panel's height."""


class Curves(NamedTuple):
    """What is drawn of a line.

    Attributes:
        line: Its name.
        scores: (g,) rising scores, beyond the limit as well.
        wins: Name of a context to (g,) win probabilities, at most as many as there are colours.
        limit: The largest score at which they are known.
    """

    line: str
    scores: Numbers
    wins: Mapping[str, Numbers]
    limit: float


def picture(curves: Curves, found: Report) -> str:
    """Return the picture as a file of SVG, for light and dark.

    Args:
        curves: How likely scores win.
        found: How right that is.
    """
    colours = placeholders(f"line-{place}" for place in range(len(COLOURS)))
    width, height = LEFT + 2 * WIDE + BETWEEN + RIGHT, TOP + TALL + BOTTOM
    with drawn(width, height, colours) as (figure, svg):
        figure.set_layout_engine("none")
        _wins(_panel(figure, LEFT), curves, colours)
        _calibration(_panel(figure, LEFT + WIDE + BETWEEN), found, colours)
    light, dark = ({f"line-{place}": pair[side] for place, pair in enumerate(COLOURS)} for side in (0, 1))
    return alone(svg[0], LIGHT | light, DARK | dark)


def _panel(figure: Figure, left: float) -> Axes:
    """Return axes with their place in inches."""
    width, height = figure.get_size_inches()
    return figure.add_axes((left / width, BOTTOM / height, WIDE / width, TALL / height))


def _wins(axes: Axes, curves: Curves, colours: Mapping[str, str]) -> None:
    """Draw win probability over score, with a name on each line where it is known last."""
    known = curves.scores <= curves.limit
    axes.axvspan(curves.limit, curves.scores[-1], color=colours["faint"], lw=0, alpha=0.6)
    at = int(np.flatnonzero(known)[-1])
    places = _apart([float(wins[at]) for wins in curves.wins.values()])
    for place, ((name, wins), y) in enumerate(zip(curves.wins.items(), places, strict=True)):
        colour = colours[f"line-{place % len(COLOURS)}"]
        axes.plot(curves.scores[known], wins[known], color=colour, lw=1.8)
        axes.plot(curves.scores[at:], wins[at:], color=colour, lw=1.2, ls=(0, (3, 2)))
        axes.annotate(
            name, (curves.limit, y), (6, -9),
            textcoords="offset points", color=colour, fontsize=10, va="center_baseline",
        )  # fmt: skip
    axes.text(
        curves.scores[-1], 0.015, f"beyond {curves.limit:g}: not seen", color=colours["soft"], fontsize=9.5, ha="right"
    )
    axes.set_xlim(0.0, curves.scores[-1])
    _finish(axes, f"{curves.line}: win probability", "score", colours)


def _apart(heights: Sequence[float]) -> list[float]:
    """Return the heights, moved up where they are too close to the one below."""
    found = list(heights)
    last = -1.0
    for place in sorted(range(len(heights)), key=lambda place: heights[place]):
        last = found[place] = max(heights[place], last + ROOM)
    return found


def _calibration(axes: Axes, found: Report, colours: Mapping[str, str]) -> None:
    """Draw the share that won over the win probability that was given."""
    axes.plot([0, 1], [0, 1], color=colours["soft"], lw=0.9, ls=(0, (2, 2)))
    for one in found.calibration:
        axes.plot([one.expected] * 2, [one.low, one.high], color=colours["line-0"], lw=1.4, alpha=0.6)
    expected, won = ([getattr(one, name) for one in found.calibration] for name in ("expected", "won"))
    axes.plot(expected, won, "o", color=colours["line-0"], ms=5, mew=0)
    axes.set_xlim(0.0, 1.0)
    _finish(axes, "share that won, with 95 % intervals", "win probability at the own score", colours)


def _finish(axes: Axes, title: str, below: str, colours: Mapping[str, str]) -> None:
    axes.set_ylim(0.0, 1.0)
    axes.set_title(title, loc="left", fontsize=12, color=colours["ink"], pad=12)
    axes.set_xlabel(below)
    axes.tick_params(axis="y", colors=colours["soft"])
    axes.grid(axis="y")
    axes.set_axisbelow(True)
