"""Journal: the decision log, written beside the requests."""

from __future__ import annotations

from typing import NamedTuple, final

from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.ladder import Conditions
from slatewise.serve.replies import Served
from slatewise.serve.shared import Remembered


class Decision(NamedTuple):
    """What is known of a page when it is served.

    Attributes:
        policy: The policy that served it.
        request: The request as decoded.
        body: The request as it came.
        media: Media type of the body.
        under: What was decided from clocks and counts.
        remembered: What control loops remembered.
        page: The page.
        served: How it was served.
        timings_ms: Milliseconds by step: `decode`, `reserve`, `compose`, `encode`, `age` when it was taken up.
    """

    policy: Policy
    request: Request
    body: bytes
    media: str
    under: Conditions
    remembered: Remembered
    page: Page
    served: Served
    timings_ms: dict[str, float]


@final
class Journal:
    """A bounded queue of decisions, and the thread that writes them.

    Attributes:
        dropped: Decisions that found the queue full.
    """

    dropped: int = 0

    def wants_trace(self, policy: Policy, request: Request) -> bool:
        """Tell whether the page of a request should be composed with a trace for the log."""
        return False

    def offer(self, decision: Decision) -> None:
        """Take a decision, or drop and count it; it never waits."""

    def close(self) -> None:
        """Write what is still there."""
