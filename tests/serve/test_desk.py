"""Several processes that serve what one record says, whatever becomes of the store."""

import asyncio
import json

import msgspec
import pytest

from serve.policies import (
    NO_AD_ON_TOP,
    PLAIN,
    Shelf,
    asked,
    changed,
    desk_of,
    policy_of,
)
from slatewise.serve.rollout import record as records
from slatewise.serve.rollout.record import NoPolicyError, NotYetError, Pushed, Record, Trial
from slatewise.serve.state.store.contract import StoreError
from slatewise.stages import STAGES

STRICT = changed(NO_AD_ON_TOP)
JSON = "application/json"


def test_what_one_process_changes_the_others_serve_and_a_new_one_takes_up():
    async def fleet():
        store = Shelf()
        first, second = (desk_of(store=store, worker=name) for name in ("first", "second"))
        for desk in (first, second):
            await desk.start()
        pushed = await first.push(json.dumps(STRICT).encode(), JSON, who="ada")
        await first.promote(pushed.hash, who="ada", trial="waived")
        await first.look()
        assert [one.active for one in first.listed().workers] == [pushed.hash]
        assert first.record.active != second.record.active
        second_says = second._own()
        await second._roster.tell(store, second_says)
        await first.look()
        assert first.listed().split
        await second.look()
        await first.look()
        assert second.rollout.active.hash == pushed.hash
        assert not first.listed().split
        assert [one.worker for one in first.listed().workers] == ["first", "second"]
        third = desk_of(store=store, worker="third")
        assert await third.start("resume") == (
            f"serving {pushed.hash}, which was put to work after {policy_of(PLAIN).hash}"
        )
        assert third.rollout.active.policy.document() == policy_of(STRICT).document()
        await third.rollback(who="bob")
        await second.look()
        assert second.rollout.active.hash == policy_of(PLAIN).hash
        fourth = desk_of(changed(slots=2), store=store, worker="fourth")
        await fourth.start("file")
        await second.look()
        assert second.rollout.active.hash == policy_of(changed(slots=2)).hash
        whats = [entry.what for entry in second.record.audit]
        assert whats == ["promote", "push", "rollback", "promote", "push", "start"]

    asyncio.run(fleet())


def test_what_one_process_was_given_another_can_be_asked_for_at_once():
    async def fleet():
        store = Shelf()
        first, second = (desk_of(store=store, worker=name) for name in ("first", "second"))
        await first.start()
        await second.start()
        pushed = await first.push(json.dumps(STRICT).encode(), JSON, who="ada")
        assert await second.document(pushed.hash)
        await second.promote(pushed.hash, who="ada", trial="waived")
        await first.rollback(who="ada", of=pushed.hash)
        assert first.record.active == policy_of(PLAIN).hash
        with pytest.raises(NoPolicyError, match="must be one that was pushed, got 'pushed'"):
            await second.rollback(who="ada", of="pushed")

    asyncio.run(fleet())


def test_two_processes_that_take_the_same_policy_back_do_it_once():
    async def fleet():
        store = Shelf()
        first, second = (desk_of(store=store, worker=name) for name in ("first", "second"))
        await first.start()
        hashes = [first.record.active]
        for slots in (2, 1):
            pushed = await first.push(json.dumps(changed(slots=slots)).encode(), JSON, who="ada")
            hashes.append(pushed.hash)
        await first.promote(hashes[1], who="ada", trial="waived")
        await first.canary(hashes[2], 0.5, who="ada", trial="waived")
        await second.start()
        await asyncio.gather(*(desk.rollback(who="guard", of=hashes[2]) for desk in (first, second)))
        assert (second.record.active, second.record.canary) == (hashes[1], None)
        assert [entry.what for entry in second.record.audit].count("rollback") == 1

    asyncio.run(fleet())


def test_policies_serve_on_while_the_store_is_away_and_nothing_is_changed():
    async def away():
        store = Shelf()
        desk = desk_of(store=store)
        await desk.start()
        pushed = await desk.push(json.dumps(STRICT).encode(), JSON, who="ada")
        store.down = True
        await desk.look()
        with pytest.raises(StoreError):
            await desk.promote(pushed.hash, who="ada", trial="waived")
        assert desk.rollout.active.hash == policy_of(PLAIN).hash
        store.down = False
        await desk.promote(pushed.hash, who="ada", trial="waived")
        assert desk.rollout.active.hash == pushed.hash

    asyncio.run(away())


def test_a_record_that_cannot_be_read_does_not_end_the_looking(caplog):
    async def garbled():
        store = Shelf()
        desk = desk_of(store=store, every_s=0.001)
        await desk.start()
        whole, garbage = store.kept["rollout"], msgspec.structs.replace(store.kept["rollout"], body=b"{")
        store.kept["rollout"] = garbage
        looking = asyncio.create_task(desk.run())
        while not caplog.records:
            await asyncio.sleep(0.001)
        store.kept["rollout"] = whole
        caplog.clear()
        while not store.kept.get("workers"):
            await asyncio.sleep(0.001)
        assert not looking.done()
        looking.cancel()

    asyncio.run(asyncio.wait_for(garbled(), 60))


