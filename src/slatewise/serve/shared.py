"""Shared: what this process knows of what all processes must remember, and how it is kept up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, final

from slatewise.core.control import Control
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.serve.replies import Freshness


class Remembered(NamedTuple):
    """What a page is composed with.

    Attributes:
        control: What control loops remember; None if the policy has none, or they are at their start.
        version: Version of that.
        state: How fresh it is.
        age_ms: How old it is.
    """

    control: Control | None = None
    version: int = 0
    state: Freshness = "fresh"
    age_ms: float = 0.0


@final
class Shared:
    """The state of one process."""

    def recall(self, policy: Policy) -> Remembered:
        """Return what is known now; it never waits."""
        return Remembered()

    async def granted(
        self, policy: Policy, request: Request, page: str, *, left_s: float
    ) -> Mapping[str, Mapping[str, int]]:
        """Return what the policy's caps allow this page; the store is asked only for caps of users."""
        return {}

    def served(self, policy: Policy, request: Request, page: Page, token: str) -> None:
        """Take note of a page that was served: what it counts, and what it did not take of what it was granted."""
