"""Windows and counts: sums that slide, and what several workers may spend of one."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise.serve.state.counts import RESTING, Counts
from slatewise.serve.state.store.contract import Merged
from slatewise.serve.state.windows import BUCKETS, Window

AMOUNTS = st.lists(st.tuples(st.floats(0, 50), st.integers(0, 5)), max_size=60)


@given(AMOUNTS, st.floats(0.5, 500))
def test_a_window_holds_its_span_and_at_most_a_twelfth_more(steps, span):
    window, counted, now = Window(span), [], 1e9
    for step, amount in steps:
        now += step
        window.add(amount, time=now)
        counted.append((now, amount))
        total = window.total(now)
        slack = 1e-6  # of a time of 1e9 seconds as a float
        assert total >= sum(amount for time, amount in counted if now - time < span - slack)
        assert total <= sum(amount for time, amount in counted if now - time < span * 13 / 12 + slack)
        assert len(window.buckets) <= 2 * BUCKETS + 1


def test_a_clock_that_jumps_back_less_than_the_span_forgets_nothing_and_one_that_was_a_day_ahead_is_forgotten():
    window = Window(60.0)
    window.add(3, time=1000.0)
    assert window.total(1000.0 - 55) == 3
    assert window.total(1000.0 - 86_400) == 0
    window.add(1, time=1000.0 - 86_400)
    assert window.total(1000.0) == 0


def merged(merge, totals, workers=1):
    return Merged(totals={counter: totals.get(counter, 0.0) for counter in merge.spans}, workers=workers)


def test_an_estimate_is_what_is_merged_in_flight_and_pending():
    counts = Counts("w", stale_s=inf)
    counts.add("60.0/a/", 2, time=0.0, now=0.0)
    merge = counts.sent(time=0.1, now=0.1)
    assert merge.deltas == {"60.0/a/": 2.0}
    counts.add("60.0/a/", 3, time=0.2, now=0.2)
    assert counts.room("60.0/a/", 10, time=0.2, now=0.2) == 5
    counts.landed(merged(merge, {"60.0/a/": 6.0}), now=0.2)
    assert counts.room("60.0/a/", 10, time=0.2, now=0.2) == 1


def test_a_merge_that_was_refused_returns_and_one_without_an_answer_is_sent_again_whatever_comes_after():
    counts = Counts("w", stale_s=inf)
    counts.add("60.0/a/", 2, time=0.0, now=0.0)
    refused = counts.sent(time=0.1, now=0.1)
    counts.returned()
    counts.add("60.0/a/", 1, time=0.2, now=0.2)
    first = counts.sent(time=0.2, now=0.2)
    assert first.deltas == {"60.0/a/": 3.0}
    assert first.sequence > refused.sequence
    again = counts.sent(time=0.3, now=0.3)  # there was no answer: the store may have counted it
    counts.returned()  # and now the store was not reached
    third = counts.sent(time=0.4, now=0.4)
    assert (again.sequence, again.deltas, again.time) == (first.sequence, first.deltas, 0.3)
    assert (third.sequence, third.deltas) == (first.sequence, first.deltas)
    assert counts.room("60.0/a/", 10, time=0.4, now=0.4) == 7
    assert counts.sent(time=100.0, now=100.0).deltas == {}  # too old to count by now


def test_what_a_process_knows_of_stays_bounded_while_no_store_answers(monkeypatch):
    monkeypatch.setattr("slatewise.serve.state.counts.MOST", 10)
    counts = Counts("w", stale_s=0.5)
    counts.add("60.0/a/counted", 1, time=0.0, now=0.0)
    for turn in range(100):
        counts.room(f"60.0/a/{turn}", 5, time=0.1 * turn, now=0.1 * turn)
        counts.sent(time=0.1 * turn, now=0.1 * turn)
    assert len(counts) <= 12
    assert counts.room("60.0/a/counted", 5, time=10.0, now=10.0) == 4


def test_what_is_too_old_when_the_store_is_back_is_not_sent():
    counts = Counts("w", stale_s=0.5)
    counts.add("60.0/a/", 2, time=0.0, now=0.0)
    for seconds in range(0, 600, 10):
        counts.sent(time=float(seconds), now=float(seconds))
        counts.returned()
        counts.add("60.0/a/", 1, time=float(seconds), now=float(seconds))
    deltas = counts.sent(time=590.0, now=590.0).deltas
    assert deltas["60.0/a/"] in (6, 7)


def test_counters_at_rest_are_asked_for_by_turns_and_forgotten_after_their_span():
    counts = Counts("w", stale_s=inf)
    names = [f"60.0/a/{place}" for place in range(3 * RESTING)]
    for name in names:
        counts.room(name, 1, time=0.0, now=0.0)
    merge = counts.sent(time=0.05, now=0.05)
    counts.landed(merged(merge, {}), now=0.05)
    asked = []
    for turn in range(1, 4):
        counts.room(names[0], 1, time=0.1 * turn, now=0.1 * turn)
        merge = counts.sent(time=0.1 * turn, now=0.1 * turn)
        assert names[0] in merge.spans
        assert len(merge.spans) <= RESTING + 1
        asked += merge.spans
        counts.landed(merged(merge, {}), now=0.1 * turn)
    assert set(asked) == set(names)
    for turn in range(3 * RESTING):
        merge = counts.sent(time=200.0 + turn, now=200.0 + turn)
        counts.landed(merged(merge, {}), now=200.0 + turn)
    assert len(counts) == 0


SPAN, AT_MOST, STEP_S = 10.0, 60, 0.05


class World:
    """Workers over one true window; answers may fail, before or after the store has counted."""

    def __init__(self, workers, every):
        self.workers = [Counts(f"w{place}", stale_s=every * STEP_S * 2, workers=workers) for place in range(workers)]
        self.window, self.seen, self.spent, self.now = Window(SPAN), {}, [], 1e6
        self.name = f"{SPAN}/a/"

    def spend(self, counts, amount):
        if counts.room(self.name, AT_MOST, time=self.now, now=self.now) >= amount:
            counts.add(self.name, amount, time=self.now, now=self.now)
            self.spent.append((self.now, amount))

    def sync(self, place, fate):
        counts = self.workers[place]
        merge = counts.sent(time=self.now, now=self.now)
        if fate == "refused":
            counts.returned()
            return
        if fate != "lost" and merge.sequence > self.seen.get(place, 0):
            self.window.add(merge.deltas.get(self.name, 0.0), time=self.now)
            self.seen[place] = merge.sequence
        if fate == "answered":
            counts.landed(merged(merge, {self.name: self.window.total(self.now)}, len(self.workers)), now=self.now)

    def most_within_the_span(self):
        return max((sum(a for time, a in self.spent if end - SPAN < time <= end) for end, _ in self.spent), default=0.0)


@settings(max_examples=60)
@given(
    workers=st.integers(1, 5),
    every=st.integers(1, 4),
    amount=st.integers(1, 2),
    phases=st.lists(
        st.tuples(st.integers(5, 120), st.sampled_from(["answered", "lost", "late", "refused"])), max_size=6
    ),
    skew=st.lists(st.integers(0, 3), min_size=5, max_size=5),
)
def test_a_cap_is_exceeded_by_no_more_than_workers_times_rate_times_staleness(workers, every, amount, phases, skew):
    """Also while nobody is answered: `lost` was not counted, `late` was and the answer did not come."""
    world, step = World(workers, every), 0
    for length, fate in [(30, "answered"), *phases, (100, "answered")]:
        for _ in range(length):
            world.now, step = world.now + STEP_S, step + 1
            for place, counts in enumerate(world.workers):
                world.spend(counts, amount)
                if (step + skew[place]) % every == 0:
                    world.sync(place, fate)
    stale_steps = 2 * every + 1
    assert world.most_within_the_span() <= AT_MOST + workers * amount * stale_steps


def test_a_worker_that_is_cut_off_spends_its_share_of_what_remained():
    world = World(workers=3, every=1)
    for _ in range(4):
        world.now += STEP_S
        for place, counts in enumerate(world.workers):
            world.spend(counts, 1)
            world.sync(place, "answered")
    left, before = AT_MOST - 12, len(world.spent)
    for _ in range(100):
        world.now += STEP_S
        world.spend(world.workers[0], 1)
    assert len(world.spent) - before == pytest.approx(left / 3, abs=1)
    world.now += SPAN * 13 / 12  # what it knew of is over: its share of the whole
    room = world.workers[0].room(world.name, AT_MOST, time=world.now, now=world.now)
    assert room == pytest.approx(AT_MOST / 3)


def test_the_bound_is_near_what_happens():
    """The test of the bound can fail: with workers that answer late, a cap is exceeded."""
    world = World(workers=5, every=4)
    for step in range(60):
        world.now += STEP_S
        for place, counts in enumerate(world.workers):
            world.spend(counts, 2)
            if step % 4 == 0:
                world.sync(place, "answered")
    assert AT_MOST < world.most_within_the_span() <= AT_MOST + 5 * 2 * 5
