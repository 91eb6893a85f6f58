"""How much a control loop swings: what is read off the shares, the spending and the prices of its windows.

| measure | what it is |
|---|---|
| `rmse` | root mean square of share / target - 1, over lines and windows |
| `volatility` | mean size of a price's change between windows |
| `fast_part` | power of the fast swings over that of all swings: a ratio, near 0 where slow drift dominates |
| `fast_rms` | size of the fast swings of share / target: an amplitude, by which to judge |
| `flips` | part of the changes that change direction: 2/3 for noise, 1/2 for a random walk |
| `lead` | correlation of one line's change with another's, `lag` windows later |

Fast is a period of up to 8 windows: the upper three quarters of the spectrum. Shares of a window are draws, so they
swing even under the right price; `fast_floor` and `fast_part_floor` say how much. Settling is that of step responses.

Cost: O(windows * log(windows) * lines).

References:
    Oppenheim & Schafer (2009), "Discrete-Time Signal Processing", chapter 8. Åström & Murray (2021), "Feedback
    Systems", section 6.3, on step responses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.methods.oscillation import noise

FAST = 0.25
"""Part of the spectrum above which swings are fast."""
BAND = 0.1
"""Relative error within which a loop has settled."""


class Swings(NamedTuple):
    """How much the shares of some windows swing.

    Attributes:
        rmse: Error of shares, relative to their targets, >= 0.
        fast_part: Power of fast swings over that of all, in [0, 1]; 0 if nothing swings.
        fast_rms: Size of fast swings, relative to targets, >= 0.
        fast_floor: Size that draws alone would give.
        flips: Part of changes that change direction, in [0, 1]; NaN if nothing changes.
    """

    rmse: float
    fast_part: float
    fast_rms: float
    fast_floor: float
    flips: float


class Settling(NamedTuple):
    """How a loop comes to its target.

    Attributes:
        rise: First window within a tenth of the target; -1 for none.
        settled: Window from which it stays there; -1 if it does not stay.
        overshoot: Most that it is above the target, relative to it, >= 0.
        steady_rmse: Relative error from then on; NaN if it does not settle.
        steady_sd: Standard deviation from then on, relative to the target.
    """

    rise: int
    settled: int
    overshoot: float
    steady_rmse: float
    steady_sd: float


def swings(shares: ArrayLike, targets: ArrayLike, *, slots: float = np.inf) -> Swings:
    """Return how much shares swing.

    Args:
        shares: (windows, lines) share of each line.
        targets: (lines,) what they should be, > 0.
        slots: Slots of a window, for the floor.

    Examples:
        >>> slow = 0.5 + 0.1 * np.sin(np.arange(64) * 2 * np.pi / 64)
        >>> fast = 0.5 + 0.1 * (-1.0) ** np.arange(64)
        >>> [swings(np.stack([one, 1 - one], axis=1), [0.5, 0.5]).fast_rms.__round__(3) for one in (slow, fast)]
        [0.0, 0.2]
    """
    part, aims = _checked(shares, targets)
    spectrum = np.fft.rfft(part - part.mean(axis=0), axis=0)
    power = np.square(np.abs(spectrum))
    fast = np.arange(len(power)) >= FAST * len(power)
    total = float(power[1:].sum())
    relative = np.fft.irfft(np.where(fast[:, None], spectrum, 0.0) / aims, n=len(part), axis=0)
    changes = np.diff(part, axis=0)
    turns = changes[1:] * changes[:-1]
    moved = np.any(turns != 0)
    return Swings(
        rmse=float(np.sqrt(np.square(part / aims - 1.0).mean())),
        fast_part=float(power[fast].sum()) / total if total > 0 else 0.0,
        fast_rms=float(np.sqrt(np.square(relative).mean())),
        fast_floor=fast_floor(aims, slots),
        flips=float((turns < 0).mean()) if moved else np.nan,
    )


def fast_floor(targets: ArrayLike, slots: float) -> float:
    """Return the size of fast swings that draws alone give, with shares at their targets.

    >>> fast_floor([0.5, 0.5], 300).__round__(3)
    0.05
    """
    return noise(np.asarray(targets, np.float64), slots)


def shuffled_flips(shares: ArrayLike, *, seed: int = 0) -> float:
    """Return the flips of the same shares in random order: what they are compared with."""
    part = np.asarray(shares, np.float64)
    mixed = np.random.default_rng(seed).permutation(part, axis=0)
    return swings(mixed, np.maximum(part.mean(axis=0), 1e-12)).flips


def spend_rmse(spent: ArrayLike, targets: ArrayLike) -> float:
    """Return the root mean square of what windows spent over what they should have, less 1.

    >>> spend_rmse([1.0, 3.0], [2.0, 2.0])
    0.5
    """
    return float(np.sqrt(np.square(np.asarray(spent, np.float64) / np.asarray(targets, np.float64) - 1.0).mean()))


def volatility(prices: ArrayLike) -> float:
    """Return the mean size of changes between windows; hand over logarithms of multipliers.

    >>> volatility([0.0, 1.0, 0.0])
    1.0
    """
    changes = np.abs(np.diff(np.asarray(prices, np.float64), axis=0))
    return float(changes.mean()) if changes.size else 0.0


def lead(shares: ArrayLike, lag: int) -> Numbers:
    """Return (lines, lines) correlations of each line's change with each other's, `lag` windows later.

    At lag 0 they only say that shares sum to one; NaN for lines that do not change.

    >>> turns = np.tile([0.4, 0.5, 0.6, 0.5], 8)
    >>> lead(np.stack([turns, 1 - turns], axis=1), 2).round(2).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    changes = np.diff(np.asarray(shares, np.float64), axis=0)
    first, then = changes[: len(changes) - lag], changes[lag:]
    first, then = first - first.mean(axis=0), then - then.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (first.T @ then) / np.sqrt(np.outer(np.square(first).sum(axis=0), np.square(then).sum(axis=0)))


def settling(level: ArrayLike, target: float) -> Settling:
    """Return how what is steered comes to its target.

    >>> settling([0.0, 1.2, 0.95, 1.0, 1.0], 1.0)[:3]
    (2, 2, 0.19999999999999996)
    """
    relative = np.asarray(level, np.float64) / target - 1.0
    inside = np.abs(relative) <= BAND
    outside = np.flatnonzero(~inside)
    settled = 0 if not len(outside) else int(outside[-1]) + 1
    calm = relative[settled:]
    return Settling(
        rise=int(np.argmax(inside)) if inside.any() else -1,
        settled=settled if len(calm) else -1,
        overshoot=max(0.0, float(relative.max(initial=0.0))),
        steady_rmse=float(np.sqrt(np.square(calm).mean())) if len(calm) else np.nan,
        steady_sd=float(calm.std()) if len(calm) else np.nan,
    )


def _checked(shares: ArrayLike, targets: ArrayLike) -> tuple[Numbers, Numbers]:
    part, aims = np.asarray(shares, np.float64), np.asarray(targets, np.float64)
    if part.ndim != 2 or len(part) < 3:
        raise RequestError("oscillation.shares", "must be (windows, lines) with at least 3 windows", shown(part.shape))
    if aims.shape != part.shape[1:] or not (aims > 0).all():
        raise RequestError("oscillation.targets", "must be one share > 0 for each line", shown(aims.tolist()))
    return part, aims
