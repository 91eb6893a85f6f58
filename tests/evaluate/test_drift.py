"""Drift: the sums by their definition, alarms as often as said, and soon after something happened."""

import numpy as np
import pytest

from slatewise.evaluate.drift import drift, evidence


@pytest.mark.parametrize("factor", [1.1, 0.9, 2.0])
def test_sums_follow_their_definition(factor):
    rng = np.random.default_rng(1)
    p = rng.random(300) / 5
    y = (rng.random(300) < p).astype(float)
    sums, last = [], 0.0
    for expected, seen in zip(p, y, strict=True):
        last = max(0.0, last + seen * np.log(factor) - expected * (factor - 1))
        sums.append(last)
    assert evidence(p, y, factor) == pytest.approx(sums, abs=1e-12)


def test_false_alarms_are_as_rare_as_asked_for():
    rng = np.random.default_rng(2)
    p = np.full(5_000, 0.05)
    alarms = [drift(p, rng.random(5_000) < p, false_alarms=0.1, draws=400).alarm_row is not None for _ in range(150)]
    assert 0.04 < np.mean(alarms) < 0.17


@pytest.mark.parametrize("factor", [1.5, 0.5])
def test_an_alarm_comes_after_the_change_and_soon(factor):
    rng = np.random.default_rng(4)
    p = np.full(40_000, 0.05)
    true = np.where(np.arange(40_000) < 20_000, p, p * factor)
    found = drift(p, rng.random(40_000) < true, false_alarms=0.01)
    assert 20_000 < found.alarm_row < 24_000
    assert (found.more > found.fewer) == (factor > 1)
