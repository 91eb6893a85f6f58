"""Integer program: a page that is proven best, by HiGHS.

    maximise    sum_{i, s} worth[i, s] x[i, s]  +  sum_{p, s < t} worth_p(t - s) sum_c product[p, c, s, t]
    subject to  sum_i x[i, s] = 1                                                       each slot s
                sum_{i of the item, s} x[i, s] <= 1                                     each item
                low <= past + sum_{i of the group, s in the window} units[i] share[s] x[i, s] + under - over <= high
                                                                                        each rule, group and window
    x whole; under, over >= 0, and 0 where a rule is to be held.

A rule on distinct values bounds the sum of `present[value, window]` instead, which is 1 where a row of the value stands
in the window and 0 elsewhere. A product is 1 where the row in s has code c as the upper, and the row in t as the lower
of a pair of kind p: as a slot has one row, one product stands for all pairs of a code, and its linearisation
(McCormick) is exact.

Lengths are tried from the longest down. At each, the program is first solved with every rule held. If that cannot be,
what the rules are broken by is minimised tier by tier, each tier's least then being a bound, and the value is maximised
last. Every page is counted afresh by `audit.broken`, and one that the solver's tolerances let through is ruled out.

Cost: exponential at worst; tenths of a second for 200 rows, 20 slots and six rules with windows, and many times that
where few distinct values are allowed, or where pairs have many codes and reach far. Nodes are limited, time never, so
that the same request gives the same page; `deadline_ms` is not looked at. Where a limit was reached, `least` and
`bound` say so.

References:
    Huangfu & Hall (2018), "Parallelizing the dual revised simplex method", Mathematical Programming Computation 10.
    McCormick (1976), "Computability of global solutions to factorable nonconvex programs: Part I", Mathematical
    Programming 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes, Numbers
from slatewise.core.problem import PageProblem, Solution
from slatewise.kernels import audit
from slatewise.methods import greedy

if TYPE_CHECKING:
    from slatewise.methods.program import Program

NODES = 20_000
"""Nodes of the search tree of each program."""

SCALE = 2.0**14
"""What the largest worth is brought to: HiGHS takes sums for equal that are within 1e-6 of each other."""

ATTEMPTS = 20
"""Pages that tolerances let through, and that are ruled out one by one, before the solver is given up on."""

OPTIMAL, INFEASIBLE = 0, 2
"""What `milp` calls its statuses."""


class Answer(NamedTuple):
    """What the solver says of a program.

    Attributes:
        page: The rows; None if it found none.
        most: What no page adds up to more than.
        ended: Whether it looked at everything: the page is best, or there is none.
    """

    page: Codes | None
    most: float
    ended: bool


def solve(problem: PageProblem) -> Solution:
    """Return the page of greatest value; the greedy page where a limit is reached before there is any."""
    from slatewise.methods.formulation import program_of  # brings SciPy, which takes as long to import as all the rest

    arrays = problem.constraints.arrays
    nothing = np.zeros(int(arrays.tier.max(initial=0)) + 1)
    for length in range(min(problem.slots, len(np.unique(arrays.items))), 0, -1):
        program, least = program_of(problem, length), True
        answer = _best(problem, program, program.worth, nothing)
        if answer.page is None and answer.ended:
            answer, least = _least_broken(problem, program)
        if answer.page is not None:
            value = problem.value(answer.page)
            return Solution(answer.page, value, value if answer.ended else max(value, answer.most), least)
        if not answer.ended:
            return greedy.solve(problem)
    return Solution(np.empty(0, np.int32), 0.0, 0.0, True)


def _least_broken(problem: PageProblem, program: Program) -> tuple[Answer, bool]:
    """Return the best of the pages that break the rules least, and whether it is proven that none breaks them less."""
    allowed = np.where(np.arange(problem.constraints.arrays.tier.max(initial=0) + 1) > 0, np.inf, 0)
    page: Codes | None = None
    least = True
    for tier in np.unique(program.tier[program.tier > 0]).tolist():
        answer = _best(problem, program, np.where(program.tier == tier, -program.unit, 0), allowed)
        if answer.page is None:
            return Answer(page, np.inf, answer.ended and page is None), False
        page = answer.page
        allowed[tier] = _broken(problem, page)[tier]
        least = least and answer.ended and bool(round(-answer.most) >= allowed[tier])
    if page is None:
        return Answer(None, -np.inf, True), False
    best = _best(problem, program, program.worth, allowed)
    return Answer(page, np.inf, False) if best.page is None else best, least


def _best(problem: PageProblem, program: Program, worth: Numbers, allowed: Numbers) -> Answer:
    """Return the page with the greatest sum of `worth` that breaks no tier by more than `allowed`."""
    program = program.breaking(allowed)
    for _ in range(ATTEMPTS):
        answer = _answer(program, worth)
        if answer.page is None or (_broken(problem, answer.page) <= allowed).all():
            return answer
        program = program.without(answer.page)
    return Answer(None, np.inf, False)


def _answer(program: Program, worth: Numbers) -> Answer:
    from scipy.optimize import Bounds, milp

    scale = SCALE / 2 ** np.ceil(np.log2(np.abs(worth).max(initial=0) or 1.0))
    limits: Any = program.lower, program.upper
    result: Any = milp(
        -scale * worth,
        integrality=np.arange(len(worth)) < program.cells,
        bounds=Bounds(*limits),
        constraints=(program.matrix, program.low, program.high),
        options={"mip_rel_gap": 0.0, "node_limit": NODES, "presolve": False},  # it was seen to lose the best page
    )
    if result.status == INFEASIBLE:
        return Answer(None, -np.inf, True)
    bound = np.inf if result.mip_dual_bound is None else -result.mip_dual_bound / scale
    page = None if result.x is None else program.page(result.x)
    return Answer(page, bound, result.status == OPTIMAL)


def _broken(problem: PageProblem, page: Codes) -> NDArray[np.int64]:
    """Return, per tier, by how many millionths a page breaks the rules."""
    arrays = problem.constraints.arrays
    amounts = np.zeros(int(arrays.tier.max(initial=0)) + 1, np.int64)
    np.add.at(amounts, arrays.tier, audit.broken(page, arrays))
    return amounts
