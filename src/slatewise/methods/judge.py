"""Judge: what rows were worth in each slot of a page that was spread, and to what that is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slatewise.core.columns import Codes, Numbers
from slatewise.core.trace import Judged, Part
from slatewise.core.variety import SpreadProblem
from slatewise.kernels import steer
from slatewise.methods.spread import laid_out

LEAST = 1e-12
"""Parts as small as this are left out."""


def judged(
    problem: SpreadProblem,
    rows: Codes,
    names: Sequence[Any],
    terms: Sequence[str],
    classes: Sequence[str],
    balances: Sequence[str],
) -> Judged:
    """Return what rows were worth, in float64, evaluated for every row.

    Args:
        problem: The problem, with the strength that the page was spread with.
        rows: The page.
        names: Ids of the items in all seats: what the session saw, then the page.
        terms: Names of the terms.
        classes: Names of the classes of soft spacing.
        balances: Names of the balances.
    """
    order, _, base, variety, bases = laid_out(problem)
    utility, taken, spaced, added = steer.judged(order, base, variety, bases, rows)
    parts: list[tuple[Part, ...]] = []
    for slot, row in enumerate(rows.tolist()):
        own = [Part("relevance", (1.0 - problem.strength) * float(problem.relevance[row]))]
        own.append(Part("missing values", -problem.strength * float(problem.charge[row])))
        own.append(Part("fresh and novel", float(problem.bonus[row])))
        for name, by_seat in [*zip(terms, taken[slot], strict=False), *zip(classes, spaced[slot], strict=True)]:
            own += _by_item(name, by_seat, names)
        own += [Part(name, float(gain)) for name, gain in zip(balances, added[slot], strict=True)]
        parts.append((own[0], *(part for part in own[1:] if abs(part.amount) > LEAST)))
    return Judged(utility, tuple(parts))


def _by_item(name: str, by_seat: Numbers, names: Sequence[Any]) -> list[Part]:
    return [Part(name, -amount, item) for amount, item in zip(by_seat.tolist(), names, strict=False)]
