"""Weigh the lines against each other: how much a user of this segment prefers one line's value to another's.

    utility_i = weight_line(i)(request) * value_i

Weights are positive and depend on (line, request), never on the item, so a line's own order survives. Cost: O(n).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias, final

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers, Positive
from slatewise.core.policy import Policy
from slatewise.core.request import Request, Segment, segment_of
from slatewise.core.stage import Annotator

Weights: TypeAlias = dict[str, Positive]


class WeightSegment(Segment, frozen=True, kw_only=True):
    """Weights of some requests.

    Attributes:
        lines: Line to weight, > 0; replaces the weights of these lines.
    """

    lines: Weights


@final
class Weight(Annotator, frozen=True, kw_only=True):
    """Multiply each line's values by its weight.

    Attributes:
        lines: Line to weight, > 0; 1 for a line that is not named. Larger means more of the line.
        segments: Other weights for some requests; the first segment that matches counts.

    Reads:
        value: (n,) float64, in the policy's currency.
    Writes:
        weight: (n,) float64, without unit.
        utility: (n,) float64, in the policy's currency; what selectors maximise.

    Examples:
        >>> items = Candidates.of(line=["ads", "posts"], value=[0.4, 0.3])
        >>> weight = Weight(segments=[WeightSegment(when={"tenure": "new"}, lines={"ads": 0.5})])
        >>> weight.annotate(items, Request(candidates=items, context={"tenure": "new"}))["utility"].tolist()
        [0.2, 0.3]
    """

    section: ClassVar[str] = "blend.weight"

    lines: Weights = {}
    segments: tuple[WeightSegment, ...] = ()

    @property
    def reads(self) -> Mapping[str, Kind]:
        """The lines' values in one currency."""
        return {"value": "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """The weight, and the utility that it makes."""
        return {"weight": "number", "utility": "number"}

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have."""
        named = {("lines",): self.lines}
        named |= {("segments", place, "lines"): one.lines for place, one in enumerate(self.segments)}
        for field, weights in named.items():
            for line in weights:
                policy.check_line(self, (*field, line), line)

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return the weight of each row's line, and the row's utility."""
        segment = segment_of(request, self.segments)
        weights = self.lines if segment is None else self.lines | segment.lines
        lines = candidates.key("line")
        by_line = np.array([weights.get(name, 1.0) for name in lines.names])
        weight = by_line[lines.codes]
        return {"weight": weight, "utility": weight * candidates.number("value")}
