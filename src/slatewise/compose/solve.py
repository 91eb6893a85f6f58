"""Choose the page: the rows and their order, worth as much as the rules allow.

    value = sum over slots s of  exposure_s * utility_row + bonuses of the slot + what pairs of rows add or take

The page is as long as rows and contractual rules allow; other rules that cannot all hold give way in ascending
priority, as little as can be; among these pages the method looks for one of greatest value. `methods` has a file for
each method; all of them take the same problem and say how good their page is at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Annotated, ClassVar, Literal, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind, Numbers
from slatewise.core.constraints import Constraints, members
from slatewise.core.exposure import Curve, exposure_of
from slatewise.core.policy import Policy
from slatewise.core.problem import NO_PAIRS, PageProblem, Pairs, Solution
from slatewise.core.request import Request
from slatewise.core.rules import GIVEN, Match, Rule, Slot, kind_for
from slatewise.core.stage import Selector
from slatewise.methods import auto, exact, flow, greedy, ilp, lagrangian, swap

METHODS = {
    "auto": auto.solve,
    "greedy": greedy.solve,
    "swap": swap.solve,
    "lagrangian": lagrangian.solve,
    "flow": flow.solve,
    "ilp": ilp.solve,
    "exact": exact.solve,
}


@final
class Bonus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a row is worth besides, in some slots.

    Attributes:
        by: The number column that is added, as it is.
        slots: From slot a to slot b, both included, counted from 1.
    """

    by: str
    slots: tuple[Slot, Slot]


