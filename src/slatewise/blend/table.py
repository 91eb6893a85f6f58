"""How maps are served: each a row of one table, and its knots, so that a page of all lines is one call.

Cost: O(n log knots) for a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import ClassVar, NamedTuple

import msgspec
import numpy as np

from slatewise.core.columns import Codes, Numbers, Positive
from slatewise.kernels import knots as kernel
from slatewise.methods import mapping

NO_KNOTS: Numbers = np.zeros((0, 3))


class Table(NamedTuple):
    """Maps as kernels read them.

    Attributes:
        names: Lines that have a map, and its place.
        rows: (maps + knots, 9) maps, then the knots of each.
    """

    names: Mapping[str, int]
    rows: Numbers

    @classmethod
    def of(cls, maps: Mapping[str, LineMap]) -> Table:
        """Lay out the maps of some lines."""
        knots = [one.knots for one in maps.values()]
        last = len(maps) + np.cumsum([len(some) for some in knots], dtype=np.int64)
        rows = np.zeros((last[-1] if maps else 0, kernel.WIDE))
        for place, (one, some) in enumerate(zip(maps.values(), knots, strict=True)):
            first = last[place] - len(some)
            rows[place] = (*one.curve, first, last[place])
            rows[first : last[place], : some.shape[1]] = some
        return cls({name: place for place, name in enumerate(maps)}, rows)

    def shifts(self, offsets: Mapping[str, float]) -> Numbers:
        """Return (maps,) what is added to the log-odds of each."""
        return np.array([offsets.get(name, 0.0) for name in self.names], np.float64)

    def values(self, score: Numbers, codes: Codes, names: Iterable[str], shift: Numbers) -> Numbers:
        """Return the value of each row; a line without a map keeps its scores."""
        place = np.array([self.names.get(name, -1) for name in names], np.int32)
        return mapping.page_values(score, codes, place, self.rows, shift)


class LineMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="map"):
    """A strictly increasing map from scores to values.

    Attributes:
        worth: Value of one event, in the policy's currency, > 0.
    """

    worth: Positive = 1.0

    event: ClassVar[float] = kernel.ODDS
    shape: ClassVar[float] = kernel.FORMULA

    @property
    def on_odds(self) -> bool:
        """Whether scores are probabilities, mapped by their log-odds."""
        return True

    @property
    def terms(self) -> tuple[float, float, float]:
        """What ln p, -ln (1 - p) and 1 are multiplied by, where there are no knots."""
        return 0.0, 0.0, 0.0

    @property
    def knots(self) -> Numbers:
        """(knots, 3) where each is, how high, and the slope up to the next one."""
        return NO_KNOTS

    @property
    def curve(self) -> tuple[float, ...]:
        """Its row of a `Table`, up to where its knots are."""
        return (kernel.ODDS if self.on_odds else kernel.PLAIN, self.shape, self.event, *self.terms, self.worth)

    def __call__(self, score: Numbers, *, offset: float = 0.0) -> Numbers:
        """Return the value of each score.

        Args:
            score: (n,) scores.
            offset: Added to log-odds; for values that are no probabilities, to their logarithm.
        """
        return mapping.line_values(score, self._rows, offset)

    @cached_property
    def _rows(self) -> Numbers:
        return Table.of({"": self}).rows


@lru_cache(64)
def by_name(lines: tuple[str, ...], of_lines: tuple[float, ...], names: tuple[str, ...], rest: float) -> Numbers:
    """Return (names,) the number of each line, and `rest` for names that are none of the lines."""
    found = dict(zip(lines, of_lines, strict=True))
    return np.array([found.get(name, rest) for name in names], np.float64)


def check_rising(knots: Callable[[], Numbers], **named: tuple[float, ...]) -> None:
    """Refuse knots that do not rise from each to the next.

    Args:
        knots: Makes the knots; called when the fields are in order.
        named: The field of where they are and that of how high, with their values.

    Raises:
        ValueError: Names the field.
    """
    sizes = {name: len(values) for name, values in named.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(" and ".join(f"`{name}`" for name in sizes) + f" must be as many, got {[*sizes.values()]}")
    for name, values in named.items():
        if not (np.diff(values) > 0).all():
            raise ValueError(f"`{name}` must increase from each to the next")
    found = knots()
    if not (np.isfinite(found).all() and (found[:, kernel.RISE] > 0).all()):
        raise ValueError("knots must be further apart: slopes between them must be > 0 and finite")
