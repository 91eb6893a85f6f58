"""Insert ads: the page of greatest reward among all that keep the organics' order, by what a network makes of pages.

    R(page) = sum_t exposed_t * (p_click,t * (bid_t + engagement_weight * engagement_t) - ad_weight * cost_t)

    exposed_t = prod_{j < t} (1 - p_leave,j),    bid and cost of ads alone

What a reader does in a slot depends on all that stands above, so an ad is not worth the same on two pages, and ads are
chosen together. The network is causal and says how far what stands above may move it; so pages share what they have in
common, and most of them are ruled out by a bound and never looked at (`methods.insertion`). The weights enter after the
network: they may change from policy to policy, and nothing is fitted again. Every rule holds on every page looked at;
where no such page keeps them all, the greedy page of `compose.solve` is served. Cost: one look at every candidate in
every slot, and some hundred slots of pages, of tens of thousands.

References:
    arXiv 2603.04227 (2026), "Constraint-aware generative reranking": the reward, insertions, and two stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Flags, Kind, Numbers
from slatewise.core.constraints import Constraints, members
from slatewise.core.errors import RequestError
from slatewise.core.exposure import exposure_of
from slatewise.core.policy import Policy
from slatewise.core.problem import PageProblem, Solution
from slatewise.core.request import Request
from slatewise.core.rules import LONGEST_PAGE, Match, Rule, Slot
from slatewise.core.stage import Selector
from slatewise.core.trace import Judged, Part
from slatewise.kernels.insertion_bounds import Tables
from slatewise.methods import greedy
from slatewise.methods.insertion import (
    TOKENS_PER_MS,
    Decoded,
    Insertions,
    Network,
    beam,
    exact,
    gains,
    rewards,
    staged,
)
from slatewise.methods.insertion_pages import Laid, Limits, laid_out, tables_of
from slatewise.methods.propose import exchanged
from slatewise.models import runtime
from slatewise.models.decoding import GRAPHS, Prefixes, prepared
from slatewise.models.model import Model

METHODS: dict[str, Callable[[Insertions, int], Decoded]] = {
    "exact": lambda page, _: exact(page),
    "staged": lambda page, width: staged(page, width=width),
    "beam": lambda page, width: beam(page, width=width),
}

Weight = Annotated[float, Meta(ge=0, le=1e9)]


@final
class Reward(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pages are worth.

    Attributes:
        bid: The number column of what a click on an ad pays; 0 where it is missing.
        engagement: What a click is worth to the reader's stay: a number column, or a number for all rows.
        cost: What an ad costs if it is looked at: a number column, or a number for all ads.
        engagement_weight: What one unit of engagement is worth, in the unit of bids, >= 0.
        ad_weight: What one unit of cost is worth, in the unit of bids, >= 0.
    """

    bid: str = "bid"
    engagement: str | float = 1.0
    cost: str | float = 1.0
    engagement_weight: Weight = 1.0
    ad_weight: Weight = 0.0

    @property
    def reads(self) -> dict[str, Kind]:
        """Columns that it looks at."""
        named = (self.bid, self.engagement, self.cost)
        return {name: "number?" for name in named if isinstance(name, str)}


