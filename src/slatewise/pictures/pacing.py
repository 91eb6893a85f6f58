"""Pacing as a picture: how shares, or spending, go through a day, with a panel for each controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from slatewise.core.columns import Numbers
from slatewise.evaluate.day import BudgetDay, Day
from slatewise.pictures.svg import DARK, LIGHT, LINES, alone, drawn, placeholders

WIDE, TALL, LEFT, RIGHT, TOP, BETWEEN, BOTTOM = 6.6, 1.15, 0.6, 0.3, 1.05, 0.62, 0.55
"""Inches: a panel, and the room left and right of all, above the first, between two, and below the last."""
LETTER, LEAD = 0.095, 0.35
"""Inches that a letter of a legend takes, and what stands between two of its names."""
ROOM = 1.8
"""Largest share drawn, relative to the largest target."""
MOST = 4.0
"""Spending over its target above which a curve leaves its panel."""


class Panel(NamedTuple):
    """What is drawn of one controller.

    Attributes:
        name: Of the controller.
        told: What came of it, in a few words.
        series: (windows, curves) what is drawn over the hours.
    """

    name: str
    told: str
    series: Numbers


def picture(found: Day | BudgetDay) -> str:
    """Return the picture as a file of SVG, for light and dark."""
    if isinstance(found, Day):
        head, names, aims = "share of each line over the hours of a day", found.lines, found.targets
        panels = [
            Panel(arm.name, f"value {arm.kept:.3f} · fast swings {arm.swings.fast_rms:.2f}", arm.shares)
            for arm in found.arms
        ]
        return _drawn(head, names, aims, found.hours, panels, ROOM * float(aims.max()))
    head, names = "spending over its target, and the multiplier, by the hour", ("spending", "multiplier")
    panels = [
        Panel(arm.name, f"value {arm.kept:.3f} · error {arm.rmse:.2f}", np.stack([arm.spent, arm.asked], axis=1))
        for arm in found.arms
    ]
    return _drawn(head, names, np.ones(1), found.hours, panels, MOST)


def _drawn(
    head: str, names: tuple[str, ...], aims: Numbers, hours: Numbers, panels: list[Panel], highest: float
) -> str:
    """Return the picture of some panels."""
    colours = placeholders(f"line-{place}" for place in range(len(LINES)))
    width, height = LEFT + WIDE + RIGHT, TOP + len(panels) * TALL + (len(panels) - 1) * BETWEEN + BOTTOM
    with drawn(width, height, colours) as (figure, svg):
        figure.set_layout_engine("none")
        figure.text(LEFT / width, 1 - 0.33 / height, head, fontsize=12, color=colours["ink"])
        at = LEFT
        for place, name in enumerate(names):
            figure.text(at / width, 1 - 0.58 / height, name, fontsize=11, color=_colour(place, colours))
            at += LEAD + LETTER * len(name)
        for place, panel in enumerate(panels):
            bottom = height - TOP - TALL - place * (TALL + BETWEEN)
            axes = figure.add_axes((LEFT / width, bottom / height, WIDE / width, TALL / height))
            _curves(axes, panel, hours, aims, colours)
            axes.set_ylim(0, highest)
            axes.tick_params(axis="x", labelbottom=place == len(panels) - 1)
    light, dark = ({f"line-{place}": pair[side] for place, pair in enumerate(LINES)} for side in (0, 1))
    return alone(svg[0], LIGHT | light, DARK | dark)


def _curves(axes: Axes, panel: Panel, hours: Numbers, aims: Numbers, colours: Mapping[str, str]) -> None:
    """Draw one controller's curves, and what they aim at."""
    for place, curve in enumerate(panel.series.T):
        axes.plot(hours, curve, color=_colour(place, colours), lw=1.5, zorder=2)
    for place, aim in enumerate(aims.tolist()):
        axes.axhline(aim, color=_colour(place, colours), lw=0.9, ls=(0, (1.5, 2)), zorder=1)
    axes.set_title(panel.name, loc="left", fontsize=11, color=colours["ink"], pad=6)
    axes.set_title(panel.told, loc="right", fontsize=10, color=colours["soft"], pad=6)
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 4))
    axes.locator_params(axis="y", nbins=4)
    axes.tick_params(axis="y", colors=colours["soft"])
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _colour(place: int, colours: Mapping[str, str]) -> str:
    return colours[f"line-{place % len(LINES)}"]