@final
class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What two rows near each other add to the page, or take from it.

    Attributes:
        worth: Utility that a pair adds; negative for rows that replace each other.
        same: A key column of which both rows have the same value; none if it does not matter.
        above: What the upper row must be, as in a rule's `group`; empty means any.
        below: What the lower row must be.
        within: Most slots from one to the other, >= 1.
        fade: How `worth` falls with the distance: the curve's value at distance 1, 2, ... times `worth`.
    """

    worth: Annotated[float, Meta(ge=-1e9, le=1e9)]
    same: str | None = None
    above: dict[str, Match] = {}
    below: dict[str, Match] = {}
    within: Annotated[int, Meta(ge=1, le=1_000)] = 1
    fade: Curve = "flat"

    @property
    def reads(self) -> dict[str, Kind]:
        """Columns that the pair looks at."""
        groups = {**self.above, **self.below}
        kinds: dict[str, Kind] = {name: kind_for(match) for name, match in groups.items()}
        if self.same is not None:
            kinds[self.same] = "key?"
        return {name: kind for name, kind in kinds.items() if name not in GIVEN}

    def codes(self, candidates: Candidates, group: Mapping[str, Match]) -> Codes:
        """Return the code of each row: its value of `same` if it is of the group, else -1."""
        n = len(candidates)
        codes = candidates.key(self.same).codes if self.same is not None else np.zeros(n, np.int32)
        return codes if not group else np.where(members(group, candidates), codes, np.int32(-1))


@final
class Solve(Selector, frozen=True, kw_only=True):
    """Choose the page that is worth most under the rules.

    Attributes:
        by: The number column that is maximised.
        method: How: `auto`, `greedy`, `swap`, `lagrangian`, `flow`, `ilp` or `exact`; see `methods`.
        exposure: How much each slot is looked at: `log`, `reciprocal`, `halving`, `flat`, or numbers.
        bonus: What rows are worth besides in some slots.
        pairs: What rows near each other add or take.
        deadline_ms: Work after which the best page so far is served, >= 0. Work is counted, not timed, so that the
            same request gives the same page; a millisecond is what these machines do in one.

    Reads:
        the columns in `by` and `bonus`: (n,) float64, any unit; larger is better; and those that `pairs` name.

    Examples:
        >>> items = Candidates.of(author=["a", "a", "b"], utility=[3.0, 2.0, 1.0])
        >>> Solve().select(items, 3).rows.tolist()
        [0, 1, 2]
        >>> from slatewise import Rule
        >>> apart = Rule(name="authors apart", per="author", every=2, at_most=1)
        >>> Solve().select(items, 3, constraints=Constraints([apart], items, 3)).rows.tolist()
        [0, 2, 1]
    """

    section: ClassVar[str] = "compose.solve"

    method: Literal["auto", "greedy", "swap", "lagrangian", "flow", "ilp", "exact"] = "auto"
    exposure: Curve = "log"
    bonus: tuple[Bonus, ...] = ()
    pairs: tuple[Pair, ...] = ()
    deadline_ms: Annotated[float, Meta(ge=0, le=1_000_000)] = 10.0

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What is maximised."""
        read: dict[str, Kind] = {name: kind for pair in self.pairs for name, kind in pair.reads.items()}
        return {**read, **dict.fromkeys((one.by for one in self.bonus), "number"), self.by: "number"}

    def check(self, policy: Policy) -> None:
        """Refuse `flow` where the rules that bind the page, or its pairs, are no network."""
        if self.method != "flow":
            return
        for stage in takewhile(lambda stage: stage is not self, policy.stages):
            for rule in stage.hard_rules:
                reason = flow.refusal(rule)
                if reason:
                    wanted = f"must be able to keep rule {rule.name!r}"
                    raise policy.error(self, ("method",), wanted, self.method, f"{reason}; `greedy` and `ilp` can")
        if self.pairs:
            hint = "what two rows add together is no cost of a flow; `ilp` can"
            raise policy.error(self, ("method",), "must be able to weigh `pairs`", self.method, hint)

    def select(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> Solution:
        """Return the page; ties go to the smaller (item_id, line)."""
        constraints = constraints or Constraints((), candidates, slots)
        return METHODS[self.method](self.problem(candidates, constraints))

    def gains(
        self, candidates: Candidates, rows: Codes, constraints: Constraints, *, request: Request | None = None
    ) -> Numbers:
        """Return (k,) float64: exposure times utility, and bonuses; what pairs add is nobody's alone."""
        return self.problem(candidates, constraints).worth[rows, np.arange(len(rows))]

    def prices(self, candidates: Candidates, solution: Solution, constraints: Constraints) -> Numbers | None:
        """Return (R,) float64: what one unit more of each rule's bounds would be worth, by the prices of `lagrangian`.

        `auto` and `exact` often prove a page without any.
        """
        if solution.prices is None and self.method in ("exact", "auto"):
            return lagrangian.solve(self.problem(candidates, constraints)).prices
        return solution.prices

    def warm(self) -> None:
        """Compile every kernel of the methods that search."""
        if self.method in ("exact", "auto"):
            items = Candidates.of(line=["ads", "ads", "posts"], utility=[3.0, 2.0, 1.0])
            apart = Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1)
            bare = Solve(exposure=self.exposure)
            exact.warm(bare.problem(items, Constraints([apart], items, 3)))

    def problem(self, candidates: Candidates, constraints: Constraints) -> PageProblem:
        """Return what a method is to solve."""
        utility = candidates.number(self.by)
        return PageProblem(
            utility=utility,
            exposure=exposure_of(self.exposure, constraints.slots),
            order=candidates.descending(utility),
            constraints=constraints,
            extra=self._extra(candidates, constraints.slots),
            pairs=self._pairs(candidates),
            deadline_ms=self.deadline_ms,
        )

    def _extra(self, candidates: Candidates, slots: int) -> Numbers | None:
        if not self.bonus:
            return None
        extra = np.zeros((len(candidates), slots))
        for one in self.bonus:
            first, last = one.slots
            extra[:, first - 1 : last] += candidates.number(one.by)[:, None]
        return extra

    def _pairs(self, candidates: Candidates) -> Pairs:
        if not self.pairs:
            return NO_PAIRS
        reach = max(pair.within for pair in self.pairs)
        worth = np.zeros((len(self.pairs), reach))
        for place, pair in enumerate(self.pairs):
            worth[place, : pair.within] = pair.worth * exposure_of(pair.fade, pair.within)
        left = np.column_stack([pair.codes(candidates, pair.above) for pair in self.pairs])
        right = np.column_stack([pair.codes(candidates, pair.below) for pair in self.pairs])
        return Pairs(left, right, worth)
