"""Shade: enter less than a slot is worth, where less wins it, too.

    score_i = argmax_{0 <= s <= most} F(s) * (utility_i - rate * s)

Who wins pays what was entered, so that entering all that a slot is worth leaves nothing. F is the line's landscape: its
probability to win with s. It is given, or learned from the ledgers of earlier pages, for each cell of values. Where
winners pay the value that they displace instead, s = utility / rate is best whatever the landscape, and nothing is
shaded.

A score depends on (line, request) and on what rows are worth, and never falls in it, so a line's own order survives. A
row worth 0 or less keeps its utility: it does not compete. Cost: O(n log n); 1 to 3 us per line.

References:
    Vickrey (1961), "Counterspeculation, Auctions, and Competitive Sealed Tenders", Journal of Finance 16: displacement.
    Methods and kernels name those of solving (`methods.shading`) and learning (`methods.winrates`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, NamedTuple, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.blend.landscapes import Landscape
from slatewise.core.candidates import Candidates
from slatewise.core.columns import LARGEST, Kind, Numbers, Positive
from slatewise.core.ledger import Accounting, Ledger
from slatewise.core.policy import Policy
from slatewise.core.request import Request, Segment, segment_of
from slatewise.core.stage import Chance, Controller
from slatewise.methods.explore import Account, Explore
from slatewise.methods.winrates import Learning, WinRates


class ShadeSegment(Segment, frozen=True, kw_only=True):
    """Landscapes of some requests.

    Attributes:
        lines: Line to landscape; replaces those of these lines.
    """

    lines: dict[str, Landscape]


@final
class Shaded(msgspec.Struct, frozen=True):
    """What shading remembers.

    Attributes:
        rates: Line to what it has learned.
        accounts: Line to its account.
    """

    rates: dict[str, WinRates] = {}
    accounts: dict[str, Account] = {}


class _Rows(NamedTuple):
    """The rows of one line that compete."""

    worths: Numbers
    values: Numbers
    rate: float


@final
class Shade(Controller, frozen=True, kw_only=True):
    """Turn what rows are worth into the scores to enter.

    Attributes:
        lines: Line to its landscape. A line that neither has one nor learns enters what its rows are worth.
        segments: Other landscapes for some requests; the first segment that matches counts.
        learn: Line to how it learns its landscape from ledgers, in place of one that is given.
        accounting: What winners pay: their `own` score, or the value that they displace (`displacement`), under which
            nothing is shaded.
        rate: Price of one unit of score spent, > 0, where `blend.pace` writes no `rate`.
        most: Largest score to enter, > 0; none if not given. Beyond the limit of a landscape only with `explore`.
        caution: Standard errors by which landscapes that know theirs are taken to be lower, >= 0.
        explore: How learned lines explore; not at all if not given.

    Reads:
        utility: (n,) float64, in the policy's currency: what rows are worth, after prices.
        value: (n,) float64, in the policy's currency; only to learn.
        rate: (n,) float64, price of one unit of score spent, the same for all rows of a line; if `blend.pace`
            writes it.
    Writes:
        shade: (n,) float64, in the policy's currency: score less worth; <= 0 while the rate is at least 1.
        utility: (n,) float64, in the policy's currency: the score.
        propensity: (n,) float64, probability that a score was drawn as it was; only with `explore`.

    Examples:
        >>> from slatewise.blend.landscapes import Uniform
        >>> items = Candidates.of(line=["ads", "ads", "posts"], utility=[60.0, 20.0, 50.0])
        >>> uniform = Landscape(curve=Uniform(top=100.0), limit=90.0)
        >>> def scores(**fields):
        ...     shade = Shade(lines={"ads": uniform}, **fields)
        ...     return shade.annotate(items, Request(candidates=items))["utility"].round(6).tolist()
        >>> scores(), scores(rate=1.5), scores(most=25.0)
        ([30.0, 10.0, 50.0], [20.0, 6.666667, 50.0], [25.0, 10.0, 50.0])
        >>> scores(accounting="displacement")
        [60.0, 20.0, 50.0]
    """

    section: ClassVar[str] = "blend.shade"
    memory: ClassVar[type[msgspec.Struct]] = Shaded

    lines: dict[str, Landscape] = {}
    segments: tuple[ShadeSegment, ...] = ()
    learn: dict[str, Learning] = {}
    accounting: Accounting = "own"
    rate: Positive = 1.0
    most: Positive | None = None
    caution: Annotated[float, Meta(ge=0, le=100)] = 0.0
    explore: Explore | None = None

    @property
    def reads(self) -> Mapping[str, Kind]:
        """What rows are worth; their value, to learn."""
        return {"utility": "number", **({"value": "number"} if self.learn else {})}

    @property
    def writes(self) -> Mapping[str, Kind]:
        """What shading takes off, and the score that is left."""
        return {"shade": "number", "utility": "number", **({"propensity": "number"} if self.explore else {})}

    def check(self, policy: Policy) -> None:
        """Refuse lines that the policy does not have, scores that no landscape knows, and stages that disagree."""
        named = {("lines",): self.lines}
        named |= {("segments", place, "lines"): one.lines for place, one in enumerate(self.segments)}
        for field, landscapes in named.items():
            for line, landscape in landscapes.items():
                policy.check_line(self, (*field, line), line)
                if line in self.learn:
                    raise policy.error(self, ("learn", line), "has a landscape already: give it or learn it")
                if self._beyond(landscape):
                    hint = "lower it, or `explore`"
                    rule = f"must be <= {landscape.limit}, the limit of what is known of {line!r}"
                    raise policy.error(self, ("most",), rule, self.most, hint)
        for line in self.learn:
            policy.check_line(self, ("learn", line), line)
        if self.explore is not None and not self.learn:
            raise policy.error(self, ("explore",), "is for lines that learn", hint="name them under `learn`")
        if "rate" in policy.head.columns:
            raise policy.error(self, (), "takes `rate` from `blend.pace`, and `columns` says candidates bring it")
        self._check_stages(policy)

    def _check_stages(self, policy: Policy) -> None:
        order = [stage.section for stage in policy.stages]
        if "blend.pace" in order and order.index("blend.pace") > order.index(self.section):
            raise policy.error(self, (), "must stand after `blend.pace`, whose prices it enters scores at")
        for stage in policy.stages:
            accounting = getattr(stage, "accounting", self.accounting)
            if accounting != self.accounting:
                hint = f"`{stage.section}` says {accounting!r}"
                raise policy.error(self, ("accounting",), "must be what winners are charged", self.accounting, hint)

    def _beyond(self, landscape: Landscape) -> bool:
        known = LARGEST if landscape.limit is None else landscape.limit
        return self.explore is None and self.most is not None and self.most > known

    def init(self) -> Shaded:
        """Return what is known before the first page: nothing."""
        return Shaded({line: WinRates(learning=how) for line, how in self.learn.items()})

    def annotate(self, candidates: Candidates, request: Request) -> Mapping[str, Numbers]:
        """Return what is taken off each row, the score that it competes with, and how probable that was."""
        worth, lines = candidates.number("utility"), candidates.key("line")
        value = candidates.number("value") if self.learn else worth
        priced = candidates.number("rate") if "rate" in candidates.columns else None
        segment = segment_of(request, self.segments)
        landscapes = self.lines if segment is None else self.lines | segment.lines
        memory: Shaded = self.recall(request)
        score, propensity = worth.copy(), np.ones(len(candidates))
        for code, line in enumerate(lines.names):
            if line not in landscapes and line not in self.learn:
                continue
            rows = np.flatnonzero((lines.codes == code) & (worth > 0.0))
            if not len(rows):
                continue
            rows = rows[np.argsort(worth[rows], kind="stable")]
            own = _Rows(worth[rows], value[rows], self.rate if priced is None else max(float(priced[rows[0]]), 0.0))
            if self.accounting == "displacement":
                score[rows] = _full(own)
            elif line in self.learn:
                score[rows], propensity[rows] = self._learned(line, own, memory, request)
            else:
                score[rows] = self._given(landscapes[line], own, request)
        columns = {"shade": score - worth, "utility": score}
        return columns if self.explore is None else {**columns, "propensity": propensity}

    def _given(self, landscape: Landscape, rows: _Rows, request: Request) -> Numbers:
        factor = landscape.factor(request)
        known = LARGEST if landscape.limit is None or self.explore is not None else landscape.limit
        most = min(LARGEST if self.most is None else self.most, known)
        curve = landscape.cautious(self.caution)
        return factor * curve.best_of(rows.worths / factor, rows.rate, most / factor)

    def chances(self, lines: Sequence[str], request: Request) -> Sequence[Chance]:
        """Return how each line explores that has learned something and may still spend."""
        if self.explore is None:
            return ()
        memory = self.recall(request)
        able = [
            line
            for line in lines
            if line in self.learn and self._rates(memory, line).ready and not memory.accounts.get(line, Account()).empty
        ]
        ways = [self.explore.drawn(request.id, line) for line in able]
        return [Chance(line, way, self.explore.propensity(way)) for line, way in zip(able, ways, strict=True)]

    def _learned(self, line: str, rows: _Rows, memory: Shaded, request: Request) -> tuple[Numbers, float]:
        rates = self._rates(memory, line)
        full = _full(rows)
        if not rates.ready:
            return np.minimum(rates.learning.flat * full, self.most or LARGEST), 1.0
        score = np.maximum.accumulate(rates.best_of(rows.values, rows.worths, rows.rate))
        score = np.minimum(score, self.most or LARGEST)
        account = memory.accounts.get(line, Account())
        if self.explore is None or account.empty:
            return score, 1.0
        way = self.explore.drawn(request.id, line)
        return self.explore.moved(score, way, full=np.minimum(full, self.most or LARGEST)), self.explore.propensity(way)

    def _rates(self, memory: Shaded, line: str) -> WinRates:
        """Return what a line has learned; nothing if it was learned in another way than the policy's."""
        found = memory.rates.get(line)
        return (
            found if found is not None and found.learning == self.learn[line] else WinRates(learning=self.learn[line])
        )

    def advance(self, memory: Shaded, ledgers: Sequence[Ledger]) -> Shaded:
        """Return what is known after the pages of a window: each slot tells each line whether its head would win."""
        rates, accounts = dict(memory.rates), dict(memory.accounts)
        for line, how in self.learn.items():
            before = self._rates(memory, line)
            seen = [
                (head.value, head.score, max(other.score for name, other in entry.heads.items() if name != line), entry)
                for ledger in ledgers
                for entry in ledger
                if (head := entry.heads.get(line)) is not None and head.score > 0.0 and len(entry.heads) > 1
            ]
            if not seen:
                continue
            values, scores, rivals = (np.array([one[place] for one in seen], np.float64) for place in range(3))
            rivals = np.maximum(rivals, 0.0)
            won = np.array([entry.line == line for _, _, _, entry in seen])
            known = won & (rivals < scores) if how.feedback == "won" else np.ones(len(seen), np.bool_)
            rates[line] = before.observe(values, scores, rivals=rivals, known=known)
            if self.explore is not None:
                up = np.array([self.explore.drawn(entry.request, line) > 0 for _, _, _, entry in seen])
                paid = float(scores[won].sum())
                accounts[line] = accounts.get(line, Account()).after(
                    self.explore, before, values=values[up], raised=scores[up], paid=paid
                )
        return Shaded(rates, accounts)


def _full(rows: _Rows) -> Numbers:
    """Return the score at which winning leaves nothing."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.minimum(rows.worths / rows.rate, LARGEST)
