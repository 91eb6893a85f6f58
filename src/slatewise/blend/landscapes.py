"""Landscapes: how likely a line wins a slot, by the score that it enters.

    F(s) = P(z < s),   z the best score of the other lines

A curve says F for one level of competition. A landscape is a curve, where it stops being known, and what in a request
moves it: with z * e^shift in place of z, F(s) becomes F(s * e^-shift), whatever the curve.

| curve | F(s) |
|---|---|
| `grid` | steps: the probability of the last score that is not above s |
| `uniform` | s / top |
| `power` | (s / top)^shape |
| `exponential` | 1 - exp(-s / mean) |
| `lognormal` | the normal distribution of (log s - location) / scale |
| `loglogistic` | 1 / (1 + e^-u), u = (log s - location) / scale; s^(1 / scale) / (s^(1 / scale) + c) |
| `weibull` | 1 - exp(-e^u), u = (log s - location) / scale |
| `mixture` | a weighted sum of any of these but grids |

References:
    Kalbfleisch & Prentice (2002), "The Statistical Analysis of Failure Time Data", chapter 2: location and scale.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from math import exp, log
from typing import Annotated, TypeAlias, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.columns import LARGEST, Numbers, Positive, Signed
from slatewise.core.request import Request
from slatewise.kernels.landscape import EXTREME, LOGISTIC, NORMAL, POWER
from slatewise.methods import shading

Location: TypeAlias = Annotated[float, Meta(ge=-60, le=60)]
Scale: TypeAlias = Annotated[float, Meta(ge=1e-3, le=1e3)]
FARTHEST = 60.0
"""Most by which a request may shift the logarithm of rival scores: that of what scores can be."""
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family"):
    """A curve with one peak of the surplus, on the scale of logarithms."""

    @property
    @abstractmethod
    def part(self) -> tuple[int, float, float]:
        """Its code, location and scale, as `kernels.landscape` has them."""

    def laid_out(self, caution: float = 0.0) -> shading.Curve:
        """Return the curve as it is solved; it has no band to be cautious about."""
        return shading.Smooth.of(np.array([[*self.part, 1.0]]))


@final
class Uniform(Family, frozen=True, kw_only=True, tag="uniform"):
    """Rival scores that are spread evenly.

    Attributes:
        top: Largest of them, > 0.
    """

    top: Positive

    @property
    def part(self) -> tuple[int, float, float]:
        """A power of 1."""
        return POWER, log(self.top), 1.0


@final
class Power(Family, frozen=True, kw_only=True, tag="power"):
    """Rival scores below a largest one.

    Attributes:
        top: Largest of them, > 0.
        shape: Larger means closer to the top, > 0; 1 is uniform.
    """

    top: Positive
    shape: Scale

    @property
    def part(self) -> tuple[int, float, float]:
        """The shape is 1 / scale."""
        return POWER, log(self.top), 1.0 / self.shape


@final
class Exponential(Family, frozen=True, kw_only=True, tag="exponential"):
    """Rival scores that are mostly small.

    Attributes:
        mean: Their mean, > 0.
    """

    mean: Positive

    @property
    def part(self) -> tuple[int, float, float]:
        """A Weibull curve of scale 1."""
        return EXTREME, log(self.mean), 1.0


@final
class Lognormal(Family, frozen=True, kw_only=True, tag="lognormal"):
    """Rival scores whose logarithm is normal.

    Attributes:
        location: Mean of the logarithm.
        scale: Its standard deviation, > 0.
    """

    location: Location
    scale: Scale

    @property
    def part(self) -> tuple[int, float, float]:
        """As it says."""
        return NORMAL, self.location, self.scale


@final
class Loglogistic(Family, frozen=True, kw_only=True, tag="loglogistic"):
    """Rival scores whose logarithm is logistic.

    Attributes:
        location: Mean of the logarithm.
        scale: Its scale, > 0; 1 / scale is the exponent.
    """

    location: Location
    scale: Scale

    @property
    def part(self) -> tuple[int, float, float]:
        """As it says."""
        return LOGISTIC, self.location, self.scale


@final
class Weibull(Family, frozen=True, kw_only=True, tag="weibull"):
    """Rival scores whose logarithm is a smallest extreme.

    Attributes:
        location: Logarithm of the score below which 63 % of them are.
        scale: Scale of the logarithm, > 0; 1 is exponential.
    """

    location: Location
    scale: Scale

    @property
    def part(self) -> tuple[int, float, float]:
        """As it says."""
        return EXTREME, self.location, self.scale


Single: TypeAlias = Uniform | Power | Exponential | Lognormal | Loglogistic | Weibull
"""The curves that a mixture is made of."""


@final
class Mixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="mixture", tag_field="family"):
    """A weighted sum of curves, which may have several peaks of the surplus.

    Attributes:
        parts: The curves, two or more.
        weights: What each counts, >= 0; scaled to add up to 1.
    """

    parts: Annotated[tuple[Single, ...], Meta(min_length=2, max_length=64)]
    weights: tuple[Annotated[float, Meta(ge=0, le=LARGEST)], ...]

    def __post_init__(self) -> None:
        """Refuse weights that do not go with the parts."""
        if len(self.weights) != len(self.parts):
            raise ValueError(f"`weights` must have one per part, {len(self.parts)}, got {len(self.weights)}")
        if sum(self.weights) <= 0.0:
            raise ValueError("`weights` must not be all 0")

    def laid_out(self, caution: float = 0.0) -> shading.Curve:
        """Return the curve as it is solved; it has no band to be cautious about."""
        whole = sum(self.weights)
        parts = [[*one.part, weight / whole] for one, weight in zip(self.parts, self.weights, strict=True) if weight]
        return shading.Smooth.of(np.array(parts))


@final
class Grid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="grid", tag_field="family"):
    """A curve in steps, such as one that was counted.

    Attributes:
        scores: Scores in rising order, >= 0: from each of them on, the win probability of the same place holds.
        wins: Win probabilities, from 0 to 1, none below the one before.
        errors: Their standard errors, >= 0; none if not known.
    """

    scores: Annotated[tuple[Annotated[float, Meta(ge=0, le=LARGEST)], ...], Meta(min_length=1)]
    wins: tuple[Share, ...]
    errors: tuple[Share, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse lists that do not go together."""
        for problem in self._problems():
            raise ValueError(problem)

    def _problems(self) -> Iterator[str]:
        for name, values in (("wins", self.wins), ("errors", self.errors)):
            if values is not None and len(values) != len(self.scores):
                yield f"`{name}` must have one per score, {len(self.scores)}, got {len(values)}"
        if (np.diff(self.scores) <= 0).any():
            yield "`scores` must rise"
        if (np.diff(self.wins) < 0).any():
            yield "`wins` must not fall"

    def laid_out(self, caution: float = 0.0) -> shading.Curve:
        """Return the curve as it is solved: its lower band, `caution` standard errors down, made to rise."""
        wins = np.array(self.wins)
        if caution > 0.0 and self.errors is not None:
            wins = np.maximum.accumulate(np.clip(wins - caution * np.array(self.errors), 0.0, 1.0))
        return shading.Steps.of(np.array(self.scores), wins)


