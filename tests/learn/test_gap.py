"""Gaps between ads, and the price of engagement."""

from itertools import product

import numpy as np
import pytest

from slatewise import RequestError
from slatewise.learn.gap import fit_gap_effect, shadow_bid


def test_the_effect_of_gaps_comes_back_with_an_interval_that_holds_it():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(60):
        gap = rng.integers(1, 12, 20_000)
        expected = rng.random(20_000) / 5
        theta = 1 - 0.08 * np.maximum(5 - gap, 0)
        found = fit_gap_effect(gap, rng.random(20_000) < 1.3 * expected * theta, expected)
        held.append(found.slope.low < 0.08 < found.slope.high)
    assert np.mean(held) > 0.85
    assert found.factors == pytest.approx([0.68, 0.76, 0.84, 0.92, 1.0], abs=0.12)


def test_a_slope_without_noise_is_exact():
    gap, expected = np.repeat(np.arange(1, 7), 100), np.full(600, 1.0)
    clicked = np.repeat([0.6, 0.7, 0.8, 0.9, 1.0, 1.0], 100)
    assert fit_gap_effect(gap, clicked, expected).factors == pytest.approx([0.6, 0.7, 0.8, 0.9, 1.0])


@pytest.mark.parametrize("seed", range(20))
def test_the_price_is_the_smallest_that_keeps_to_engagement(seed):
    rng = np.random.default_rng(seed)
    revenue, ad, post = rng.integers(1, 9, 6), rng.integers(0, 5, 6), rng.integers(0, 5, 6)
    most = int(np.maximum(ad, post).sum())

    def reached(price):
        takes = revenue + price * (ad - post) > 0
        return np.where(takes, ad, post).sum()

    turns = sorted({0.0} | {r / (o - a) for r, a, o in zip(revenue, ad, post, strict=True) if o > a})
    for asked in range(int(ad.sum()) - 1, most + 1):
        best = next(price for price in turns if reached(price + 1e-9) >= asked)
        assert shadow_bid(revenue, ad, post, engagement=asked) == pytest.approx(best)


def test_no_other_choice_of_slots_earns_more_at_that_engagement():
    """By trying all of them: the rule at the price is the best choice among those that engage as much."""
    revenue, ad, post = np.array([3.0, 1.0, 2.0, 5.0]), np.array([1.0, 0.0, 2.0, 1.0]), np.array([2.0, 3.0, 2.0, 4.0])
    for asked in (5.0, 7.0, 9.0):
        price = shadow_bid(revenue, ad, post, engagement=asked) + 1e-9
        takes = revenue + price * (ad - post) > 0
        engaged = np.where(takes, ad, post).sum()
        best = max(
            (np.array(one) * revenue).sum()
            for one in product([0, 1], repeat=4)
            if np.where(np.array(one) > 0, ad, post).sum() >= engaged
        )
        assert (takes * revenue).sum() == best


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_gap_effect([0], [1.0], [0.1]), "log.gap: must be >= 1, got 0"),
        (lambda: fit_gap_effect([1, 2], [1.0, 1.0], [0.1, 0.1]), "log.gap: must be 5 or more for ads some of which"),
        (lambda: fit_gap_effect([7, 9], [1.0, 1.0], [0.1, 0.1]), "log.gap: must be below 5 for some ads"),
        (lambda: shadow_bid([1.0], [0.0], [2.0], engagement=3.0), "engagement: must be at most 2, what is possible"),
        (lambda: shadow_bid([0.0], [0.0], [2.0], engagement=1.0), "log.revenue: must be > 0, got 0.0"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(RequestError, match=message):
        call()
