"""One visit in full: the raw page and the ruled page side by side, with the reasons slot by slot.

The visit is picked by rule, not by how well a page does: of the visits whose clicked article stands on both pages, the
one on whose ruled page the most different rules held something back; of equals, the one whose two pages have the fewest
articles in common, then the first. A visit of the first day is taken only if there are no others, because the policies
are still guesses then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec
import numpy as np

from slatewise.core.page import Page
from slatewise.core.trace import Other, SlotTrace, Step
from slatewise.demo.lines import Nominations
from slatewise.demo.records import Visit

SHOWN = ("raw", "ruled")


class Cell(msgspec.Struct, frozen=True):
    """An article on a page.

    Attributes:
        slot: Place on the page, from 1.
        item: The article.
        line: The line that it stands for.
        also: Other lines that nominated it.
        score: The line's own score.
        utility: What the page maximised.
        steps: What each stage of the policy wrote for it.
        age_h: Hours since the article was first seen.
        cluster: Its group of co-reading; None if nobody had read it.
        clicked: Whether the reader really clicked it.
        opened: Whether the reader had opened it before.
        in_view: Whether the reader was really shown it.
        runner_up: The best row that could have stood here instead.
        held_back: The best row worth more that a rule kept out.
    """

    slot: int
    item: int
    line: str
    also: tuple[str, ...]
    score: float
    utility: float
    steps: tuple[Step, ...]
    age_h: float
    cluster: str | None
    clicked: bool
    opened: bool
    in_view: bool
    runner_up: Other | None
    held_back: Other | None


class Showcase(msgspec.Struct, frozen=True):
    """A visit and its pages.

    Attributes:
        visit: The visit.
        about: Number of articles about.
        nominated: Number of articles nominated.
        pages: Arm to its page.
        rank: What it was picked by: whether it is after the first day, how many rules held something back, and how
            many articles are on one of the pages only.
    """

    visit: Visit
    about: int
    nominated: int
    pages: dict[str, tuple[Cell, ...]]
    rank: tuple[bool, int, int]


def exhibit(
    visit: Visit, day: int, nominations: Nominations, pages: Mapping[str, Page], best: Showcase | None
) -> Showcase | None:
    """Return the visit to show: this one, of the `day`-th day, or the best so far."""
    trace = pages["ruled"].trace
    rules = {slot.held_back.rule for slot in trace.slots if slot.held_back} if trace else set[str]()
    raw, ruled = (set(pages[arm].item_ids) for arm in SHOWN)
    rank = (day > 1, len(rules), len(raw ^ ruled))
    if not set(visit.clicked) & raw & ruled or (best is not None and rank <= best.rank):
        return best
    cells = {arm: tuple(_cells(visit, nominations, pages[arm])) for arm in SHOWN}
    return Showcase(visit, len(nominations.about), len(nominations.age_h), cells, rank)


def _cells(visit: Visit, nominations: Nominations, page: Page) -> list[Cell]:
    candidates = nominations.candidates
    lines, clusters = candidates.key("line"), candidates.key("cluster")
    nominating: dict[object, list[str]] = defaultdict(list)
    for row, item in enumerate(candidates.item_id):
        nominating[item].append(lines.name(row))
    slots: tuple[SlotTrace, ...] = page.trace.slots if page.trace else ()
    return [
        Cell(
            slot=placed.slot,
            item=int(placed.item_id),
            line=placed.line,
            also=tuple(line for line in nominating[placed.item_id] if line != placed.line),
            score=float(candidates.number("score")[row]),
            utility=placed.utility,
            steps=why.steps,
            age_h=nominations.age_h[int(placed.item_id)],
            cluster=clusters.name(row),
            clicked=placed.item_id in visit.clicked,
            opened=bool(candidates.flag("opened")[row]),
            in_view=placed.item_id in visit.shown,
            runner_up=why.runner_up,
            held_back=why.held_back,
        )
        for placed, row, why in zip(page.items, np.asarray(page.slate.rows).tolist(), slots, strict=True)
    ]
