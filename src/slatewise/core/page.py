"""Page: what a request gets back."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from slatewise.core.slate import Slate
from slatewise.core.state import State
from slatewise.core.trace import Trace

StatusKind: TypeAlias = Literal["optimal", "feasible", "relaxed", "empty"]


class Relaxation(msgspec.Struct, frozen=True, gc=False):
    """A rule that gave way.

    Attributes:
        rule: Name of the rule.
        by: How far its windows are outside their bounds, summed; in rows, or in units of the rule's weight.
        against: Rules with which it cannot hold on any page of this length; none if it cannot hold by itself, or if
            the collision could not be found in little work.
    """

    rule: str
    by: float
    against: tuple[str, ...] = ()


class RuleCost(msgspec.Struct, frozen=True, gc=False):
    """What a rule costs a page.

    Attributes:
        rule: Name of the rule.
        binds: Whether some count of it stands at its bound on the page, or beyond.
        lost: Value of the page without the rule minus that of the page with it; 0 if it does not bind. Exact where
            both are optimal.
        price: Utility that one unit more of all its bounds would be worth, by the method's prices; none if it has none.
        relaxed: By how much it gave way.
    """

    rule: str
    binds: bool
    lost: float
    price: float | None
    relaxed: float


class Status(msgspec.Struct, frozen=True):
    """How a page came out, measured on the page that is served.

    Attributes:
        kind: `optimal` (every rule holds, and it is proven that no such page is worth more), `feasible` (every rule
            holds), `relaxed` (some rule gave way), or `empty` (no row).
        relaxed: The rules that gave way, most important first.
        missing: Slots asked for and not filled: too few candidates, or contractual rules forbade more.
        held: Contractual rules that kept the page short.
        bound: What no page that is as long and breaks the rules as little is worth more than; none if unknown.
        gap: By how much the page might be better, relative to its value; 0 if it is the best; none if unknown.
        least: Whether it is proven that no page is longer, and none as long breaks the rules less.
        strength: The strength of variety that `give_up` led to; none if it was not asked for.
        spent: Share of the page's value that this strength gives up; above `give_up` if no strength kept to it.
        exhausted: First slot, from 1, whose row adds nothing to what some term has seen above; none if there is none.
    """

    kind: StatusKind
    relaxed: tuple[Relaxation, ...] = ()
    missing: int = 0
    held: tuple[str, ...] = ()
    bound: float | None = None
    gap: float | None = None
    least: bool = False
    strength: float | None = None
    spent: float | None = None
    exhausted: int | None = None


class PlacedItem(msgspec.Struct, frozen=True, gc=False):
    """An item on a page.

    Attributes:
        slot: Place on the page, from 1.
        item_id: The item.
        line: The line that nominated it.
        utility: What the last selector maximised, for this item.
    """

    slot: int
    item_id: str | int
    line: str
    utility: float


class PageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A page as it is sent and stored.

    Attributes:
        request_id: Name of the request.
        items: What is shown, first slot first.
        value: What the last selector maximised: for `compose.solve`, utilities times exposure, bonuses and pairs.
        status: Whether the rules hold.
        probability: Probability that this page was chosen.
        policy: Content hash of the policy.
        state: Token of what the session has seen; send it with the next request.
        trace: Why this page; only if asked for.
    """

    request_id: str
    items: tuple[PlacedItem, ...]
    value: float
    status: Status
    probability: float
    policy: str
    state: str
    trace: Trace | msgspec.UnsetType = msgspec.UNSET


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page, ready to be served.

    Attributes:
        request_id: Name of the request.
        slate: Rows of the request's candidates in serving order.
        items: The same rows as people know them.
        value: What the last selector maximised: for `compose.solve`, utilities times exposure, bonuses and pairs.
        status: Whether the rules hold.
        policy: Content hash of the policy.
        state: What the session has seen after this page; give it to the next request.
        trace: Why this page; None unless asked for.
    """

    request_id: str
    slate: Slate
    items: tuple[PlacedItem, ...]
    value: float
    status: Status
    policy: str
    state: State
    trace: Trace | None = None

    @property
    def item_ids(self) -> list[Any]:
        """Ids in serving order."""
        return [item.item_id for item in self.items]

    def untraced(self) -> Page:
        """Return the page without its trace."""
        return msgspec.structs.replace(self, trace=None)

    def document(self) -> PageDocument:
        """Return the page as the service sends it."""
        return PageDocument(
            request_id=self.request_id,
            items=self.items,
            value=self.value,
            status=self.status,
            probability=self.slate.probability,
            policy=self.policy,
            state=self.state.token,
            trace=msgspec.UNSET if self.trace is None else self.trace,
        )

    def encode(self) -> bytes:
        """Return the page as JSON; equal pages give equal bytes."""
        return msgspec.json.encode(self.document())
