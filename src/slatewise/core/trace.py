"""Trace: why this page, slot by slot.

A trace is read off the columns before and after each stage, and off the rules around each slot; `feed.py` writes it
and no stage knows of it. Utilities and values are in the policy's currency; slots count from 1.
"""

from __future__ import annotations

import msgspec


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
        utility: Its utility.
        margin: Utility of the row that stands there minus its own; negative if it was worth more.
        rule: The rule that held it back; empty if none did.
    """

    item_id: str | int
    line: str
    utility: float
    margin: float
    rule: str = ""


class SlotTrace(msgspec.Struct, frozen=True):
    """Why a row stands in a slot.

    Attributes:
        slot: Place on the page, from 1.
        item_id: The item that stands there.
        line: The line that nominated it.
        utility: What the last selector maximised, for this row.
        steps: What each stage wrote for it, in running order.
        runner_up: The best row that could have stood here instead; None if there was no other.
        held_back: The best row worth more than this one that a rule kept out; None if none was.
    """

    slot: int
    item_id: str | int
    line: str
    utility: float
    steps: tuple[Step, ...]
    runner_up: Other | None
    held_back: Other | None


class Trace(msgspec.Struct, frozen=True):
    """Why a page looks as it does.

    Attributes:
        policy: Content hash of the policy.
        slots: One entry per slot.
    """

    policy: str
    slots: tuple[SlotTrace, ...]
