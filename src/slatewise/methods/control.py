"""One family of controllers: mirror descent on a weighted average of past gradients, with the guards all of it shares.

| kind | weights of g_t, g_t-1, g_t-2, and decay of the average |
|---|---|
| `gradient` | 1 |
| `average` | 1 - decay, decay |
| `momentum` | 1, decay |
| `optimistic` | 2, -1 |
| `pid` | proportional + integral + derivative, -proportional - 2 * derivative, derivative |

The mirror says what the dual is: the price itself (`euclid`), or its logarithm (`entropy`: multiplicative weights).

**The delay rule.** A loop that sees its effect `lag` windows late is stable while the product of its step and of the
local gain, by how much what is steered answers to the dual, is below 2 * sin(pi / (2 * (2 * lag + 1))). A step is
shortened to half of that, whatever gains were set, and further while a window is too small to tell error from noise.
The local gain is estimated from moves and answers so far (`Gain`). Estimated in the closed loop, it comes out too high
rather than too low: noise that moved the price shows up in the answer, too.

Cost: O(1) per step.

References:
    Balseiro et al. (2022), "Analysis of Dual-Based PID Controllers through Convolutional Mirror Descent",
    arXiv 2202.06152. Levin & May (1976), "A note on difference-delay equations", for the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sin, sqrt
from typing import Annotated, Literal, TypeAlias, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.columns import LARGEST, Numbers
from slatewise.kernels import descent

Kind: TypeAlias = Literal["gradient", "average", "momentum", "optimistic", "pid"]
Gains: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST)]
SAFE = 0.5
"""Part of the step at which a loop is no longer stable that is taken at most."""
NOISY = 500.0
"""Slots at least over which an error is averaged before it is made good: shares of them are known to a tenth or so."""
FORGET = 0.98
"""What an observed answer still counts one window later."""
LEAST = 0.1
"""Local gain that is assumed at least, as a part of the first guess."""


@final
class Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a loop moves.

    Attributes:
        kind: Which weights past gradients have.
        gain: Size of a step; with `memory` in units of a typical gradient, else as it is. 0 holds the price still.
        decay: What the average keeps of itself, for `average` and `momentum`.
        proportional: Weight of the change of the error, for `pid`.
        integral: Weight of the error, for `pid`.
        derivative: Weight of the change of the change, for `pid`.
        memory: Gradients that the typical size is taken over; 0 takes steps as they are.
        dead_band: Error up to which nothing moves.
        most: Largest move of a step.

    Examples:
        >>> Law(kind="optimistic").weights
        (0.0, 2.0, -1.0, 0.0)
        >>> Law(kind="pid", proportional=1.0, integral=0.5).weights
        (0.0, 1.5, -1.0, 0.0)
        >>> Law(kind="momentum", decay=0.75).strength
        4.0
    """

    kind: Kind = "gradient"
    gain: Gains = 1.0
    decay: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    proportional: Gains = 0.5
    integral: Gains = 0.2
    derivative: Gains = 0.0
    memory: Annotated[int, Meta(ge=0)] = 0
    dead_band: Gains = 0.0
    most: Gains = 1.0

    @property
    def weights(self) -> tuple[float, float, float, float]:
        """Decay of the average, and the weights of the last three gradients."""
        match self.kind:
            case "gradient":
                return 0.0, 1.0, 0.0, 0.0
            case "average":
                return self.decay, 1.0 - self.decay, 0.0, 0.0
            case "momentum":
                return self.decay, 1.0, 0.0, 0.0
            case "optimistic":
                return 0.0, 2.0, -1.0, 0.0
            case "pid":
                p, i, d = self.proportional, self.integral, self.derivative
                return 0.0, p + i + d, -p - 2.0 * d, d

    @property
    def age(self) -> float:
        """How many windows old the average is, on average, beyond the last gradient."""
        decay = self.weights[0]
        return decay / (1.0 - decay)

    @property
    def strength(self) -> float:
        """Sum of the sizes of all weights: how much a lasting error moves the dual at most, per unit of step."""
        decay, *weights = self.weights
        return sum(map(abs, weights)) / (1.0 - decay)

    def row(self, low: float, high: float) -> Numbers:
        """Return the law as `kernels.descent` reads it, for a dual within two bounds."""
        most = min(self.most, high - low)
        adaptive = (float(self.memory > 0), float(max(self.memory, 1)))
        return np.array((self.gain, *self.weights, *adaptive, self.dead_band, most, low, high))


SPENDING = Law(gain=1.2, memory=50_000)
"""One law for budgets from a 1/32 to a half of what could be spent."""
FIRST_SQUARES, FIRST_COUNT = 100.0, 100.0
"""A loop begins as if it had seen a hundred gradients of size 1: a first step of a tenth of its gain."""


