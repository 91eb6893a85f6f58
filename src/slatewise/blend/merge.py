"""Merge the lines into one list: slot by slot, the line whose head is worth most takes the slot.

Each line is a queue in its own order; only heads compete, so no weight, price or tie can reorder a line. Which lines
may compete for a slot is said by layout limits, which are rules like any other and also bind the stages that follow. A
line whose floor can only be met now takes the slot. Ties between lines go to a hash of (request, line), so that no line
wins by its name.

The merge by heads does not look ahead: where every line that still has rows is out of bounds, floors give way first,
then gaps, first slots, and page caps, also where another order of lines would have kept them. With `beam` it looks
ahead, over all templates (which line each slot goes to), for a page that keeps them all and is worth more:

    value = sum_s exposure_s * effect_s * utility_row(s)

Cost: O(n log n) to order, then O(slots * n), once more for each slot in which a gap effect changes the choice; with
`beam` what `kernels.templates` says besides.

References:
    The greedy merge of sorted lists is optimal for weights that fall with the slot, as long as no limit binds and
    each line is sorted by what it competes with.
    Sidney (1975), "Decomposition algorithms for single-machine sequencing with precedence relations", Operations
    Research 23(2): the index of a queue that is not sorted, exact for weights linear in the slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import fsum
from typing import Annotated, ClassVar, Literal, final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.blend.layout import Layout, effects, factors
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind, Numbers
from slatewise.core.constraints import UNIT, Constraints
from slatewise.core.exposure import Curve, exposure_of
from slatewise.core.policy import Policy
from slatewise.core.problem import Solution
from slatewise.core.request import Request
from slatewise.core.rules import LONGEST_PAGE, Rule
from slatewise.core.stage import Selector
from slatewise.core.trace import Judged, Part
from slatewise.kernels import audit, greedy, queues
from slatewise.methods import templates
from slatewise.methods.opening import NO_PREFERENCE

WIDEST = 1_000
"""Most states that a search keeps for each slot."""


@final
class Merge(Selector, frozen=True, kw_only=True):
    """Merge queues by their heads.

    Attributes:
        by: The number column with which heads compete.
        order: The number column whose descending order is a line's own.
        compete: What a queue competes with: `head`, what its first row is worth; or `prefix`, the largest mean of its
            first rows, for lines that do not sort by worth and would else be judged by their first row alone.
        exposure: How much each slot is looked at: `log`, `reciprocal`, `halving`, `flat`, or numbers.
        layout: Line to where it may stand.
        beam: States kept for each slot while templates are searched for a better page; 0 is off. Larger finds better
            pages and proves more of them.
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
        >>> Merge(layout={"ads": Layout(gap_effect=(0.5,))}).select(items, 4).rows.tolist()
        [2, 0, 3, 1]
        >>> few = items.take([0, 2, 3])
        >>> merge = Merge(layout={"ads": Layout(min_gap=1)})
        >>> rules = Constraints(merge.hard_rules, few, 3)
        >>> few.take(merge.select(few, 3, constraints=rules).rows).key("line").codes.tolist()
        [1, 0, 1]
        >>> late = Candidates.of(line=["a", "a", "b"], score=[9.0, 8.0, 1.0], utility=[0.0, 4.0, 1.0])
        >>> Merge().select(late, 3).rows.tolist(), Merge(compete="prefix").select(late, 3).rows.tolist()
        ([2, 0, 1], [0, 1, 2])
    """

    section: ClassVar[str] = "blend.merge"

    order: str = "score"
    compete: Literal["head", "prefix"] = "head"
    exposure: Curve = "flat"
    layout: dict[str, Layout] = {}
    beam: Annotated[int, Meta(ge=0, le=WIDEST)] = 0
    depth: Annotated[int, Meta(ge=1, le=LONGEST_PAGE)] | None = None

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What heads compete with, and what orders a line."""
        return {self.by: "number", self.order: "number"}

    @property
    def hard_rules(self) -> tuple[Rule, ...]:
        """The layout limits."""
        return tuple(rule for line, layout in self.layout.items() for rule in layout.rules(line))

    @property
    def remembers(self) -> Mapping[str, Kind]:
        """Lines of the rows shown last, where a gap has an effect."""
        return {"line": "key"} if self.reach else {}

    @property
    def reach(self) -> int:
        """How many rows shown before have an effect."""
        return max((len(one.gap_effect) for one in self.layout.values()), default=0)

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have, and floors above caps."""
        for line, layout in self.layout.items():
            policy.check_line(self, ("layout", line), line)
            if layout.page_cap is not None and layout.page_floor > layout.page_cap:
                field = ("layout", line, "page_floor")
                raise policy.error(self, field, f"must be <= page_cap {layout.page_cap}", layout.page_floor)

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
        """Return min(slots, distinct items) rows in merged order; with `beam`, what is proven of their worth."""
        constraints = constraints or Constraints((), candidates, slots)
        request = request or Request(candidates=candidates)
        rows, least = self._by_heads(candidates, int(slots), constraints, request)
        if slots != constraints.slots:  # rows for a following selector, which chooses the page
            return Solution(rows, fsum(candidates.number(self.by)[rows].tolist()), least=least)
        merged = Solution(rows, fsum(self.gains(candidates, rows, constraints).tolist()), least=least)
        return self._searched(merged, candidates, constraints, request) if self.beam else merged

    def gains(
        self, candidates: Candidates, rows: Codes, constraints: Constraints, *, request: Request | None = None
    ) -> Numbers:
        """Return (k,) float64: exposure times utility, as far as gaps leave it."""
        worth = self._worth(candidates.number(self.by), candidates, rows, constraints)
        return exposure_of(self.exposure, constraints.slots)[: len(rows)] * _own(worth, rows)

    def judged(
        self, candidates: Candidates, solution: Solution, constraints: Constraints, request: Request
    ) -> Judged | None:
        """Return what rows competed with in each slot, where that is not the column in `by`."""
        if not self.reach and self.compete == "head":
            return None
        rows, utility, index = solution.rows, candidates.number(self.by), self._index(candidates)
        worth = np.broadcast_to(self._worth(index, candidates, rows, constraints), (len(rows), len(candidates)))
        parts: list[tuple[Part, ...]] = []
        for row, own in zip(rows.tolist(), _own(worth, rows).tolist(), strict=True):
            more = (Part("queue", float(index[row] - utility[row])), Part("gap", float(own - index[row])))
            parts.append((Part("utility", float(utility[row])), *(part for part in more if part.amount)))
        return Judged(np.ascontiguousarray(worth), tuple(parts))

    def warm(self) -> None:
        """Compile the search."""
        items = Candidates.of(line=["ads", "posts"], score=[2.0, 1.0])
        msgspec.structs.replace(self, by="score", order="score").select(items, 2)

    def predecessors(self, candidates: Candidates) -> Codes:
        """Return, for each row, the one before it in its line's queue; -1 for the head."""
        lines = candidates.key("line")
        queue = candidates.descending(candidates.number(self.order))
        return queues.predecessors(queue, lines.codes, len(lines.names))

    def _by_heads(
        self, candidates: Candidates, slots: int, constraints: Constraints, request: Request
    ) -> tuple[Codes, bool]:
        """Return (rows merged by their heads, whether it is proven that no page is longer or breaks the rules less).

        What a gap leaves of a row depends on the rows above. Each round takes the page of the one before for these: one
        more slot is right each time, all of them where two rounds agree.
        """
        index, after = self._index(candidates), self.predecessors(candidates)
        order = self._preference(index, candidates, request)
        rows, _, least, _ = greedy.fill(order, constraints.arrays, after, slots, 0, NO_PREFERENCE)
        for _ in range(slots if self.reach and len(rows) else 0):
            prefer = np.tile(order, (slots, 1))
            factor = self._factors(candidates, rows, constraints)
            changed, of_slot = np.unique(factor, axis=0, return_inverse=True)
            worth = _left(index, changed[:, candidates.key("line").codes])
            prefer[: len(rows)] = np.array([self._preference(one, candidates, request) for one in worth])[of_slot]
            again, _, least, _ = greedy.fill(order, constraints.arrays, after, slots, 0, prefer)
            if np.array_equal(again, rows):
                break
            rows = again
        return rows, least

    def _searched(
        self, merged: Solution, candidates: Candidates, constraints: Constraints, request: Request
    ) -> Solution:
        """Return a page worth more that keeps every limit, where one is found, and what is proven.

        A floor asks no more of a line than it has rows: what it lacks, every page lacks.
        """
        kept = {rule.name for rule in constraints.book.rules}
        if kept - {rule.name for rule in self.hard_rules}:
            return merged  # a rule of another stage, which the search does not know
        lines, size = candidates.key("line"), len(np.unique(candidates.items))
        drawn = sorted(range(len(lines.names)), key=lambda code: request.draw(lines.names[code]))
        rows_of = Counter(lines.names[code] for code in lines.codes.tolist())
        lacks = {f"{line}.page_floor": one.page_floor - rows_of[line] for line, one in self.layout.items()}
        given = [max(lacks.get(rule.name, 0), 0) * UNIT for rule in constraints.book.rules]
        whole = bool((audit.broken(merged.rows, constraints.arrays) <= given).all())
        rows, value, bound = templates.searched(
            templates.lined(candidates.descending(candidates.number(self.order)), lines.codes, lines.names, drawn),
            candidates.number(self.by),
            candidates.items,
            exposure_of(self.exposure, constraints.slots)[:size],
            {line: np.array(layout.gap_effect) for line, layout in self.layout.items()},
            {line: layout.limit(line, kept) for line, layout in self.layout.items()},
            _past(constraints),
            width=self.beam,
            least=merged.value if whole else -np.inf,
        )
        if len(rows) or not size:
            return Solution(rows, value, bound, least=True)
        return msgspec.structs.replace(merged, bound=bound, least=True) if whole else merged

    def _index(self, candidates: Candidates) -> Numbers:
        """Return what each row competes with when it is the head, gaps apart."""
        worth = candidates.number(self.by)
        if self.compete == "head":
            return worth
        lines = candidates.key("line")
        queue = candidates.descending(candidates.number(self.order))
        return templates.prefix_means(templates.lined(queue, lines.codes, lines.names), worth)

    def _worth(self, worth: Numbers, candidates: Candidates, rows: Codes, constraints: Constraints) -> Numbers:
        """Return (k, n) float64: what gaps leave of each row in each slot; (1, n) where they have no effect."""
        if not self.reach:
            return worth[None, :]
        return _left(worth, self._factors(candidates, rows, constraints)[:, candidates.key("line").codes])

    def _factors(self, candidates: Candidates, rows: Codes, constraints: Constraints) -> Numbers:
        """Return (k, lines) float64: the factor of each line in each slot."""
        lines = candidates.key("line")
        past = [lines.names.index(name) for name in _past(constraints) if name in lines.names]
        return factors(effects(self.layout, lines.names), lines.codes[rows], past=np.array(past, np.int32))

    def _preference(self, worth: Numbers, candidates: Candidates, request: Request) -> Codes:
        """Return rows by what they compete with; of equals, the line drawn for this request first."""

        def drawn() -> NDArray[np.int64]:
            lines = candidates.key("line")
            return np.array([request.draw(name) for name in lines.names], dtype=np.int64)[lines.codes]

        return candidates.descending(worth, drawn)


def _left(worth: Numbers, factor: Numbers) -> Numbers:
    """Return what a gap leaves of each row; it takes only from what is worth something."""
    return worth * np.where(worth > 0, factor, 1.0)


def _own(worth: Numbers, rows: Codes) -> Numbers:
    """Return (k,) what each row is worth in its own slot."""
    return worth[np.arange(len(rows)) if len(worth) == len(rows) else 0, rows]


def _past(constraints: Constraints) -> list[str]:
    """Return the line of each row that the session saw last, oldest first."""
    past = constraints.past
    return [] if past is None else [past.key("line").name(row) for row in range(len(past))]
