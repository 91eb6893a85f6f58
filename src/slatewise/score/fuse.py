"""Fuse several objectives into one score per item.

    score_i = sum_k  w_k(request) * phi_ik

over number columns phi_k (predicted probabilities, expected minutes, ...), with weights that may depend on the
request's segment, never on the item. A term's weight carries its unit: it is what one unit of the column is worth.
Cost: O(n * terms).

References:
    Covington, Adams, Sargin (2016), "Deep Neural Networks for YouTube Recommendations", RecSys, section 4.
    Tang et al. (2020), "Progressive Layered Extraction", RecSys, section 4: products of several predictions' powers;
    a weighted sum of logarithms is the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, final

import numpy as np
from msgspec import Meta

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers, Signed
from slatewise.core.errors import did_you_mean
from slatewise.core.policy import Policy
from slatewise.core.request import Request, Segment, segment_of
from slatewise.core.stage import Annotator


class FuseSegment(Segment, frozen=True, kw_only=True):
    """Weights of some requests.

    Attributes:
        terms: Column to weight; replaces the weights of these columns.
    """

    terms: dict[str, Signed]


@final
class Fuse(Annotator, frozen=True, kw_only=True):
    """Add weighted columns up to a score.

    Attributes:
        terms: Column to weight, in units of score per unit of the column.
        missing: Column to the value that stands in where the column (`number?`) has none.
        segments: Other weights for some requests; the first segment that matches counts.

    Reads:
        the columns in `terms`: (n,) float64, any unit.
    Writes:
        score: (n,) float64, the unit of weight times column.

    Examples:
        >>> items = Candidates.of(p_click=[0.5, 0.1], p_share=[0.0, 0.5])
        >>> fuse = Fuse(terms={"p_click": 1.0, "p_share": 2.0})
        >>> fuse.annotate(items, Request(candidates=items))["score"].tolist()
        [0.5, 1.1]
    """

    section: ClassVar[str] = "score.fuse"

    terms: Annotated[dict[str, Signed], Meta(min_length=1)]
    missing: dict[str, Signed] = {}
    segments: tuple[FuseSegment, ...] = ()

    @property
    def reads(self) -> Mapping[str, Kind]:
        """The columns with a weight."""
        return {name: "number?" if name in self.missing else "number" for name in self.terms}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """The score."""
        return {"score": "number"}

    def check(self, policy: Policy) -> None:
        """Refuse names that have no weight in `terms`."""
        named = {("missing",): self.missing}
        named |= {("segments", place, "terms"): one.terms for place, one in enumerate(self.segments)}
        for field, values in named.items():
            for name in values:
                if name not in self.terms:
                    hint = did_you_mean(name, self.terms)
                    raise policy.error(self, (*field, name), "must be a column of `terms`", hint=hint)

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return the score of each row."""
        score = np.zeros(len(candidates))
        for part in self.parts(candidates, request).values():
            score += part
        return {"score": score}

    def parts(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return weight times column, by column; in the order of names, so that equal policies round alike."""
        segment = segment_of(request, self.segments)
        weights = self.terms if segment is None else self.terms | segment.terms
        return {name: weights[name] * self._column(candidates, name) for name in sorted(weights)}

    def _column(self, candidates: Candidates, name: str) -> Numbers:
        values = candidates.number(name)
        if name not in self.missing:
            return values
        return np.where(np.isnan(values), self.missing[name], values)
