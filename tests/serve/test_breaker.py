"""The breaker, around a store that does as it is told; the clock is told, too."""

import asyncio
import time
from contextlib import suppress

import pytest

from slatewise.serve.state.store.breaker import Breaker, Patience
from slatewise.serve.state.store.contract import StoreError, UndoneError, Want
from slatewise.serve.state.store.opening import opened

WANT = Want(counter="a", wanted=1, at_most=9, within_s=60.0)


class Told:
    """A store whose `read` fails, hangs or answers."""

    kind = "told"

    def __init__(self):
        self.fate, self.asked, self.go_on = "answers", 0, asyncio.Event()

    async def read(self, name):
        self.asked += 1
        if self.fate == "hangs":
            await self.go_on.wait()
        if self.fate == "fails":
            raise StoreError(name)
        return

    async def reserve(self, user, page, wants, *, time, hold_s):
        await self.go_on.wait()


class Bench:
    def __init__(self, **patience):
        self.now, self.store = 100.0, Told()
        self.breaker = Breaker(self.store, clock=lambda: self.now, patience=Patience(**patience))

    async def fails(self, times=1, kind=StoreError):
        for _ in range(times):
            with pytest.raises(kind):
                await self.breaker.read("x")


def test_it_opens_after_so_many_failures_within_a_while_and_then_turns_away_without_asking():
    async def test():
        bench = Bench()
        bench.store.fate = "fails"
        await bench.fails(4)
        assert bench.breaker.state == "closed"
        bench.now += 0.9
        await bench.fails()
        assert (bench.breaker.state, bench.breaker.opened, bench.store.asked) == ("open", 1, 5)
        await bench.fails(3, UndoneError)
        assert (bench.store.asked, bench.breaker.turned_away, bench.breaker.failed) == (5, 3, 5)

    asyncio.run(test())


def test_why_a_store_is_left_alone_is_said_once_and_that_it_is_back(caplog):
    async def left_alone():
        bench = Bench()
        bench.store.fate = "fails"
        await bench.fails(5)
        for _ in range(3):
            bench.now += 1.0
            await bench.fails()
        bench.store.fate = "answers"
        bench.now += 1.0
        await bench.breaker.read("x")

    with caplog.at_level("INFO"):
        asyncio.run(left_alone())
    assert caplog.messages == ["the store is left alone, and tried again every 1 s: x", "the store answers again"]


def test_failures_that_are_far_apart_or_have_an_answer_between_them_do_not_open_it():
    async def test():
        bench = Bench()
        bench.store.fate = "fails"
        for _ in range(20):
            await bench.fails()
            bench.now += 0.26
        for _ in range(20):
            bench.store.fate = "answers"
            await bench.breaker.read("x")
            bench.store.fate = "fails"
            await bench.fails(4)
        assert bench.breaker.state == "closed"

    asyncio.run(test())


def test_one_call_tries_when_it_is_time_and_decides():
    async def test():
        bench = Bench()
        bench.store.fate = "fails"
        await bench.fails(5)
        bench.now += 1.0
        await bench.fails()
        assert (bench.breaker.state, bench.breaker.opened, bench.store.asked) == ("open", 1, 6)
        await bench.fails(1, UndoneError)
        bench.now += 1.0
        bench.store.fate = "hangs"
        trying = asyncio.create_task(bench.breaker.read("x"))
        while bench.store.asked < 7:
            await asyncio.sleep(0)
        await bench.fails(1, UndoneError)
        bench.store.go_on.set()
        assert await trying is None
        assert bench.breaker.state == "closed"
        bench.store.fate = "fails"
        await bench.fails(4)
        assert bench.breaker.state == "closed"

    asyncio.run(test())


def test_a_request_is_not_the_one_that_tries():
    async def test():
        bench = Bench()
        bench.store.fate = "fails"
        await bench.fails(5)
        bench.now += 5.0
        with pytest.raises(UndoneError):
            await bench.breaker.reserve("u", "p", [WANT], time=0.0, hold_s=1.0)
        assert (bench.breaker.state, bench.breaker.turned_away) == ("open", 1)
        bench.store.fate = "answers"
        await bench.breaker.read("x")
        bench.store.go_on.set()
        await bench.breaker.reserve("u", "p", [WANT], time=0.0, hold_s=1.0)
        assert bench.breaker.state == "closed"

    asyncio.run(test())


def test_a_try_that_is_cancelled_leaves_it_open_and_the_next_call_tries():
    async def test():
        bench = Bench()
        bench.store.fate = "fails"
        await bench.fails(5)
        bench.now += 1.0
        bench.store.fate = "hangs"
        trying = asyncio.create_task(bench.breaker.read("x"))
        while bench.store.asked < 6:
            await asyncio.sleep(0)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
        assert bench.breaker.state == "open"
        bench.store.fate = "answers"
        assert await bench.breaker.read("x") is None
        assert bench.breaker.state == "closed"

    asyncio.run(test())


def test_a_call_out_of_time_is_given_up_and_counts_as_two_unless_a_request_waited():
    async def test():
        bench = Bench(call_s=0.01, reserve_s=0.001, failures=4)
        bench.store.fate = "hangs"
        await bench.fails(1)
        with pytest.raises(StoreError):
            await bench.breaker.reserve("u", "p", [WANT], time=0.0, hold_s=1.0)
        assert (bench.breaker.late, bench.breaker.state) == (2, "closed")
        await bench.fails(1)
        assert bench.breaker.state == "open"
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(test())


def test_a_reservation_takes_no_longer_than_there_is_time():
    async def test():
        bench, loop = Bench(reserve_s=30.0), asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(StoreError):
            await bench.breaker.reserve("u", "p", [WANT], time=0.0, hold_s=1.0, left_s=0.01)
        with pytest.raises(StoreError):
            await bench.breaker.reserve("u", "p", [WANT], time=0.0, hold_s=1.0, left_s=-1.0)
        assert loop.time() - began < 15

    asyncio.run(test())


def test_an_answer_that_is_there_is_taken_although_the_loop_was_busy(shared_redis):
    async def test():
        breaker = opened(shared_redis.url, clock=time.monotonic, tenant="busy")
        with suppress(StoreError):  # connected; a server that does not have the script yet is asked twice
            await breaker.reserve("v", "p", [WANT], time=0.0, hold_s=1.0)
        late = breaker.late
        for page in range(20):
            call = asyncio.ensure_future(
                breaker.reserve("u", f"p{page}", [WANT], time=0.0, hold_s=page + 1.0, left_s=0.002)
            )
            for _ in range(5):
                await asyncio.sleep(0)  # the question is sent
            time.sleep(0.1)  # a page is composed meanwhile
            await call
        assert breaker.late == late
        await breaker.close()

    asyncio.run(test())


def test_calls_at_once_are_bounded_and_a_crowd_does_not_open_it():
    async def test():
        bench = Bench(at_once=3)
        bench.store.fate = "hangs"
        calls = [asyncio.create_task(bench.breaker.read("x")) for _ in range(3)]
        while bench.store.asked < 3:
            await asyncio.sleep(0)
        await bench.fails(9, UndoneError)
        assert (bench.breaker.crowded, bench.breaker.state, bench.store.asked) == (9, "closed", 3)
        page = asyncio.create_task(bench.breaker.reserve("u", "p", [WANT], time=0.0, hold_s=9.0, left_s=9.0))
        await asyncio.sleep(0)  # what pages wait for is a crowd of its own
        bench.store.go_on.set()
        await page
        assert await asyncio.gather(*calls) == [None] * 3
        assert await bench.breaker.read("x") is None

    asyncio.run(test())
