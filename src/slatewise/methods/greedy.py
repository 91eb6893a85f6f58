"""Greedy: each slot takes the row that is worth most there among those that the rules allow.

Looks ahead for floors still due, and goes back where the page breaks a rule (`kernels.greedy`); where that does not
show that the rules cannot all hold, prices and search do (`relax`). Pairs are not looked at. Cost: O(slots * n * R),
and up to the deadline where rules collide.
"""

from __future__ import annotations

from slatewise.core.problem import PageProblem, Solution, unlimited
from slatewise.methods.opening import filled, opened
from slatewise.methods.relax import settle


def solve(problem: PageProblem) -> Solution:
    """Return the greedy page; its bound is what the page would be worth without rules."""
    start = filled(problem)
    if start.least:
        return Solution(start.rows, problem.value(start.rows), unlimited(problem, len(start.rows)), start.least)
    return settle(opened(problem, start)).solution()