@final
class Reorder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Organics that may change places with each other.

    Attributes:
        window: So many of them, from 2 to 6; every order of them is tried with every insertion.
        first: The first of them, counted from 1 in their order.
    """

    window: Annotated[int, Meta(ge=2, le=6)]
    first: Slot = 1


@final
class Decode(Selector, frozen=True, kw_only=True):
    """Insert ads where the page as a whole is worth most.

    Attributes:
        by: The number column whose order organics keep.
        model: The network, as `slatewise fit decode` writes it.
        ads: Which rows are ads, as in a rule's `group`; all others are organics.
        insert: Most ads on a page, from 0 to 6.
        positions: From slot a to slot b ads may stand, both included, counted from 1.
        reward: What pages are worth.
        reorder: Organics that may change places; none if not given.
        method: How: `exact`, the best page or, out of work, how far from it; `staged`, the best ad first and the best
            page with it, as published; `beam`, slot by slot. The last two prove nothing.
        width: Best ads that `staged` goes on with, and prefixes that `beam` keeps, >= 1.
        deadline_ms: Work after which the best page so far is served, >= 0. Work is counted in slots of pages that the
            network is asked, not timed, so that the same request gives the same page.

    Reads:
        the column in `by`: (n,) float64, any unit; larger is better; those of `ads` and `reward`, and those that the
            network reads.

    Examples:
        >>> from slatewise.learn.decoders import by_hand
        >>> weary = by_hand(slots=3, after_ad=1.0)  # an ad drives readers away
        >>> items = Candidates.of(line=["posts"] * 3 + ["ads"] * 2, utility=[5, 4, 3, 2, 1], bid=[0, 0, 0, 2, 9])
        >>> Decode(model=weary).select(items, 3).rows.tolist()
        [4, 3, 0]
        >>> Decode(model=weary, insert=1, positions=(2, 3)).select(items, 3).rows.tolist()
        [0, 4, 1]
        >>> Decode(model=weary, reward=Reward(ad_weight=2.0)).select(items, 3).rows.tolist()
        [4, 0, 1]
    """

    section: ClassVar[str] = "compose.decode"

    model: Model
    ads: Annotated[dict[str, Match], Meta(min_length=1)] = msgspec.field(default_factory=lambda: {"line": "ads"})
    insert: Annotated[int, Meta(ge=0, le=6)] = 2
    positions: tuple[Slot, Slot] = (1, LONGEST_PAGE)
    reward: Reward = Reward()
    reorder: Reorder | None = None
    method: Literal["exact", "staged", "beam"] = "exact"
    width: Annotated[int, Meta(ge=1, le=1_000)] = 1
    deadline_ms: Annotated[float, Meta(ge=0, le=1_000_000)] = 40.0

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What orders organics, what tells ads, what pages are worth, and what the network reads."""
        kinds: dict[str, Kind] = {**self.model.inputs.reads, **self.reward.reads, self.by: "number"}
        return {**kinds, **{name: kind for rule in self.hard_rules for name, kind in rule.reads.items()}}

    @property
    def hard_rules(self) -> tuple[Rule, ...]:
        """How many ads there may be, and where."""
        first, last = self.positions
        rules = [Rule(name="decode.insert", group=self.ads, at_most=self.insert, priority="contractual")]
        if first > 1:
            rules.append(Rule(name="decode.first", group=self.ads, first=first - 1, at_most=0, priority="contractual"))
        if last < LONGEST_PAGE:
            below = last + 1, LONGEST_PAGE
            rules.append(Rule(name="decode.last", group=self.ads, slots=below, at_most=0, priority="contractual"))
        return tuple(rules)

    def check(self, policy: Policy) -> None:
        """Refuse a model that is no decoder or reads what requests do not have, and pages that are too long for it."""
        if self.model.kind != "decoder":
            raise policy.error(self, ("model", "kind"), "must be 'decoder'", self.model.kind)
        if policy.head.slots > self._longest:
            rule = f"must be fitted on pages of {policy.head.slots} slots, as `slots` asks for"
            raise policy.error(self, ("model", "settings", "slots"), rule, self._longest)
        if self.positions[0] > self.positions[1]:
            raise policy.error(self, ("positions",), "must not end before they begin", list(self.positions))
        runtime.check(self.model, policy, self, graphs=GRAPHS)

    def select(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> Solution:
        """Return the page; of equals, that with fewer ads, then that whose rows come first.

        Raises:
            RequestError: A number is infinite, or the page is longer than those that the network was fitted on.
        """
        return self.solved(candidates, slots, constraints=constraints, request=request)[0]

    def solved(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> tuple[Solution, Decoded | None]:
        """Return the page and how it was found; None if no page with insertions keeps the rules.

        Raises:
            RequestError: As `select`.
        """
        if slots > self._longest:
            raise RequestError("slots", f"must be <= {self._longest}, which `compose.decode` was fitted on", str(slots))
        request = request or Request(candidates=candidates)
        constraints = constraints or Constraints(self.hard_rules, candidates, slots)
        laid, instead = self._laid_out(candidates, constraints)
        if laid is None:
            rows = instead.rows
            value = float(self.gains(candidates, rows, constraints, request=request).sum())
            return Solution(rows, value, least=instead.least), None
        page = self._insertions(candidates, request, laid)
        found = METHODS[self.method](page, self.width)
        bound = found.bound if laid.is_whole else np.inf
        return Solution(laid.rows[found.rows], found.value, bound, instead.least), found

    def gains(
        self, candidates: Candidates, rows: Codes, constraints: Constraints, *, request: Request | None = None
    ) -> Numbers:
        """Return (k,) float64: what each slot adds to the reward; without a request, for a reader not known."""
        if not len(rows):
            return np.zeros(0)
        seen, page, is_ad = self._seen(candidates, rows, constraints)
        tables, network = self._asked(candidates, request or Request(candidates=candidates), seen)
        return gains(page, is_ad, tables, network)

    def judged(
        self, candidates: Candidates, solution: Solution, constraints: Constraints, request: Request
    ) -> Judged | None:
        """Return what rows add to the reward in each slot: those that do not stand there, if they took its place.

        Rows that are on no page among which it chose count as little as the least of the others.
        """
        rows, k = solution.rows, len(solution.rows)
        if not k:
            return None
        seen, page, is_ad = self._seen(candidates, rows, constraints)
        tables, network = self._asked(candidates, request, seen)
        own, items = gains(page, is_ad, tables, network), candidates.items[seen].tolist()
        worth = np.empty((k, len(candidates)))
        for slot in range(k):
            others = rewards(exchanged(page, slot, items), is_ad, tables, network) - own.sum() + own[slot]
            worth[slot] = others.min()
            worth[slot, seen] = others
            worth[slot, rows[slot]] = own[slot]
        clicks = gains(page, is_ad, tables._replace(charge=np.zeros(len(seen))), network)
        both = zip(clicks.tolist(), (own - clicks).tolist(), strict=True)
        return Judged(worth, tuple((Part("click", click), Part("cost", cost)) for click, cost in both))

    def predecessors(self, candidates: Candidates) -> Codes:
        """Return, for each organic, the one above it in their order; of those that may change places, above them."""
        before = np.full(len(candidates), -1, np.int32)
        order = candidates.descending(candidates.number(self.by))
        queue = order[~self._is_ad(candidates)[order]]
        before[queue[1:]] = queue[:-1]
        if self.reorder is not None:
            start = self.reorder.first - 1
            before[queue[start : start + self.reorder.window]] = queue[start - 1] if 0 < start < len(queue) else -1
        return before

    @property
    def _longest(self) -> int:
        return int(self.model.settings["slots"])

    def _is_ad(self, candidates: Candidates) -> Flags:
        return members(self.ads, candidates)

    def _seen(self, candidates: Candidates, rows: Codes, constraints: Constraints) -> tuple[Codes, Codes, Flags]:
        """Return the rows that a page was chosen from, where the page's rows stand among them, and which are ads."""
        laid, _ = self._laid_out(candidates, constraints)
        is_ad = self._is_ad(candidates)
        if laid is None or not np.isin(rows, laid.rows).all():
            seen = np.concatenate([rows[~is_ad[rows]], np.flatnonzero(is_ad)]).astype(np.int32)
        else:
            seen = laid.rows
        return seen, _places(rows, seen), is_ad[seen]

    def _laid_out(self, candidates: Candidates, constraints: Constraints) -> tuple[Laid | None, Solution]:
        """Return the pages, and the page of which they have to have the length; it is served if there are none."""
        is_ad, order = self._is_ad(candidates), candidates.descending(candidates.finite(self.by))
        kept = {rule.name for rule in constraints.book.rules}
        ads = int(is_ad.sum())
        start = 0 if self.reorder is None else self.reorder.first - 1
        limits = Limits(
            insert=self.insert if "decode.insert" in kept else ads,
            first=self.positions[0] - 1 if "decode.first" in kept else 0,
            last=self.positions[1] - 1 if "decode.last" in kept else LONGEST_PAGE,
            window=(start, start if self.reorder is None else start + self.reorder.window),
        )
        items = len(np.unique(candidates.items[~is_ad])) + min(ads, limits.insert)
        longest = min(constraints.slots, items)
        laid = laid_out(order, is_ad, constraints.arrays, longest, limits) if longest else None
        if laid is not None:
            return laid, Solution(order[:0], 0.0, least=True)
        exposure = exposure_of("log", constraints.slots)
        instead = greedy.solve(PageProblem(candidates.number(self.by), exposure, order, constraints))
        shorter = len(instead.rows)
        if 0 < shorter < longest:
            laid = laid_out(order, is_ad, constraints.arrays, shorter, limits)
        return laid, instead

    def _insertions(self, candidates: Candidates, request: Request, laid: Laid) -> Insertions:
        tables, network = self._asked(candidates, request, laid.rows)
        tokens = int(self.deadline_ms * TOKENS_PER_MS)
        return Insertions(laid.patterns, tables, network, laid.slots, tokens)

    def _asked(self, candidates: Candidates, request: Request, rows: Codes) -> tuple[Tables, Callable[[], Network]]:
        """Return what rows are in each slot, and what makes a network that was asked nothing yet."""
        reward, is_ad = self.reward, self._is_ad(candidates)
        engagement, cost = (self._column(candidates, one)[rows] for one in (reward.engagement, reward.cost))
        bid = np.where(is_ad[rows], self._column(candidates, reward.bid)[rows], 0.0)
        sight = self._in_sight(candidates, rows, is_ad)
        found = prepared(self.model, candidates, request, sight, is_ad[sight]).at(_places(rows, sight))
        worth = bid + reward.engagement_weight * engagement
        tables = tables_of(found, worth, np.where(is_ad[rows], reward.ad_weight * cost, 0.0))
        return tables, lambda: Prefixes(self.model, found.token)

    def _in_sight(self, candidates: Candidates, rows: Codes, is_ad: Flags) -> Codes:
        """Return what the network sees of the candidates, as it did in logs: as many organics as slots, and all ads.

        These rows are among it. So what a page is worth depends on the candidates, and not on which of them the rules
        leave a place.
        """
        order, seen = candidates.descending(candidates.number(self.by)), is_ad.copy()
        seen[rows] = True
        seen[order[~is_ad[order]][: self._longest]] = True
        order = order[seen[order]]
        return np.concatenate([order[~is_ad[order]], order[is_ad[order]]])

    def _column(self, candidates: Candidates, column: str | float) -> Numbers:
        """Return a column, 0 where it is missing, or the same number for all rows."""
        if not isinstance(column, str):
            return np.full(len(candidates), float(column))
        values = candidates.number(column)
        wrong = np.flatnonzero(np.isinf(values))
        if len(wrong):
            where = f"candidates.{column}[{wrong[0]}]"
            raise RequestError(where, "must be finite to be part of a reward", str(float(values[wrong[0]])))
        return np.where(np.isnan(values), 0.0, values)


def _places(rows: Codes, among: Codes) -> Codes:
    """Return where rows stand among others."""
    order = np.argsort(among)
    return order[np.searchsorted(among, rows, sorter=order)].astype(np.int32)
