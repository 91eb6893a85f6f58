"""The score that makes most of a win-rate curve, against enumeration, closed forms and its own promises."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import lambertw

from slatewise.kernels.landscape import EXTREME, LOGISTIC, NORMAL, POWER
from slatewise.methods.shading import Smooth, Steps, solve

SIZES = st.floats(0.05, 500.0)


def family(code, location, scale):
    return Smooth.of(np.array([[code, location, scale, 1.0]]))


@st.composite
def steps(draw):
    count = draw(st.integers(1, 40))
    whole = st.integers(0, 50)
    scores = sorted(draw(st.sets(whole, min_size=count, max_size=count)))
    wins = sorted(draw(st.lists(whole, min_size=count, max_size=count)))
    return Steps.of(np.array(scores, float), np.array(wins, float) / 50)


@st.composite
def smooth(draw):
    codes = st.sampled_from([POWER, NORMAL, LOGISTIC, EXTREME])
    parts = draw(
        st.lists(
            st.tuples(codes, st.floats(-1.0, 5.0), st.floats(0.05, 2.0), st.floats(0.1, 1.0)), min_size=1, max_size=4
        )
    )
    table = np.array(parts)
    table[:, 3] /= table[:, 3].sum()
    return Smooth.of(table)


def enumerated(curve, worth, rate, most):
    """Every step in turn; ties to the smallest score, and to not competing at all."""
    best = (0.0, 0.0)
    for score, win in zip(curve.scores.tolist(), curve.wins.tolist(), strict=True):
        if score <= most and win * (worth - rate * score) > best[1] + 1e-12:
            best = (score, win * (worth - rate * score))
    return best


@given(steps(), st.integers(-5, 80), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.integers(0, 60))
def test_no_step_is_better_than_the_one_chosen(curve, worth, rate, most):
    found = solve(curve, worth, rate=rate, most=most)
    score, surplus = enumerated(curve, worth, rate, most)
    assert found.surplus == pytest.approx(surplus, abs=1e-9)
    assert found.score <= most
    assert found.score == score or abs(found.surplus - surplus) <= 1e-12


@given(smooth(), SIZES, st.floats(0.2, 5.0), SIZES)
def test_no_score_is_better_than_the_one_chosen(curve, worth, rate, most):
    found = solve(curve, worth, rate=rate, most=most)
    tried = np.concatenate([np.geomspace(1e-6, most, 4000), np.minimum(np.exp(curve.parts[:, 1]), most)])
    best = (curve.win(tried) * (worth - rate * tried)).max()
    assert found.surplus >= best - 1e-9
    assert 0.0 <= found.score <= most
    assert found.cost == found.win * found.score


@given(SIZES, SIZES)
def test_families_agree_with_their_closed_forms(bar, size):
    ratio = bar / size
    assert solve(family(POWER, np.log(size), 1.0), bar).score == pytest.approx(min(bar / 2, size), rel=1e-9)
    assert solve(family(POWER, np.log(size), 0.5), bar).score == pytest.approx(min(bar * 2 / 3, size), rel=1e-9)
    one = size * (np.sqrt(1.0 + ratio) - 1.0)
    assert solve(family(LOGISTIC, np.log(size), 1.0), bar).score == pytest.approx(one, rel=1e-6)
    two = 2.0 * size * np.sinh(np.arcsinh(ratio) / 3.0)
    assert solve(family(LOGISTIC, np.log(size), 0.5), bar).score == pytest.approx(two, rel=1e-9)
    if 0.01 < ratio < 500.0:
        exponential = size * (ratio + 1.0 - lambertw(np.exp(ratio + 1.0)).real)
        assert solve(family(EXTREME, np.log(size), 1.0), bar).score == pytest.approx(exponential, rel=1e-6)


@given(smooth() | steps(), st.lists(st.floats(0.0, 300.0), min_size=2, max_size=8))
def test_a_score_never_falls_with_worth_nor_rises_with_rate(curve, worths):
    worths = sorted(worths)
    scores = [solve(curve, worth).score for worth in worths]
    assert all(low <= high * (1 + 1e-7) for low, high in pairwise(scores))
    rates = [solve(curve, 50.0, rate=0.1 + worth / 100).score for worth in worths]
    assert all(high >= low * (1 - 1e-7) for high, low in pairwise(rates))


@pytest.mark.parametrize("worth", [0.0, -3.0])
def test_what_is_worth_nothing_does_not_compete(worth):
    for curve in (family(NORMAL, 1.0, 0.5), Steps.of(np.array([1.0]), np.array([0.5]))):
        assert solve(curve, worth) == (0.0, 0.0, 0.0, 0.0)


def test_a_score_that_costs_nothing_is_the_largest_or_the_smallest_that_always_wins():
    assert solve(family(NORMAL, 1.0, 0.5), 5.0, rate=0.0, most=70.0).score == 70.0
    assert solve(family(POWER, np.log(8.0), 1.0), 5.0, rate=0.0, most=70.0).score == pytest.approx(8.0)
    assert solve(Steps.of(np.array([2.0, 4.0, 9.0]), np.array([0.5, 1.0, 1.0])), 5.0, rate=0.0).score == 4.0


def test_of_scores_that_are_as_good_the_smallest():
    """Worth 2: half of 2 - 1, or all of 2 - 1.5."""
    assert solve(Steps.of(np.array([1.0, 1.5]), np.array([0.5, 1.0])), 2.0).score == 1.0


def test_a_local_search_would_take_the_lower_hump():
    """Worth 100: 10 wins one in two and leaves 45; 60 always wins and leaves 40. Worth 130: 60 leaves 70, 10 60."""
    curve = Smooth.of(np.array([[NORMAL, np.log(10.0), 0.01, 0.5], [NORMAL, np.log(60.0), 0.01, 0.5]]))
    assert solve(curve, 100.0).score == pytest.approx(10.0, rel=0.05)
    assert solve(curve, 130.0).score == pytest.approx(60.0, rel=0.05)


def test_two_scores_spend_exactly_what_is_asked_for():
    """Points (cost, win) at (2, .2), (10, .3), (20, .5): the middle one is below the line between its neighbours."""
    curve = Steps.of(np.array([10.0, 100 / 3, 40.0]), np.array([0.2, 0.3, 0.5]))
    assert curve.mixed(11.0) == pytest.approx((10.0, 40.0, 0.5))
    assert curve.mixed(1.0) == pytest.approx((0.0, 10.0, 0.5))
    assert curve.mixed(99.0) == (40.0, 40.0, 1.0)


@given(smooth())
def test_density_is_how_fast_the_win_probability_rises(curve):
    scores = np.geomspace(0.05, 300.0, 40)
    edges = np.exp(curve.parts[curve.parts[:, 0] == POWER, 1])
    scores = scores[[not (np.abs(edges / score - 1.0) < 1e-3).any() for score in scores]]
    rise = (curve.win(scores * (1 + 1e-6)) - curve.win(scores * (1 - 1e-6))) / (2e-6 * scores)
    assert curve.density(scores) == pytest.approx(rise, rel=1e-3, abs=1e-7)
