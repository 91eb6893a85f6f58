"""What variety costs: the pages of `compose.spread` at a range of strengths, what they gain and what they give up.

Every request is composed by every policy at every strength. A policy is taken as it is, but for the strength: its
segments and `give_up`, which would choose another, are left aside. A `Tally` is told of requests one by one and keeps
a few numbers for each page.

    kept at a strength = mean value of its pages / mean value of the pages at strength 0

The strength that gives up no more than a share is the last of those tried before the curve first falls below it;
between two of them nothing is known. Cost: policies times strengths pages for each request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, takewhile
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.compose.spread import Spread
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Numbers
from slatewise.core.errors import SlatewiseError
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.problem import TOLERANCE
from slatewise.core.request import Request
from slatewise.core.variety import VARIANTS
from slatewise.evaluate.exposure import coverage, gini, item_exposure
from slatewise.evaluate.gauges import Board, Gauge, gauges_of, measured, utilities_kept
from slatewise.evaluate.inputs import fraction, one_of
from slatewise.feed import Feed

STRENGTHS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Strengths that are tried unless others are asked for: closest together where most is decided."""

GIVEN_UP = (0.01, 0.02, 0.05)
"""Shares of value for which the largest strength is told."""

AHEAD = 2
"""A pool of fewer items than this many pages leaves variety little to choose from."""


class Point(msgspec.Struct, frozen=True):
    """The pages at one strength; what has no value on any page is NaN.

    Attributes:
        strength: The strength, from 0 to 1.
        value: Mean value of a page, in the policy's currency.
        kept: Of the mean value at strength 0; NaN where that is not above 0.
        ndcg: Mean NDCG of the utilities served, beside the best order of the pool without rules.
        columns: Per column and measure (see `evaluate.gauges`) the mean over the pages that have one.
        coverage: Share of the items of all pools that are on any page.
        gini: How unequally exposure is shared out among these items.
    """

    strength: float
    value: float
    kept: float
    ndcg: float
    columns: dict[str, dict[str, float]]
    coverage: float
    gini: float


class Within(msgspec.Struct, frozen=True):
    """How far a policy may go.

    Attributes:
        share: Of the value, that may be given up.
        strength: The largest strength tried that gives up no more, and no smaller one does; none if nothing was worth
            anything at strength 0.
    """

    share: float
    strength: float | None


class Arm(msgspec.Struct, frozen=True):
    """What one policy gains and gives up.

    Attributes:
        name: The policy, or its variant.
        points: Its pages, by ascending strength.
        within: How far it may go.
    """

    name: str
    points: tuple[Point, ...]
    within: tuple[Within, ...]


class Tradeoff(msgspec.Struct, frozen=True):
    """What variety costs.

    Attributes:
        requests: How many were composed.
        items: Different items in their pools.
        small: Requests with fewer than `AHEAD` times as many items to choose from as slots.
        windows: Per column of keys, the slots above in which a repeat counts; none for all.
        arms: The policies.
    """

    requests: int
    items: int
    small: int
    windows: dict[str, int | None]
    arms: tuple[Arm, ...]


class Trial(NamedTuple):
    """A request, composed by every policy at every strength.

    Attributes:
        request: The request.
        pools: Per policy, what its last stage chose from, and where that stands in the request's candidates.
        pages: Per policy, the page of each strength.
    """

    request: Request
    pools: tuple[tuple[Candidates, Codes], ...]
    pages: tuple[tuple[Page, ...], ...]


def steps_of(strengths: Iterable[float]) -> tuple[float, ...]:
    """Return strengths in ascending order, each once, and 0 in any case.

    >>> steps_of([1, 0.5, 0.5])
    (0.0, 0.5, 1.0)
    """
    return tuple(sorted({0.0, *(fraction("strengths", one, to=1.0) for one in strengths)}))


def spread_of(policy: Policy) -> Spread:
    """Return the last stage of the policy.

    Raises:
        PolicyError: It is not `compose.spread`.
    """
    last = policy.stages[-1]
    if not isinstance(last, Spread):
        raise policy.error(last, (), f"has no strength; a trade-off is for policies that end with {Spread.section}")
    return last


