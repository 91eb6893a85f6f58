"""Govern what lines do to each other: boosts with budgets, what a slot is charged, and alarms.

    utility_i = utility_i + sum over plans with budget left of boost_plan(line(i))

Boosts are added, never multiplied, so that each plan's part can be told apart, in any order of plans. A plan pays, in
the policy's currency, for what it took: where another line would have had the slot without it,

    paid = (score of that line's head - its boost) - (score of the winner - its boost), if above 0,

and is refused when its budget is empty. Boosts depend on line alone, so a line's own order survives.

What lines are charged for a slot is said by `accounting`. Under `displacement` it is what the row displaces, and a line
gains nothing from entering less than its rate allows: the best score is value / rate, whatever the others do. Under
`own` it is the score itself, lines shade, and all scores fall. The deflation index watches that:

    index_t = (mean top score_t / mean top worth_t) / (the same in the reference windows)

Cost: O(n); O(entries) to move on.

References:
    Vickrey (1961), "Counterspeculation, auctions, and competitive sealed tenders", Journal of Finance 16(1).
    Clarke (1971), "Multipart pricing of public goods", Public Choice 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Annotated, Any, ClassVar, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.blend.weight import Weight
from slatewise.core.allowance import Allowance
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers, Positive
from slatewise.core.ledger import Accounting, Entry, Head, Ledger
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.stage import Controller
from slatewise.methods.oscillation import noise, swing

Share = Annotated[float, Meta(ge=0, le=1)]

MOVING = ("blend.pace", "blend.shade")
"""Stages that leave alone what they do not name."""

DAY_S = 86_400
FEWEST = 8
"""Windows before which nothing is said about swings."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wants shown more, and what that may cost.

    Attributes:
        lines: Line to what is added to its utility, >= 0.
        budget: Utility that it may take from others, > 0.
    """

    lines: dict[str, Annotated[float, Meta(ge=0, le=1e9)]]
    budget: Positive


class Alarms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to raise an alarm.

    Attributes:
        reference: Windows, from the first one, that the deflation index is relative to; they are frozen then.
        deflation: The index may fall by this much.
        threshold: Top scores below it are low; none if not given.
        low: Share of pages whose top score may be low.
        windows: Windows in which shares are watched.
        swing: Shares may swing this many times as much as they would by chance; 0 is off.
    """

    reference: Annotated[int, Meta(ge=1, le=10_000)] = 7
    deflation: Share = 0.1
    threshold: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None
    low: Share = 0.1
    windows: Annotated[int, Meta(ge=FEWEST, le=10_000)] = 64
    swing: Annotated[float, Meta(ge=0, le=1000)] = 2.0


