"""What a decoder does between its products of matrices: looks at the slots above, where they lie, and gates.

A slot is one row, whatever page it is on: its prefix is a list of places in one table of keys and values, so that
nothing is gathered, padded or masked. Cost: O(heads * dh * slots above) per row.

References:
    Vaswani et al. (2017), "Attention is all you need", section 3.2; Tang et al. (2020), "Progressive Layered
    Extraction", section 3.2: gates.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import inlined_summing, kernel, leaf, summing

EPSILON = np.float32(1e-5)
"""What keeps rows of equal numbers from being divided by 0."""


@summing
def normed(rows, into):
    """Write rows with mean 0 and variance 1."""
    width = rows.shape[1]
    for row in range(len(rows)):
        mean, square = np.float32(0.0), np.float32(0.0)
        for at in range(width):
            mean += rows[row, at]
        mean /= np.float32(width)
        for at in range(width):
            off = rows[row, at] - mean
            square += off * off
        scale = np.float32(1.0) / np.sqrt(square / np.float32(width) + EPSILON)
        for at in range(width):
            into[row, at] = (rows[row, at] - mean) * scale


@leaf
def rectified(rows, shift, wide):
    """Add a shift to rows, and write 0 in place of what is below it among the first `wide` numbers of each."""
    for row in range(len(rows)):
        for at in range(rows.shape[1]):
            rows[row, at] += shift[at]
        for at in range(wide):
            rows[row, at] = max(rows[row, at], np.float32(0.0))


@leaf
def added(rows, more, shift):
    """Add rows and a shift to rows."""
    for row in range(len(rows)):
        for at in range(rows.shape[1]):
            rows[row, at] += more[row, at] + shift[at]


@leaf
def remembered(projected, at, keys, values):
    """Write the keys and values of rows into their places.

    Args:
        projected: (N, 3 * wide) float32, queries, keys and values.
        at: (N,) int32, places.
        keys: (tokens, wide) float32.
        values: (tokens, wide) float32.
    """
    wide = keys.shape[1]
    for row in range(len(at)):
        for number in range(wide):
            keys[at[row], number] = projected[row, wide + number]
            values[at[row], number] = projected[row, 2 * wide + number]


@inlined_summing
def _product(projected, row, keys, place, first, stop):
    total = np.float32(0.0)
    for number in range(first, stop):
        total += projected[row, number] * keys[place, number]
    return total


@leaf
def looked(projected, keys, values, above, slot, windows, scores, into):
    """Write what rows see above them.

    Args:
        projected: (N, 3 * wide) float32, of which the queries are looked with.
        keys: (tokens, wide) float32.
        values: (tokens, wide) float32.
        above: (N, slots) int32, places of the slots above and of the own.
        slot: (N,) int64, the own slot.
        windows: (heads,) int64, slots that each head looks at.
        scores: (slots,) float32, room.
        into: (N, wide) float32.
    """
    heads = len(windows)
    wide = keys.shape[1]
    each = wide // heads
    for row in range(len(slot)):
        own = slot[row]
        for head in range(heads):
            first = head * each
            largest = np.float32(-np.inf)
            start = max(own - windows[head] + 1, 0)
            for other in range(start, own + 1):
                scores[other] = _product(projected, row, keys, above[row, other], first, first + each)
                largest = max(largest, scores[other])
            total = np.float32(0.0)
            for other in range(start, own + 1):
                scores[other] = np.exp(scores[other] - largest)
                total += scores[other]
            for number in range(first, first + each):
                into[row, number] = np.float32(0.0)
            for other in range(start, own + 1):
                share, place = scores[other] / total, above[row, other]
                for number in range(first, first + each):
                    into[row, number] += share * values[place, number]


@leaf
def gated(experts, first, shared, hidden, out, last, into):
    """Write what a gate makes of experts, and a small network of that, for one task.

    Args:
        experts: (N, many * inner + gates) float32, experts and then log-odds of all gates.
        first: Where the task's gates begin.
        shared: How many experts the task may use; they are the first.
        hidden: (inner, inner) float32, weights of the network's first layer, by output.
        out: (inner + 1, 2) float32, offsets of the first layer, then weights of the second; its offset is the last.
        last: (inner,) float32, room.
        into: (N,) float32.
    """
    inner = len(hidden)
    for row in range(len(experts)):
        largest = np.float32(-np.inf)
        for one in range(shared):
            largest = max(largest, experts[row, first + one])
        total = np.float32(0.0)
        last[:] = np.float32(0.0)
        for one in range(shared):
            share = np.exp(experts[row, first + one] - largest)
            total += share
            for number in range(inner):
                last[number] += share * experts[row, one * inner + number]
        found = out[inner, 1]
        for number in range(inner):
            told = np.float32(0.0)
            for other in range(inner):
                told += hidden[number, other] * last[other]
            told = told / total + out[number, 0]
            if told > 0.0:
                found += told * out[number, 1]
        into[row] = found


@kernel
def rows_of(asked, step, token):
    """Return what the rows of chains in step `step` are: (tokens, places of the slots above and their own, slots)."""
    many = 0
    for one in range(len(asked.first)):
        many += asked.length[one] > step
    slots = token.shape[1]
    tokens = np.empty((many, token.shape[2]), np.float32)
    above, slot, chain = np.zeros((many, slots), np.int32), np.empty(many, np.int64), np.empty(many, np.int64)
    row = 0
    for one in range(len(asked.first)):
        if asked.length[one] <= step:
            continue
        first = asked.first[one]
        slot[row], chain[row] = first + step, one
        for other in range(first):
            above[row, other] = asked.above[one, other]
        for other in range(step + 1):
            above[row, first + other] = asked.at[one, other]
        source = token[asked.row[one, step], first + step]
        for number in range(token.shape[2]):
            tokens[row, number] = source[number]
        row += 1
    return tokens, above, slot, chain
