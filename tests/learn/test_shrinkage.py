"""Shrinkage: nothing where there is nothing to see, all where there is no doubt, and less error in between."""

import numpy as np
import pytest

from slatewise.learn.shrinkage import shrunken_factors, shrunken_offsets


def offsets_of(spread, sizes, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(0, spread, len(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    level = rng.normal(-2, 1, len(group))
    outcome = (rng.random(len(group)) < 1 / (1 + np.exp(-level - true[group]))).astype(float)
    return true, level, outcome, group


def test_offsets_come_nearer_than_without_shrinkage_and_than_without_offsets():
    true, level, outcome, group = offsets_of(0.3, np.tile([30, 100, 3000], 20))
    found = shrunken_offsets(level, outcome, group, 60)
    rate = 1 / (1 + np.exp(-level))
    plain = np.bincount(group, outcome - rate) / np.bincount(group, rate * (1 - rate))
    error = np.square(found.found - true).mean()
    assert error < 0.7 * np.square(true).mean()
    assert error < 0.7 * np.square(plain - true).mean()
    assert found.spread == pytest.approx(0.3, rel=0.3)


def test_an_offset_balances_the_gap_and_the_prior():
    """Where the derivative of what is maximised is 0: sum (y - p) = offset / between^2."""
    _, level, outcome, group = offsets_of(0.5, np.full(12, 200), seed=1)
    found = shrunken_offsets(level, outcome, group, 12)
    rate = 1 / (1 + np.exp(-level - found.found[group]))
    assert np.bincount(group, outcome - rate) == pytest.approx(found.found / found.spread**2, abs=1e-6)


def test_a_group_without_data_inherits_exactly():
    _, level, outcome, group = offsets_of(0.5, np.full(12, 200), seed=1)
    assert shrunken_offsets(level, outcome, group, 13).found[12] == 0.0
    assert shrunken_factors(np.array([50.0, 5.0, 0.0]), np.array([20.0, 20.0, 0.0])).found[2] == 1.0


def test_groups_that_are_alike_but_for_chance_are_alike():
    rng = np.random.default_rng(2)
    expected = np.full(200, 20.0)
    found = shrunken_factors(rng.poisson(expected).astype(float), expected)
    assert np.abs(found.found - 1).max() < 0.12


@pytest.mark.parametrize("worth", [1.0, 5.0])
def test_factors_come_nearer_whatever_an_event_is_worth(worth):
    rng = np.random.default_rng(3)
    true, expected = rng.gamma(10, 0.1, 200), np.tile([5.0, 50.0], 100)
    seen = worth * rng.poisson(true * expected)
    found = shrunken_factors(seen, worth * expected, noise=worth)
    plain = seen / (worth * expected)
    assert np.square(found.found - true).mean() < 0.8 * np.square(plain - true).mean()
    assert found.spread == pytest.approx(10**-0.5, rel=0.25)


def test_offsets_of_groups_that_are_alike_are_small_though_each_by_itself_is_not():
    _, level, outcome, group = offsets_of(0.0, np.full(300, 40), seed=4)
    assert shrunken_offsets(level, outcome, group, 300).spread < 0.25
    rate = 1 / (1 + np.exp(-level))
    plain = np.bincount(group, outcome - rate) / np.bincount(group, rate * (1 - rate))
    assert np.abs(shrunken_offsets(level, outcome, group, 300).found).max() < 0.3 * np.abs(plain).max()
