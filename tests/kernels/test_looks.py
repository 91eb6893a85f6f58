"""Looks at many rows at once say of each what a look at it alone would say."""

import numpy as np
import pytest

from slatewise.kernels.ceilings import next_above
from slatewise.kernels.coarse import LANES, coarsely, look_over
from slatewise.kernels.redundancy import COARSE, FIRST, LAST


@pytest.mark.parametrize(("n", "width"), [(1, 1), (15, 3), (16, 32), (37, 33), (64, 96)])
def test_a_coarse_look_bounds_every_row_from_below_and_closely(n, width):
    rng = np.random.default_rng(n)
    vectors = rng.standard_normal((n, width)).astype(np.float32)
    units = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    order = rng.permutation(n).astype(np.int32)
    address = (vectors.ctypes.data + 4 * width * np.arange(n))[None]
    scale = 1.0 / np.linalg.norm(vectors.astype(np.float64), axis=1)[None]
    term = np.zeros((1, 1 + max(COARSE, FIRST, LAST)), np.int64)
    term[0, LAST] = 1
    signal = np.array([[0, 0, 0, -1, 0, width]])
    grains, pile, coarse = coarsely(signal, np.ones(1), address, scale, order, term)
    pile[0, 0, :width] = rng.standard_normal(width)
    low, ceiling = np.zeros(n), np.arange(n, dtype=np.float64)
    look_over(grains[0], pile, coarse, 7, 0.5, 2.0, low, ceiling, np.empty(LANES, np.int32))
    exact = 0.5 * (units[order] @ pile[0, 0, :width] - 7)
    assert (low <= exact).all()
    assert (exact - low).max() < 2e-3 * np.linalg.norm(pile)
    assert np.allclose(ceiling, np.arange(n) - 2.0 * low, rtol=0, atol=1e-12)


def test_the_next_place_is_the_first_that_is_high_enough_before_worth_is_too_low():
    rng = np.random.default_rng(0)
    for n in (0, 1, 15, 16, 17, 80):
        ceiling, worth = rng.random(n), np.sort(rng.random(n))[::-1].copy()
        for at in range(n + 1):
            for least in (0.0, 0.9, 0.99, 2.0):
                wanted = next((place for place in range(at, n) if ceiling[place] >= least), n)
                assert next_above(ceiling, worth, at, least, -1.0) == wanted
                assert next_above(ceiling, worth, at, least, 0.5) in (wanted, n)
                if wanted < n and worth[wanted] >= 0.5:
                    assert next_above(ceiling, worth, at, least, 0.5) == wanted
