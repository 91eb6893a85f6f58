"""Scores of lines that answer each other."""

import numpy as np
import pytest

from slatewise.core.errors import RequestError
from slatewise.evaluate.deflation import best_scores, drawn, responses

EVEN = drawn([[1.0] * 100] * 5, pages=4000, seed=0)


def test_own_scores_of_like_lines_fall_to_what_theory_says():
    """Five lines with even values: in equilibrium each enters 4/5 of its value."""
    found = responses(EVEN, accounting="own", rounds=40, step=0.4)
    assert found.drift == pytest.approx(-1 / 5, abs=0.02)
    assert found.welfare[-1] > 0.99


def test_a_rate_rescales_what_own_scores_fall_to():
    found = responses(EVEN, accounting="own", rate=2.0, rounds=40, step=0.4)
    assert found.drift == pytest.approx(4 / 5 / 2 - 1, abs=0.02)


@pytest.mark.parametrize("rate", [1.0, 1.5])
def test_displacement_leaves_scores_at_value_over_rate(rate):
    found = responses(EVEN, accounting="displacement", rate=rate)
    assert found.drift == pytest.approx(1 / rate - 1, abs=1e-6)
    assert found.welfare[-1] == 1.0


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_no_score_beats_value_over_rate_under_displacement(rate):
    """Whatever the rivals enter: here a mixture with two humps and ties."""
    rivals = np.sort(np.concatenate([np.repeat([2.0, 5.0, 9.0], 20), np.random.default_rng(0).normal(6, 1, 100)]))
    values = np.linspace(0, 12, 49)
    found = best_scores(rivals, values, rate, accounting="displacement")
    assert found.tolist() == (values / rate).tolist()
    for score in np.linspace(0, 12, 97):
        own = np.array([(value - rate * rivals[rivals < value / rate]).sum() for value in values])
        other = np.array([(value - rate * rivals[rivals < score]).sum() for value in values])
        assert (own >= other - 1e-9).all()


def test_own_scores_are_the_best_of_all():
    rivals = np.sort(np.random.default_rng(1).gamma(2.0, 10.0, 300))
    values = np.array([5.0, 20.0, 60.0])
    found = best_scores(rivals, values, 1.5, accounting="own")
    for value, score in zip(values, found, strict=True):
        surplus = [(value - 1.5 * s) * (rivals < s).sum() for s in np.linspace(0, 60, 6001)]
        assert (value - 1.5 * score) * (rivals < score).sum() >= max(surplus)


def test_a_truthful_line_wins_more_than_its_part():
    found = responses(EVEN, accounting="own", rate=1.5, anchor=2)
    assert found.shares[0] == pytest.approx((0.2,) * 5, abs=0.03)
    assert found.shares[-1][2] > 0.3
    assert found.welfare[-1] < 0.97


def test_low_is_measured_against_the_threshold():
    found = responses(EVEN, accounting="displacement", rate=2.0, threshold=40.0)
    top = EVEN.max(axis=1)
    assert (found.low[0], found.low[-1]) == pytest.approx(((top < 40).mean(), (top / 2 < 40).mean()))


def test_refusals():
    with pytest.raises(RequestError, match=r"rate: must be > 0, got 0"):
        responses(EVEN, accounting="own", rate=0)
    with pytest.raises(RequestError, match=r"histograms\[1\]: must have counts >= 0, some above, got \[0.0\]"):
        drawn([[1.0], [0.0]], pages=1, seed=0)
