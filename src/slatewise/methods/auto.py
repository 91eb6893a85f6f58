"""Auto: the cheapest method first, and the next only if a better page may still be found.

Greedy, whose page is often the best one there is and then proven so by the bound without rules, or by interleaving
kinds of rows; then what `exact` does, until the page is proven or the deadline is near.
"""

from __future__ import annotations

import numpy as np

from slatewise.core.problem import TOLERANCE, PageProblem, Solution, unlimited
from slatewise.kernels.interleave import fill_and_prove
from slatewise.methods.exact import INTERLEAVE, STATE_LOOKS, close, finish
from slatewise.methods.opening import FILL_LOOKS, FIRST_FILL, Filled, filled, opened


def solve(problem: PageProblem) -> Solution:
    """Return the best page found before the deadline."""
    return _promptly(problem) if problem.falls else _patiently(problem)


def _promptly(problem: PageProblem) -> Solution:
    """Return the best page, where interleaving may prove it at once."""
    looks = min(FIRST_FILL, problem.looks)
    proof = fill_and_prove(
        problem.order, problem.constraints.arrays, problem.slots, FILL_LOOKS * looks, problem.utility,
        problem.exposure, TOLERANCE, min(INTERLEAVE, problem.looks // STATE_LOOKS),
    )  # fmt: skip
    rows = proof.better if len(proof.better) else proof.rows
    value = problem.value(rows)
    solution = Solution(rows, value, max(proof.bound, value), proof.least)
    left = problem.looks - proof.asked // FILL_LOOKS - STATE_LOOKS * proof.looks
    if solution.is_proven or (proof.least and left <= 0):
        return solution
    start = opened(problem, Filled(rows, proof.cost, proof.least, left))
    if not proof.least:
        return finish(start)
    start.bound = min(start.bound, proof.bound)
    return close(start)


def _patiently(problem: PageProblem) -> Solution:
    """Return the best page, where the better of two rows need not stand above the other."""
    start = filled(problem)
    free = np.zeros(len(problem.constraints.book.rules))
    solution = Solution(start.rows, problem.value(start.rows), unlimited(problem, len(start.rows)), start.least, free)
    return solution if solution.is_proven else finish(opened(problem, start))
