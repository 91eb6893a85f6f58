"""Every promise of a store, over all of them; Redis is a real server."""

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest

from slatewise import RequestError
from slatewise.serve.state.store.contract import LATE_S, MOST_PAGES, REPEAT_S, WORKER_S, Merge, Took, UndoneError, Want
from slatewise.serve.state.store.memory import MemoryStore
from slatewise.serve.state.store.opening import opened
from slatewise.serve.state.store.redis import RedisStore
from slatewise.serve.state.store.sqlite import QUEUED, SqliteStore

NOW = 1_000_000_000.0
KINDS = ("memory", "sqlite", "redis")
_TENANTS = itertools.count()


@pytest.fixture(params=KINDS)
def promise(request, tmp_path):
    """Run a coroutine function with a new, empty store."""
    if request.param == "redis":
        server = request.getfixturevalue("shared_redis")

    def new():
        if request.param == "memory":
            return MemoryStore()
        if request.param == "sqlite":
            return SqliteStore(tmp_path / "state.db")
        return RedisStore(server.url, tenant=f"t{next(_TENANTS)}")

    def run(test):
        async def running():
            async with closing(new()) as store:
                await test(store)

        asyncio.run(running())

    return run


@asynccontextmanager
async def closing(store):
    try:
        yield store
    finally:
        await store.close()


def want(counter="a", wanted=1, at_most=2, within_s=86_400.0):
    return Want(counter=counter, wanted=wanted, at_most=at_most, within_s=within_s)


def merge(worker, sequence, deltas, *, time=NOW, spans=None):
    return Merge(worker=worker, sequence=sequence, time=time, deltas=deltas, spans=spans or dict.fromkeys(deltas, 60.0))


async def settle(store, user, page, used, **untold):
    assert await store.settle([Took(user=user, page=page, used=used, time=NOW, **untold)]) == [True]


def reserving(store, *, time=NOW, hold_s=300.0):
    async def reserve(page, *wants, at=time):
        return await store.reserve("u", page, wants, time=at, hold_s=hold_s)

    return reserve


def test_a_cap_grants_no_more_than_is_left(promise):
    async def test(store):
        reserve = reserving(store)
        assert await reserve("p1", want("a", 1), want("b", 5, at_most=3)) == [1, 3]
        assert await reserve("p2", want("a", 5), want("b"), want("c", 2)) == [1, 0, 2]
        assert await reserve("p3", want("a")) == [0]
        assert await store.reserve("other", "p4", [want("a")], time=NOW, hold_s=300.0) == [1]

    promise(test)


def test_the_same_page_asked_again_is_granted_the_same(promise):
    async def test(store):
        reserve = reserving(store)
        assert await reserve("p1", want("a"), want("b")) == [1, 1]
        assert await reserve("p1", want("b"), want("a", 2)) == [1, 1]
        await settle(store, "u", "p1", {"a": 1})
        assert await reserve("p1", want("a"), want("b")) == [1, 0]
        assert await reserve("p2", want("a", 2), want("b", 2)) == [1, 2]

    promise(test)


def test_what_a_page_did_not_use_is_given_back_at_once_and_its_first_word_stands(promise):
    async def test(store):
        reserve = reserving(store)
        assert await reserve("p1", want("a", 2)) == [2]
        await settle(store, "u", "p1", {"a": 1})
        await settle(store, "u", "p1", {})
        await settle(store, "u", "unknown", {"a": 1})
        assert await reserve("p2", want("a", 2)) == [1]

    promise(test)


def test_pages_are_settled_together_each_for_itself(promise):
    async def test(store):
        reserve = reserving(store)
        assert [await reserve("p1", want("a", 2)), await reserve("p2", want("b", 2))] == [[2], [2]]
        pages = [
            Took(user="u", page="p1", used={"a": 1}, time=NOW),
            Took(user="v", page="p1", used={"a": 2}, time=NOW, untold=[want("a", 2)], hold_s=300.0),
            Took(user="nobody", page="p1", used={"a": 2}, time=NOW),
            Took(user="u", page="p2", used={}, time=NOW),
        ]
        for _ in range(2):  # again, as after an answer that did not come
            assert await store.settle(pages) == [True] * 4
        assert await reserve("p3", want("a", 2), want("b", 2)) == [1, 2]
        assert await store.reserve("v", "p2", [want("a")], time=NOW, hold_s=300.0) == [0]
        assert await store.reserve("nobody", "p2", [want("a")], time=NOW, hold_s=300.0) == [1]
        assert await store.settle([]) == []

    promise(test)