class Loop(msgspec.Struct, frozen=True):
    """What a loop remembers.

    Attributes:
        dual: The price, or its logarithm.
        average: The average of past gradients.
        last: The last gradient.
        before: The one before.
        squares: Sum of squared gradients.
        count: How many.
    """

    dual: float = 0.0
    average: float = 0.0
    last: float = 0.0
    before: float = 0.0
    squares: float = FIRST_SQUARES
    count: float = FIRST_COUNT

    @property
    def row(self) -> Numbers:
        """The loop as `kernels.descent` reads it."""
        return np.array(msgspec.structs.astuple(self))

    def moved(self, law: Numbers, gradients: Sequence[float], damping: float = 1.0) -> Loop:
        """Return the loop after some gradients.

        >>> loop = Loop().moved(Law(gain=0.5).row(-1.0, 1.0), [-0.5])
        >>> loop.dual, loop.moved(Law(gain=0.5).row(-1.0, 1.0), [-0.5], 0.0).dual
        (0.25, 0.25)
        """
        row = self.row
        descent.follow(row, law, np.asarray(gradients, np.float64), damping)
        return Loop(*row.tolist())


class Gain(msgspec.Struct, frozen=True):
    """By how much what is steered falls when the dual rises, as observed.

    Attributes:
        guess: What is assumed before anything was seen, > 0.
        moves: Sum of squared moves of the dual, recent ones most.
        answers: Sum of moves times falls.
        dual: Where the dual last was.
        level: What was then observed.
        windows: How many windows were.
    """

    guess: float = 1.0
    moves: float = 0.0
    answers: float = 0.0
    dual: float = 0.0
    level: float = 0.0
    windows: int = 0

    @property
    def estimate(self) -> float:
        """The local gain; the guess counts as one move of a tenth.

        >>> Gain(guess=1.0, moves=0.09, answers=0.27).estimate.__round__(2)
        2.8
        """
        return max((self.answers + 0.01 * self.guess) / (self.moves + 0.01), LEAST * self.guess)

    def seen(self, dual: float, level: float) -> Gain:
        """Return the estimate after a window at some dual."""
        if self.windows == 0:
            return msgspec.structs.replace(self, dual=dual, level=level, windows=1)
        move, fall = dual - self.dual, self.level - level
        return Gain(
            self.guess, FORGET * self.moves + move * move, FORGET * self.answers + move * fall,
            dual, level, self.windows + 1,
        )  # fmt: skip


def damping(law: Law, size: float, gain: float, *, lag: int = 0, slots: float = NOISY, lines: int = 1) -> float:
    """Return the part of a law's step that is safe.

    Args:
        law: How the loop moves.
        size: Step that it would take per unit of gradient, over the whole window.
        gain: The local gain.
        lag: Windows from a price to the first effect of it that is seen, beyond the next.
        slots: Slots that a window's error is measured on.

    Examples:
        >>> damping(Law(gain=1.0), 1.0, 4.0), damping(Law(gain=1.0), 1.0, 0.5)
        (0.25, 1.0)
        >>> damping(Law(gain=1.0), 1.0, 4.0, slots=50.0)
        0.025
    """
    bound = 2.0 * sin(pi / (2.0 * (2.0 * (lag + law.age) + 1.0)))
    noise = slots / NOISY
    allowed = min(SAFE / lines * bound, noise) / max(1.0, sqrt(noise))
    taken = size * gain * law.strength
    return 1.0 if taken <= allowed else allowed / taken


def aimed(price: float, share: float, floor: float, cap: float) -> float:
    """Return the share to aim at: the cap while a price is paid, the floor while a subsidy is, else what is.

    >>> aimed(0.5, 0.2, 0.1, 0.3), aimed(-0.5, 0.2, 0.1, 0.3), aimed(0.0, 0.2, 0.1, 0.3)
    (0.3, 0.1, 0.2)
    """
    return cap if price > 0 else floor if price < 0 else min(max(share, floor), cap)


def stopped(before: Loop, after: Loop) -> Loop:
    """Return a loop that stops at 0 on its way from one sign to the other, where neither floor nor cap binds."""
    if before.dual * after.dual >= 0:
        return after
    return msgspec.structs.replace(after, dual=0.0, average=0.0, last=0.0, before=0.0)


def fair(dual: Numbers, loss: float) -> Numbers:
    """Return duals of max-min fairness within their domain: subsidies, together, of at most `loss`.

    For consumption targets rho and r(a) = loss * min_j a_j / rho_j, duals are scaled, y = rho * dual; those above 0
    stay, and the others are projected on the simplex by one sort.

    Args:
        dual: (lines,) rho * dual after a step.
        loss: What the least share of its target is worth, >= 0.

    Examples:
        >>> fair(np.array([0.5, -3.0, -1.0]), 2.0).tolist()
        [0.5, -2.0, 0.0]
    """
    owed = np.maximum(-dual, 0.0)
    if owed.sum() <= loss:
        return dual.copy()
    down = np.sort(owed)[::-1]
    excess = (np.cumsum(down) - loss) / np.arange(1, len(down) + 1)
    cut = excess[np.flatnonzero(down > excess)[-1]] if loss > 0 else down[0]
    return np.where(dual < 0, np.minimum(cut - owed, 0.0), dual)
