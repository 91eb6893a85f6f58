"""Win rates learned from what was entered: the counts, their fading, and what they are asked."""

import numpy as np
import pytest

from slatewise.methods.explore import Account, Explore
from slatewise.methods.winrates import Learning, WinRates

ONE = Learning(step=1.0, steps=6, cells=1, width=1.0, warm=1, shrink=1e-9, half_life=1e9)


def counted(rates):
    died, left = rates._counts
    return died[-1].tolist(), left[-1].tolist()


def test_a_rival_that_is_known_dies_and_one_that_is_not_leaves_before_the_score_entered():
    """Entered 3, 3, 5, 2: rivals 0 and 2 known; at least 5; at least 2. A loser at s has only survived bins below s."""
    rates = WinRates(learning=ONE).observe(
        np.ones(4),
        np.array([3.0, 3.0, 5.0, 2.0]),
        rivals=np.array([0.0, 2.0, 0.0, 0.0]),
        known=np.array([True, True, False, False]),
    )
    assert counted(rates) == ([1.0, 0.0, 1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0, 1.0, 0.0])


def test_the_rate_is_the_product_limit_where_much_was_seen():
    """1000 fours, half of which were entered at 3 and lost unseen: still P(z < 3) = 0 and P(z < 5) = 1, and not 1/2."""
    scores, rivals = np.tile([3.0, 6.0], 500), np.full(1000, 4.0)
    rates = WinRates(learning=ONE).observe(np.ones(1000), scores, rivals=rivals, known=rivals < scores)
    assert rates.laid_out.wins[0] == pytest.approx([0, 0, 0, 0, 0, 1, 1], abs=0.02)


def test_the_rate_goes_on_rising_beyond_the_scores_entered():
    scores, rivals = np.full(1000, 3.0), np.tile([1.0, 9.0], 500)
    rates = WinRates(learning=ONE).observe(np.ones(1000), scores, rivals=rivals, known=rivals < scores)
    wins = rates.laid_out.wins[0]
    assert wins[3] == pytest.approx(0.5, abs=0.01)
    assert (np.diff(wins[3:]) > 0).all()


def test_cells_are_ranks_so_that_values_on_another_scale_change_nothing():
    random = np.random.default_rng(0)
    values = random.uniform(1.0, 6.0, 3000)
    rivals = np.floor(values * random.uniform(0.0, 1.0, 3000))
    learning = Learning(step=1.0, steps=6, cells=5, recent=1000)
    seen = [
        WinRates(learning=learning).observe(scale * values, np.full(3000, 6.0), rivals=rivals, known=rivals < 6.0)
        for scale in (1.0, 7.0)
    ]
    assert np.array_equal(seen[0].laid_out.wins, seen[1].laid_out.wins)
    assert seen[0].laid_out.wins[0, 2] > seen[0].laid_out.wins[4, 2] + 0.3  # low values meet weaker rivals


def test_half_of_what_was_known_is_gone_after_a_half_life():
    fading = Learning(step=1.0, steps=6, cells=1, width=1.0, half_life=10.0, warm=1_000)
    rates = WinRates(learning=fading)
    for rival in (1.0, 4.0):
        rates = rates.observe(np.ones(10), np.full(10, 6.0), rivals=np.full(10, rival), known=np.ones(10, bool))
    assert counted(rates)[0] == [0.0, 5.0, 0.0, 0.0, 10.0, 0.0]


def test_a_line_that_suddenly_loses_everything_forgets_and_starts_again():
    learning = Learning(step=1.0, steps=20, cells=1, width=1.0, warm=100)
    easy, hard = np.full(1000, 1.0), np.full(100, 15.0)
    before = WinRates(learning=learning).observe(np.ones(1000), np.full(1000, 5.0), rivals=easy, known=easy < 5.0)
    same = before.observe(np.ones(100), np.full(100, 5.0), rivals=easy[:100], known=np.ones(100, bool))
    broken = before.observe(np.ones(99), np.full(99, 5.0), rivals=hard[:99], known=np.zeros(99, bool))
    assert same.ready
    assert not broken.ready
    assert sum(counted(broken)[1]) == pytest.approx(100 + 99, rel=0.01)


def test_the_best_score_follows_the_curve_of_the_values_cell():
    """Rivals of low values are at 2, of high values at 8: with 20 to win, 3 is best for the one and 9 for the other."""
    random = np.random.default_rng(1)
    values = random.uniform(0.0, 2.0, 4000)
    rivals = np.where(values < 1.0, 2.0, 8.0)
    learning = Learning(step=1.0, steps=12, cells=2, width=1.0)
    rates = WinRates(learning=learning).observe(values, np.full(4000, 12.0), rivals=rivals, known=rivals < 12.0)
    assert rates.best_of(np.array([0.2, 1.8]), np.full(2, 20.0), 1.0).tolist() == [3.0, 9.0]
    assert rates.best(1.8, 5.0, 1.0) < 9.0


def test_an_account_earns_a_share_of_what_is_paid_and_pays_for_what_exploring_adds():
    """Every score from 3 on wins: raising 10 to 11 costs 1 more, 4 times."""
    rates = WinRates(learning=Learning(step=1.0, steps=20, cells=1, width=1.0, warm=1))
    rates = rates.observe(np.ones(10**4), np.full(10**4, 20.0), rivals=np.full(10**4, 2.0), known=np.ones(10**4, bool))
    explore = Explore(share=0.1, band=float(np.log(1.1)))
    account = Account().after(explore, rates, values=np.ones(4), raised=np.full(4, 11.0), paid=50.0)
    assert account == Account(earned=5.0, spent=0.0)  # the account was empty: nothing was raised
    account = account.after(explore, rates, values=np.ones(4), raised=np.full(4, 11.0), paid=0.0)
    assert account.spent == pytest.approx(4.0, rel=1e-3)
    assert not account.empty


def test_a_moved_score_stays_below_what_the_slot_is_worth():
    explore = Explore(band=0.5)
    assert explore.moved(np.array([10.0]), 1, full=np.array([12.0])).tolist() == [12.0]
    assert explore.moved(np.array([10.0]), 0, full=np.array([12.0])).tolist() == [10.0]
    assert explore.moved(np.array([10.0]), -1, full=np.array([12.0]))[0] == pytest.approx(10.0 * np.exp(-0.5))