def test_what_nobody_saw_is_given_back_when_the_hold_ends(promise):
    async def test(store):
        reserve = reserving(store)
        assert await reserve("p1", want("a", 2)) == [2]
        assert await reserve("p2", want("a", 2), at=NOW + 299) == [0]
        assert await reserve("p3", want("a", 2), at=NOW + 300) == [2]
        assert await reserve("p1", want("a", 2), at=NOW + 301) == [0]

    promise(test)


def test_what_was_seen_counts_for_its_span_and_no_longer_than_a_twelfth_more(promise):
    async def test(store):
        reserve, span = reserving(store), 1200.0
        one = want("a", 2, within_s=span)
        assert await reserve("p1", one) == [2]
        assert await store.confirm("u", "p1", "a", time=NOW)
        assert await reserve("p2", one, at=NOW + 600) == [1]
        assert await reserve("p3", one, at=NOW + span - 1) == [1]
        assert await reserve("p4", one, at=NOW + span * 13 / 12) == [1]  # of two, p3 still holds one
        assert await reserve("p5", one, at=NOW + 2 * span) == [2]

    promise(test)


def test_a_late_impression_counts_once_and_one_without_a_page_does_not(promise):
    async def test(store):
        reserve = reserving(store)
        assert await reserve("p1", want("a", 2, at_most=2)) == [2]
        await settle(store, "u", "p1", {"a": 1})
        late = NOW + 300 + LATE_S - 1
        assert await store.confirm("u", "p1", "a", time=late)
        assert not await store.confirm("u", "p1", "a", time=late)
        assert not await store.confirm("u", "p1", "b", time=late)
        assert not await store.confirm("u", "p2", "a", time=late)
        assert not await store.confirm("nobody", "p1", "a", time=late)
        assert await reserve("p3", want("a", 2), at=late) == [1]
        assert not await store.confirm("u", "p3", "a", time=late + 300 + LATE_S)

    promise(test)


def test_an_impression_before_the_page_is_settled_is_not_lost(promise):
    async def test(store):
        reserve = reserving(store)
        assert await reserve("p1", want("a", 2)) == [2]
        assert await store.confirm("u", "p1", "a", time=NOW)
        await settle(store, "u", "p1", {})
        assert not await store.confirm("u", "p1", "a", time=NOW)
        assert await reserve("p2", want("a", 2)) == [1]

    promise(test)


def test_a_page_that_says_less_than_was_seen_of_it_gives_nothing_back(promise):
    async def test(store):
        reserve = reserving(store)
        assert await reserve("p1", want("a", 2)) == [2]
        assert [await store.confirm("u", "p1", "a", time=NOW) for _ in range(2)] == [True, True]
        await settle(store, "u", "p1", {"a": 1})
        assert await reserve("p2", want("a", 2)) == [0]

    promise(test)


def test_pages_of_a_user_are_bounded(promise):
    async def test(store):
        reserve = reserving(store, hold_s=10.0)
        cap = want("a", 1, at_most=10_000)
        for page in range(MOST_PAGES):
            assert await reserve(f"p{page}", cap) == [1]
        assert await reserve("one more", cap) == [0]
        assert await reserve("later", cap, at=NOW + 11) == [1]
        assert not await store.confirm("u", "p0", "a", time=NOW + 11)
        assert await store.confirm("u", "p1", "a", time=NOW + 11)

    promise(test)


def test_many_wants_are_one_call(promise):
    async def test(store):
        wants = [want(f"{place}", 2, at_most=place % 3) for place in range(2_500)]
        expected = [min(2, place % 3) for place in range(2_500)]
        assert await store.reserve("u", "p1", wants, time=NOW, hold_s=9.0) == expected
        assert await store.confirm("u", "p1", "2", time=NOW)
        wants = wants[:1_200]
        assert await store.reserve("u", "p2", wants, time=NOW + 9, hold_s=9.0) == [0, 1, 1, *expected[3:1_200]]

    promise(test)


