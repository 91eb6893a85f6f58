"""Stage: one step of a pipeline.

An **Annotator** adds columns and a **Selector** picks rows; no stage does both. Any stage may declare rules, which bind
every selector from there on. A **Controller** is an annotator with feedback: what it remembers comes with the request,
and moves on between pages, when the stage is handed their ledgers. A stage is its own configuration: a frozen struct
whose fields are the section of the policy, and which says what it reads and writes, so that a feed can check the chain
before the first request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind, Numbers
from slatewise.core.constraints import Constraints
from slatewise.core.ledger import Ledger
from slatewise.core.problem import Solution
from slatewise.core.request import Request
from slatewise.core.rules import Rule
from slatewise.core.trace import Judged

if TYPE_CHECKING:
    from slatewise.core.policy import Policy


class Chance(NamedTuple):
    """What a stage drew for a page.

    Attributes:
        line: The line that it was drawn for.
        way: What was drawn: 1 for up, -1 for down, 0 for neither.
        propensity: How likely that was, in (0, 1].
    """

    line: str
    way: int
    propensity: float


class _StageMeta(msgspec.StructMeta, type(ABC)):
    """Lets a struct have abstract methods."""


class Stage(msgspec.Struct, ABC, metaclass=_StageMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step with a name, its columns and its rules.

    Attributes:
        section: Its place in a policy, `layer.verb`.
    """

    section: ClassVar[str]

    @property
    def reads(self) -> Mapping[str, Kind]:
        """Columns it needs and their kinds; a kind with `?` says that it knows what to do with missing values."""
        return {}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """Columns it adds; one that it also reads, it refines."""
        return {}

    @property
    def hard_rules(self) -> tuple[Rule, ...]:
        """Hard rules that bind this and every later selector."""
        return ()

    def check(self, policy: Policy) -> None:
        """Refuse settings that only the whole policy shows to be wrong, such as a line it does not have.

        Raises:
            PolicyError: Names the field, the rule and the value.
        """

    def chances(self, lines: Sequence[str], request: Request) -> Sequence[Chance]:
        """Return what it draws for a page, of the policy's lines; none if it draws nothing."""
        return ()


class Annotator(Stage, frozen=True):
    """A step that adds columns and leaves the rows alone."""

    @abstractmethod
    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return the columns in `writes`, each (n,) and finite."""

    def parts(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return parts that add up to the first column written, by name; none if it is not a sum."""
        return {}


class Controller(Annotator, frozen=True):
    """An annotator with feedback.

    Attributes:
        memory: The type of what it remembers: a frozen struct that JSON can hold, numbers finite.
    """

    memory: ClassVar[type[msgspec.Struct]]

    @abstractmethod
    def init(self) -> Any:
        """Return what it remembers before the first page."""

    @abstractmethod
    def advance(self, memory: Any, ledgers: Sequence[Ledger]) -> Any:
        """Return what it remembers after the pages of a control window, in the order of their requests."""

    def faded(self, memory: Any, share: float) -> Any:
        """Return what it acts on while nothing new is heard: from all of a memory (0) back to its start (1).

        A memory that has no halfway is kept until then.
        """
        return memory if share < 1 else self.init()

    def recall(self, request: Request) -> Any:
        """Return what the request says that it remembers; its start if it says nothing."""
        found = None if request.control is None else request.control.memories.get(self.section)
        return self.init() if found is None else found


class Selector(Stage, frozen=True):
    """A step that picks and orders rows.

    Attributes:
        by: The number column that it maximises.
    """

    by: str = "utility"

    @abstractmethod
    def select(
        self,
        candidates: Candidates,
        slots: int,
        *,
        constraints: Constraints | None = None,
        request: Request | None = None,
    ) -> Solution:
        """Return at most `slots` distinct rows in serving order, of distinct items, under the constraints."""

    @property
    def remembers(self) -> Mapping[str, Kind]:
        """Columns of rows shown that a later page of the session looks at, besides those that rules look at."""
        return {}

    @property
    def reach(self) -> int:
        """How many rows shown before a page looks at, besides those that rules look at."""
        return 0

    def judged(
        self, candidates: Candidates, solution: Solution, constraints: Constraints, request: Request
    ) -> Judged | None:
        """Return what rows were worth in each slot; None if that is the column in `by`, whatever stands above."""
        return None

    def gains(
        self, candidates: Candidates, rows: Codes, constraints: Constraints, *, request: Request | None = None
    ) -> Numbers:
        """Return (k,) float64: what each row of a page adds to its value; without a request, for a user not known."""
        return candidates.number(self.by)[rows]

    def prices(self, candidates: Candidates, solution: Solution, constraints: Constraints) -> Numbers | None:
        """Return (R,) float64: what one unit more of each rule's bounds would be worth; None if no method tells."""
        return solution.prices

    def keep(self, slots: int) -> int | None:
        """Return how many rows it passes on to a selector that follows; None if it passes all on without picking."""
        return slots

    def warm(self) -> None:
        """Compile what `select` may need and a request of made-up candidates may not reach."""

    def predecessors(self, candidates: Candidates) -> Codes:
        """Return, for each row, the row that has to be placed before it; -1 for none."""
        return np.full(len(candidates), -1, dtype=np.int32)