class Governed(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered.

    Attributes:
        windows: Windows so far that had pages.
        spent: Plan to what it has paid.
        reference: Sums over the reference windows of mean top scores and of mean top worths.
        index: The deflation index of the last window; 1 while there is no reference.
        low: Share of its pages whose top score was low.
        shares: Line to its share of slots, for each of the last windows.
        slots: Slots in each of these windows.
        swing: How much shares swing.
        noise: How much they would by chance.
        allowance: What may be spent on finding out.
        day: Day of the allowance, counted from time 0.
        alarms: What is wrong now: `deflation`, `low scores`, `oscillation`, and `budget` with the name of a plan.
    """

    windows: int = 0
    spent: dict[str, float] = {}
    reference: tuple[float, float] = (0.0, 0.0)
    index: float = 1.0
    low: float = 0.0
    shares: tuple[dict[str, float], ...] = ()
    slots: tuple[int, ...] = ()
    swing: float = 0.0
    noise: float = 0.0
    allowance: Allowance = Allowance(share=0.0)
    day: int = 0
    alarms: tuple[str, ...] = ()


@final
class Govern(Controller, frozen=True, kw_only=True):
    """Boost lines within budgets, say what slots are charged, and watch scores and shares.

    Attributes:
        accounting: What a line is charged for a slot: `displacement`, what its row there takes from the others; or
            `own`, what it competed with.
        anchor: A line that is the unit of account: no weight, price, shade or boost on it; none if not given.
        plans: Name to plan.
        alarms: When to raise an alarm.
        exploration: Share of the value served in a day that may be spent on finding out; 0 is off.

    Reads:
        utility: (n,) float64, in the policy's currency.
    Writes:
        boost: (n,) float64, what is added, in the same unit.
        utility: (n,) float64, with it.

    Examples:
        >>> items = Candidates.of(line=["ads", "posts"], utility=[1.0, 1.5])
        >>> govern = Govern(plans={"launch": Plan(lines={"ads": 1.0}, budget=10.0)})
        >>> govern.annotate(items, Request(candidates=items))["utility"].tolist()
        [2.0, 1.5]
        >>> from slatewise.core.control import Control
        >>> empty = Control({"blend.govern": Governed(spent={"launch": 10.0})})
        >>> govern.annotate(items, Request(candidates=items, control=empty))["utility"].tolist()
        [1.0, 1.5]
    """

    section: ClassVar[str] = "blend.govern"
    memory: ClassVar[type[msgspec.Struct]] = Governed

    accounting: Accounting = "displacement"
    anchor: str | None = None
    plans: dict[str, Plan] = {}
    alarms: Alarms = Alarms()
    exploration: Share = 0.0

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What is boosted."""
        return {"utility": "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """The boost, and the utility with it."""
        return {"boost": "number", "utility": "number"}

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have, an anchor that is moved, and two ways of accounting."""
        for name, plan in self.plans.items():
            for line in plan.lines:
                policy.check_line(self, ("plans", name, "lines", line), line)
        for stage in policy.stages:
            other = getattr(stage, "accounting", self.accounting)
            if other != self.accounting:
                raise policy.error(
                    self, ("accounting",), f"must be that of {stage.section}, {other!r}", self.accounting
                )
        if self.anchor is not None:
            policy.check_line(self, ("anchor",), self.anchor)
            for where in self._moved(policy, self.anchor):
                hint = f"take {self.anchor!r} out of {where}"
                raise policy.error(self, ("anchor",), "must be left alone by all stages", self.anchor, hint)

    def init(self) -> Governed:
        """Return what is remembered before the first page."""
        return Governed(allowance=Allowance(share=self.exploration))

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return the boost of each row, and its utility with it."""
        boost = sum(self.parts(candidates, request).values(), np.zeros(len(candidates)))
        return {"boost": boost, "utility": candidates.number("utility") + boost}

    def parts(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return what each plan with budget left adds."""
        lines, spent = candidates.key("line"), self.recall(request).spent
        return {
            name: np.array([plan.lines.get(line, 0.0) for line in lines.names])[lines.codes]
            for name, plan in self.plans.items()
            if spent.get(name, 0.0) < plan.budget
        }

    def advance(self, memory: Governed, ledgers: Sequence[Ledger]) -> Governed:
        """Return what is remembered after the pages of a window; without pages, nothing changes."""
        pages = [ledger for ledger in ledgers if ledger]
        if not pages:
            return memory
        entries = [entry for page in pages for entry in page]
        spent = {name: memory.spent.get(name, 0.0) for name in self.plans}
        for entry in entries:
            for name in entry.without.keys() & self.plans.keys():
                spent[name] += _taken(entry, name, self.plans[name]) * entry.pages
        moved = msgspec.structs.replace(
            memory,
            windows=memory.windows + 1,
            spent=spent,
            **self._deflated(memory, pages),
            **self._swung(memory, entries),
            **_explored(memory, entries, self.exploration),
        )
        return msgspec.structs.replace(moved, alarms=tuple(self._raised(moved)))

    def _deflated(self, memory: Governed, pages: Sequence[Ledger]) -> dict[str, Any]:
        top = [max(head.score for head in _heads(page[0]).values()) for page in pages]
        worth = [max(head.worth for head in _heads(page[0]).values()) for page in pages]
        score, unshaded = fsum(top) / len(pages), fsum(worth) / len(pages)
        low = 0.0 if self.alarms.threshold is None else sum(one < self.alarms.threshold for one in top) / len(pages)
        reference = memory.reference
        if memory.windows < self.alarms.reference:
            reference = (reference[0] + score, reference[1] + unshaded)
        known = memory.windows >= self.alarms.reference and min(*reference, unshaded) > 0
        index = (score / unshaded) / (reference[0] / reference[1]) if known else 1.0
        return {"reference": reference, "index": index, "low": low}

    def _swung(self, memory: Governed, entries: Sequence[Entry]) -> dict[str, Any]:
        lines = [entry.line for entry in entries]
        shares = (*memory.shares, {line: lines.count(line) / len(lines) for line in sorted({*lines})})
        shares, slots = shares[-self.alarms.windows :], (*memory.slots, len(lines))[-self.alarms.windows :]
        names = sorted({line for window in shares for line in window})
        table = np.array([[window.get(name, 0.0) for name in names] for window in shares])
        known = len(shares) >= FEWEST and len(names) > 1
        targets = table.mean(axis=0)
        return {
            "shares": shares,
            "slots": slots,
            "swing": swing(table, targets) if known else 0.0,
            "noise": noise(targets, fsum(slots) / len(slots)) if known else 0.0,
        }

    def _raised(self, memory: Governed) -> Iterator[str]:
        """Yield what is wrong."""
        if memory.index < 1 - self.alarms.deflation:
            yield "deflation"
        if memory.low > self.alarms.low:
            yield "low scores"
        if 0 < self.alarms.swing * memory.noise < memory.swing:
            yield "oscillation"
        for name, plan in self.plans.items():
            if memory.spent[name] >= plan.budget:
                yield f"budget {name}"

    def _moved(self, policy: Policy, anchor: str) -> Iterator[str]:
        """Yield the stages, or plans, that move the anchor."""
        for name, plan in self.plans.items():
            if plan.lines.get(anchor, 0.0):
                yield f"plan {name!r}"
        for stage in policy.stages:
            tables: list[Mapping[str, Any]] = [getattr(stage, "lines", {})]
            tables += [getattr(one, "lines", {}) for one in getattr(stage, "segments", ())]
            fitted = anchor in getattr(stage, "learned", {}) or anchor in getattr(stage, "learn", {})
            if isinstance(stage, Weight) and stage.anchor != anchor:
                if fitted or stage.explore is not None or any(one.get(anchor, 1.0) != 1.0 for one in tables):
                    yield stage.section
            elif stage.section in MOVING and (fitted or any(anchor in one for one in tables)):
                yield stage.section


def _taken(entry: Entry, name: str, plan: Plan) -> float:
    """Return what a plan took from the line that would have had the slot without it."""
    other = entry.without[name]
    if other not in entry.heads:
        return 0.0
    bare = entry.heads[other].score - plan.lines.get(other, 0.0)
    return max(bare - (entry.score - plan.lines.get(entry.line, 0.0)), 0.0)


def _heads(entry: Entry) -> Mapping[str, Head]:
    """Return the heads of a slot; the winner alone where the ledger has none."""
    if entry.line in entry.heads:
        return entry.heads
    return {**entry.heads, entry.line: Head(entry.value, entry.value + entry.terms.get("weight", 0.0), entry.score)}


def _explored(memory: Governed, entries: Sequence[Entry], share: float) -> dict[str, Any]:
    """Charge what was drawn to the account of its day: what the winner was worth less than the best head.

    Terms `explore.` name purposes; without one, it was scores that were drawn.
    """
    day = int(max(entry.time for entry in entries) // DAY_S)
    if day == memory.day - 1:
        day = memory.day  # pages that come in late
    account = memory.allowance if day == memory.day else Allowance(share=share)
    account = msgspec.structs.replace(account, share=share)
    for entry in entries:
        heads = _heads(entry)
        own, best = heads[entry.line].worth, max(head.worth for head in heads.values())
        account = account.earn(own * entry.pages)
        named = [term.removeprefix("explore.") for term in entry.terms if term.startswith("explore.")]
        purposes = named or ["scores"] * (entry.propensity < 1)
        for purpose in purposes:
            account = account.pay(purpose, (best - own) * entry.pages / len(purposes))
    return {"allowance": account, "day": day}
