"""How pages are shared out, and how far that is from what was wanted."""

from math import inf, log

import numpy as np
import pytest

import slow_metrics as slow
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.categories import category_amounts
from slatewise.evaluate.shares import calibration_divergence, entropy, merit_ratio, shares, total_variation


@pytest.mark.parametrize(("page", "figure"), [((0.7, 0.3), 0.0), ((0.5, 0.5), 0.080691), ((1.0, 0.0), 1.133982)])
def test_the_divergences_of_three_pages(page, figure):
    mixed = [0.99 * q + 0.01 * p for q, p in zip(page, (0.7, 0.3), strict=True)]
    expected = 0.7 * log(0.7 / mixed[0]) + 0.3 * log(0.3 / mixed[1])
    assert calibration_divergence((0.7, 0.3), page)[0] == pytest.approx(expected, abs=1e-15)
    assert expected == pytest.approx(figure, abs=5e-7)


def test_limits_of_the_divergence():
    assert calibration_divergence((0.7, 0.3), (1, 0), smoothing=0)[0] == inf
    assert calibration_divergence((1, 0), (1, 0), smoothing=0)[0] == 0
    assert calibration_divergence((1, 0), (0.5, 0.5), smoothing=0)[0] == pytest.approx(log(2))
    np.testing.assert_equal(calibration_divergence([[0, 0], [1, 1]], [[1, 0], [0, 0]]), [np.nan, np.nan])


def test_weights_of_history_and_page():
    """A rank weight of (1, 1/2, 1/4) on categories (0, 1, 0), and items that were read twice as long count twice."""
    wanted = category_amounts([0, 0, 1], 2, weights=[1, 2, 1])
    shown = category_amounts([0, 1, 0], 2, weights=[1, 0.5, 0.25])
    mixed = (0.99 * 1.25 / 1.75 + 0.01 * 0.75, 0.99 * 0.5 / 1.75 + 0.01 * 0.25)
    expected = 0.75 * log(0.75 / mixed[0]) + 0.25 * log(0.25 / mixed[1])
    assert calibration_divergence(wanted, shown)[0] == pytest.approx(expected)


def test_the_entropy_of_a_page_worked_out():
    page = [2, 1, 1, 0]
    spread = 0.5 * log(2) + 2 * 0.25 * log(4)
    assert entropy(page)[0] == pytest.approx(spread)
    assert entropy(page, norm="catalogue")[0] == pytest.approx(spread / log(4))
    assert entropy(page, norm="page")[0] == pytest.approx(spread / log(3))
    for norm in ("none", "catalogue", "page"):
        np.testing.assert_equal(entropy([[0, 3], [0, 0]], norm=norm), [0.0, np.nan])
        np.testing.assert_equal(entropy([[3]], norm=norm), [0.0])


def test_pages_equal_their_slow_twins():
    rng = np.random.default_rng(9)
    pages = rng.integers(0, 4, (60, 5)).astype(float) + np.eye(60, 5)
    pages[pages.sum(axis=1) == 0] = 1
    wanted = rng.integers(0, 4, (60, 5)).astype(float) + 1
    for norm in ("none", "catalogue", "page"):
        np.testing.assert_allclose(entropy(pages, norm=norm), [slow.entropy(row, norm) for row in pages.tolist()])
    for smoothing in (0.0, 0.01, 0.5):
        twins = [slow.divergence(p, q, smoothing) for p, q in zip(wanted.tolist(), pages.tolist(), strict=True)]
        np.testing.assert_allclose(calibration_divergence(wanted, pages, smoothing=smoothing), twins, atol=1e-12)
    parts = pages / pages.sum(axis=1, keepdims=True), wanted / wanted.sum(axis=1, keepdims=True)
    twins = [sum(max(0, a - b) for a, b in zip(p, q, strict=True)) for p, q in zip(*parts, strict=True)]
    np.testing.assert_allclose(total_variation(pages, wanted), twins)


def test_only_shares_matter():
    rng = np.random.default_rng(2)
    pages, goal = rng.random((6, 4)), rng.random(4)
    for metric in (lambda p, g: entropy(p), lambda p, g: calibration_divergence(g, p), total_variation, merit_ratio):
        np.testing.assert_allclose(metric(8 * pages, goal), metric(pages, goal / 3))


def test_how_far_exposure_is_from_its_target():
    assert total_variation([1, 1], [1, 0])[0] == 0.5
    assert total_variation([[1, 0, 0], [2, 1, 1]], [0, 1, 1]).tolist() == [1, 0.5]
    np.testing.assert_equal(total_variation([0, 0], [1, 1]), [np.nan])
    assert shares([[1, 3]]).tolist() == [[0.25, 0.75]]


def test_exposure_against_merit():
    assert merit_ratio([3, 1], [1, 1]).tolist() == [[1.5, 0.5]]
    np.testing.assert_equal(merit_ratio([1, 0, 1], [1, 0, 0]), [[0.5, np.nan, np.inf]])
    np.testing.assert_equal(merit_ratio([1, 1], [0, 0]), [[np.nan, np.nan]])
    np.testing.assert_equal(merit_ratio([0, 0], [1, 0]), [[np.nan, np.nan]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: entropy([1, -1]), "amounts: must be finite and >= 0, got -1.0"),
        (lambda: entropy([1, 1], norm="pages"), "norm: must be one of .* got 'pages'; did you mean 'page'?"),
        (lambda: calibration_divergence([1, 1], [1]), "wanted: must have 1 columns like shown, got 2"),
        (lambda: calibration_divergence([[1], [1]], [[1]] * 3), "wanted: must have 3 pages like shown, got 2"),
        (lambda: calibration_divergence([1], [1], smoothing=1), "smoothing: must be >= 0 and < 1, got 1"),
        (lambda: total_variation([1, np.nan], [1, 1]), "amounts: must be finite and >= 0, got nan"),
        (lambda: merit_ratio([1, 1], [1]), "utility: must have 2 columns like exposure, got 1"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        call()
