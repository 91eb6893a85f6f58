"""Scores to values, all lines of a page at once.

Maps are laid out in one table: first a row for each map, then its knots. A map says in three steps what a score is
worth:

    x = score, or its log-odds                                                                  (SCALE)
    g = low * ln p - high * ln (1 - p) + offset, or the line through knots FIRST to LAST - 1    (SHAPE)
    value = worth * g * exp(shift), or worth / (1 + exp(-(g + shift)))                          (EVENT)

For plain scores, x stands for ln p and 0 for ln (1 - p). Each step is non-decreasing in floating point, logarithms too
(`kernels.logs`), so no two values stand in another order than their scores. None is cut off: a probability of 0 or 1,
or beyond, has log-odds that go on growing, slowly.

Cost: O(n log knots).
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import inlined, kernel
from slatewise.kernels.logs import exp, ln

SCALE, SHAPE, EVENT, LOW, HIGH, OFFSET, WORTH, FIRST, LAST, WIDE = range(10)
"""Columns of a map's row, and how many there are."""

PLAIN, ODDS = 0.0, 1.0
"""What SCALE says of scores, and EVENT of values."""

FORMULA, KNOTS = 0.0, 1.0
"""What SHAPE says."""

AT, LEVEL, RISE = range(3)
"""Columns of a knot's row: where it is, how high, and the slope up to the next one."""

EDGE = 2.0**-40
"""Probabilities nearer to 0 or 1 than this have log-odds that go on from here, by a logarithm of the distance."""


@inlined
def logarithms(score):
    """Return ln p and ln (1 - p) of any number."""
    rest = 1.0 - score
    if score < EDGE:
        return ln(EDGE) - ln(1.0 + (EDGE - score) / EDGE), ln(1.0 - EDGE)
    if rest < EDGE:
        return ln(1.0 - EDGE), ln(EDGE) - ln(1.0 + (EDGE - rest) / EDGE)
    return ln(score), ln(rest)


@inlined
def between(table, first, last, at):
    """Return the height of the line through some knots; the outer pieces go on for ever."""
    low, high = first, last - 1
    while high - low > 1:
        middle = (low + high) // 2
        if table[middle, AT] <= at:
            low = middle
        else:
            high = middle
    level = table[low, LEVEL] + (at - table[low, AT]) * table[low, RISE]
    if low + 2 < last:
        level = min(level, table[low + 1, LEVEL])  # rounding must not lift a piece above the next one
    return level


@inlined
def worth_of(score, table, of, shift):
    """Return the value of one score under one map."""
    up, down = score, 0.0
    if table[of, SCALE] == ODDS:
        up, down = logarithms(score)
    if table[of, SHAPE] == KNOTS:
        level = between(table, int(table[of, FIRST]), int(table[of, LAST]), up - down)
    else:
        level = table[of, LOW] * up - table[of, HIGH] * down + table[of, OFFSET]
    if table[of, EVENT] == PLAIN:
        return table[of, WORTH] * (level if shift == 0.0 else level * exp(shift))
    return table[of, WORTH] / (1.0 + exp(-(level + shift)))


@kernel
def mapped(score, code, place, table, shift):
    """Return the value of each score.

    Args:
        score: (n,) scores.
        code: (n,) of which line.
        place: Per line its row of `table`; -1 keeps its scores.
        table: (maps + knots, WIDE) maps, then knots.
        shift: (maps,) what this request adds to log-odds; to values, their logarithm.
    """
    value = np.empty(len(score))
    for row in range(len(score)):
        of = place[code[row]]
        value[row] = score[row] if of < 0 else worth_of(score[row], table, of, shift[of])
    return value


@kernel
def mapped_by_first(score, table, shift):
    """Return the value of each score under the first map of a table."""
    value = np.empty(len(score))
    for row in range(len(score)):
        value[row] = worth_of(score[row], table, 0, shift)
    return value


@kernel
def log_odds(score):
    """Return the log-odds of each score."""
    level = np.empty(len(score))
    for row in range(len(score)):
        up, down = logarithms(score[row])
        level[row] = up - down
    return level
