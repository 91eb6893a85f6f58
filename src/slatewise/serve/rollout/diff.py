"""Diff: what changes on the pages if a policy takes the place of another.

Pages of the same requests by both, slot by slot:

    overlap@k  = items on both / k, k the longer of the two
    RBO        = how much the tops agree, by rank-biased overlap with p = 0.9 (`evaluate.overlap`)
    moved      = mean |slot before - slot after| of the items on both
    load       = items of a line on a page; its spacing is the mean distance from one to the next
    worth      = what the policy before says that the items add, on either page, by its own last stage

Cost: O(k^2) for a page, and for `worth` the stages of the policy before once more.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256
from heapq import heappush, heappushpop
from itertools import pairwise
from typing import Any, NamedTuple, final

import msgspec
import numpy as np

from slatewise.core.constraints import Constraints, Rulebook
from slatewise.core.page import Page, PlacedItem
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.evaluate.overlap import rank_biased_overlap
from slatewise.feed import Feed
from slatewise.kernels import audit

EXAMPLES = 3
"""Requests that a report shows with both pages: those whose pages differ most."""
REASONS = 20
"""Reasons for failures that a report tells apart."""
QUANTILES = {"p50": 50, "p99": 99}
"""What a report says of times, and the percent of pages that took at most that."""


class LineChange(msgspec.Struct, frozen=True):
    """What a line has of the pages, before and after.

    Attributes:
        line: The line.
        share: Of all slots filled.
        load: Items on a page, mean.
        spacing: Slots from one of its items to the next, mean; none if no page has two.
    """

    line: str
    share: tuple[float, float]
    load: tuple[float, float]
    spacing: tuple[float | None, float | None]


class Failure(msgspec.Struct, frozen=True):
    """Why requests got no page from the policy after.

    Attributes:
        reason: What it said.
        requests: How many requests.
        example: Name of the first of them.
    """

    reason: str
    requests: int
    example: str


class Example(msgspec.Struct, frozen=True):
    """A request whose pages differ.

    Attributes:
        request_id: Its name.
        rbo: How much the tops agree.
        before: The page of the policy before.
        after: The page of the policy after.
    """

    request_id: str
    rbo: float
    before: tuple[PlacedItem, ...]
    after: tuple[PlacedItem, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What changes if a policy takes the place of another; pairs are before and after.

    Attributes:
        policies: Hashes of the policies.
        requests: Requests that were composed by both, or should have been.
        skipped: Requests that the policy before does not take, which say nothing.
        failed: Requests without a page after.
        failures: Why, most frequent first.
        equal: Pages with the same items in the same slots.
        overlap: Mean share of items on both pages; none if there is no pair of pages.
        rbo: Mean rank-biased overlap, p = 0.9.
        moved: Mean distance that items on both pages moved, in slots.
        statuses: Status to number of pages.
        relaxed: Rule to number of pages on which it gave way.
        broken: Rule of the policy before to number of pages that break it; also what the policy after has no rule for.
        missing: Slots asked for and not filled.
        lines: The lines of both policies.
        worth: Mean worth of a page to the policy before.
        compared: Pages for which that could be said: all items known to its last stage, and no session that goes on.
        ms: Milliseconds to compose a page: median, and 99 in 100.
        examples: Requests whose pages differ most.
    """

    policies: tuple[str, str]
    requests: int
    skipped: int
    failed: int
    failures: tuple[Failure, ...]
    equal: int
    overlap: float | None
    rbo: float | None
    moved: float | None
    statuses: dict[str, tuple[int, int]]
    relaxed: dict[str, tuple[int, int]]
    broken: dict[str, tuple[int, int]]
    missing: tuple[int, int]
    lines: tuple[LineChange, ...]
    worth: tuple[float, float] | None
    compared: int
    ms: dict[str, tuple[float, float]]
    examples: tuple[Example, ...]

    @property
    def digest(self) -> str:
        """Digest of the report."""
        return sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Judged(NamedTuple):
    """What a policy says of a page that need not be its own.

    Attributes:
        worth: What the items add.
        broken: Rules that the page breaks.
    """

    worth: float
    broken: list[str]


