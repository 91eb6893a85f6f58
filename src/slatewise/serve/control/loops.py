"""Loops: the control loops of a service, over all its workers.

    page -> ledger (a thread, some of the pages) -> letter -> the store's box
    leader, once per control window: letters in order of time -> `Feed.advance` -> snapshot, published
    every worker, several times a window: snapshot -> the next pages

Who holds the lease of a policy's loops is their leader. A lease lasts a few windows, so another worker takes over soon
after a leader was lost, and goes on from the last snapshot. Two leaders for a moment do no harm: the store refuses the
snapshot of the one with the older lease. What a leader had taken and not yet published is lost with it: at most a
window of ledgers.

While nothing is published, for `fade_s` everything stays as it was; then prices, rates and whatever else loops move
fade to neutral over `over_s`, in eighths, so that few different memories are in use at a time. A policy that is new
goes on with what the loops of the one before it remembered, stage by stage, where these are of the same kind.

Pages of a window are accounted for and posted when it ends, and advance the loops half a window later: what a page did
is felt two windows after it.

References:
    Gray & Cheriton (1989), "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache Consistency",
    SOSP. Kleppmann (2017), "Designing Data-Intensive Applications", section 8.3, for fencing tokens.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, MutableMapping
from time import time
from typing import final

import msgspec
from msgspec.structs import replace

from slatewise.core.control import Control
from slatewise.core.errors import RequestError
from slatewise.core.request import Request
from slatewise.feed import Feed
from slatewise.ladder import Conditions, Ladder
from slatewise.serve.control.accounting import SHARE, Accountant, Books, Entered, Shown
from slatewise.serve.control.steering import Followed, Letter, Pulse
from slatewise.serve.state.shared import Steered
from slatewise.serve.state.store.contract import Store, StoreError

MOST_LETTERS = 4_096
"""Letters in a box, and letters that a worker keeps while the store does not answer, at most."""
MOST_OUTCOMES = 20_000
"""Outcomes that wait for their ledgers, at most."""
MOST_POLICIES = 8
"""Policies whose loops are remembered after they served, at most."""
TICKS = 4
"""Times in a window that a worker looks at the store."""

log = logging.getLogger("slatewise.serve")


@final
class Loops:
    """The control loops of the policies that one process serves.

    Attributes:
        books: Pages that are accounted for.
        failures: Calls that the store did not answer.
        leads: Hashes of policies whose loops this worker leads.
    """

    def __init__(
        self,
        store: Store,
        steering: MutableMapping[str, Steered],
        ladders: Callable[[], Iterable[Ladder]],
        *,
        worker: str,
        pulse: Pulse | None = None,
        share: float = SHARE,
        today: Callable[[], float] = time,
    ) -> None:
        """Put the parts together.

        Args:
            store: Where workers meet.
            steering: Hash of a policy to what its pages go by; written here, read by whoever composes.
            ladders: Says which policies are served.
            worker: Name of this process, another one with every start.
            pulse: When loops do what.
            share: Part of a core that accounting takes.
            today: The time that people have, in seconds.
        """
        self.books = Books()
        self.failures = 0
        self.leads: set[str] = set()
        self._store = store
        self._steering = steering
        self._ladders = ladders
        self._worker = worker
        self._pulse = pulse or Pulse()
        self._share = share
        self._today = today
        self._followed: dict[str, Followed] = {}
        self._serving: frozenset[str] = frozenset()
        self._outcomes: OrderedDict[tuple[str, str | int], float] = OrderedDict()
        self._number = 0
        self._accountant: Accountant | None = None

    def served(self, ladder: Ladder, request: Request, under: Conditions, name: str) -> None:
        """Take note of a page that was served; it never waits."""
        policy = ladder.policy.hash
        if policy in self._serving:
            if not ladder.is_steered(under):
                self.books.pass_over(policy)
                return
            is_taken = self.books.offer(Shown(policy, ladder, request, under, name))
            if is_taken and self._accountant is not None:
                self._accountant.call()

    def outcome(self, page: str, item: str | int, amount: float) -> None:
        """Take note of what showing an item brought; its ledger carries it if it is not posted yet."""
        key = (page, item)
        self._outcomes[key] = self._outcomes.get(key, 0.0) + amount
        if len(self._outcomes) > MOST_OUTCOMES:
            self._outcomes.popitem(last=False)

    async def run(self) -> None:
        """Account, post, lead and follow until cancelled; then post what is left."""
        self._accountant = Accountant(self.books, share=self._share)
        try:
            while True:
                try:
                    await self.tick()
                except Exception:
                    log.exception("control loops failed; pages go by what was heard last")
                await asyncio.sleep(self._pulse.window_s / TICKS)
        finally:
            self._accountant.close()
            self._accountant = None
            await self.flush()

    async def flush(self) -> None:
        """Post what is left."""
        for policy in self._serving:
            try:
                await self._post(self._followed[policy])
            except StoreError:
                self.failures += 1

    async def tick(self) -> None:
        """Do what is due: several times a window."""
        now = self._today()
        self._follow(now)
        for policy in self._serving:
            one = self._followed[policy]
            try:
                if (window := int(now // self._pulse.window_s)) != one.posted:
                    one.posted = window
                    await self._post(one)
                await self._read(one, now)
                await self._lead(one, now)
            except StoreError:
                self.failures += 1  # what was heard last stays, and fades
            self._steer(one, now)

    def _follow(self, now: float) -> None:
        """Begin with policies that are new; one that serves again goes on from what it had."""
        serving = {ladder.policy.hash: ladder.feeds[0] for ladder in self._ladders() if ladder.policy.controllers}
        for policy, feed in serving.items():
            if policy not in self._followed:
                self._followed[policy] = Followed(feed, self._inherited(feed), now)
        self._serving = frozenset(serving)
        for policy in [policy for policy in self._followed if policy not in serving][:-MOST_POLICIES]:
            del self._followed[policy]
            self._steering.pop(policy, None)
        self.leads &= self._serving

    def _inherited(self, feed: Feed) -> Control:
        """Return what the loops of a policy start from: the memories of the policy before it, where they fit."""
        start, kinds = feed.init(), feed.policy.memories
        for before in reversed(self._followed.values()):
            found = before.control.memories
            fits = {section: one for section, one in found.items() if isinstance(one, kinds.get(section, ()))}
            if fits:
                return Control({**start.memories, **fits})
        return start

    async def _post(self, one: Followed) -> None:
        """Post the ledgers of a window that is over."""
        one.letters += [self._letter(entered) for entered in self.books.collect(one.feed.policy.hash) if entered.ledger]
        del one.letters[:-MOST_LETTERS]
        if one.letters:
            left = await self._store.post(one.name, one.letters, most=MOST_LETTERS)
            one.letters = one.letters[len(one.letters) - left :]

    def _letter(self, entered: Entered) -> bytes:
        ledger = entered.ledger
        if self._outcomes:
            ledger = tuple(
                replace(entry, outcome=self._outcomes.pop((entered.name, entry.item_id), None)) for entry in ledger
            )
        self._number += 1
        return msgspec.json.encode(Letter(self._worker, self._number, ledger))

    async def _read(self, one: Followed, now: float) -> None:
        """Go on with what was published, if that is new."""
        found = await self._store.read(one.name)
        if found is None or (found.fence, found.version) == one.seen:
            return
        one.seen = (found.fence, found.version)
        try:
            one.adopt(found.body)
        except (msgspec.MsgspecError, RequestError) as error:
            log.warning("what was published for %s cannot be read: %s", one.name, error)
            return
        one.heard = now

    async def _lead(self, one: Followed, now: float) -> None:
        """Half a window after letters were posted, move the loops on if this worker leads them."""
        window = int((now - self._pulse.window_s / 2) // self._pulse.window_s)
        if window == one.led:
            return
        one.led = window
        policy = one.feed.policy.hash
        fence = await self._store.lease(one.name, self._worker, time=now, ttl_s=self._pulse.lease_s)
        if fence is None:
            self.leads.discard(policy)
            return
        self.leads.add(policy)
        letters = await self._store.take(one.name, MOST_LETTERS)
        moved = await asyncio.to_thread(one.moved, letters)
        if moved != one.control:
            one.control, one.version = moved, one.version + 1
            one.body = one.record()
        if not await self._store.publish(one.name, one.body or one.record(), fence=fence, time=now):
            self.leads.discard(policy)  # another leads by now: what it publishes is what counts

    def _steer(self, one: Followed, now: float) -> None:
        """Say what pages go by from now on."""
        share = self._pulse.faded(now - one.heard)
        control, faded, _ = one.last
        if control is not one.control or faded != share:
            one.last = (one.control, share, one.faded(share) if share else one.control)
        self._steering[one.feed.policy.hash] = Steered(one.last[2], one.version, one.heard)