def test_a_store_that_forgot_everything_is_told_what_is_served():
    async def emptied():
        store = Shelf()
        first = desk_of(store=store, worker="first")
        await first.start()
        pushed = await first.push(json.dumps(STRICT).encode(), JSON, who="ada")
        await first.promote(pushed.hash, who="ada", trial="waived")
        store.kept.clear()
        await first.look()
        second = desk_of(store=store, worker="second")
        await second.start()
        assert second.rollout.active.hash == pushed.hash
        assert (await second.rollback(who="ada")).active == policy_of(PLAIN).hash

    asyncio.run(emptied())


def test_a_process_that_cannot_compile_what_it_should_serve_says_so_and_serves_on():
    async def apart():
        store = Shelf()
        first, second = desk_of(store=store, worker="first"), desk_of(store=store, worker="second")
        second.registry._table = {}
        await first.start()
        pushed = await first.push(json.dumps(STRICT).encode(), JSON, who="ada")
        await first.promote(pushed.hash, who="ada", trial="waived")
        await second.look()
        await first.look()
        assert second.rollout.active.hash == policy_of(PLAIN).hash
        second.registry._table = STAGES
        await second.look()  # it does not try again and again
        assert second.rollout.active.hash == policy_of(PLAIN).hash
        told = {one.worker: one for one in first.listed().workers}["second"]
        assert (told.active, "is no stage" in told.fault) == (policy_of(PLAIN).hash, True)
        assert first.listed().split
        await first.rollback(who="ada")
        await second.look()
        await first.look()
        assert not first.listed().split

    asyncio.run(apart())


def test_a_change_that_took_too_long_is_refused_by_its_fence():
    async def late():
        store = Shelf()
        first, second = (desk_of(store=store, worker=name) for name in ("first", "second"))
        await first.start()
        pushed = await first.push(json.dumps(STRICT).encode(), JSON, who="ada")
        read = store.read

        async def slow(name):
            found = await read(name)
            if name == "rollout" and second.rollout.active.hash != pushed.hash:
                store.read = read
                store.leases["rollout"] = store.leases["rollout"]._replace(ttl_s=0.0)  # its time is over
                await second.start()
                await second.promote(pushed.hash, who="bob", trial="waived")
            return found

        store.read = slow
        with pytest.raises(StoreError, match="changed by another process"):
            await first.promote(pushed.hash, who="ada", trial="waived")
        assert first.rollout.active.hash == policy_of(PLAIN).hash
        await first.look()
        assert [entry.who for entry in first.record.audit] == ["bob", "ada", "file"]

    asyncio.run(late())


def test_a_document_is_kept_in_pieces_and_one_that_was_changed_is_refused(monkeypatch):
    monkeypatch.setattr("slatewise.serve.rollout.registry.PIECE", 64)
    monkeypatch.setattr("slatewise.serve.rollout.registry.PAUSES_S", (0.0, 0.0))

    async def kept():
        store = Shelf()
        first = desk_of(store=store)
        await first.start()
        store.fails = 3
        await first.registry.keep(first.rollout.active)
        assert len([name for name in store.kept if name.startswith(f"policy:{first.record.active}:")]) > 3
        second = desk_of(STRICT, store=store, worker="second")
        piece = f"policy:{first.record.active}:1"
        store.kept[piece] = msgspec.structs.replace(store.kept[piece], body=b"x" * 64)
        with pytest.raises(StoreError, match="is not what was put there"):
            await second.start()
        assert second.rollout.active.hash == policy_of(STRICT).hash

    asyncio.run(kept())


# The record, as a value


def test_kept_policies_are_bounded_and_those_that_serve_are_not_forgotten():
    record = Record.start(Pushed(hash="p0", time=0.0))
    record = records.pushed(record, Pushed(hash="p1", time=0.0))
    record = records.promoted(record, "p1", time=0.0, who="ada", trial="waived")
    for number in range(2, 40):
        record = records.pushed(record, Pushed(hash=f"p{number}", time=0.0))
    assert len(record.pushed) == records.MOST_PUSHED + 2
    assert {"p0", "p1", "p39"} <= record.hashes


def test_a_trial_counts_only_beside_the_policy_that_serves():
    record = Record.start(Pushed(hash="a", time=0.0))
    for name in ("b", "c"):
        record = records.pushed(record, Pushed(hash=name, time=0.0))
        trial = Trial(before="a", requests=9, failed=0, digest="d", time=0.0)
        record = records.tried(record, name, trial, who="ada")
    record = records.promoted(record, "b", time=1.0, who="ada")
    with pytest.raises(NotYetError, match="must be tried beside the active policy, got c"):
        records.promoted(record, "c", time=2.0, who="ada")


def test_the_ring_is_asked_for_requests_as_they_were():
    desk = desk_of()
    for number, one in enumerate(asked(3)):
        desk.rollout.ring.add(one, now=float(number))
    assert [json.loads(one.body)["request_id"] for one in desk.rollout.ring.last(2)] == ["r1", "r2"]


def test_a_look_that_waits_for_a_change_serves_what_the_change_left():
    async def story():
        desk = desk_of(store=Shelf(), worker="first")
        await desk.start()
        before = desk.record.active
        pushed = await desk.push(json.dumps(STRICT).encode(), JSON, who="ada")
        await desk.promote(pushed.hash, who="ada", trial="waived")
        stale = desk.record
        await desk.rollback(who="ada")
        read = desk._read

        async def late():
            desk._read = read
            return stale

        desk._read = late
        await desk.look()
        assert desk.rollout.active.hash == before

    asyncio.run(story())
