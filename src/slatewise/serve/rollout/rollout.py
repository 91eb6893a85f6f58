"""Rollout: which policy serves a request, and how that changes while requests come in.

What serves is one value, which is put in the place of another at once. A request is served to its end by the policy
with which it began. Who is served by the canary is decided by a hash of user and policy: the same in every process,
and whoever is in at 1 % is still in at 10 %. Cost of the choice: a hash, and that only while there is a canary.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeAlias, final

import msgspec

from slatewise.core.policy import Policy
from slatewise.ladder import Ladder
from slatewise.serve.limits import Limits
from slatewise.serve.log.journal import Decision
from slatewise.serve.rollout.guard import Outcomes
from slatewise.serve.rollout.shadow import Asked, Ring
from slatewise.serve.timing.pilot import Pilot
from slatewise.serve.wire import Order, Wire

Variant: TypeAlias = Literal["active", "canary"]


@final
class Deployed:
    """A policy that is ready to serve: checked, compiled, warm.

    Attributes:
        policy: The policy.
        ladder: Its rungs.
        wire: Decodes requests for it.
        pilot: Chooses rungs.
        outcomes: How its pages came out lately.
    """

    def __init__(self, policy: Policy, limits: Limits) -> None:
        """Build everything that serving it takes."""
        self.policy = policy
        self.ladder = Ladder(policy)
        self.wire = Wire(policy, limits)
        self.pilot = Pilot(policy.head.serve, rungs=len(self.ladder.feeds))
        self.outcomes = Outcomes()
        self._limits = limits
        self._ignored = frozenset[str]()

    @cached_property
    def hash(self) -> str:
        """The policy's content hash."""
        return self.policy.hash

    @cached_property
    def document(self) -> bytes:
        """What the policy says, as JSON that holds everything."""
        return msgspec.json.encode(self.policy.document())

    def warm(self) -> None:
        """Compile and load all that serving takes, which takes longer than a request may."""
        self.ladder.warm()
        self.wire.warm()

    def beside(self, columns: Iterable[str]) -> None:
        """Let requests bring these columns, too; those that are not the policy's are left out."""
        ignored = frozenset(columns) - self.policy.head.columns.keys()
        if ignored != self._ignored:
            self.wire, self._ignored = Wire(self.policy, self._limits, ignored=sorted(ignored)), ignored


class Chosen(NamedTuple):
    """Who serves a request."""

    deployed: Deployed
    variant: Variant


class Taken(NamedTuple):
    """A request, and who serves it."""

    order: Order
    deployed: Deployed
    variant: Variant


class Standing(NamedTuple):
    """What serves.

    Attributes:
        active: The policy that serves.
        previous: The one before it, still compiled; None if there is none.
        canary: The policy that serves a share of users; None if there is none.
        share: That share.
    """

    active: Deployed
    previous: Deployed | None = None
    canary: Deployed | None = None
    share: float = 0.0


@final
class Rollout:
    """The policies of a service.

    Attributes:
        standing: What serves now.
        ring: Requests served lately, on which other policies can be tried.
    """

    def __init__(self, active: Deployed, *, ring: Ring | None = None) -> None:
        """Start with a policy."""
        self.standing = Standing(active)
        self.ring = Ring() if ring is None else ring

    @property
    def active(self) -> Deployed:
        """The policy that serves."""
        return self.standing.active

    @property
    def canary(self) -> Deployed | None:
        """The policy that serves a share of users; None if there is none."""
        return self.standing.canary

    @property
    def share(self) -> float:
        """That share."""
        return self.standing.share

    def swap(self, standing: Standing) -> None:
        """Serve by other policies from the next request on."""
        self.standing = standing

    def chosen(self, user: str) -> Chosen:
        """Return who serves a user: the same for the same user, whichever process is asked."""
        standing = self.standing
        if standing.canary is not None and place_of(user, standing.canary.hash) < standing.share:
            return Chosen(standing.canary, "canary")
        return Chosen(standing.active, "active")

    def taken(self, body: bytes, media: str) -> Taken:
        """Return what a body asks for, as the policy has it that serves its user.

        Raises:
            RequestError: It does not fit the policy; the policy is blamed for it if others do better.
        """
        by = self.standing.active
        try:
            order = by.wire.decode(body, media)
            deployed, variant = self.chosen(order.request.user or order.request.id)
            if deployed is not by:
                by = deployed
                order = by.wire.decode(body, media)
        except Exception:
            by.outcomes.failed += 1
            raise
        return Taken(order, deployed, variant)

    def served(self, deployed: Deployed, decision: Decision, *, latency_s: float, now: float) -> None:
        """Take note of a page."""
        deployed.outcomes.add(decision.page, rung=decision.under.rung, latency_s=latency_s)
        if self.ring.wants(now):
            asked = Asked(decision.body, decision.media, decision.under, decision.remembered.control)
            self.ring.add(asked, now=now)


def place_of(user: str, policy: str) -> float:
    """Return where a user stands in [0, 1) among all, for a policy.

    >>> place_of("ada", "p") == place_of("ada", "p"), place_of("ada", "p") == place_of("ada", "q")
    (True, False)
    """
    return int.from_bytes(blake2b(f"{policy}\0{user}".encode(), digest_size=7).digest()) / 2**56
