"""Choose the page: the rows and their order, worth as much as the rules allow.

`greedy` gives each slot the best row that the rules allow, with look-ahead for floors that are still due, and goes back
where that leads to a broken rule (`kernels.greedy`). Rules that cannot all hold give way in ascending priority, as
little as the search finds; contractual ones never do, and the page is then shorter.

Cost: O(n log n + slots * n * rules), plus up to `search_limit` questions where the first descent breaks a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, final

from msgspec import Meta

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind
from slatewise.core.request import Request
from slatewise.core.rules import Constraints
from slatewise.core.stage import Selector
from slatewise.kernels import greedy


@final
class Solve(Selector, frozen=True, kw_only=True):
    """Choose the page that is worth most under the rules.

    Attributes:
        by: The number column that is maximised.
        method: How: `greedy`.
        search_limit: Rows that the search looks at, after its first descent, for a page that breaks the rules less,
            >= 0. A look takes some tens of nanoseconds; 0 keeps the first descent.

    Reads:
        the column in `by`: (n,) float64, any unit; larger is better.

    Examples:
        >>> items = Candidates.of(author=["a", "a", "b"], utility=[3.0, 2.0, 1.0])
        >>> Solve().select(items, 3).tolist()
        [0, 1, 2]
        >>> from slatewise import Rule
        >>> apart = Rule(name="authors apart", per="author", every=2, at_most=1)
        >>> Solve().select(items, 3, constraints=Constraints([apart], items, 3)).tolist()
        [0, 2, 1]
    """

    section: ClassVar[str] = "compose.solve"

    method: Literal["greedy"] = "greedy"
    search_limit: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 30_000

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What is maximised."""
        return {self.by: "number"}

    def select(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> Codes:
        """Return the rows of the page; ties go to the smaller (item_id, line)."""
        if constraints is None:
            constraints = Constraints((), candidates, slots)
        rows, _ = greedy.fill(
            candidates.descending(candidates.number(self.by)),
            *constraints.arrays,
            self.predecessors(candidates),
            int(slots),
            self.search_limit,
        )
        return rows
