"""The pilot in closed loop, on a server that is arithmetic: one queue, known costs."""

from typing import NamedTuple

import numpy as np
import pytest

from slatewise.core.serving import Quality, Rung, Serving
from slatewise.serve.timing.pilot import Pilot, Rating

MS = 1e-3
FULL, GREEDY, REST, SHED = 2.5 * MS, 0.4 * MS, 0.4 * MS, 0.06 * MS
CAPACITY = 1 / (FULL + REST)
TWO = Serving(rungs=(Rung(name="greedy", page="greedy"),), budget_ms=40)


class Outcome(NamedTuple):
    """What became of the requests: when each came, its rung (-1: shed), how late its reply was; levels over time."""

    arrived: np.ndarray
    rung: np.ndarray
    latency: np.ndarray
    level: np.ndarray

    def after(self, second):
        return Outcome(*(column[self.arrived >= second] for column in self))

    @property
    def good(self):
        return float(((self.rung >= 0) & (self.latency <= 0.05)).mean())

    @property
    def switches(self):
        return int(np.count_nonzero(np.diff(self.level)))


def served(pilot, rates, *, cost=lambda rung, quality: (FULL, GREEDY)[rung], budget=0.04, seed=1, pause=None):
    """Serve Poisson arrivals: `rates` per second, a number for each second."""
    rng = np.random.default_rng(seed)
    arrivals = np.concatenate([np.sort(second + rng.random(rng.poisson(rate))) for second, rate in enumerate(rates)])
    free, rows = 0.0, []
    for arrived in arrivals.tolist():
        now = max(free, arrived)
        if pause and now >= pause[0]:
            now, pause = now + pause[1], None
        due = arrived + budget
        rating = None if now + pilot.least_s(now) > due else pilot.choose(now=now + REST, arrived=arrived, due=due)
        if rating is None:
            free = now + SHED
            rows.append((arrived, -1, np.inf, pilot.level))
            continue
        took = cost(rating.rung, rating.quality) * rng.uniform(0.8, 1.2)
        free = now + REST + took
        pilot.learn(rating, took_s=took, rest_s=REST, latency_s=free - arrived, now=free)
        rows.append((arrived, rating.rung, free - arrived, pilot.level))
    return Outcome(*map(np.array, zip(*rows, strict=True)))


def test_a_service_with_time_stays_at_the_top():
    outcome = served(Pilot(TWO, rungs=2), [0.4 * CAPACITY] * 20)
    assert (outcome.rung == 0).mean() > 0.95
    assert outcome.good == 1


def test_the_factor_settles_where_the_percentile_of_pages_is_in_time():
    serving = Serving(
        rungs=(Rung(name="narrow"), Rung(name="greedy")),
        quality=Quality(target_ms=10, percentile=90, full=1.0, least=0.0, calm_s=3600),
    )
    pilot, rng, late = Pilot(serving, rungs=3), np.random.default_rng(2), []
    factor = []
    for page in range(20_000):
        now = page * 0.01
        rating = pilot.choose(now=now, arrived=now, due=now + 10.0)
        latency = 0.02 * max(pilot.quality, 0.01) * rng.uniform(0.5, 1.5)
        pilot.learn(rating, took_s=0.0, rest_s=0.0, latency_s=latency, now=now)
        late.append(latency > 0.01)
        factor.append(pilot.quality)
    assert np.mean(late[2000:]) == pytest.approx(0.10, abs=0.02)
    assert np.mean(factor[2000:]) == pytest.approx(0.36, abs=0.06)  # late from 0.5 / u on, u from 0.5 to 1.5


def test_under_steady_overload_it_goes_down_and_stays_there_but_for_one_trial_in_each_calm():
    outcome = served(Pilot(TWO, rungs=2), [1.65 * CAPACITY] * 30)
    assert outcome.good >= 0.99
    assert outcome.switches <= 2 * 30 + 1
    assert np.percentile(outcome.after(1).latency, 99) < 0.02


def test_the_way_down_is_taken_at_once_and_the_way_up_one_rung_after_each_calm():
    rungs = tuple(Rung(name=name, quality=quality) for name, quality in (("a", 0.4), ("b", 0.3), ("c", 0.0)))
    pilot = Pilot(Serving(rungs=rungs, quality=Quality(percentile=99, step=0.05, calm_s=1.0)), rungs=4)
    for _ in range(30):
        pilot.learn(_rating(0), took_s=0.0, rest_s=0.0, latency_s=0.0, now=1.0)
    pilot.learn(_rating(0), took_s=0.0, rest_s=0.0, latency_s=1.0, now=10.0)

    def rung(now):
        return pilot.choose(now=now, arrived=now, due=now + 1).rung

    assert [rung(now) for now in (10.0, 10.9, 11.1, 11.9)] == [3, 3, 2, 2]
    pilot.learn(_rating(3), took_s=0.0, rest_s=0.0, latency_s=1.0, now=11.95)  # late, though on the last rung
    assert [rung(now) for now in (12.0, 12.2, 13.0, 13.3, 14.0, 14.4, 15.0)] == [2, 2, 2, 1, 1, 0, 0]
    assert pilot.quality == 0.5


