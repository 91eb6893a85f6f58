"""Exact: branch and bound to proof, or as far as the deadline allows (`kernels.exact`).

Starts from the greedy page, makes sure of what the rules must be broken by (`relax`), and asks whether kinds of rows,
interleaved, prove it or give a better one (`kernels.interleave`). Then prices, which leave few rows in doubt, and
search take turns. Anytime: page and bound are valid whenever it stops.
"""

from __future__ import annotations

import numpy as np

from slatewise.core.problem import PageProblem, Solution
from slatewise.kernels.interleave import interleave
from slatewise.methods.lagrangian import follow, price_of_rules, priced
from slatewise.methods.opening import Opening, opening
from slatewise.methods.relax import settle

INTERLEAVE = 1_000
"""Looks at states of interleaved kinds after which it is left to prices."""
STATE_LOOKS = 2
"""Looks that one at a state counts for."""
STEPS, LIMITS = (40, 40, 80), (6_000, 48_000, 400_000)
"""Steps of the prices and looks of the search, turn by turn; the last for all turns that follow."""


def solve(problem: PageProblem) -> Solution:
    """Return the best page, proven so if the work allowed was enough."""
    return finish(opening(problem))


def finish(start: Opening) -> Solution:
    """Make sure of what a page must break, and prove it, or a better one, as far as the looks left allow."""
    start = settle(start)
    if start.is_unproven and interleaved(start):
        return start.solution()
    return close(start)


def close(start: Opening) -> Solution:
    """Close the gap of a page by prices and search, or make it as small as the looks left allow."""
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


def interleaved(start: Opening) -> bool:
    """Tell whether interleaving kinds of rows proves the best page, and go on with that."""
    problem = start.problem
    if not problem.falls:
        return False
    page, bound, looks = interleave(
        start.counted, problem.utility[problem.order], problem.exposure[: len(start.page)], start.items, start.page,
        start.cost, start.value, start.tolerance, min(INTERLEAVE, start.looks // STATE_LOOKS),
    )  # fmt: skip
    start.looks -= STATE_LOOKS * looks
    start.bound = min(start.bound, bound)
    if len(page):
        start.take(page)
    return not start.is_unproven


def warm(problem: PageProblem) -> None:
    """Compile everything that `finish` may need."""
    start = opening(problem)
    interleaved(start)
    start.climb(1)
    found = priced(start, 1)
    follow(start, found)
    start.search(found, 1)
    start.least, start.cost[-1] = False, 1
    settle(start)
