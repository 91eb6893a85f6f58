"""Events: checked as a whole, counted once each, and not lost while the store is down."""

import asyncio
import json
from collections import Counter

import pytest

from slatewise import RequestError
from slatewise.serve.events.events import CLOUD_EVENT, CLOUD_EVENTS, JSON, decoded
from slatewise.serve.events.intake import FullError, Horizon, Intake
from slatewise.serve.events.seal import Claim, Seal
from slatewise.serve.state.store.contract import StoreError, UndoneError, Want
from slatewise.serve.state.store.memory import MemoryStore

NOW = 1_700_000_000.0
SEAL = Seal(b"a key of this service")
CLAIM = Claim(
    page="p1",
    request="r1",
    user="u1",
    policy="0123456789abcdef",
    time=int(NOW) - 60,
    takes={"a": ("60.0/author/ida",), 7: ("60.0/author/ida", "60.0/theme/x")},
    counts={"click": {"a": ("60.0/clicks/",)}, "spend": {"a": ("60.0/budget/b",)}},
)
TOKEN = SEAL.claim(CLAIM)
EVENT = {"id": "1", "source": "app", "type": "impression", "time": NOW, "page": TOKEN, "item_id": "a"}


def told(*changes):
    """The body of events that differ from `EVENT`."""
    return json.dumps({"events": [{**EVENT, "id": str(place), **one} for place, one in enumerate(changes)]}).encode()


class Store(MemoryStore):
    """A store that fails as `mood` says: before it did anything, or after it did it."""

    mood = "well"

    def __init__(self):
        super().__init__()
        self.confirmed = []

    def _answer(self, failing):
        if self.mood == failing:
            raise UndoneError if failing == "refuses" else StoreError

    async def fresh(self, keys, *, time, keep_s):
        self._answer("refuses")
        found = await super().fresh(keys, time=time, keep_s=keep_s)
        self._answer("hangs")
        return found

    async def confirm(self, user, page, counter, *, time):
        self._answer("refuses")
        self._answer("confirms nothing")
        self.confirmed.append((user, page, counter))
        return True


class World:
    """An intake and everything that it tells."""

    def __init__(self, store=None, **horizon):
        self.now = NOW
        self.store = store or Store()
        self.counted = Counter()
        self.times = []
        self.noted = []
        self.outcomes = []
        self.intake = Intake(
            seal=SEAL,
            store=self.store,
            counts=self,
            notes=self,
            outcomes=self,
            horizon=Horizon(**horizon),
            today=lambda: self.now,
        )

    def count(self, counter, amount, *, time):
        self.counted[counter] += amount
        self.times.append(time)

    def event(self, noted):
        self.noted.append(noted)

    def outcome(self, page, item, amount):
        self.outcomes.append((page, item, amount))

    def tell(self, *changes):
        return asyncio.run(self.intake.take(decoded(told(*changes))))

    def retry(self):
        asyncio.run(self.intake.retry())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{}, {"amount": -1, "type": "spend"}], "events[1].amount: must be >= 0, got -1"),
        ([{"type": "spend"}], "events[0].amount: must be given for a spend"),
        ([{"type": "click", "amount": 1}], "events[0].amount: must be left out for a click, got 1.0"),
        ([{"item_id": None}], "events[0].item_id: must be given for an impression"),
        ([{}, {}, {"tipe": 1}], "events[2].tipe: is not known here; did you mean 'type'?"),
        (
            [{"type": "clack"}],
            "events[0].type: must be one of 'click', 'engagement', 'impression', 'spend', got",
        ),
        ([{"time": "2026-01-01T00:00:00"}], "events[0].time: must be with a timezone"),
        ([{"id": ""}], "events[0].id: must be of length >= 1, got ''"),
        ([{"slot": 0}], "events[0].slot: must be >= 1, got 0"),
        ([{}] * 1_001, "events: must be of length <= 1000"),
    ],
)
def test_a_field_that_does_not_fit_is_named_and_nothing_is_counted(changes, message):
    with pytest.raises(RequestError) as refused:
        decoded(told(*changes))
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize(
    "body", [b"", b"[", b"\xff", b'{"events": [{"amount": NaN}]}', b"[" * 100_000, b'{"events": null}']
)
@pytest.mark.parametrize("media", [JSON, CLOUD_EVENT, CLOUD_EVENTS])
def test_what_is_no_body_is_refused(body, media):
    with pytest.raises(RequestError):
        decoded(body, media)


