"""Why a page looks as it does: the trace, read off the columns, the rules, and what the selector says of its slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes
from slatewise.core.constraints import Constraints
from slatewise.core.problem import Solution
from slatewise.core.request import Request
from slatewise.core.stage import Annotator, Selector
from slatewise.core.trace import Other, SlotTrace, Step
from slatewise.kernels import audit

LOOK_AHEAD = "look-ahead"
"""Stands for the rule of a row that was held back for the sake of later slots as a whole."""


NEAR = 1e-6
"""Rows whose worth differs by no more than this, relative to it, are a near tie: float32 embeddings are no finer."""


class Annotated(NamedTuple):
    """What an annotator found, and what it made of it.

    Attributes:
        stage: The annotator.
        rows: Where the rows in play stood in the request's candidates.
        before: The candidates before it.
        after: The candidates after it.
    """

    stage: Annotator
    rows: Codes
    before: Candidates
    after: Candidates


class Chosen(NamedTuple):
    """A page and how it came about.

    Attributes:
        request: The request.
        candidates: The rows that the last selector chose from.
        rows: Where they stand in the request's candidates.
        history: What annotators made of them.
        selector: The last selector.
        constraints: The rules.
        solution: What it chose.
    """

    request: Request
    candidates: Candidates
    rows: Codes
    history: Sequence[Annotated]
    selector: Selector
    constraints: Constraints
    solution: Solution


def explained(page: Chosen) -> tuple[SlotTrace, ...]:
    """Return why each row stands in its slot."""
    request, candidates, rows, history, selector, constraints, solution = page
    picked = solution.rows
    utility = candidates.number(selector.by)
    judged = selector.judged(candidates, solution, constraints, request)
    worth = utility[None, :].copy() if judged is None else judged.worth
    order = np.array([candidates.descending(row) for row in worth], dtype=np.int32).reshape(len(worth), len(candidates))
    held, why, runner = audit.passed_over(picked, worth, order, constraints.arrays, selector.predecessors(candidates))
    steps = _steps(request, history, rows[picked])
    lines = candidates.key("line")

    def other(slot: int, row: int, rule: str = "") -> Other | None:
        if row < 0:
            return None
        here = worth[min(slot, len(worth) - 1)]
        margin = float(here[picked[slot]] - here[row])
        return Other(candidates.item_id[row], lines.name(row), float(here[row]), margin, rule)

    slots: list[SlotTrace] = []
    for slot, row in enumerate(picked.tolist()):
        own = float(worth[min(slot, len(worth) - 1)][row])
        runner_up = other(slot, runner[slot])
        slots.append(
            SlotTrace(
                slot=slot + 1,
                item_id=candidates.item_id[row],
                line=lines.name(row),
                utility=float(utility[row]),
                worth=own,
                near_tie=runner_up is not None and abs(runner_up.margin) <= NEAR * max(abs(own), 1e-300),
                steps=steps[slot],
                runner_up=runner_up,
                held_back=other(slot, held[slot], _rule_name(constraints, why[slot])),
                parts=() if judged is None else judged.parts[slot],
            )
        )
    return tuple(slots)


def _steps(request: Request, history: Sequence[Annotated], served: Codes) -> list[tuple[Step, ...]]:
    """Return, per row served, what each annotator wrote for it."""
    steps: list[list[Step]] = [[] for _ in served]
    for stage, rows, before, after in history:
        places = [int(np.flatnonzero(rows == row)[0]) for row in served.tolist()]
        parts = stage.parts(before, request)
        for number, column in enumerate(stage.writes):
            values = after.number(column)
            for slot, place in enumerate(places):
                terms = {name: float(part[place]) for name, part in parts.items()} if number == 0 else {}
                steps[slot].append(Step(stage.section, column, float(values[place]), terms))
    return [tuple(of_row) for of_row in steps]


def _rule_name(constraints: Constraints, place: int) -> str:
    return constraints.book.rules[place].name if place >= 0 else LOOK_AHEAD
