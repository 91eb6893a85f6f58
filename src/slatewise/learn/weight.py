"""Fit tables of `blend.weight` from what was observed over what was expected.

For each line and segment, realised value O over the value E that calibrated scores promised:

    weight = m * factor,   m = O / E of the line,   factor drawn towards 1 (`learn.shrinkage`)

That is the preference which the line's own ranker missed; the share of clicks would count what it did not miss again.
A common factor of all weights changes no page, so tables may be divided by the anchor's weight, segment by segment.

Cost: O(n).

References:
    Those of `learn.shrinkage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.blend.weight import Weight, WeightSegment
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.learn.shrinkage import shrunken_factors, sums

Log: TypeAlias = Mapping[str, NDArray[Any]]


class Cell(msgspec.Struct, frozen=True):
    """A line in a segment.

    Attributes:
        line: The line.
        when: The segment; empty for all requests.
        observed: Realised value.
        expected: Value that was promised.
        ratio: One over the other, as it is.
        weight: What it became: drawn towards the line's, and divided by the anchor's.
    """

    line: str
    when: dict[str, str]
    observed: float
    expected: float
    ratio: float
    weight: float


class Observed(NamedTuple):
    """What was fitted from observed over expected.

    Attributes:
        stage: The settings.
        cells: What they rest on.
    """

    stage: Weight
    cells: tuple[Cell, ...]


def fit_observed(log: Log, *, segments: Sequence[str] = (), anchor: str | None = None) -> Observed:
    """Return weights by line and segment.

    Args:
        log: Columns `line`, `observed` and `expected` of showings, and those of segments.
        segments: Columns whose values, together, make segments.
        anchor: The line that is to have weight 1; weights stay absolute if not given.

    Raises:
        RequestError: Names the column, the rule and the value.
    """
    for name in ("observed", "expected"):
        wrong = np.flatnonzero(log[name] < 0)
        if len(wrong):
            raise RequestError(f"log.{name}[{wrong[0] + 1}]", "must be >= 0", shown(float(log[name][wrong[0]])))
    lines, of_line = np.unique(log["line"].astype(str), return_inverse=True)
    _check_anchor(anchor, lines.tolist())
    whens, of_when = _cells(log, segments)
    place = of_line * len(whens) + of_when
    seen, expected = (sums(place, log[name], len(lines) * len(whens)) for name in ("observed", "expected"))
    seen, expected = seen.reshape(len(lines), -1), expected.reshape(len(lines), -1)
    means, weights = np.ones(len(lines)), np.ones(seen.shape)
    for line in range(len(lines)):
        if not (seen[line].sum() > 0 and expected[line].sum() > 0):
            raise RequestError(f"log.observed of {lines[line]}", "must be > 0 in sum, and so must be `expected`")
        own = log["observed"][of_line == line]
        means[line] = seen[line].sum() / expected[line].sum()
        noise = float(np.square(own).sum() / own.sum())
        weights[line] = means[line] * shrunken_factors(seen[line], means[line] * expected[line], noise=noise).found
    if anchor is not None:
        at = lines.tolist().index(anchor)
        means, weights = means / means[at], weights / weights[at]
    cells = tuple(
        Cell(str(line), when, *_ratio(seen[row, column], expected[row, column]), float(weights[row, column]))
        for row, line in enumerate(lines)
        for column, when in enumerate(whens)
    )
    table = {str(line): float(mean) for line, mean in zip(lines, means, strict=True) if line != anchor}
    own_segments = [
        WeightSegment(when={**when}, lines={line: float(weights[row, column]) for row, line in _others(lines, anchor)})
        for column, when in enumerate(whens)
        if when and not np.allclose(weights[:, column], means, rtol=1e-12)
    ]
    return Observed(Weight(lines=table, segments=tuple(own_segments), anchor=anchor), cells)


def _cells(log: Log, names: Sequence[str]) -> tuple[list[dict[str, str]], NDArray[np.int64]]:
    """Return the segments that there are, and which each row is in."""
    if not names:
        return [{}], np.zeros(len(log["line"]), np.int64)
    rows = ["\0".join(map(str, row)) for row in zip(*(log[name] for name in names), strict=True)]
    values, codes = np.unique(rows, return_inverse=True)
    return [dict(zip(names, str(value).split("\0"), strict=True)) for value in values], codes


def _others(lines: NDArray[Any], anchor: str | None) -> list[tuple[int, str]]:
    return [(row, str(line)) for row, line in enumerate(lines) if line != anchor]


def _ratio(seen: float, expected: float) -> tuple[float, float, float]:
    return float(seen), float(expected), float(seen / expected) if expected > 0 else float("nan")


def _check_anchor(anchor: str | None, lines: Sequence[str]) -> None:
    if anchor is not None and anchor not in lines:
        raise RequestError("anchor", "must be a line of the log", shown(anchor), did_you_mean(anchor, lines))
