"""A loop per line: signed prices that hold shares, each line steering its own.

    price_b <- price_b - step * (a(price_b) - share_b),   stopped at 0 where its sign would change

with `a` the cap while a price is paid and the floor while a subsidy is. Prices are held in units of `scale`, what a
slot is typically worth. A subsidy never exceeds what a missing slot costs, so a floor that cannot be met saturates
there.

Shares sum to one, so that loops of lines answer each other: every step is shortened by the delay rule of
`methods.control`, which leaves a factor of two for that.

Cost: O(lines) per window.

References:
    Balseiro, Lu & Mirrokni (2021), "Regularized Online Allocation Problems: Fairness and Beyond", ICML.
"""

from __future__ import annotations

import msgspec
import numpy as np

from slatewise.core.columns import Numbers
from slatewise.methods.control import Gain, Law, Loop, aimed, damping, stopped
from slatewise.methods.coordinate import Wanted

HIGHEST = 10.0
"""Largest price, in units of what a slot is typically worth."""


class Loops(msgspec.Struct, frozen=True):
    """What the loops of all lines remember.

    Attributes:
        loops: One per line; its dual is the line's price, in units of `scale`.
        gains: By how much each line's share falls when its dual rises.
        past: Duals of the last windows whose effect has not been seen yet, oldest first.
    """

    loops: tuple[Loop, ...] = ()
    gains: tuple[Gain, ...] = ()
    past: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def start(cls, lines: int) -> Loops:
        """Return loops with prices of 0."""
        return cls((Loop(),) * lines, (Gain(),) * lines)

    @property
    def duals(self) -> Numbers:
        """(lines,) prices, in units of `scale`."""
        return np.array([loop.dual for loop in self.loops])

    def waiting(self) -> Loops:
        """Return the loops after a window that has not been counted yet."""
        return msgspec.structs.replace(self, past=(*self.past, tuple(self.duals.tolist())))


def steered(loops: Loops, counts: Numbers, wanted: Wanted, law: Law, *, scale: float, lag: int = 0) -> Loops:
    """Return the loops after a window.

    Args:
        loops: Those before.
        counts: (lines,) slots that each line had in the window.
        wanted: What lines are to get.
        law: How loops move.
        scale: What a slot is typically worth, > 0.
        lag: Windows after which counts come in; that many went by (`Loops.waiting`) before the first did.

    Examples:
        >>> wanted = Wanted(floor=np.zeros(2), cap=np.array([0.5, 1.0]), loss=np.ones(2))
        >>> after = steered(Loops.start(2), np.array([400.0, 100.0]), wanted, Law(gain=1.0), scale=2.0)
        >>> after.duals.round(3).tolist()
        [0.15, 0.0]
    """
    slots = float(counts.sum())
    if slots == 0:
        return loops
    then, *past = loops.waiting().past
    moved: list[Loop] = []
    gains: list[Gain] = []
    bounds = zip(wanted.floor.tolist(), wanted.cap.tolist(), wanted.loss.tolist(), strict=True)
    for place, (floor, cap, loss) in enumerate(bounds):
        loop, share = loops.loops[place], float(counts[place]) / slots
        gain = loops.gains[place].seen(then[place], share)
        part = damping(law, law.gain, gain.estimate, lag=lag, slots=slots, lines=2)
        error = aimed(loop.dual, share, floor, cap) - share
        after = loop.moved(law.row(-min(loss / scale, HIGHEST), HIGHEST), (error,), part)
        moved.append(stopped(loop, after) if floor < cap else after)
        gains.append(gain)
    return Loops(tuple(moved), tuple(gains), tuple(past))
