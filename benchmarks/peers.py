"""Peers: the page as an integer program, solved by HiGHS and by CP-SAT; and every page there is, in NumPy.

The program has a variable for each row in each slot and one for each value that a rule on distinct values can count in
a window. All rules are hard, and the page is as long as rows and slots allow, so that it is for feasible instances.
Only solving is timed: the program is given to each solver ready-made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from slatewise.core.constraints import UNIT, Arrays
from slatewise.core.problem import PageProblem

STEP = 1e-6
"""CP-SAT works in whole numbers: values are rounded to this part of the largest."""

PATIENCE_S = 20.0
"""Longest that a solver is waited for."""


class Program(NamedTuple):
    """Maximise worth @ x over x of 0 and 1 with low <= matrix @ x <= high, all coefficients whole.

    Attributes:
        worth: (m,) float64; variable row * length + slot is a row in a slot, the rest are values counted.
        matrix: (c, m) sparse.
        low: (c,) smallest sums.
        high: (c,) largest sums.
    """

    worth: NDArray[np.float64]
    matrix: csr_array
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Answer(NamedTuple):
    """What a solver says, and how long it took: value of the page, whether that is proven, seconds."""

    value: float
    proven: bool
    seconds: float


class _Draft:
    """Constraints of a program while it is written."""

    def __init__(self, variables: int) -> None:
        self.variables = variables
        self.entries: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self.bounds: list[tuple[float, float]] = []

    def add(self, columns, factors, low: float, high: float) -> None:
        """Add low <= factors @ x[columns] <= high, unless nothing could break it."""
        columns = np.asarray(columns, np.int64)
        factors = np.broadcast_to(np.asarray(factors, np.int64), columns.shape)
        if factors.clip(min=0).sum() > high or factors.clip(max=0).sum() < low:
            self.entries.append((columns, factors))
            self.bounds.append((low, high))

    def program(self, worth: NDArray[np.float64]) -> Program:
        """Return the program."""
        ends = np.cumsum([0, *(len(columns) for columns, _ in self.entries)])
        columns = np.concatenate([columns for columns, _ in self.entries])
        factors = np.concatenate([factors for _, factors in self.entries]).astype(float)
        matrix = csr_array((factors, columns, ends), shape=(len(self.entries), self.variables))
        low, high = np.array(self.bounds, dtype=float).T
        return Program(np.append(worth, np.zeros(self.variables - len(worth))), matrix, low, high)


def program(problem: PageProblem) -> Program:
    """Write a page as an integer program."""
    assert not problem.pairs.worth.size, "pairs are not linear"
    arrays = problem.constraints.arrays
    n, length = len(arrays.items), min(problem.slots, len(np.unique(arrays.items)))
    x = np.arange(n * length).reshape(n, length)
    draft = _Draft(n * length)
    for slot in range(length):
        draft.add(x[:, slot], 1, 1, 1)
    for item in np.unique(arrays.items):
        draft.add(x[arrays.items == item].ravel(), 1, 0, 1)
    for rule in range(len(arrays.tier)):
        low, high = arrays.bounds[rule]
        for slots, scale, before in windows(arrays, rule, length):
            if arrays.by_value[rule]:
                seen = arrays.group[before, rule]
                _count_values(draft, x, arrays.group[:n, rule], slots, seen, low // UNIT, high // UNIT)
                continue
            for group in range(arrays.sizes[rule]):
                mine = np.flatnonzero(arrays.group[:n, rule] == group)
                units = np.multiply.outer(arrays.units[mine, rule], scale)
                seen = arrays.units[before[arrays.group[before, rule] == group], rule].sum()
                whole = np.gcd.reduce(np.append(units.ravel(), low - seen)) or 1
                draft.add(
                    x[mine][:, slots].ravel(), units.ravel() // whole, (low - seen) // whole, (high - seen) // whole
                )
    return draft.program(problem.worth[:, :length].ravel())


def windows(arrays: Arrays, rule: int, length: int) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each window of a rule: its slots, what each of them counts, and the rows of the page before in it."""
    n, past = len(arrays.items), len(arrays.group) - len(arrays.items)
    start, stop, width = arrays.windows[rule].tolist()
    stop = min(stop, length)
    if start >= stop:
        return
    scale = np.ones(length, np.int64)
    if arrays.curve[rule, 0] >= 0:
        curve = arrays.curve[rule, start:stop]
        scale[start:stop] = np.diff(np.round(UNIT * np.cumsum(curve) / (curve.sum() or 1)), prepend=0)
    start -= min(past, int(arrays.reach[rule]))
    width = min(width, stop - start)
    for first in range(start, stop - width + 1):
        slots = slice(max(first, 0), first + width)
        yield slots, scale[slots], np.arange(n + past + min(first, 0), n + past)


def _count_values(draft: _Draft, x, group, slots: slice, seen, low: int, high: int) -> None:
    """Count distinct values: a variable for each, no larger than its rows in the window and no smaller than any."""
    seen = np.unique(seen[seen >= 0])
    values = np.setdiff1d(group[group >= 0], seen)
    counted = draft.variables + np.arange(len(values))
    draft.variables += len(values)
    for value, variable in zip(values, counted, strict=True):
        inside = x[group == value, slots]
        draft.add([variable, *inside.ravel()], [1, *[-1] * inside.size], -np.inf, 0)
        for row in inside:
            draft.add([variable, *row], [-1, *[1] * len(row)], -np.inf, 0)
    draft.add(counted, 1, low - len(seen), high - len(seen))


