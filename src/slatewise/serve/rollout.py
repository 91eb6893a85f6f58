"""Rollout: which policy serves a request, and how that changes while requests come in."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, NamedTuple, final

from slatewise.core.policy import Policy
from slatewise.ladder import Ladder
from slatewise.serve.limits import Limits
from slatewise.serve.pilot import Pilot
from slatewise.serve.wire import Wire


@final
class Deployed:
    """A policy that is ready to serve: checked, compiled, warm.

    Attributes:
        policy: The policy.
        ladder: Its rungs.
        wire: Decodes requests for it.
        pilot: Chooses rungs.
    """

    def __init__(self, policy: Policy, limits: Limits) -> None:
        """Build everything that serving it takes."""
        self.policy = policy
        self.ladder = Ladder(policy)
        self.wire = Wire(policy, limits)
        self.pilot = Pilot(policy.head.serve, rungs=len(self.ladder.feeds))

    @cached_property
    def hash(self) -> str:
        """The policy's content hash."""
        return self.policy.hash


class Chosen(NamedTuple):
    """Who serves a request."""

    deployed: Deployed
    variant: Literal["active", "canary"]


@final
class Rollout:
    """The policies of a service.

    Attributes:
        active: The policy that serves.
        canary: The policy that serves a share of users; None if there is none.
        share: That share.
    """

    def __init__(self, active: Deployed) -> None:
        """Start with a policy."""
        self.active = active
        self.canary: Deployed | None = None
        self.share = 0.0

    def chosen(self, user: str) -> Chosen:
        """Return who serves a user: the same for the same user, whichever process is asked."""
        return Chosen(self.active, "active")
