"""Decimals: numbers as JSON writes them, read to the nearest float64.

A number is w * 10**e with whole w of at most 19 digits. Where w and the power of ten are both float64 as they are, one
multiplication or division rounds once, so it is right. Else, down to e = -27, w / 5**-e is divided in whole numbers, to
63 bits at least and one more that says whether anything is left over; that is rounded once, and powers of two cost no
accuracy. What is longer, larger or smaller is left to others: the caller is told that it was not read.

Cost: O(digits); some 20 ns more where whole numbers are divided.

References:
    Clinger (1990), "How to read floating point numbers accurately", PLDI, for the first way; Knuth, "The art of
    computer programming", volume 2, algorithm 4.3.1 D, for dividing 128 bits by 64.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import inlined
from slatewise.kernels.octets import MINUS, POINT, are_digits, of_digits, word

DIGITS = 19
"""Most digits of a number that is read."""

_TENS = 10.0 ** np.arange(23)
_FIVES = np.array([5**power for power in range(28)], np.uint64)
_TWOS = 2.0 ** np.arange(-200, 1)
_EXACT = np.uint64(2**53)
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)
_ONE, _TEN, _TOP = np.uint64(1), np.uint64(10), np.uint64(63)
_EIGHT_ZEROS = np.uint64(10**8)


@inlined
def number(text, at):
    """Return (the number that begins there, the place after it); the place is -1 if it was not read.

    Args:
        text: (bytes,) uint8, ending with `octets.PADDING` bytes that are no part of a number.
        at: Where it begins.
    """
    is_negative = text[at] == MINUS
    begin = at + is_negative
    whole, at = _digits(text, begin, np.uint64(0))
    if at == begin or (text[begin] == 48 and at > begin + 1):
        return 0.0, -1
    digits, scale = at - begin, 0
    if text[at] == POINT:
        whole, stop = _digits(text, at + 1, whole)
        scale = at + 1 - stop
        at = stop
        if scale == 0:
            return 0.0, -1
        digits -= scale
        while digits > DIGITS and (text[begin] == 48 or text[begin] == POINT):  # zeros in front are no digits
            digits -= text[begin] == 48
            begin += 1
    elif is_negative and whole == 0:
        return 0.0, -1  # a whole number has no sign of zero
    if (text[at] | 32) == 101:  # e or E
        power, at = _power(text, at + 1)
        scale += power
    if at < 0 or digits > DIGITS:
        return 0.0, -1
    value, is_read = _scaled(whole, scale)
    return (-value if is_negative else value), (at if is_read else -1)


@inlined
def _digits(text, at, whole):
    """Return (the whole number with all digits that stand there behind it, the place after them)."""
    eight = word(text, at)
    while are_digits(eight):
        whole = whole * _EIGHT_ZEROS + of_digits(eight)
        at += 8
        eight = word(text, at)
    while 48 <= text[at] <= 57:
        whole = whole * _TEN + np.uint64(text[at] - 48)
        at += 1
    return whole, at


@inlined
def _power(text, at):
    """Return (what an exponent says, the place after it); the place is far below 0 if it is none."""
    is_negative = text[at] == MINUS
    at += is_negative or text[at] == 43
    begin, power = at, 0
    while 48 <= text[at] <= 57 and at < begin + 4:
        power = 10 * power + text[at] - 48
        at += 1
    if at == begin or at == begin + 4:
        return 0, -1
    return (-power if is_negative else power), at


@inlined
def _scaled(whole, scale):
    """Return (whole * 10**scale, whether it was found)."""
    if whole == 0 or scale == 0:
        return float(whole), True
    if whole <= _EXACT:
        if 0 < scale <= 22:
            return float(whole) * _TENS[scale], True
        if -22 <= scale < 0:
            return float(whole) / _TENS[-scale], True
    if -27 <= scale < 0:
        return _divided(whole, -scale), True
    return 0.0, False


@inlined
def _divided(whole, power):
    """Return whole / 10**power, for 0 < whole and 0 < power <= 27."""
    five = _FIVES[power]
    up, more = 64 - _bits(whole), 64 - _bits(five)
    high, low, divisor = whole << np.uint64(up), np.uint64(0), five << np.uint64(more)
    two = more - up - 64 - power
    if high >= divisor:
        low, high = (high & _ONE) << _TOP, high >> _ONE
        two += 1
    quotient, is_exact = _quotient(high, low, divisor)
    if not is_exact:
        quotient |= _ONE
    return float(quotient) * _TWOS[two + 200]


@inlined
def _bits(whole):
    """Return how many bits a whole number has."""
    found = 0
    for step in (32, 16, 8, 4, 2, 1):
        if whole >> np.uint64(step) != 0:
            whole >>= np.uint64(step)
            found += step
    return found + 1


@inlined
def _quotient(high, low, divisor):
    """Return ((high * 2**64 + low) // divisor, whether nothing is left), for high < divisor >= 2**63."""
    above, below = divisor >> _HALF, divisor & _LOW
    first, left = _digit(high, low >> _HALF, divisor, above, below)
    second, left = _digit(left, low & _LOW, divisor, above, below)
    return (first << _HALF) | second, left == 0


@inlined
def _digit(high, next_half, divisor, above, below):
    """Return (the next 32 bits of a quotient, what is left)."""
    digit = high // above
    left = high - digit * above
    while digit > _LOW or digit * below > ((left << _HALF) | next_half):
        digit -= _ONE
        left += above
        if left > _LOW:
            break
    return digit, ((high << _HALF) | next_half) - digit * divisor