def test_a_clock_that_jumps_back_does_no_harm(promise):
    async def test(store):
        reserve, one = reserving(store), want("a", 2, within_s=3_600.0)
        assert await reserve("p1", one) == [2]
        assert await store.confirm("u", "p1", "a", time=NOW)
        assert await reserve("p2", one, at=NOW - 60) == [0]  # still held, still seen
        assert await reserve("p3", one, at=NOW - 1_200) == [1]  # no longer held, still seen
        assert await reserve("p4", one, at=NOW - 86_400) == [2]  # from a day ahead: a clock was wrong
        assert await store.lease("l", "x", time=NOW, ttl_s=5.0) == 1
        assert await store.lease("l", "y", time=NOW - 4, ttl_s=5.0) is None
        assert await store.lease("l", "y", time=NOW - 86_400, ttl_s=5.0) == 2
        assert await store.fresh(["k"], time=NOW, keep_s=60.0) == [True]
        assert await store.fresh(["k"], time=NOW - 59, keep_s=60.0) == [False]
        assert await store.fresh(["k"], time=NOW - 86_400, keep_s=60.0) == [True]

    promise(test)


def test_a_merge_is_in_its_own_totals_and_in_those_of_others(promise):
    async def test(store):
        assert (await store.merge(merge("w1", 1, {"a": 2.0, "b": 0.1}))).totals == {"a": 2.0, "b": 0.1}
        merged = await store.merge(merge("w2", 1, {"a": 3.0}, spans={"a": 60.0, "b": 60.0, "c": 60.0}))
        assert merged.totals == {"a": 5.0, "b": 0.1, "c": 0.0}

    promise(test)


def test_a_merge_with_a_sequence_seen_before_is_applied_once(promise):
    async def test(store):
        calls = [(1, 0, 2), (1, 0, 2), (2, 0, 4), (1, 0, 4), (2, WORKER_S, 4), (2, REPEAT_S - 1, 4), (3, REPEAT_S, 6)]
        for sequence, later, total in calls:
            merged = await store.merge(merge("w", sequence, {"a": 2.0}, time=NOW + later, spans={"a": 86_400.0}))
            assert merged.totals == {"a": total}

    promise(test)


def test_workers_are_those_that_merged_lately(promise):
    async def test(store):
        assert (await store.merge(merge("w1", 1, {}, spans={"a": 1.0}))).workers == 1
        assert (await store.merge(merge("w2", 1, {}, spans={"a": 1.0}, time=NOW + WORKER_S / 2))).workers == 2
        assert (await store.merge(merge("w2", 2, {}, spans={"a": 1.0}, time=NOW + WORKER_S))).workers == 1

    promise(test)


def test_a_window_slides_within_a_twelfth_of_its_span(promise):
    """Against every single count: all that is younger than the span, nothing older than it and a twelfth."""
    rng = np.random.default_rng(5)

    async def test(store):
        span, now, counted = 120.0, NOW, []
        for sequence in range(1, 120):
            now += float(rng.exponential(8.0))
            amount = float(rng.integers(0, 4))
            counted.append((now, amount))
            total = (await store.merge(merge("w", sequence, {"a": amount}, time=now, spans={"a": span}))).totals["a"]
            younger = sum(amount for time, amount in counted if time > now - span)
            assert younger <= total <= sum(amount for time, amount in counted if time > now - span * 13 / 12)

    promise(test)


def test_spend_adds_up_without_losing_fractions(promise):
    async def test(store):
        for sequence in range(1, 101):
            merged = await store.merge(merge("w", sequence, {"a": 0.01}))
        assert merged.totals["a"] == pytest.approx(1.0, abs=1e-12)

    promise(test)


def test_a_lease_has_one_holder_and_a_number_that_rises(promise):
    async def test(store):
        assert await store.lease("l", "x", time=NOW, ttl_s=5.0) == 1
        assert await store.lease("l", "y", time=NOW + 4.9, ttl_s=5.0) is None
        assert await store.lease("l", "x", time=NOW + 4.9, ttl_s=5.0) == 1
        assert await store.lease("l", "y", time=NOW + 5.1, ttl_s=5.0) is None
        assert await store.lease("l", "y", time=NOW + 9.9, ttl_s=5.0) == 2
        assert await store.lease("l", "x", time=NOW + 20.0, ttl_s=5.0) == 3
        assert await store.lease("other", "x", time=NOW, ttl_s=5.0) == 1

    promise(test)


