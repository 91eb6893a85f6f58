"""The report: one HTML file that needs nothing else, readable on a phone, in light and in dark."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from slatewise.demo import charts, wording
from slatewise.demo.arms import ARMS
from slatewise.demo.lines import LINES
from slatewise.demo.outcome import Outcome

TEMPLATE = "template.html"


def write(outcome: Outcome, path: Path) -> None:
    """Write the report; equal outcomes give equal bytes."""
    path.write_text(render(outcome), encoding="utf-8")


def render(outcome: Outcome) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = {
        "hit_rates": charts.hit_rates(outcome),
        "ndcgs": charts.ndcgs(outcome),
        "shares": charts.shares(outcome),
        "differences": charts.differences(outcome),
        "running": charts.running(outcome),
        "pacing": charts.pacing(outcome),
    }
    return environment.get_template(TEMPLATE).render(
        o=outcome,
        w=wording,
        arms=ARMS,
        lines=LINES,
        names=wording.NAMES,
        measured={one.name: one for one in outcome.measured},
        pictures={name: Markup(svg) for name, svg in pictures.items()},
    )
