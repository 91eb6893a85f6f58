"""Plants to try control loops on: lines that compete for slots, and one budget; with what hindsight would have made.

**Lines.** Each request has one slot and a worth of it to each line; the slot goes to the line with the largest worth
less price. Prices are set every `window` requests from what was seen of the requests before. The best split in
hindsight is the one that has the shares over the whole run, at fixed prices.

**A budget.** Each request is bought or not. Hindsight buys those with the most value per price until the budget is
spent (fractional knapsack).

Cost: O(n * lines) and the cost of the loop, window by window.

References:
    Dantzig (1957), "Discrete-Variable Extremum Problems", for the knapsack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Numbers
from slatewise.evaluate.oscillation import Swings, swings
from slatewise.kernels import descent
from slatewise.kernels.shares import dual
from slatewise.methods.control import SPENDING, Law, Loop
from slatewise.methods.coordinate import Prices, Pull, Wanted, coordinated, expected
from slatewise.methods.loops import Loops, steered

SAMPLED = 50
"""Every so many requests are looked at first, to find prices from which all of them need few moves."""
PERIOD, DEPTH = 20_000, 0.5
"""Requests of a period of drift, and how far worths drift from their mean."""
JUDGED = 1_000
"""Requests over which shares are judged."""
WIDE = 50.0
"""Bounds of the logarithm of a multiplier that nothing guards."""

Step = Callable[[Numbers, Numbers], Numbers]
"""Takes the worths of all requests so far and how many of the last window each line won; returns the next prices."""


class Course(NamedTuple):
    """What came of a run.

    Attributes:
        won: (n,) line that got each slot.
        prices: (windows, lines) prices in each window.
        value: Worth of the slots to the lines that got them.
    """

    won: NDArray[np.int64]
    prices: Numbers
    value: float

    def shares(self, lines: int, edges: Sequence[int]) -> Numbers:
        """Return (windows, lines) shares of the requests between one edge and the next."""
        spans = pairwise(edges)
        return np.stack([_counts(self.won[start:end], lines) / (end - start) for start, end in spans])

    def swings(self, targets: Numbers, every: int = JUDGED) -> Swings:
        """Return how much the shares of windows of so many requests swing around their targets."""
        edges = range(0, len(self.won) + 1, every)
        return swings(self.shares(len(targets), edges), targets, slots=every)


def _counts(won: NDArray[np.int64], lines: int) -> Numbers:
    return np.bincount(won, minlength=lines).astype(np.float64)


def drifting(histograms: Sequence[Numbers], scales: Numbers, *, requests: int, seed: int) -> Numbers:
    """Return (requests, lines) worths: draws from histograms over 0, 1, 2, ..., scaled, and drifting in turns.

    >>> drifting([np.array([0.0, 1.0])] * 2, np.array([1.0, 2.0]), requests=3, seed=0)[0].tolist()
    [1.0, 2.0]
    """
    rng = np.random.default_rng(seed)
    phases = 2 * np.pi * np.arange(len(histograms)) / len(histograms)
    drawn = [rng.choice(len(one), requests, p=one / one.sum()) for one in histograms]
    drift = 1.0 + DEPTH * np.sin(2 * np.pi * np.arange(requests)[:, None] / PERIOD + phases)
    return np.stack(drawn, axis=1) * scales * drift


def served(worth: Numbers, step: Step, *, window: int | Sequence[int]) -> Course:
    """Return what comes of prices that are set between windows, from 0.

    Args:
        worth: (n, lines) of each slot to each line.
        step: What sets them.
        window: Requests for which prices stay, or the edges of windows: 0, ..., n.
    """
    n, lines = worth.shape
    edges = [*range(0, n, window), n] if isinstance(window, int) else window
    won = np.empty(n, np.int64)
    price, prices = np.zeros(lines), []
    for start, end in pairwise(edges):
        won[start:end] = np.argmax(worth[start:end] - price, axis=1)
        prices.append(price)
        price = step(worth[:end], _counts(won[start:end], lines))
    return Course(won, np.array(prices), float(worth[np.arange(n), won].sum()))


def unpriced(worth: Numbers, counts: Numbers) -> Numbers:
    """Set prices of 0."""
    return np.zeros(len(counts))


def coordinator(wanted: Wanted, pull: Pull, *, slots: int) -> Step:
    """Return what sets prices as `methods.coordinate` does, by the last `slots` requests."""
    prices = Prices.start(len(wanted.cap))

    def step(worth: Numbers, counts: Numbers) -> Numbers:
        nonlocal prices
        seen = expected(worth[len(worth) - int(counts.sum()) :], prices.price)
        prices = coordinated(prices, worth[-slots:], counts, wanted, pull, seen=seen)
        return prices.price

    return step


def guarded(wanted: Wanted, law: Law, *, scale: float, lag: int = 0) -> Step:
    """Return what sets prices by a loop per line, with the delay rule; counts come in `lag` windows late."""
    loops, late = Loops.start(len(wanted.cap)), list[Numbers]()

    def step(worth: Numbers, counts: Numbers) -> Numbers:
        nonlocal loops
        late.append(counts)
        loops = steered(loops, late.pop(0), wanted, law, scale=scale, lag=lag) if len(late) > lag else loops.waiting()
        return scale * loops.duals

    return step


def unguarded(worth: Numbers, targets: Numbers, law: Law, *, window: int | Sequence[int]) -> Course:
    """Return what comes of a loop per line on the logarithm of a multiplier, which knows neither delay nor the others.

    Args:
        worth: (n, lines) of each slot to each line.
        targets: (lines,) shares to hold, > 0.
        law: How each moves, on the relative error of its share.
        window: Requests for which multipliers stay, or edges of windows.
    """
    loops = [Loop()] * len(targets)
    row = law.row(-WIDE, WIDE)

    def step(logs: Numbers, counts: Numbers) -> Numbers:
        nonlocal loops
        errors = counts / (targets * counts.sum()) - 1.0
        loops = [loop.moved(row, (-error,)) for loop, error in zip(loops, errors.tolist(), strict=True)]
        return np.array([loop.dual for loop in loops])

    course = served(np.log(np.maximum(worth, 1e-300)), step, window=window)
    return course._replace(value=float(worth[np.arange(len(worth)), course.won].sum()))


def hindsight(worth: Numbers, wanted: Wanted) -> tuple[Numbers, float]:
    """Return the prices at which all requests split as wanted, and the worth of that split, less what floors lack."""
    n, lines = worth.shape
    most = np.full(lines, 10.0 * float(np.ptp(worth)) + 1.0)
    loss = np.minimum(wanted.loss, most)
    sample = worth[::SAMPLED]
    few, floor, cap = len(sample), wanted.floor, wanted.cap
    first = dual(sample, few * floor, few * cap, loss, most, wanted.anchor, np.zeros(lines))
    price = dual(worth, n * floor, n * cap, loss, most, wanted.anchor, first)
    paid = cap * np.maximum(price, 0.0) - floor * np.maximum(-price, 0.0)
    return price, float((worth - price).max(axis=1).sum() + n * paid.sum())


def clairvoyant(worth: Numbers, wanted: Wanted, *, window: int | Sequence[int]) -> Course:
    """Return what comes of the prices that are right for each window, known before it begins."""
    n = len(worth)
    edges = [*range(0, n, window), n] if isinstance(window, int) else window
    prices = np.array([hindsight(worth[start:end], wanted)[0] for start, end in pairwise(edges)])
    won = np.argmax(worth - np.repeat(prices, np.diff(edges), axis=0), axis=1)
    return Course(won, prices, float(worth[np.arange(n), won].sum()))


class Spending(NamedTuple):
    """What came of a budget.

    Attributes:
        value: Of what was bought.
        best: What hindsight would have bought.
        spent: (n,) on each request.
        asked: (n,) multiplier in force.
    """

    value: float
    best: float
    spent: Numbers
    asked: Numbers


def spending(
    values: Numbers, prices: Numbers, budget: float, *, law: Law = SPENDING, traffic: Numbers | None = None
) -> Spending:
    """Return what comes of a budget that a loop spreads over requests.

    Args:
        values: (n,) what each request is worth.
        prices: (n,) what it costs, >= 0.
        budget: What there is to spend, > 0.
        law: How the loop moves, request by request.
        traffic: (n,) share of the budget that each request should take, together 1; even by default.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> found = spending(rng.random(20_000), np.ones(20_000), 5_000.0)
        >>> found.value / found.best > 0.98, abs(float(found.asked[-1]) - 0.75) < 0.1
        (True, True)
    """
    n = len(values)
    targets = np.full(n, budget / n) if traffic is None else budget * traffic
    row = Loop().row
    low, high = -np.log(1e4), np.log(1e4)
    spent, asked = descent.buy(values, prices, targets, budget, row, law.row(low, high))
    return Spending(float(values[spent > 0].sum()), knapsack(values, prices, budget), spent, asked)


def knapsack(values: Numbers, prices: Numbers, budget: float) -> float:
    """Return the most value that a budget buys, the last request in part.

    >>> knapsack(np.array([3.0, 2.0, 1.0]), np.array([1.0, 1.0, 1.0]), 1.5)
    4.0
    >>> knapsack(np.array([3.0, -2.0]), np.array([1.0, 1.0]), 2.0)
    3.0
    """
    order = np.argsort(-values / np.maximum(prices, 1e-12), kind="stable")
    before = np.cumsum(prices[order]) - prices[order]
    part = np.clip((budget - before) / np.maximum(prices[order], 1e-12), 0.0, 1.0)
    return float((np.maximum(values[order], 0.0) * part).sum())
