"""Give each slot a row of its own so that the sum is largest, and prove it by prices of slots and of rows.

Shortest augmenting paths with potentials, slot by slot. Afterwards, for every row and slot,

    reward[row, slot] <= of_slot[slot] + of_row[row],   with equality where they are matched, of_row >= 0,

and of_row = 0 for rows that got no slot: so the prices add up to the sum, and no other matching has a larger one.
Cost: O(slots^2 * n).

References:
    Kuhn (1955), "The Hungarian method for the assignment problem"; Jonker & Volgenant (1987), "A shortest augmenting
    path algorithm for dense and sparse linear assignment problems".
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel


@kernel
def match(reward, slot_of, of_slot, of_row, note):
    """Write the matching and its prices, and return the sum.

    Args:
        reward: (n, slots) float64, n >= slots.
        slot_of: (n,) int64, written: the slot of each row, -1 for none.
        of_slot: (slots,) float64, written.
        of_row: (n,) float64, written.
        note: (3, n) float64, room to write in.
    """
    n, slots = reward.shape
    distance, before, done = note[0], note[1], note[2]
    slot_of[:] = -1
    of_slot[:] = 0.0
    of_row[:] = 0.0
    for root in range(slots):
        distance[:] = np.inf
        done[:] = 0.0
        slot, row = root, -1
        while True:
            least, nearest = np.inf, -1
            price = of_slot[slot]
            for other in range(n):
                if done[other] == 0.0:
                    here = price + of_row[other] - reward[other, slot]
                    if here < distance[other]:
                        distance[other] = here
                        before[other] = row
                    if distance[other] < least:
                        least, nearest = distance[other], other
            of_slot[root] -= least
            for other in range(n):
                if done[other] > 0.0:
                    of_slot[slot_of[other]] -= least
                    of_row[other] += least
                else:
                    distance[other] -= least
            done[nearest] = 1.0
            row = nearest
            slot = slot_of[row]
            if slot < 0:
                break
        while row >= 0:
            earlier = int(before[row])
            slot_of[row] = root if earlier < 0 else slot_of[earlier]
            row = earlier
    return of_slot.sum() + of_row.sum()


@kernel
def match_likely(reward, likely, slot_of, of_slot, of_row):
    """Write the matching and its prices, and return the sum, looking at likely rows first.

    Rows that would gain by the prices found are likely, too, and the matching is done again; so it is that of all rows.

    Args:
        reward: (n, slots) float64, n >= slots.
        likely: (n,) bool, at least as many as slots; written.
        slot_of: (n,) int64, written: the slot of each row, -1 for none.
        of_slot: (slots,) float64, written.
        of_row: (n,) float64, written.
    """
    n, slots = reward.shape
    while True:
        some = np.flatnonzero(likely)
        own_slot, own_price = np.empty(len(some), np.int64), np.empty(len(some))
        total = match(reward[some], own_slot, of_slot, own_price, np.empty((3, len(some))))
        gains = False
        for row in range(n if len(some) < n else 0):
            if not likely[row]:
                for slot in range(slots):
                    if reward[row, slot] > of_slot[slot]:
                        likely[row] = gains = True
                        break
        if not gains:
            slot_of[:] = -1
            of_row[:] = 0.0
            slot_of[some] = own_slot
            of_row[some] = own_price
            return total
