"""SVG for light and dark pages, inline in a page or as a file of its own.

Colours are drawn as place-holders and handed out as CSS variables (`var(--ink)`), so that one picture serves light and
dark; text stays text. Equal figures give equal bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from matplotlib import rc_context
from matplotlib.figure import Figure

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


LIGHT = {"ink": "#1c1b1a", "soft": "#6b6862", "faint": "#e6e2db", "paper": "#fbfaf8"}
DARK = {"ink": "#efece6", "soft": "#a39e95", "faint": "#35322e", "paper": "#141312"}
LINES = (
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#f2803a"),
    ("#00835f", "#2cc79a"),
    ("#a23c90", "#df8fd0"),
    ("#8a6d00", "#dcbc3c"),
    ("#882255", "#e0698f"),
    ("#332288", "#a596f5"),
    ("#2b8f8f", "#7fd6d6"),
    ("#5b5b5b", "#bdbdbd"),
)
"""Colours of what is compared, on light and on dark; told apart by more than colour, for who sees fewer."""


def placeholders(names: Iterable[str]) -> dict[str, str]:
    """Return a colour to draw with for each CSS variable; `ink`, `soft` and `faint` are always among them.

    >>> placeholders(["ads"])
    {'ink': '#000010', 'soft': '#000011', 'faint': '#000012', 'ads': '#000013'}
    """
    return {
        name: f"#0000{place + 16:02x}" for place, name in enumerate(dict.fromkeys(("ink", "soft", "faint", *names)))
    }


@contextmanager
def drawn(width: float, height: float, colours: Mapping[str, str]) -> Iterator[tuple[Figure, list[str]]]:
    """Give a figure, in inches; the picture, to be put inline, is in the list when the block ends."""
    svg: list[str] = []
    with rc_context(_style(colours)):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height))
        yield figure, svg
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg.append(_inline(text.getvalue(), colours))


def alone(svg: str, light: Mapping[str, str], dark: Mapping[str, str]) -> str:
    """Return an inline picture as a file: with its size, its background `paper`, its font and its colours.

    Args:
        svg: The picture.
        light: Colour of each variable on light pages, `paper` included.
        dark: The same on dark ones.
    """
    head, rest = re.match(r"(<svg[^>]*>)(.*)", svg, re.DOTALL).groups()  # type: ignore[union-attr]
    width, height = re.search(r'viewBox="0 0 (\S+) (\S+)"', head).groups()  # type: ignore[union-attr]
    style = (
        f"<style>:root {{ {_declared(light)} }} @media (prefers-color-scheme: dark) {{ :root {{ {_declared(dark)} }} }}"
        f" text {{ font-family: {FONT}; }}</style>"
    )
    paper = '<rect width="100%" height="100%" style="fill: var(--paper)"/>'
    sized = head.replace("<svg", f'<svg width="{width}pt" height="{height}pt"', 1)
    return f"{sized}\n{style}\n{paper}{rest}"


def _declared(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{_variable(name)}: {colour};" for name, colour in colours.items())


def _variable(name: str) -> str:
    return name.replace("_", "-")


def _style(colours: Mapping[str, str]) -> dict[str, object]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "slatewise",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": colours["ink"],
        "axes.edgecolor": colours["faint"],
        "axes.labelcolor": colours["soft"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "xtick.color": colours["soft"],
        "ytick.color": colours["ink"],
        "ytick.left": False,
        "grid.color": colours["faint"],
        "grid.linewidth": 0.8,
        "lines.solid_capstyle": "round",
    }


def _inline(text: str, colours: Mapping[str, str]) -> str:
    """Return the svg element alone, scaled by the page, with CSS variables for colours and the page's font."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 role="img"', text, count=1)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    for name, colour in colours.items():
        text = text.replace(colour, f"var(--{_variable(name)})")
    return text
