"""Merge the lines into one list: slot by slot, the line whose head is worth most takes the slot.

Each line is a queue in its own order; only heads compete, so no weight, price or tie can reorder a line. Which lines
may compete for a slot is said by layout limits, which are rules like any other and also bind the stages that follow.
Ties between lines go to a hash of (request, line), so that no line wins by its name. The merge does not look ahead:
where every line that still has rows is out of bounds, gaps give way first, then first slots, then page caps, also where
another order of lines would have kept them. `compose.solve` looks ahead, under the same limits.

Cost: O(n log n) to order, then O(slots * n).

References:
    The greedy merge of sorted lists is optimal for weights that fall with the slot, as long as no limit binds and
    each line is sorted by what it competes with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import fsum
from typing import Annotated, ClassVar, final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind
from slatewise.core.constraints import Constraints
from slatewise.core.policy import Policy
from slatewise.core.problem import Solution
from slatewise.core.request import Request
from slatewise.core.rules import LONGEST_PAGE, Rule
from slatewise.core.stage import Selector
from slatewise.kernels import greedy, queues
from slatewise.methods.opening import NO_PREFERENCE

CAP, FIRST, GAP = 3, 2, 1
"""Priorities of the limits: gaps give way before first slots, and these before page caps."""


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a line may stand.

    Attributes:
        first_slot: First slot that it may take, from 1.
        min_gap: Slots of other lines between two of its own; 0 is off.
        page_cap: Most slots of a page; none if not given.
    """

    first_slot: Annotated[int, Meta(ge=1, le=LONGEST_PAGE)] = 1
    min_gap: Annotated[int, Meta(ge=0, le=LONGEST_PAGE)] = 0
    page_cap: Annotated[int, Meta(ge=0, le=LONGEST_PAGE)] | None = None

    def rules(self, line: str) -> Iterator[Rule]:
        """Return the limits as rules."""
        group: dict[str, str] = {"line": line}
        if self.page_cap is not None:
            yield Rule(name=f"{line}.page_cap", group={**group}, at_most=self.page_cap, priority=CAP)
        if self.first_slot > 1:
            last = self.first_slot - 1
            yield Rule(name=f"{line}.first_slot", group={**group}, first=last, at_most=0, priority=FIRST)
        if self.min_gap > 0:
            every = self.min_gap + 1
            yield Rule(name=f"{line}.min_gap", group={**group}, every=every, at_most=1, priority=GAP)


@final
class Merge(Selector, frozen=True, kw_only=True):
    """Merge queues by their heads.

    Attributes:
        by: The number column with which heads compete.
        order: The number column whose descending order is a line's own.
        layout: Line to where it may stand.
        depth: Rows passed on to a following selector, per slot of the page, >= 1; every row if not given. A selector
            can keep its rules only with the rows that it gets.

    Reads:
        the column in `by`: (n,) float64, one currency for all lines.
        the column in `order`: (n,) float64, each line's own unit.

    Examples:
        >>> items = Candidates.of(
        ...     line=["posts", "posts", "ads", "ads"], score=[3.0, 2.0, 9.0, 8.0], utility=[3.0, 2.0, 4.0, 3.5]
        ... )
        >>> Merge().select(items, 4).rows.tolist()
        [2, 3, 0, 1]
        >>> merge = Merge(layout={"ads": Layout(first_slot=2, min_gap=1)})
        >>> merge.select(items, 4, constraints=Constraints(merge.hard_rules, items, 4)).rows.tolist()
        [0, 2, 1, 3]
    """

    section: ClassVar[str] = "blend.merge"

    order: str = "score"
    layout: dict[str, Layout] = {}
    depth: Annotated[int, Meta(ge=1, le=LONGEST_PAGE)] | None = None

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What heads compete with, and what orders a line."""
        return {self.by: "number", self.order: "number"}

    @property
    def hard_rules(self) -> tuple[Rule, ...]:
        """The layout limits."""
        return tuple(rule for line, layout in self.layout.items() for rule in layout.rules(line))

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have."""
        for line in self.layout:
            policy.check_line(self, ("layout", line), line)

    def keep(self, slots: int) -> int | None:
        """Return `depth` rows per slot; None for all."""
        return None if self.depth is None else self.depth * slots

    def select(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> Solution:
        """Return min(slots, distinct items) rows in merged order; nothing is proven of their worth."""
        if constraints is None:
            constraints = Constraints((), candidates, slots)
        rows, _, least, _ = greedy.fill(
            self._preference(candidates, request or Request(candidates=candidates)),
            constraints.arrays,
            self.predecessors(candidates),
            int(slots),
            0,
            NO_PREFERENCE,
        )
        return Solution(rows, fsum(candidates.number(self.by)[rows].tolist()), least=least)

    def predecessors(self, candidates: Candidates) -> Codes:
        """Return, for each row, the one before it in its line's queue; -1 for the head."""
        lines = candidates.key("line")
        queue = candidates.descending(candidates.number(self.order))
        return queues.predecessors(queue, lines.codes, len(lines.names))

    def _preference(self, candidates: Candidates, request: Request) -> Codes:
        """Return rows by what they compete with; of equals, the line drawn for this request first."""

        def drawn() -> NDArray[np.int64]:
            lines = candidates.key("line")
            return np.array([request.draw(name) for name in lines.names], dtype=np.int64)[lines.codes]

        return candidates.descending(candidates.number(self.by), drawn)