def test_a_record_under_a_lower_fence_is_refused(promise):
    async def test(store):
        assert await store.read("r") is None
        assert await store.publish("r", b"one \0\xff", fence=2, time=NOW)
        assert await store.publish("r", b"two", fence=2, time=NOW + 0.125)
        assert not await store.publish("r", b"old", fence=1, time=NOW)
        found = await store.read("r")
        assert (found.fence, found.version, found.time, found.body) == (2, 2, NOW + 0.125, b"two")

    promise(test)


def test_a_box_is_bounded_and_hands_out_letters_in_order(promise):
    async def test(store):
        letters = [bytes([0, place]) for place in range(5)]
        assert await store.post("b", letters[:3], most=4) == 0
        assert await store.post("b", letters[3:], most=4) == 1
        assert await store.take("b", 3) == letters[:3]
        assert await store.take("b", 0) == []
        assert await store.take("b", 9) == letters[3:4]
        assert await store.take("b", 9) == []
        assert await store.post("b", letters, most=4) == 1

    promise(test)


def test_a_key_is_fresh_once_within_its_time(promise):
    async def test(store):
        assert await store.fresh(["a", "b", "a"], time=NOW, keep_s=60.0) == [True, True, False]
        assert await store.fresh(["b", "c"], time=NOW + 59, keep_s=60.0) == [False, True]
        assert await store.fresh(["b", "c"], time=NOW + 60, keep_s=60.0) == [True, False]
        assert await store.fresh([], time=NOW, keep_s=60.0) == []

    promise(test)


def test_many_at_once_never_take_more_than_the_cap(promise):
    async def test(store):
        async def one(page):
            (granted,) = await store.reserve("u", page, [want("a", 3, at_most=20)], time=NOW, hold_s=300.0)
            await asyncio.sleep(0)
            used = granted // 2
            await settle(store, "u", page, {"a": used})
            return used + sum([await store.confirm("u", page, "a", time=NOW) for _ in range(granted)]) - used

        taken = await asyncio.gather(*(one(f"p{page}") for page in range(15)))
        assert sum(taken) <= 20

    promise(test)


