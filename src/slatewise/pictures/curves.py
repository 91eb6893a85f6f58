"""Learning as a picture: loss and score of every epoch, phase by phase.

Left, the mean loss over the lists that are learned from; right, the score that a judge finds on others. A dot is an
epoch; the filled one of each phase has the weights that were kept. Phases have losses of their own, so from one to
the next a line is dotted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from slatewise.pictures.svg import DARK, LIGHT, LINES, alone, drawn, placeholders

WIDE, TALL = 4.6, 3.2
"""Inches: a panel."""
LEFT, TOP, BOTTOM, BETWEEN, RIGHT = 0.75, 0.85, 0.65, 0.9, 0.3


class Curve(NamedTuple):
    """A phase of learning.

    Attributes:
        name: What was learned in it; empty if there is only one.
        loss: Of each epoch.
        score: Of each epoch; larger is better.
    """

    name: str
    loss: Sequence[float]
    score: Sequence[float]


def picture(curves: Sequence[Curve], *, score: str = "score") -> str:
    """Return the picture as a file of SVG, for light and dark.

    Args:
        curves: Phases in their order, each with an epoch or more.
        score: What the score is.
    """
    names = [*dict.fromkeys(curve.name for curve in curves)]
    colours = placeholders(f"line-{place}" for place in range(len(names)))
    width, height = LEFT + 2 * WIDE + BETWEEN + RIGHT, TOP + TALL + BOTTOM
    with drawn(width, height, colours) as (figure, svg):
        figure.set_layout_engine("none")
        for place, title in enumerate(("loss", score)):
            left = LEFT + place * (WIDE + BETWEEN)
            axes = figure.add_axes((left / width, BOTTOM / height, WIDE / width, TALL / height))
            lines = [curve.score if place else curve.loss for curve in curves]
            _panel(axes, f"{title} {'on other lists' if place else 'while learning'}", curves, lines, names, colours)
    light, dark = ({f"line-{place}": LINES[place % len(LINES)][side] for place in range(len(names))} for side in (0, 1))
    return alone(svg[0], LIGHT | light, DARK | dark)


def _panel(
    axes: Axes,
    title: str,
    curves: Sequence[Curve],
    lines: Sequence[Sequence[float]],
    names: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    first = 1
    whole = [value for line in lines for value in line]
    epochs = len(whole)
    axes.plot(np.arange(1, epochs + 1), whole, color=colours["soft"], lw=0.9, ls=(0, (1, 2)), zorder=1)
    axes.set_xlim(0.6, epochs + 0.4)
    for place, (curve, line) in enumerate(zip(curves, lines, strict=True)):
        at, colour = np.arange(first, first + len(line)), colours[f"line-{names.index(curve.name)}"]
        best = int(np.argmax(curve.score))
        axes.plot(at, line, color=colour, lw=1.8, zorder=2)
        axes.plot(at, line, "o", color=colour, mfc=colours["faint"], ms=5.5, mew=1.4, zorder=3)
        axes.plot(at[best], line[best], "o", color=colour, ms=5.5, mew=1.4, zorder=4)
        if place and curves[place - 1].name != curve.name:
            axes.axvline(first - 0.5, color=colours["faint"], lw=1, zorder=0)
        if curve.name and (not place or curves[place - 1].name != curve.name):
            axes.text(
                max(first - 0.42, 0.65),
                1.03,
                curve.name,
                transform=axes.get_xaxis_transform(),
                color=colour,
                fontsize=10,
            )
        first += len(line)
    axes.set_title(title, loc="left", fontsize=12, color=colours["ink"], pad=26)
    axes.set_xlabel("epoch; filled: the weights that were kept")
    axes.xaxis.set_major_locator(MaxNLocator(min(epochs, 8), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", colors=colours["soft"])
    axes.grid(axis="y")
    axes.set_axisbelow(True)
