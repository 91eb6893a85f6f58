"""Metrics against values worked out by hand, and what must not change them."""

from itertools import permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise.evaluate.metrics import hit_rate, ndcg, reciprocal_rank

# Relevance (3, 2, 0, 1, 0) under scores (.2, .5, .9, .1, .3) is served as (0, 2, 0, 3, 1).
SERVED, POOL = [0, 2, 0, 3, 1], [3, 2, 0, 1, 0]


def test_ndcg_of_the_reference_page():
    ideal = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
    linear = (2 / log2(3) + 3 / log2(5) + 1 / log2(6)) / ideal
    assert ndcg(SERVED, POOL, 5)[0] == pytest.approx(linear)
    assert linear == pytest.approx(0.617562, abs=5e-7)
    steep = (3 / log2(3) + 7 / log2(5) + 1 / log2(6)) / (7 / log2(2) + 3 / log2(3) + 1 / log2(4))
    assert ndcg(SERVED, POOL, 5, gain="exp2")[0] == pytest.approx(steep)
    assert steep == pytest.approx(0.563664, abs=5e-7)


@pytest.mark.parametrize(("place", "worth"), [(0, 1.0), (1, 1 / log2(3)), (2, 1 / log2(4)), (3, 1 / log2(5))])
def test_one_relevant_item_is_worth_its_slot(place, worth):
    page = np.eye(4)[place]
    assert ndcg(page, [1], 4)[0] == pytest.approx(worth)
    assert reciprocal_rank(page, [1], 4)[0] == pytest.approx(1 / (place + 1))
    assert hit_rate(page, [1], 4)[0] == 1
    assert hit_rate(page, [1], place)[0] == reciprocal_rank(page, [1], place)[0] == ndcg(page, [1], place)[0] == 0


def test_the_ideal_is_that_of_the_pool():
    assert ndcg([1, 0], [1, 1], 2)[0] == pytest.approx(1 / (1 + 1 / log2(3)))
    assert ndcg([0, 0], [1], 2)[0] == 0


@pytest.mark.parametrize(("empty", "worth"), [("drop", np.nan), ("zero", 0.0), ("one", 1.0)])
def test_a_pool_without_anything_relevant(empty, worth):
    for metric in (hit_rate, reciprocal_rank, ndcg):
        np.testing.assert_equal(metric([[0, 0], [1, 0]], [[0, 0], [1, 0]], 2, empty=empty), [worth, 1.0])


def test_discounts():
    assert ndcg([0, 1], [1], 2, discount="none")[0] == 1
    assert ndcg([0, 1], [1], 2, discount=np.array([1.0, 0.25]))[0] == 0.25


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(1, 6))
def test_no_order_beats_the_ideal_and_the_pool_has_no_order(pool, k):
    pages = list(permutations(pool))
    values = ndcg(pages, [pool] * len(pages), k, empty="zero")
    assert values.max() == pytest.approx(1.0 if any(pool) else 0.0)
    assert ndcg(pool, sorted(pool), k, empty="zero") == pytest.approx(ndcg(pool, pool, k, empty="zero"))
    longer = ndcg([*pool, 0, 0], pool, k, empty="zero")
    assert longer == pytest.approx(ndcg(pool, pool, k, empty="zero"))
