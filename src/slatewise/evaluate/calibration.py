"""How right predictions are: calibration, and how little of it can be seen with few events.

`predicted` are probabilities p of an event, `outcome` is y: 1 if it happened, else 0. Conventions:

| metric | definition |
|---|---|
| `pcoc` | sum p / sum y: above 1, too much was predicted; infinite without events |
| `ece` | sum over bins of n_b / N * abs(mean p - mean y); bins of equal mass, equal predictions in one bin |
| `mce` | the largest gap of a bin, the same bins |
| `smooth_ece` | the same without bins: residuals smoothed by a Gaussian, reflected at 0 and 1, as wide as the result |
| `field_rce` | sum over values z of N_z / N * abs(sum (y - p)) / sum y; values of fewer than 20 events are pooled |
| `log_loss`, `brier` | means of -y ln p - (1 - y) ln (1 - p), and of (p - y)^2 |
| `auc` | share of pairs of an event and none that p puts in order; ties count half |

ECE is above 0 for the best of predictions: with `perfect_ece`, events are drawn by p itself, and what comes out is what
a perfect model would show. A figure within that says nothing against the model. Weights are showings per row, whole or
not; intervals draw users, sessions or blocks of time, not rows.

Cost: O(n log n) each.

References:
    Naeini, Cooper & Hauskrecht (2015), "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI.
    Błasiok & Nakkiran (2023), "Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing", section 3.
    Pan et al. (2020), "Field-aware Calibration", WWW, on Field-RCE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm, rankdata

from slatewise.core.errors import RequestError, shown
from slatewise.evaluate.intervals import Interval

Numbers: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = Callable[[Numbers, Numbers, Numbers], float]
"""A metric of predictions, outcomes and weights."""

BINS = 20
LEAST = 20
"""Events of a field's value below which it is pooled with others."""

FINE, WIDE, MOST = 16, 6.0, 100_000
"""Of smoothing: cells per width, widths to either side, and most cells."""


class Bins(NamedTuple):
    """Predictions in bins of equal mass.

    Attributes:
        predicted: (bins,) mean prediction.
        rate: (bins,) mean outcome.
        shown: (bins,) showings.
    """

    predicted: Numbers
    rate: Numbers
    shown: Numbers


def binned(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None, *, bins: int = BINS) -> Bins:
    """Return bins of equal mass, at most `bins`; equal predictions are not parted.

    >>> binned([0.1, 0.1, 0.3, 0.4], [0, 1, 0, 1], bins=2).rate.tolist()
    [0.5, 0.5]
    """
    p, y, w = _checked(predicted, outcome, weight)
    order = np.argsort(p, kind="stable")
    p, y, w = p[order], y[order], w[order]
    mass = np.cumsum(w)
    cuts = np.searchsorted(mass, mass[-1] * np.arange(1, bins) / bins * (1 - 1e-12), side="left") + 1
    first = np.unique(np.append(0, np.searchsorted(p, p[np.minimum(cuts, len(p) - 1)], side="left")))
    shown = np.add.reduceat(w, first)
    first, shown = first[shown > 0], shown[shown > 0]
    return Bins(np.add.reduceat(w * p, first) / shown, np.add.reduceat(w * y, first) / shown, shown)