def highs(program: Program, relative_gap: float) -> Answer:
    """Solve a program with HiGHS; proven means that no page is better by more than this part of its value."""
    within = LinearConstraint(program.matrix, program.low, program.high)
    whole = np.ones(len(program.worth))
    options = {"time_limit": PATIENCE_S, "mip_rel_gap": relative_gap}
    start = time.perf_counter()
    result = milp(-program.worth, constraints=within, bounds=Bounds(0, 1), integrality=whole, options=options)
    seconds = time.perf_counter() - start
    return Answer(
        np.nan if result.x is None else float(program.worth @ np.round(result.x)), result.status == 0, seconds
    )


def cp_sat(program: Program) -> Answer:
    """Solve a program with CP-SAT, with one worker and with as many as it likes; return the sooner answer.

    All constraints are in the linear relaxation: without, it proves nothing of a feed in a minute.
    """
    alone = _cp_sat(program, 1, PATIENCE_S)
    together = _cp_sat(program, 0, alone.seconds)  # what takes longer is not the sooner
    return min(alone, together, key=lambda answer: (not answer.proven, answer.seconds))


def _cp_sat(program: Program, workers: int, patience_s: float) -> Answer:
    model, x = _model(program)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = patience_s
    solver.parameters.num_workers = workers
    solver.parameters.linearization_level = 2
    start = time.perf_counter()
    status = solver.solve(model)
    seconds = time.perf_counter() - start
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Answer(np.nan, False, seconds)
    chosen = np.array([solver.value(one) for one in x])
    return Answer(float(program.worth @ chosen), status == cp_model.OPTIMAL, seconds)


def _model(program: Program) -> tuple[cp_model.CpModel, list[cp_model.IntVar]]:
    """Return the program as CP-SAT has it; sums of ones up to one are said as such."""
    model = cp_model.CpModel()
    x = [model.new_bool_var("") for _ in program.worth]
    matrix = program.matrix
    most = np.iinfo(np.int32).max  # larger than any sum
    for row, (low, high) in enumerate(zip(program.low, program.high, strict=True)):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        mine, factors = [x[column] for column in matrix.indices[part]], matrix.data[part].astype(int).tolist()
        if high == 1 and low in (0, 1) and set(factors) == {1}:
            (model.add_exactly_one if low else model.add_at_most_one)(mine)
        else:
            total = cp_model.LinearExpr.weighted_sum(mine, factors)
            model.add_linear_constraint(total, int(max(low, -most)), int(min(high, most)))
    unit = STEP * np.abs(program.worth).max() or 1.0
    rounded = np.rint(program.worth / unit).astype(int).tolist()
    model.maximize(cp_model.LinearExpr.weighted_sum(x, rounded))
    return model, x


@cache
def pages(n: int, length: int) -> NDArray[np.int32]:
    """Return every page of `length` of n rows, (pages, length)."""
    return np.array(list(permutations(range(n), length)), np.int32).reshape(-1, length)


def best_page(problem: PageProblem) -> tuple[tuple[int, ...], float]:
    """Return (minus the length, then what is broken tier by tier) of the best pages, and the most that one is worth.

    Tries every page.
    """
    arrays = problem.constraints.arrays
    for length in range(min(problem.slots, len(np.unique(arrays.items))), 0, -1):
        every = pages(len(arrays.items), length)
        items = np.sort(arrays.items[every], axis=1)
        every = every[(items[:, 1:] != items[:, :-1]).all(axis=1)]
        cost = tiers(arrays, every)
        least = cost[0] == 0
        if least.any():
            for tier in cost:
                least &= tier == tier[least].min()
            return (-length, *cost[:, least][:, 0].tolist()), float(values(problem, every[least]).max())
    return (0,) * (arrays.tier.max(initial=0) + 2), 0.0


def tiers(arrays: Arrays, every: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return (tiers, pages): what each page breaks."""
    cost = np.zeros((arrays.tier.max(initial=0) + 1, len(every)), np.int64)
    for rule in range(len(arrays.tier)):
        cost[arrays.tier[rule]] += broken(arrays, rule, every)
    return cost


def broken(arrays: Arrays, rule: int, every: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return by how much each page breaks a rule."""
    group, units = arrays.group[:, rule], arrays.units[:, rule]
    low, high = arrays.bounds[rule]
    amount = np.zeros(len(every), np.int64)
    for slots, scale, before in windows(arrays, rule, every.shape[1]):
        rows = np.concatenate((np.broadcast_to(before, (len(every), len(before))), every[:, slots]), axis=1)
        counted = units[rows] * np.append(np.ones(len(before), np.int64), scale)
        totals = [(counted * (group[rows] == one)).sum(axis=1) for one in range(arrays.sizes[rule])]
        if arrays.by_value[rule]:
            totals = [sum((total > 0 for total in totals), np.zeros(len(every), np.int64)) * UNIT]
        for total in totals:
            amount += np.maximum(total - high, 0) + np.maximum(low - total, 0)
    return amount


def values(problem: PageProblem, every: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return what each page is worth."""
    total = problem.worth[every, np.arange(every.shape[1])].sum(axis=1)
    for kind, worth in enumerate(problem.pairs.worth):
        left, right = problem.pairs.left[every, kind], problem.pairs.right[every, kind]
        for distance in range(1, min(len(worth), every.shape[1] - 1) + 1):
            matched = (left[:, :-distance] == right[:, distance:]) & (left[:, :-distance] >= 0)
            total = total + worth[distance - 1] * matched.sum(axis=1)
    return total