def test_an_envelope_says_the_same():
    (plain,) = decoded(told({"type": "click", "time": "2026-01-01T00:00:00Z"}))
    cloud = {
        "specversion": "1.0",
        "id": "0",
        "source": "app",
        "type": "com.example.click",
        "time": "2026-01-01T01:00:00+01:00",
        "subject": "a",
        "traceparent": "00-1-1-01",
        "data": {"page": TOKEN},
    }
    assert [one.seconds for one in decoded(json.dumps(cloud).encode(), CLOUD_EVENT)] == [plain.seconds]
    (batched,) = decoded(json.dumps([cloud]).encode(), CLOUD_EVENTS)
    assert (batched.key, batched.type, batched.page, batched.item_id) == (plain.key, "click", TOKEN, "a")
    with pytest.raises(RequestError, match=r"^data.item_id: must be given for a click"):
        decoded(json.dumps({**cloud, "subject": None}).encode(), CLOUD_EVENT)


def test_events_of_each_kind_do_what_they_say():
    world = World()
    kinds = [{"item_id": 7}, {"type": "click"}, {"type": "spend", "amount": 0.25}, {"type": "engagement", "amount": 3}]
    reply = world.tell(*kinds, {"type": "engagement", "item_id": None})
    assert (reply.accepted, reply.duplicates, reply.late, reply.unknown, reply.waiting) == (5, 0, 0, 0, 0)
    assert world.store.confirmed == [("u1", "p1", "60.0/author/ida"), ("u1", "p1", "60.0/theme/x")]
    assert world.counted == {"60.0/clicks/": 1.0, "60.0/budget/b": 0.25}
    assert world.outcomes == [("p1", "a", 1.0), ("p1", "a", 0.25), ("p1", "a", 3.0)]
    assert [(one.kind, one.item, one.request, one.user, one.counted) for one in world.noted] == [
        (kind, item, "r1", "u1", "counted")
        for kind, item in [("impression", "7"), ("click", "a"), ("spend", "a"), ("engagement", "a"), ("engagement", "")]
    ]


def test_an_event_counts_once_for_whoever_tells_it_again_in_whatever_order():
    world = World()
    assert world.tell({"id": "x"}, {"id": "x"}).duplicates == 1
    other = World(store=world.store)
    assert other.tell({"id": "x"}, {"id": "x", "source": "web"}).accepted == 1
    assert len(world.store.confirmed) == 2
    assert [one.counted for one in world.noted] == ["repeated", "counted"]


def test_an_event_counts_when_it_happened_and_one_from_ahead_counts_now():
    world = World()
    world.tell(*({"type": "click", "time": NOW + ahead} for ahead in (-60.0, 0.0, 60.0)))
    assert world.times == [NOW - 60.0, NOW, NOW]


def test_source_and_id_cannot_be_mistaken_for_one_another():
    assert World().tell({"source": "a b", "id": "c"}, {"source": "a", "id": "b c"}).accepted == 2


def test_late_events_count_until_the_horizon_and_events_of_other_services_never():
    world = World(late_s=3_600.0, ahead_s=300.0)
    times = [NOW - 3_600.0, NOW - 3_601.0, NOW + 300.0, NOW + 301.0]
    reply = world.tell(*({"time": time} for time in times), {"page": Seal(b"another").claim(CLAIM)}, {"page": "x"})
    assert (reply.accepted, reply.late, reply.unknown) == (2, 2, 2)
    assert [(one.place, one.why) for one in reply.uncounted] == [
        (1, "late"),
        (3, "late"),
        (4, "unknown"),
        (5, "unknown"),
    ]
    assert len(world.store.confirmed) == 2
    assert sorted(one.counted for one in world.noted) == ["counted", "counted", "late", "late"]


