"""Measures of swings, on shares of which they are known."""

import numpy as np
import pytest

from slatewise.core.errors import RequestError
from slatewise.evaluate.oscillation import fast_floor, lead, settling, shuffled_flips, swings, volatility

WINDOWS = np.arange(240)


def two(first):
    return np.stack([first, 1.0 - first], axis=1)


@pytest.mark.parametrize(("period", "fast"), [(80, 0.0), (20, 0.0), (6, 1.0), (2, 1.0)])
def test_a_swing_is_fast_by_its_period(period, fast):
    wave = 0.5 + 0.1 * np.cos(2 * np.pi * WINDOWS / period)
    found = swings(two(wave), [0.5, 0.5])
    assert found.fast_part == pytest.approx(fast, abs=1e-9)
    size = 0.2 if period == 2 else 0.2 / np.sqrt(2)
    assert found.rmse == pytest.approx(size)
    assert found.fast_rms == pytest.approx(size * fast, abs=1e-9)


def test_draws_alone_swing_as_the_floor_says():
    rng, targets = np.random.default_rng(0), np.array([0.5, 0.3, 0.2])
    found = swings(rng.multinomial(10**6, targets, 4_000) / 10**6, targets, slots=10**6)
    assert found.fast_rms == pytest.approx(fast_floor(targets, 10**6), rel=0.02)
    assert found.fast_floor == fast_floor(targets, 10**6)
    assert found.flips == pytest.approx(2 / 3, abs=0.02)


def test_a_random_walk_flips_half_the_time_and_shuffled_like_noise():
    walk = 0.5 + 1e-4 * np.cumsum(np.random.default_rng(1).normal(size=4_000))
    assert swings(two(walk), [0.5, 0.5]).flips == pytest.approx(0.5, abs=0.03)
    assert shuffled_flips(two(walk)) == pytest.approx(2 / 3, abs=0.03)


def test_what_follows_is_seen_at_its_lag():
    noise = np.random.default_rng(2).normal(size=500)
    found = lead(np.stack([noise, np.roll(noise, 3)], axis=1), 3)
    assert found[0, 1] > 0.95
    assert abs(found[1, 0]) < 0.2


def test_a_step_response_is_read_off():
    level = 2.0 * (1 - np.exp(-WINDOWS / 10.0) * np.cos(WINDOWS / 5.0))
    found = settling(level, 2.0)
    inside = np.abs(level / 2.0 - 1.0) <= 0.1
    assert inside[found.rise]
    assert not inside[: found.rise].any()
    assert inside[found.settled :].all()
    assert not inside[found.settled - 1]
    assert found.overshoot == pytest.approx(level.max() / 2.0 - 1.0)
    assert settling([0.0, 0.0], 1.0).settled == -1


def test_volatility_is_of_changes():
    assert volatility(np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])) == 0.75


@pytest.mark.parametrize(
    ("shares", "targets", "message"),
    [
        (
            [[0.5, 0.5]],
            [0.5, 0.5],
            r"oscillation.shares: must be \(windows, lines\) with at least 3 windows, got \(1, 2\)",
        ),
        ([[0.5, 0.5]] * 3, [1.0, 0.0], r"oscillation.targets: must be one share > 0 for each line, got \[1.0, 0.0\]"),
    ],
)
def test_refuses(shares, targets, message):
    with pytest.raises(RequestError, match=message):
        swings(shares, targets)
