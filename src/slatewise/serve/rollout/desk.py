"""Desk: where policies are handed in, tried, and put to work, for all processes of a service.

    change: lease -> read the record -> the record after it -> publish -> swap here; the others see it and swap, too

The record is kept in the store, and every process looks at it once in a while. What it does not have compiled, it
compiles, and only then swaps: until then it serves as before. Without a store there is only this process. While the
store does not answer, policies serve as they did and nothing can be changed. Cost: one read of the store for each look;
nothing on the way of a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Literal, final

import msgspec

from slatewise.core.errors import SlatewiseError
from slatewise.serve.rollout import record as records
from slatewise.serve.rollout.aside import aside
from slatewise.serve.rollout.diff import Report
from slatewise.serve.rollout.guard import Guard, Rails
from slatewise.serve.rollout.record import NoPolicyError, Pushed, Record, Trial
from slatewise.serve.rollout.registry import Registry, described
from slatewise.serve.rollout.rollout import Deployed, Rollout, Standing
from slatewise.serve.rollout.roster import Policies, Roster, Worker
from slatewise.serve.rollout.shadow import shadowed
from slatewise.serve.state.store.contract import Store, StoreError

RECORD = "rollout"
"""Name under which the record is published."""
LEASE_S = 0.5
"""How long a change has to itself; whoever comes then waits. One that takes longer is refused by its fence."""

log = logging.getLogger("slatewise.serve")


@final
class Desk:
    """The policies of one process.

    Attributes:
        rollout: What serves.
        registry: What was pushed.
        record: What is to be served.
        rollbacks: How often policies were taken back here: because somebody `asked`, or by the `guard`.
    """

    def __init__(
        self,
        rollout: Rollout,
        registry: Registry,
        *,
        today: Callable[[], float],
        worker: str = "",
        store: Store | None = None,
        rails: Rails | None = None,
        every_s: float = 1.0,
        swapped: Callable[[Record], object] = lambda record: None,
    ) -> None:
        """Start with the policy that the rollout has.

        Args:
            rollout: What serves.
            registry: Where policies are compiled and kept.
            today: The time that people have, in seconds.
            worker: Name of this process.
            store: Where all processes look; None if there is only this one.
            rails: What a policy that has begun to serve must keep to.
            every_s: Seconds from one look to the next.
            swapped: Told the record after other policies were put to work, such as to free what the old ones held.
        """
        self.rollout = rollout
        self.registry = registry
        registry.put(rollout.active)
        self.record = Record.start(described(rollout.active, time=today(), who="file"))
        self.rollbacks = {"asked": 0, "guard": 0}
        self._today = today
        self._worker = worker or "this"
        self._store = store
        self._every_s = every_s
        self._swapped = swapped
        self._fault = ""
        self._refused: Record | None = None
        self._guard = Guard(rails or Rails())
        self._changing = asyncio.Lock()
        self._trying = asyncio.Lock()
        self._roster = Roster(every_s)

    async def start(self, mode: Literal["resume", "file"] = "resume", *, who: str = "file") -> str:
        """Take up what the store says, or make it say what this process started with; return which, as a sentence.

        Args:
            mode: `resume`: what was put to work last goes on, and the policy's file counts only where there is no
                record. `file`: the file's policy is put to work everywhere, unless it is already.
            who: Who is said to have started it.

        Raises:
            StoreError: The store did not answer.
        """
        if self._store is None:
            return f"serving {self.record.active}"
        own, mine = self.rollout.active, self.record
        found = await self._read()
        if found is None or (mode == "file" and found.active != own.hash):
            await self.registry.keep(own)
            pushed = mine.pushed[0]

            def begun(record: Record) -> Record:
                if record is mine:
                    return record
                known = records.pushed(record, pushed)
                return records.promoted(known, own.hash, time=self._today(), who=who, trial="waived")

            await self._change(begun)
            return f"serving {self.record.active}"
        await self._apply(found)
        told = "" if self.record.active == own.hash else f", which was put to work after {own.hash}"
        return f"serving {self.record.active}{told}"

    async def push(self, body: bytes, media: str, *, who: str) -> Pushed:
        """Check, compile and keep a policy; it does not serve.

        Raises:
            PolicyError: Names the field, the rule, the value and the line.
            StoreError: The store did not take it.
        """
        deployed, policy = await self._compiled(body, media, who=who)
        await self.registry.keep(deployed)
        await self._change(lambda record: records.pushed(record, policy))
        return self.record.found(policy.hash)

    async def validate(self, body: bytes, media: str, *, who: str) -> Pushed:
        """Do what `push` does, and keep nothing.

        Raises:
            PolicyError: Names the field, the rule, the value and the line.
        """
        return (await self._compiled(body, media, who=who))[1]

    async def shadow(self, policy: str, *, last: int, who: str) -> Report:
        """Return what changes on the last requests if a policy takes the place of the active one.

        Raises:
            NoPolicyError: There is no such policy.
            StoreError: The store did not answer.
        """
        async with self._trying:
            deployed, active = await self._wanted(policy), self.rollout.active
            asked = self.rollout.ring.last(last)
            report = await aside(shadowed, asked, active, deployed, clock=perf_counter, rest=sleep)
        trial = Trial(
            before=active.hash,
            requests=report.requests,
            failed=report.failed,
            digest=report.digest,
            time=self._today(),
        )
        await self._change(lambda record: records.tried(record, deployed.hash, trial, who=who))
        return report

    async def canary(self, policy: str, share: float, *, who: str, trial: Literal["needed", "waived"]) -> Record:
        """Let a policy serve a share of users; a share of 0 takes it away.

        Raises:
            NoPolicyError: There is no such policy.
            NotYetError: It has to be tried first.
            StoreError: The store did not answer.
        """
        name = (await self._wanted(policy)).hash
        return await self._change(
            lambda record: records.canaried(record, name, share, time=self._today(), who=who, trial=trial)
        )

    async def promote(self, policy: str, *, who: str, trial: Literal["needed", "waived"]) -> Record:
        """Let a policy serve everybody.

        Raises:
            NoPolicyError: There is no such policy.
            NotYetError: It has to be tried first.
            StoreError: The store did not answer.
        """
        name, now = (await self._wanted(policy)).hash, self._today()
        return await self._change(lambda record: records.promoted(record, name, time=now, who=who, trial=trial))

    async def rollback(self, *, who: str, of: str | None = None, why: str = "") -> Record:
        """Take the canary away, or go back to the policy that served before.

        Raises:
            NoPolicyError: There is no policy `of`.
            StoreError: The store did not answer.
        """
        name = None if of is None else (await self._known(of)).hash
        before, now = (self.record.active, self.record.canary), self._today()
        found = await self._change(lambda record: records.rolled_back(record, time=now, who=who, of=name, why=why))
        if (found.active, found.canary) != before:
            self.rollbacks["guard" if who == "guard" else "asked"] += 1
        return found

    def listed(self) -> Policies:
        """Return the policies, and who serves them."""
        workers = self._roster.with_own(self._own())
        wanted = (self.record.active, self.record.canary)
        return Policies(
            record=self.record, workers=workers, split=any((one.active, one.canary) != wanted for one in workers)
        )

    async def document(self, policy: str) -> bytes:
        """Return what a policy says, as JSON.

        Raises:
            NoPolicyError: There is no such policy.
            StoreError: The store did not answer.
        """
        known = await self._known(policy)
        found = await self.registry.fetch(known.hash)
        if found is None:
            raise NoPolicyError("policy", "must be one whose document is kept", known.hash)
        return found

    async def look(self) -> None:
        """Look once: at the record, at how policies do that have begun to serve, and at the other processes."""
        try:
            if self._store is not None:
                found = await self._read()
                if found is None:
                    await self._put_back()
                elif found not in (self.record, self._refused):
                    async with self._changing:
                        await self._follow(await self._read() or found)  # it may have changed while this waited
                await self._roster.tell(self._store, self._own())
            await self._look_after()
        except StoreError as error:  # the breaker has told
            log.debug("policies stay as they are: the store does not answer (%s)", error)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.look()
            except Exception:  # whatever it was, what serves goes on, and the next look may do better
                log.exception("looking at policies failed")

    async def _compiled(self, body: bytes, media: str, *, who: str) -> tuple[Deployed, Pushed]:
        deployed = await self.registry.compile(body, media)
        return deployed, described(deployed, time=self._today(), who=who, beside=self.rollout.active.policy)

    async def _known(self, policy: str) -> Pushed:
        """Return what is known of a policy: here, or where another process has just put it."""
        try:
            return self.record.found(policy)
        except NoPolicyError:
            return (await self._read() or self.record).found(policy)

    async def _wanted(self, policy: str) -> Deployed:
        return await self._deployed((await self._known(policy)).hash)

    async def _deployed(self, policy: str) -> Deployed:
        found = await self.registry.deployed(policy)
        if found is None:
            raise NoPolicyError("policy", "must be one whose document is kept", policy)
        return found

    async def _if_it_can(self, policy: str) -> Deployed | None:
        try:
            return await self._deployed(policy)
        except SlatewiseError:
            return None

    async def _change(self, change: Callable[[Record], Record]) -> Record:
        """Make a change where all processes see it, and then here."""
        async with self._changing:
            if self._store is None:
                await self._apply(change(self.record))
                return self.record
            fence = await self._leased(self._store)
            before = await self._read()
            after = change(before or self.record)
            for name in (after.active, after.canary):
                if name is not None:
                    await self._deployed(name)  # what cannot be compiled here is not asked of the others
            if after != before:
                body = msgspec.json.encode(after)
                if not await self._store.publish(RECORD, body, fence=fence, time=self._today()):
                    raise StoreError("policies were changed by another process at the same time")
                await self.registry.drop(before.hashes - after.hashes if before else ())
            await self._apply(after)
            return self.record

    async def _leased(self, store: Store) -> int:
        for _ in range(50):
            fence = await store.lease(RECORD, self._worker, time=self._today(), ttl_s=LEASE_S)
            if fence is not None:
                return fence
            await asyncio.sleep(LEASE_S / 5)
        raise StoreError("policies are being changed by another process")

    async def _read(self) -> Record | None:
        found = None if self._store is None else await self._store.read(RECORD)
        return None if found is None else msgspec.json.decode(found.body, type=Record)

    async def _put_back(self) -> None:
        """Tell a store that forgot everything what is served."""
        for deployed in self.rollout.standing[:3]:
            if deployed is not None:
                await self.registry.keep(deployed)
        await self._change(lambda record: record)

    async def _follow(self, record: Record) -> None:
        """Serve what another process put down; where that cannot be, say so and serve on."""
        try:
            await self._apply(record)
        except SlatewiseError as error:
            log.error("a policy that is to serve cannot: %s", error)
            self._fault = str(error)
            self._refused = None if isinstance(error, NoPolicyError) else record

    async def _apply(self, record: Record) -> None:
        """Serve what a record says."""
        old = self.rollout.standing
        active = await self._deployed(record.active)
        canary = None if record.canary is None else await self._deployed(record.canary)
        previous = None if record.previous is None else await self._if_it_can(record.previous)
        standing = Standing(active, previous, canary, record.share)
        newest = record.pushed[0].hash if record.pushed else record.active
        self.registry.forget(documents=[one.hash for one in record.pushed], compiled=[*record.serving, newest])
        self.registry.beside(record.columns)
        self.record, self._fault, self._refused = record, "", None
        if standing == old:
            return
        self._guard.swapped(old, standing, now=self._today())
        self.rollout.swap(standing)
        self._swapped(record)

    async def _look_after(self) -> None:
        found = self._guard.look(self.rollout.standing, now=self._today())
        if found is not None:
            log.error("policy %s is taken back: %s", found.policy, found.why)
            await self.rollback(who="guard", of=found.policy, why=found.why)

    def _own(self) -> Worker:
        standing = self.rollout.standing
        canary = None if standing.canary is None else standing.canary.hash
        return Worker(
            worker=self._worker, active=standing.active.hash, canary=canary, time=self._today(), fault=self._fault
        )
