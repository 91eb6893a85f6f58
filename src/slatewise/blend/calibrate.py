"""Bring the scores of different lines into one currency.

    value_i = map_line(i)(score_i)

Scores of different lines meet only as calibrated probability times value per event. Every map is strictly increasing
and chosen by line alone, so a line's own order survives. Cost: O(n + lines).

The `ratio` map, value = factor * score, is right when a line's scores are off by a constant factor (its predictions
are proportional to what then happens); `factor` is the ratio of what happened to what was predicted.

References:
    McMahan et al. (2013), "Ad Click Prediction: a View from the Trenches", KDD, section 7 on calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias, final

import msgspec
import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers, Positive
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.stage import Annotator


@final
class Ratio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ratio", tag_field="map"):
    """A constant factor.

    Attributes:
        factor: Value per unit of score, > 0.

    Examples:
        >>> Ratio(factor=0.5)(np.array([1.0, 3.0])).tolist()
        [0.5, 1.5]
    """

    factor: Positive = 1.0

    def __call__(self, score: Numbers) -> Numbers:
        """Return the value of each score."""
        return self.factor * score


Map: TypeAlias = Ratio
"""The maps there are; a union as soon as there is a second one."""


@final
class Calibrate(Annotator, frozen=True, kw_only=True):
    """Turn each line's scores into values.

    Attributes:
        lines: Line to its map; a line that is not named keeps its scores as they are.

    Reads:
        score: (n,) float64, in the unit of each row's line.
    Writes:
        value: (n,) float64, in the policy's currency per exposure.

    Examples:
        >>> items = Candidates.of(line=["ads", "posts"], score=[0.4, 0.4])
        >>> calibrate = Calibrate(lines={"ads": Ratio(factor=0.5)})
        >>> calibrate.annotate(items, Request(candidates=items))["value"].tolist()
        [0.2, 0.4]
    """

    section: ClassVar[str] = "blend.calibrate"

    lines: dict[str, Map]

    @property
    def reads(self) -> Mapping[str, Kind]:
        """The lines' own scores."""
        return {"score": "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """Their common value."""
        return {"value": "number"}

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have."""
        for line in self.lines:
            policy.check_line(self, ("lines", line), line)

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return the value of each row."""
        lines = candidates.key("line")
        value = candidates.number("score").copy()
        for code, name in enumerate(lines.names):
            if name in self.lines:
                rows = np.flatnonzero(lines.codes == code)
                value[rows] = self.lines[name](value[rows])
        return {"value": value}