PROCESS = """
import asyncio, sys, time
from slatewise.serve.state.store.opening import opened
from slatewise.serve.state.store.contract import StoreError, Took, Want

async def main(url, name):
    store, taken = opened(url, clock=time.monotonic), 0
    want = Want(counter="a", wanted=2, at_most=25, within_s=3600.0)
    for page in range(40):
        try:
            (granted,) = await store.reserve("u", f"{name}-{page}", [want], time=1e9, hold_s=300.0)
        except StoreError:
            continue  # nothing is known of it: it may hold some, and shows none
        await store.settle([Took(user="u", page=f"{name}-{page}", used={"a": 1}, time=1e9)])
        taken += min(granted, 1)
    await store.close()
    print(taken)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_several_processes_together_never_take_more_than_the_cap(kind, request, tmp_path):
    if kind == "redis":
        url = request.getfixturevalue("shared_redis").url
    else:
        url = f"sqlite:{tmp_path / 'shared.db'}"
    command = [sys.executable, "-c", PROCESS, url]
    processes = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "xyz"]
    taken = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert 20 <= sum(taken) <= 25


def test_a_page_that_redis_refuses_keeps_no_other_from_being_heard(shared_redis):
    async def test():
        async with closing(RedisStore(shared_redis.url, tenant="odd")) as store:
            assert await reserving(store)("p", want("a", 2)) == [2]
            shared_redis.ask("SET", "{odd:odd}:pages", "text")
            odd, even = (Took(user=user, page="p", used={}, time=NOW) for user in ("odd", "u"))
            shared_redis.ask("SCRIPT", "FLUSH")
            assert await store.settle([odd, even, odd]) == [False, True, False]
            assert await reserving(store)("p2", want("a", 2)) == [2]
            with pytest.raises(UndoneError, match="WRONGTYPE"):
                await store.settle([odd])

    asyncio.run(test())


def test_redis_keys_of_a_call_share_a_hash_tag_and_none_lives_for_ever(shared_redis):
    async def test():
        async with closing(RedisStore(shared_redis.url, tenant="tags")) as store:
            await store.merge(merge("w", 1, {"a": 1.0, "b": 1.0}))
            await store.reserve("u", "p", [want()], time=NOW, hold_s=300.0)
            await store.confirm("u", "p", "a", time=NOW)
            await store.fresh(["k"], time=NOW, keep_s=60.0)
            await store.post("b", [b"x"], most=1)

    asyncio.run(test())
    keys = [key for key in shared_redis.ask("KEYS", "{tags*").decode().split("\r\n") if key.startswith("{")]
    assert len(keys) == 7
    assert {key.split("}")[0] for key in keys} == {"{tags", "{tags:u"}
    assert all(int(shared_redis.ask("PTTL", key)[1:]) > 60_000 for key in keys)


def test_a_file_that_is_busy_or_full_fails_and_is_as_it_was(tmp_path):
    async def test():
        path = tmp_path / "state.db"
        async with closing(SqliteStore(path)) as store, closing(SqliteStore(path)) as other:
            other._file.execute("begin immediate")
            began = time.monotonic()
            with pytest.raises(UndoneError, match="locked"):
                await store.merge(merge("w", 1, {"a": 1.0}))
            assert time.monotonic() - began < 5
            other._file.execute("rollback")
            pages = store._file.execute("pragma page_count").fetchone()[0]
            store._file.execute(f"pragma max_page_count = {pages}")
            with pytest.raises(UndoneError, match="full"):
                await store.post("b", [bytes(100_000)], most=9)
            store._file.execute("pragma max_page_count = 1000000")
            assert await store.take("b", 9) == []
            assert (await store.merge(merge("w", 1, {"a": 1.0}))).totals == {"a": 1.0}

    asyncio.run(test())


def test_calls_that_wait_for_the_file_are_bounded(tmp_path):
    async def test():
        async with closing(SqliteStore(tmp_path / "state.db")) as store:
            calls = [store.read("r") for _ in range(2 * QUEUED)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(answer, UndoneError) for answer in answers) >= QUEUED / 2
            assert await store.read("r") is None

    asyncio.run(test())


def test_calls_that_were_given_up_before_they_began_are_not_counted_for_ever(tmp_path):
    async def test():
        async with closing(SqliteStore(tmp_path / "state.db")) as store:
            going_on = threading.Event()
            store._thread.submit(going_on.wait, 60)
            for _ in range(QUEUED + 1):
                call = asyncio.ensure_future(store.read("r"))
                await asyncio.sleep(0)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            going_on.set()
            assert await store.read("r") is None

    asyncio.run(test())


@pytest.mark.parametrize("url", ["", "memory:x", "sqlite:", "redis:x", "mysql://h", "redis://h:port"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(RequestError, match=r"^state: must be .*, got '"):
        opened(url, clock=time.monotonic)


def test_a_file_that_is_something_else_is_refused_and_a_password_is_not_shown(tmp_path):
    (tmp_path / "text").write_text("no database" * 1000)
    with pytest.raises(RequestError, match=r"state: must be a file for shared state, got .*text"):
        opened(f"sqlite:{tmp_path / 'text'}", clock=time.monotonic)
    with pytest.raises(RequestError) as caught:
        opened("mongo://user:secret@host", clock=time.monotonic)
    assert "secret" not in str(caught.value)
    with pytest.raises(RequestError) as caught:
        opened("redis://user:secret@host:port", clock=time.monotonic)
    assert "secret" not in str(caught.value)


def test_records_survive_in_a_file(tmp_path):
    async def test():
        async with closing(SqliteStore(tmp_path / "state.db")) as store:
            await store.merge(merge("w", 1, {"a": 1.0}))
        async with closing(SqliteStore(tmp_path / "state.db")) as store:
            assert (await store.merge(merge("v", 1, {"a": 1.0}))).totals == {"a": 2.0}

    asyncio.run(test())


def test_a_contract_is_what_stores_have():
    from slatewise.serve.state.store.contract import Store

    calls = {name for name in vars(Store) if not name.startswith("_")}
    for kind in (MemoryStore, SqliteStore, RedisStore):
        assert calls <= {name for name in vars(kind) if not name.startswith("_")}
    assert msgspec.structs.fields(Want)
