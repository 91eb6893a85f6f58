"""Curves: what they were made from comes back, and what makes them the likeliest holds."""

import numpy as np
import pytest

from slatewise import RequestError
from slatewise.blend.maps import Beta, Platt
from slatewise.evaluate.calibration import auc, pcoc
from slatewise.learn.curves import FITS, beta, bucketed, isotonic, platt, quantile, ratio, scale_of, temperature
from slatewise.learn.logistic import logistic

RNG = np.random.default_rng(5)
SCORE = RNG.beta(1, 8, 60_000)
ODDS = np.log(SCORE / (1 - SCORE))


BETACAL = (0.5571902835502529, 1.0587713568358514, 0.49979601)


def happened(level, seed=6):
    return (np.random.default_rng(seed).random(len(level)) < 1 / (1 + np.exp(-level))).astype(float)


def test_platt_comes_back():
    found = platt(SCORE, happened(0.7 * ODDS - 0.5), "probability")
    assert (found.slope, found.offset) == pytest.approx((0.7, -0.5), abs=0.05)


def test_platt_of_scores_comes_back():
    found = platt(ODDS * 100 + 7, happened(0.7 * ODDS - 0.5), "score")
    assert (found.slope, found.offset) == pytest.approx((0.007, -0.549), abs=0.05)


def test_beta_comes_back():
    score = RNG.random(60_000)
    found = beta(score, happened(1.5 * np.log(score) - 0.5 * np.log(1 - score) + 0.2), "probability")
    assert (found.low, found.high, found.offset) == pytest.approx((1.5, 0.5, 0.2), abs=0.06)


def test_temperature_comes_back():
    assert temperature(SCORE, happened(ODDS / 2), "probability").temperature == pytest.approx(2, abs=0.05)


def test_beta_by_the_numbers_of_betacal():
    """Of the same rows, by betacal 1.1 with its parameters "abm": a, b and the intercept."""
    score = (np.arange(1, 400) / 400) ** 2
    outcome = (np.sin(np.arange(1, 400) * 12.9898) * 43758.5453 % 1 < score**0.5).astype(float)
    found = beta(score, outcome, "probability")
    assert (found.low, found.high, found.offset) == pytest.approx(BETACAL, abs=2e-3)


@pytest.mark.parametrize("fit", [platt, beta])
def test_as_many_events_are_predicted_as_there_were_and_as_far_up(fit):
    """What is true of the likeliest curve: residuals add up to 0, by themselves and times each term."""
    outcome = happened(0.8 * ODDS - 1)
    gap = outcome - fit(SCORE, outcome, "probability")(SCORE)
    assert abs(gap.sum()) < 1.5  # targets of platt are a little inside 0 and 1
    assert abs((gap * np.log(SCORE)).sum()) < 5
    assert pcoc(outcome - gap, outcome) == pytest.approx(1, abs=1e-3)


def test_beta_leaves_out_a_slope_that_would_fall():
    score = RNG.random(20_000)
    found = beta(score, happened(2 * np.log(score) + 0.8 * np.log(1 - score) + 1, seed=8), "probability")
    assert found.high == 0.0
    assert found.low > 0.5


def test_isotonic_follows_a_curve_that_no_formula_has():
    true = np.where(SCORE < 0.1, SCORE * 0.2, 0.02 + (SCORE - 0.1) * 1.05)
    outcome = (np.random.default_rng(9).random(len(SCORE)) < true).astype(float)
    found = isotonic(SCORE, outcome, "probability")(SCORE)
    straight = platt(SCORE, outcome, "probability")(SCORE)
    assert np.abs(found - true).mean() < 0.6 * np.abs(straight - true).mean()
    assert pcoc(found, outcome) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("events", [30, 3000])
def test_no_fit_changes_an_order_or_makes_a_tie(name, events):
    """Counts that fall from bin to bin, plateaus and empty bins included."""
    rng = np.random.default_rng(10)
    score = rng.beta(1, 8, 20_000)
    outcome = (rng.random(20_000) < np.minimum(1, 8 * score * events / 20_000)).astype(float)
    found = FITS[name](score, outcome, "probability")
    value, other = found(score), rng.permutation(20_000)
    assert (np.sign(value - value[other]) == np.sign(score - score[other])).all()
    assert auc(value, outcome) == auc(score, outcome)


@pytest.mark.parametrize("fit", [isotonic, bucketed])
def test_equal_scores_stay_together(fit):
    score = np.repeat([0.1, 0.2, 0.3], [1, 998, 1])
    outcome = np.concatenate([[0.0], np.tile([1.0, 0.0], 499), [1.0]])
    found = fit(score, outcome, "probability")
    assert found(np.array([0.2]))[0] == pytest.approx(0.5, abs=0.02)


def test_quantiles_take_the_references_distribution():
    own, other = RNG.normal(size=5_000), RNG.exponential(size=5_000)
    mapped = quantile(own, other)(own)
    assert np.quantile(mapped, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(other, [0.1, 0.5, 0.9]), rel=0.03)


def test_logistic_with_counts_is_logistic_with_rows():
    columns = np.column_stack([np.repeat([0.0, 1.0, 2.0], 40), np.ones(120)])
    events = happened(columns[:, 0] - 1, seed=11)
    by_row = logistic(columns, events, np.ones(120))
    sums = events.reshape(3, 40).sum(axis=1)
    assert logistic(columns[::40], sums, np.full(3, 40.0)) == pytest.approx(by_row, abs=1e-6)


def test_scores_from_0_to_1_count_as_probabilities():
    assert (scale_of(np.array([0.0, 1.0])), scale_of(np.array([0.0, 1.1]))) == ("probability", "score")


@pytest.mark.parametrize("name", ["platt", "beta", "temperature", "isotonic"])
def test_refuses_a_curve_that_falls(name):
    score = np.linspace(0.55, 0.95, 400)
    outcome = np.append(np.ones(200), np.zeros(200))
    outcome[::7] = 1 - outcome[::7]
    falling = FITS[name]
    if name == "temperature":
        outcome = np.zeros(400)
    with pytest.raises(RequestError, match=f"log.score: must rise with the outcome for `{name}`"):
        falling(score, outcome, "probability")


def test_refuses_scores_that_are_no_probabilities_where_log_odds_are_needed():
    for fit in (beta, temperature):
        with pytest.raises(RequestError, match="must be from 0 to 1"):
            fit(np.array([1.0, 2.0]), np.array([0.0, 1.0]), "score")
    assert ratio(np.array([1.0, 2.0]), np.array([0.0, 6.0]), "score").factor == 2.0


def test_a_fitted_curve_is_a_map_of_the_policy():
    outcome = happened(ODDS)
    assert isinstance(platt(SCORE, outcome, "probability"), Platt)
    assert isinstance(beta(SCORE, outcome, "probability"), Beta)