def with_variant(policy: Policy, variant: str) -> Policy:
    """Return the policy with another variant of the first term of its `compose.spread`.

    Raises:
        SlatewiseError: The variant is unknown, there is no term, or the term cannot be of this variant.
    """
    spread = spread_of(policy)
    one_of("variants", variant, VARIANTS)
    if not spread.terms:
        raise policy.error(spread, ("terms",), "must not be empty where variants are compared")
    first, *others = spread.terms
    try:
        term = msgspec.structs.replace(first, variant=variant, given=None)
    except ValueError as error:
        raise SlatewiseError("variants", str(error), variant) from None
    return _with(policy, msgspec.structs.replace(spread, terms=(term, *others)))


def compared(named: Sequence[tuple[str, Policy]], *, variants: Sequence[str] = ()) -> dict[str, Policy]:
    """Return policies by name, as trials take them; they must take the same requests.

    Args:
        named: Policies with their names.
        variants: If any, what the first policy is replaced by: itself with each of these variants.

    Raises:
        SlatewiseError: Two have one name, or different lines or columns; or a variant cannot be.
    """
    (name, first), *others = named
    arms = {variant: with_variant(first, variant) for variant in variants} or {name: first}
    for other, policy in others:
        if other in arms:
            raise SlatewiseError("policies", "must have different names", other)
        if (policy.head.lines, policy.head.columns) != (first.head.lines, first.head.columns):
            raise SlatewiseError(other, f"must have the lines and columns of {name}, to take the same requests")
        arms[other] = policy
    return arms


def trials(
    policies: Mapping[str, Policy], requests: Iterable[Request], *, strengths: Iterable[float] = STRENGTHS
) -> Iterator[Trial]:
    """Yield each request with its pages, in the order of the requests.

    Args:
        policies: Policies by name; each ends with `compose.spread`.
        requests: The requests.
        strengths: Strengths to try; 0 is always among them.
    """
    steps = steps_of(strengths)
    feeds = [[Feed(_at(policy, strength)) for strength in steps] for policy in policies.values()]
    for request in requests:
        pools = tuple(row[0].pool(request) for row in feeds)
        yield Trial(request, pools, tuple(tuple(feed.compose(request) for feed in row) for row in feeds))


