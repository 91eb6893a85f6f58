"""Rewards of a request's pages by the slots of their ads: what a decoder expects, beside what is true.

Two panels on one scale. A cell above the diagonal is of two ads, by their slots, and one on the diagonal of one ad; its
number is what the best of such pages is worth, and its colour how that compares with all others. Frames say which pages
were served and which would be best; below, what is expected of each and what comes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from slatewise.core.columns import Numbers
from slatewise.learn.adfeed_pages import Landscape
from slatewise.pictures.svg import DARK, LIGHT, LINES, alone, drawn, placeholders

CELL = 0.43
"""Inches: a cell."""
LEFT, TOP, BETWEEN, BOTTOM, RIGHT = 0.75, 0.75, 0.85, 0.85, 0.3
ROW = 0.24
"""Inches: a line of text."""
PALEST, STRONGEST = 0.04, 0.72
"""How much of the colour the least and the largest worth have."""
DASHES = ("-", (0, (3.5, 1.8)), (0, (1, 1.6)))
"""Of frames."""
WIDEST, INSIDE = 0.96, 0.13
"""Of a cell: the side of a frame, and how much less one has that stands in another."""


def picture(found: Landscape) -> str:
    """Return the picture as a file of SVG, for light and dark.

    Args:
        found: What pages are worth.
    """
    frames = {name: place + 1 for place, name in enumerate(found.marks)}
    colours = placeholders(["worth", *(f"frame-{place}" for place in frames.values())])
    side = CELL * len(found.slots)
    below = BOTTOM + ROW * (len(found.marks) + 2)
    width, height = LEFT + 2 * side + BETWEEN + RIGHT, TOP + side + below
    with drawn(width, height, colours) as (figure, svg):
        figure.set_layout_engine("none")
        for place, (title, worth) in enumerate((("expected by the decoder", found.predicted), ("true", found.true))):
            left = LEFT + place * (side + BETWEEN)
            axes = figure.add_axes((left / width, below / height, side / width, side / height))
            _panel(axes, title, worth, found, frames, colours)
        _told(figure, found, frames, colours)
    sides: list[dict[str, str]] = []
    for shade in (0, 1):
        own = {f"frame-{place}": LINES[place][shade] for place in frames.values()}
        sides.append({"worth": LINES[0][shade], **own})
    return alone(svg[0], LIGHT | sides[0], DARK | sides[1])


def _panel(
    axes: Axes, title: str, worth: Numbers, found: Landscape, frames: Mapping[str, int], colours: Mapping[str, str]
) -> None:
    """Draw cells; the slot of the upper ad goes down, that of the lower one goes right."""
    slots = found.slots
    both = np.stack([found.predicted, found.true])
    low, high = np.nanmin(both), np.nanmax(both)
    axes.set_xlim(-0.5, len(slots) - 0.5)
    axes.set_ylim(len(slots) - 0.5, -0.5)
    for row, column in np.argwhere(~np.isnan(worth)).tolist():
        value = worth[row, column]
        share = PALEST + (STRONGEST - PALEST) * (value - low) / max(high - low, 1e-9)
        cell = Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=colours["worth"], alpha=share, lw=0)
        axes.add_patch(cell)
        axes.text(column, row, f"{value:.2f}", ha="center", va="center_baseline", fontsize=8.5)
    framed: dict[tuple[int, ...], int] = {}
    for name, (where, _, _) in found.marks.items():
        if len(where) in (1, 2):
            framed[where] = framed.get(where, -1) + 1
            at = slots.index(where[0]), slots.index(where[-1])
            _frame(axes, at, WIDEST - INSIDE * framed[where], frames[name], colours)
    axes.set_title(title, loc="left", fontsize=12, color=colours["ink"], pad=12)
    axes.set_xticks(range(len(slots)), [str(slot) for slot in slots])
    axes.set_yticks(range(len(slots)), [str(slot) for slot in slots])
    axes.tick_params(length=0, colors=colours["soft"])
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel("slot of the lower ad")
    axes.set_ylabel("slot of the upper ad")
    axes.text(0.02, 0.06, "on the diagonal: one ad", transform=axes.transAxes, fontsize=9.5, color=colours["soft"])


def _frame(axes: Axes, at: tuple[int, int], size: float, place: int, colours: Mapping[str, str]) -> None:
    dashes = DASHES[(place - 1) % len(DASHES)]
    corner = at[1] - size / 2, at[0] - size / 2
    frame = Rectangle(corner, size, size, fill=False, ec=colours[f"frame-{place}"], lw=1.8, ls=dashes, clip_on=False)
    axes.add_patch(frame)


def _told(figure: Figure, found: Landscape, frames: Mapping[str, int], colours: Mapping[str, str]) -> None:
    """Write what was served: slots of its ads, what is expected of it, and what it is worth."""
    width, height = figure.get_size_inches()
    columns = [LEFT, LEFT + 1.7, LEFT + 3.6, LEFT + 4.8]
    rows = [("", "slots of ads", "expected", "true")]
    rows += [
        (name, ", ".join(map(str, where)) or "none", f"{expected:.3f}", f"{true:.3f}")
        for name, (where, expected, true) in found.marks.items()
    ]
    expected, true = found.without
    rows.append(("no ads", "", f"{expected:.3f}", f"{true:.3f}"))
    for number, row in enumerate(rows):
        y = (0.2 + ROW * (len(rows) - 1 - number)) / height
        name = row[0]
        for x, text in zip(columns, row, strict=True):
            colour = colours["soft"] if number == 0 else colours["ink"]
            figure.text(x / width, y, text, fontsize=10, color=colour, va="center_baseline")
        if name in frames:
            place = frames[name]
            dashes = DASHES[(place - 1) % len(DASHES)]
            ends, level = [(LEFT - 0.42) / width, (LEFT - 0.12) / width], y + 0.01 / height
            figure.add_artist(Line2D(ends, [level, level], color=colours[f"frame-{place}"], lw=1.8, ls=dashes))
