"""Reorder lists by a model that looks at the whole list, in a few passes.

A score depends on what stands around a row, so that sorting by scores makes another list than the one that was scored:

    s_k = damping * s_(k-1) + (1 - damping) * f(x_k),    x_(k+1) = rows by descending s_k - stickiness * gap * slot_k
    R(x) = sum over slots t of exposure_t * click_t(x)

Nothing says that this ends. Two rows of which each scores more below the other change places for ever. So from the
second pass on rows stick to where they are, each slot for a share of the mean gap from score to score; and every list
is judged by what is predicted of itself, R. It is taken if that is more than of the best one so far, by `delta`, and
the first list that is not, or that was there before, is the last. What is kept is the best list that was judged. A
single pass judges nothing, and believes the order that it finds. Cost: one call of the model per pass, and O(n log n).

References:
    Kendall (1938), "A new measure of rank correlation", Biometrika 30.
    Ai et al. (2018), "Learning a Deep Listwise Context Model for Ranking Refinement", SIGIR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Flags, Numbers

Orders: TypeAlias = NDArray[np.int64]
Link: TypeAlias = Literal["logistic", "softmax"]
"""What scores say: log-odds of a click on each row; or, taken together, which row a click is on."""


@dataclass(frozen=True, slots=True)
class Reordered:
    """Lists in another order, and how it came about.

    Attributes:
        orders: (p + 1, b, l) rows by slot: as they came in, and after each pass; rows that only fill up stay last.
        kept: (b,) which of these is kept.
        clicks: (b, l) predicted of each row in that order, or in the one before if it was not judged.
        rewards: (p, b) R of each order; NaN where a list had ended.
        cycles: (b,) passes after which an order was there again: 1 if it stayed, 0 if no order came twice.
        lengths: (b,) rows of each list.
    """

    orders: Orders
    kept: NDArray[np.int64]
    clicks: Numbers
    rewards: Numbers
    cycles: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def order(self) -> Orders:
        """(b, l) rows by slot, as kept."""
        return self.orders[self.kept, np.arange(self.orders.shape[1])]

    @property
    def distances(self) -> Numbers:
        """(p, b) share of the pairs of rows that each pass turned round."""
        turned = [turns(one, other) for one, other in zip(self.orders, self.orders[1:], strict=False)]
        return np.array(turned) / np.maximum(self.lengths * (self.lengths - 1) / 2, 1)


def reordered(
    score: Callable[[Orders], Numbers],
    mask: Flags,
    *,
    exposure: Numbers,
    link: Link = "logistic",
    passes: int = 2,
    damping: float = 0.5,
    stickiness: float = 0.5,
    delta: float = 0.0,
) -> Reordered:
    """Return lists in the order that promises most.

    Args:
        score: From (b, l) rows by slot to the (b, l) scores of these slots; finite.
        mask: (b, l) where there is a row; first places of each list.
        exposure: (l,) how much each slot is looked at, >= 0.
        link: What scores say.
        passes: How often the model looks, at most, >= 1.
        damping: Share of its scores that is kept from pass to pass, in [0, 1).
        stickiness: What a slot counts from the second pass on, in gaps from score to score, >= 0.
        delta: By how much a list has to promise more to be taken; -inf takes any, and ends nothing.

    Examples:
        >>> def lower_is_better(order):  # a row scores more in the second slot
        ...     return np.where(order == 0, [[1.0, 3.0]], [[0.0, 2.0]])
        >>> both = np.ones((1, 2), bool)
        >>> free = {"damping": 0.0, "stickiness": 0.0, "delta": -np.inf}
        >>> found = reordered(lower_is_better, both, exposure=np.ones(2), passes=3, **free)
        >>> found.orders[:, 0].tolist(), found.cycles.tolist()
        ([[0, 1], [1, 0], [0, 1]], [2])
    """
    lists, order = np.arange(len(mask))[:, None], np.broadcast_to(np.arange(mask.shape[1]), mask.shape)
    orders, rewards = [order], [np.empty((0, len(mask)))]
    held, now = np.zeros(mask.shape), np.empty(mask.shape)
    best, live = np.full(len(mask), -np.inf), np.ones(len(mask), np.bool_)
    kept, cycles = np.zeros(len(mask), np.int64), np.zeros(len(mask), np.int64)
    clicks = np.zeros(mask.shape)
    for place in range(passes):
        found = score(order)
        seen = linked(found, mask, link)
        reward = (seen * exposure).sum(axis=1)
        rewards.append(np.where(live, reward, np.nan)[None])
        live &= reward > best + delta if place and delta > -np.inf else live
        kept[live], best[live] = place, reward[live]
        clicks[lists[live], order[live]] = seen[live]
        now[lists, order] = found
        held = damping * held + (1 - damping) * now if place else now.copy()
        here = held[lists, order]
        here = np.where(mask, -here + (stickiness * _stuck(here, mask) if place else 0.0), np.inf)
        following = order[lists, np.argsort(here, axis=1, kind="stable")]
        order = np.where(live[:, None], following, order)
        for back, other in enumerate(reversed(orders), 1):
            again = live & (cycles == 0) & (order == other).all(axis=1)
            cycles[again] = back
        orders.append(order)
        live &= cycles == 0
        if not live.any():
            break
    if passes == 1:
        kept[:] = 1
    return Reordered(np.stack(orders), kept, clicks, np.concatenate(rewards), cycles, mask.sum(axis=1))


def linked(scores: Numbers, mask: Flags, link: Link) -> Numbers:
    """Return (b, l) predicted clicks; 0 where there is no row.

    >>> linked(np.zeros((1, 3)), np.array([[True, True, False]]), "softmax").tolist()
    [[0.5, 0.5, 0.0]]
    """
    if link == "logistic":
        return np.where(mask, 0.5 * (1 + np.tanh(0.5 * scores)), 0.0)
    shifted = np.where(mask, scores, -np.inf)
    grown = np.exp(shifted - shifted.max(axis=1, keepdims=True, initial=-1e300))
    return grown / np.maximum(grown.sum(axis=1, keepdims=True), 1e-300)


def turns(one: Orders, other: Orders) -> NDArray[np.int64]:
    """Return (b,) how many pairs of rows two orders have the other way round.

    >>> turns(np.array([[0, 1, 2]]), np.array([[2, 0, 1]])).tolist()
    [2]
    """
    ranks = np.take_along_axis(np.argsort(one, axis=1), other, axis=1)
    return np.triu(ranks[:, :, None] > ranks[:, None, :], 1).sum(axis=(1, 2))


def exchanged(values: Numbers, floor: float) -> Numbers:
    """Return values for an order: the same, largest first, and each above the next.

    Values that are equal, of which an order would be lost, are moved apart by the least that there is.

    Args:
        values: (n,) values.
        floor: What all are to be above.

    Examples:
        >>> exchanged(np.array([1.0, 3.0, 2.0]), 0.0).tolist()
        [3.0, 2.0, 1.0]
        >>> exchanged(np.array([1.0, 1.0]), 0.0)[0] > 1.0
        np.True_
    """
    found = np.sort(values)[::-1].copy()
    if len(found) and not (found[-1] > floor and (found[:-1] > found[1:]).all()):
        below = floor
        for place in range(len(found) - 1, -1, -1):
            found[place] = below = max(found[place], float(np.nextafter(below, np.inf)))
    return found


def _stuck(scores: Numbers, mask: Flags) -> Numbers:
    """Return (b, l) slots, in gaps: the mean difference from each score of a list to the next."""
    wide = np.where(mask, scores, -np.inf).max(axis=1) - np.where(mask, scores, np.inf).min(axis=1)
    gap = np.where(mask.any(axis=1), wide, 0.0) / np.maximum(mask.sum(axis=1) - 1, 1)
    return gap[:, None] * np.arange(mask.shape[1])