def pcoc(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return predicted over observed; outcomes may be values, too.

    >>> pcoc([0.5, 0.5, 0.5], [1, 0, 0])
    1.5
    """
    p, y, w = _checked(predicted, outcome, weight)
    with np.errstate(divide="ignore"):
        return float((w * p).sum() / np.float64((w * y).sum()))


def ece(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None, *, bins: int = BINS) -> float:
    """Return the mean gap of bins of equal mass.

    >>> ece([0.1, 0.3], [0, 1], bins=2).__round__(3)
    0.4
    """
    found = binned(predicted, outcome, weight, bins=bins)
    return float((found.shown * np.abs(found.predicted - found.rate)).sum() / found.shown.sum())


def mce(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None, *, bins: int = BINS) -> float:
    """Return the largest gap of a bin.

    >>> mce([0.1, 0.3], [0, 1], bins=2)
    0.7
    """
    found = binned(predicted, outcome, weight, bins=bins)
    return float(np.abs(found.predicted - found.rate).max())


def perfect_rates(predicted: ArrayLike, *, bins: int = BINS, draws: int = 1000, seed: int = 0) -> Numbers:
    """Return (draws, bins) what the rates of bins would be if events came by the predictions.

    Events of a bin are drawn as if all its predictions were their mean; bins are narrow enough for that.
    """
    found = binned(predicted, predicted, bins=bins)
    rng = np.random.default_rng(seed)
    counts = found.shown.round().astype(np.int64)
    return rng.binomial(counts, np.clip(found.predicted, 0.0, 1.0), (draws, len(counts))) / found.shown


def perfect_ece(predicted: ArrayLike, *, bins: int = BINS, draws: int = 1000, seed: int = 0) -> Interval:
    """Return the mean ECE that a perfect model would show on as many rows, and where 90 % of them would be.

    >>> few, many = perfect_ece(np.full(100, 0.1)), perfect_ece(np.full(10_000, 0.1))
    >>> few.estimate > 5 * many.estimate
    True
    """
    found = binned(predicted, predicted, bins=bins)
    gaps = np.abs(perfect_rates(predicted, bins=bins, draws=draws, seed=seed) - found.predicted)
    drawn = (gaps * found.shown).sum(axis=1) / found.shown.sum()
    low, high = np.quantile(drawn, [0.05, 0.95])
    return Interval(float(drawn.mean()), float(low), float(high), 0.9, draws)


def smooth_ece(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the smooth calibration error: the width of a kernel at which the smoothed gap is as large as the width.

    >>> smooth_ece([0.2] * 10, [1] + [0] * 9).__round__(2)
    0.1
    """
    p, y, w = _checked(predicted, outcome, weight)
    outside = np.flatnonzero((p < 0) | (p > 1))
    if len(outside):
        raise RequestError(f"predicted[{outside[0]}]", "must be a probability", shown(float(p[outside[0]])))
    gap = w * (y - p) / w.sum()
    narrow, wide = np.log(1e-7), 0.0
    for _ in range(24):
        middle = (narrow + wide) / 2
        if _smoothed(p, gap, np.exp(middle)) > np.exp(middle):
            narrow = middle
        else:
            wide = middle
    return _smoothed(p, gap, np.exp(wide))


def field_rce(
    predicted: ArrayLike,
    outcome: ArrayLike,
    field: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    least: float = LEAST,
) -> float:
    """Return the mean relative gap of a field's values; NaN without events.

    Args:
        predicted: (n,) predictions.
        outcome: (n,) what happened.
        field: (n,) a key per row.
        weight: (n,) showings.
        least: Events below which a value is pooled with all others of which that is true.

    >>> field_rce([0.5] * 4, [1, 0, 1, 1], ["a", "a", "b", "b"], least=0).__round__(3)
    0.25
    """
    p, y, w = _checked(predicted, outcome, weight)
    codes = np.unique(np.asarray(field), return_inverse=True)[1]
    events = np.bincount(codes, w * y)
    pooled = np.where(events < least, -1, np.arange(len(events)))
    codes = np.unique(pooled[codes], return_inverse=True)[1]
    events, gap, shown_ = (np.bincount(codes, one) for one in (w * y, w * (y - p), w))
    if not events.all():
        return float("nan")
    return float((shown_ * np.abs(gap) / events).sum() / shown_.sum())


def log_loss(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the mean of -y ln p - (1 - y) ln (1 - p); infinite for a certainty that was wrong.

    >>> log_loss([0.5, 0.5], [1, 0]).__round__(4)
    0.6931
    """
    p, y, w = _checked(predicted, outcome, weight)
    return float((w * losses(p, y)).sum() / w.sum())


def losses(predicted: Numbers, outcome: Numbers) -> Numbers:
    """Return (n,) the log loss of each row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        hit = np.where(outcome > 0, -outcome * np.log(predicted), 0.0)
        return hit + np.where(outcome < 1, -(1 - outcome) * np.log1p(-predicted), 0.0)


def brier(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the mean of (p - y)^2.

    >>> brier([0.5, 0.0], [1, 0])
    0.125
    """
    p, y, w = _checked(predicted, outcome, weight)
    return float((w * np.square(p - y)).sum() / w.sum())


def auc(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the share of pairs of an event and none that are in order; NaN if there are no such pairs.

    A strictly increasing map changes nothing about it.

    >>> auc([0.1, 0.2, 0.2, 0.3], [0, 0, 1, 1])
    0.875
    """
    p, y, w = _checked(predicted, outcome, weight)
    codes = rankdata(p, method="dense").astype(np.int64) - 1
    events, others = np.bincount(codes, w * y), np.bincount(codes, w * (1 - y))
    pairs = events.sum() * others.sum()
    ordered = (events * (np.cumsum(others) - others / 2)).sum()
    return float(ordered / pairs) if pairs else float("nan")


def time_blocks(n: int, *, blocks: int = 50) -> NDArray[np.int64]:
    """Return (n,) the block of consecutive rows that each row is in: clusters for a log without users.

    >>> time_blocks(5, blocks=2).tolist()
    [0, 0, 0, 1, 1]
    """
    return np.arange(n, dtype=np.int64) * blocks // max(n, 1)


def metric_by_cluster(
    metric: Metric,
    predicted: ArrayLike,
    outcome: ArrayLike,
    clusters: ArrayLike,
    *,
    baseline: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> Interval:
    """Return a metric with an interval of bootstrap standard errors, for which whole clusters are drawn.

    Percentiles would be off for metrics that grow with noise, as ECE does: all that is drawn lies above the estimate.

    Args:
        metric: Of predictions, outcomes and weights, such as `ece`.
        predicted: (n,) predictions.
        outcome: (n,) what happened.
        clusters: (n,) whose row it is, or of when.
        baseline: (n,) other predictions; the interval is then that of the metric minus theirs, on the same draws.
        level: Share of samples whose interval holds the truth, in (0, 1).
        resamples: How often clusters are drawn, >= 1.
        seed: Root of the draws.

    >>> p, y = np.full(40, 0.5), np.tile([0.0, 1.0], 20)
    >>> metric_by_cluster(pcoc, p, y, np.arange(40) // 2)
    Interval(estimate=1.0, low=1.0, high=1.0, level=0.95, clusters=20)
    """
    p, y, w = _checked(predicted, outcome, None)
    order = np.argsort(p, kind="stable")  # metrics sort faster what is in order
    other = None if baseline is None else np.asarray(baseline, np.float64)[order]
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1][order]
    p, y = p[order], y[order]
    size, rng = int(codes.max()) + 1, np.random.default_rng(seed)

    def of(weight: Numbers) -> float:
        return metric(p, y, weight) - (0.0 if other is None else metric(other, y, weight))

    if size < 2:
        return Interval(of(w), np.nan, np.nan, level, size)
    drawn = np.array(
        [of(rng.multinomial(size, np.full(size, 1 / size)).astype(np.float64)[codes]) for _ in range(resamples)]
    )
    half = norm.ppf((1 + level) / 2) * drawn[np.isfinite(drawn)].std()
    estimate = of(w)
    return Interval(estimate, float(estimate - half), float(estimate + half), level, size)


def _smoothed(p: Numbers, gap: Numbers, width: float) -> float:
    """Return the mean size of the gap, smoothed by a reflected Gaussian of some width."""
    low, high = max(0.0, p.min() - WIDE * width), min(1.0, p.max() + WIDE * width)
    cells = int(np.clip((high - low) / width * FINE, 1, MOST))
    step = (high - low) / cells
    at = np.clip((p - low) / step - 0.5, 0, cells - 1)  # a gap is shared by the two cells whose centres it is between
    left = np.floor(at).astype(np.int64)
    part = at - left
    sums = np.bincount(left, gap * (1 - part), cells) + np.bincount(np.minimum(left + 1, cells - 1), gap * part, cells)
    return float(np.abs(gaussian_filter1d(sums, width / step, mode="reflect", truncate=WIDE)).sum())


def _checked(predicted: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None) -> tuple[Numbers, Numbers, Numbers]:
    p, y = np.asarray(predicted, np.float64), np.asarray(outcome, np.float64)
    w = np.ones(len(p)) if weight is None else np.asarray(weight, np.float64)
    for name, values in {"predicted": p, "outcome": y, "weight": w}.items():
        if values.shape != p.shape or p.ndim != 1 or not len(p):
            raise RequestError(name, "must have one number per row, and a row", shown(values.shape))
        if not np.isfinite(values).all():
            raise RequestError(name, "must be finite", shown(values[~np.isfinite(values)][0].item()))
    if not w.sum() > 0 or (w < 0).any():
        raise RequestError("weight", "must be >= 0, and not all 0")
    return p, y, w
