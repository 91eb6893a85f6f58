"""Ladder: a policy with less and less work, and the same hard rules on every rung.

    request + conditions -> candidates that caps allow -> fewer candidates -> the feed of the rung -> page

`compose` is a pure function of policy, request and conditions: what the service decided about a page from clocks and
counts is in its conditions, so the page is composed again, byte for byte, from the decision log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import msgspec

from slatewise.core.ledger import Ledger
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.feed import Feed


@final
class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was decided about a page from clocks and counts.

    Attributes:
        rung: Place on the ladder; 0 is the full pipeline.
        quality: The quality factor, in steps of an eighth; below the first rung it scales how many candidates are kept.
        granted: Cap to how many rows each value of its column may take on this page; a value that is not there has
            none. The value of a cap without column is "". A cap that is not there does not bind.
        time: Clock of the service, in seconds, for a request that does not say when it was asked; 0 if it does.
    """

    rung: int = 0
    quality: float = 1.0
    granted: Mapping[str, Mapping[str, int]] = {}
    time: float = 0.0


FULL = Conditions()


@final
class Ladder:
    """Composes pages by a policy, on any of its rungs.

    Attributes:
        policy: The policy.
        feeds: The feed of each rung, the full pipeline first.
        names: Their names; the first is `full`.
    """

    def __init__(self, policy: Policy) -> None:
        """Build every rung.

        Raises:
            PolicyError: A rung is no policy, or has other hard rules.
        """
        self.policy = policy
        self.feeds: tuple[Feed, ...] = (Feed(policy),)
        self.names: tuple[str, ...] = ("full",)

    def compose(self, request: Request, under: Conditions = FULL, *, trace: bool = False) -> Page:
        """Return the page for a request; its policy is the ladder's, whatever the rung.

        Raises:
            RequestError: As `Feed.compose`.
        """
        return self.feeds[under.rung].compose(request, trace=trace)

    def account(self, request: Request, under: Conditions = FULL) -> Ledger:
        """Return the ledger of the page that `compose` gives.

        Raises:
            RequestError: As `Feed.compose`.
        """
        return self.feeds[under.rung].account(request)

    def warm(self) -> None:
        """Compile every kernel that some rung uses."""
        for feed in self.feeds:
            feed.warm()
