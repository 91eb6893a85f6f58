"""What the command line shows of a page that was spread; the rest runs in the documentation."""

import pytest
from rich.console import Console

from slatewise import Candidates, Feed, Policy, Request, Spread
from slatewise.compose.terms import Similar, Term
from slatewise.core.page import Status
from slatewise.render import status_line, trace_table

LOOKS = Term(name="looks", variant="msd_mean", similar=(Similar(same="topic"),))


def shown(renderable) -> str:
    """Return what is printed."""
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.fixture
def page():
    """A page whose last row has one row of its topic above it, and four of others."""
    policy = Policy.of(
        Spread(strength=0.5, terms=(LOOKS,)),
        lines=["posts"],
        columns={"utility": "number", "topic": "key"},
        slots=6,
    )
    items = Candidates.of(
        item_id=["a", "b", "c", "d", "e", "f"],
        line=["posts"] * 6,
        utility=[9.0, 7.0, 7.0, 3.0, 2.0, 1.0],
        topic=["x", "y", "z", "v", "w", "x"],
    )
    return Feed(policy).compose(Request(candidates=items), trace=True)


def test_the_largest_parts_of_a_term_are_shown_and_the_others_summed_up(page):
    text = shown(trace_table(page, page.trace.slots[5:]))
    assert [row.strip() for row in text.splitlines() if "looks" in row] == [
        "looks +0.1 (b)",
        "looks +0.1 (c)",
        "looks +0.1 (d)",
        "looks +0.1 (1 more)",
    ]


def test_a_near_tie_is_called_so(page):
    assert "0 behind, a near tie" in shown(trace_table(page, page.trace.slots[1:2]))
    assert "near tie" not in shown(trace_table(page, page.trace.slots[:1]))


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (Status("feasible"), []),
        (Status("feasible", strength=0.25, spent=0.0123), ["  strength 0.25, 1.23% of the value given up for it"]),
        (Status("feasible", spent=0.5, strength=0.0), ["  strength 0, 50.00% of the value given up for it"]),
        (Status("feasible", exhausted=3), ["  exhausted in slot 3: its row adds nothing to what stands above"]),
    ],
)
def test_the_status_says_what_variety_did(status, lines):
    assert status_line(status, 1.0).plain.splitlines()[1:] == lines
