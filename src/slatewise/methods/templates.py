"""The best page that keeps every line's own order: greedy by heads, or searched over templates.

A template says which line each slot goes to; with every line in its own order it is a page. `kernels.templates` looks
for the best one within the limits of the lines and says what it has proven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slatewise.core.columns import Codes, Numbers
from slatewise.kernels import queues, templates
from slatewise.kernels.templates import CAP, FIRST, FLOOR, MIN_GAP, NEVER, SINCE, Queues


class Limit(NamedTuple):
    """What a page may show of a line.

    Attributes:
        first: First slot, from 0.
        gap: Slots between two rows.
        cap: Most rows.
        floor: Fewest rows, as far as the line has them.
    """

    first: int = 0
    gap: int = 0
    cap: int = NEVER
    floor: int = 0


class Lined(NamedTuple):
    """Rows by line, each line in its own order.

    Attributes:
        rows: (n,) int32, rows, line after line.
        starts: (lines + 1,) int64, where each line begins.
        names: Names of the lines, in this order.
    """

    rows: Codes
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    names: Sequence[str]


def lined(queue: Codes, codes: Codes, names: Sequence[str], places: Sequence[int] | None = None) -> Lined:
    """Return rows line by line.

    Args:
        queue: (n,) int32, all rows; those of a line stand in its order.
        codes: (n,) int32, line of each row.
        names: Name of each line.
        places: Lines, by code, in the order in which they are to stand; that of `names` if not given.
    """
    places = range(len(names)) if places is None else places
    rank = np.argsort(places)
    own = rank[codes[queue]]
    starts = np.concatenate([[0], np.cumsum(np.bincount(own, minlength=len(names)))]).astype(np.int64)
    return Lined(queue[np.argsort(own, kind="stable")], starts, [names[place] for place in places])


def prefix_means(lines: Lined, worth: Numbers) -> Numbers:
    """Return (n,) float64: the largest mean of the rows that begin a queue from each row on."""
    means = np.empty(len(worth))
    means[lines.rows] = queues.prefixes(worth[lines.rows], lines.starts)[0]
    return means


def searched(
    lines: Lined,
    worth: Numbers,
    items: Codes,
    exposure: Numbers,
    effect: Mapping[str, Numbers],
    limits: Mapping[str, Limit],
    past: Sequence[str],
    *,
    width: int,
    least: float,
) -> tuple[Codes, float, float]:
    """Return (rows of the best page found, its value, what no page is worth more than); no rows if none beats `least`.

    Args:
        lines: Rows by line.
        worth: (n,) float64, what a row is worth in a slot of exposure 1.
        items: (n,) int32, item of each row.
        exposure: (k,) float64, for a page of k slots.
        effect: Line to its factors so many slots after its last row, from 1; 1 for others.
        limits: Line to what a page may show of it; anything for others.
        past: Line of each row that the session saw last, oldest first.
        width: States kept for each slot.
        least: What a page is known to be worth.
    """
    limit = np.empty((len(lines.names), 5), np.int64)
    table = np.ones((len(lines.names), max(map(len, effect.values()), default=0)))
    seen = {name: len(past) - place for place, name in enumerate(past)}
    for place, name in enumerate(lines.names):
        own = limits.get(name, Limit())
        rows = lines.starts[place + 1] - lines.starts[place]
        limit[place, [FIRST, MIN_GAP, CAP, FLOOR]] = own.first, own.gap, own.cap, min(own.floor, rows)
        limit[place, SINCE] = seen.get(name, NEVER)
        factors = effect.get(name, np.ones(0))
        table[place, : len(factors)] = factors
    in_order = worth[lines.rows]
    gain, end = _gains(in_order, items[lines.rows], exposure, lines.starts)
    found = Queues(lines.starts, items[lines.rows], in_order, gain, end, exposure, table, limit)
    places, value, bound = templates.search(found, width, least)
    return lines.rows[places], value, bound


def _gains(
    worth: Numbers, items: Codes, exposure: Numbers, starts: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[Numbers, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return what rows from each on are worth at most, and where their block ends.

    Means bound what the first rows of a queue bring together where exposure falls and no row is passed by; else each
    row counts as much as the best after it.
    """
    if (np.diff(exposure) <= 0).all() and len(np.unique(items)) == len(items):
        return queues.prefixes(worth, starts)
    best = worth.copy()
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        best[start:stop] = np.maximum.accumulate(best[start:stop][::-1])[::-1]
    return best, np.arange(1, len(worth) + 1)
