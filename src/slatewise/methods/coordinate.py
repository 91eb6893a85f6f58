"""One owner of all prices: every window, the dual of the last slots is solved anew, and prices move towards it.

    target_b = share_b + (slots that line b is short of its share so far) / catch_up,  within half of the share
               + offset_b
    aim      = prices at which the last `slots` slots would have been split as the targets ask (`kernels.shares`)
    moved    = settled + damping * (aim - settled)
    price    = moved + trend * (moved - settled)

Lines state floors, caps and losses; they run no loops of their own, so nothing fights. The trend makes up for prices
being a window old. What lines are short of is made good slowly, so that floors and caps hold over the horizon even
where layout rules keep lines from slots that their price would win.

Worths of slots are a model of pages, and pages may answer otherwise: a rule binds, or a selector weighs a page as a
whole. `offset` is by how much: the shares that the last slots would have had at the prices in force, less those that
they had, averaged over windows. With it, shares settle at their targets whatever the model misses; where it misses
nothing, it is 0.

Cost: that of `kernels.shares` for `slots` slots, from the prices before.

References:
    Balseiro, Lu & Mirrokni (2021), "Regularized Online Allocation Problems: Fairness and Beyond", ICML, for signed
    prices. Holt (1957), "Forecasting seasonals and trends by exponentially weighted moving averages".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slatewise.core.columns import LARGEST, Numbers
from slatewise.core.ledger import Entry
from slatewise.kernels.shares import dual

NEVER = -LARGEST
"""Worth of a slot to a line that has nothing to show there."""
FARTHEST = 0.5
"""Part of a share by which its target may be off it, to make good what is missing."""
CERTAIN = 2_000.0
"""Slots over which offsets are averaged."""
STEEP = 10.0
"""Largest price, in units of the largest difference of worth: beyond, no slot would change hands."""


class Wanted(NamedTuple):
    """What lines are to get.

    Attributes:
        floor: (lines,) share of slots at least, in [0, 1].
        cap: (lines,) share of slots at most, >= floor; together >= 1.
        loss: (lines,) what a slot missing from the floor costs, in currency, >= 0; may be infinite.
        anchor: Line of which the price stays 0, if the shares leave that open; -1 for none.
    """

    floor: Numbers
    cap: Numbers
    loss: Numbers
    anchor: int = -1


class Pull(NamedTuple):
    """How prices move.

    Attributes:
        damping: Part of the way to the new prices that is gone, in [0, 1]; 0 holds them still.
        trend: Part of the last move that is added, >= 0.
        catch_up: Slots over which what is missing is made good; 0 forgets it.
    """

    damping: float = 1.0
    trend: float = 0.25
    catch_up: float = 30_000.0


class Prices(NamedTuple):
    """What is published, and what it is the continuation of.

    Attributes:
        price: (lines,) published, in currency per slot.
        settled: (lines,) the same before the trend was added.
        short: (2, lines) slots by which the line is short of its floor, and of its cap; below 0 where it is over.
        offset: (lines,) share that the line was expected to have less that it had, averaged.
    """

    price: Numbers
    settled: Numbers
    short: Numbers
    offset: Numbers

    @classmethod
    def start(cls, lines: int) -> Prices:
        """Return prices of 0."""
        return cls(np.zeros(lines), np.zeros(lines), np.zeros((2, lines)), np.zeros(lines))


def worths(entry: Entry, names: Mapping[str, int]) -> tuple[float | None, ...]:
    """Return the worth of a slot to each line, and to the best line that is not named; None where there is none.

    Args:
        entry: The slot.
        names: Line to its place.
    """
    found: list[float | None] = [None] * (len(names) + 1)
    for line, head in entry.heads.items():
        place = names.get(line, len(names))
        held = found[place]
        found[place] = head.worth if held is None else max(held, head.worth)
    return tuple(found)


def filled(rows: Sequence[tuple[float | None, ...]]) -> Numbers:
    """Return (n, lines + 1) worths of slots, `NEVER` where a line has nothing to show."""
    return np.array([[NEVER if one is None else one for one in row] for row in rows])


def expected(worth: Numbers, price: Numbers, counts: Numbers | None = None) -> Numbers:
    """Return (lines,) slots that each line would have, each given to the line that is worth most there after prices.

    Args:
        worth: (n, lines) worth of slots to each line; `NEVER` where it has nothing to show.
        price: (lines,) per slot.
        counts: (n,) how much each slot counts; 1 if not given.

    Examples:
        >>> expected(np.array([[3.0, 1.0], [2.0, 2.5], [2.0, 0.0]]), np.array([2.5, 0.0])).tolist()
        [0.0, 3.0]
    """
    left = np.where(worth > NEVER, worth - price, NEVER)
    return np.bincount(left.argmax(axis=1), counts, minlength=len(price)).astype(np.float64)


def coordinated(
    prices: Prices, worth: Numbers, counts: Numbers, wanted: Wanted, pull: Pull, *, seen: Numbers | None = None
) -> Prices:
    """Return the prices after a window.

    Args:
        prices: Those before.
        worth: (n, lines) worth of recent slots to each line; `NEVER` where it has nothing to show.
        counts: (lines,) slots that each line had in the window.
        wanted: What lines are to get.
        pull: How prices move.
        seen: (lines,) slots of the window that each line was expected to have; `counts` if not given.

    Examples:
        >>> half = np.array([0.5, 0.5])
        >>> worth = np.array([[3.0, 1.0], [3.0, 2.0], [3.0, 0.0], [2.0, 0.0]])
        >>> wanted = Wanted(floor=half, cap=half, loss=np.full(2, 10.0), anchor=0)
        >>> pull = Pull(trend=0.0, catch_up=0)
        >>> coordinated(Prices.start(2), worth, np.array([4.0, 0.0]), wanted, pull).price.tolist()
        [0.0, -2.0]
    """
    shares = np.array((wanted.floor, wanted.cap))
    most_late = FARTHEST * shares * pull.catch_up
    short = np.clip(prices.short + counts.sum() * shares - counts, -most_late, most_late)
    offset = prices.offset
    if seen is not None and (slots := float(counts.sum())) > 0:
        offset = offset + slots / (slots + CERTAIN) * ((seen - counts) / slots - offset)
    if not len(worth) or pull.damping == 0:
        return prices._replace(short=short, offset=offset)
    floor, cap = shares if pull.catch_up == 0 else shares + short / pull.catch_up
    floor = np.where(wanted.floor > 0, np.clip(floor + offset, 0.0, 1.0), 0.0)
    cap = np.maximum(np.where(wanted.cap < 1, np.clip(cap + offset, 0.0, 1.0), cap), floor)
    cap *= max(1.0, 1.0 / cap.sum())
    n = len(worth)
    worth = np.where(worth > NEVER, worth, -np.inf)
    there = worth[worth > NEVER]
    far = STEEP * max(float(np.ptp(there)), 1e-9) if len(there) else 0.0
    loss = np.where(wanted.floor > 0, np.minimum(wanted.loss, far), 0.0)
    most = np.where(wanted.cap < 1, far, 0.0)
    aim = dual(worth, n * floor, n * cap, loss, most, wanted.anchor, prices.settled)
    moved = prices.settled + pull.damping * (aim - prices.settled)
    price = np.clip(moved + pull.trend * (moved - prices.settled), -loss, most)
    return Prices(price, moved, short, offset)
