"""Search for the best template: which line each slot goes to, while every line keeps its own order.

A state is a page up to some slot. Slot by slot every state grows by the head of each line that its limits allow; of two
states that have the same to come (as many rows taken of each line, as many of them placed, as long ago) only the one
worth more is kept, and of all states the `width` with the largest bound. A bound is what the page is worth so far, and
what the best rows left would bring in the slots left if only caps, gaps and first slots of each line were kept:

    bound = value + sum_j exposure_(j) * gain_(j),  both sorted by size

with gains that no order of a line's rows can beat: the slopes of the least concave function above the sums of its
queue. What was dropped bounds what was missed, so the search says how far its page may be from the best, and has proven
it if nothing above it was dropped. Cost: O(slots * width * lines * (slots + lines)).

| name | shape | what |
|---|---|---|
| `limit` | (lines, 5) int64 | of each line: columns `FIRST` ... `SINCE` |
| `state` | (states, 3, lines) int64 | rows `TAKEN`, `PLACED`, `LAST` |

References:
    Sidney (1975), "Decomposition algorithms for single-machine sequencing with precedence relations": the slopes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels.compiled import kernel, leaf

FIRST, MIN_GAP, CAP, FLOOR, SINCE = 0, 1, 2, 3, 4
"""Columns of `limit`: first slot from 0, gap, most and fewest slots, slots since the session saw it."""

TAKEN, PLACED, LAST = 0, 1, 2
"""Rows of a state: rows of each line passed by, rows placed, and the slot of the last one, below 0 for none."""

NEVER = 1_000_000
"""Slots since a line was seen that was never seen."""


class Queues(NamedTuple):
    """Lines as the search reads them.

    Attributes:
        starts: (lines + 1,) int64, where each queue begins.
        items: (n,) int32, item of each row, queue after queue.
        worth: (n,) float64, what the row is worth in a slot of exposure 1.
        gain: (n,) float64, what rows from this one on are worth at most, in rows of this block.
        end: (n,) int64, where the block ends.
        exposure: (k,) float64, >= 0.
        effect: (lines, longest) float64, factor of a line so many slots after its last row, from 1.
        limit: (lines, 5) int64, see the module.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    worth: NDArray[np.float64]
    gain: NDArray[np.float64]
    end: NDArray[np.int64]
    exposure: NDArray[np.float64]
    effect: NDArray[np.float64]
    limit: NDArray[np.int64]


@kernel
def search(queues: Queues, width: int, least: float) -> tuple[NDArray[np.int64], float, float]:
    """Return (places in the queues of the page found, what it is worth, what no page is worth more than).

    The page is empty if none worth more than `least` was found.

    Args:
        queues: The lines.
        width: States that are kept for each slot.
        least: What a page is known to be worth.
    """
    starts, worth, exposure, effect, limit = queues.starts, queues.worth, queues.exposure, queues.effect, queues.limit
    lines, slots = len(limit), len(exposure)
    weights = _suffixes(exposure)
    room = width * lines
    state, grown = np.zeros((width, 3, lines), np.int64), np.zeros((room, 3, lines), np.int64)
    value, grown_value = np.zeros(width), np.zeros(room)
    page, grown_page = np.zeros((width, slots), np.int64), np.zeros((room, slots), np.int64)
    bound, mark = np.zeros(room), np.zeros(room, np.int64)
    at, left = np.zeros(lines, np.int64), np.zeros(lines, np.int64)
    state[0, LAST] = -limit[:, SINCE]
    size, missed = 1, least
    for slot in range(slots):
        many = 0
        for one in range(size):
            for line in range(lines):
                row = _head(queues, state[one], page[one], slot, line)
                if row < 0 or not _allows(limit, state[one], slot, line):
                    continue
                new, own = grown[many], worth[row]
                _copy(state[one], new)
                gap = slot - new[LAST, line]
                if own > 0 and gap <= effect.shape[1]:
                    own *= effect[line, gap - 1]
                grown_page[many, :slot] = page[one, :slot]
                grown_page[many, slot] = row
                new[TAKEN, line] = row - starts[line] + 1
                new[PLACED, line] += 1
                new[LAST, line] = slot
                grown_value[many] = value[one] + exposure[slot] * own
                bound[many] = grown_value[many] + _to_come(queues, new, slot + 1, weights[slot + 1], at, left)
                mark[many] = _mark(new, limit, slot + 1, effect.shape[1])
                many += bound[many] > least
        order = np.argsort(-bound[:many], kind="mergesort")
        size = 0
        for one in order:
            if size == width:
                missed = max(missed, float(bound[one]))
                break
            if not _is_known(grown, mark, order, one, limit, slot + 1, effect.shape[1]):
                _copy(grown[one], state[size])
                value[size] = grown_value[one]
                page[size] = grown_page[one]
                size += 1
        if size == 0:
            return np.empty(0, np.int64), least, missed
    return page[0], float(value[0]), max(missed, float(value[0]))


