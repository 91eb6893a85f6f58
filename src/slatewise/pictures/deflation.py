"""Deflation as a picture: top scores over rounds of best responses, and how many of them are low.

Two panels, and the ways of charging as lines, each with its name at its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression

from slatewise.evaluate.deflation import Rounds
from slatewise.pictures.svg import DARK, LIGHT, LINES, alone, drawn, placeholders

WIDE, TALL = 3.6, 3.4
"""Inches: a panel."""
LEFT, TOP, BOTTOM, BETWEEN, RIGHT = 0.65, 0.6, 0.85, 0.75, 3.7
GAP = 0.065
"""Share of a panel's height between names."""


def picture(arms: Mapping[str, Rounds]) -> str:
    """Return the picture as a file of SVG, for light and dark.

    Args:
        arms: Name to what became of scores.
    """
    colours = placeholders(f"line-{place}" for place in range(len(LINES)))
    width, height = LEFT + 2 * WIDE + BETWEEN + RIGHT, TOP + TALL + BOTTOM
    threshold = next(iter(arms.values())).threshold
    panels = (
        ("mean top score, first round 100", [100 * np.array(one.top) / one.top[0] for one in arms.values()], 105.0),
        (f"top score below {threshold:g}, % of pages", [100 * np.array(one.low) for one in arms.values()], 0.0),
    )
    with drawn(width, height, colours) as (figure, svg):
        figure.set_layout_engine("none")
        for place, (title, series, most) in enumerate(panels):
            left = LEFT + place * (WIDE + BETWEEN)
            axes = figure.add_axes((left / width, BOTTOM / height, WIDE / width, TALL / height))
            _panel(axes, title, series, most, colours)
        _names(figure.axes[-1], arms, panels[-1][1], colours)
        figure.text(LEFT / width, 0.16 / height, _told(arms), fontsize=9.5, color=colours["soft"])
    light, dark = ({f"line-{place}": pair[side] for place, pair in enumerate(LINES)} for side in (0, 1))
    return alone(svg[0], LIGHT | light, DARK | dark)


def _told(arms: Mapping[str, Rounds]) -> str:
    """Return what the lines do not show."""
    welfare = {name: one.welfare[-1] for name, one in arms.items()}
    worst = min(welfare, key=welfare.__getitem__)
    told = f"value of the winners over that of the best: {max(welfare.values()):.3f} at most"
    return f"{told}, {welfare[worst]:.3f} for: {worst}"


def _panel(axes: Axes, title: str, series: Sequence[np.ndarray], most: float, colours: Mapping[str, str]) -> None:
    for place, line in enumerate(series):
        dashes = (0, (4, 1.5)) if place % 2 else "-"
        axes.plot(np.arange(len(line)), line, color=colours[f"line-{place}"], lw=1.8, ls=dashes, zorder=2 + place)
    axes.set_title(title, loc="left", fontsize=12, color=colours["ink"], pad=12)
    axes.set_xlabel("rounds of answers")
    axes.set_xlim(0, len(series[0]) - 1)
    axes.set_ylim(0, most or None)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="y", colors=colours["soft"])
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _names(axes: Axes, arms: Mapping[str, Rounds], series: Sequence[np.ndarray], colours: Mapping[str, str]) -> None:
    """Write names beside the last panel, as near to the ends of their lines as they fit."""
    high = axes.get_ylim()[1]
    ends = np.array([line[-1] for line in series]) / high
    order = np.argsort(ends, kind="stable")
    steps = GAP * np.arange(len(ends))
    spread = np.clip(isotonic_regression(ends[order] - steps).x, 0, None) + steps
    names, last = [*arms], len(series[0]) - 1
    for place, y in zip(order.tolist(), (spread * high).tolist(), strict=True):
        colour = colours[f"line-{place}"]
        axes.plot(
            [last, last * 1.04, last * 1.07], [ends[place] * high, y, y], color=colour, lw=0.8, alpha=0.7, clip_on=False
        )
        drift = f"{100 * arms[names[place]].drift:+.0f} %".replace("-", "−").replace("+0 ", "±0 ")
        told = f"{names[place]} (scores {drift})"
        axes.text(last * 1.09, y, told, color=colour, va="center_baseline", fontsize=11)