@pytest.mark.parametrize(("late", "rung"), [(5, 0), (6, 1)])
def test_a_calm_is_a_span_in_which_the_percentile_was_kept(late, rung):
    pilot = Pilot(TWO, rungs=2)
    for _ in range(30):
        pilot.learn(_rating(0), took_s=0.0, rest_s=0.0, latency_s=1.0, now=10.0)
    assert pilot.choose(now=10.0, arrived=10.0, due=11.0).rung == 1
    for page in range(100):
        pilot.learn(_rating(1), took_s=0.0, rest_s=0.0, latency_s=float(page < late), now=10.5)
    assert pilot.choose(now=11.0, arrived=11.0, due=12.0).rung == rung


def test_after_an_overload_the_full_pipeline_is_back_within_a_calm_for_each_rung_and_one():
    serving = Serving(rungs=(Rung(name="narrow", quality=0.25), Rung(name="greedy")), budget_ms=40)
    costs = (FULL, FULL / 2, GREEDY)
    pilot = Pilot(serving, rungs=3)
    outcome = served(pilot, [3.5 * CAPACITY] * 10 + [0.3 * CAPACITY] * 10, cost=lambda rung, quality: costs[rung])
    assert (outcome.after(5).level[:100] > 0).all()
    assert (outcome.after(13.2).level == 0).mean() > 0.99
    assert pilot.quality == 1.0


@pytest.mark.parametrize("times", [3, 10])
def test_beyond_the_last_rung_pages_still_come_in_time_and_the_rest_is_shed_early(times):
    outcome = served(Pilot(TWO, rungs=2), [times * CAPACITY] * 10).after(1)
    pages = outcome.rung >= 0
    assert outcome.latency[pages].max() <= 0.0405  # costs vary by a fifth around what is expected
    assert (outcome.rung[pages] == 1).mean() > 0.85
    possible = min((1 - times * CAPACITY * SHED) / (GREEDY + REST - SHED), times * CAPACITY)
    assert pages.sum() / 9 > 0.93 * possible


def test_one_pause_does_not_close_the_full_pipeline_for_longer_than_its_backlog_and_two_calms():
    outcome = served(Pilot(TWO, rungs=2), [0.4 * CAPACITY] * 20, pause=(5.0, 0.2))
    assert (outcome.after(7.3).rung == 0).mean() > 0.95


def test_a_slow_page_counts_a_few_times_the_mean_and_is_forgotten():
    pilot = Pilot(TWO, rungs=2)
    for page in range(50):
        pilot.learn(_rating(0), took_s=2 * MS, rest_s=0.0, latency_s=2 * MS, now=1 + page * MS)
    pilot.learn(_rating(0), took_s=9.0, rest_s=0.0, latency_s=2 * MS, now=2.0)
    assert pilot.choose(now=2.0, arrived=2.0, due=2.04).rung == 0
    for page in range(50):
        pilot.learn(_rating(0), took_s=12 * MS, rest_s=0.0, latency_s=2 * MS, now=2 + page * MS)
    assert pilot.choose(now=2.1, arrived=2.1, due=2.14).rung == 1
    assert pilot.choose(now=4.1, arrived=4.1, due=4.14).rung == 0


@pytest.mark.parametrize(
    ("age_ms", "rung"),
    [(0, 0), (7, 0), (8.5, 1), (37, 1), (39.9, None), (40, None)],  # 10 ms is the target, 40 the budget
)
def test_the_highest_rung_that_is_soon_enough_is_taken(age_ms, rung):
    pilot = Pilot(TWO, rungs=2)
    for place, took in ((0, 2 * MS), (1, 0.5 * MS)):
        pilot.learn(_rating(place), took_s=took, rest_s=1 * MS, latency_s=0.0, now=1.0)
    found = pilot.choose(now=1.0, arrived=1.0 - age_ms * MS, due=1.04 - age_ms * MS)
    assert (None if found is None else found.rung) == rung
    assert pilot.least_s(1.0) == pytest.approx(1.5 * MS)


def test_the_factor_is_told_in_eighths_and_never_as_none():
    pilot = Pilot(Serving(rungs=(Rung(name="low"),), quality=Quality(least=0.0, step=0.03, percentile=50)), rungs=2)
    told = set()
    for page in range(60):
        rating = pilot.choose(now=page * MS, arrived=page * MS, due=1 + page * MS)
        told.add(rating.quality)
        pilot.learn(_rating(0), took_s=0.0, rest_s=0.0, latency_s=9.0, now=page * MS)
    assert told == {eighths / 8 for eighths in range(1, 9)}
    assert pilot.quality == pytest.approx(0.0)


def test_cheap_pages_of_the_last_rung_do_not_raise_the_factor():
    pilot = Pilot(TWO, rungs=2)
    for page in range(200):
        pilot.learn(
            _rating(0 if page < 50 else 1), took_s=MS, rest_s=MS, latency_s=1.0 if page < 50 else MS, now=page * MS
        )
    assert pilot.quality == TWO.quality.least


def _rating(rung):
    return Pilot(TWO, rungs=2).choose(now=0.0, arrived=0.0, due=1.0)._replace(rung=rung)


def test_a_page_that_took_too_long_does_not_close_the_last_rung_for_good_whatever_the_calm():
    pilot = Pilot(Serving(budget_ms=40.0, quality=Quality(calm_s=0.0)), rungs=1)
    pilot.learn(Rating(0, 1.0), took_s=1.0, rest_s=0.0, latency_s=1.0, now=1.0)
    assert pilot.choose(now=1.1, arrived=1.1, due=1.14) is None
    assert pilot.choose(now=60.0, arrived=60.0, due=60.04) is not None
