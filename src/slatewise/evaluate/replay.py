"""What lines and rules did, over many pages.

A `Tally` is told of pages one by one and keeps sums only (and one number per page for its time), so that a replay may
be as long as it likes. What rules did is read off the traces:

* a rule *bound* in a slot if it kept the best row out of it, a row worth more than the one that stands there;
* its *cost* is the utility of that row minus that of the row placed, summed over these slots. It is what the slot gave
  up at that moment: a row that is held back in slot 3 and stands in slot 4 costs the page nothing in the end, and one
  that is held back in five slots in a row counts five times. So costs tell rules apart, and do not add up to what the
  page lost.

What a page lost to a rule is known by composing it again without the rule (`Feed.costs`), which a replay does on
request: it takes one more page for each rule that binds.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from math import fsum
from time import perf_counter
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from slatewise.core.page import Page, RuleCost
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.evaluate.loops import Loops
from slatewise.feed import Feed

BATCH = 256
"""Requests that are held in memory at a time."""


class LineShare(msgspec.Struct, frozen=True):
    """How much of the pages a line had.

    Attributes:
        line: The line.
        slots: Slots that it stood in.
        share: Of all slots filled.
    """

    line: str
    slots: int
    share: float


class RuleEffect(msgspec.Struct, frozen=True):
    """What a rule did.

    Attributes:
        rule: Its name.
        slots: Slots in which it bound.
        pages: Pages on which it bound at least once.
        rows: Different rows that it kept out, summed over pages.
        cost: Utility that these slots gave up, summed; in the policy's currency.
        binds: Pages on which a count of it stood at its bound, or beyond; none unless costs were asked for.
        lost: Value that pages lost to it, summed: without the rule minus with it; none unless costs were asked for.
        price: Utility that one unit more of its bounds would be worth, by the method's prices, mean over the pages
            that have prices; none if there was none.
        relaxed: Pages on which it gave way.
        relaxed_by: How far it was exceeded there, summed.
        short: Pages that it kept shorter than asked for.
    """

    rule: str
    slots: int
    pages: int
    rows: int
    cost: float
    binds: int | None
    lost: float | None
    price: float | None
    relaxed: int
    relaxed_by: float
    short: int


class Times(msgspec.Struct, frozen=True):
    """Time per page, in milliseconds; NaN if there was no page.

    Attributes:
        p50: Half of the pages took at most this.
        p90: Nine in ten did.
        p99: Ninety-nine in a hundred did.
        most: All did.
    """

    p50: float
    p90: float
    p99: float
    most: float


class Summary(msgspec.Struct, frozen=True):
    """What happened on the pages.

    Attributes:
        pages: How many there were.
        slots: Slots filled, over all pages.
        missing: Slots asked for and left empty.
        value: Mean value of a page, in the policy's currency; NaN if there was no page.
        statuses: Status to number of pages.
        lines: The policy's lines, in its order.
        rules: The policy's rules in its order, then whatever else held rows back.
        times: Time per page.
    """

    pages: int
    slots: int
    missing: int
    value: float
    statuses: dict[str, int]
    lines: tuple[LineShare, ...]
    rules: tuple[RuleEffect, ...]
    times: Times


class Tally:
    """Sums over pages of one policy, whose parameters may change on the way.

    Examples:
        >>> from slatewise import Candidates, Constrain, Feed, Policy, Request, Rule, Solve
        >>> apart = Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1)
        >>> policy = Policy.of(
        ...     Constrain(rules=(apart,)), Solve(), lines=["posts", "ads"], columns={"utility": "number"}, slots=2
        ... )
        >>> items = Candidates.of(item_id=["a", "b", "c"], line=["ads", "ads", "posts"], utility=[3.0, 2.5, 1.0])
        >>> tally = Tally(policy)
        >>> tally.add(Feed(policy).compose(Request(candidates=items), trace=True), seconds=0.001)
        >>> tally.summary().rules[0].cost, tally.summary().lines[1].share
        (1.5, 0.5)
    """

    def __init__(self, policy: Policy) -> None:
        """Start at zero for every line and rule of the policy."""
        self._lines: Counter[str] = Counter(dict.fromkeys(policy.head.lines, 0))
        self._bound: Counter[str] = Counter(dict.fromkeys((rule.name for rule in policy.rules), 0))
        self._on_pages: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._cost: dict[str, float] = defaultdict(float)
        self._relaxed: Counter[str] = Counter()
        self._relaxed_by: dict[str, float] = defaultdict(float)
        self._short: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._costs: dict[str, list[RuleCost]] = defaultdict(list)
        self._seconds = array("d")
        self._missing = 0
        self._value = 0.0

    def add(self, page: Page, seconds: float, costs: Iterable[RuleCost] = ()) -> None:
        """Count a page that took so long; without a trace, what its rules held back stays unknown."""
        for cost in costs:
            self._costs[cost.rule].append(cost)
        self._seconds.append(seconds)
        self._value += page.value
        self._missing += page.status.missing
        self._statuses[page.status.kind] += 1
        self._lines.update(item.line for item in page.items)
        for relaxation in page.status.relaxed:
            self._relaxed[relaxation.rule] += 1
            self._relaxed_by[relaxation.rule] += relaxation.by
        self._short.update(page.status.held)
        held = [slot.held_back for slot in page.trace.slots if slot.held_back] if page.trace else []
        self._bound.update(other.rule for other in held)
        self._on_pages.update({other.rule for other in held})
        self._rows.update(rule for rule, _, _ in {(other.rule, other.item_id, other.line) for other in held})
        for other in held:
            self._cost[other.rule] -= other.margin

    def summary(self) -> Summary:
        """Return what was counted so far."""
        slots = self._lines.total()
        return Summary(
            pages=len(self._seconds),
            slots=slots,
            missing=self._missing,
            value=self._value / len(self._seconds) if self._seconds else np.nan,
            statuses=dict(self._statuses),
            lines=tuple(LineShare(line, count, count / max(slots, 1)) for line, count in self._lines.items()),
            rules=tuple(map(self._effect, dict.fromkeys((*self._bound, *self._relaxed, *self._short)))),
            times=_times(self._seconds),
        )

    def _effect(self, rule: str) -> RuleEffect:
        costs = self._costs.get(rule, [])
        prices = [cost.price for cost in costs if cost.price is not None]
        return RuleEffect(
            rule=rule,
            slots=self._bound[rule],
            pages=self._on_pages[rule],
            rows=self._rows[rule],
            cost=self._cost.get(rule, 0.0),
            binds=sum(cost.binds for cost in costs) if costs else None,
            lost=fsum(cost.lost for cost in costs) if costs else None,
            price=fsum(prices) / len(prices) if prices else None,
            relaxed=self._relaxed[rule],
            relaxed_by=self._relaxed_by.get(rule, 0.0),
            short=self._short[rule],
        )


def _times(seconds: array[float]) -> Times:
    if not seconds:
        return Times(np.nan, np.nan, np.nan, np.nan)
    p50, p90, p99, most = np.percentile(np.asarray(seconds) * 1e3, [50, 90, 99, 100]).tolist()
    return Times(p50, p90, p99, most)


class Played(NamedTuple):
    """A page of a replay.

    Attributes:
        page: The page, traced.
        seconds: How long it took.
        costs: What its rules cost, if that was asked for.
    """

    page: Page
    seconds: float
    costs: tuple[RuleCost, ...]


def replay(
    feed: Feed,
    requests: Iterable[Request],
    *,
    threads: int = 1,
    measure: Literal["pages", "costs"] = "pages",
    loops: Loops | None = None,
) -> Iterator[Played]:
    """Yield the page of each request, in the order of the requests.

    Args:
        feed: The policy at work.
        requests: The requests.
        threads: Threads.
        measure: `costs` composes pages without each rule that binds, too.
        loops: The policy's control loops, moved on as pages are replayed; at their start, and still, if not given.
    """

    def played(request: Request) -> Played:
        start = perf_counter()
        page = feed.compose(request, trace=True)
        seconds = perf_counter() - start
        return Played(page, seconds, feed.costs(request) if measure == "costs" else ())

    feed.warm()
    waiting = iter(requests)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(waiting, loops.window or BATCH if loops else BATCH)):
            steered = batch if loops is None else [loops.steered(request) for request in batch]
            yield from pool.map(played, steered) if threads > 1 else map(played, steered)
            if loops is not None and loops.window:
                loops.move(batch)
