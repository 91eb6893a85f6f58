"""Trace: why this page, slot by slot.

A trace is read off the columns before and after each stage, and off the rules around each slot; `why.py` writes it.
Only a selector for which a row's worth depends on the rows above says itself what that was (`Selector.judged`).
Utilities and values are in the policy's currency; slots count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import msgspec
import numpy as np
from numpy.typing import NDArray


class Step(msgspec.Struct, frozen=True, gc=False):
    """What one stage wrote for one row.

    Attributes:
        stage: Section of the stage, such as `blend.weight`.
        column: The column that it wrote.
        value: The value it wrote.
        terms: Parts that add up to `value`, where the stage is a sum; each is weight times input.
    """

    stage: str
    column: str
    value: float
    terms: dict[str, float] = {}


class Other(msgspec.Struct, frozen=True, gc=False):
    """A row that could have stood in a slot, and did not.

    Attributes:
        item_id: Its item.
        line: Its line.
        utility: What it would have been worth there.
        margin: What the row that stands there is worth minus that; negative if it was worth more.
        rule: The rule that held it back; empty if none did.
    """

    item_id: str | int
    line: str
    utility: float
    margin: float
    rule: str = ""


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of what a row is worth in its slot.

    Attributes:
        name: What it is due to: `relevance`, or the name of a term, a class, a balance.
        amount: What it adds; negative if it takes.
        item_id: The item above because of which it does; None if it is due to the row alone.
    """

    name: str
    amount: float
    item_id: str | int | None = None


@final
@dataclass(frozen=True, slots=True)
class Judged:
    """What rows were worth in each slot, for a selector to which that depends on the rows above.

    Attributes:
        worth: (k, n) float64.
        parts: For each slot, what makes up the worth of the row that stands there.
    """

    worth: NDArray[np.float64]
    parts: tuple[tuple[Part, ...], ...]


class SlotTrace(msgspec.Struct, frozen=True):
    """Why a row stands in a slot.

    Attributes:
        slot: Place on the page, from 1.
        item_id: The item that stands there.
        line: The line that nominated it.
        utility: The column that the last selector goes by, for this row.
        worth: What the row is worth in this slot, where that depends on the rows above; else `utility`.
        near_tie: Whether the runner-up is worth the same but for rounding.
        steps: What each stage wrote for it, in running order.
        runner_up: The best row that could have stood here instead; None if there was no other.
        held_back: The best row worth more than this one that a rule kept out; None if none was.
        parts: What `worth` is made of, where it is not one number: they add up to it.
    """

    slot: int
    item_id: str | int
    line: str
    utility: float
    worth: float
    near_tie: bool
    steps: tuple[Step, ...]
    runner_up: Other | None
    held_back: Other | None
    parts: tuple[Part, ...] = ()


class Trace(msgspec.Struct, frozen=True):
    """Why a page looks as it does.

    Attributes:
        policy: Content hash of the policy.
        slots: One entry per slot.
    """

    policy: str
    slots: tuple[SlotTrace, ...]
