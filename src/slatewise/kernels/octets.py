"""Octets: eight bytes of a text at once, as one whole number.

The byte that stands first is the lowest (these machines are little-endian). `word` reads beyond no array only if eight
bytes follow: texts are padded by `PADDING` bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from slatewise.kernels.compiled import inlined

PADDING = 8

QUOTE, COMMA, COLON, MINUS, POINT, ESCAPE = 34, 44, 58, 45, 46, 92
LIST, LIST_END, OBJECT, OBJECT_END = 91, 93, 123, 125
"""Bytes that JSON is made of."""

_ONE, _EIGHT = np.uint64(1), np.uint64(8)
_ONES, _TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_FIRSTS, _SIXES, _THREES = _ONES * np.uint64(0xF0), _ONES * np.uint64(6), _ONES * np.uint64(0x33)
_PAIRS, _FOURS, _HALF = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0xFFFFFFFF)
_DIGITS = _ONES * np.uint64(15)
_SPACES, _QUOTES, _SLASHES = _ONES * np.uint64(32), _ONES * np.uint64(QUOTE), _ONES * np.uint64(ESCAPE)


def _load(typing_context, text, at):
    """Return the eight bytes of a (bytes,) uint8 array from a place on."""
    if not isinstance(text, types.Array) or not isinstance(at, types.Integer):
        return None

    def codegen(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = context.cast(builder, arguments[1], signature.args[1], types.intp)
        pointer = builder.bitcast(builder.gep(array.data, [place]), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(text, at), codegen


def _zeros(typing_context, bits):
    """Return how many of the lowest bits are 0, for a number that is not."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


word: Any = intrinsic(_load)
trailing_zeros: Any = intrinsic(_zeros)


@inlined
def until_stop(eight):
    """Return how many bytes come before the first quote, backslash or control character; 8 if there is none.

    A byte below a bound borrows from its top bit when the bound is taken from it; what such a byte borrows from the
    bytes above it may mark these wrongly, but never one below, and only the lowest mark counts.
    """
    quotes, slashes = eight ^ _QUOTES, eight ^ _SLASHES
    marks = (((quotes - _ONES) & ~quotes) | ((slashes - _ONES) & ~slashes) | ((eight - _SPACES) & ~eight)) & _TOPS
    return np.int64(8) if marks == 0 else np.int64(trailing_zeros(marks) >> np.uint64(3))


@inlined
def first(eight, count):
    """Return the first bytes, 0 <= count < 8, and 0 for all others."""
    return eight & ((_ONE << (_EIGHT * np.uint64(count))) - _ONE)


@inlined
def are_digits(eight):
    """Return whether all bytes are digits: of none is the first half anything but 3, nor after 6 is added."""
    return (eight & _FIRSTS) | (((eight + _SIXES) & _FIRSTS) >> np.uint64(4)) == _THREES


@inlined
def of_digits(eight):
    """Return the number that eight digits write: neighbours are joined to pairs, pairs to fours, and these to one."""
    eight &= _DIGITS
    eight = (eight * np.uint64(10) + (eight >> np.uint64(8))) & _PAIRS
    eight = (eight * np.uint64(100) + (eight >> np.uint64(16))) & _FOURS
    return (eight * np.uint64(10_000) + (eight >> np.uint64(32))) & _HALF


@inlined
def same(text, at, other, there, size):
    """Return whether so many bytes are the same; none of those in `other` is 0."""
    done = 0
    while done + 8 <= size:
        if word(text, at + done) != word(other, there + done):
            return False
        done += 8
    return done == size or first(word(text, at + done) ^ word(other, there + done), size - done) == 0
