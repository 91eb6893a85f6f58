"""Logarithm and exponential that never fall where their argument rises, not by one unit in the last place.

Those of the C library are nearer to the truth, and may be lower for the larger of two neighbouring numbers. Here every
operation is one that rounding leaves monotone: sums, products of what is positive, and quotients by what falls. The
argument is cut into pieces; within a piece there is a series of positive terms, and no piece goes above the start of
the next one.

The error is below 6e-16 for logarithms (absolute, or relative if that is more), and for exponentials, relative to
them, below 5e-16 * (1 + size of the argument).

References:
    Tang (1990), "Table-Driven Implementation of the Logarithm Function in IEEE Floating-Point Arithmetic", ACM TOMS.
"""

from __future__ import annotations

from math import frexp, ldexp

import numpy as np

from slatewise.kernels.compiled import inlined

PIECES = 128
"""Pieces of an octave."""

_LOGS = np.log1p(np.arange(PIECES + 1) / PIECES)
_POWERS = np.exp2(np.arange(PIECES + 1) / PIECES)
_OCTAVE = float(np.log(2.0))
_STEP = _OCTAVE / PIECES
_LARGEST, _SMALLEST = 709.0, -745.0


@inlined
def ln(number):
    """Return the natural logarithm of a positive number."""
    half, octave = frexp(number)
    mantissa, octave = 2.0 * half, octave - 1
    piece = int((mantissa - 1.0) * PIECES)
    start = 1.0 + piece / PIECES
    share = 1.0 - 2.0 / (2.0 + (mantissa - start) / start)  # of the series of 2 * artanh(share)
    square = share * share
    series = share * (2.0 + square * (2.0 / 3.0 + square * (2.0 / 5.0 + square * (2.0 / 7.0))))
    within = min(_LOGS[piece] + series, _LOGS[piece + 1])
    return min(octave * _OCTAVE + within, (octave + 1) * _OCTAVE)


@inlined
def exp(number):
    """Return e to the power of a number; infinity above 709, and 0 below -745."""
    if number > _LARGEST:
        return np.inf
    if number < _SMALLEST:
        return 0.0
    whole = int(np.floor(number / _STEP))
    octave = whole // PIECES
    piece = whole - octave * PIECES
    rest = max(number - whole * _STEP, 0.0)
    series = 1.0 + rest * (1.0 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24 + rest * (1 / 120)))))
    return ldexp(min(_POWERS[piece] * series, _POWERS[piece + 1]), octave)
