"""Shading: on a real stream of prices, and on random landscapes.

The stream is campaign 2997, the first half of its test period, in time order. A request has a value V = 1.5 * E[price]
* pCTR / E[pCTR], clipped to [1, 900]. A score s wins if the price is below it, and pays s. What the price was is seen
only after a win. Settings of the learner are its defaults, chosen on the first quarter (its first half against its
second); the step of the price, .1, is the best of .03, .1 and .3 for that quarter. The goals of the first two rows were
set for the other half of the campaign, which is not here.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

from report import Row, fastest, show
from slatewise.kernels import landscape
from slatewise.methods.explore import Account, Explore
from slatewise.methods.shading import Smooth, Steps, solve
from slatewise.methods.winrates import Learning, WinRates

Numbers = NDArray[np.float64]
WINDOW = 100
"""Requests between two looks at what was learned."""
LEARNING = Learning(step=1.0)
EXPLORE = Explore()
EDGE = {way: float(np.exp(way * EXPLORE.band)) for way in (-1, 0, 1)}
FACTORS = np.arange(0.05, 1.0, 0.005)


def prices() -> tuple[Numbers, Numbers]:
    """Return prices and predicted click rates, in time order."""
    data = Path(os.environ.get("SLATEWISE_DATA", "../shared/data"))
    rows = np.loadtxt(data / "ipinyou" / "2997_first_half" / "theta.txt")
    return rows[:, 1].copy(), rows[:, 2].copy()


def values(price: Numbers, rate: Numbers, fit: slice) -> Numbers:
    """Return values, scaled by the means of a part."""
    return np.clip(1.5 * price[fit].mean() * rate / rate[fit].mean(), 1.0, 900.0)


def surplus(value: Numbers, price: Numbers, score: Numbers) -> float:
    """Return what is won less what is paid."""
    return float(((value - score) * (price < score)).sum())


def learned(rates: WinRates, value: Numbers, score: Numbers, price: Numbers) -> WinRates:
    """Return what is known after a window: prices only of what was won."""
    return rates.observe(value, score, rivals=price, known=price < score)


def logged(value: Numbers, price: Numbers, learning: Learning = LEARNING) -> WinRates:
    """Return what is learned from a log in which every score was the value."""
    rates = WinRates(learning=learning)
    for start in range(0, len(value), WINDOW):
        part = slice(start, start + WINDOW)
        rates = learned(rates, value[part], value[part], price[part])
    return rates


def shaded(rates: WinRates, value: Numbers, price: Numbers, *, rate: float = 1.0, learn: str = "outcomes") -> Numbers:
    """Return the scores entered for a stream; `learn` outcomes, only `values`, or nothing."""
    score = np.empty(len(value))
    for start in range(0, len(value), WINDOW):
        part = slice(start, start + WINDOW)
        score[part] = rates.best_of(value[part], value[part], rate)
        if learn == "outcomes":
            rates = learned(rates, value[part], score[part], price[part])
        elif learn == "values":
            rates = rates.observe(value[part], np.zeros(len(value[part])), rivals=price[part], known=price[part] < 0.0)
    return score


def fixed(value: Numbers, price: Numbers, budget: float) -> float:
    """Return the most that one factor for all requests can win within a budget of score, in hindsight."""
    best = 0.0
    for factor in np.exp(np.linspace(np.log(0.02), 0.0, 200)):
        won = price < factor * value
        kept = won & (np.cumsum(np.where(won, factor * value, 0.0)) <= budget)
        best = max(best, float(value[kept].sum()))
    return best


def knapsack(value: Numbers, price: Numbers, budget: float) -> float:
    """Return the most that can be won in hindsight, paying the price of what is won, fractions allowed."""
    order = np.argsort(-value / np.maximum(price, 1e-9))
    spent = np.cumsum(price[order])
    last = int(np.searchsorted(spent, budget))
    before = spent[last - 1] if last else 0.0
    return float(value[order][:last].sum() + value[order][last] * (budget - before) / price[order][last])


def online(
    value: Numbers, price: Numbers, budget: float, *, explore: Explore | None = None, truthful: float = 0.0, step: float
) -> float:
    """Return what is won within a budget of score, from a cold start.

    The rate of the score is a multiplicative price: it rises by what is spent beyond what is left per request,
    and falls by what is spent below, in steps of step / sqrt(requests). `truthful` is a share of requests that enter
    all they are worth, the usual way to explore.
    """
    rates, account, rate, left, won_value = WinRates(learning=LEARNING), Account(), 1.0, budget, 0.0
    total = len(value)
    score = np.zeros(total)
    chosen = np.random.default_rng(0).random(total) < truthful
    for start in range(0, total, WINDOW):
        part = range(start, min(start + WINDOW, total))
        ways = [explore.drawn(str(at), "line") if explore and not account.empty else 0 for at in part]
        for at, way in zip(part, ways, strict=True):
            worth = value[at]
            entered = rates.best(worth, worth, rate) if rates.ready and not chosen[at] else worth / rate
            entered = min(entered * EDGE[way], worth / rate)
            entered = entered if entered <= left else 0.0
            score[at] = entered
            target = left / (total - at)
            paid = entered if price[at] < entered else 0.0
            won_value += worth if paid else 0.0
            left -= paid
            if target > 0.0:
                rate = min(max(rate * np.exp(step / np.sqrt(at + 30.0) * (paid / target - 1.0)), 0.05), 200.0)
        rows = slice(part.start, part.stop)
        if explore:
            up = np.array(ways) > 0
            paid = float(score[rows][price[rows] < score[rows]].sum())
            account = account.after(explore, rates, values=value[rows][up], raised=score[rows][up], paid=paid)
        rates = learned(rates, value[rows], score[rows], price[rows])
    return won_value


def at_spend(rates: WinRates, value: Numbers, price: Numbers, spend: float) -> float:
    """Return what is won at a given spend, by the one rate that spends no more in hindsight."""
    low, high, best = 0.2, 5.0, 0.0
    for _ in range(12):
        rate = float(np.sqrt(low * high))
        score = shaded(rates, value, price, rate=rate)
        won = price < score
        if score[won].sum() > spend:
            low = rate
        else:
            high, best = rate, float(value[won].sum())
    return best


def offline_rows() -> list[Row]:
    """Fit on the first quarter, of which every score was the value; enter scores for the second."""
    price, rate = prices()
    half = len(price) // 2
    value = values(price, rate, slice(0, half))
    before = logged(value[:half], price[:half])
    value, price = value[half : 2 * half], price[half : 2 * half]
    flat = max(surplus(value, price, factor * value) for factor in FACTORS)
    gains = {
        learn: surplus(value, price, shaded(before, value, price, learn=learn)) / flat - 1.0
        for learn in ("outcomes", "values", "nothing")
    }
    won = price < 0.5 * value
    more = at_spend(before, value, price, float(0.5 * value[won].sum())) / float(value[won].sum()) - 1.0
    share = flat / float(np.maximum(value - price - 1.0, 0.0).sum())
    peer = f"best flat factor in hindsight: {share:.3f} of the oracle"
    fresh, ranked, frozen = gains["outcomes"], gains["values"], gains["nothing"]
    return [
        Row("surplus over flat, second quarter", ">= +7.8 %", f"{fresh:+.1%}", peer, fresh >= 0.078),
        Row("value at the spend of flat 0.5", ">= +5.1 %", f"{more:+.1%}", "flat 0.5", more >= 0.051),
        Row("surplus, refreshed", ">= +2.3 %", f"{fresh:+.1%}", peer, fresh >= 0.023),
        Row(
            "surplus, frozen but for the ranks",
            ">= -1 %",
            f"{ranked:+.1%}",
            f"ranks, too: {frozen:+.1%}",
            ranked >= -0.01,
        ),
    ]


def online_rows() -> list[Row]:
    """Replay the whole stream from a cold start, within budgets."""
    price, rate = prices()
    value = values(price, rate, slice(None))
    rows: list[Row] = []
    for name, goal, budget in (("1/16", 0.052, price.sum() / 16), ("1/4", 0.029, price.sum() / 4)):
        oracle = knapsack(value, price, budget)
        peer = fixed(value, price, budget)
        plain = online(value, price, budget, step=0.1)
        explored = online(value, price, budget, step=0.1, explore=EXPLORE)
        bucket = online(value, price, budget, step=0.1, truthful=0.02)
        gain, cost = plain / peer - 1.0, 1.0 - explored / plain
        measured, best = f"{plain / oracle:.3f} of the oracle, {gain:+.1%}", f"best fixed factor: {peer / oracle:.3f}"
        rows.append(Row(f"online, budget {name}", f">= {goal:+.1%}", measured, best, gain >= goal))
        usual = f"2 % of requests unshaded: {1 - bucket / plain:.2%}"
        rows.append(Row(f"exploring, budget {name}, costs", "<= 1 %", f"{cost:.2%}", usual, cost <= 0.01))
    return rows


def solver_rows() -> list[Row]:
    """Compare with enumeration and with closed forms, on random landscapes."""
    random = np.random.default_rng(0)
    gap = max(_step_gap(random) for _ in range(200))
    smooth = max(_mixture_gap(random) for _ in range(100))
    off = max(_closed_gap(random) for _ in range(500))
    steps, mixture = _steps(random), Smooth.of(np.array([[1.0, 3.0, 0.6, 0.5], [2.0, 4.5, 0.1, 0.5]]))
    single = Smooth.of(np.array([[1.0, 3.0, 0.6, 1.0]]))
    times = fastest(*(lambda curve=curve: solve(curve, 50.0) for curve in (steps, single, mixture)))
    shown = ", ".join(f"{time:.1f} us" for time in times)
    return [
        Row("steps: best missed by", "<= 1e-9", f"{gap:.1e}", "all steps, 200 x 50 queries", gap <= 1e-9),
        Row("mixtures: best missed by", "<= 1e-9", f"{smooth:.1e}", "20,000 scores, 100 x 5 queries", smooth <= 1e-9),
        Row("closed forms missed by, relative", "<= 1e-6", f"{off:.1e}", "500 x 4 curves", off <= 1e-6),
        Row("300 steps, a log-normal, a mixture of two", "<= 5 us", shown, "one query", max(times) <= 5.0),
    ]


def _steps(random: np.random.Generator) -> Steps:
    return Steps.of(np.sort(random.uniform(0.0, 100.0, 300)), np.sort(random.uniform(0.0, 1.0, 300)))


def _step_gap(random: np.random.Generator) -> float:
    steps, worst = _steps(random), 0.0
    for _ in range(50):
        worth, rate, most = (
            np.exp(random.uniform(0.0, 6.0)),
            np.exp(random.uniform(-1.0, 1.0)),
            random.uniform(5.0, 150.0),
        )
        allowed = steps.scores <= most
        best = max(0.0, (steps.wins * (worth - rate * steps.scores))[allowed].max(initial=0.0))
        worst = max(worst, best - solve(steps, worth, rate=rate, most=most).surplus)
    return worst


def _mixture_gap(random: np.random.Generator) -> float:
    count = random.integers(2, 5)
    scales, weights = np.exp(random.uniform(-2.5, 1.0, count)), random.dirichlet(np.ones(count))
    parts = np.column_stack([random.integers(0, 4, count), random.uniform(0.0, 5.0, count), scales, weights])
    curve, worst = Smooth.of(parts), 0.0
    for _ in range(5):
        worth = np.exp(random.uniform(-2.0, 7.0))
        scores = np.exp(np.linspace(np.log(1e-6), np.log(worth), 20_000))
        best = float((landscape.wins(parts, scores) * (worth - scores)).max())
        worst = max(worst, best - solve(curve, worth).surplus)
    return worst


def _closed_gap(random: np.random.Generator) -> float:
    bar, size, shape = (
        np.exp(random.uniform(-3.0, 6.0)),
        np.exp(random.uniform(-2.0, 5.0)),
        np.exp(random.uniform(-2.0, 2.0)),
    )
    size = max(size, bar / 500.0)
    far = np.exp(bar / size + 1.0)
    closed = {
        (landscape.POWER, np.log(size), 1.0 / shape): min(bar * shape / (shape + 1.0), size),
        (landscape.LOGISTIC, np.log(size), 1.0): size * bar / (size + np.sqrt(size * size + size * bar)),
        (landscape.LOGISTIC, np.log(size) / 2, 0.5): 2 * np.sqrt(size) * np.sinh(np.arcsinh(bar / np.sqrt(size)) / 3),
        (landscape.EXTREME, np.log(size), 1.0): size * (bar / size + 1.0 - lambertw(far).real),
    }
    solved = (solve(Smooth.of(np.array([[*part, 1.0]])), bar).score for part in closed)
    return max(abs(found / right - 1.0) for found, right in zip(solved, closed.values(), strict=True))


def rows() -> list[Row]:
    """Return every row; those on the stream only where the data is."""
    stream = (Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ipinyou" / "2997_first_half").is_dir()
    return (offline_rows() + online_rows() if stream else []) + solver_rows()


if __name__ == "__main__":
    show(rows())