def test_an_event_never_counts_again_however_late_it_is_told_again():
    world = World(late_s=3_600.0, ahead_s=300.0)
    for time in (NOW, NOW + 300.0):
        world.now = NOW
        world.tell({"id": f"{time}", "time": time})
        while world.now < time + 4_000.0:
            world.now += 50.0
            assert world.tell({"id": f"{time}", "time": time}).accepted == 0


@pytest.mark.parametrize("mood", ["refuses", "hangs", "confirms nothing"])
def test_no_event_is_lost_and_none_counts_twice_while_the_store_is_down(mood):
    world = World()
    world.store.mood = mood
    first = world.tell({"id": "x"}, {"id": "y", "type": "click"})
    assert first.accepted == 2
    assert world.tell({"id": "x"}).duplicates == 1
    world.retry()
    assert world.store.confirmed == []
    world.store.mood = "well"
    world.retry()
    world.retry()
    assert world.store.confirmed == [("u1", "p1", "60.0/author/ida")]
    assert world.counted == {"60.0/clicks/": 1.0}
    assert world.intake.waiting == 0
    assert world.tell({"id": "x"}, {"id": "y"}).duplicates == 2


def test_an_event_that_was_told_before_does_not_count_after_the_store_was_down():
    world = World()
    world.tell({"id": "x"})
    world.store.mood = "refuses"
    assert World(store=world.store).tell({"id": "x"}).waiting == 1
    later = World(store=world.store)
    later.tell({"id": "x"})
    world.store.mood = "well"
    later.retry()
    assert len(world.store.confirmed) == 1
    assert [one.counted for one in later.noted] == ["repeated"]


def test_without_room_for_all_events_of_a_body_none_is_taken():
    world = World(most=3)
    world.store.mood = "refuses"
    world.tell({"id": "a"}, {"id": "b"})
    with pytest.raises(FullError):
        world.tell({"id": "c"}, {"id": "d"})
    assert (world.intake.waiting, world.noted) == (2, [])
    world.store.mood = "well"
    world.retry()
    assert world.tell({"id": "c"}, {"id": "d"}).accepted == 2


def test_an_impression_confirms_what_its_page_took_from_the_users_cap():
    world = World(store=MemoryStore())
    wants = [Want(counter="60.0/author/ida", wanted=1, at_most=1, within_s=60.0)]

    async def story():
        await world.store.reserve("u1", "p1", wants, time=NOW - 60.0, hold_s=5.0)
        await world.intake.take(decoded(told({})))
        return await world.store.reserve("u1", "p2", wants, time=NOW + 1.0, hold_s=5.0)

    assert asyncio.run(story()) == [0]


def test_an_impression_that_is_told_late_does_not_forget_what_the_user_saw_since():
    world = World(store=MemoryStore())
    claim = SEAL.claim(Claim(page="p2", user="u1", time=int(NOW) - 60, takes={"a": ("60.0/author/ida",)}))
    day = Claim(page="p1", user="u1", time=int(NOW) - 3_000, takes={"a": ("86400.0/day/",)})
    wants = [Want(counter="60.0/author/ida", wanted=1, at_most=1, within_s=60.0)]
    of_a_day = [Want(counter="86400.0/day/", wanted=1, at_most=9, within_s=86_400.0)]

    async def story():
        await world.store.reserve("u1", "p1", of_a_day, time=NOW - 3_000.0, hold_s=5.0)
        await world.store.reserve("u1", "p2", wants, time=NOW - 10.0, hold_s=5.0)
        await world.intake.take(decoded(told({"page": claim})))
        await world.intake.take(decoded(told({"id": "late", "time": NOW - 2_990.0, "page": SEAL.claim(day)})))
        return await world.store.reserve("u1", "p3", wants, time=NOW + 1.0, hold_s=5.0)

    assert asyncio.run(story()) == [0]
