"""Ladder: a policy with less and less work, and the same hard rules on every rung.

    request + conditions -> candidates that caps allow -> fewer candidates -> the feed of the rung -> page

`compose` is a pure function of policy, request and conditions: what the service decided about a page from clocks and
counts is in its conditions, so the page is composed again, byte for byte, from the decision log.

A rung is a policy that is checked like any other. Where it looks at fewer candidates and its page is shorter than asked
or breaks a rule, the last rung's page of all candidates is made too, and the better of the two is served: narrowing
never costs a rule that the cheapest rung can keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple, final

import msgspec

from slatewise.core.constraints import Rulebook
from slatewise.core.ledger import Ledger
from slatewise.core.narrow import ALL, Ceiling, Within, fewer
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.core.serving import Cap, Rung
from slatewise.feed import Feed
from slatewise.rungs import declared, derived, wrong

FULL_NAME = "full"
"""Name of the first rung."""


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


class _Composed(NamedTuple):
    page: Page
    feed: Feed
    within: Within


@final
class Ladder:
    """Composes pages by a policy, on any of its rungs.

    Attributes:
        policy: The policy.
        rungs: What there is below the full pipeline, best first.
        feeds: The feed of each rung, the full pipeline first.
        names: Their names; the first is `full`.

    Examples:
        >>> from slatewise import Candidates, Solve
        >>> light = Rung(name="light", page="greedy", candidates=50, keep="utility", quality=0.5)
        >>> policy = Policy.of(Solve(), lines=["posts"], columns={"utility": "number"}, serve={"rungs": [light]})
        >>> ladder = Ladder(policy)
        >>> ladder.names
        ('full', 'light')
        >>> request = Request(candidates=Candidates.of(item_id=["a", "b"], utility=[1.0, 2.0]), slots=1)
        >>> ladder.compose(request, Conditions(rung=1)).item_ids
        ['b']
    """

    def __init__(self, policy: Policy) -> None:
        """Build every rung.

        Raises:
            PolicyError: A rung is no policy, or has other hard rules.
        """
        self.policy = policy
        self.rungs: tuple[Rung, ...] = declared(policy)
        self.names = (FULL_NAME, *(rung.name for rung in self.rungs))
        for place, name in enumerate(self.names):
            if name in self.names[:place]:
                raise wrong(policy, place - 1, ("name",), "must be a name that no rung above has", name)
        full = Feed(policy)
        below = [derived(policy, place, full.remembers) for place in range(len(self.rungs))]
        self.feeds = (full, *(Feed(rung, of=policy) for rung in below))
        loops = {stage.section for stage in policy.controllers}
        self._steered = [loops <= {stage.section for stage in one.policy.controllers} for one in self.feeds]
        self._caps: dict[str, Cap] = {cap.name: cap for cap in policy.head.serve.caps}
        book = Rulebook(policy.rules)
        self._tiers = {rule.name: tier for rule, tier in zip(book.rules, book.tier.tolist(), strict=True)}

    def compose(self, request: Request, under: Conditions = FULL, *, trace: bool = False) -> Page:
        """Return the page for a request; its policy is the ladder's, whatever the rung.

        Conditions of another policy's page may be given: below the last rung there is the last, and caps that the
        policy does not have bind nothing.

        Raises:
            RequestError: As `Feed.compose`.
        """
        return self._composed(_timed(request, under), under, trace).page

    def account(self, request: Request, under: Conditions = FULL) -> Ledger:
        """Return the ledger of the page that `compose` gives.

        Raises:
            RequestError: As `Feed.compose`.
        """
        request = _timed(request, under)
        _, feed, within = self._composed(request, under, False)
        return feed.account(request, within)

    def is_steered(self, under: Conditions) -> bool:
        """Whether the rung has all control loops of the policy; what they do not steer tells them nothing."""
        return self._steered[min(under.rung, len(self.rungs))]

    def warm(self) -> None:
        """Compile every kernel that some rung uses."""
        for feed in self.feeds:
            feed.warm()

    def _composed(self, request: Request, under: Conditions, trace: bool) -> _Composed:
        """Return the page, and by which feed, from which rows it was made."""
        granted = under.granted  # in the order of the policy: a log has it in another
        ceilings = [Ceiling(cap, granted[name]) for name, cap in self._caps.items() if name in granted]
        place, within = min(under.rung, len(self.rungs)), Within(None, ceilings) if ceilings else ALL
        feed, rung = self.feeds[place], self.rungs[place - 1] if place else None
        if rung is None or rung.candidates is None or rung.keep is None:
            return _Composed(feed.compose(request, within, trace=trace), feed, within)
        request = self.policy.admit(request)
        rows = fewer(request, self.policy.rules, keep=rung.keep, most=ceil(under.quality * rung.candidates))
        narrow = within._replace(rows=rows)
        found = _Composed(feed.compose(request, narrow, trace=trace), feed, narrow)
        if rows is None or not (found.page.status.missing or found.page.status.relaxed):
            return found
        last = _Composed(self.feeds[-1].compose(request, within, trace=trace), self.feeds[-1], within)
        return min(found, last, key=lambda composed: self._faults(composed.page))

    def _faults(self, page: Page) -> tuple[int, tuple[float, ...]]:
        """Return what a page lacks, most important first: slots, and by how much the rules of each tier gave way."""
        amounts = [0.0] * (max(self._tiers.values(), default=0) + 1)
        for relaxed in page.status.relaxed:
            amounts[self._tiers[relaxed.rule]] += relaxed.by
        return page.status.missing, tuple(amounts)


def _timed(request: Request, under: Conditions) -> Request:
    """Return the request with the clock of the service, if it does not say when it was asked."""
    return msgspec.structs.replace(request, time=under.time) if under.time and not request.time else request
