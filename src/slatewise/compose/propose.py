"""Propose pages and choose: several ways to make them, and one evaluator that sees each as a whole.

    V(page) = sum_t seen_t * (click_t * worth_t - cost_t),    page = argmax of V over what was proposed

What a row is good for depends on what else the page shows, and no sorting by scores of rows alone can know that. So
generators propose pages (`compose.proposals`), all of them under the rules, and an evaluator that was fitted on pages
judges them in one run. The page that greed makes is always among them. Where its networks disagree they are hardly
right, and the best of many pages is where they are wrong most: `caution` takes some of their standard deviation off.
Cost: the generators, and a run of the evaluator over at most some hundred pages.

References:
    Wang et al. (2019), "Sequential Evaluation and Generation Framework for Combinatorial Recommender System".
    Huzhang et al. (2021), "AliExpress Learning-To-Rank: Maximizing Online Model Performance without Going Online".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, NamedTuple, final

import numpy as np
from msgspec import Meta

from slatewise.compose.proposals import AnyGenerator, Beam, Draw, Pointer, Seen
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind, Numbers, Signed
from slatewise.core.constraints import Constraints
from slatewise.core.exposure import Curve, exposure_of
from slatewise.core.policy import Policy
from slatewise.core.problem import PageProblem, Solution
from slatewise.core.request import Request
from slatewise.core.stage import Selector
from slatewise.core.trace import Judged, Part
from slatewise.methods.opening import places_in
from slatewise.methods.propose import Blank, exchanged, kept
from slatewise.models import runtime
from slatewise.models.model import Model


@final
class Propose(Selector, frozen=True, kw_only=True):
    """Choose the best of the pages that generators propose.

    Attributes:
        model: The evaluator, as `slatewise fit evaluator` writes it.
        by: The number column that generators go by.
        generators: Ways to make pages.
        worth: Number columns and what they count, whose sum a click is worth; empty counts each as 1.
        cost: The same of what showing a row takes; empty for nothing.
        caution: Standard deviations between the evaluator's networks that a page's value is lowered by, >= 0.
        ordered: Lines whose rows keep their own order, by `by`.
        exposure: How much each slot is looked at, for generators without a network.
        deadline_ms: Work after which the best page so far is served where rules collide, >= 0; as in `compose.solve`.

    Reads:
        the column in `by`: (n,) float64, any unit; larger is better; those of `worth` and `cost`; and those that the
            evaluator and the generators read.

    Examples:
        >>> from slatewise.learn.evaluator import weighted
        >>> items = Candidates.of(utility=[3.0, 2.0, 1.0], quality=[-1.0, 0.0, 1.0])
        >>> evaluator = weighted({"quality": 1.0})
        >>> Propose(model=evaluator).select(items, 2).rows.tolist()
        [1, 2]
        >>> Propose(model=evaluator, generators=()).select(items, 2).rows.tolist()
        [0, 1]
    """

    section: ClassVar[str] = "compose.propose"

    model: Model
    generators: tuple[AnyGenerator, ...] = (Beam(), Draw())
    worth: dict[str, Signed] = {}
    cost: dict[str, Signed] = {}
    caution: Annotated[float, Meta(ge=0, le=100)] = 0.0
    ordered: tuple[str, ...] = ()
    exposure: Curve = "log"
    deadline_ms: Annotated[float, Meta(ge=0, le=1_000_000)] = 10.0

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What is maximised, and what evaluator and generators read."""
        read: dict[str, Kind] = dict(self.model.inputs.reads)
        for one in self.generators:
            read |= one.reads
        return {**read, **dict.fromkeys((*self.worth, *self.cost, self.by), "number")}

    def check(self, policy: Policy) -> None:
        """Refuse models that are no evaluator or generator, or read what requests do not have, and unknown lines."""
        if self.model.kind != "evaluator":
            raise policy.error(self, ("model", "kind"), "must be 'evaluator'", self.model.kind)
        runtime.check(self.model, policy, self, graphs=("score",))
        for place, one in enumerate(self.generators):
            if one.network is not None:
                wanted = "pointer" if isinstance(one, Pointer) else "parallel"
                if one.network.kind != wanted:
                    field = ("generators", place, "model", "kind")
                    raise policy.error(self, field, f"must be {wanted!r}", one.network.kind)
                graphs = ("encode", "step") if wanted == "pointer" else ("score",)
                runtime.check(one.network, policy, self, graphs=graphs)
        for place, line in enumerate(self.ordered):
            if line not in policy.head.lines:
                raise policy.error(self, ("ordered", place), "must be a line of the policy", line)

    def select(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> Solution:
        """Return the page of largest value; of equals, the one that was proposed first.

        Raises:
            RequestError: A number is not finite.
        """
        request = request or Request(candidates=candidates)
        constraints = constraints or Constraints((), candidates, slots)
        seen = self.seen(candidates, constraints, request)
        if not seen.blank.length:
            return Solution(np.empty(0, np.int32), 0.0, least=seen.blank.least)
        pages = kept(seen.blank, [page for one in self.generators for page in one.pages(seen)])
        values = self.judge(seen, pages).values
        best = int(np.argmax(values))
        return Solution(seen.blank.problem.order[pages[best]], float(values[best]), least=seen.blank.least)

    def gains(
        self, candidates: Candidates, rows: Codes, constraints: Constraints, *, request: Request | None = None
    ) -> Numbers:
        """Return (k,) float64: what each slot adds to the value before caution; without a request, for no one known."""
        if not len(rows):
            return np.zeros(0)
        seen = self.seen(candidates, constraints, request or Request(candidates=candidates))
        return self.judge(seen, places_in(seen.blank.problem.order)[rows][None]).gains[0].sum(axis=1)

    def judged(
        self, candidates: Candidates, solution: Solution, constraints: Constraints, request: Request
    ) -> Judged | None:
        """Return what rows add to the page in each slot: those that do not stand there, if they took its place."""
        seen = self.seen(candidates, constraints, request)
        order, k = seen.blank.problem.order, len(solution.rows)
        if not k:
            return None
        page = places_in(order)[solution.rows]
        own = self.judge(seen, page[None])
        names: list[str | int] = [candidates.item_id[row] for row in order.tolist()]
        worth = np.empty((k, len(order)))
        for slot in range(k):
            gain = float(own.gains[0, slot].sum())
            worth[slot, order] = gain + self.judge(seen, exchanged(page, slot, names)).values - own.values[0]
            worth[slot, order[page[slot]]] = gain
        parts = tuple((Part("click", float(click)), Part("cost", float(cost))) for click, cost in own.gains[0])
        return Judged(worth, parts)

    def predecessors(self, candidates: Candidates) -> Codes:
        """Return, for each row of a line that keeps its order, the one above it."""
        before = np.full(len(candidates), -1, dtype=np.int32)
        lines = candidates.key("line")
        order = candidates.descending(candidates.number(self.by))
        for name in self.ordered:
            rows = [row for row in order.tolist() if lines.name(row) == name]
            before[rows[1:]] = rows[:-1]
        return before

    def warm(self) -> None:
        """Open the networks."""
        runtime.session(self.model, "score")

    def seen(self, candidates: Candidates, constraints: Constraints, request: Request) -> Seen:
        """Return what generators are given, the page of greed included."""
        utility = candidates.finite(self.by)
        problem = PageProblem(
            utility=utility,
            exposure=exposure_of(self.exposure, constraints.slots),
            order=candidates.descending(utility),
            constraints=constraints,
            deadline_ms=self.deadline_ms,
        )
        return Seen(Blank.of(problem, self.predecessors(candidates)), candidates, request)

    def judge(self, seen: Seen, pages: Codes) -> Verdict:
        """Return what the evaluator makes of pages.

        Args:
            seen: What generators were given.
            pages: (b, k) places in its order.
        """
        order, candidates = seen.blank.problem.order, seen.candidates
        read = self.model.inputs.of(candidates, seen.request, order)
        worth = _summed(candidates, self.worth)[order] if self.worth else np.ones(len(order))
        cost = _summed(candidates, self.cost)[order]
        found: list[Numbers] = []
        for at in range(0, len(pages), runtime.BLOCK):
            some = pages[at : at + runtime.BLOCK]
            lists = {name: np.repeat(read[name][None], len(some), axis=0) for name in ("context", "history")}
            rows = {name: read[name][some] for name in ("numbers", "keys")}
            mask = np.ones(some.shape, np.bool_)
            shown, click = runtime.run(self.model, "score", **rows, **lists, mask=mask)
            shown = shown.astype(np.float64)
            found.append(np.stack([shown * click * worth[some], -shown * cost[some]], axis=3))
        gains = np.concatenate(found, axis=1)
        totals = gains.sum(axis=(2, 3))
        return Verdict(gains.mean(axis=0), totals.mean(axis=0) - self.caution * totals.std(axis=0))


def _summed(candidates: Candidates, weights: Mapping[str, float]) -> Numbers:
    """Return (n,) a weighted sum of columns."""
    total = np.zeros(len(candidates))
    for name, weight in weights.items():
        total += weight * candidates.finite(name)
    return total


class Verdict(NamedTuple):
    """What pages are worth.

    Attributes:
        gains: (b, k, 2) what clicks on each slot bring, and what showing it takes; means over networks.
        values: (b,) V, lowered by caution.
    """

    gains: Numbers
    values: Numbers
