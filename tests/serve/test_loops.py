"""Control loops over workers: as good as in one process, also when a leader, a letter or the store is lost."""

import asyncio
import time
from importlib.resources import files

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from slatewise import Candidates, Feed, Merge, Pace, Policy, Request, Shade, Weight
from slatewise.blend.landscapes import Landscape, Uniform
from slatewise.blend.pace import PacedLine
from slatewise.evaluate.loops import Loops as Single
from slatewise.ladder import FULL, Conditions, Ladder
from slatewise.serve.control.loops import Loops
from slatewise.serve.control.steering import Pulse
from slatewise.serve.state.store.contract import StoreError
from slatewise.serve.state.store.memory import MemoryStore
from slatewise.serve.state.store.opening import opened

PULSE = Pulse(window_s=1.0, lease_s=4.0, fade_s=10.0, over_s=80.0)
STEP_S = 0.25
PACED = files("slatewise.demo").joinpath("policies/paced.yaml")


class Town:
    """Workers that serve requests in turn, and a clock that all of them go by."""

    def __init__(self, ladder, *, workers="ab", store=None, stores=None, accounts=10**6):
        self.now = 0.0
        self.store = store or MemoryStore()
        self.stores = stores or dict.fromkeys(workers, self.store)
        self.ladders = [ladder]
        self.accounts = accounts  # ledgers of a worker in a step
        self.steering = {name: {} for name in workers}
        self.loops = {
            name: Loops(
                self.stores[name],
                self.steering[name],
                lambda: self.ladders,
                worker=name,
                pulse=PULSE,
                today=lambda: self.now,
            )
            for name in workers
        }
        self.alive = list(workers)
        self.served = []

    @property
    def ladder(self):
        return self.ladders[-1]

    def steered(self, name):
        return self.steering[name].get(self.ladder.policy.hash)

    def memory(self, name):
        return self.steered(name).control.memories["blend.pace"]

    def compose(self, name, request, under=FULL):
        steered = self.steered(name)
        request = replace(request, time=self.now, control=None if steered is None else steered.control)
        page = self.ladder.compose(request, under)
        self.served.append((request, page))
        self.loops[name].served(self.ladder, request, under, request.id)

    async def go(self, seconds, requests=()):
        """Let time pass, in steps, each with as many of the requests."""
        steps = round(seconds / STEP_S)
        parts = np.array_split(np.arange(len(requests)), steps)
        for part in parts:
            self.now += STEP_S
            for name, loops in self.loops.items():
                if name in self.alive:
                    await loops.tick()
            for place in part.tolist():
                self.compose(self.alive[place % len(self.alive)], requests[place])
            for name in self.alive:
                self.account(self.loops[name].books)

    def account(self, books):
        for _ in range(self.accounts):
            if (shown := books.next()) is None:
                return
            books.enter(shown, shown.ladder.account(shown.request, shown.under))

    def leaders(self):
        return [name for name, loops in self.loops.items() if loops.leads]


def visits(feed, count):
    """Requests of which the personal line is worth too little for its floor."""
    rng = np.random.default_rng(1)
    for number in range(count):
        lines = rng.choice(["for_you", "trending", "fresh"], 40, p=[0.3, 0.4, 0.3])
        columns = {
            "item_id": [f"i{row}" for row in range(40)],
            "line": lines.tolist(),
            "score": (rng.random(40) * np.where(lines == "for_you", 0.6, 1.0)).tolist(),
            "opened": (rng.random(40) < 0.1).tolist(),
            "cluster": [f"c{cluster}" for cluster in rng.integers(0, 12, 40)],
        }
        yield Request(candidates=Candidates.of(columns, kinds=feed.policy.head.columns), slots=10, id=f"r{number}")


def share(pages):
    items = [item for page in pages for item in page.items]
    return sum(item.line == "for_you" for item in items) / len(items)


@pytest.fixture(scope="module")
def alone():
    """The share that one process comes to, with the requests and their policy."""
    feed = Feed.load(str(PACED))
    requests = list(visits(feed, 400))
    assert share([feed.compose(request) for request in requests[:50]]) < 0.06
    single, pages = Single(feed, window=20), []
    for start in range(0, len(requests), 20):
        window = requests[start : start + 20]
        pages += [feed.compose(single.steered(request)) for request in window]
        single.move(window)
    return share(pages[200:]), requests, feed


@pytest.mark.parametrize(("accounts", "times", "near"), [(10**6, 1, 0.01), (1, 3, 0.025)])
def test_two_workers_bring_a_share_to_its_floor_as_one_process_does(alone, accounts, times, near):
    found, requests, feed = alone
    town = Town(Ladder(feed.policy), accounts=accounts)
    asyncio.run(town.go(20.0 * times, requests * times))
    assert found == pytest.approx(0.15, abs=0.015)
    assert share([page for _, page in town.served[-200 * times :]]) == pytest.approx(found, abs=near)


