"""Status: what is measured on the page that is served, whoever made it.

Rules are counted afresh. For a rule that gave way, a small set of others is looked for with which it cannot hold on
any page of this length: one other, if there is such a one; else rules are left out one after the other, the least
important first, as long as the rest still collides (a deletion filter). That takes two searches per rule, and at most
`LOOKS` looks.

References:
    Chinneck & Dravnieks (1991), "Locating minimal infeasible constraint sets in linear programs".
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes
from slatewise.core.constraints import UNIT, Arrays, Constraints
from slatewise.core.page import Relaxation, Status
from slatewise.core.problem import Solution
from slatewise.kernels import audit
from slatewise.kernels.greedy import fill
from slatewise.methods.opening import NO_PREFERENCE

LOOKS = 5_000
"""Looks at rows, for all rules that gave way on a page, to find what they collided with."""

SINGLE = 200
"""Looks at rows to find whether a rule collides with one other."""


def measured(candidates: Candidates, constraints: Constraints, solution: Solution, slots: int) -> Status:
    """Return the status of a page; what is proven of it is the method's word."""
    picked = solution.rows
    amounts = audit.broken(picked, constraints.arrays)
    missing = slots - len(picked)
    relaxed = _relaxed(candidates, constraints, len(picked), amounts) if amounts.any() else ()
    held = _held(constraints, picked) if missing else ()
    kind = "empty" if not len(picked) else "relaxed" if relaxed else "optimal" if solution.is_proven else "feasible"
    gap = solution.gap
    bound, gap = (solution.bound, gap) if isfinite(gap) else (None, None)
    exhausted = None if solution.exhausted is None else solution.exhausted + 1
    return Status(
        kind, relaxed, missing, held, bound, gap, solution.least, solution.strength, solution.spent, exhausted
    )


def _relaxed(
    candidates: Candidates, constraints: Constraints, length: int, amounts: np.ndarray
) -> tuple[Relaxation, ...]:
    rules, left, found = constraints.book.rules, LOOKS, list[Relaxation]()
    order = np.argsort(candidates.rank).astype(np.int32)  # so that the order of the candidates does not matter
    for place in np.flatnonzero(amounts).tolist():
        others, looks = collision(constraints.arrays, order, place, length, left)
        left = max(left - looks, 0)
        names = tuple(rules[other].name for other in others)
        found.append(Relaxation(rules[place].name, float(amounts[place]) / UNIT, names))
    return tuple(found)


def collision(arrays: Arrays, order: Codes, place: int, length: int, looks: int) -> tuple[list[int], int]:
    """Return (rules that cannot all hold together with the one at `place` on a page of `length`, looks taken).

    None are named where the rule cannot hold by itself, or where no collision could be proven in so many looks.
    """
    others, spent = [other for other in range(len(arrays.tier)) if other != place], 0
    for some in ([], *([other] for other in others)):
        collides, tried = _collides(arrays, order, [place, *some], length, min(looks - spent, SINGLE))
        spent += tried
        if collides:
            return some, spent
    collides, tried = _collides(arrays, order, [place, *others], length, looks - spent)
    spent += tried
    if not collides:
        return [], spent
    kept = others
    for other in reversed(others):
        fewer = [one for one in kept if one != other]
        collides, tried = _collides(arrays, order, [place, *fewer], length, looks - spent)
        spent += tried
        if collides:
            kept = fewer
    return kept, spent


def _collides(arrays: Arrays, order: Codes, rules: list[int], length: int, looks: int) -> tuple[bool, int]:
    """Return (whether it is proven that these rules cannot all hold, looks taken)."""
    some = sorted(set(rules))
    fewer = arrays._replace(
        group=np.ascontiguousarray(arrays.group[:, some]),
        units=np.ascontiguousarray(arrays.units[:, some]),
        bounds=arrays.bounds[some],
        windows=arrays.windows[some],
        reach=arrays.reach[some],
        tier=np.ones(len(some), np.int64),
        sizes=arrays.sizes[some],
        by_value=arrays.by_value[some],
        curve=arrays.curve[some],
    )
    free = np.full(len(order), -1, np.int32)
    _, cost, least, spent = fill(order, fewer, free, length, max(looks, 0), NO_PREFERENCE)
    return bool(least and cost.any()), spent


def _held(constraints: Constraints, picked: Codes) -> tuple[str, ...]:
    """Return the contractual rules that one more row, whichever, would break."""
    arrays = constraints.arrays
    left = np.flatnonzero(~np.isin(arrays.items, arrays.items[picked]))
    # Rows that are the same to every rule are held back by the same ones.
    kinds = np.unique(np.hstack([arrays.group[left], arrays.units[left]]), axis=0, return_index=True)[1]
    contractual = constraints.book.tier == 0
    holding: set[int] = set()
    for row in left[kinds].tolist():
        longer = np.append(picked, np.int32(row))
        holding.update(np.flatnonzero(audit.broken(longer, arrays) * contractual).tolist())
    return tuple(constraints.book.rules[place].name for place in sorted(holding))
