"""The plants: what swings, what holds, and what hindsight makes of them."""

import numpy as np
import pytest

from slatewise.core.errors import RequestError
from slatewise.evaluate.day import arrivals, document, made_up, replayed, spread
from slatewise.evaluate.pacing import (
    clairvoyant,
    coordinator,
    guarded,
    hindsight,
    knapsack,
    served,
    spending,
    unguarded,
    unpriced,
)
from slatewise.methods.control import Law
from slatewise.methods.coordinate import Pull, Wanted

TARGETS = np.array([0.4, 0.35, 0.25])
WANTED = Wanted(TARGETS, TARGETS, np.full(3, np.inf), 0)
STEEP = {"kind": "pid", "proportional": 2.0, "integral": 1.0, "derivative": 0.5, "most": 50.0}
WORTH = made_up(3, requests=30_000, seed=4)


def test_hindsight_splits_as_asked_and_nothing_that_does_is_worth_more():
    price, best = hindsight(WORTH, WANTED)
    won = np.argmax(WORTH - price, axis=1)
    assert np.bincount(won) / len(won) == pytest.approx(TARGETS, abs=1e-3)
    assert WORTH[np.arange(len(won)), won].sum() == pytest.approx(best, rel=1e-4)


def test_delay_and_gain_make_lines_swing_and_the_coordinator_does_not():
    bad = unguarded(WORTH, TARGETS, Law(**STEEP), window=500)
    cured = served(WORTH, coordinator(WANTED, Pull(), slots=500), window=500)
    known = clairvoyant(WORTH, WANTED, window=500)
    raw = served(WORTH, unpriced, window=500)
    found = {name: one.swings(TARGETS, 500) for name, one in locals().items() if hasattr(one, "won")}
    assert found["bad"].fast_rms > 5 * found["bad"].fast_floor
    assert found["cured"].fast_rms < 2.5 * found["cured"].fast_floor
    assert found["known"].rmse < found["cured"].rmse < 0.5 * found["raw"].rmse
    assert bad.value < 0.9 * cured.value
    assert cured.value == pytest.approx(known.value, rel=0.02)


@pytest.mark.parametrize("lag", [0, 4])
@pytest.mark.parametrize("law", [Law(**STEEP), Law(gain=1e6, most=1e6), Law(kind="momentum", gain=1e3, decay=0.9)])
def test_whatever_gains_are_set_guarded_loops_stay_calm(law, lag):
    scale = float(WORTH.max(axis=1).mean())
    course = served(WORTH, guarded(WANTED, law, scale=scale, lag=lag), window=500)
    found = course.swings(TARGETS, 500)
    assert found.fast_rms < 2.5 * found.fast_floor
    assert course.value > 0.9 * hindsight(WORTH, WANTED)[1]


def test_a_budget_is_spent_evenly_and_well():
    rng = np.random.default_rng(5)
    values, prices = rng.lognormal(0, 1, 40_000), rng.lognormal(0, 1, 40_000)
    found = spending(values, prices, 0.1 * prices.sum())
    assert found.spent.sum() <= 0.1 * prices.sum()
    assert found.best == knapsack(values, prices, 0.1 * prices.sum())
    assert found.value > 0.98 * found.best
    assert found.spent[:20_000].sum() == pytest.approx(found.spent[20_000:].sum(), rel=0.03)


def test_hindsight_buys_a_part_of_the_last_one():
    assert knapsack(np.array([1.0, 6.0, 4.0]), np.array([1.0, 2.0, 4.0]), 4.0) == 6.0 + 1.0 + 1.0


def test_a_day_has_its_hours():
    hours, edges = arrivals(9_600, minutes=60.0)
    assert hours.tolist() == list(range(1, 25))
    assert edges[-1] == 9_600
    assert np.argmin(np.diff(edges)) == 2
    with pytest.raises(RequestError, match="requests: must be enough for one in each window, got 30"):
        arrivals(30, minutes=15.0)


def test_a_day_is_compared_and_can_be_written_down():
    found = replayed(WORTH[:6_000], {"a": 0.4, "b": 0.35, "c": 0.25}, minutes=60.0)
    kept = {arm.name: arm.swings.rmse for arm in found.arms}
    assert kept["each window known"] < kept["coordinator"] < kept["no prices"]
    assert len(document(found)["arms"]) == len(found.arms)
    assert set(document(spread(WORTH[:, 0], WORTH[:, 1], 0.2, minutes=60.0))["arms"][0]) >= {"kept", "rmse", "asked"}
    with pytest.raises(RequestError, match="share: must be > 0 for two lines or more, and 1 together"):
        replayed(WORTH, {"a": 0.4, "b": 0.35, "c": 0.3}, minutes=60.0)
