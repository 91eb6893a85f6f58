"""Swap: the greedy page, improved by local search (`kernels.swap`). Looks at everything that a page is worth."""

from __future__ import annotations

from slatewise.core.problem import PageProblem, Solution
from slatewise.methods.opening import opening
from slatewise.methods.relax import settle


def solve(problem: PageProblem) -> Solution:
    """Return a page that no trade, move or exchange of rows improves; its bound is that of a page without rules."""
    start = settle(opening(problem))
    if start.is_unproven or not start.least:
        start.climb(start.looks)
    return start.solution()
