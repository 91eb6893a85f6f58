"""Control loops on a replay: the same that run in production, moved on by the ledgers of the pages replayed.

Requests are taken in windows. All pages of a window are composed with what the loops remembered before it, whatever the
threads; then the window's ledgers move them on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from slatewise.core.control import Control
from slatewise.core.errors import RequestError, shown
from slatewise.core.ledger import Entry, Ledger
from slatewise.core.request import Request
from slatewise.feed import Feed


class Loops:
    """The control loops of a policy.

    Attributes:
        control: What they remember now.
        window: Pages between two moves; 0 holds them still.
        ledgers: Those of the last window.

    Examples:
        >>> from slatewise import Candidates, Merge, Policy, Weight
        >>> feed = Feed(Policy.of(Weight(), Merge(), lines=["posts"], columns={"score": "number", "value": "number"}))
        >>> loops = Loops(feed, window=2)
        >>> items = Candidates.of(item_id=["a"], line=["posts"], score=[1.0], value=[0.5])
        >>> loops.move([Request(candidates=items, id="first")])
        >>> loops.ledgers[0][0].score
        0.5
    """

    def __init__(
        self,
        feed: Feed,
        *,
        window: int,
        control: Control | None = None,
        outcome: Callable[[Entry], float | None] | None = None,
    ) -> None:
        """Start the loops.

        Args:
            feed: The policy at work.
            window: Pages between two moves, >= 0; 0 holds them still.
            control: What they remember; their start if not given.
            outcome: Says what showing a row brought, if that is known; ledgers carry it to the loops.

        Raises:
            RequestError: The window is negative.
        """
        if window < 0:
            raise RequestError("window", "must be >= 0", shown(window))
        self.control = feed.init() if control is None else control
        self.window = window
        self.ledgers: tuple[Ledger, ...] = ()
        self._feed = feed
        self._outcome = outcome

    def steered(self, request: Request) -> Request:
        """Return the request with what the loops remember."""
        return msgspec.structs.replace(request, control=self.control)

    def move(self, requests: Sequence[Request]) -> None:
        """End a window: account for the pages of its requests, and move the loops on.

        Raises:
            RequestError: As `Feed.compose`.
        """
        ledgers = [self._feed.account(self.steered(request)) for request in requests]
        if self._outcome is not None:
            known = self._outcome
            ledgers = [
                tuple(msgspec.structs.replace(entry, outcome=known(entry)) for entry in ledger) for ledger in ledgers
            ]
        self.ledgers = tuple(ledgers)
        self.control = self._feed.advance(self.control, self.ledgers)
