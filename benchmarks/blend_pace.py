"""Pacing: one budget on a log of real prices, coupled lines on real marginals, and whatever gains a user may set."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from report import Row, fastest, show
from slatewise.evaluate.oscillation import spend_rmse
from slatewise.evaluate.pacing import (
    Course,
    clairvoyant,
    coordinator,
    drifting,
    guarded,
    hindsight,
    knapsack,
    served,
    spending,
    unguarded,
    unpriced,
)
from slatewise.kernels import descent
from slatewise.methods.control import SPENDING, Law, Loop
from slatewise.methods.coordinate import Pull, Wanted

DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ipinyou"
CAMPAIGNS = ("1458", "2259", "2261", "2821", "2997")
SCALES = np.array([1.0, 1.5, 0.7, 1.2, 0.9])
TARGETS = np.array([0.30, 0.25, 0.20, 0.15, 0.10])
EXACT = Wanted(TARGETS, TARGETS, np.full(5, np.inf), 4)
REQUESTS, WINDOW, UNIT = 100_000, 500, 80.0
FLAT = 150.0
"""What a slot missing from a floor costs."""
BUDGETS = ((32, 0.965, 0.22), (8, 0.989, 0.057), (2, 0.992, 0.024))
LAWS = (
    Law(gain=1.0),
    Law(gain=1e3),
    Law(kind="average", gain=1e3, decay=0.8),
    Law(kind="momentum", gain=10.0, decay=0.5),
    Law(kind="momentum", gain=1e3, decay=0.99),
    Law(kind="optimistic", gain=100.0),
    Law(kind="pid", proportional=2.0, integral=1.0, derivative=0.5),
    Law(kind="pid", proportional=0.0, integral=1e3),
    Law(kind="pid", proportional=1e3, integral=1e3, derivative=1e3, most=1e3),
)
LATE = ((10, 0), (100, 0), (500, 0), (1_000, 0), (2_000, 0), (100, 5), (100, 20), (500, 2), (500, 4))
"""Requests of a window, and how many windows late counts come in besides."""


@cache
def log() -> tuple[Any, Any]:
    """Return value and price of each request."""
    _, price, rate = np.loadtxt(DATA / "2997_first_half" / "theta.txt").T
    return rate * price.mean() / rate.mean(), price


@cache
def world(seed: int) -> Any:
    """Return worths of slots to five lines."""
    files = (DATA / "histograms" / f"info_{name}.json" for name in CAMPAIGNS)
    counts = [np.array(json.loads(path.read_text())["price_counter_train"], np.float64) for path in files]
    return drifting(counts, SCALES, requests=REQUESTS, seed=seed)


@cache
def best(seed: int) -> float:
    """Return what hindsight makes of exact shares."""
    return hindsight(world(seed), EXACT)[1]


def told(course: Course, seed: int = 0) -> str:
    """Return value, error of shares, and fast swings, as one cell."""
    swings = course.swings(TARGETS)
    return f"{course.value / best(seed):.3f} · {swings.rmse:.3f} · {swings.fast_rms:.3f}"


def budgets() -> list[Row]:
    """One default for three budgets, request by request."""
    values, prices = log()
    rows: list[Row] = []
    for part, value, error in BUDGETS:
        found = spending(values, prices, prices.sum() / part)
        whole = len(values) // 1_000 * 1_000
        spent = found.spent[:whole].reshape(-1, 1_000).sum(axis=1)
        rmse = spend_rmse(spent, np.full(len(spent), prices.sum() / part / len(values) * 1_000))
        kept = found.value / found.best
        held = sum(
            spending_in(values[at : at + 1_000], prices[at : at + 1_000], part) for at in range(0, len(values), 1_000)
        )
        rows.append(
            Row(
                f"budget 1/{part}, value / best · error of spending, 78,031 requests",
                f"≥ {value} · ≤ {error}",
                f"{kept:.3f} · {rmse:.3f}",
                f"hindsight of each 1,000: {held / found.best:.3f} · 0",
                bool(kept >= value and rmse <= error),
            )
        )
    row, law = Loop().row, SPENDING.row(-9.0, 9.0)
    (one,) = fastest(lambda: descent.step(row, law, 0.1, 1.0))
    rows.append(Row("one step of a controller", "≤ 2 µs", f"{one:.2f} µs", "", one <= 2))
    return rows


def spending_in(values: Any, prices: Any, part: int) -> float:
    """Return what hindsight buys in one window for its part of the budget."""
    return knapsack(values, prices, len(values) * log()[1].sum() / part / len(log()[1]))


def coupled() -> list[Row]:
    """Five lines whose shares are held 500 requests late."""
    worth = world(0)
    rows = [
        Row("five lines, no prices: value / best · share error · fast swings", "1.061 · .850 · .057, as reported",
            told(served(worth, unpriced, window=REQUESTS)), "", True),
        Row("the same, each 1,000 known before", ".925 · .017 · .011, as reported",
            told(clairvoyant(worth, EXACT, window=1_000)), "", True),
        Row("a steep PID per line, 500 requests late", ".665 · .561 · .527, as reported",
            told(unguarded(worth, TARGETS, steep(), window=WINDOW)), "", True),
    ]  # fmt: skip
    for seeds, name in (((0,), "seed 0"), (range(1, 11), "worst of ten other seeds")):
        found = [
            (course.value / best(seed), course.swings(TARGETS))
            for seed in seeds
            for course in [served(world(seed), coordinator(EXACT, Pull(), slots=WINDOW), window=WINDOW)]
        ]
        value, error = min(one for one, _ in found), max(swings.rmse for _, swings in found)
        fast = max(swings.fast_rms for _, swings in found)
        ok = value >= 0.92 and error <= 0.14 and fast <= 0.09
        goal = "≥ .92 · ≤ .14 · ≤ .09"
        rows.append(
            Row(f"coordinator, 500 requests late, {name}", goal, f"{value:.4f} · {error:.3f} · {fast:.3f}", "", ok)
        )
    return rows


def steep() -> Law:
    """Return gains that look ordinary and swing."""
    return Law(kind="pid", proportional=2.0, integral=1.0, derivative=0.5, most=50.0)


def guards() -> list[Row]:
    """Every law at every delay, under the delay rule."""
    worst: list[tuple[float, float, str]] = []
    for window, lag in (*LATE, (1, 0)):
        for law in LAWS if window > 1 else LAWS[1::5]:
            worth = world(0)
            course = served(worth, guarded(EXACT, law, scale=UNIT, lag=lag), window=window)
            name = f"{law.kind}, window {window}, {lag} late"
            worst.append((course.swings(TARGETS).fast_rms, course.value / best(0), name))
    fast, _, which = max(worst)
    value = min(one for _, one, _ in worst)
    goal = "≤ .12 · ≥ .89"
    what = f"guarded loops, {len(worst)} gains and delays of 1 to 2,000: most fast swings · least value / best"
    return [Row(what, goal, f"{fast:.3f} · {value:.3f}", f"most: {which}", fast <= 0.12 and value >= 0.89)]


def floors() -> list[Row]:
    """Floors of 0.8 and caps of 1.2 times the shares, and a floor that cannot be met."""
    none, flat = np.zeros(5), np.full(5, FLAT)
    regrets: list[float] = []
    met = 0.0
    for floor in (none, 0.8 * TARGETS):
        wanted = Wanted(floor, 1.2 * TARGETS, flat)
        course = served(world(0), coordinator(wanted, Pull(), slots=WINDOW), window=WINDOW)
        share = np.bincount(course.won, minlength=5) / REQUESTS
        missing = float((flat * np.maximum(floor - share, 0.0)).sum()) * REQUESTS
        regrets.append(1.0 - (course.value - missing) / hindsight(world(0), wanted)[1])
        met = float(min(np.min(share[floor > 0] / floor[floor > 0], initial=2.0), 2.0))
    far = Wanted(np.array([0.9, 0.0, 0.0, 0.0, 0.0]), np.ones(5), np.full(5, 20.0))
    prices = served(world(0), coordinator(far, Pull(), slots=WINDOW), window=WINDOW).prices[2:, 0]
    more = regrets[1] / regrets[0] - 1.0
    return [
        Row("floors that can be met, least share / floor over the run", "≥ .98", f"{met:.3f}", "", met >= 0.98),
        Row("regret of floors and caps over caps alone", "≤ +10 %", f"{more:+.1%}",
            f"{regrets[1]:.4f} and {regrets[0]:.4f}", more <= 0.1),
        Row("price under a floor that cannot be met, loss 20", "−20", f"{prices.min():g} to {prices.max():g}", "",
            bool((prices == -20.0).all())),
    ]  # fmt: skip


def rows() -> list[Row]:
    """Return all rows."""
    if not DATA.is_dir():
        return []
    return [*budgets(), *coupled(), *guards(), *floors()]


if __name__ == "__main__":
    show(rows())