Curve: TypeAlias = Grid | Mixture | Single
"""The curves there are."""


@final
class Landscape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """How likely a line wins, by its score and the request.

    Attributes:
        curve: Win probability by score, where nothing shifts it.
        limit: Largest score up to which it is known, > 0, in units of score; none if it is known everywhere. Logs of
            one's own scores say nothing beyond the largest of them.
        shift: Context feature to value to what it adds to the logarithm of rival scores; 0 where nothing is said.

    Examples:
        >>> from slatewise import Candidates
        >>> items = Candidates.of(item_id=[])
        >>> evening = Landscape(curve=Uniform(top=100.0), shift={"part": {"evening": 0.5}})
        >>> [round(float(evening.win(40.0, Request(candidates=items, context={"part": part}))), 3)
        ...  for part in ("morning", "evening")]
        [0.4, 0.243]
    """

    curve: Curve
    limit: Positive | None = None
    shift: dict[str, dict[str, Signed]] = {}

    def factor(self, request: Request | None = None) -> float:
        """Return by what rival scores of a request are multiplied."""
        if request is None:
            return 1.0
        moved = sum(values.get(request.context.get(name, ""), 0.0) for name, values in self.shift.items())
        return exp(min(max(moved, -FARTHEST), FARTHEST))

    def win(self, score: float | Numbers, request: Request | None = None) -> Numbers:
        """Return the win probability of scores."""
        scores = np.asarray(score, dtype=np.float64) / self.factor(request)
        return self.laid_out.win(scores.ravel()).reshape(scores.shape)

    def density(self, score: float | Numbers, request: Request | None = None) -> Numbers:
        """Return the density of the best rival score at scores."""
        factor = self.factor(request)
        scores = np.asarray(score, dtype=np.float64) / factor
        return self.laid_out.density(scores.ravel()).reshape(scores.shape) / factor

    @cached_property
    def laid_out(self) -> shading.Curve:
        """The curve as it is solved."""
        return self.curve.laid_out()

    def cautious(self, caution: float) -> shading.Curve:
        """Return its lower band, `caution` standard errors down, as it is solved; the curve itself if it has none."""
        if caution <= 0.0:
            return self.laid_out
        if caution not in self._bands:
            self._bands[caution] = self.curve.laid_out(caution)
        return self._bands[caution]

    @cached_property
    def _bands(self) -> dict[float, shading.Curve]:
        return {}
