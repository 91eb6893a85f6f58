"""Win rates that are learned while scores are entered, by how a value ranks among recent ones.

Value and competition go together, so a win rate is counted for each of several cells of value. Cells are quantiles of
the values seen last: if values are rescaled, as a new model does, each stays in its cell, and what was learned before
is still right. What is known of a rival decides what is counted (`kernels.winrate`); it fades with a half-life. If a
line wins far more or less often than expected, all but a little is forgotten, and a flat share of the value is entered
until enough is known again. Cost: 1 us per score; 1 ms to learn from a window of requests, for 40 cells of 300 steps.

References:
    Kaplan & Meier (1958), "Nonparametric Estimation from Incomplete Observations", JASA 53: the product over bins.
    Beran (1981), "Nonparametric regression with randomly censored survival data", UC Berkeley: weights by distance.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, NamedTuple, final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.columns import Flags, Numbers, Positive
from slatewise.kernels import winrate

SURPRISE = 5.0
"""Standard errors by which a window's wins may miss what was expected, ..."""
LEEWAY = 0.1
"""... and share of the window that is allowed besides: scores are chosen where the curve flatters."""


@final
class Learning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How win rates are learned.

    Attributes:
        step: Width of the bins in which scores are counted, > 0, in units of score; scores that are entered are whole
            multiples of it.
        steps: Number of bins; rival scores beyond the last are never won against.
        cells: Number of cells of value; 1 learns one curve for all values.
        width: How many cells away an observation still counts, the less the farther.
        shrink: Observations by which a cell is drawn to the curve of all cells, > 0.
        half_life: Observations after which one counts half.
        recent: Number of values that a value is ranked among.
        warm: Observations before anything learned is used.
        flat: Until then, the share of value / rate that is entered, > 0.
        feedback: What is known of rivals: the best of them at every slot (`full`), or only where the line won (`won`).
    """

    step: Positive
    steps: Annotated[int, Meta(ge=2, le=10_000)] = 300
    cells: Annotated[int, Meta(ge=1, le=1_000)] = 40
    width: Annotated[float, Meta(ge=1, le=1_000)] = 2.0
    shrink: Annotated[float, Meta(gt=0, le=1e6)] = 3.0
    half_life: Annotated[float, Meta(ge=1, le=1e9)] = 10_000.0
    recent: Annotated[int, Meta(ge=2, le=100_000)] = 2_000
    warm: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    flat: Annotated[float, Meta(gt=0, le=1)] = 1.0
    feedback: Literal["full", "won"] = "full"


class LaidOut(NamedTuple):
    """What was learned, as it is asked.

    Attributes:
        edges: (c - 1,) float64, values between cells.
        wins: (c, L + 1) float64, win rates at scores of 0, 1, ... steps.
        hulls: Starts, scores and slopes of the cells' hulls, as `kernels.winrate` has them.
    """

    edges: Numbers
    wins: Numbers
    hulls: tuple[NDArray[np.int64], Numbers, Numbers]


@final
class WinRates(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What was learned, as a value.

    Attributes:
        learning: How.
        count: Observations since the start, or since everything was last forgotten.
        recent: The values seen last, float64.
        died: Weight that died in each bin, by cell, float64.
        left: Weight that died in it or left after it, by cell, float64.
    """

    learning: Learning
    count: int = 0
    recent: bytes = b""
    died: bytes = b""
    left: bytes = b""

    @property
    def ready(self) -> bool:
        """Whether enough was seen to go by it."""
        return self.count >= self.learning.warm

    def observe(self, values: Numbers, scores: Numbers, *, rivals: Numbers, known: Flags) -> WinRates:
        """Return what is known after some more observations.

        Args:
            values: What the line's heads were worth by themselves.
            scores: What was entered for them.
            rivals: The best rival scores; looked at only where they are known.
            known: Whether they are. Where not, the rival score was at least the line's own.

        >>> rates = WinRates(learning=Learning(step=1.0, steps=10, cells=1, width=1.0, warm=4))
        >>> values, scores = np.full(4, 9.0), np.array([5.0, 5.0, 3.0, 9.0])
        >>> seen = rates.observe(values, scores, rivals=np.array([2.0, 4.0, 0.0, 2.0]), known=scores != 3.0)
        >>> seen.ready, [round(float(win), 2) for win in seen.laid_out.wins[0][[2, 3, 5]]]
        (True, [0.06, 0.5, 0.84])
        """
        if not len(values):
            return self
        how = self.learning
        recent = np.concatenate([np.frombuffer(self.recent), values])[-how.recent :]
        fade, count = 0.5 ** (len(values) / how.half_life), self.count
        if self.ready and self._surprised(values, scores, known & (rivals < scores)):
            fade, count = min(fade, how.warm / count), 0
        died, left = (fade * counts for counts in self._counts)
        places = how.cells * _ranks(np.sort(recent), values)
        winrate.observe(died, left, places, scores, known, rivals, how.step, how.width)
        return WinRates(
            learning=how,
            count=count + len(values),
            recent=recent.tobytes(),
            died=died.tobytes(),
            left=left.tobytes(),
        )

    def best_of(self, values: Numbers, worths: Numbers, rate: float) -> Numbers:
        """Return the best score for rows of these values and worths; 0 is not to compete."""
        return winrate.best_of(*self.laid_out.hulls, self.laid_out.edges, values, worths, rate)

    def best(self, value: float, worth: float, rate: float) -> float:
        """Return the best score for one row."""
        return winrate.best(*self.laid_out.hulls, self.laid_out.edges, value, worth, rate)

    def win(self, values: Numbers, scores: Numbers) -> Numbers:
        """Return the win rate of scores entered for rows of these values."""
        edges, wins, _ = self.laid_out
        steps = np.floor(scores / self.learning.step + winrate.ROUNDING).astype(np.int64)
        return wins[np.searchsorted(edges, values, side="right"), np.clip(steps, 0, self.learning.steps)]

    @cached_property
    def laid_out(self) -> LaidOut:
        """The curves, ready to be asked."""
        how = self.learning
        recent = np.sort(np.frombuffer(self.recent)) if self.recent else np.zeros(1)
        edges = np.quantile(recent, np.arange(1, how.cells) / how.cells)
        wins = winrate.rates(*self._counts, how.shrink)
        return LaidOut(edges, wins, winrate.hulls(wins, how.step))

    def _surprised(self, values: Numbers, scores: Numbers, won: Flags) -> bool:
        """Tell whether wins are far from what was expected."""
        wins = self.win(values, scores)
        missed = abs(float(won.sum() - wins.sum())) - LEEWAY * len(values)
        return missed > SURPRISE * float(np.sqrt((wins * (1.0 - wins)).sum()))

    @property
    def _counts(self) -> tuple[Numbers, Numbers]:
        shape = (self.learning.cells + 1, self.learning.steps)
        if not self.died:
            return np.zeros(shape), np.zeros(shape)
        return np.frombuffer(self.died).reshape(shape), np.frombuffer(self.left).reshape(shape)


def _ranks(sorted_values: Numbers, values: Numbers) -> Numbers:
    """Return the share of sorted values below each, values that are equal counted half."""
    below = np.searchsorted(sorted_values, values, side="left")
    upto = np.searchsorted(sorted_values, values, side="right")
    return (below + upto) / (2.0 * len(sorted_values))
