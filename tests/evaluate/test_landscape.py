"""Reports of landscapes: each figure by its definition, on rows few enough to count."""

import numpy as np
import pytest

from slatewise.evaluate.landscape import Outcomes, auc_and_influence, identified, report

SCORE = np.array([4.0, 6.0, 3.0, 8.0, 5.0, 2.0])
PRICE = np.array([2.0, 7.0, 1.0, 3.0, 9.0, 4.0])
WON = PRICE < SCORE
MEANS = np.array([6.0, 5.0, 2.0, 4.0, 8.0, 3.0])
"""Each row's rival is expected about here: see `win`."""


def win(scores):
    """Return the uniform distribution of prices between 0 and twice the expectation."""
    return np.clip(scores / (2.0 * MEANS[:, None]), 0.0, 1.0)


def test_every_figure_is_its_definition():
    found = report(Outcomes(SCORE, WON, PRICE), win, limit=8.0)
    chance = win(SCORE[:, None])[:, 0]
    pairs = [(a > b) + (a == b) / 2 for a in chance[WON] for b in chance[~WON]]
    assert found.auc.estimate == pytest.approx(np.mean(pairs))
    assert found.auc.high == 1.0
    assert found.log_loss.estimate == pytest.approx(-np.log(np.where(WON, chance, 1 - chance)).mean())
    mass = np.log(2.0 * MEANS)
    assert found.anlp.estimate == pytest.approx(mass.mean())
    assert found.anlp_within.estimate == pytest.approx(mass[PRICE < 8].mean())
    assert found.anlp_beyond.estimate == pytest.approx(mass[PRICE >= 8].mean())
    pairs = [(i, j) for i in range(6) for j in range(6) if PRICE[i] < PRICE[j]]
    middle = win(np.full((6, 1), 4.0))[:, 0]
    right = [(middle[i] > middle[j]) + (middle[i] == middle[j]) / 2 for i, j in pairs]
    assert found.concordance.estimate == pytest.approx(np.mean(right))
    grid = np.linspace(1.0, 8.0, 31)[1:]
    errors = [((s > PRICE) - win(np.full((6, 1), s))[:, 0]) ** 2 for s in grid]
    assert found.brier.estimate == pytest.approx(np.mean(errors))
    assert found.survival == pytest.approx(1 - win(np.full((6, 1), 8.0)).mean())
    assert found.survival_seen == pytest.approx(1 / 6)


def test_without_prices_of_lost_rows_only_what_is_known_counts():
    found = report(Outcomes(SCORE, WON, np.where(WON, PRICE, np.nan)), win, limit=8.0)
    assert found.anlp.estimate == pytest.approx(np.log(2.0 * MEANS[WON]).mean())
    assert np.isnan(found.survival_seen)
    grid = np.linspace(1.0, 8.0, 31)[1:]
    by_row = [
        np.mean([((PRICE[row] < s) - win(np.full((6, 1), s))[row, 0]) ** 2 for s in grid if s <= SCORE[row]])
        for row in range(6)
    ]
    assert found.brier.estimate == pytest.approx(np.mean(by_row))
    # the rival of a row that lost at 5 is known to be above 3; that of one that lost at 2, not to be above 2
    order = [(i, j) for i in range(6) for j in range(6) if WON[i] and PRICE[i] < (PRICE[j] if WON[j] else SCORE[j])]
    assert (0, 5) not in order
    middle = win(np.full((6, 1), 4.0))[:, 0]
    right = [(middle[i] > middle[j]) + (middle[i] == middle[j]) / 2 for i, j in order]
    assert found.concordance.estimate == pytest.approx(np.mean(right))


def test_without_any_price_there_is_no_brier_score():
    found = report(Outcomes(SCORE, WON, np.full(6, np.nan)), win, limit=8.0)
    assert np.isnan([found.brier.estimate, found.anlp.estimate, found.concordance.estimate]).all()
    assert found.log_loss.estimate > 0


def test_the_influence_of_rows_adds_up_to_nothing_and_predicts_what_leaving_one_out_does():
    rng = np.random.default_rng(0)
    score, positive = rng.normal(size=300), rng.random(300) < 0.3
    score[positive] += 1.0
    area, influence = auc_and_influence(score, positive)
    assert influence.sum() == pytest.approx(0.0, abs=1e-9)
    without = np.array([auc_and_influence(np.delete(score, row), np.delete(positive, row))[0] for row in range(300)])
    assert area - without == pytest.approx(influence / 300, abs=2e-4)


def test_intervals_draw_whole_clusters():
    rng = np.random.default_rng(0)
    score = rng.normal(size=60)
    positive = score + rng.normal(size=60) > 0
    price = np.where(positive, 1.0, 9.0)
    scores = np.full(60, 5.0)

    def chance(asked):
        return np.clip(0.5 + 0.1 * score[:, None] + 0.0 * asked, 0.0, 1.0)

    alone = report(Outcomes(scores, positive, price), chance, limit=8.0)
    copied = np.repeat(np.arange(60), 4)
    many = report(
        Outcomes(scores[copied], positive[copied], price[copied], copied),
        lambda asked: np.clip(0.5 + 0.1 * score[copied][:, None] + 0.0 * asked, 0.0, 1.0),
        limit=8.0,
    )
    assert (many.auc.low, many.auc.high) == pytest.approx((alone.auc.low, alone.auc.high), abs=1e-9)
    assert many.log_loss.low == pytest.approx(alone.log_loss.low)


def test_calibration_takes_rows_of_similar_chances_together():
    rng = np.random.default_rng(0)
    chance = rng.random(1000)
    won = rng.random(1000) < chance
    found = report(
        Outcomes(np.full(1000, 5.0), won, np.where(won, 1.0, 9.0)),
        lambda asked: chance[:, None] + 0.0 * asked,
        limit=8.0,
    )
    assert [one.rows for one in found.calibration] == [100] * 10
    assert [one.expected for one in found.calibration] == pytest.approx(np.linspace(0.05, 0.95, 10), abs=0.05)
    assert sum(one.low <= one.expected <= one.high for one in found.calibration) >= 8


def test_a_range_is_known_where_enough_rows_reach():
    assert identified([5.0, 7.0, 7.0, 9.0, 3.0], ["a"] * 4 + ["b"], least=3) == {"a": 7.0}
