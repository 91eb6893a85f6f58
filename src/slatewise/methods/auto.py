"""Auto: the cheapest method first, and the next only if a better page may still be found.

Greedy, whose page is often the best one there is and then proven so by the bound without rules, before anything else
is counted; then what `exact` does, until the page is proven or the deadline is near.
"""

from __future__ import annotations

import numpy as np

from slatewise.core.problem import PageProblem, Solution, unlimited
from slatewise.methods.exact import finish
from slatewise.methods.opening import filled, opened


def solve(problem: PageProblem) -> Solution:
    """Return the best page found before the deadline."""
    start = filled(problem)
    free = np.zeros(len(problem.constraints.book.rules))
    solution = Solution(start.rows, problem.value(start.rows), unlimited(problem, len(start.rows)), start.least, free)
    return solution if solution.is_proven else finish(opened(problem, start))