@kernel
def _suffixes(exposure):
    """Return (k + 1, k) float64: exposures of the slots from each on, largest first."""
    weights = np.zeros((len(exposure) + 1, len(exposure)))
    for slot in range(len(exposure)):
        weights[slot, : len(exposure) - slot] = np.sort(exposure[slot:])[::-1]
    return weights


@leaf
def _copy(source, into):
    for row in range(source.shape[0]):
        for line in range(source.shape[1]):
            into[row, line] = source[row, line]


@leaf
def _head(queues, state, page, slot, line):
    """Return the first row of a line whose item the page does not show; -1 if there is none."""
    for row in range(queues.starts[line] + state[TAKEN, line], queues.starts[line + 1]):
        shown = False
        for above in range(slot):
            if queues.items[page[above]] == queues.items[row]:
                shown = True
                break
        if not shown:
            return row
    return -1


@leaf
def _allows(limit, state, slot, line):
    """Tell whether a line may take the slot."""
    far = slot - state[LAST, line] > limit[line, MIN_GAP]
    return far and slot >= limit[line, FIRST] and state[PLACED, line] < limit[line, CAP]


@leaf
def _to_come(queues, state, slot, weights, at, left):
    """Return what the slots from `slot` on bring at most; minus infinity if floors or slots cannot be filled."""
    starts, limit, slots = queues.starts, queues.limit, len(queues.exposure)
    due = 0
    for line in range(len(limit)):
        at[line] = starts[line] + state[TAKEN, line]
        first = max(slot, limit[line, FIRST], state[LAST, line] + limit[line, MIN_GAP] + 1)
        fits = 0 if first >= slots else 1 + (slots - 1 - first) // (limit[line, MIN_GAP] + 1)
        left[line] = min(fits, limit[line, CAP] - state[PLACED, line], starts[line + 1] - at[line])
        lacks = max(limit[line, FLOOR] - state[PLACED, line], 0)
        if lacks > left[line]:
            return -np.inf
        due += lacks
    if due > slots - slot:
        return -np.inf
    total, taken = 0.0, 0
    while taken < slots - slot:
        best = -1
        for line in range(len(limit)):
            if left[line] > 0 and (best < 0 or queues.gain[at[line]] > queues.gain[at[best]]):
                best = line
        if best < 0:
            return -np.inf
        gain = queues.gain[at[best]]
        many = min(queues.end[at[best]] - at[best], left[best], slots - slot - taken)
        for place in range(taken, taken + many):
            total += gain * weights[place]
        taken += many
        left[best] -= many
        at[best] += many
    return total


@leaf
def _age(state, line, limit, slot, longest):
    """Return how long ago the last row of a line was, as far as it matters."""
    return min(slot - state[LAST, line], max(longest, limit[line, MIN_GAP]) + 1)


@leaf
def _mark(state, limit, slot, longest):
    """Return a number that is the same for states that have the same to come."""
    mark = 17
    for line in range(len(limit)):
        for part in (state[TAKEN, line], state[PLACED, line], _age(state, line, limit, slot, longest)):
            mark = (mark * 1_000_003 + part) % 2_147_483_647
    return mark


@leaf
def _is_known(grown, mark, order, one, limit, slot, longest):
    """Tell whether a state with a larger bound has the same to come."""
    for other in order:
        if other == one:
            return False
        if mark[other] != mark[one]:
            continue
        same = True
        for line in range(len(limit)):
            same = same and grown[other, TAKEN, line] == grown[one, TAKEN, line]
            same = same and grown[other, PLACED, line] == grown[one, PLACED, line]
            ages = _age(grown[other], line, limit, slot, longest), _age(grown[one], line, limit, slot, longest)
            same = same and ages[0] == ages[1]
        if same:
            return True
    return False
