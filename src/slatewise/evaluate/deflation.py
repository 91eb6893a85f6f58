"""Deflation: what becomes of scores when every line answers the others, under two ways of charging for a slot.

Lines draw values independently. Round by round each line moves part of the way to its best response against the scores
that the others entered in the round before,

    best(V) = argmax_s  sum over rivals' top scores z < s of (V - rate * charge),

where the charge is s (`own`) or z (`displacement`).

With its own score to pay, a line enters less than its value; so do the others, so that less is enough. With what it
displaces to pay, every z below V / rate is a gain and every other one a loss: the best score is V / rate, whatever the
others do. Cost: O(rounds * lines * pages log pages).

References:
    Vickrey (1961), "Counterspeculation, auctions, and competitive sealed tenders", Journal of Finance 16(1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.core.ledger import Accounting

CANDIDATES = 2_000
"""Scores that a line weighs against each other, at most: places in the sorted scores of its rivals."""


TIE = 1e-9
"""Surpluses that differ by no more are the same."""


class Rounds(msgspec.Struct, frozen=True):
    """What became of scores, round by round; the first is before any answer.

    Attributes:
        accounting: What lines are charged.
        rate: What a unit charged costs a line.
        anchor: The line that does not answer, from 0; none if all do.
        top: Mean top score.
        low: Share of pages whose top score is below the threshold.
        welfare: Value of the winners over that of the best.
        shares: Share of the pages that each line wins.
        threshold: Below it a top score is low.
    """

    accounting: Accounting
    rate: float
    anchor: int | None
    top: tuple[float, ...]
    low: tuple[float, ...]
    welfare: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]
    threshold: float

    @property
    def drift(self) -> float:
        """By how much the mean top score has changed, as a share of what it was."""
        return self.top[-1] / self.top[0] - 1


class _Page(NamedTuple):
    """Pages of a round.

    Attributes:
        scores: (pages, lines) float64.
        winner: (pages,) line with the top score.
    """

    scores: Numbers
    winner: NDArray[np.int64]


def drawn(histograms: Sequence[Sequence[float]], *, pages: int, seed: int) -> Numbers:
    """Return (pages, lines) float64: values drawn from a histogram for each line, spread evenly inside a cell.

    >>> drawn([[0, 0, 1], [1]], pages=2, seed=0).astype(int).tolist()
    [[2, 0], [2, 0]]

    Args:
        histograms: Per line, how often its value was in [0, 1), [1, 2), ...
        pages: Values of each line.
        seed: Root of the draws.

    Raises:
        RequestError: A histogram is empty or has a count below zero.
    """
    draws = np.random.default_rng(seed)
    values = np.empty((pages, len(histograms)))
    for line, histogram in enumerate(histograms):
        counts = np.asarray(histogram, np.float64)
        if not counts.sum() > 0 or (counts < 0).any():
            raise RequestError(f"histograms[{line}]", "must have counts >= 0, some above", shown(counts.tolist()))
        values[:, line] = draws.choice(len(counts), pages, p=counts / counts.sum()) + draws.random(pages)
    return values


def responses(
    values: Numbers,
    *,
    accounting: Accounting,
    rate: float = 1.0,
    anchor: int | None = None,
    rounds: int = 25,
    step: float = 0.6,
    threshold: float = 60.0,
) -> Rounds:
    """Return what becomes of scores when lines answer each other.

    >>> values = drawn([[1.0] * 100] * 2, pages=2000, seed=0)
    >>> responses(values, accounting="own").drift < -0.4
    True
    >>> abs(responses(values, accounting="displacement").drift) < 1e-9
    True

    Args:
        values: (pages, lines) float64, >= 0.
        accounting: What lines are charged.
        rate: What a unit charged costs a line, > 0; larger makes lines enter less.
        anchor: A line that enters its value, from 0.
        rounds: How often the scores are looked at, >= 1; lines answer between.
        step: Part of the way that lines go to their best response, 0 to 1.
        threshold: Below it a top score is low.
    """
    for name, given, right, rule in (("rate", rate, rate > 0, "> 0"), ("step", step, 0 <= step <= 1, "from 0 to 1")):
        if not right:
            raise RequestError(name, f"must be {rule}", shown(given))
    grid = np.linspace(0.0, values.max(), round(values.max()) + 1)
    entered = np.tile(grid, (values.shape[1], 1))  # of each line, its score over its value
    best = values.max(axis=1).mean()
    seen: list[tuple[float, float, float, tuple[float, ...]]] = []
    for _ in range(rounds):
        page = _entered(values, grid, entered)
        top = page.scores.max(axis=1)
        won = values[np.arange(len(values)), page.winner].mean() / best
        shares = np.bincount(page.winner, minlength=values.shape[1]) / len(values)
        seen.append((float(top.mean()), float((top < threshold).mean()), float(won), tuple(shares.tolist())))
        entered = _answered(page, grid, entered, accounting, rate, anchor, step)
    top, low, welfare, shares = zip(*seen, strict=True)
    return Rounds(accounting, rate, anchor, top, low, welfare, shares, threshold)


def _entered(values: Numbers, grid: Numbers, entered: Numbers) -> _Page:
    scores = np.column_stack([np.interp(values[:, line], grid, own) for line, own in enumerate(entered)])
    return _Page(scores, scores.argmax(axis=1))


def _answered(
    page: _Page, grid: Numbers, entered: Numbers, accounting: Accounting, rate: float, anchor: int | None, step: float
) -> Numbers:
    """Return what lines enter in the next round."""
    answered = entered.copy()
    for line in range(len(entered)):
        if line != anchor:
            rivals = np.sort(np.delete(page.scores, line, axis=1).max(axis=1))
            answered[line] = (1 - step) * entered[line] + step * best_scores(rivals, grid, rate, accounting=accounting)
    return answered


def best_scores(rivals: Numbers, values: Numbers, rate: float, *, accounting: Accounting) -> Numbers:
    """Return the best score for each value, of those just above some rival's and value / rate, which ties go to.

    >>> rivals = np.array([1.0, 2.0, 4.0])
    >>> best_scores(rivals, np.array([3.0]), 1.0, accounting="displacement").tolist()
    [3.0]
    >>> best_scores(rivals, np.array([3.0]), 1.0, accounting="own").round(6).tolist()
    [1.0]

    Args:
        rivals: (pages,) float64, their top scores in ascending order.
        values: (m,) float64.
        rate: What a unit charged costs.
        accounting: What is charged.
    """
    charged = np.concatenate([[0.0], np.cumsum(rivals)])

    def surplus(scores: Numbers) -> Numbers:
        won = np.searchsorted(rivals, scores)
        cost = charged[won] if accounting == "displacement" else scores * won
        return (values[:, None] * won - rate * cost) / len(rivals)

    just_above = np.nextafter(rivals[:: max(len(rivals) // CANDIDATES, 1)], np.inf)
    scores = np.concatenate([[0.0], just_above])
    truthful = values[:, None] / rate
    found, own = surplus(scores[None, :]), surplus(truthful)[:, 0]
    return np.where(found.max(axis=1) > own + TIE, scores[found.argmax(axis=1)], truthful[:, 0])
