"""What the lines' scores turn out to be worth: fitted every morning, and checked on the day that follows.

Maps are fitted from everything that the lines nominated on the days before and what was clicked of it, by
`learn.calibrate`: a ratio as long as there are few clicks, more where that predicts better. A line that has no clicks
yet, and every line on the first day, has the guess in the policy's document.

Whether a map was right shows on its own day: clicks that it expected over clicks that came, with an interval that draws
readers. That day was not fitted on.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.blend.maps import Map
from slatewise.core.candidates import Candidates
from slatewise.core.errors import RequestError
from slatewise.demo.lines import LINES
from slatewise.demo.records import Visit
from slatewise.evaluate.calibration import metric_by_cluster, pcoc
from slatewise.evaluate.intervals import Interval
from slatewise.learn.calibrate import fit_maps

DAY_S = 86_400
FEW = 10
"""Clicks of a day below which nothing is said of it."""


class Morning(msgspec.Struct, frozen=True):
    """A line's map on one day.

    Attributes:
        day: The day, counted from 1970.
        line: The line.
        map: The kind of map.
        fitted: Whether it was fitted; else it is the guess.
        expected: Clicks per 100 showings that it expected of this day's nominations, in the mean.
        ratio: Expected clicks of the day over clicks that came; None if fewer than `FEW` came.
    """

    day: int
    line: str
    map: str
    fitted: bool
    expected: float
    ratio: Interval | None


class Mornings:
    """The maps of each day, and what came of them.

    Attributes:
        maps: Day, counted from 1970, to line to map.

    Examples:
        >>> from slatewise.blend.maps import Ratio
        >>> mornings = Mornings({line: Ratio(factor=0.02) for line in LINES})
        >>> mornings.begin(19411)["fresh"]
        Ratio(worth=1.0, factor=0.02)
    """

    def __init__(self, guesses: Mapping[str, Map]) -> None:
        """Start with guesses, line to map."""
        self._guesses = dict(guesses)
        self.maps: dict[int, dict[str, Map]] = {}
        self._lines, self._scores, self._clicks = array("B"), array("d"), array("B")
        self._day, self._reader = array("l"), array("q")
        self._expected: dict[str, array[float]] = {line: array("d") for line in LINES}
        self._came: dict[str, array[float]] = {line: array("d") for line in LINES}
        self._rows: dict[str, array[int]] = {line: array("l") for line in LINES}

    @property
    def days(self) -> int:
        """How many days there were so far."""
        return len(self.maps)

    def begin(self, day: int) -> dict[str, Map]:
        """Return the maps of a day, fitted on what is known."""
        self.maps[day] = {**self._guesses, **self._fitted()}
        return self.maps[day]

    def end(self, candidates: Candidates, visit: Visit) -> None:
        """Take in what was nominated for a visit and what was clicked there."""
        lines, scores = candidates.key("line"), candidates.number("score")
        clicked = np.isin(np.array(candidates.item_id, np.int64), visit.clicked)
        day, maps = list(self.maps.items())[-1]
        for line in LINES:
            rows = lines.codes == lines.names.index(line)
            self._expected[line].append(float(maps[line](scores[rows]).sum()))
            self._came[line].append(float(clicked[rows].sum()))
            self._rows[line].append(int(rows.sum()))
        self._day.append(day)
        self._reader.append(visit.reader)
        self._lines.frombytes(lines.codes.astype(np.uint8).tobytes())
        self._scores.frombytes(scores.tobytes())
        self._clicks.frombytes(clicked.astype(np.uint8).tobytes())

    def told(self) -> tuple[Morning, ...]:
        """Return every day's maps and what came of them."""
        days, readers = np.array(self._day), np.array(self._reader)
        return tuple(
            self._morning(day, line, days == day, readers) for day in dict.fromkeys(days.tolist()) for line in LINES
        )

    def _morning(self, day: int, line: str, of: NDArray[np.bool_], readers: NDArray[Any]) -> Morning:
        one = self.maps[day][line]
        expected, came, rows = (np.array(each[line], float)[of] for each in (self._expected, self._came, self._rows))
        ratio = metric_by_cluster(pcoc, expected, came, readers[of]) if came.sum() >= FEW else None
        kind = str(one.__struct_config__.tag)
        shown = 100 * expected.sum() / max(rows.sum(), 1)
        return Morning(day, line, kind, one is not self._guesses[line], float(shown), ratio)

    def _fitted(self) -> dict[str, Map]:
        codes, clicks = np.frombuffer(self._lines, np.uint8), np.frombuffer(self._clicks, np.uint8)
        known = [code for code in range(len(LINES)) if clicks[codes == code].any()]
        kept = np.isin(codes, known)
        if not kept.any():
            return {}
        names = np.array(LINES, object)
        log = {
            "line": names[codes[kept]],
            "score": np.frombuffer(self._scores, np.float64)[kept],
            "outcome": clicks[kept].astype(np.float64),
        }
        try:
            return fit_maps(log)[0]
        except RequestError:
            return {}  # nothing to go by yet: the guesses stand
