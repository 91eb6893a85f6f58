"""How right a line's map is, on showings that it was not fitted on.

Before and after the map; both on the same showings, with intervals that draw users, or blocks of time where no users
are known. What a perfect model would show stands beside the calibration error, and differences to a constant ratio are
paired. Probabilities are held a little inside 0 and 1, for the log loss of a ratio that goes beyond.

Cost: O(RESAMPLES * n log n).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.evaluate.calibration import (
    auc,
    ece,
    field_rce,
    losses,
    mce,
    metric_by_cluster,
    pcoc,
    perfect_ece,
    smooth_ece,
)
from slatewise.evaluate.drift import Drift, drift
from slatewise.evaluate.intervals import Interval, difference_by_cluster, mean_by_cluster

Numbers = NDArray[np.float64]

RESAMPLES = 200
INSIDE = 1e-12


class Showings(NamedTuple):
    """Showings of one line, in order of time.

    Attributes:
        score: (n,) what the line said.
        outcome: (n,) what happened.
        clusters: (n,) whose showing it was, or of which block of time.
        field: (n,) the segment; all the same if there are none.
    """

    score: Numbers
    outcome: Numbers
    clusters: NDArray[Any]
    field: NDArray[Any]


class Figures(msgspec.Struct, frozen=True):
    """How right some predictions are.

    Attributes:
        pcoc: Predicted over observed.
        ece: Mean gap of 20 bins of equal mass.
        ece_if_perfect: What a perfect model would show: the mean, and where 90 % would be.
        smooth_ece: The same without bins.
        mce: The largest gap of a bin.
        field_rce: Mean relative gap of segments; those of fewer than 20 events are pooled.
        log_loss: Mean log loss.
        brier: Mean squared error.
        auc: Share of pairs in order.
    """

    pcoc: Interval
    ece: Interval
    ece_if_perfect: Interval
    smooth_ece: float
    mce: float
    field_rce: float
    log_loss: Interval
    brier: Interval
    auc: Interval


class Differences(msgspec.Struct, frozen=True):
    """What the map adds to a constant ratio, on the same showings; below 0 is better.

    Attributes:
        ece: Of `Figures.ece`.
        log_loss: Of `Figures.log_loss`.
        brier: Of `Figures.brier`.
    """

    ece: Interval
    log_loss: Interval
    brier: Interval


class LineReport(msgspec.Struct, frozen=True):
    """What was found of a line.

    Attributes:
        method: The method.
        why: Why this one.
        fitted_rows: Showings that it was fitted on.
        fitted_events: Events among them.
        rows: Showings of this report.
        events: Events among them.
        pcoc: Predicted over observed, also where outcomes are values.
        before: The scores; None if they are no probabilities, or outcomes no events.
        after: The map; None if outcomes are no events.
        against_ratio: The map less a constant ratio; None as for `after`.
        drift: Whether events stopped coming as the map predicts; None as for `after`.
    """

    method: str
    why: str
    fitted_rows: int
    fitted_events: float
    rows: int
    events: float
    pcoc: Interval
    before: Figures | None
    after: Figures | None
    against_ratio: Differences | None
    drift: Drift | None


class Choice(NamedTuple):
    """How a line's map came about.

    Attributes:
        method: The method.
        why: Why this one.
        rows: Showings that it was fitted on.
        events: Events among them.
    """

    method: str
    why: str
    rows: int
    events: float


def reported(showings: Showings, predicted: Numbers, ratio: Numbers, choice: Choice, *, seed: int = 0) -> LineReport:
    """Return what is found of a line.

    Args:
        showings: Showings that nothing was fitted on.
        predicted: (n,) what the map says of them, in events.
        ratio: (n,) what a constant ratio says.
        choice: How the map came about.
        seed: Root of what is drawn.
    """
    score, outcome, clusters, _ = showings
    binary = bool(np.isin(outcome, (0.0, 1.0)).all())
    probable = binary and score.min() >= 0 and score.max() <= 1
    return LineReport(
        method=choice.method,
        why=choice.why,
        fitted_rows=choice.rows,
        fitted_events=choice.events,
        rows=len(score),
        events=float(outcome.sum()),
        pcoc=metric_by_cluster(pcoc, predicted, outcome, clusters, resamples=RESAMPLES, seed=seed),
        before=_figures(showings, score, seed) if probable else None,
        after=_figures(showings, predicted, seed) if binary else None,
        against_ratio=_differences(showings, predicted, ratio, seed) if binary else None,
        drift=drift(inside(predicted), outcome, seed=seed) if binary else None,
    )


def inside(predicted: Numbers) -> Numbers:
    """Return predictions as probabilities, a little inside 0 and 1."""
    return np.clip(predicted, INSIDE, 1 - INSIDE)


def _figures(showings: Showings, predicted: Numbers, seed: int) -> Figures:
    p, y, clusters = inside(predicted), showings.outcome, showings.clusters

    def drawn(metric: Any) -> Interval:
        return metric_by_cluster(metric, p, y, clusters, resamples=RESAMPLES, seed=seed)

    return Figures(
        pcoc=drawn(pcoc),
        ece=drawn(ece),
        ece_if_perfect=perfect_ece(p, seed=seed),
        smooth_ece=smooth_ece(p, y),
        mce=mce(p, y),
        field_rce=field_rce(p, y, showings.field),
        log_loss=mean_by_cluster(losses(p, y), clusters, resamples=RESAMPLES, seed=seed),
        brier=mean_by_cluster(np.square(p - y), clusters, resamples=RESAMPLES, seed=seed),
        auc=drawn(auc),
    )


def _differences(showings: Showings, predicted: Numbers, ratio: Numbers, seed: int) -> Differences:
    p, q, y, clusters = inside(predicted), inside(ratio), showings.outcome, showings.clusters
    how: dict[str, Any] = {"resamples": RESAMPLES, "seed": seed}
    return Differences(
        ece=metric_by_cluster(ece, p, y, clusters, baseline=q, **how),
        log_loss=difference_by_cluster(losses(p, y), losses(q, y), clusters, **how),
        brier=difference_by_cluster(np.square(p - y), np.square(q - y), clusters, **how),
    )
