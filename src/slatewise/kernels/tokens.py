"""Tokens: texts and whole numbers of a JSON body, as codes of their distinct values.

A hash table holds where each value stood first, and values are told apart by their bytes, so that texts with escapes,
which have several spellings, are not read; neither are whole numbers of more than 18 digits. Whole numbers have no
quotes, so no text is mistaken for one.

Cost: O(bytes) of a token; one look at the table for most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slatewise.kernels.compiled import inlined, kernel
from slatewise.kernels.octets import MINUS, POINT, QUOTE, first, same, until_stop, word

PROBES = 64
"""Places of the table that are looked at for one value; more are a sign of values made to collide."""

WHOLE_DIGITS = 18

_SEED, _PRIME, _HASHED = np.uint64(14695981039346656037), np.uint64(11400714819323198485), np.uint64(33)


class Tokens(NamedTuple):
    """Values of K keys.

    Attributes:
        distinct: (K,) int64, how many there are of each.
        table: (K, size) int32, code of the value in each place of a hash table, -1 for none; `size` is a power of 2.
        spans: (K, values, 2) int64, where each value starts and stops in the body, quotes included.
    """

    distinct: Any
    table: Any
    spans: Any


@kernel
def no_tokens(keys, most):
    """Return room for the values of so many keys, `most` of each."""
    size = 16
    while size < 2 * most:
        size *= 2
    table, spans = np.full((keys, size), -1, np.int32), np.empty((keys, most, 2), np.int64)
    return Tokens(np.zeros(keys, np.int64), table, spans)


@inlined
def token(body, at, tokens, key, longest):
    """Return (the code of the value that begins there, the place after it); the place is -1 if it was not read.

    Args:
        body: (bytes,) uint8, followed by `octets.PADDING` bytes 0 that are none of its own.
        at: Where the value begins.
        tokens: The values known; a new one is added.
        key: Which of the K keys it is a value of.
        longest: Bytes of a text at most.
    """
    if body[at] == QUOTE:
        after, code = _text(body, at, longest)
    else:
        after, code = _whole(body, at)
    if after < 0:
        return -1, -1
    table, spans = tokens.table, tokens.spans
    mask = table.shape[1] - 1
    spot = np.int64(code >> _HASHED) & mask
    for _ in range(PROBES):
        known = table[key, spot]
        if known < 0:
            known = tokens.distinct[key]
            tokens.distinct[key] += 1
            table[key, spot] = known
            spans[key, known, 0], spans[key, known, 1] = at, after
            return known, after
        before = spans[key, known, 0]
        if spans[key, known, 1] - before == after - at and same(body, at, body, before, after - at):
            return known, after
        spot = (spot + 1) & mask
    return -1, -1


@inlined
def _text(body, at, longest):
    """Return (the place after a text that begins there, its hash); the place is -1 if it was not read."""
    start, code = at, _SEED
    at += 1
    while True:
        eight = word(body, at)
        plain = until_stop(eight)
        if plain < 8:
            break
        code = (code ^ eight) * _PRIME
        at += 8
    code = (code ^ first(eight, plain)) * _PRIME
    at += plain
    is_read = body[at] == QUOTE and at - start - 1 <= longest
    return (at + 1 if is_read else -1), code


@inlined
def _whole(body, at):
    """Return (the place after a whole number that begins there, its hash), as `_text`."""
    start, code = at, _PRIME
    at += body[at] == MINUS
    begin = at
    while 48 <= body[at] <= 57:
        code = (code ^ np.uint64(body[at])) * _PRIME
        at += 1
    is_padded = body[begin] == 48 and (at > begin + 1 or begin > start)
    is_cut = body[at] == POINT or (body[at] | 32) == 101  # a fraction or an exponent follows
    return (-1 if at == begin or at > begin + WHOLE_DIGITS or is_padded or is_cut else at), code