def little(**fields):
    """A policy with a line that is paced, and of which a page costs next to no time."""
    pace = Pace(lines={"ads": PacedLine(**fields)}, slots=100, trend=0.0, catch_up=0.0, period_s=100.0)
    shade = Shade(lines={"ads": Landscape(curve=Uniform(top=1.0))}, accounting="displacement")
    head = {"lines": ["posts", "ads"], "columns": {"value": "number", "score": "number"}, "slots": 1}
    return Ladder(Policy.of(Weight(), pace, shade, Merge(), **head))


def asked(count, *, seed=0):
    """Requests on which ads are worth 0 to 1, and posts 0.5."""
    for number, worths in enumerate(np.random.default_rng(seed).random((count, 4)).tolist()):
        values = [0.5] * 4 + worths
        ids = [f"{line}{row}" for line in ("post", "ad") for row in range(4)]
        items = Candidates.of(item_id=ids, line=["posts"] * 4 + ["ads"] * 4, value=values, score=values)
        yield Request(candidates=items, slots=4, id=f"{seed}-{number}")


def ads(served):
    return sum(item.line == "ads" for _, page in served for item in page.items)


def test_a_budget_is_kept_when_a_tenth_of_the_pages_have_ledgers():
    """An ad displaces a post of 0.5, and half of them are worth it: without a budget they would spend 6,000."""
    town = Town(little(budget=3_000.0), accounts=1)
    asyncio.run(town.go(96.0, list(asked(6_000))))
    asyncio.run(town.go(3.0))
    spent = 0.5 * ads(town.served)
    books = [loops.books for loops in town.loops.values()]
    assert sum(one.accounted for one in books) < 0.15 * sum(one.pages for one in books)
    assert town.memory("a").spent[0] == pytest.approx(spent, rel=0.05)
    assert spent == pytest.approx(3_000.0, rel=0.05)


def test_when_a_leader_is_lost_another_takes_over_within_the_lease_and_goes_on_from_there():
    town = Town(little(cap=0.25))
    asyncio.run(town.go(10.0, list(asked(200))))
    (leader,) = town.leaders()
    version = town.steered(leader).version
    town.alive.remove(leader)
    (other,) = town.alive
    asyncio.run(town.go(PULSE.lease_s + PULSE.window_s, list(asked(100, seed=1))))
    assert town.loops[other].leads
    assert town.steered(other).version > version
    asyncio.run(town.go(20.0, list(asked(400, seed=2))))
    assert ads(town.served[-300:]) / 1_200 == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_workers_of_several_processes_meet_in_a_store(kind, tmp_path, request):
    url = f"sqlite:{tmp_path / 'state'}" if kind == "sqlite" else request.getfixturevalue("shared_redis").url

    async def story():
        stores = {name: opened(url, clock=time.monotonic, tenant=tmp_path.name) for name in "ab"}
        town = Town(little(cap=0.25), stores=stores)
        await town.go(12.0, list(asked(240)))
        await town.go(2.0)
        for store in stores.values():
            await store.close()
        return town

    town = asyncio.run(story())
    assert len(town.leaders()) == 1
    assert town.steered("a").version == town.steered("b").version > 5
    assert town.steered("a").control == town.steered("b").control
    assert sum(loops.books.accounted for loops in town.loops.values()) == 240
    assert town.memory("a").price[0] > 0.1


class TwoLeaders(MemoryStore):
    """A store that lets a worker believe that it still holds a lease, which another has by now."""

    believes = None

    async def lease(self, name, owner, *, time, ttl_s):
        return 1 if owner == self.believes else await super().lease(name, owner, time=time, ttl_s=ttl_s)


def test_of_two_leaders_the_one_with_the_older_lease_is_not_heard():
    town = Town(little(cap=0.25), store=TwoLeaders())
    asyncio.run(town.go(5.0, list(asked(100))))
    (old,) = town.leaders()
    new = "b" if old == "a" else "a"
    town.alive = [new]
    asyncio.run(town.go(6.0, list(asked(120, seed=1))))
    town.alive, town.store.believes = [old, new], old
    asyncio.run(town.go(6.0, list(asked(120, seed=2))))
    assert town.leaders() == [new]
    assert town.steered(old).control == town.steered(new).control
    assert town.steered(old).version == town.steered(new).version


class Moody(MemoryStore):
    """A store that does not answer, not even after it did what it was asked for, or that has little room."""

    mood = "well"

    async def read(self, name):
        if self.mood == "down":
            raise StoreError
        return await super().read(name)

    async def post(self, box, letters, *, most):
        left = await super().post(box, letters, most=5 if self.mood == "small" else most)
        if self.mood == "slow":
            raise StoreError
        return left


