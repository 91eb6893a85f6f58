"""Page problem and solution: what a method is given, and what it gives back.

A page of k of n rows is worth

    value = sum_s worth[page[s], s] + sum_{s < t} sum_p [left_p(page[s]) = right_p(page[t])] * worth_p(t - s)

with worth[i, s] = utility_i * exposure_s + extra[i, s]. It is to be as long as `slots`, rows and contractual rules
allow, to break the other rules as little as possible, the most important first, and then to be worth as much as
possible. A method returns such a page as it finds, and what it can prove of it: the solution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, isfinite
from typing import final

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes, Numbers
from slatewise.core.constraints import Constraints

TOLERANCE = 1e-9
"""Values nearer to each other than this, relative to the larger, count as equal: sums of floats differ by order."""

LOOKS_PER_MS = 5_000
"""Work is counted, never timed, so that the same request gives the same page: this many looks stand for 1 ms."""


@final
@dataclass(frozen=True, slots=True)
class Pairs:
    """What two rows on a page add or take from each other: P kinds of pairs, up to `reach` slots apart.

    Attributes:
        left: (n, P) int32, code of a row as the upper of a pair, -1 for none.
        right: (n, P) int32, code of a row as the lower of a pair; a pair is of kind p where these are equal.
        worth: (P, reach) float64, what such a pair adds at distance 1, 2, ...; negative for substitutes.
    """

    left: Codes
    right: Codes
    worth: Numbers


NO_PAIRS = Pairs(np.empty((0, 0), np.int32), np.empty((0, 0), np.int32), np.empty((0, 0)))


@final
@dataclass(frozen=True, slots=True)
class PageProblem:
    """A page to be chosen: k slots, n rows.

    Attributes:
        utility: (n,) float64, what a row is worth in a slot of exposure 1.
        exposure: (k,) float64, >= 0.
        order: (n,) int32, rows by descending utility, ties decided.
        constraints: The rules, bound to the rows and to what the session saw last.
        extra: (n, k) float64, what a row is worth in a slot besides; None for nothing.
        pairs: What two rows add or take from each other.
        deadline_ms: Work allowed, in milliseconds as `LOOKS_PER_MS` has them.
    """

    utility: Numbers
    exposure: Numbers
    order: Codes
    constraints: Constraints
    extra: Numbers | None = None
    pairs: Pairs = NO_PAIRS
    deadline_ms: float = 10.0

    @property
    def slots(self) -> int:
        """k, the page size asked for."""
        return self.constraints.slots

    @property
    def looks(self) -> int:
        """The work allowed, in looks."""
        return int(self.deadline_ms * LOOKS_PER_MS)

    @property
    def worth(self) -> Numbers:
        """(n, k) float64: what each row is worth in each slot."""
        worth = np.multiply.outer(self.utility, self.exposure)
        return worth if self.extra is None else worth + self.extra

    @property
    def falls(self) -> bool:
        """Whether rows are worth utility times exposure alone, which falls from slot to slot or stays."""
        if self.extra is not None or len(self.pairs.worth):
            return False
        exposure = self.exposure.tolist()
        return exposure == sorted(exposure, reverse=True)

    def value(self, rows: Codes) -> float:
        """Return what a page is worth."""
        parts = (self.utility.take(rows) * self.exposure[: len(rows)]).tolist()
        if self.extra is not None:
            parts += self.extra[rows, np.arange(len(rows))].tolist()
        for kind, worth in enumerate(self.pairs.worth):
            left, right = self.pairs.left[rows, kind], self.pairs.right[rows, kind]
            for distance in range(1, min(len(worth), len(rows) - 1) + 1):
                matched = (left[:-distance] == right[distance:]) & (left[:-distance] >= 0)
                parts.append(float(worth[distance - 1]) * int(matched.sum()))
        return fsum(parts)


@final
class Solution(msgspec.Struct, frozen=True):
    """A page and what is proven of it.

    Attributes:
        rows: Rows of the page, first slot first.
        value: What they are worth.
        bound: What no page that is as long and breaks the rules as little is worth more than; infinite if unknown.
        least: Whether it is proven that no page is longer, and none as long breaks the rules less.
        prices: (R,) float64, utility per unit of each rule's bounds, >= 0; None if the method has none.
        strength: The strength of variety that a search found; None if none was asked for.
        spent: Share of the page's value that this strength gives up.
        exhausted: First slot, from 0, whose row adds nothing new to what is above; None if there is none.
        memory: What the next page of the session has to know, besides the rows shown.
    """

    rows: Codes
    value: float
    bound: float = np.inf
    least: bool = False
    prices: Numbers | None = None
    strength: float | None = None
    spent: float | None = None
    exhausted: int | None = None
    memory: Mapping[str, bytes] = {}

    @property
    def gap(self) -> float:
        """By how much the page might be better, relative to its value; 0 within rounding."""
        if not isfinite(self.bound):
            return np.inf
        missing = self.bound - self.value
        scale = max(abs(self.value), abs(self.bound))
        if missing <= TOLERANCE * scale:
            return 0.0
        return missing / abs(self.value) if self.value else np.inf

    @property
    def is_proven(self) -> bool:
        """Whether no other page is better."""
        return self.least and self.gap == 0.0


def unlimited(problem: PageProblem, length: int) -> float:
    """Return what no page of `length` is worth more than, rules or no rules."""
    if length == 0:
        return 0.0
    bonus = np.maximum(problem.pairs.worth, 0).sum() * length if problem.pairs.worth.size else 0.0
    exposure = problem.exposure[:length]
    if problem.extra is None:
        best = problem.utility[problem.order[:length]]
        return fsum((best * np.sort(exposure)[::-1]).tolist()) + bonus
    return fsum(problem.worth[:, :length].max(axis=0).tolist()) + bonus


def ranked(worth: Numbers, order: Codes) -> NDArray[np.int32]:
    """Return (k, n) int32: rows by descending worth in each slot; of equals, the first in `order`."""
    by_slot = np.argsort(-worth[order], axis=0, kind="stable")
    return np.ascontiguousarray(order[by_slot].T, dtype=np.int32)
