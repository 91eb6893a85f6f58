"""Feed: a policy at work.

    request -> admit -> annotate ... -> select ... -> page
                        (columns)       (rows)

`compose` is a pure function of policy and request: same inputs, same bytes out, whatever the process, the thread or the
order of the candidates. The trace is read off the columns and the rules; stages know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from slatewise.accounts import accounted
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Embedding, KeyLists, Keys, Kind
from slatewise.core.constraints import UNIT, Constraints, Rulebook
from slatewise.core.control import Control
from slatewise.core.ledger import Ledger
from slatewise.core.narrow import ALL, Within, allowed, unseen
from slatewise.core.page import Page, PlacedItem, RuleCost
from slatewise.core.policy import Policy, StageTable
from slatewise.core.problem import Solution
from slatewise.core.request import Request
from slatewise.core.rules import Rule
from slatewise.core.slate import Slate
from slatewise.core.stage import Annotator, Selector
from slatewise.core.state import State
from slatewise.core.trace import Trace
from slatewise.kernels import audit
from slatewise.stages import STAGES
from slatewise.status import measured
from slatewise.why import Annotated, Chosen, explained


class _Step(NamedTuple):
    """A selector, the annotators that go before it, and the rules that bind it."""

    annotators: tuple[Annotator, ...]
    selector: Selector
    book: Rulebook


@dataclass(slots=True)
class _Run:
    """One request on its way through the stages.

    Attributes:
        candidates: The rows still in play, with every column written so far.
        rows: Where these rows stand in the request's candidates.
        history: What each annotator found and what it made of it; empty unless a trace was asked for.
    """

    candidates: Candidates
    rows: Codes
    history: list[Annotated]


@final
class Feed:
    """Composes pages by a policy.

    Attributes:
        policy: The policy.

    Examples:
        >>> from slatewise import Candidates, Policy, Request, Rule, Constrain, Solve
        >>> apart = Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1)
        >>> feed = Feed(Policy.of(
        ...     Constrain(rules=(apart,)), Solve(),
        ...     lines=["posts", "ads"], columns={"utility": "number"}, slots=3,
        ... ))
        >>> items = Candidates.of(
        ...     item_id=["a", "b", "c"], line=["ads", "ads", "posts"], utility=[3.0, 2.0, 1.0]
        ... )
        >>> feed.compose(Request(candidates=items)).item_ids
        ['a', 'c', 'b']
    """

    __slots__ = ("_plain_names", "_plan", "_reach", "_remembered", "_terminal", "_vector_names", "_whole", "policy")

    def __init__(self, policy: Policy, *, of: Policy | None = None) -> None:
        """Take a checked policy; one that is a rung `of` another signs pages, and remembers, as that one does."""
        self.policy = policy
        self._plan = tuple(_plan(policy))
        self._terminal = policy.selectors[-1]
        self._whole = whole = of or policy
        kinds: dict[str, Kind] = {**policy.head.columns, "item_id": "key", "line": "key"}
        rules = [rule for rule in whole.rules if rule.reach]
        uses = [use for rule in rules for use in rule.uses] + list(whole.selectors[-1].remembers.items())
        self._reach = max([rule.reach for rule in rules] + [whole.selectors[-1].reach])
        remembered: dict[str, Kind] = {name: kinds.get(name, kind) for name, kind in uses}
        self._remembered = remembered
        self._vector_names = tuple(name for name, kind in remembered.items() if kind.startswith("embedding"))
        self._plain_names = tuple(name for name in remembered if name not in self._vector_names)

    @classmethod
    def load(cls, path: str | Path, *, stages: StageTable = STAGES) -> Feed:
        """Read a policy file and check it.

        Args:
            path: A .yaml, .yml, .toml or .json file.
            stages: Section to stage class; pass `STAGES | {...}` to add stages of your own.

        Raises:
            PolicyError: With file and line.
        """
        return cls(Policy.load(path, stages))

    @property
    def remembers(self) -> frozenset[str]:
        """Columns of the rows shown last that go into the state of a session."""
        return frozenset(self._remembered if self._reach else ())

    def compose(self, request: Request, within: Within = ALL, *, trace: bool = False) -> Page:
        """Return the page for a request.

        Raises:
            RequestError: The request does not fit the policy; what can happen on an ordinary day (rules that
                cannot all hold, too few candidates) is a status of the page instead.
        """
        chosen = self._chosen(self.policy.admit(request), self._plan, trace, within)
        return self._page(chosen, trace)

    def costs(self, request: Request) -> tuple[RuleCost, ...]:
        """Return what each rule costs the page: one page is composed without each rule that binds.

        Raises:
            RequestError: As `compose`.
        """
        request = self.policy.admit(request)
        chosen = self._chosen(request, self._plan)
        solution, arrays = chosen.solution, chosen.constraints.arrays
        binds, broken = audit.binding(solution.rows, arrays), audit.broken(solution.rows, arrays)
        prices = self._terminal.prices(chosen.candidates, solution, chosen.constraints)
        costs: list[RuleCost] = []
        for place, rule in enumerate(chosen.constraints.book.rules):
            lost = 0.0
            if binds[place]:
                plan = [step._replace(book=step.book.without(rule.name)) for step in self._plan]
                lost = self._chosen(request, plan).solution.value - solution.value
            price = None if prices is None else float(prices[place])
            costs.append(RuleCost(rule.name, bool(binds[place]), lost, price, float(broken[place]) / UNIT))
        return tuple(costs)

    def init(self) -> Control:
        """Return what the policy's control loops remember before the first page."""
        return Control({stage.section: stage.init() for stage in self.policy.controllers})

    def advance(self, control: Control, ledgers: Sequence[Ledger]) -> Control:
        """Return what they remember after the pages of a control window, in the order of their requests."""
        memories = {**self.init().memories, **control.memories}
        for stage in self.policy.controllers:
            memories[stage.section] = stage.advance(memories[stage.section], ledgers)
        return Control(memories)

    def restore(self, snapshot: str) -> Control:
        """Read `Control.snapshot` again.

        Raises:
            RequestError: It is no snapshot of this policy's loops.
        """
        return Control.restore(snapshot, self.policy.memories)

    def account(self, request: Request, within: Within = ALL) -> Ledger:
        """Return the ledger of the page that `compose` gives, which is composed again for it.

        That takes more pages still, to see what rows displaced: it is meant for the time after a page was served.

        Raises:
            RequestError: As `compose`.
        """
        return accounted(self._chosen(self.policy.admit(request), self._plan, True, within))

    def pool(self, request: Request) -> tuple[Candidates, Codes]:
        """Return what the last selector chooses from, with every column, and where it stands in the request's rows.

        Raises:
            RequestError: As `compose`.
        """
        run, _ = self._prepared(self.policy.admit(request), self._plan)
        return run.candidates, run.rows

    def _chosen(self, request: Request, plan: Sequence[_Step], trace: bool = False, within: Within = ALL) -> Chosen:
        """Run the stages on a request that was admitted."""
        run, constraints = self._prepared(request, plan, trace, within)
        run.candidates.finite(self._terminal.by)
        solution = self._terminal.select(run.candidates, constraints.slots, constraints=constraints, request=request)
        return Chosen(request, run.candidates, run.rows, run.history, self._terminal, constraints, solution)

    def _prepared(
        self, request: Request, plan: Sequence[_Step], trace: bool = False, within: Within = ALL
    ) -> tuple[_Run, Constraints]:
        """Run the stages before the last selector."""
        slots = request.slots or 0
        run, ceilings = _started(request, within), within.ceilings
        past = request.state.past(self._remembered) if request.state is not None and self._reach else None
        constraints = None
        for annotators, selector, book in plan:
            for stage in annotators:
                before = run.candidates
                run.candidates = before.with_columns(stage.annotate(before, request))
                if trace:
                    run.history.append(Annotated(stage, run.rows, before, run.candidates))
            if ceilings:
                _keep(run, allowed(run.candidates, ceilings, selector.by))
                ceilings = ()
            if selector is self._terminal:
                constraints = Constraints(book, run.candidates, slots, past=past)
                break
            keep = selector.keep(slots)
            if keep is not None:
                bound = Constraints(book, run.candidates, slots, past=past)
                picked = selector.select(run.candidates, keep, constraints=bound, request=request)
                _narrow(run, picked.rows)
        assert constraints is not None  # a policy ends with a selector
        return run, constraints

    def warm(self) -> None:
        """Compile every kernel that the policy uses, by composing a page of made-up candidates."""
        made_up: dict[str, Any] = {
            "number": [0.5, 0.25],
            "key": ["a", "b"],
            "keys": [["a", "b"], ["b"]],
            "flag": [True, False],
            "embedding": [[1.0], [0.5]],
        }
        head = self.policy.head
        columns = {name: made_up[kind.rstrip("?")] for name, kind in head.columns.items()}
        lines = [head.lines[0], head.lines[-1]]
        candidates = Candidates.of({"item_id": [1, 2], "line": lines, **columns}, kinds=head.columns)
        self._terminal.warm()
        request = Request(candidates=candidates)
        self.compose(request, trace=True)
        if self.policy.controllers:
            self.account(request)

    def compose_many(self, requests: Iterable[Request], *, threads: int = 1, trace: bool = False) -> list[Page]:
        """Return the pages of many requests, in their order.

        Kernels let threads run side by side. That pays where they take most of a page's time: thousands of candidates,
        large pages, many rules. On small pages, handing the interpreter to and fro costs more than it gives; more
        processes are the way then.
        """
        if threads <= 1:
            return [self.compose(request, trace=trace) for request in requests]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(partial(self.compose, trace=trace), requests))

    def _page(self, chosen: Chosen, trace: bool) -> Page:
        request, candidates, solution = chosen.request, chosen.candidates, chosen.solution
        picked = solution.rows
        codes, names = candidates.key("line")
        items = [candidates.item_id[row] for row in picked.tolist()]
        lines = [names[code] for code in codes.take(picked).tolist()]
        utility = candidates.number(self._terminal.by).take(picked).tolist()
        return Page(
            request_id=request.id,
            slate=Slate(chosen.rows.take(picked)),
            items=tuple(map(PlacedItem, range(1, len(items) + 1), items, lines, utility)),
            value=solution.value,
            status=measured(candidates, chosen.constraints, solution, request.slots or 0),
            policy=self._whole.hash,
            state=self._after(request.state or State(), items, candidates, solution),
            trace=Trace(self._whole.hash, explained(chosen)) if trace else None,
        )

    def _after(self, state: State, items: list[Any], candidates: Candidates, solution: Solution) -> State:
        """Return what the session has seen after a page of these items."""
        if not self._reach:
            return state.after(items, memory=solution.memory)
        last = solution.rows[-self._reach :]
        columns = [_plain(candidates, name, last) for name in self._plain_names]
        rows = [dict(zip(self._plain_names, row, strict=True)) for row in zip(*columns, strict=True)]
        vectors = {name: _vectors(candidates.embedding(name), last) for name in self._vector_names}
        return state.after(items, rows, reach=self._reach, vectors=vectors, memory=solution.memory)


