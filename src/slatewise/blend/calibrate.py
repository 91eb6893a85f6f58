"""Bring the scores of different lines into one currency.

    value_i = worth * probability(score_i)

Scores of different lines meet only as calibrated probability times value per event. Every map is strictly increasing
and chosen by (line, request) alone, so a line's own order survives. What a segment of requests differs by is an offset
in log-odds, for each line:

    log-odds = map_line(score_i) + offset_segment,line

Cost: O(n log knots), in one pass over the rows.

References:
    McMahan et al. (2013), "Ad Click Prediction: a View from the Trenches", KDD, section 7 on calibration.
    Blend maps and their references: `blend.maps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, final

from slatewise.blend.maps import Map, Ratio
from slatewise.blend.table import Table
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers, Signed
from slatewise.core.policy import Policy
from slatewise.core.request import Request, Segment, segment_of
from slatewise.core.stage import Annotator

__all__ = ["Calibrate", "OffsetSegment", "Ratio"]


class OffsetSegment(Segment, frozen=True, kw_only=True):
    """What some requests differ by.

    Attributes:
        offsets: Line to what is added to its log-odds; to the logarithm of its value, where the line's map knows no
            probability. Above 0, every event is more likely here.
    """

    offsets: dict[str, Signed]


@final
class Calibrate(Annotator, frozen=True, kw_only=True, dict=True):
    """Turn each line's scores into values.

    Attributes:
        lines: Line to its map; a line that is not named keeps its scores as they are.
        segments: Offsets of some requests; the first segment that matches counts.

    Reads:
        score: (n,) float64, in the unit of each row's line.
    Writes:
        value: (n,) float64, in the policy's currency per exposure.

    Examples:
        >>> items = Candidates.of(line=["ads", "posts"], score=[0.4, 0.4])
        >>> calibrate = Calibrate(lines={"ads": Ratio(factor=0.5)})
        >>> calibrate.annotate(items, Request(candidates=items))["value"].tolist()
        [0.2, 0.4]
        >>> night = OffsetSegment(when={"hour": "night"}, offsets={"ads": 1.0})
        >>> calibrate = Calibrate(lines={"ads": Ratio(factor=0.5)}, segments=(night,))
        >>> calibrate.annotate(items, Request(candidates=items, context={"hour": "night"}))["value"].round(3).tolist()
        [0.544, 0.4]
    """

    section: ClassVar[str] = "blend.calibrate"

    lines: dict[str, Map]
    segments: tuple[OffsetSegment, ...] = ()

    @property
    def reads(self) -> Mapping[str, Kind]:
        """The lines' own scores."""
        return {"score": "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """Their common value."""
        return {"value": "number"}

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have, and offsets of lines without a map."""
        for line in self.lines:
            policy.check_line(self, ("lines", line), line)
        for place, segment in enumerate(self.segments):
            for line in segment.offsets:
                field = ("segments", place, "offsets", line)
                policy.check_line(self, field, line)
                if line not in self.lines:
                    raise policy.error(self, field, "must be a line with a map in `lines`", line)

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return the value of each row."""
        lines = candidates.key("line")
        segment = segment_of(request, self.segments)
        shift = self._unmoved if segment is None else self._table.shifts(segment.offsets)
        return {"value": self._table.values(candidates.number("score"), lines.codes, lines.names, shift)}

    @cached_property
    def _table(self) -> Table:
        return Table.of(self.lines)

    @cached_property
    def _unmoved(self) -> Numbers:
        return self._table.shifts({})
