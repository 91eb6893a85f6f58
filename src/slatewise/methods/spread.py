"""Spread: the page filled slot by slot with the row that is worth most there, what it repeats taken off.

The kernel fills the page without going back (`kernels.spread`). If that breaks rules and it is not seen that it has to,
a page is settled that breaks them least (`relax`), and steered towards what the kernel would have taken
(`kernels.steer`). Cost: that of the kernels, and up to the deadline where rules collide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, final

import numpy as np

from slatewise.core.columns import Codes, Numbers
from slatewise.core.problem import Solution, unlimited
from slatewise.core.variety import SpreadProblem, Terms
from slatewise.kernels import spread, steer, windows
from slatewise.methods.opening import opening, places_in
from slatewise.methods.relax import settle

EVALUATIONS = 8
"""Pages that the search for a strength looks at."""


@final
class Spread(NamedTuple):
    """A page that was spread.

    Attributes:
        solution: Its rows, and what is proven of them.
        strength: The strength that it was spread with.
        spent: Share of the page's value given up beside the page of pure utility; None if it was not asked for.
        exhausted: First slot whose row adds nothing new to what is above, from 0; -1 for none.
        bases: (T, h + k, D + S) float64, bases of what was placed.
        volume: (T,) float64.
    """

    solution: Solution
    strength: float
    spent: float | None
    exhausted: int
    bases: Numbers
    volume: Numbers


def solve(problem: SpreadProblem) -> Spread:
    """Return the page for the strength of the problem."""
    arguments = laid_out(problem)
    found = spread.spread(*arguments, problem.page.constraints.arrays, problem.page.slots)
    least = bool(found.least)
    if least:
        rows, exhausted, bases, volume = found.rows, found.exhausted, found.bases, found.volume
    else:
        rows, least, exhausted, bases, volume = _steered(problem, arguments)
    page = problem.page
    if problem.strength == 0.0 and len(problem.terms.variant):  # no term was looked at, but a later page may
        order, _, _, variety, before = laid_out(replace(problem, strength=1.0))
        bases, volume = steer.left_behind(order, variety, before, rows)
    value = page.value(rows)
    solution = Solution(rows, value, max(unlimited(page, len(rows)), value), least)
    return Spread(solution, problem.strength, None, exhausted, bases, volume)


def solve_within(problem: SpreadProblem, share: float) -> Spread:
    """Return the page of the largest strength found that gives up no more than a share of the page's value.

    Value given up is measured against the page that utility alone makes under the same rules. It need not grow with the
    strength at every step, so this is a bracketed search: of the strengths tried, the largest that keeps to the share.
    """
    plain = solve(_plain(problem)).solution.value
    enough = plain - share * abs(plain)

    def tried(strength: float) -> Spread:
        found = solve(replace(problem, strength=strength))
        lost = plain - found.solution.value
        return found._replace(spent=lost / abs(plain) if plain else 0.0)

    best = tried(problem.strength)
    if best.solution.value >= enough:
        return best
    low, high, best = 0.0, problem.strength, tried(0.0)
    for _ in range(EVALUATIONS - 2 if best.solution.value >= enough else 0):
        middle = (low + high) / 2
        found = tried(middle)
        if found.solution.value >= enough:
            low, best = middle, found
        else:
            high = middle
    return best


def _plain(problem: SpreadProblem) -> SpreadProblem:
    """Return the problem of utility alone."""
    spacings = problem.spacings._replace(weight=np.zeros_like(problem.spacings.weight))
    balances = problem.balances._replace(weight=np.zeros_like(problem.balances.weight))
    return replace(
        problem,
        strength=0.0,
        bonus=np.zeros_like(problem.bonus),
        terms=_no_terms(problem.terms),
        spacings=spacings,
        balances=balances,
    )


def _no_terms(terms: Terms) -> Terms:
    return Terms(
        terms.variant[:0], terms.spans[:0], terms.weight[:0], terms.window[:0], terms.first[:1], terms.fade[:0],
        terms.ridge[:0], terms.volume[:0],
    )  # fmt: skip


def laid_out(problem: SpreadProblem) -> tuple[Codes, Codes, Numbers, Any, Numbers]:
    """Return what kernels take: rows by what they are worth by themselves, their rank, that worth, and the terms."""
    order, strength = problem.page.order, problem.strength
    rank = places_in(order)
    base = (1.0 - strength) * problem.relevance - strength * problem.charge + problem.bonus
    if strength >= 1.0 or problem.charge.any() or problem.bonus.any():
        order = np.lexsort((rank, -base)).astype(np.int32)
    terms = problem.terms if strength > 0.0 else _no_terms(problem.terms)
    terms = terms._replace(weight=terms.weight * strength)
    bases = problem.bases if strength > 0.0 else problem.bases[:0]
    # plain tuples: numba takes thrice as long to see what is in named ones
    variety = tuple(problem.signals), tuple(terms), tuple(problem.spacings), tuple(problem.balances)
    return order, rank, base, variety, bases


def _steered(problem: SpreadProblem, arguments: Any) -> tuple[Codes, bool, int, Numbers, Numbers]:
    """Return a page that breaks the rules as little as can be found, spread as far as they allow."""
    order, rank, base, variety, bases = arguments
    start = settle(opening(problem.page))
    page = places_in(order)[problem.page.order[start.page]]
    counted, link = windows.counted(order, problem.page.constraints.arrays, len(page))
    windows.show(counted, page)
    rows, exhausted, bases, volume = steer.steer(order, rank, base, variety, bases, counted, link, page)
    return rows, start.least, exhausted, bases, volume
