"""Conformance checks: what every stage promises, whoever wrote it.

Call them from your own tests with a request that the stage can work on; they raise AssertionError with the promise that
was broken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Embedding, Keys
from slatewise.core.request import Request
from slatewise.core.rules import Constraints
from slatewise.core.stage import Annotator, Selector


def check_annotator(stage: Annotator, request: Request) -> None:
    """Check that a stage only adds its own columns: finite, one value a row, the same in any order of the rows.

    Raises:
        AssertionError: Names the promise.
    """
    candidates = request.candidates
    before = _digest(candidates)
    written = stage.annotate(candidates, request)
    assert _digest(candidates) == before, "an annotator leaves its input alone"
    assert set(written) == set(stage.writes), f"it writes {set(stage.writes)}, as it says, and not {set(written)}"
    for name, values in written.items():
        assert values.shape == (len(candidates),), f"`{name}` has one value per row"
        assert np.isfinite(values).all(), f"`{name}` is finite"
    rows = _shuffled(candidates)
    again = stage.annotate(candidates.take(rows), request)
    for name, values in written.items():
        assert np.array_equal(again[name], values[rows]), f"`{name}` of a row does not depend on the order of rows"
    parts = stage.parts(candidates, request)
    if parts:
        first = written[next(iter(stage.writes))]
        total = np.sum(list(parts.values()), axis=0)
        assert np.allclose(total, first, rtol=1e-12, atol=0), "its parts add up to the first column it writes"


def check_selector(stage: Selector, request: Request, constraints: Constraints | None = None) -> None:
    """Check that a stage picks distinct rows of distinct items, as many as it can, in any order of the rows the same.

    Raises:
        AssertionError: Names the promise.
    """
    candidates, slots = request.candidates, request.slots or len(request.candidates)
    before = _digest(candidates)
    constraints = constraints or Constraints(stage.hard_rules, candidates, slots)
    rows = stage.select(candidates, slots, constraints=constraints, request=request)
    assert _digest(candidates) == before, "a selector leaves its input alone"
    items = [candidates.item_id[row] for row in rows.tolist()]
    assert len(set(items)) == len(items), "no item stands twice on a page"
    if not (constraints.book.tier == 0).any():
        feasible = min(slots, len(set(candidates.item_id)))
        assert len(items) == feasible, "a page is as long as the candidates allow"
    order = _shuffled(candidates)
    shuffled = candidates.take(order)
    bound = Constraints(constraints.book, shuffled, slots)
    again = stage.select(shuffled, slots, constraints=bound, request=request)
    assert _names(shuffled, again) == _names(candidates, rows), "the page does not depend on the order of the rows"


def _names(candidates: Candidates, rows: Any) -> list[tuple[Any, Any]]:
    lines = candidates.key("line")
    return [(candidates.item_id[row], lines.name(row)) for row in rows.tolist()]


def _shuffled(candidates: Candidates) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.random.default_rng(7).permutation(len(candidates))


def _digest(candidates: Candidates) -> tuple[Any, ...]:
    def of(column: Any) -> Any:
        match column:
            case Keys(codes, names):
                return codes.tobytes(), names
            case Embedding(table, rows):
                return rows.tobytes(), id(table)
            case _:
                return column.tobytes()

    return tuple(candidates.item_id), tuple((name, of(column)) for name, column in candidates.columns.items())