class Tally:
    """What the pages of trials come to.

    Examples:
        >>> from slatewise.compose.terms import Similar, Term
        >>> apart = Term(name="topics", variant="mmr", similar=(Similar(same="topic"),))
        >>> columns = {"utility": "number", "topic": "key"}
        >>> policies = {"mmr": Policy.of(Spread(terms=(apart,)), lines=["all"], columns=columns, slots=2)}
        >>> items = Candidates.of(item_id=[1, 2, 3], utility=[1.0, 0.8, 0.4], topic=["a", "a", "b"])
        >>> tally = Tally(policies, strengths=[0.5])
        >>> for trial in trials(policies, [Request(candidates=items)], strengths=[0.5]):
        ...     tally.add(trial)
        >>> [(one.strength, round(one.kept, 3)) for one in tally.tradeoff().arms[0].points]
        [(0.0, 1.0), (0.5, 0.832)]
    """

    def __init__(
        self, policies: Mapping[str, Policy], *, strengths: Iterable[float] = STRENGTHS, columns: Sequence[str] = ()
    ) -> None:
        """Start with no request.

        Args:
            policies: Policies by name, as the trials have them.
            strengths: The strengths of the trials.
            columns: Columns to be measured besides those that a `compose.spread` of these looks at.

        Raises:
            SlatewiseError: A policy does not end with `compose.spread`, or such a column cannot be measured.
        """
        self._steps = steps_of(strengths)
        self._spreads = {name: spread_of(policy) for name, policy in policies.items()}
        self._gauges: dict[str, Gauge] = {}
        for name, policy in policies.items():
            for gauge in gauges_of(self._spreads[name], policy.head.columns, columns):
                self._gauges.setdefault(gauge.column, gauge)
        self._codes: defaultdict[Any, int] = defaultdict(count().__next__)
        self._small = 0
        self._figures: list[list[Numbers]] = []
        self._shown: list[list[Board]] = []

    def add(self, trial: Trial) -> None:
        """Count the pages of a request."""
        figures: list[Numbers] = []
        shown: list[Board] = []
        for spread, (pool, rows), pages in zip(self._spreads.values(), trial.pools, trial.pages, strict=True):
            board = _board(rows, len(trial.request.candidates), pages)
            told = [np.array([page.value for page in pages])[:, None]]
            told.append(utilities_kept(pool, pool.number(spread.by), board)[:, None])
            for gauge in self._gauges.values():
                told.append(measured(gauge, pool, board, trial.request.history.get(gauge.column, {})))
            figures.append(np.concatenate(told, axis=1))
            shown.append(np.array([*map(self._codes.__getitem__, pool.item_id), -1])[board])
        fewest = min(len(np.unique(pool.items)) for pool, _ in trial.pools)
        self._small += fewest < AHEAD * shown[0].shape[1]
        self._figures.append(figures)
        self._shown.append(shown)

    def tradeoff(self) -> Tradeoff:
        """Return what was counted so far.

        Raises:
            SlatewiseError: No request was.
        """
        if not self._figures:
            raise SlatewiseError("requests", "must be at least one")
        windows = {one.column: one.window for one in self._gauges.values() if one.form != "embedding"}
        arms = tuple(self._arm(place, name) for place, name in enumerate(self._spreads))
        return Tradeoff(len(self._figures), len(self._codes), self._small, windows, arms)

    def _arm(self, place: int, name: str) -> Arm:
        figures = _means(np.stack([one[place] for one in self._figures]))
        base = float(figures[0, 0])
        points = tuple(
            self._point(step, figures[step], base, [one[place][step] for one in self._shown], self._spreads[name])
            for step in range(len(self._steps))
        )
        return Arm(name, points, tuple(_within(points, share) for share in GIVEN_UP))

    def _point(self, step: int, means: Numbers, base: float, pages: Sequence[Board], spread: Spread) -> Point:
        value, ndcg, *others = means.tolist()
        told = iter(others)
        longest = max(map(len, pages))
        board = np.stack([np.pad(page, (0, longest - len(page)), constant_values=-1) for page in pages])
        return Point(
            strength=self._steps[step],
            value=value,
            kept=value / base if base > 0 else np.nan,
            ndcg=ndcg,
            columns={one.column: {name: next(told) for name in one.names} for one in self._gauges.values()},
            coverage=coverage(board, len(self._codes)),
            gini=gini(item_exposure(board, len(self._codes), curve=spread.exposure)),
        )


def _at(policy: Policy, strength: float) -> Policy:
    return _with(policy, msgspec.structs.replace(spread_of(policy), strength=strength, segments=(), give_up=None))


def _with(policy: Policy, spread: Spread) -> Policy:
    """Return the policy with another last stage."""
    return Policy(policy.head, [*policy.stages[:-1], spread])


def _board(rows: Codes, candidates: int, pages: Sequence[Page]) -> Board:
    """Return (b, k) which rows of the pool stand where, -1 for none."""
    places = np.full(candidates, -1)
    places[rows] = np.arange(len(rows))
    slots = max(len(page.items) + page.status.missing for page in pages)
    board = np.full((len(pages), slots), -1)
    for place, page in enumerate(pages):
        board[place, : len(page.items)] = places[page.slate.rows]
    return board


def _means(figures: NDArray[np.float64]) -> Numbers:
    """Return the means over the first axis, without what is NaN."""
    there = ~np.isnan(figures)
    counts = there.sum(axis=0)
    return np.where(counts > 0, np.where(there, figures, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)


def _within(points: Sequence[Point], share: float) -> Within:
    near = list(takewhile(lambda point: point.kept >= 1 - share - TOLERANCE, points))
    return Within(share, near[-1].strength if near else None)
