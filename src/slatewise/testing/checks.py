"""Conformance checks: what every stage and every method promises, whoever wrote it.

Call them from your own tests with a request that the stage, or a problem that the method can work on; they raise
AssertionError with the promise that was broken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from msgspec.structs import replace as replace_struct

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Embedding, KeyLists, Keys
from slatewise.core.constraints import Constraints
from slatewise.core.control import Control
from slatewise.core.ledger import Ledger
from slatewise.core.problem import TOLERANCE, PageProblem, Pairs, Solution
from slatewise.core.request import Request
from slatewise.core.stage import Annotator, Controller, Selector
from slatewise.kernels import audit


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


def check_controller(stage: Controller, request: Request, ledgers: Sequence[Ledger]) -> None:
    """Check that a stage with feedback is an annotator, before and after some pages, and keeps nothing itself.

    Raises:
        AssertionError: Names the promise.
    """
    first = stage.init()
    assert isinstance(first, stage.memory), "what it remembers is of the type that it says"
    before = Control({stage.section: first}).snapshot()
    moved = stage.advance(first, ledgers)
    assert isinstance(moved, stage.memory), "what it remembers stays of its type"
    assert Control({stage.section: first}).snapshot() == before, "advancing leaves what it was given alone"
    assert stage.advance(first, ledgers) == moved, "advancing twice from the same memory gives the same"
    for memory in (first, moved):
        control = Control({stage.section: memory})
        again = Control.restore(control.snapshot(), {stage.section: stage.memory})
        assert again == control, "what it remembers survives a snapshot"
        check_annotator(stage, replace_struct(request, control=again))
    _check_fading(stage, request, moved)


def _check_fading(stage: Controller, request: Request, memory: Any) -> None:
    """Check that a memory that fades begins as it is, ends as the stage starts, and is one all the way."""

    def acts(remembered: Any) -> dict[str, list[float]]:
        control = Control({stage.section: remembered})
        again = Control.restore(control.snapshot(), {stage.section: stage.memory})
        written = stage.annotate(request.candidates, replace_struct(request, control=again))
        return {name: values.tolist() for name, values in written.items()}

    for share in (0.125, 0.5, 0.875):
        acts(stage.faded(memory, share))
    whole, start = acts(memory), acts(stage.init())
    for remembered, wanted in ((stage.faded(memory, 0.0), whole), (stage.faded(memory, 1.0), start)):
        for name, values in acts(remembered).items():
            assert np.allclose(values, wanted[name], rtol=1e-12, atol=0), "it fades from what it was to its start"


def check_selector(stage: Selector, request: Request, constraints: Constraints | None = None) -> None:
    """Check that a stage picks distinct rows of distinct items, as many as it can, in any order of the rows the same.

    Raises:
        AssertionError: Names the promise.
    """
    candidates, slots = request.candidates, request.slots or len(request.candidates)
    before = _digest(candidates)
    constraints = constraints or Constraints(stage.hard_rules, candidates, slots)
    rows = stage.select(candidates, slots, constraints=constraints, request=request).rows
    assert _digest(candidates) == before, "a selector leaves its input alone"
    items = [candidates.item_id[row] for row in rows.tolist()]
    assert len(set(items)) == len(items), "no item stands twice on a page"
    if not (constraints.book.tier == 0).any():
        feasible = min(slots, len(set(candidates.item_id)))
        assert len(items) == feasible, "a page is as long as the candidates allow"
    order = _shuffled(candidates)
    shuffled = candidates.take(order)
    bound = Constraints(constraints.book, shuffled, slots)
    again = stage.select(shuffled, slots, constraints=bound, request=request).rows
    assert _names(shuffled, again) == _names(candidates, rows), "the page does not depend on the order of the rows"


def check_method(solve: Callable[[PageProblem], Solution], problem: PageProblem) -> None:
    """Check that a method returns a page that is allowed, says truly what it is worth, and proves no more than is so.

    What it claims to have proven is put to the test by changing the page in one place or two: no such page may be worth
    more than the bound, nor break the rules less where it is claimed that none does. Whether the page is the best of
    all is for a test that tries them all.

    Raises:
        AssertionError: Names the promise.
    """
    before = _digest_of(problem)
    solution = solve(problem)
    assert _digest_of(problem) == before, "a method leaves its problem alone"
    _check_page(problem, solution)
    value = _value(problem, solution.rows)
    scale = max(1.0, abs(value))
    assert abs(solution.value - value) <= TOLERANCE * scale, f"its value is {value}, and not {solution.value}"
    assert solution.bound >= value - TOLERANCE * scale, f"its bound {solution.bound} is no less than its value {value}"
    _check_claims(problem, solution)
    again = solve(problem)
    assert _digest_of(again) == _digest_of(solution), "the same problem has the same solution"
    order = np.random.default_rng(7).permutation(len(problem.order))
    shuffled = solve(_reordered(problem, order))
    assert order[shuffled.rows].tolist() == solution.rows.tolist(), "the page does not depend on the order of the rows"


def _check_page(problem: PageProblem, solution: Solution) -> None:
    rows, arrays = solution.rows, problem.constraints.arrays
    longest = min(problem.slots, len(np.unique(arrays.items)))
    broken = audit.broken(rows.astype(np.int32), arrays)
    assert len(set(rows.tolist())) == len(rows), "no row stands twice on a page"
    assert len(set(arrays.items[rows].tolist())) == len(rows), "no item stands twice on a page"
    assert not broken[arrays.tier == 0].any(), "contractual rules hold"
    assert len(rows) <= longest, "a page has no more rows than slots"
    if not (arrays.tier == 0).any():
        assert len(rows) == longest, "a page is as long as the candidates allow"
    if len(rows) == longest and not broken.any():
        assert solution.least, "a full page that breaks no rule breaks them least, and the method says so"
    if solution.prices is not None:
        assert solution.prices.shape == arrays.tier.shape, "there is one price per rule"
        assert np.isfinite(solution.prices).all(), "prices are finite"
        assert (solution.prices >= 0).all(), "prices are not negative"


def _check_claims(problem: PageProblem, solution: Solution) -> None:
    own = _cost(problem, solution.rows)
    slack = TOLERANCE * max(1.0, abs(solution.bound))
    if solution.least and len(solution.rows) < problem.slots:
        for rows in _longer(problem, solution.rows):
            assert _cost(problem, rows)[0], f"it is not so that no page is longer: {rows.tolist()} is"
    for rows in _neighbours(problem, solution.rows):
        cost = _cost(problem, rows)
        if solution.least:
            assert cost[0] or cost >= own, f"it is not so that no page breaks the rules less: {rows.tolist()} does"
        if cost == own:
            worth = _value(problem, rows)
            assert worth <= solution.bound + slack, f"its bound {solution.bound} is no bound: {rows.tolist()}, {worth}"


def _longer(problem: PageProblem, rows: Codes) -> Iterator[Codes]:
    """List pages that go on with one row more."""
    items = problem.constraints.arrays.items
    taken = set(items[rows].tolist())
    for row in problem.order.tolist():
        if items[row] not in taken:
            yield np.append(rows, np.int32(row))


def _neighbours(problem: PageProblem, rows: Codes) -> Iterator[Codes]:
    """List pages that differ in one row, of the 50 worthiest and 50 others, or in the order of two."""
    items = problem.constraints.arrays.items
    spread = np.linspace(0, len(problem.order) - 1, 50).astype(int) if len(problem.order) else []
    others = dict.fromkeys([*problem.order[:50].tolist(), *problem.order[spread].tolist()])
    for slot in range(len(rows)):
        taken = set(np.delete(items[rows], slot).tolist())
        for row in others:
            if row != rows[slot] and items[row] not in taken:
                changed = rows.copy()
                changed[slot] = row
                yield changed
    for slot, other in combinations(range(len(rows)), 2):
        changed = rows.copy()
        changed[slot], changed[other] = rows[other], rows[slot]
        yield changed


def _cost(problem: PageProblem, rows: Codes) -> tuple[int, ...]:
    """Return what a page breaks by, tier by tier."""
    arrays = problem.constraints.arrays
    broken = audit.broken(rows.astype(np.int32), arrays)
    return tuple(int(broken[arrays.tier == tier].sum()) for tier in range(arrays.tier.max(initial=0) + 1))


def _value(problem: PageProblem, rows: Codes) -> float:
    """Return what a page is worth, slot by slot and pair by pair."""
    page, pairs = rows.tolist(), problem.pairs
    value = sum(float(problem.utility[row] * problem.exposure[slot]) for slot, row in enumerate(page))
    if problem.extra is not None:
        value += sum(float(problem.extra[row, slot]) for slot, row in enumerate(page))
    kinds, reach = pairs.worth.shape
    for slot, other in combinations(range(len(page)), 2):
        for kind in range(kinds if other - slot <= reach else 0):
            if pairs.left[page[slot], kind] == pairs.right[page[other], kind] >= 0:
                value += float(pairs.worth[kind, other - slot - 1])
    return value


def _reordered(problem: PageProblem, rows: np.ndarray[Any, np.dtype[np.int64]]) -> PageProblem:
    """Return the problem with its candidates in another order; those of the page before stay where they are."""
    old = problem.constraints.arrays
    place = np.argsort(rows)
    with_past = np.concatenate((rows, np.arange(len(rows), len(old.group))))
    constraints = copy.copy(problem.constraints)
    constraints.arrays = old._replace(group=old.group[with_past], units=old.units[with_past], items=old.items[rows])
    pairs = problem.pairs
    return replace(
        problem,
        utility=problem.utility[rows],
        order=place[problem.order].astype(np.int32),
        constraints=constraints,
        extra=None if problem.extra is None else problem.extra[rows],
        pairs=Pairs(pairs.left[rows], pairs.right[rows], pairs.worth) if pairs.worth.size else pairs,
    )


def _digest_of(one: Any) -> Any:
    """Return a problem or a solution as a value that can be compared."""
    match one:
        case np.ndarray():
            return one.shape, one.tobytes()
        case PageProblem():
            parts = (one.utility, one.exposure, one.order, one.extra, one.pairs.left, one.pairs.right, one.pairs.worth)
            return tuple(_digest_of(part) for part in (*parts, *one.constraints.arrays))
        case Solution(rows, value, bound, least, prices):
            return tuple(_digest_of(part) for part in (rows, value, bound, least, prices))
        case _:
            return one


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
            case KeyLists(codes, starts, names):
                return codes.tobytes(), starts.tobytes(), names
            case Embedding(table, rows):
                return rows.tobytes(), id(table)
            case _:
                return column.tobytes()

    return tuple(candidates.item_id), tuple((name, of(column)) for name, column in candidates.columns.items())