def _vectors(column: Embedding, rows: Codes) -> NDArray[np.float32]:
    """Return the vectors of some rows, zeros for none."""
    table, places = column.table.matrix, column.rows[rows]
    vectors = np.zeros((len(rows), table.shape[1]), np.float32)
    vectors[places >= 0] = table[places[places >= 0]]
    return vectors


def _plain(candidates: Candidates, name: str, rows: Codes) -> list[Any]:
    """Return a column of some rows as plain values, None where one is missing."""
    match candidates.columns.get(name):
        case Keys(codes, names):
            return [None if code < 0 else names[code] for code in codes[rows].tolist()]
        case KeyLists() as lists:
            return [lists.row(row) for row in rows.tolist()]
        case np.ndarray() as values:
            return [None if value != value else value for value in values[rows].tolist()]
        case _:
            return [candidates.item_id[row] for row in rows.tolist()]


def _plan(policy: Policy) -> Iterator[_Step]:
    """Yield the steps of a policy; rules bind every selector from the stage that declares them on."""
    rules: tuple[Rule, ...] = ()
    annotators: tuple[Annotator, ...] = ()
    for stage in policy.stages:
        rules += stage.hard_rules
        if isinstance(stage, Annotator):
            annotators += (stage,)
        elif isinstance(stage, Selector):
            yield _Step(annotators, stage, Rulebook(rules))
            annotators = ()


def _narrow(run: _Run, picked: Codes) -> None:
    """Go on with the rows picked, and with every other nomination of their items."""
    if not run.candidates.repeats:
        run.candidates, run.rows = run.candidates.take(picked), run.rows[picked]
        return
    items = run.candidates.items
    kept = np.zeros(items.max(initial=0) + 1, dtype=np.bool_)
    kept[items[picked]] = True
    others = kept[items]
    others[picked] = False
    rows = np.concatenate([picked, np.flatnonzero(others)])
    run.candidates, run.rows = run.candidates.take(rows), run.rows[rows]


def _started(request: Request, within: Within) -> _Run:
    """Start a run with the rows that may be chosen; by default, those that the session was not shown before."""
    candidates = request.candidates
    rows = unseen(request) if within.rows is None else within.rows
    return _Run(candidates if len(rows) == len(candidates) else candidates.take(rows), rows, [])


def _keep(run: _Run, rows: Codes | None) -> None:
    """Go on with some rows; None is all of them."""
    if rows is not None:
        run.candidates, run.rows = run.candidates.take(rows), run.rows[rows]
