"""How right a landscape is, on rows that it was not fitted on.

| figure | what it is | rows |
|---|---|---|
| AUC | how often a row that won has the larger win probability of a pair | all |
| log loss | - mean log P(won or lost), at the own score | all |
| ANLP | - mean log P(z), a price taken as its tick: F(z + 1) - F(z) | with a known price |
| C-index | how often, of two rivals, the one expected to be lower is | pairs of known order |
| Brier | mean over scores up to the limit of (1{z < s} - F(s))² | of which 1{z < s} is known |
| survival | S(limit): share of rivals beyond the limit, expected and seen | known prices, if all are |

Which rival is expected to be lower is read off the win probability at half the limit. What is beyond the limit is kept
apart: up there nothing was seen, and a landscape says what its family says. Where prices of lost rows are not known,
ANLP is that of the rows that won, and 1{z < s} is known where the own score is at least s; that is fair as long as own
scores do not depend on the rival's, given the context. Without the prices of wins there is no Brier score.

Intervals draw rows, or whole clusters where these are given; those of the AUC and the C-index follow from how much each
row moves them. Cost: O(n log n + n * STEPS), and O(PAIRS²) for the C-index.

References:
    Harrell, Lee & Mark (1996), "Multivariable prognostic models", Stat. Med. 15: the C-index.
    Graf, Schmoor, Sauerbrei & Schumacher (1999), "Assessment and comparison of prognostic classification schemes for
        survival data", Stat. Med. 18: the integrated Brier score.
    DeLong, DeLong & Clarke-Pearson (1988), "Comparing the areas under two or more correlated ROC curves", Biometrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from slatewise.evaluate.intervals import Interval, mean_by_cluster

Numbers: TypeAlias = NDArray[np.float64]
Win: TypeAlias = Callable[[Numbers], Numbers]
"""From (n, g) scores to (n, g) win probabilities, each row in its own context."""

SMALLEST = 1e-9
"""Probability that a price or an outcome is taken to have had, at least, where logarithms are taken."""

STEPS = 30
"""Scores at which the Brier score looks."""

PAIRS = 2_000
"""Rows that are compared with each other for the C-index."""

BINS = 10
"""Bins of equal mass in which win probabilities are compared with what happened."""


class Outcomes(NamedTuple):
    """What happened, in ticks.

    Attributes:
        score: (n,) own scores.
        won: (n,) whether each won.
        price: (n,) best rival scores; NaN where they are not known.
        clusters: (n,) what is drawn together for intervals; none for single rows.
    """

    score: Numbers
    won: NDArray[np.bool_]
    price: Numbers
    clusters: NDArray[Any] | None = None


class Bin(msgspec.Struct, frozen=True):
    """Rows of similar win probability at their own score.

    Attributes:
        expected: Mean win probability.
        won: Share that won.
        low: Lower end of its interval.
        high: Upper end.
        rows: How many they are.
    """

    expected: float
    won: float
    low: float
    high: float
    rows: int


class Report(msgspec.Struct, frozen=True):
    """What is known of a landscape.

    Attributes:
        rows: How many rows it was tried on.
        limit: Ticks up to which it was fitted.
        auc: See above.
        log_loss: See above.
        anlp: Of all known prices.
        anlp_within: Of those below the limit.
        anlp_beyond: Of those at the limit or above.
        concordance: The C-index.
        brier: See above.
        survival: Mean of S(limit).
        survival_seen: Share of prices at the limit or above; NaN unless all prices are known.
        calibration: Win probabilities against what happened.
        identified: By context, the largest score at which it can be known.
    """

    rows: int
    limit: float
    auc: Interval
    log_loss: Interval
    anlp: Interval
    anlp_within: Interval
    anlp_beyond: Interval
    concordance: Interval
    brier: Interval
    survival: float
    survival_seen: float
    calibration: tuple[Bin, ...]
    identified: dict[str, float] = {}


def report(
    outcomes: Outcomes, win: Win, *, limit: float, identified: Mapping[str, float] | None = None, seed: int = 0
) -> Report:
    """Return the figures of a landscape.

    Args:
        outcomes: What happened on rows that it was not fitted on.
        win: The landscape, in the contexts of these rows.
        limit: Ticks up to which it was fitted.
        identified: What to add of single contexts, as `identified` returns it.
        seed: Root of the draws.

    Examples:
        >>> known = Outcomes(np.array([2.0, 2.0]), np.array([True, False]), np.array([1.0, 3.0]))
        >>> found = report(known, lambda scores: np.clip((scores - 1) / 4, 0, 1), limit=4)
        >>> round(found.anlp.estimate, 3), found.concordance.estimate, found.survival, found.survival_seen
        (1.386, 0.5, 0.25, 0.0)
    """
    score, won, price, _ = outcomes
    chance = win(score[:, None])[:, 0]
    happened = np.clip(np.where(won, chance, 1.0 - chance), SMALLEST, 1.0)
    known = np.isfinite(price)
    at = np.where(known, price, 1.0)
    spread = win(np.stack([at, at + 1.0], axis=1))
    unlikely = np.where(known, -np.log(np.maximum(spread[:, 1] - spread[:, 0], SMALLEST)), np.nan)
    beyond = win(np.full((len(score), 1), float(limit)))[:, 0]

    def mean(values: Numbers) -> Interval:
        return _mean(values, outcomes.clusters, seed)

    return Report(
        rows=len(score),
        limit=float(limit),
        auc=_with_influence(*auc_and_influence(chance, won), outcomes.clusters, seed),
        log_loss=mean(-np.log(happened)),
        anlp=mean(unlikely),
        anlp_within=mean(np.where(price < limit, unlikely, np.nan)),
        anlp_beyond=mean(np.where(price >= limit, unlikely, np.nan)),
        concordance=_concordance(outcomes, win, limit, seed),
        brier=mean(_brier(outcomes, win, limit)),
        survival=float(1.0 - beyond.mean()),
        survival_seen=float((price >= limit).mean()) if known.all() else float("nan"),
        calibration=tuple(_calibration(chance, won)),
        identified=dict(identified or {}),
    )


def identified(score: ArrayLike, contexts: Sequence[Any], *, least: int = 10) -> dict[str, float]:
    """Return, by context, the largest score that at least so many rows of it reach; what has fewer rows is left out.

    >>> identified([1.0, 2.0, 3.0, 9.0], ["a", "a", "a", "b"], least=2)
    {'a': 2.0}
    """
    scores, names = np.asarray(score, np.float64), np.asarray(contexts, dtype=object).astype(str)
    found: dict[str, float] = {}
    for name in np.unique(names):
        inside = np.sort(scores[names == name])
        if len(inside) >= least:
            found[str(name)] = float(inside[-least])
    return found


def auc_and_influence(score: Numbers, positive: NDArray[np.bool_]) -> tuple[float, Numbers]:
    """Return the AUC and how much each row moves it, (n,); NaN where only one outcome is there.

    >>> auc_and_influence(np.array([0.1, 0.9, 0.4]), np.array([False, True, True]))[0]
    1.0
    """
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan"), np.full(len(score), np.nan)
    ranks = rankdata(score)
    among = np.empty(len(score))
    among[positive], among[~positive] = rankdata(score[positive]), rankdata(score[~positive])
    other = np.where(positive, (ranks - among) / zeros, 1.0 - (ranks - among) / ones)
    area = float(other[positive].mean())
    return area, (other - area) * len(score) / np.where(positive, ones, zeros)


def _brier(outcomes: Outcomes, win: Win, limit: float) -> Numbers:
    """Return (n,) the mean squared error over the scores at which each row is known; NaN for none."""
    score, won, price, _ = outcomes
    known_price = np.isfinite(price)
    everywhere = bool(known_price.all())
    if not known_price[won].all():
        return np.full(len(score), np.nan)
    total, seen = np.zeros(len(score)), np.zeros(len(score))
    for step in np.linspace(1.0, limit, STEPS + 1)[1:]:
        chance = win(np.full((len(score), 1), step))[:, 0]
        known = np.ones(len(score), np.bool_) if everywhere else score >= step
        below = np.where(known_price, price < step, False)
        total += np.where(known, (below - chance) ** 2, 0.0)
        seen += known
    return np.divide(total, seen, out=np.full(len(score), np.nan), where=seen > 0)


def _concordance(outcomes: Outcomes, win: Win, limit: float, seed: int) -> Interval:
    """Return how often the row of the larger win probability at half the limit has the lower rival."""
    score, _, price, clusters = outcomes
    chance = win(np.full((len(score), 1), limit / 2.0))[:, 0]
    rows = np.arange(len(score))
    if len(rows) > PAIRS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, PAIRS, replace=False))
    known = np.isfinite(price[rows])
    time = np.where(known, price[rows], score[rows])
    # a row that lost with the price of another one may have met that very price: the order is not known
    lower = known[:, None] & (time[:, None] < time)
    right = (chance[rows][:, None] > chance[rows]) + 0.5 * (chance[rows][:, None] == chance[rows])
    pairs = lower.sum()
    if not pairs:
        return _mean(np.full(len(rows), np.nan), None, seed)
    index = float((right * lower).sum() / pairs)
    excess = (right - index) * lower
    influence = (excess.sum(axis=0) + excess.sum(axis=1)) * len(rows) / pairs
    return _with_influence(index, influence, None if clusters is None else clusters[rows], seed)


def _calibration(chance: Numbers, won: NDArray[np.bool_]) -> list[Bin]:
    """Return bins of equal mass, in rising order."""
    found: list[Bin] = []
    for rows in np.array_split(np.argsort(chance, kind="stable"), min(BINS, len(chance))):
        share = _mean(won[rows].astype(np.float64), None, 0)
        found.append(Bin(float(chance[rows].mean()), share.estimate, share.low, share.high, len(rows)))
    return found


def _with_influence(estimate: float, influence: Numbers, clusters: NDArray[Any] | None, seed: int) -> Interval:
    """Return the interval of a share that each row moves by its influence, within 0 and 1."""
    found = _mean(estimate + influence, clusters, seed)
    return msgspec.structs.replace(found, low=float(np.clip(found.low, 0, 1)), high=float(np.clip(found.high, 0, 1)))


def _mean(values: Numbers, clusters: NDArray[Any] | None, seed: int) -> Interval:
    return mean_by_cluster(values, np.arange(len(values)) if clusters is None else clusters, seed=seed)
