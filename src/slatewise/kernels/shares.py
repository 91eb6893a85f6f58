"""Prices at which pages, each giving its slot to the line that is worth most there, split as floors and caps ask.

For n slots with worths a, prices are a minimum of the convex dual

    sum_t max_b (a_tb - price_b) + sum_b (cap_b * max(price_b, 0) - floor_b * max(-price_b, 0)),  -loss <= price <= most

of the split of greatest worth, in which each slot missing from a floor costs `loss` and each one above a cap `most`.
The split is found as a flow of least cost, from the one at the prices given: slots too many are moved along shortest
paths over the lines, of which there are few, to where slots are missing. A slot may be split between lines, so that
floors and caps need not be whole numbers.

What a slot would lose by going from line b to c bounds the difference of their prices from above. All prices within
these bounds are minima; the middle between the highest and the lowest is returned.

Cost: O(moves * (n * lines + lines^3)), moves <= n and a few, the fewer the nearer the first prices are.

References:
    Ahuja, Magnanti & Orlin (1993), "Network Flows", sections 9.7 (successive shortest paths) and 14.3 (convex costs).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slatewise.kernels.compiled import kernel

NOTHING = 1e-9
"""Parts of a slot that are not worth moving."""
SHORTER = 1e-13
"""By how much a path must be shorter, relative to the largest cost: less is rounding, and might go in circles."""
SPARE = 20
"""Moves per slot and line after which rounding, not need, would be at work."""


@kernel
def dual(worth: Any, floor: Any, cap: Any, loss: Any, most: Any, anchor: int, start: Any) -> Any:
    """Return (lines,) prices that are a minimum of the dual.

    Args:
        worth: (n, lines) of each slot to each line; -inf where the line has nothing to show there.
        floor: (lines,) slots that each line is to get, >= 0.
        cap: (lines,) slots that it may get, >= floor.
        loss: (lines,) what a slot missing from the floor costs, >= 0.
        most: (lines,) what a slot above the cap costs, >= 0.
        anchor: Line whose price is to be 0 if some minimum has it so; -1 for none.
        start: (lines,) prices to begin from.
    """
    begin = np.minimum(np.maximum(start, -loss), most)
    part = _split(worth, begin)
    paid = np.empty(len(begin))
    for line in range(len(begin)):
        low, high = floor[line], cap[line]
        if begin[line] > 0:
            low, high = high, np.inf if begin[line] >= most[line] else high
        elif begin[line] < 0:
            low, high = -np.inf if begin[line] <= -loss[line] else low, low
        paid[line] = min(max(part[:, line].sum(), low), high)
    cheapest = np.full((len(begin), len(begin)), -1)
    for line in range(len(begin)):
        _look(worth, part, line, cheapest)
    for _ in range(SPARE * (len(worth) + len(begin))):
        if not _move(worth, part, paid, floor, cap, loss, most, cheapest):
            break
    return _middle(_costs(worth, paid, floor, cap, loss, most, cheapest), anchor)


@kernel
def _split(worth: Any, price: Any) -> Any:
    """Return (n, lines) 1 where a slot goes to its best line, the lower one of equals."""
    n, lines = worth.shape
    part = np.zeros((n, lines))
    for slot in range(n):
        best = 0
        for line in range(1, lines):
            if worth[slot, line] - price[line] > worth[slot, best] - price[best]:
                best = line
        part[slot, best] = 1.0
    return part


@kernel
def _look(worth: Any, part: Any, line: int, cheapest: Any) -> None:
    """Find the slot of a line that loses least by going to each other line."""
    n, lines = worth.shape
    least = np.full(lines, np.inf)
    cheapest[line] = -1
    for slot in range(n):
        if part[slot, line] > NOTHING:
            for other in range(lines):
                loses = worth[slot, line] - worth[slot, other]
                if loses < least[other]:
                    least[other], cheapest[line, other] = loses, slot


@kernel
def _costs(worth: Any, paid: Any, floor: Any, cap: Any, loss: Any, most: Any, cheapest: Any) -> Any:
    """Return (lines + 1, lines + 1) what it costs to move a little from one to another; the last is outside.

    To outside goes what a line is paid for: `floor` at -loss, from there to `cap` at 0, and above at `most`.
    """
    lines = len(paid)
    cost = np.full((lines + 1, lines + 1), np.inf)
    for line in range(lines):
        for other in range(lines):
            slot = cheapest[line, other]
            if other != line and slot >= 0:
                cost[line, other] = worth[slot, line] - worth[slot, other]
        held = paid[line]
        cost[line, lines] = (
            -loss[line] if held < floor[line] - NOTHING else 0.0 if held < cap[line] - NOTHING else most[line]
        )
        cost[lines, line] = (
            -most[line] if held > cap[line] + NOTHING else 0.0 if held > floor[line] + NOTHING else loss[line]
        )
    return cost


@kernel
def _paths(cost: Any, origin: int) -> tuple[Any, Any]:
    """Return the lengths of the shortest paths from one to every other, and where they come from."""
    size = len(cost)
    length, before = np.full(size, np.inf), np.full(size, -1)
    length[origin] = 0.0
    largest = 0.0
    for one in range(size):
        for other in range(size):
            if cost[one, other] < np.inf:
                largest = max(largest, abs(cost[one, other]))
    for _ in range(size - 1):
        moved = False
        for one in range(size):
            for other in range(size):
                through = length[one] + cost[one, other]
                if through < length[other] - SHORTER * largest:
                    length[other], before[other] = through, one
                    moved = True
        if not moved:
            break
    return length, before


@kernel
def _move(worth: Any, part: Any, paid: Any, floor: Any, cap: Any, loss: Any, most: Any, cheapest: Any) -> bool:
    """Move some of what is too much in one place to where it is missing; False if nothing is."""
    lines = len(paid)
    over = np.empty(lines + 1)
    for line in range(lines):
        over[line] = part[:, line].sum() - paid[line]
    over[lines] = paid.sum() - len(worth)
    origin = int(np.argmax(over))
    if over[origin] <= NOTHING:
        return False
    length, before = _paths(_costs(worth, paid, floor, cap, loss, most, cheapest), origin)
    goal = -1
    for one in range(lines + 1):
        if over[one] < -NOTHING and length[one] < np.inf and (goal < 0 or length[one] < length[goal]):
            goal = one
    if goal < 0:
        return False
    amount, one = min(over[origin], -over[goal]), goal
    while one != origin:
        amount = min(amount, _room(part, paid, floor, cap, cheapest, before[one], one))
        one = before[one]
    one = goal
    while one != origin:
        other = before[one]
        if one == lines:
            paid[other] += amount
        elif other == lines:
            paid[one] -= amount
        else:
            slot = cheapest[other, one]
            part[slot, other] -= amount
            part[slot, one] += amount
        one = other
    one = goal
    while True:
        if one < lines:
            _look(worth, part, one, cheapest)
        if one == origin:
            return True
        one = before[one]


@kernel
def _room(part: Any, paid: Any, floor: Any, cap: Any, cheapest: Any, one: int, other: int) -> float:
    """Return how much can be moved from one to another at the present cost."""
    lines = len(paid)
    if other == lines:
        held = paid[one]
        above = floor[one] if held < floor[one] - NOTHING else cap[one] if held < cap[one] - NOTHING else np.inf
        return above - held
    if one == lines:
        held = paid[other]
        below = (
            cap[other] if held > cap[other] + NOTHING else floor[other] if held > floor[other] + NOTHING else -np.inf
        )
        return held - below
    return part[cheapest[one, other], one]


@kernel
def _middle(cost: Any, anchor: int) -> Any:
    """Return the middle of the highest and the lowest prices that the costs allow."""
    lines = len(cost) - 1
    back = np.ascontiguousarray(cost.T)
    highest, lowest = _paths(back, lines)[0], -_paths(cost, lines)[0]
    if anchor >= 0 and lowest[anchor] <= 0.0 <= highest[anchor]:
        for matrix in (cost, back):
            matrix[anchor, lines] = min(matrix[anchor, lines], 0.0)
            matrix[lines, anchor] = min(matrix[lines, anchor], 0.0)
        highest, lowest = _paths(back, lines)[0], -_paths(cost, lines)[0]
    return 0.5 * (highest[:lines] + lowest[:lines])
