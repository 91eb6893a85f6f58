"""Weigh the lines against each other: how much a user of this segment prefers one line's value to another's.

    utility_i = weight_line(i)(request) * value_i
    weight = table(line, segment) * exp(learned(line, context)) * exp(step * sign(salt, user, line))

The table is set, or fitted from what was observed over what was expected; `learned` is a sum over features of the
request, held within plus and minus `limit`; the last factor is off unless `explore` is there. Signs are drawn by hash,
independent from line to line and always the same for a user, so that a regression of what users do on their signs gives
the gradient by all weights at once (`learn.weight`). A new salt draws them anew.

Weights are positive and depend on (line, request), never on the item, so a line's own order survives. A common factor
changes no page: `anchor` names the line at weight 1, by which the others are read. Cost: O(n).

References:
    Spall (1992), "Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient Approximation".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import exp
from typing import Annotated, ClassVar, TypeAlias, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers, Positive, Signed
from slatewise.core.errors import did_you_mean
from slatewise.core.policy import Policy
from slatewise.core.request import Request, Segment, segment_of
from slatewise.core.stage import Annotator, Chance

Weights: TypeAlias = dict[str, Positive]
Step: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Limit: TypeAlias = Annotated[float, Meta(ge=0, le=5)]


class WeightSegment(Segment, frozen=True, kw_only=True):
    """Weights of some requests.

    Attributes:
        lines: Line to weight, > 0; replaces the weights of these lines.
    """

    lines: Weights


@final
class Learned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The logarithm of a line's weight, as a sum over features of the request.

    Attributes:
        offset: For every request; above 0, the line weighs more.
        context: Feature to value to what it adds; a value that is not named adds nothing.
    """

    offset: Signed = 0.0
    context: dict[str, dict[str, Signed]] = {}

    def logarithm(self, request: Request) -> float:
        """Return the sum for a request.

        >>> learned = Learned(offset=0.1, context={"tenure": {"new": -0.5}})
        >>> learned.logarithm(Request(candidates=Candidates.of(item_id=[]), context={"tenure": "new"}))
        -0.4
        """
        given = request.context
        return self.offset + sum(by.get(given.get(name, ""), 0.0) for name, by in self.context.items())


@final
class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A standing experiment on weights.

    Attributes:
        step: Each line's weight is multiplied or divided by e to the power of this, from 0 (off) to 1.
        salt: Draws the signs; another salt, other signs.
    """

    step: Step = 0.05
    salt: str = ""


@final
class Weight(Annotator, frozen=True, kw_only=True):
    """Multiply each line's values by its weight.

    Attributes:
        lines: Line to weight, > 0; 1 for a line that is not named. Larger means more of the line.
        segments: Other weights for some requests; the first segment that matches counts.
        learned: Line to the logarithm of what its weight is multiplied by.
        limit: Largest size of that logarithm, from 0 to 5.
        anchor: The line whose weight is 1 for every request; none if not given.
        explore: Factors drawn for each user and line; requests without a user are left alone.

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
        >>> weight = Weight(learned={"ads": Learned(offset=9.0)}, limit=np.log(2.0))
        >>> weight.annotate(items, Request(candidates=items))["weight"].round(6).tolist()
        [2.0, 1.0]
        >>> weight = Weight(explore=Experiment(step=np.log(2.0)))
        >>> weight.annotate(items, Request(candidates=items, user="u1"))["weight"].round(6).tolist()
        [0.5, 2.0]
    """

    section: ClassVar[str] = "blend.weight"

    lines: Weights = {}
    segments: tuple[WeightSegment, ...] = ()
    learned: dict[str, Learned] = {}
    limit: Limit = 0.7
    anchor: str | None = None
    explore: Experiment | None = None

    @property
    def reads(self) -> Mapping[str, Kind]:
        """The lines' values in one currency."""
        return {"value": "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """The weight, and the utility that it makes."""
        return {"weight": "number", "utility": "number"}

    def check(self, policy: Policy) -> None:
        """Refuse lines and features that the policy does not have, and an anchor with a weight of its own."""
        tables = {("lines",): self.lines}
        tables |= {("segments", place, "lines"): one.lines for place, one in enumerate(self.segments)}
        if self.anchor is not None:
            policy.check_line(self, ("anchor",), self.anchor)
        for field, weights in (*tables.items(), (("learned",), self.learned)):
            for line, weight in weights.items():
                policy.check_line(self, (*field, line), line)
                if line == self.anchor and weight != 1.0:
                    raise policy.error(self, (*field, line), "must be left out, or 1: the line is the anchor")
        for line, learned in self.learned.items():
            for name in learned.context:
                if name not in policy.head.context:
                    hint = did_you_mean(name, policy.head.context) or "declare it under `context`"
                    field = ("learned", line, "context", name)
                    raise policy.error(self, field, "is no feature of the policy's `context`", hint=hint)

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return the weight of each row's line, and the row's utility."""
        codes, names = candidates.key("line")
        weights = self._weights(request)
        weight = np.array([self._weight(name, request, weights) for name in names]).take(codes)
        return {"weight": weight, "utility": weight * candidates.number("value")}

    def parts(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return what of the weight is preference and what the experiment adds, while there is one."""
        if self.explore is None:
            return {}
        lines = candidates.key("line")
        preferred = np.array([self.preference(name, request) for name in lines.names]).reshape(-1)[lines.codes]
        return {"preference": preferred, "explore": self.annotate(candidates, request)["weight"] - preferred}

    def preference(self, line: str, request: Request) -> float:
        """Return a line's weight for a request, but for the experiment."""
        return self._preference(line, request, self._weights(request))

    def chances(self, lines: Sequence[str], request: Request) -> Sequence[Chance]:
        """Return the signs of the experiment.

        >>> request = Request(candidates=Candidates.of(item_id=[]), user="u1")
        >>> [(one.line, one.way) for one in Weight(explore=Experiment()).chances(["ads", "posts"], request)]
        [('ads', -1), ('posts', 1)]
        """
        explore = self.explore
        if explore is None or not explore.step or not request.user:
            return ()
        return [Chance(line, sign(explore.salt, request.user, line), 0.5) for line in lines if line != self.anchor]

    def _weights(self, request: Request) -> Weights:
        """Return the table for a request."""
        segment = segment_of(request, self.segments)
        return self.lines if segment is None else {**self.lines, **segment.lines}

    def _preference(self, line: str, request: Request, weights: Weights) -> float:
        weight, learned = weights.get(line, 1.0), self.learned.get(line)
        if learned is None:
            return weight
        return weight * exp(min(max(learned.logarithm(request), -self.limit), self.limit))

    def _weight(self, line: str, request: Request, weights: Weights) -> float:
        weight = self._preference(line, request, weights)
        if self.explore is None or line == self.anchor or not request.user:
            return weight
        return weight * exp(self.explore.step * sign(self.explore.salt, request.user, line))


def sign(salt: str, user: str, line: str) -> int:
    """Return 1 or -1, each for half of the users, and independent from line to line.

    >>> [sign("spring", user, "ads") for user in ("u1", "u2", "u3", "u4")]
    [-1, -1, 1, 1]
    """
    digest = blake2b(f"{salt}\0{user}\0{line}".encode(), digest_size=1).digest()
    return 1 if digest[0] & 1 else -1
