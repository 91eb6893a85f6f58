"""Exact: branch and bound to proof, or as far as the deadline allows (`kernels.exact`).

Starts from the greedy page, makes sure of what the rules must be broken by (`relax`), and then lets prices, which leave
few rows in doubt, and search take turns. Anytime: page and bound are valid whenever it stops.
"""

from __future__ import annotations

import numpy as np

from slatewise.core.problem import PageProblem, Solution
from slatewise.methods.lagrangian import follow, price_of_rules, priced
from slatewise.methods.opening import Opening, opening
from slatewise.methods.relax import settle

STEPS, LIMITS = (40, 40, 80), (6_000, 48_000, 400_000)
"""Steps of the prices and looks of the search, turn by turn; the last for all turns that follow."""


def solve(problem: PageProblem) -> Solution:
    """Return the best page, proven so if the work allowed was enough."""
    return finish(opening(problem))


def finish(start: Opening) -> Solution:
    """Close the gap of a page, or make it as small as the looks left allow."""
    start = settle(start)
    prices = np.zeros(len(start.problem.constraints.book.rules))
    found, turn = None, 0
    if start.is_unproven and len(start.problem.pairs.worth):
        start.climb(start.looks // 3)  # the greedy page has not looked at pairs
    while start.is_unproven and start.looks > 0:
        found = priced(start, STEPS[turn], found)
        prices = price_of_rules(start, found)
        if start.is_unproven:
            start.search(found, LIMITS[turn])
        if start.is_unproven and turn == 1:
            follow(start, found)
            start.climb(start.looks // 3)
        turn = min(turn + 1, len(STEPS) - 1)
    return start.solution(prices)


def warm(problem: PageProblem) -> None:
    """Compile everything that `finish` may need."""
    start = opening(problem)
    start.climb(1)
    found = priced(start, 1)
    follow(start, found)
    start.search(found, 1)
    start.least, start.cost[-1] = False, 1
    settle(start)