@final
class Diff:
    """Sums over pairs of pages.

    Examples:
        >>> from slatewise import Candidates, Merge, Weight
        >>> head = {"lines": ["posts", "ads"], "columns": {"score": "number", "value": "number"}, "slots": 2}
        >>> plain, dearer = Policy.of(Weight(), Merge(), **head), Policy.of(Weight(lines={"ads": 3.0}), Merge(), **head)
        >>> data = {"item_id": ["a", "b"], "line": ["posts", "ads"], "score": [2.0, 1.0], "value": [2.0, 1.0]}
        >>> request = Request(candidates=Candidates.of(data), id="r")
        >>> diff = Diff(plain, dearer)
        >>> diff.add(request, Feed(plain).compose(request), Feed(dearer).compose(request), took_s=(0.001, 0.002))
        >>> report = diff.report()
        >>> report.equal, report.overlap, report.moved, report.lines[1].share
        (0, 1.0, 1.0, (0.5, 0.5))
    """

    def __init__(self, before: Policy, after: Policy) -> None:
        """Start with no page."""
        self._policies = (before, after)
        self._feed = Feed(before)
        self._book = Rulebook(before.rules)
        self._requests = self._skipped = self._equal = 0
        self._failures: Counter[str] = Counter()
        self._failed_first: dict[str, str] = {}
        self._overlaps, self._rbos, self._moves = array("d"), array("d"), array("d")
        self._times = (array("d"), array("d"))
        self._counts: defaultdict[str, tuple[Counter[str], Counter[str]]] = defaultdict(lambda: (Counter(), Counter()))
        self._worth: list[tuple[float, float]] = []
        self._examples: list[tuple[float, int, Example]] = []

    def skip(self) -> None:
        """Take note of a request that the policy before does not take."""
        self._skipped += 1

    def fail(self, request: Request, before: Page, reason: str) -> None:
        """Take note of a request without a page after."""
        self._requests += 1
        if reason not in self._failures and len(self._failures) >= REASONS:
            reason = "other"
        self._failures[reason] += 1
        self._failed_first.setdefault(reason, request.id)
        self._count(0, before, request)

    def add(self, request: Request, before: Page, after: Page, *, took_s: tuple[float, float]) -> None:
        """Take note of a pair of pages of one request.

        Args:
            request: The request, as the policy before has it.
            before: The page of the policy before.
            after: The page of the policy after.
            took_s: Seconds that each took.
        """
        self._requests += 1
        first, second = _items(before), _items(after)
        self._equal += first == second
        slots = {item: slot for slot, item in enumerate(first)}
        shifts = [abs(slots[item] - slot) for slot, item in enumerate(second) if item in slots]
        agreement = rank_biased_overlap(first, second)
        self._overlaps.append(len(shifts) / max(len(first), len(second)) if first or second else 1.0)
        self._rbos.append(agreement)
        if shifts:
            self._moves.append(sum(shifts) / len(shifts))
        for place, page in enumerate((before, after)):
            self._count(place, page, request)
            self._times[place].append(took_s[place] * 1e3)
        self._judge(request, before, after)
        if first != second:
            example = (-agreement, -self._requests, Example(request.id, agreement, before.items, after.items))
            full = len(self._examples) >= EXAMPLES
            heappushpop(self._examples, example) if full else heappush(self._examples, example)

    def report(self) -> Report:
        """Return what they come to."""
        before, after = self._policies
        names = dict.fromkeys((*before.head.lines, *after.head.lines))
        failures = tuple(
            Failure(reason, count, self._failed_first[reason]) for reason, count in self._failures.most_common()
        )
        worth = np.array(self._worth).mean(axis=0).tolist() if self._worth else None
        return Report(
            policies=(before.hash, after.hash),
            requests=self._requests,
            skipped=self._skipped,
            failed=self._failures.total(),
            failures=failures,
            equal=self._equal,
            overlap=_mean(self._overlaps),
            rbo=_mean(self._rbos),
            moved=_mean(self._moves),
            statuses=self._pairs("status"),
            relaxed=self._pairs("relaxed"),
            broken=self._pairs("broken"),
            missing=self._pairs("missing").get("slots", (0, 0)),
            lines=tuple(map(self._line, names)),
            worth=None if worth is None else (worth[0], worth[1]),
            compared=len(self._worth),
            ms={name: (_quantile(self._times[0], q), _quantile(self._times[1], q)) for name, q in QUANTILES.items()},
            examples=tuple(example for *_, example in sorted(self._examples, reverse=True)),
        )

    def _count(self, place: int, page: Page, request: Request) -> None:
        count = self._counts
        count["status"][place][page.status.kind] += 1
        count["missing"][place]["slots"] += page.status.missing
        for one in page.status.relaxed:
            count["relaxed"][place][one.rule] += 1
        slots: defaultdict[str, list[int]] = defaultdict(list)
        for item in page.items:
            slots[item.line].append(item.slot)
        count["pages"][place][""] += 1
        for line, stands in slots.items():
            count["items"][place][line] += len(stands)
            count["gaps"][place][line] += len(stands) - 1
            count["spaces"][place][line] += sum(below - above for above, below in pairwise(stands))

    def _judge(self, request: Request, before: Page, after: Page) -> None:
        if request.state is not None and request.state.last:
            return
        rows = [np.asarray(page.slate.rows) for page in (before, after)]
        found = judged(self._feed, self._book, request, rows)
        if found is not None:
            self._worth.append((found[0].worth, found[1].worth))
            for place, one in enumerate(found):
                self._counts["broken"][place].update(one.broken)

    def _pairs(self, what: str) -> dict[str, tuple[int, int]]:
        before, after = self._counts[what]
        return {name: (before[name], after[name]) for name in sorted(before | after)}

    def _line(self, line: str) -> LineChange:
        sides: list[tuple[float, float, float | None]] = []
        for place in (0, 1):
            items, pages = self._counts["items"][place], self._counts["pages"][place][""]
            gaps, spaces = self._counts["gaps"][place][line], self._counts["spaces"][place][line]
            here = items[line]
            sides.append((here / max(items.total(), 1), here / max(pages, 1), spaces / gaps if gaps else None))
        (share, load, spacing), (shares, loads, spacings) = sides
        return LineChange(line, (share, shares), (load, loads), (spacing, spacings))


def judged(feed: Feed, book: Rulebook, request: Request, pages: Sequence[np.ndarray]) -> list[Judged] | None:
    """Return what a policy says of pages of a request; None if some row is not among those it chooses from.

    Args:
        feed: The policy at work.
        book: Its rules.
        request: The request, which does not go on with a session.
        pages: (k,) rows of the request's candidates, each.
    """
    request = feed.policy.admit(request)
    candidates, stands = feed.pool(request)
    where = np.full(len(request.candidates), -1, np.int32)
    where[stands] = np.arange(len(stands), dtype=np.int32)
    constraints = Constraints(book, candidates, request.slots or 0)
    found: list[Judged] = []
    for page in pages:
        rows = where[page]
        if (rows < 0).any():
            return None
        gains = feed.policy.selectors[-1].gains(candidates, rows, constraints, request=request)
        amounts = audit.broken(rows, constraints.arrays)
        found.append(Judged(float(gains.sum()), [book.rules[place].name for place in np.flatnonzero(amounts)]))
    return found


def _items(page: Page) -> list[Any]:
    return [item.item_id for item in page.items]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _quantile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else 0.0
