"""Bins of prices: from the chance to meet the best rival in each bin, to how likely each score wins.

    S(b_l) = prod_{j < l} (1 - h_j),    h_j = P(z in [b_j, b_(j+1)) given z >= b_j),    F = 1 - S

Within a bin, F is a straight line. Beyond the last bin nothing was seen: the chance per tick stays what it was on
average over the last quarter of the bins. That is a guess, and said to be one by the limit. Cost: O(n * bins).

References:
    Tutz & Schmid (2016), "Modeling Discrete Time-to-Event Data", chapter 2.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import RequestError
from slatewise.learn.landscape_rows import Rows

Places: TypeAlias = NDArray[np.intp]

SMALLEST, LARGEST = 1e-9, 1.0 - 1e-12
"""Chance per tick beyond what was seen, at least, and of a bin, at most: something is always left."""


class Bins(NamedTuple):
    """Edges of bins.

    Attributes:
        edges: (L + 1,) ticks, rising from 1 to the limit.
    """

    edges: Numbers

    @classmethod
    def of(cls, limit: int, *, width: int = 1) -> Bins:
        """Return bins of equal width up to a limit; the last one may be narrower.

        >>> Bins.of(10, width=4).edges.tolist()
        [1.0, 5.0, 9.0, 10.0]
        """
        return cls(np.append(np.arange(1.0, max(limit, 2), width), max(limit, 2)))

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.edges) - 1

    def place(self, ticks: Numbers) -> Places:
        """Return the bin that each price is in, from 0; the number of bins beyond the last."""
        return np.searchsorted(self.edges, ticks, side="right") - 1

    def survived(self, rows: Rows) -> tuple[Places, Flags]:
        """Return (n,) how many bins each row is known to have survived, and whether it ended in the next one.

        A bin counts as survived only if the score was not below its end: one that lost with a score inside of it may
        have met its rival above or below.

        Raises:
            RequestError: Some rows know of no price, only that it is below their score.
        """
        if (~rows.exact & np.isfinite(rows.high)).any():
            raise RequestError(
                "feedback", "must show prices of rows that won", hint="use an estimator of location, such as lognormal"
            )
        bins = np.minimum(self.place(rows.low), self.size)
        return bins, rows.exact & (bins < self.size)

    def win(self, hazards: Numbers, scores: Numbers) -> Numbers:
        """Return (n, g) how likely scores win.

        Args:
            hazards: (n, L) or (1, L) chance of each bin.
            scores: (n, g) ticks.
        """
        left = np.concatenate(
            [np.zeros((len(hazards), 1)), np.cumsum(np.log1p(-np.minimum(hazards, LARGEST)), axis=1)], axis=1
        )
        rows = np.arange(len(scores))[:, None] if len(hazards) > 1 else np.zeros((1, 1), np.int64)
        bins = np.clip(np.searchsorted(self.edges, scores, side="right") - 1, 0, self.size - 1)
        share = np.clip((scores - self.edges[bins]) / np.diff(self.edges)[bins], 0.0, 1.0)
        below, above = -np.expm1(left[rows, bins]), -np.expm1(left[rows, bins + 1])
        last = max(self.size // 4, 1)
        rate = (left[:, -1] - left[:, -1 - last]) / (self.edges[-1] - self.edges[-1 - last])
        beyond = np.maximum(scores - self.edges[-1], 0.0) * np.minimum(rate, -SMALLEST)[rows]
        return 1.0 - (1.0 - below - (above - below) * share) * np.exp(beyond)
