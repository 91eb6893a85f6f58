"""When calibration was lost: two sums that grow while predictions are too small, or too large.

    C <- max(0, C + y * ln r - p * (r - 1)),  for r = 1.1 and for r = 0.9;  alarm when C > threshold

Each is the evidence, in nats, that events now come r times as often as predicted, since the moment from which it says
most. The threshold is simulated: by predictions that are right, so many streams in a thousand give a false alarm.
Rows are taken in blocks of consecutive ones, as many as `BLOCKS`, at whose ends the sums are looked at.

Cost: O(n), and O(draws * blocks) for the threshold.

References:
    Page (1954), "Continuous Inspection Schemes", Biometrika 41.
    Lucas (1985), "Counted Data CUSUM's", Technometrics 27.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers: TypeAlias = NDArray[np.float64]

BLOCKS = 2_000
FACTORS = (1.1, 0.9)
"""What is watched for: events that come more often than predicted, or less."""


class Drift(msgspec.Struct, frozen=True):
    """What was seen of drift.

    Attributes:
        threshold: Of the sums, in nats.
        false_alarms: Share of streams of as many rows, predicted rightly, that give an alarm.
        more: Largest evidence that there were more events than predicted, in nats.
        fewer: Largest evidence that there were fewer.
        alarm_row: Row, from 1, at which there is an alarm first; None if there is none.
    """

    threshold: float
    false_alarms: float
    more: float
    fewer: float
    alarm_row: int | None


def drift(
    predicted: ArrayLike, outcome: ArrayLike, *, false_alarms: float = 0.05, draws: int = 1000, seed: int = 0
) -> Drift:
    """Return whether events stopped coming as predicted.

    Args:
        predicted: (n,) probabilities, in order of time.
        outcome: (n,) 1 if the event happened, else 0.
        false_alarms: Share of streams of as many rows that may give an alarm without reason, in (0, 1).
        draws: Streams that are simulated, >= 1.
        seed: Root of the simulation.

    Examples:
        >>> p, y = np.full(4000, 0.1), np.tile([1.0] + [0.0] * 9, 400)
        >>> drift(p, y).alarm_row is None
        True
        >>> drift(p, np.append(y[:2000], np.tile([1.0] + [0.0] * 3, 500))).alarm_row > 2000
        True
    """
    p, y = np.asarray(predicted, np.float64), np.asarray(outcome, np.float64)
    first = np.unique(np.arange(BLOCKS) * len(p) // BLOCKS)
    expected, seen = np.add.reduceat(p, first), np.add.reduceat(y, first)
    rows = np.diff(np.append(first, len(p)))
    rng = np.random.default_rng(seed)
    by_chance = rng.binomial(rows, np.clip(expected / rows, 0.0, 1.0), (draws, len(rows)))
    worst = np.max([evidence(expected, by_chance, factor).max(axis=1) for factor in FACTORS], axis=0)
    threshold = float(np.quantile(worst, 1 - false_alarms))
    sums = np.array([evidence(expected, seen, factor) for factor in FACTORS])
    alarms = np.flatnonzero((sums > threshold).any(axis=0))
    row = int(np.append(first, len(p))[alarms[0] + 1]) if len(alarms) else None
    return Drift(threshold, false_alarms, float(sums[0].max()), float(sums[1].max()), row)


def evidence(expected: ArrayLike, seen: ArrayLike, factor: float) -> Numbers:
    """Return (..., n) the sum after each row, or block of rows.

    Args:
        expected: (n,) events that were predicted.
        seen: (..., n) events that there were.
        factor: How many times as many are watched for, > 0.

    >>> evidence([0.5, 0.5, 0.5], [0, 1, 1], 2.0).round(2).tolist()
    [0.0, 0.19, 0.39]
    """
    step = np.asarray(seen, np.float64) * np.log(factor) - np.asarray(expected, np.float64) * (factor - 1)
    total = np.cumsum(step, axis=-1)
    return total - np.minimum(np.minimum.accumulate(total, axis=-1), 0.0)
