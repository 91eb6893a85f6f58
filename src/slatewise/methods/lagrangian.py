"""Lagrangian: prices for the rules, the bound that they prove, and a page that follows them (`kernels.dual`).

The page is filled greedily by worth less prices, under the rules, and improved by local search; the better one of it
and of the page without prices is returned. Cost: that of `swap` twice, and O(slots^2 * n) per step of the prices.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from slatewise.core.columns import Numbers
from slatewise.core.problem import PageProblem, Solution
from slatewise.kernels import pairs
from slatewise.methods.opening import Opening, opening
from slatewise.methods.relax import followed, settle

STEPS = 200
"""Most steps of the prices."""


def solve(problem: PageProblem) -> Solution:
    """Return the better of two pages, the bound of the prices, and the prices."""
    start = settle(opening(problem))
    if start.is_unproven:
        start.climb(start.looks // 2)
    if not start.is_unproven:
        return start.solution(np.zeros(len(problem.constraints.book.rules)))
    found = priced(start, STEPS)
    if start.is_unproven:
        follow(start, found)
        start.climb(start.looks)
    return start.solution(price_of_rules(start, found))


def priced(start: Opening, steps: int, before: Any = None) -> Any:
    """Price the rules, from the prices before on, and keep the bound."""
    worth = start.worth
    if len(start.problem.pairs.worth):
        worth = worth + pairs.most(start.left, start.problem.pairs.worth, worth.shape[1])
    free = np.full(len(start.cost), np.inf)
    found = start.price(worth, start.cost, free, start.value, start.tolerance, steps, before)
    start.bound = min(start.bound, found.bound)
    return found


def follow(start: Opening, found: Any) -> None:
    """Fill a page by worth less prices, and go on with it if it is better."""
    page, cost = followed(start, found, start.worth)
    better = len(page) == len(start.page) and not (cost > start.cost).any()
    if better and start.problem.value(start.problem.order[page]) > start.value:
        start.take(page)


def price_of_rules(start: Opening, found: Any) -> Numbers:
    """Return (R,) float64: what one unit more, of the bounds of all counts of a rule, would be worth by the prices."""
    prices = np.abs(found.price)
    return np.array([prices[low:high].sum() for low, high in pairwise(start.counted.first)])
