"""Relax: make sure that no page is longer, and that none as long breaks the rules less.

What a tier is broken by is a value like any other: with worth nothing and prices of at most 1 a unit, the bound of
`kernels.dual` says what the tier is broken by at least, when the more important ones are broken no more than now. If
that is less than what the page breaks, `kernels.exact` looks for a page that breaks one step less. For a longer page,
it is the contractual rules that must not be broken.

Where that leaves it open, the greedy search goes on with the looks left.

Cost: that of prices and search, for each tier that is broken and for each length that was not reached.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slatewise.core.constraints import UNIT, Arrays
from slatewise.core.problem import NO_PAIRS, ranked, unlimited
from slatewise.kernels import dual
from slatewise.kernels.greedy import distinct, fill
from slatewise.methods.opening import Opening, blank, filled, opened, places

STEPS = 60
"""Steps of the prices for each question."""
SEARCH = 100_000
"""Looks of the search for each question."""
FOLLOW = 500
"""Looks at rules that collide when a page is filled by prices."""
ALL = np.iinfo(np.int64).max // 4
"""Spare of a tier that does not matter."""
SURE = 1e-3
"""Part of a step by which a bound has to miss a page, so that rounding is no proof."""


def settle(start: Opening) -> Opening:
    """Return a page that is as long, and breaks as little, as the looks left allow; `least` says if that is proven."""
    if start.least or start.looks <= 0:
        return start
    kept = start.looks // 2  # for the greedy search, in case
    start.looks -= kept
    start, sure = _lengthened(start)
    for tier in range(1, len(start.cost)):
        while start.cost[tier] > 0:
            page, none = _less_broken(start, tier)
            if page is None:
                sure = sure and none
                break
            start.take(page)
            start.recount()
    start.least = sure
    start.looks += kept
    return start if sure else _refilled(start)


def _refilled(start: Opening) -> Opening:
    """Return the page of a longer greedy search if that proves it; else the same."""
    again = filled(start.problem, start.looks)
    spent = start.problem.looks - again.looks
    if again.least:
        return opened(start.problem, again._replace(looks=start.looks - spent))
    start.looks -= spent
    return start


def _lengthened(start: Opening) -> tuple[Opening, bool]:
    """Return (the longest page that can be found, whether it is proven that none is longer)."""
    problem = start.problem
    arrays = problem.constraints.arrays
    spare = np.full(len(start.cost), ALL)
    spare[0] = 0
    sure = True
    for length in range(min(problem.slots, distinct(arrays.items)), len(start.page), -1):
        longer = blank(problem, length, start.looks)
        page, none = _page_within(longer, 0, spare, step_of(arrays, 0))
        start.looks = longer.looks
        if page is not None:
            longer.take(page)
            longer.bound = unlimited(problem, length)
            longer.recount()
            return longer, sure
        sure = sure and none
    return start, sure


def _less_broken(start: Opening, tier: int) -> tuple[Any, bool]:
    """Return (a page that breaks a tier at least one step less or None, whether it is proven that there is none)."""
    step = step_of(start.problem.constraints.arrays, tier)
    spare = np.full(len(start.cost), ALL)
    spare[:tier] = start.cost[:tier]
    spare[tier] = start.cost[tier] - step
    return _page_within(start, tier, spare, step)


def _page_within(start: Opening, tier: int, spare: Any, step: int) -> tuple[Any, bool]:
    """Return (a page that breaks no tier by more than `spare` or None, whether it is proven that there is none)."""
    most, allowed = np.zeros(len(spare)), np.zeros(len(spare), np.int64)
    most[:tier], most[tier] = np.inf, 1.0
    allowed[:tier] = spare[:tier]
    aim, known = -(spare[tier] + 0.5 * step) / UNIT, -(spare[tier] + SURE * step) / UNIT
    found = start.price(np.zeros_like(start.worth), allowed, most, aim, known - aim, STEPS)
    if found.bound <= known:
        return None, True
    if start.looks <= 0:
        return None, False
    page, cost = followed(start, found, np.zeros_like(start.worth))
    if len(page) == len(start.page) and not (cost > spare).any():
        return page, False
    worth, enough, tolerance = np.zeros_like(start.worth), 0.0, 0.0
    page, value, bound = start.seek(found, worth, NO_PAIRS, spare, (known, enough, tolerance), SEARCH)
    return (page, False) if value >= 0.0 else (None, bool(bound <= known))


def followed(start: Opening, found: Any, worth: Any) -> tuple[Any, Any]:
    """Return (a page filled greedily by worth less prices, what it breaks)."""
    problem, length = start.problem, len(start.page)
    net = worth - dual.paid(start.counted, found.price, length)
    preferred = problem.order[ranked(net, np.arange(len(net), dtype=np.int32))]
    free = np.full(len(net), -1, np.int32)
    rows, cost, _, asked = fill(problem.order, problem.constraints.arrays, free, length, FOLLOW, preferred)
    start.looks -= asked
    return places(problem, rows), cost


def step_of(arrays: Arrays, tier: int) -> int:
    """Return a number that divides whatever the rules of a tier can be broken by, in millionths."""
    step = 0
    for one in np.flatnonzero(arrays.tier == tier).tolist():
        if arrays.curve[one, 0] >= 0:
            return 1
        step = int(np.gcd.reduce([step, *arrays.bounds[one].tolist(), *np.unique(arrays.units[:, one]).tolist()]))
    return max(step, 1)