def test_while_nothing_is_heard_prices_stay_and_then_fade_in_eighths_and_come_back():
    town = Town(little(cap=0.25), store=Moody())
    asyncio.run(town.go(10.0, list(asked(200))))
    price, town.store.mood = town.memory("a").price[0], "down"
    seen = []
    for seed in range(100):
        asyncio.run(town.go(1.0, list(asked(2, seed=seed))))
        seen.append(town.memory("a").price[0] / price)
    assert price > 0.05
    assert seen[:9] == [1.0] * 9
    assert sorted(set(seen), reverse=True) == pytest.approx([step / 8 for step in range(8, -1, -1)])
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 0.0
    town.store.mood = "well"
    asyncio.run(town.go(2.0))
    assert town.memory("a").price[0] > 0.05


@pytest.mark.parametrize("mood", ["slow", "small"])
def test_each_letter_counts_once_whether_it_was_posted_twice_or_did_not_fit(mood):
    town = Town(little(budget=1e6), workers="a", store=Moody())
    for place in range(6):
        town.store.mood = mood if place % 2 else "well"
        asyncio.run(town.go(1.0, list(asked(20, seed=place))))
    asyncio.run(town.go(10.0))
    town.store.mood = "well"
    asyncio.run(town.go(3.0))
    assert town.memory("a").spent == (0.5 * ads(town.served),)
    assert len(town.memory("a").recent) == 100


def test_ledgers_move_loops_in_the_order_of_their_requests_whoever_posts_first():
    found = []
    for workers in ("ab", "ba"):
        town = Town(little(cap=0.25), workers=workers)
        town.alive.sort()
        asyncio.run(town.go(6.0, list(asked(60))))
        found.append(town.memory("a"))
    assert len(found[0].recent) == 100
    assert found[0] == found[1]


def test_a_new_policy_goes_on_from_the_one_before_and_the_old_one_from_itself():
    old, new = little(cap=0.25), little(cap=0.5)
    town = Town(old)
    asyncio.run(town.go(10.0, list(asked(200))))
    asyncio.run(town.go(3.0))
    price, before = town.memory("a").price, town.steered("a")
    town.ladders = [old, new]  # the new one on trial
    asyncio.run(town.go(STEP_S))
    assert town.memory("b").price == price
    town.ladders = [new]
    asyncio.run(town.go(30.0, list(asked(200, seed=1))))
    town.ladders = [old]
    asyncio.run(town.go(2 * STEP_S))
    assert town.memory("a") == before.control.memories["blend.pace"]


def test_a_ledger_carries_what_events_said_of_its_items():
    town = Town(little(cap=0.25), workers="a")
    asyncio.run(town.go(2 * STEP_S, list(asked(1))))
    request, page = town.served[0]
    town.loops["a"].outcome(request.id, page.items[0].item_id, 0.25)
    town.loops["a"].outcome(request.id, page.items[0].item_id, 0.5)
    asyncio.run(town.loops["a"].flush())
    (letter,) = asyncio.run(town.store.take(f"loops:{town.ladder.policy.hash}", 10))
    outcomes = [entry["outcome"] for entry in msgspec.json.decode(letter)["ledger"]]
    assert outcomes == [0.75, None, None, None]


def test_a_policy_without_loops_is_left_alone():
    head = {"lines": ["posts", "ads"], "columns": {"value": "number", "score": "number"}, "slots": 1}
    town = Town(Ladder(Policy.of(Weight(), Merge(), **head)), workers="a")
    asyncio.run(town.go(3.0, list(asked(5))))
    assert not town.steering["a"]
    assert town.loops["a"].books.next() is None


def test_the_task_makes_ledgers_and_leads_by_the_clock():
    async def served():
        town = Town(little(cap=0.25), workers="a")
        loops = town.loops["a"]
        task = asyncio.create_task(loops.run())
        try:
            async with asyncio.timeout(60):
                while town.steered("a") is None or town.steered("a").version < 2:
                    town.now += STEP_S
                    for request in asked(5):
                        town.compose("a", request)
                    await asyncio.sleep(PULSE.window_s / 10)
        finally:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return loops

    assert asyncio.run(served()).books.accounted > 0


def test_pages_of_a_rung_without_a_loop_teach_it_nothing_and_others_stand_for_them():
    head = {"lines": ["posts", "ads"], "columns": {"value": "number", "score": "number"}, "slots": 4}
    stages = Weight(), Pace(lines={"ads": PacedLine(cap=0.25)}), Merge()
    rules = {"name": "rules", "page": "greedy", "without": ["blend.pace"]}
    ladder = Ladder(Policy.of(*stages, **head, serve={"rungs": [rules]}))

    async def told(*rungs):
        town = Town(ladder, workers="a")
        await town.go(1.0)
        for request, rung in zip(asked(len(rungs)), rungs, strict=True):
            town.compose("a", request, Conditions(rung=rung))
        town.account(town.loops["a"].books)
        await town.go(2.0)
        books = town.loops["a"].books
        return books.pages, books.accounted, town.steered("a") and town.memory("a").price

    steered = asyncio.run(told(*[0] * 20))
    assert steered[2][0] > 0
    assert asyncio.run(told(*[0] * 20, *[1] * 20)) == (40, 20, steered[2])
    assert asyncio.run(told(*[1] * 20))[1] == 0
