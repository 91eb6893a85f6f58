"""Hold the lines' budgets and shares by prices that move with what pages served.

    utility_i = utility_i - price_line(i),  and rate_line(i) for `blend.shade`

`price` is signed: paid for each exposure while a line's cap binds, a subsidy while its floor does. `rate` is what a
unit of score spent counts for a line with a budget. Both are constant over the rows of a line, so its own order
survives.

They stay as they are on the request path; `advance` moves them once per control window, from the ledgers of its pages:

- **shares** by one coordinator that solves the dual of the last slots (`methods.coordinate`), or by a loop per line
  (`methods.loops`);
- **budgets** by multiplicative updates (`methods.control`), against what the traffic of the span that passed should
  have spent. A line that has spent its budget competes at the highest rate until the next period. A clock that went
  back, or forward by a period, moves no rate; pages of an earlier period that come in late count for none.

Cost: O(n) per page; per window that of `kernels.shares` for the slots looked at.

References:
    Balseiro, Lu & Mirrokni (2023), "The Best of Many Worlds: Dual Mirror Descent for Online Allocation Problems",
    Operations Research 71(1); (2021), "Regularized Online Allocation Problems: Fairness and Beyond", ICML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, log, sqrt
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.blend.table import by_name
from slatewise.core.candidates import Candidates
from slatewise.core.columns import LARGEST, Kind, Numbers, Positive
from slatewise.core.ledger import Entry, Ledger
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.stage import Controller
from slatewise.methods.control import SPENDING, Gain, Law, Loop, damping
from slatewise.methods.coordinate import Prices, Pull, Wanted, coordinated, expected, filled, worths
from slatewise.methods.loops import Loops, steered
from slatewise.methods.traffic import AVITO, EVEN, weight

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Amount: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST)]
Hours: TypeAlias = Annotated[tuple[Annotated[float, Meta(gt=0, le=LARGEST)], ...], Meta(min_length=24, max_length=24)]

HIGHEST_RATE = 1e4
"""Rate at which a line spends next to nothing."""
TYPICAL = 2_000.0
"""Slots over which the typical worth of a slot is taken, and pages over which their traffic is."""
LONGEST_GAP = 10.0
"""Most that a page is held to be due for time that passed without any, in units of what one typically is."""
FARTHEST_OFF = 1e12
"""Most that a page counts as spent, in units of what one is typically due."""


@final
class PacedLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a line is to get, and what it may spend.

    Attributes:
        floor: Share of all slots that it is to get at least. 0 asks for nothing.
        cap: Share of all slots that it may get at most. 1 allows all.
        loss: What each slot missing from the floor costs, in currency: no subsidy is larger. None for any.
        budget: What it may be charged per period, in currency. 0 sets no budget.
    """

    floor: Share = 0.0
    cap: Share = 1.0
    loss: Amount | None = None
    budget: Amount = 0.0


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What pacing remembers; by line, in the order of `lines`.

    Attributes:
        lines: Lines of the policy's section.
        time: Of the last page, in seconds; None before the first.
        price: Price of one exposure of each line.
        settled: The same before the trend.
        short: Slots by which lines are short of their floors, and of their caps.
        offset: Shares that lines were expected to have less those that they had; that of all others last.
        recent: Worth of the last slots to each line, and to the best other line; None where it has none.
        typical: What a slot is typically worth; 0 before the first.
        slots: How many slots that is taken over.
        shares: Loops of the lines' shares.
        budgets: Loops of the lines' budgets; the dual is the logarithm of the rate.
        answers: How spending answers them.
        spent: What lines spent this period.
        traffic: Traffic of a page, as a part of a period's; 0 before the second window.
        pages: How many pages that is taken over.
    """

    lines: tuple[str, ...]
    time: float | None = None
    price: tuple[float, ...]
    settled: tuple[float, ...]
    short: tuple[tuple[float, ...], tuple[float, ...]]
    offset: tuple[float, ...]
    recent: tuple[tuple[float | None, ...], ...] = ()
    typical: float = 0.0
    slots: float = 0.0
    shares: Loops
    budgets: tuple[Loop, ...]
    answers: tuple[Gain, ...]
    spent: tuple[float, ...]
    traffic: float = 0.0
    pages: float = 0.0

    def of(self, start: Memory) -> Memory:
        """Return the memory for other lines: those that stay keep theirs, and the others are as at the start."""
        if self.lines == start.lines:
            return self
        places = [self.lines.index(name) if name in self.lines else -1 for name in start.lines]

        def kept(values: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
            own = [one if place < 0 else values[place] for place, one in zip(places, new, strict=False)]
            return (*own, *new[len(places) :])

        own = ("price", "settled", "offset", "budgets", "answers", "spent")
        return msgspec.structs.replace(
            start,
            short=(kept(self.short[0], start.short[0]), kept(self.short[1], start.short[1])),
            shares=Loops(kept(self.shares.loops, start.shares.loops), kept(self.shares.gains, start.shares.gains)),
            **{name: kept(getattr(self, name), getattr(start, name)) for name in own},
            **{name: getattr(self, name) for name in ("time", "typical", "slots", "traffic", "pages")},
        )


@final
class Pace(Controller, frozen=True, kw_only=True):
    """Price exposures and spending so that floors, caps and budgets hold over many pages.

    Attributes:
        lines: Line to what it is to get; a line that is not named has price 0 and rate 1.
        method: Who sets prices of exposures: `coordinator` for all lines at once, or a loop per line (`loops`).
        anchor: Line of which the price stays 0, where floors add up to 1; empty for the largest.
        slots: How many of the last slots the coordinator looks at.
        damping: Part of the way to new prices that the coordinator goes. 0 holds prices still.
        trend: Part of the last move that it adds, for prices that are a window late.
        catch_up: Slots over which it makes good what is missing from a share. 0 lets bygones be bygones.
        law: How `loops` move; steps are in units of what a slot is typically worth.
        lag: Windows after which ledgers come in, beyond the next; for `loops`.
        spending: How rates move, page by page.
        period_s: Seconds of a budget's period.
        hours: Traffic of the hours of a day, which spending follows: 24 weights, or `even`, or `avito`.

    Reads:
        utility: (n,) float64, in the policy's currency.
    Writes:
        price: (n,) float64, in currency per exposure; what is taken off the utility, below 0 for a subsidy.
        rate: (n,) float64, > 0, price of a unit of score spent; 1 for lines without a budget.
        utility: (n,) float64, less the price.

    Examples:
        >>> from slatewise.core.control import Control
        >>> items = Candidates.of(line=["ads", "posts"], utility=[0.5, 0.3])
        >>> pace = Pace(lines={"ads": PacedLine(cap=0.25)}, slots=100)
        >>> pace.annotate(items, Request(candidates=items))["utility"].tolist()
        [0.5, 0.3]
        >>> from slatewise.core.ledger import Head
        >>> heads = {"ads": Head(0.5, 0.5, 0.5), "posts": Head(0.3, 0.3, 0.3)}
        >>> page = (Entry(request="", time=0.0, slot=1, line="ads", item_id="a", value=0.5, score=0.5, heads=heads),)
        >>> moved = pace.advance(pace.init(), [page])
        >>> later = Request(candidates=items, control=Control({"blend.pace": moved}))
        >>> pace.annotate(items, later)["price"].round(3).tolist()
        [0.25, 0.0]
    """

    section: ClassVar[str] = "blend.pace"
    memory: ClassVar[type[msgspec.Struct]] = Memory

    lines: dict[str, PacedLine]
    method: Literal["coordinator", "loops"] = "coordinator"
    anchor: str = ""
    slots: Annotated[int, Meta(ge=1)] = 500
    damping: Share = 1.0
    trend: Share = 0.25
    catch_up: Amount = 30_000.0
    law: Law = Law()
    lag: Annotated[int, Meta(ge=0)] = 0
    spending: Law = SPENDING
    period_s: Positive = 86_400.0
    hours: Literal["even", "avito"] | Hours = "even"

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What rows are worth before prices."""
        return {"utility": "number"}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """Prices, and the utility less them."""
        return {"price": "number", "rate": "number", "utility": "number"}

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have, shares that cannot be, and budgets that nobody minds."""
        for name, line in self.lines.items():
            policy.check_line(self, ("lines", name), name)
            if line.floor > line.cap:
                raise policy.error(self, ("lines", name, "floor"), f"must be <= cap = {line.cap:g}", line.floor)
            if line.budget and all(stage.section != "blend.shade" for stage in policy.stages):
                hint = "rates are for `blend.shade`, which the policy does not have"
                raise policy.error(self, ("lines", name, "budget"), "must be 0", line.budget, hint)
        floors = sum(line.floor for line in self.lines.values())
        if floors > 1 + 1e-9:
            raise policy.error(self, ("lines",), "must have floors of at most 1 together", floors)
        caps = sum(line.cap for line in self.lines.values())
        if set(policy.head.lines) <= set(self.lines) and caps < 1 - 1e-9:
            raise policy.error(self, ("lines",), "must have caps of at least 1 together", caps)
        if self.anchor and self.anchor not in self.lines:
            raise policy.error(self, ("anchor",), "must be a line in `lines`", self.anchor)

    def init(self) -> Memory:
        """Return prices of 0 and rates of 1."""
        size = len(self.lines)
        none = (0.0,) * size
        return Memory(
            lines=tuple(self.lines), price=none, settled=none, short=(none, none), offset=(*none, 0.0),
            shares=Loops.start(size + 1), budgets=(Loop(),) * size, answers=(Gain(),) * size, spent=none,
        )  # fmt: skip

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return price and rate of each row's line, and the row's utility less the price."""
        memory, lines = self.recall(request), tuple(self.lines)
        memory = memory if memory.lines == lines else memory.of(self.init())
        codes, names = candidates.key("line")
        price = by_name(lines, memory.price, names, 0.0).take(codes)
        rates = by_name(lines, self._rates(memory), names, 1.0)
        return {"price": price, "rate": rates.take(codes), "utility": candidates.number("utility") - price}

    def advance(self, memory: Memory, ledgers: Sequence[Ledger]) -> Memory:
        """Return what is remembered after the pages of a window."""
        memory = memory.of(self.init())
        pages = [page for page in ledgers if page]
        if not pages:
            late = self.method == "loops" and len(memory.shares.past) < self.lag
            return msgspec.structs.replace(memory, shares=memory.shares.waiting()) if late else memory
        return self._priced(self._spent(memory, pages), [entry for page in pages for entry in page])

    def faded(self, memory: Memory, share: float) -> Memory:
        """Return prices on their way to 0, and the logarithms of rates, those of spent budgets too."""
        memory, rest = memory.of(self.init()), 1.0 - share
        rates = (log(rate) * rest for rate in self._rates(memory))
        return msgspec.structs.replace(
            memory,
            price=tuple(price * rest for price in memory.price),
            budgets=tuple(Loop(dual=dual) for dual in rates),
            spent=(0.0,) * len(self.lines),
        )

    def _priced(self, memory: Memory, entries: Sequence[Entry]) -> Memory:
        """Return the memory with new prices of exposures."""
        names = {name: place for place, name in enumerate(self.lines)}
        pages = np.array([entry.pages for entry in entries])
        weights = pages / pages.mean()  # as many slots as have entries: so many decide what chance does to shares
        lines = [names.get(entry.line, len(names)) for entry in entries]
        counts = np.bincount(lines, weights, minlength=len(names) + 1).astype(np.float64)
        worth = sum(by * (one.value + one.terms.get("weight", 0.0)) for by, one in zip(weights, entries, strict=True))
        slots = memory.slots + len(entries)
        typical = (memory.typical * memory.slots + abs(float(worth))) / slots
        memory = msgspec.structs.replace(memory, typical=typical, slots=min(slots, TYPICAL))
        if self.method == "loops":
            scale = max(typical, 1e-12)
            shares = steered(memory.shares, counts, self._wanted(), self.law, scale=scale, lag=self.lag)
            return msgspec.structs.replace(memory, shares=shares, price=tuple((scale * shares.duals[:-1]).tolist()))
        rows = tuple(worths(entry, names) for entry in entries)
        recent = (*memory.recent, *rows)[-self.slots :]
        worth = filled(recent)
        short = np.array([_with_rest(one) for one in memory.short])
        before = Prices(_with_rest(memory.price), _with_rest(memory.settled), short, np.array(memory.offset))
        pull = Pull(self.damping, self.trend, self.catch_up)
        seen = expected(filled(rows), before.price, weights)
        after = coordinated(before, worth, counts, self._wanted(), pull, seen=seen)
        floors, caps = after.short[:, :-1].tolist()
        return msgspec.structs.replace(
            memory, recent=recent, short=(tuple(floors), tuple(caps)),
            price=tuple(after.price[:-1].tolist()), settled=tuple(after.settled[:-1].tolist()),
            offset=tuple(after.offset.tolist()),
        )  # fmt: skip

    def _wanted(self) -> Wanted:
        """Return floors, caps and losses, those of lines that are not named last."""
        lines = [*self.lines.values(), PacedLine()]
        floors, caps = np.array([line.floor for line in lines]), np.array([line.cap for line in lines])
        losses = np.array([inf if line.loss is None else line.loss for line in lines])
        anchor = int(np.argmax(floors)) if floors.sum() >= 1 - 1e-9 else -1
        return Wanted(floors, caps, losses, list(self.lines).index(self.anchor) if self.anchor else anchor)

    def _spent(self, memory: Memory, pages: Sequence[Ledger]) -> Memory:
        """Return the memory with new rates, and what was spent."""
        start, end = memory.time, max(page[0].time for page in pages)
        if start is not None and 0 <= start - end < self.period_s:
            end = start  # pages that come in late
        period = end // self.period_s
        new_period = start is None or period != start // self.period_s
        late = [page[0].time // self.period_s < period for page in pages]
        charges = {
            name: [sum(one.charge * one.pages for one in page if one.line == name) for page in pages]
            for name in self.lines
        }
        before = [0.0] * len(self.lines) if new_period else memory.spent
        spent = tuple(
            was + sum(charge for charge, over in zip(charges[name], late, strict=True) if not over)
            for was, name in zip(before, self.lines, strict=True)
        )
        memory = msgspec.structs.replace(memory, time=end, spent=spent)
        if start is None or not 0 < end - start < self.period_s:
            return memory
        part = weight(start, end, self._hours) / self.period_s / len(pages)
        traffic = (memory.traffic * memory.pages + part * len(pages)) / (memory.pages + len(pages))
        due = min(part / traffic, LONGEST_GAP)
        memory = msgspec.structs.replace(memory, traffic=traffic, pages=min(memory.pages + len(pages), TYPICAL))
        budgets, answers = list(memory.budgets), list(memory.answers)
        for place, (name, line) in enumerate(self.lines.items()):
            if line.budget:
                typical = max(line.budget * traffic, 1e-300)
                taken = [min(charge / typical, FARTHEST_OFF) for charge in charges[name]]
                errors = [due - one for one in taken]
                answers[place] = answers[place].seen(budgets[place].dual, sum(taken) / len(taken))
                budgets[place] = self._followed(budgets[place], errors, answers[place])
        return msgspec.structs.replace(memory, budgets=tuple(budgets), answers=tuple(answers))

    def _followed(self, loop: Loop, errors: Sequence[float], answer: Gain) -> Loop:
        """Return a budget's loop after the errors of a window's pages."""
        law, size = self.spending, self.spending.gain * len(errors)
        if law.memory:
            size /= sqrt(max(loop.squares, 1e-300))
        part = damping(law, size, answer.estimate, lag=self.lag)
        return loop.moved(law.row(-log(HIGHEST_RATE), log(HIGHEST_RATE)), errors, part)

    @property
    def _hours(self) -> Sequence[float]:
        return EVEN if self.hours == "even" else AVITO if self.hours == "avito" else self.hours

    def _rates(self, memory: Memory) -> tuple[float, ...]:
        """Return the rate of each line: the highest where the budget of the period is spent."""
        return tuple(
            1.0 if not line.budget else HIGHEST_RATE if spent >= line.budget else exp(loop.dual)
            for line, loop, spent in zip(self.lines.values(), memory.budgets, memory.spent, strict=True)
        )


def _with_rest(of_lines: tuple[float, ...]) -> Numbers:
    """Return (lines + 1,) the same and 0 for the lines that are not named."""
    return np.array((*of_lines, 0.0))
