"""Order rows in sight of each other: what a page's neighbours do to a click, learned from logs.

The first `top` rows by `by` are scored as one list by a network that was fitted on lists, and put in the order that
promises most clicks, in a few passes (`methods.reorder`). They exchange what they are worth: the row that is now first
has the largest utility there was among them, and so on. So whatever comes later sees utilities of the same scale, sums
to what it did, and rows further down stay there. Cost: a run of the network per pass.

References:
    Pei et al. (2019), "Personalized Re-ranking for Recommendation", RecSys.
    Pang et al. (2020), "SetRank: Learning a Permutation-Invariant Ranking Model for Information Retrieval", SIGIR.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, cast, final

import numpy as np
from msgspec import Meta

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind, Numbers
from slatewise.core.exposure import Curve, exposure_of
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.stage import Annotator
from slatewise.methods.reorder import Link, Orders, Reordered, exchanged, reordered
from slatewise.models import runtime
from slatewise.models.model import Model

CLICK = "rerank"
"""Column of predicted clicks."""

LINKS = ("logistic", "softmax")


@final
class Rerank(Annotator, frozen=True, kw_only=True):
    """Reorder rows by a network that sees all of them.

    Attributes:
        model: The network, as `slatewise fit rerank` writes it.
        by: The number column whose order rows come in, and whose values they exchange.
        into: The number column that is written; the one in `by` is refined.
        top: How many rows are reordered, >= 1; the others stay below.
        passes: How often the network looks, from 1 to 3. 1: once, and its order is believed. 2: at its own order, too,
            which is taken only if it promises more clicks. 3: once more.
        damping: Share of earlier scores that is kept from pass to pass, in [0, 1).
        stickiness: How much rows stick to where they are from the second pass on, >= 0: what a slot counts, in gaps
            from score to score.
        delta: By how many clicks an order has to promise more to be taken, >= 0.
        exposure: How much each slot is looked at, for what an order promises.

    Reads:
        the column in `by`: (n,) float64, any unit; larger is better; and those that the network reads.
    Writes:
        the column in `into`: (n,) float64, in the unit of `by`.
        rerank: (n,) float64, predicted clicks: the probability of one, or the share of all, as the network was fitted;
            0 for rows that were not among the first.

    Examples:
        >>> from slatewise.learn.export import weighted
        >>> items = Candidates.of(utility=[3.0, 2.0, 1.0], quality=[0.1, 0.4, 0.9])
        >>> best_first = weighted({"quality": 1.0})
        >>> Rerank(model=best_first).annotate(items, Request(candidates=items))["utility"].tolist()
        [1.0, 2.0, 3.0]
        >>> Rerank(model=best_first, top=2).annotate(items, Request(candidates=items))["utility"].tolist()
        [2.0, 3.0, 1.0]
    """

    section: ClassVar[str] = "compose.rerank"

    model: Model
    by: str = "utility"
    into: str = "utility"
    top: Annotated[int, Meta(ge=1, le=1_000)] = 50
    passes: Annotated[int, Meta(ge=1, le=3)] = 2
    damping: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    stickiness: Annotated[float, Meta(ge=0, le=1_000)] = 0.5
    delta: Annotated[float, Meta(ge=0, le=1_000)] = 0.0
    exposure: Curve = "log"

    @property
    def reads(self) -> Mapping[str, Kind]:
        """The order that rows come in, and what the network reads."""
        return {**self.model.inputs.reads, self.by: "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """What rows are worth in their new order, and predicted clicks."""
        return {self.into: "number", CLICK: "number"}

    def check(self, policy: Policy) -> None:
        """Refuse a model that does not score lists, or reads what requests do not have."""
        if self.into == CLICK:
            raise policy.error(self, ("into",), "must be another column than that of predicted clicks", self.into)
        if self.model.settings.get("link") not in LINKS:
            rule = "must say what its scores are, as `link`: " + " or ".join(map(repr, LINKS))
            raise policy.error(self, ("model", "settings", "link"), rule, self.model.settings.get("link"))
        runtime.check(self.model, policy, self, graphs=("score",))

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return what each row is worth in its new order, and its predicted clicks."""
        values = candidates.finite(self.by)
        rows = candidates.descending(values)
        first, others = rows[: self.top], rows[self.top :]
        worth, clicks = values.copy(), np.zeros(len(values))
        if len(first):
            found = self.reordered(candidates, request, first)
            floor = float(values[others].max(initial=-np.inf))
            worth[first[found.order[0]]] = exchanged(values[first], floor)
            clicks[first] = found.clicks[0]
        return {self.into: worth, CLICK: clicks}

    def parts(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return what rows were worth before, and what reordering added."""
        before = candidates.number(self.by)
        return {"before": before, "moved": self.annotate(candidates, request)[self.into] - before}

    def reordered(self, candidates: Candidates, request: Request, rows: Codes) -> Reordered:
        """Return how some rows are reordered.

        Args:
            candidates: With the columns that the network reads.
            request: With context and history.
            rows: (n,) in the order they come in, at least one.
        """
        mask = np.ones((1, len(rows)), np.bool_)
        arrays = self.model.inputs.of(candidates, request, rows)

        def score(order: Orders) -> Numbers:
            listed = {name: arrays[name][order] for name in ("numbers", "keys")}
            context, history = arrays["context"][None], arrays["history"][None]
            return runtime.scores(self.model, {**listed, "context": context, "history": history, "mask": mask})

        return reordered(
            score,
            mask,
            exposure=exposure_of(self.exposure, len(rows)),
            link=cast("Link", self.model.settings["link"]),
            passes=self.passes,
            damping=self.damping,
            stickiness=self.stickiness,
            delta=self.delta,
        )
