"""Pages whose items serve several aspects."""

from itertools import permutations
from math import log2

import numpy as np
import pytest

import slow_metrics as slow
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.aspects import alpha_ndcg, subtopic_recall

PAGE = [(1, 0), (1, 0), (0, 1), (0, 0)]


def test_a_page_worked_out():
    expected = (1 + 0.5 / log2(3) + 1 / log2(4)) / (1 + 1 / log2(3) + 0.5 / log2(4))
    assert alpha_ndcg(PAGE, PAGE, 3)[0] == pytest.approx(expected)
    assert expected == pytest.approx(0.965195, abs=5e-7)
    assert [subtopic_recall(PAGE, PAGE, k)[0] for k in (0, 1, 2, 3)] == [0, 0.5, 0.5, 1]


def test_the_greedy_page_may_be_beaten_and_the_value_is_not_cut_off():
    pool = [(1, 1, 1, 0, 0, 0), (1, 1, 0, 1, 0, 0), (0, 0, 1, 0, 1, 1)]
    better = [pool[1], pool[2], pool[0]]
    greedy = 3 + 2 / log2(3)
    assert alpha_ndcg(better, pool, 2, alpha=1)[0] == pytest.approx((3 + 3 / log2(3)) / (3 + 2 / log2(3)))
    assert greedy < 3 + 3 / log2(3)
    exact = max(slow.alpha_dcg(order, 2, 1.0) for order in permutations(pool))
    assert exact == pytest.approx(3 + 3 / log2(3))


def test_equals_stay_in_the_order_of_the_pool():
    pool = [(1, 1, 1, 0, 0, 0), (1, 1, 0, 1, 0, 0), (0, 0, 1, 0, 1, 1)]
    for order in permutations(pool):
        assert alpha_ndcg(pool, order, 3)[0] == pytest.approx(slow.alpha_ndcg(pool, list(order), 3, 0.5))
    assert {round(alpha_ndcg(pool, order, 2, alpha=1)[0], 9) for order in permutations(pool)} == {
        round((3 + 1 / log2(3)) / (3 + gain / log2(3)), 9) for gain in (2, 3)
    }


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.75, 1.0])
def test_pages_equal_their_slow_twins(alpha):
    rng = np.random.default_rng(7)
    pools = (rng.random((60, 6, 4)) < 0.35).astype(int)
    pages = np.stack([pool[rng.permutation(6)[:4]] for pool in pools])
    for k in (1, 3, 5, 8):
        twins = [slow.alpha_ndcg(p.tolist(), q.tolist(), k, alpha) for p, q in zip(pages, pools, strict=True)]
        np.testing.assert_allclose(alpha_ndcg(pages, pools, k, alpha=alpha), twins)
        twins = [slow.subtopic_recall(p.tolist(), q.tolist(), k) for p, q in zip(pages, pools, strict=True)]
        np.testing.assert_allclose(subtopic_recall(pages, pools, k), twins)


def test_limits_of_alpha_and_of_the_cut():
    assert alpha_ndcg(PAGE, PAGE, 3, alpha=0)[0] == 1
    assert alpha_ndcg(PAGE, PAGE, 0)[0] == 0
    assert alpha_ndcg(PAGE, PAGE, 100)[0] == pytest.approx(alpha_ndcg(PAGE, PAGE, 4)[0])
    assert alpha_ndcg(PAGE, PAGE, 2, discount="none")[0] == pytest.approx(1.5 / 2)


def test_the_ideal_of_a_page_and_empty_pools():
    assert alpha_ndcg([PAGE[:2]], [PAGE], 2, ideal="page")[0] == 1
    assert alpha_ndcg([PAGE[:2]], [PAGE], 2)[0] == pytest.approx((1 + 0.5 / log2(3)) / (1 + 1 / log2(3)))
    nothing = [(0, 0)]
    for metric in (alpha_ndcg, subtopic_recall):
        for empty, value in (("drop", np.nan), ("zero", 0.0), ("one", 1.0)):
            np.testing.assert_equal(metric(nothing, nothing, 1, empty=empty), [value])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranked": [[[0.5, 0]]]}, "ranked: must be 0 or 1, got 0.5"),
        ({"ranked": [[[1]]]}, "pool: must have 1 aspects like ranked, got 2"),
        ({"ranked": [[[1, 0]], [[1, 0]]]}, "pool: must have 2 pages like ranked, got 1"),
        ({"ranked": [[[0, 1]]]}, r"ranked\[0\]: must cover no aspect that its pool lacks, got aspect 1"),
        ({"ranked": [1]}, "ranked: must have 3 axes, or 2 for a single page"),
        ({"alpha": 1.5}, "alpha: must be >= 0 and <= 1, got 1.5"),
        ({"k": -2}, "k: must be a whole number >= 0, got -2"),
        ({"ideal": "x"}, "ideal: must be one of"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        alpha_ndcg(**({"ranked": [[[1, 0]]], "pool": [[[1, 0]]], "k": 1} | change))
