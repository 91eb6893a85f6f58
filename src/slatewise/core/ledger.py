"""Ledger: what each slot of a page was given to, what that was made of, and what it took from the others.

One entry per slot, in the policy's currency. A score is a sum,

    score = value + weight + price + shade + boosts,

so what each stage did can be added up over pages, whatever the order of stages. Control loops learn from ledgers.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Accounting: TypeAlias = Literal["displacement", "own"]
"""What the winner of a slot pays: the value that it displaces, or its own score."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The first row of a line that still has to be placed.

    Attributes:
        value: What showing it is worth by itself.
        worth: The same, weighed for this user; before prices, shading and boosts.
        score: What it competed with.
    """

    value: float
    worth: float
    score: float


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that was given to a line.

    Attributes:
        request: Name of the request.
        time: When the page was asked for, in seconds.
        slot: Place on the page, from 1.
        line: The line that has the slot.
        item_id: The item that stands there.
        value: What showing it is worth by itself.
        terms: What was added to that: by `weight`, `price`, `shade`, and `boost.` with the name of a plan.
        score: What it competed with: `value` and all terms.
        runner_up: The line whose head came second; None if no other line had a row left.
        margin: By how much it won, negative if a rule or the page as a whole decided; 0 without runner-up.
        charge: What the line is charged for the slot.
        heads: Each line's head when the slot was given away, the winner's included.
        without: The line that would have won without a plan, by plan, where it is another.
        propensity: Probability that explored weights or scores were drawn as they were, 1 if nothing was explored.
        outcome: What showing it brought, once that is known; None before.
        pages: How many pages this one stands for; more than 1 where only a sample of pages has ledgers.
    """

    request: str
    time: float
    slot: int
    line: str
    item_id: str | int
    value: float
    score: float
    terms: dict[str, float] = {}
    runner_up: str | None = None
    margin: float = 0.0
    charge: float = 0.0
    heads: dict[str, Head] = {}
    without: dict[str, str] = {}
    propensity: float = 1.0
    outcome: float | None = None
    pages: float = 1.0


Ledger: TypeAlias = tuple[Entry, ...]
"""The entries of one page, first slot first."""
