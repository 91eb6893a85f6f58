"""Who is looked at, over many pages."""

from math import log2

import numpy as np
import pytest

import slow_metrics as slow
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.exposure import coverage, gini, item_exposure, line_exposure
from slatewise.evaluate.shares import shares, total_variation


def test_exposure_of_items_worked_out():
    pages = [[0, 1, 2], [2, 0, -1]]
    assert item_exposure(pages, 5, curve="flat").tolist() == [2, 1, 2, 0, 0]
    assert item_exposure(pages, 4, curve="reciprocal").tolist() == [1 + 1 / 2, 1 / 2, 1 / 3 + 1, 0]
    assert item_exposure(pages, 4, curve=[1, 0.5]).tolist() == [1.5, 0.5, 1.5, 0]
    expected = [1 + 1 / log2(3), 1 / log2(3), 1 / log2(4) + 1]
    assert item_exposure(pages, 3).tolist() == pytest.approx(expected)
    assert coverage(pages, 5) == 3 / 5


def test_exposure_of_lines_and_its_distance_to_the_target():
    page = [0, 1, 0, -1]
    assert line_exposure(page, 2, curve="reciprocal").tolist() == [[1 + 1 / 3, 1 / 2]]
    seen = line_exposure(page, 2, curve=[1.0, 0.6, 0.5])
    np.testing.assert_allclose(shares(seen), [[1.5 / 2.1, 0.6 / 2.1]])
    assert total_variation(seen, [0.5, 0.5])[0] == pytest.approx(1.5 / 2.1 - 0.5)
    both = line_exposure([[0, 0], [1, 1]], 2)
    assert total_variation(both, [1, 1]).tolist() == [0.5, 0.5]
    assert total_variation(both.sum(axis=0), [1, 1]).tolist() == [0], "over all pages what each page lacks may cancel"
    assert line_exposure([[[1, 1], [1, 0]]], 2, curve="flat").tolist() == [[1.5, 0.5]]


def test_gini_worked_out():
    assert gini([5, 5, 5]) == 0
    assert gini([0, 0, 0, 7]) == pytest.approx(3 / 4)
    assert gini([1, 2, 3]) == pytest.approx((-2 * 1 + 0 * 2 + 2 * 3) / (3 * 6))
    assert gini([1, 1]) == 0
    assert gini([1, 1, 0, 0]) == 0.5, "items never shown count"
    assert gini([4]) == 0
    assert np.isnan(gini([0, 0]))
    assert np.isnan(gini([]))


def test_gini_equals_its_slow_twin_and_knows_no_order_and_no_scale():
    rng = np.random.default_rng(8)
    for size in (1, 2, 7, 30):
        values = rng.integers(0, 6, size) + (np.arange(size) == 0)
        assert gini(values) == pytest.approx(slow.gini(values.tolist()))
        assert gini(rng.permutation(values) * 3.5) == pytest.approx(gini(values))
        assert 0 <= gini(values) <= (size - 1) / size


def test_no_pages():
    assert item_exposure(np.zeros((0, 3)), 2).tolist() == [0, 0]
    assert item_exposure([], 2).tolist() == [0, 0]
    assert coverage([[-1, -1]], 3) == 0
    assert line_exposure(np.zeros((0, 3)), 2).shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: item_exposure([[3]], 3), "pages: must be whole numbers from -1 to 2, got 3"),
        (lambda: item_exposure([[0]], 0), "items: must be a whole number >= 1, got 0"),
        (
            lambda: item_exposure([[0]], 1, curve="logg"),
            "curve: must be one of 'flat', 'halving', 'log', 'reciprocal', got 'logg'",
        ),
        (lambda: item_exposure([[0]], 1, curve=[]), "curve: must not be empty"),
        (lambda: item_exposure([[0]], 1, curve=[-1]), "curve: must be finite and >= 0, got -1.0"),
        (lambda: line_exposure([[2]], 2), "lines: must be whole numbers from -1 to 1, got 2"),
        (lambda: line_exposure(3, 2), r"lines: must have 2 axes, or 1 for a single page, got \(\)"),
        (lambda: coverage([[0.5]], 3), "pages: must be whole numbers from -1 to 2, got 0.5"),
        (lambda: gini([1, -1]), "exposure: must be finite and >= 0, got -1.0"),
        (lambda: gini([[1, 2], [1, 2]]), r"exposure: must have 1 axes, got \(2, 2\)"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        call()
