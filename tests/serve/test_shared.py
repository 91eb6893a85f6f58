"""What pages are granted: by counts of all workers, by the store for caps of users, and without it if need be."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from slatewise import Candidates, Feed, Policy, Request, RequestError, Solve
from slatewise.core.control import Control
from slatewise.serve.state.caps import takes
from slatewise.serve.state.shared import AT_ONCE, Shared, Steered, Syncing
from slatewise.serve.state.store.breaker import Breaker
from slatewise.serve.state.store.contract import StoreError, UndoneError
from slatewise.serve.state.store.memory import MemoryStore
from slatewise.serve.state.store.opening import opened

ITEMS = Candidates.of(
    item_id=list("abcdef"),
    line=["ads"] * 4 + ["posts"] * 2,
    score=[6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
    brand=["x", "x", "y", "y", None, None],
)
BRANDS = {"name": "brands", "group": {"line": "ads"}, "per": "brand", "at_most": 2}
ADS = {"name": "ads", "group": {"line": "ads"}, "scope": "all", "at_most": 5, "within_s": 60.0}


def policy(*caps, slots=3):
    columns = {"score": "number", "brand": "key?"}
    return Policy.of(
        Solve(by="score"), lines=["ads", "posts"], columns=columns, slots=slots, serve={"caps": list(caps)}
    )


def request(name="r", user="u"):
    return Request(candidates=ITEMS, id=name, user=user)


def serve(shared, deployed, asked, token):
    """Serve the page that the policy composes, whatever was granted."""
    page = Feed(deployed).compose(asked)
    shared.served(deployed, asked, page, token)
    return page


class Failing:
    """A store that can be made to fail."""

    kind = "redis"

    def __init__(self):
        self.store, self.error, self.clock = MemoryStore(), None, SimpleNamespace(now=1000.0)

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            if self.error == "after":
                await getattr(self.store, name)(*args, **kwargs)
                raise StoreError(name)
            if self.error is not None:
                raise self.error(name)
            return await getattr(self.store, name)(*args, **kwargs)

        return call

    def shared(self, **syncing):
        def clock():
            return self.clock.now

        syncing = Syncing(every_s=0.1, stale_s=0.5, **syncing)
        return Shared(Breaker(self, clock=clock), syncing=syncing, clock=clock, today=clock)


def granted(shared, deployed, asked, token="p", left_s=1.0):
    return shared.granted(deployed, asked, token, left_s=left_s)


def test_a_policy_without_caps_asks_nothing_and_grants_everything():
    async def test():
        shared = Shared()
        assert await granted(shared, policy(), request("", "")) == {}
        serve(shared, policy(), request("", ""), "p")
        await shared.sync()
        assert shared.recall(policy()) == (None, 0, "fresh", 0.0)

    asyncio.run(test())


def test_a_cap_that_binds_nothing_is_left_out_and_one_that_binds_names_what_is_left():
    async def test():
        shared, deployed = Shared(), policy(BRANDS, ADS)
        assert await granted(shared, deployed, request(), "p1") == {}
        serve(shared, deployed, request(), "p1")  # a, b, c
        await shared.sync()
        assert await granted(shared, deployed, request("r2"), "p2") == {"ads": {"": 2}, "brands": {"y": 1}}
        serve(shared, deployed, request("r2"), "p2")
        await shared.sync()
        assert await granted(shared, deployed, request("r3"), "p3") == {"ads": {}, "brands": {}}
        assert await granted(shared, deployed, request("r4", "v"), "p4") == {"ads": {}}

    asyncio.run(test())


def test_what_a_page_was_granted_and_did_not_take_is_given_back_after_it_was_served():
    async def test():
        shared, deployed = Shared(), policy(BRANDS, slots=1)
        for page in ("p1", "p2"):
            assert await granted(shared, deployed, request(page), page) == {}
            serve(shared, deployed, request(page), page)  # a alone
            await shared.sync()
        assert await granted(shared, deployed, request("p3"), "p3") == {"brands": {"y": 1}}

    asyncio.run(test())


def test_impressions_clicks_and_spend_count_when_they_are_told():
    async def test():
        caps = [{**ADS, "name": kind, "counts": kind, "at_most": 2} for kind in ("impression", "click", "spend")]
        shared, deployed = Shared(), policy(*caps)
        page = serve(shared, deployed, request(), "p1")
        two = {"": 2}
        assert await granted(shared, deployed, request()) == {"impression": two, "click": two}
        for take in takes(deployed, request(), page.slate.rows):
            shared.count(take.counter, 0.5, time=time.time())
        assert await granted(shared, deployed, request()) == {"impression": {}, "click": {}}
        shared.count("60.0/spend/", 0.5, time=time.time())
        assert (await granted(shared, deployed, request()))["spend"] == {}

    asyncio.run(test())


@pytest.mark.parametrize(("name", "user", "field"), [("", "u", "request_id"), ("r", "", "user")])
def test_caps_of_users_need_to_know_who_asks_and_for_what(name, user, field):
    with pytest.raises(RequestError, match=f"^{field}: must be given, got nothing"):
        asyncio.run(granted(Shared(), policy(BRANDS), request(name, user)))


def test_while_the_store_fails_an_open_cap_goes_by_local_counts_and_a_closed_one_shows_nothing():
    async def test():
        failing, deployed = Failing(), policy(BRANDS, {**BRANDS, "name": "closed", "failing": "closed", "at_most": 9})
        shared = failing.shared()
        await shared.sync()
        assert await granted(shared, deployed, request(), "p1") == {}
        serve(shared, deployed, request(), "p1")  # a, b, c: x twice, y once
        failing.error = UndoneError
        known = {"brands": {"y": 1}, "closed": {}}
        assert await granted(shared, deployed, request("r2"), "p2") == known
        assert shared.alone == 1

    asyncio.run(test())


def test_what_was_served_while_the_store_failed_is_told_to_it_afterwards():
    async def test():
        failing, deployed = Failing(), policy(BRANDS)
        shared = failing.shared()
        failing.error = UndoneError
        assert await granted(shared, deployed, request(), "p1") == {}
        serve(shared, deployed, request(), "p1")
        await shared.sync()
        failing.error = None
        await shared.sync()
        other = failing.shared()
        assert await granted(other, deployed, request("r2"), "p2") == {"brands": {"y": 1}}
        assert await failing.store.confirm("u", "p1", "86400.0/brands/x", time=failing.clock.now)
        assert (shared.forgotten, other.alone) == (0, 0)

    asyncio.run(test())


def test_pages_that_the_store_was_not_told_of_wait_in_their_order_and_the_others_do_not():
    async def test():
        failing, deployed, told = Failing(), policy(BRANDS), []
        shared = failing.shared()

        async def settle(pages):
            told.extend(took.page for took in pages if took.page not in refused)
            return [took.page not in refused for took in pages]

        failing.settle = settle
        for page in ("p1", "p2", "p3", "p4"):
            serve(shared, deployed, request(page), page)
        refused = ["p1", "p3"]
        await shared.sync()
        assert told == ["p2", "p4"]
        refused.clear()
        await shared.sync()
        assert told[2:] == ["p1", "p3"]

    asyncio.run(test())


def test_what_pages_took_is_told_for_many_at_a_time():
    async def test():
        failing, deployed, calls = Failing(), policy(BRANDS), []
        shared = failing.shared()

        async def settle(pages):
            calls.append([took.page for took in pages])
            return [True] * len(pages)

        failing.settle = settle
        for page in range(AT_ONCE + 9):
            serve(shared, deployed, request(str(page)), str(page))
        await shared.sync()
        names = [str(page) for page in range(AT_ONCE + 9)]
        assert calls == [names[:AT_ONCE], names[AT_ONCE:]]

    asyncio.run(test())


def test_pages_that_the_store_refuses_keep_no_others_from_being_told():
    async def test():
        failing, deployed, told = Failing(), policy(BRANDS), set()
        shared = failing.shared()
        refused = {str(page) for page in range(AT_ONCE)}

        async def settle(pages):
            done = [took.page not in refused for took in pages]
            if not any(done):
                raise UndoneError("WRONGTYPE")
            told.update(took.page for took, there in zip(pages, done, strict=True) if there)
            return done

        failing.settle = settle
        names = [str(page) for page in range(3 * AT_ONCE)]
        for page in names:
            serve(shared, deployed, request(page), page)
        for _ in range(4):
            await shared.sync()
        assert told == set(names) - refused
        for page in ("x", *names[AT_ONCE:]):
            serve(shared, deployed, request(page), f"later {page}")
        await shared.flush()
        assert told == {*names, "later x", *(f"later {name}" for name in names[AT_ONCE:])} - refused

    asyncio.run(test())


def test_pages_that_wait_to_be_told_are_bounded():
    async def test():
        failing, deployed = Failing(), policy(BRANDS)
        shared = failing.shared(queue=2)
        failing.error = UndoneError
        for page in ("p1", "p2", "p3"):
            serve(shared, deployed, request(page), page)
        assert shared.forgotten == 1

    asyncio.run(test())


@pytest.mark.parametrize("error", [UndoneError, "after"])
def test_counts_of_a_merge_that_failed_are_counted_once(error):
    async def test():
        failing, deployed = Failing(), policy(ADS)
        shared, other = failing.shared(), failing.shared()
        assert await granted(other, deployed, request()) == {}
        serve(shared, deployed, request(), "p1")
        failing.error = error
        for _ in range(3):
            await shared.sync()
        failing.error = None
        for _ in range(3):
            await shared.sync()
            await other.sync()
        for worker in (shared, other):
            assert await granted(worker, deployed, request()) == {"ads": {"": 2}}

    asyncio.run(test())


def test_freshness_says_how_old_shared_state_is_and_a_worker_alone_has_its_share():
    async def test():
        failing, deployed = Failing(), policy(ADS, {**ADS, "name": "closed", "failing": "closed"})
        shared = failing.shared(workers=2)
        assert shared.recall(deployed).state == "local"
        await shared.sync()
        assert shared.recall(deployed) == (None, 0, "fresh", 0.0)
        assert await granted(shared, deployed, request()) == {}
        failing.clock.now += 0.4
        assert shared.recall(deployed)[2:] == ("stale", pytest.approx(400))
        failing.clock.now += 0.2
        assert shared.recall(deployed)[2:] == ("local", pytest.approx(600))
        assert await granted(shared, deployed, request()) == {"ads": {"": 2}, "closed": {}}

    asyncio.run(test())


def test_what_control_loops_remember_comes_with_its_version():
    shared, deployed = Shared(), policy()
    control = Control({})
    shared.control[deployed.hash] = Steered(control, 7, 0.0)
    assert shared.recall(deployed)[:2] == (control, 7)
    assert shared.recall(policy(ADS))[:2] == (None, 0)


def test_the_task_sends_what_is_left_when_it_is_cancelled():
    async def test():
        failing, deployed = Failing(), policy(ADS)
        shared = failing.shared()
        task = asyncio.create_task(shared.run())
        while shared.recall(deployed).state != "fresh":
            await asyncio.sleep(0)
        serve(shared, deployed, request(), "p1")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other = failing.shared()
        assert await granted(other, deployed, request()) == {}
        await other.sync()
        assert await granted(other, deployed, request()) == {"ads": {"": 2}}

    asyncio.run(test())


def test_what_is_told_late_does_not_undo_what_was_counted_since():
    failing = Failing()
    shared, deployed = failing.shared(), policy(ADS)
    shared.count("60.0/ads/", 4, time=1000.0)
    shared.count("60.0/ads/", 1, time=1000.0 - 600)
    assert asyncio.run(granted(shared, deployed, request())) == {"ads": {"": 1}}


def test_a_merge_that_was_cut_off_keeps_nothing_from_being_sent_at_the_end():
    async def test():
        failing, deployed = Failing(), policy(ADS)
        shared = failing.shared()
        shared.count("60.0/ads/", 1, time=1000.0)
        failing.error = StoreError
        await shared.sync()
        shared.count("60.0/ads/", 3, time=1000.0)
        failing.error = None
        await shared.flush()
        other = failing.shared()
        await granted(other, deployed, request())
        await other.sync()
        assert await granted(other, deployed, request()) == {"ads": {"": 1}}

    asyncio.run(test())


class Serving:
    """A worker that serves pages all the time, beside its task, over a real server."""

    def __init__(self, server, deployed):
        self.store = opened(server.url, clock=time.monotonic)
        self.shared = Shared(self.store)
        self.deployed, self.pages, self.longest = deployed, 0, 0.0

    async def one(self):
        self.pages += 1
        asked, token = request(f"r{self.pages}", f"u{self.pages}"), f"p{self.pages}"
        began = time.monotonic()
        await self.shared.granted(self.deployed, asked, token, left_s=0.04)
        self.longest = max(self.longest, time.monotonic() - began)
        serve(self.shared, self.deployed, asked, token)
        await asyncio.sleep(0.01)

    async def answered(self):
        """Serve until the store is asked again, for many pages in a row; on a busy machine one may be late."""
        row = 0
        while row < 10:
            alone = self.shared.alone
            await self.one()
            row = row + 1 if self.shared.alone == alone else 0

    async def until(self, condition, seconds=30.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "in vain"
            await self.one()

    async def __aenter__(self):
        self.task = asyncio.create_task(self.shared.run())
        await self.until(lambda: self.shared.recall(self.deployed).state == "fresh" and self.pages > 5)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.store.close()


@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_a_server_that_is_gone_fails_no_page_opens_the_breaker_and_is_found_again(redis_server, fault):
    async def test():
        async with Serving(redis_server, policy(BRANDS, {**ADS, "at_most": 1_000_000})) as worker:
            await worker.answered()
            (redis_server.kill if fault == "killed" else redis_server.pause)()
            await worker.until(lambda: worker.store.state == "open")
            assert worker.shared.alone
            await worker.until(lambda: worker.shared.recall(worker.deployed).state == "local")
            (redis_server.start if fault == "killed" else redis_server.resume)()
            await worker.until(lambda: worker.shared.recall(worker.deployed).state == "fresh")
            await worker.until(lambda: worker.store.state == "closed")
            await worker.answered()
            await worker.until(lambda: not worker.shared._taken)
            assert await worker.store.confirm("u7", "p7", "86400.0/brands/x", time=time.time()) is (fault == "hung")

    asyncio.run(test())


def test_a_server_that_is_full_fails_no_page(redis_server):
    async def test():
        async with Serving(redis_server, policy(BRANDS)) as worker:
            redis_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            redis_server.ask("CONFIG", "SET", "maxmemory", "1")
            await worker.until(lambda: worker.store.state == "open")
            redis_server.ask("CONFIG", "SET", "maxmemory", "0")
            await worker.until(lambda: worker.store.state == "closed")
            await worker.until(lambda: not worker.shared._taken)

    asyncio.run(test())


def test_scripts_that_were_flushed_are_sent_again_within_the_call(redis_server):
    async def test():
        async with Serving(redis_server, policy(BRANDS, ADS)) as worker:
            for _ in range(5):
                redis_server.ask("SCRIPT", "FLUSH")
                await worker.one()
            assert worker.store.failed == worker.store.late  # late on a busy machine, but never refused

    asyncio.run(test())


def test_a_file_is_shared_by_workers(tmp_path):
    async def test():
        url, deployed = f"sqlite:{tmp_path / 'state.db'}", policy(BRANDS, ADS)
        workers = [Shared(opened(url, clock=time.monotonic)) for _ in range(2)]
        assert await granted(workers[0], deployed, request(), "p1", 30) == {}
        serve(workers[0], deployed, request(), "p1")
        for shared in workers:
            await shared.sync()
        assert (await granted(workers[1], deployed, request("r2"), "p2", 30))["brands"] == {"y": 1}
        await workers[1].sync()
        assert (await granted(workers[1], deployed, request("r2"), "p2", 30))["ads"] == {"": 2}
        for shared in workers:
            await shared.store.close()

    asyncio.run(test())
