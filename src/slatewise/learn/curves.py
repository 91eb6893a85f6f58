"""Fit maps of one line to what happened.

| method | what is fitted | of the map |
|---|---|---|
| `ratio` | sum y / sum score | `ratio` |
| `temperature` | one slope, no offset: it cannot set a wrong rate right | `temperature` |
| `platt` | slope and offset, on targets a little inside 0 and 1 | `platt` |
| `beta` | two slopes and an offset; one that comes out negative is left out | `beta` |
| `bucketed` | counts of 20 bins of equal mass | `bucketed` |
| `isotonic` | bins of some 50 events, made monotone, a thousandth of `platt` added | `knots` |

Curves other than `ratio` take probabilities, or scores of any size where there is nothing about log-odds in them
(`platt`, `bucketed`, `isotonic`). A curve that does not rise is refused. Scores that are equal stay in one bin.

Cost: O(n log n) for bins, O(n) a step for the others.

References:
    Those of `blend.maps`; Barlow et al. (1972), "Statistical Inference under Order Restrictions", on monotone rates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.blend.maps import Beta, Bucketed, Knots, Map, Platt, Quantile, Ratio, Scale, Temperature
from slatewise.core.errors import RequestError, shown
from slatewise.learn.logistic import logistic
from slatewise.methods.mapping import log_odds, pooled

Numbers = NDArray[np.float64]

BUCKETS = 20
EVENTS, FEWEST, MOST = 50, 5, 1_000
"""Of isotonic: events per bin, and the fewest and most bins."""
STRICT = 1e-3
"""Share of the parametric curve in an isotonic one."""
RANKS = 101


class Counted(NamedTuple):
    """Bins of equal mass.

    Attributes:
        at: (bins,) mean of the scores, or of their log-odds.
        shown: (bins,) showings.
        events: (bins,) events.
    """

    at: Numbers
    shown: Numbers
    events: Numbers


def scale_of(score: Numbers) -> Scale:
    """Return whether scores may be probabilities."""
    return "probability" if score.min() >= 0 and score.max() <= 1 else "score"


def ratio(score: Numbers, outcome: Numbers, scale: Scale) -> Ratio:
    """Return the factor between what happened and what was predicted.

    >>> ratio(np.array([0.2, 0.4]), np.array([0.0, 0.3]), "probability").factor.__round__(6)
    0.5
    """
    factor = outcome.sum() / score.sum() if score.sum() > 0 else 0.0
    return Ratio(factor=_rising("ratio", float(factor)))


def temperature(score: Numbers, outcome: Numbers, scale: Scale) -> Temperature:
    """Return the slope of log-odds, without an offset."""
    _only_probabilities("temperature", scale)
    slope = logistic(log_odds(score)[:, None], outcome, np.ones(len(score)))[0]
    return Temperature(temperature=1 / _rising("temperature", float(slope)))


def platt(score: Numbers, outcome: Numbers, scale: Scale) -> Platt:
    """Return the straight line, in log-odds."""
    at = log_odds(score) if scale == "probability" else score
    events = outcome.sum()
    high, low = (events + 1) / (events + 2), 1 / (len(outcome) - events + 2)
    target = outcome * high + (1 - outcome) * low
    slope, offset = logistic(np.column_stack([at, np.ones(len(at))]), target, np.ones(len(at))).tolist()
    return Platt(slope=_rising("platt", slope), offset=offset, scale=scale)


def beta(score: Numbers, outcome: Numbers, scale: Scale) -> Beta:
    """Return the curve with a slope for either end."""
    _only_probabilities("beta", scale)
    at = np.clip(score, 1e-300, 1 - 1e-16)
    ends = {"low": np.log(at), "high": -np.log1p(-at)}
    while ends:
        columns = np.column_stack([*ends.values(), np.ones(len(at))])
        *slopes, offset = logistic(columns, outcome, np.ones(len(at))).tolist()
        found = dict(zip(ends, slopes, strict=True))
        least = min(found, key=lambda end: found[end])
        if found[least] >= 0:
            return Beta(low=found.get("low", 0.0), high=found.get("high", 0.0), offset=offset)
        del ends[least]
    raise RequestError("log.score", "must rise with the outcome for `beta`")


def bucketed(score: Numbers, outcome: Numbers, scale: Scale) -> Bucketed:
    """Return counts of bins."""
    bins = counted(np.sort(score), outcome[np.argsort(score, kind="stable")], BUCKETS)
    _several("bucketed", bins)
    scores, shown_, events = (tuple(one.tolist()) for one in bins)
    return Bucketed(scores=scores, shown=shown_, events=events, scale=scale)


def isotonic(score: Numbers, outcome: Numbers, scale: Scale) -> Knots:
    """Return the curve that the data draw, as long as it rises."""
    order = np.argsort(score)
    score, outcome = score[order], outcome[order]
    events = min(outcome.sum(), len(outcome) - outcome.sum())
    bins = counted(score, outcome, int(np.clip(events / EVENTS, FEWEST, MOST)))
    _several("isotonic", bins)
    at = log_odds(bins.at) if scale == "probability" else bins.at
    columns = np.column_stack([at, np.ones(len(at))])
    slope, offset = logistic(columns, bins.events, bins.shown).tolist()
    _rising("isotonic", slope)
    found = pooled(at, bins.shown, bins.events, prior=1.0, slope=slope)
    knots = found[:, 0]
    mixed = (1 - STRICT) * found[:, 1] + STRICT * (slope * knots + offset)
    mixed += _balance(np.interp(at, knots, mixed), bins)
    scores = 1 / (1 + np.exp(-knots)) if scale == "probability" else knots
    return Knots(scores=tuple(scores.tolist()), log_odds=tuple(mixed.tolist()), scale=scale)


def quantile(score: Numbers, reference: Numbers) -> Quantile:
    """Return the map of scores to the reference's scores of the same rank.

    >>> quantile(np.array([0.0, 1.0]), np.array([5.0, 7.0]))(np.array([0.5])).tolist()
    [6.0]
    """
    ranks = np.linspace(0, 1, RANKS)
    own, other = np.quantile(score, ranks), np.quantile(reference, ranks)
    kept = np.append(True, (np.diff(np.maximum.accumulate(own)) > 0) & (np.diff(other) > 0))
    if kept.sum() < 2:
        raise RequestError("log.score", "must have several values for `quantile`, in the reference too")
    return Quantile(scores=tuple(own[kept].tolist()), reference=tuple(other[kept].tolist()))


FITS: dict[str, Callable[[Numbers, Numbers, Scale], Map]] = {
    "ratio": ratio,
    "temperature": temperature,
    "platt": platt,
    "beta": beta,
    "bucketed": bucketed,
    "isotonic": isotonic,
}
"""The methods that are fitted to events."""


def counted(score: Numbers, outcome: Numbers, bins: int) -> Counted:
    """Return bins of equal mass of scores in order; equal scores are not parted.

    >>> counted(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0]), 2).shown.tolist()
    [1.0, 3.0]
    """
    starts = np.unique(np.arange(bins) * len(score) // bins)
    first = np.unique(np.searchsorted(score, score[starts], side="left"))
    shown_ = np.diff(np.append(first, len(score))).astype(np.float64)
    return Counted(np.add.reduceat(score, first) / shown_, shown_, np.add.reduceat(outcome, first))


def _balance(level: Numbers, bins: Counted) -> float:
    """Return what to add to log-odds so that as many events are predicted as there were."""
    total = 0.0
    for _ in range(20):
        rate = 1 / (1 + np.exp(-level - total))
        total += float((bins.events - bins.shown * rate).sum() / (bins.shown * rate * (1 - rate)).sum())
    return total


def _rising(method: str, slope: float) -> float:
    if not (np.isfinite(slope) and slope > 0):
        raise RequestError("log.score", f"must rise with the outcome for `{method}`", shown(slope))
    return slope


def _only_probabilities(method: str, scale: Scale) -> None:
    if scale != "probability":
        raise RequestError("log.score", f"must be from 0 to 1 for `{method}`")


def _several(method: str, bins: Counted) -> None:
    if len(bins.at) < 2:
        raise RequestError("log.score", f"must have several values for `{method}`")
