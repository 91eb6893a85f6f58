"""Caps: what they are counted by, and what a page asks of them.

A counter is named by the span of its cap, the cap's name, and the value it is counted by, such as `86400.0/brands/x`:
a cap whose span changes starts anew, and whoever has the name of a counter can count.
"""

from __future__ import annotations

from typing import NamedTuple

from slatewise.core.caps import capped
from slatewise.core.columns import Codes
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.serving import Cap
from slatewise.serve.state.store.contract import Want


class Take(NamedTuple):
    """That an item on a page is counted by a cap.

    Attributes:
        slot: Its place on the page, from 0.
        cap: The cap.
        counter: What counts it.
    """

    slot: int
    cap: Cap
    counter: str


def counter(cap: Cap, value: str) -> str:
    """Return the name of what counts a value of a cap.

    >>> counter(Cap(name="brands", at_most=3), "x")
    '86400.0/brands/x'
    """
    return f"{float(cap.within_s)}/{cap.name}/{value}"


def span_of(counter: str) -> float:
    """Return the span of a counter, in seconds.

    >>> span_of("86400.0/brands/x")
    86400.0
    """
    return float(counter.partition("/")[0])


def takes(policy: Policy, request: Request, rows: Codes) -> list[Take]:
    """Return what the items of a page are counted by, cap by cap, whatever it is that the caps count."""
    found: list[Take] = []
    if policy.head.serve.caps:
        for cap in policy.head.serve.caps:
            codes, names = capped(cap, request.candidates)
            of_page = codes[rows].tolist()
            found += [Take(slot, cap, counter(cap, names[code])) for slot, code in enumerate(of_page) if code >= 0]
    return found


def want(cap: Cap, value: str, items: int) -> Want:
    """Return what a page that could show so many items asks of a user's cap."""
    at_most = int(cap.at_most)
    return Want(counter=counter(cap, value), wanted=min(items, max(at_most, 1)), at_most=at_most, within_s=cap.within_s)
