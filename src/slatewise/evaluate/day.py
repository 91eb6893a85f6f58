"""A day of traffic under several controllers: the same requests, the same clock, one table.

Requests come as the hours of a day have them (`methods.traffic`), and prices are set every so many minutes: many slots
a window at noon, few at night. What comes of it is compared with what hindsight would have made, and with prices that
are right for each window, known before it begins.

Cost: one run of the plant per controller (`evaluate.pacing`).

References:
    The controllers that swing are PIDs on multipliers, each line its own, as feeds often have them; see
    Balseiro et al. (2022), arXiv 2202.06152, for what they are as mirror descent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.evaluate.oscillation import Swings, spend_rmse, swings, volatility
from slatewise.evaluate.pacing import (
    Course,
    clairvoyant,
    coordinator,
    guarded,
    hindsight,
    served,
    spending,
    unguarded,
    unpriced,
)
from slatewise.methods.control import SPENDING, Law
from slatewise.methods.coordinate import Pull, Wanted
from slatewise.methods.traffic import AVITO, DAY, HOUR, weight

STEEP_PID = Law(kind="pid", proportional=2.0, integral=1.0, derivative=0.5, most=50.0)
SPREAD = 0.7
"""Standard deviation of the logarithm of made-up worths."""
LOOKED_AT = 500
"""Slots that the coordinator looks at."""
LAWS = {
    "a tenth of the step": Law(gain=SPENDING.gain / 10, memory=SPENDING.memory),
    "the default": SPENDING,
    "ten times the step": Law(gain=SPENDING.gain * 10, memory=SPENDING.memory),
    "steep PID": STEEP_PID,
}


class Arm(NamedTuple):
    """What came of one controller.

    Attributes:
        name: Of the controller.
        kept: Value, relative to that of the best split in hindsight.
        swings: Of the shares.
        volatility: Mean change of a price between windows, in units of the mean worth.
        total: (lines,) shares of the day.
        shares: (windows, lines) shares of each window.
        prices: (windows, lines) prices, in units of the mean worth.
    """

    name: str
    kept: float
    swings: Swings
    volatility: float
    total: Numbers
    shares: Numbers
    prices: Numbers


class Day(NamedTuple):
    """A day under several controllers.

    Attributes:
        lines: Their names.
        targets: (lines,) their shares.
        hours: (windows,) hour at which each window ends.
        arms: One per controller.
    """

    lines: tuple[str, ...]
    targets: Numbers
    hours: Numbers
    arms: tuple[Arm, ...]


class BudgetArm(NamedTuple):
    """What came of one law.

    Attributes:
        name: Of the law.
        kept: Value, relative to the knapsack's in hindsight.
        rmse: Error of what windows spent, relative to their targets.
        volatility: Mean change of the logarithm of the multiplier between windows.
        spent: (windows,) what each spent, relative to its target.
        asked: (windows,) mean multiplier.
    """

    name: str
    kept: float
    rmse: float
    volatility: float
    spent: Numbers
    asked: Numbers


class BudgetDay(NamedTuple):
    """A budget over a day.

    Attributes:
        hours: (windows,) hour at which each window ends.
        arms: One per law.
    """

    hours: Numbers
    arms: tuple[BudgetArm, ...]


def arrivals(requests: int, *, minutes: float) -> tuple[Numbers, Sequence[int]]:
    """Return the hour at which each window of a day ends, and the edges of windows among the requests.

    >>> hours, edges = arrivals(2_400, minutes=720.0)
    >>> hours.tolist(), edges
    ([12.0, 24.0], [0, 867, 2400])
    """
    ends = np.arange(1, round(DAY / (60 * minutes)) + 1) * 60 * minutes
    passed = np.array([weight(0.0, float(end), AVITO) for end in ends]) / DAY
    edges = [0, *np.rint(requests * passed).astype(int).tolist()]
    if min(np.diff(edges)) < 1:
        raise RequestError("requests", "must be enough for one in each window", str(requests), "take longer windows")
    return np.asarray(ends / HOUR, np.float64), edges


def made_up(lines: int, *, requests: int, seed: int) -> Numbers:
    """Return (requests, lines) worths that drift in turns, three times a day, by half."""
    rng = np.random.default_rng(seed)
    turn = 6 * np.pi * np.arange(requests)[:, None] / requests + 2 * np.pi * np.arange(lines) / lines
    levels = np.linspace(1.0, 1.5, lines)
    return levels * rng.lognormal(0.0, SPREAD, (requests, lines)) * (1.0 + 0.5 * np.sin(turn))


def replayed(worth: Numbers, shares: dict[str, float], *, minutes: float) -> Day:
    """Return a day of lines that are to have shares.

    Args:
        worth: (n, lines) of each slot to each line, >= 0.
        shares: Line to its share, > 0, together 1.
        minutes: Between one setting of prices and the next.

    Raises:
        RequestError: Shares do not add up, or there are too few requests.
    """
    targets = np.array(list(shares.values()))
    if len(targets) < 2 or not (targets > 0).all() or abs(targets.sum() - 1) > 1e-6:
        raise RequestError("share", "must be > 0 for two lines or more, and 1 together", shown(shares))
    hours, edges = arrivals(len(worth), minutes=minutes)
    scale = float(worth.max(axis=1).mean())
    wanted = Wanted(targets, targets, np.full(len(targets), np.inf), int(np.argmax(targets)))
    best = hindsight(worth, wanted)[1]
    runs: dict[str, Callable[[], Course]] = {
        "no prices": lambda: served(worth, unpriced, window=edges),
        "a PID per line": lambda: unguarded(worth, targets, STEEP_PID, window=edges),
        "the same, guarded": lambda: served(worth, guarded(wanted, STEEP_PID, scale=scale), window=edges),
        "coordinator": lambda: served(worth, coordinator(wanted, Pull(), slots=LOOKED_AT), window=edges),
        "each window known": lambda: clairvoyant(worth, wanted, window=edges),
    }
    arms = tuple(_arm(name, run(), targets, edges, best, scale) for name, run in runs.items())
    return Day(tuple(shares), targets, hours, arms)


def _arm(name: str, course: Course, targets: Numbers, edges: Sequence[int], best: float, scale: float) -> Arm:
    shares = course.shares(len(targets), edges)
    slots = float(1.0 / np.mean(1.0 / np.diff(edges)))
    prices = course.prices / scale
    total = np.bincount(course.won, minlength=len(targets)) / len(course.won)
    return Arm(
        name, course.value / best, swings(shares, targets, slots=slots), volatility(prices), total, shares, prices
    )


def spread(values: Numbers, prices: Numbers, part: float, *, minutes: float) -> BudgetDay:
    """Return a day of a budget that is a part of what all requests would cost.

    Args:
        values: (n,) what each request is worth.
        prices: (n,) what it costs, >= 0, in the unit of `values`.
        part: The budget, relative to the sum of prices, > 0.
        minutes: Length of the windows that are judged.
    """
    hours, edges = arrivals(len(values), minutes=minutes)
    budget = part * float(prices.sum())
    due = np.diff(edges) / len(values) * budget
    arms: list[BudgetArm] = []
    for name, law in LAWS.items():
        found = spending(values, prices, budget, law=law)
        spent = np.add.reduceat(found.spent, edges[:-1]) / due
        asked = np.exp(np.add.reduceat(np.log(found.asked), edges[:-1]) / np.diff(edges))
        kept = found.value / found.best
        arms.append(
            BudgetArm(name, kept, spend_rmse(spent, np.ones_like(spent)), volatility(np.log(asked)), spent, asked)
        )
    return BudgetDay(hours, tuple(arms))


def document(found: Day | BudgetDay) -> dict[str, Any]:
    """Return a day as JSON can hold it."""
    arms: list[dict[str, Any]] = []
    for arm in found.arms:
        plain = {name: _plain(value) for name, value in arm._asdict().items()}
        if isinstance(arm, Arm):
            plain["swings"] = {name: _plain(value) for name, value in arm.swings._asdict().items()}
        arms.append(plain)
    own = {name: _plain(value) for name, value in found._asdict().items() if name != "arms"}
    return {**own, "arms": arms}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
