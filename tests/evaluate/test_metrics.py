"""Metrics against values worked out by hand, and what must not change them."""

from itertools import permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slow_metrics as slow
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.gains import Persistence
from slatewise.evaluate.metrics import average_precision, err, hit_rate, ndcg, precision, rbp, recall, reciprocal_rank

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
    for metric in (hit_rate, recall, reciprocal_rank, average_precision, ndcg):
        np.testing.assert_equal(metric([[0, 0], [1, 0]], [[0, 0], [1, 0]], 2, empty=empty), [worth, 1.0])
    np.testing.assert_equal(precision([[0, 0], [1, 0]], [[0, 0], [1, 0]], 2, empty=empty), [worth, 0.5])
    np.testing.assert_equal(rbp([[0, 0], [1, 0]], [[0, 0], [1, 0]], 2, persistence=0.5, empty=empty), [worth, 0.5])
    np.testing.assert_equal(err([[0, 0], [1, 0]], [[0, 0], [1, 0]], 2, highest=1, empty=empty), [worth, 0.5])


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


@pytest.mark.parametrize(("denominator", "value"), [("min(R,k)", 1 / 2), ("R", 1 / 3), ("hits", 1 / 1)])
def test_average_precision_and_what_it_is_divided_by(denominator, value):
    page, pool = [1, 0, 1, 1], [1, 1, 1]
    whole = (1 / 1 + 2 / 3 + 3 / 4) / 3
    assert average_precision(page, pool, 4, ap_denom=denominator)[0] == pytest.approx(whole)
    assert whole == pytest.approx(0.805556, abs=5e-7)
    assert average_precision(page, pool, 2, ap_denom=denominator)[0] == pytest.approx(value)


def test_a_page_without_a_hit_has_no_average_precision_to_speak_of():
    assert average_precision([0, 0], [1], 2, ap_denom="hits")[0] == 0


def test_precision_of_a_short_page():
    assert precision([1, 1, 0], [1, 1], 5)[0] == 2 / 5
    assert precision([1, 1, 0], [1, 1], 5, short="served")[0] == 2 / 3
    assert precision([1, 1, 0], [1, 1], 5, short="served", served=[2])[0] == 2 / 2
    assert precision([1, 1, 0], [1, 1], 1, short="served", served=[2])[0] == 1 / 1
    assert precision([0, 0, 0], [1, 1], 5, short="served", served=[0])[0] == 0


def test_a_table_of_gains():
    table = [0, 1, 5, 20]
    ideal = 20 / log2(2) + 5 / log2(3) + 1 / log2(4)
    assert ndcg(SERVED, POOL, 5, gain=table)[0] == pytest.approx((5 / log2(3) + 20 / log2(5) + 1 / log2(6)) / ideal)
    np.testing.assert_equal(ndcg(SERVED, POOL, 5, gain=[0, 1, 2, 3]), ndcg(SERVED, POOL, 5))
    np.testing.assert_equal(ndcg(SERVED, POOL, 5, gain=[0, 1, 3, 7]), ndcg(SERVED, POOL, 5, gain="exp2"))
    for metric in (ndcg, rbp):
        np.testing.assert_equal(metric([[1, 0]], [[1, 0]], 2, gain=[0, 0, 1]), [np.nan])


def test_readers_who_go_on():
    ideal = 3 + 2 * 0.5 + 1 * 0.25
    found = 2 * 0.5 + 3 * 0.125 + 1 * 0.0625
    assert ndcg(SERVED, POOL, 5, discount=Persistence(0.5))[0] == pytest.approx(found / ideal)
    assert rbp(SERVED, POOL, 5, persistence=0.5)[0] == pytest.approx(0.5 * found)
    assert rbp([1] * 9, [1] * 9, 9, persistence=0.5)[0] == pytest.approx(1 - 0.5**9)
    assert rbp([1, 1], [1, 1], 2, persistence=0)[0] == 1
    assert ndcg([0, 1], [1, 1], 2, discount=Persistence(0.0))[0] == 0


def test_readers_who_are_satisfied():
    first, second = 3 / 8, 1 / 8
    expected = first / 1 + (1 - first) * second / 2
    assert err([2, 1], [2, 1], 2, highest=3)[0] == pytest.approx(expected)
    assert err([2, 1], [2, 1], 1, highest=3)[0] == first
    assert err([900, 900], [900, 900], 2, highest=900)[0] == pytest.approx(1)


def test_the_best_page_has_its_best_item_where_most_people_look():
    odd = [0.2, 1.0, 0.5]
    assert ndcg([1, 3, 2], [1, 2, 3], 3, discount=odd)[0] == 1
    assert ndcg([3, 2, 1], [1, 2, 3], 3, discount=odd)[0] == pytest.approx((0.6 + 2 + 0.5) / (0.2 + 3 + 1))


def test_the_ideal_of_a_page_hides_what_was_not_served():
    assert ndcg([0, 1], [1, 3], 2, ideal="page")[0] == pytest.approx(1 / log2(3))
    assert ndcg([0, 1], [1, 3], 2)[0] == pytest.approx(1 / log2(3) / (3 + 1 / log2(3)))
    np.testing.assert_equal(ndcg([[0, 0], [0, 1]], [[1], [1]], 1, ideal="page"), [np.nan, 0.0])
    assert ndcg([0, 0, 5], [5], 2, ideal="page")[0] == 0, "the cut is made after the page was ordered anew"


grades = st.lists(st.integers(0, 3), min_size=1, max_size=4)


@given(
    st.permutations([*range(4)]), grades, st.integers(0, 4), st.integers(1, 6), st.sampled_from(["log2", "none", 0.5])
)
def test_pages_equal_their_slow_twins(order, pool, served, k, discount):
    page = [pool[row] for row in order if row < len(pool)][:served]
    page += [0] * (4 - len(page))
    kind = Persistence(discount) if isinstance(discount, float) else discount
    for gain in ("linear", "exp2", [0, 2, 2, 9]):
        value = ndcg(page, pool, k, gain=gain, discount=kind, empty="zero")[0]
        assert value == pytest.approx(slow.ndcg(page, pool, k, gain, discount, empty=0.0))
        assert value <= 1 + 1e-12
        assert rbp(page, pool, k, persistence=0.7, gain=gain, empty="zero")[0] == pytest.approx(
            slow.rbp(page, k, 0.7, gain)
        )
    if not any(pool):
        return
    assert precision(page, pool, k)[0] == pytest.approx(slow.precision(page, k))
    in_short = precision(page, pool, k, short="served", served=[min(served, len(pool))])[0]
    assert in_short == pytest.approx(slow.precision(page, k, min(served, len(pool))))
    assert recall(page, pool, k)[0] == pytest.approx(slow.recall(page, pool, k))
    assert reciprocal_rank(page, pool, k)[0] == pytest.approx(slow.reciprocal_rank(page, k))
    assert hit_rate(page, pool, k)[0] == any(page[:k])
    assert err(page, pool, k, highest=3)[0] == pytest.approx(slow.err(page, k, 3))
    for denominator in ("min(R,k)", "R", "hits"):
        value = average_precision(page, pool, k, ap_denom=denominator)[0]
        assert value == pytest.approx(slow.average_precision(page, pool, k, denominator))


def test_measured_discounts_equal_their_slow_twin():
    rng = np.random.default_rng(3)
    for _ in range(50):
        pool, looks = rng.integers(0, 4, 5), rng.random(4).round(2).tolist()
        page = rng.permutation(pool)[:4]
        value = ndcg(page, pool, 4, discount=looks, empty="zero")[0]
        assert value == pytest.approx(slow.ndcg(page.tolist(), pool.tolist(), 4, kind=looks, empty=0.0))


def test_many_pages_are_each_its_own():
    rng = np.random.default_rng(5)
    pools = rng.integers(0, 3, (40, 6))
    pages = rng.permuted(pools, axis=1)[:, :5]
    for metric in (hit_rate, precision, recall, reciprocal_rank, average_precision, ndcg, rbp):
        alone = [metric(page, pool, 4)[0] for page, pool in zip(pages, pools, strict=True)]
        np.testing.assert_allclose(metric(pages, pools, 4), alone, rtol=1e-14)


def test_no_pages_and_no_slots():
    assert ndcg(np.zeros((0, 3)), np.zeros((0, 2)), 2).shape == (0,)
    for metric in (hit_rate, precision, recall, reciprocal_rank, average_precision, ndcg, rbp):
        np.testing.assert_equal(metric(np.zeros((1, 0)), [[1.0]], 3), [0.0])
        np.testing.assert_equal(metric([[1.0]], [[1.0]], 0), [0.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": -1}, "k: must be a whole number >= 0, got -1"),
        ({"k": 2.5}, "k: must be a whole number >= 0, got 2.5"),
        ({"ranked": [[1, -1]]}, "ranked: must be finite and >= 0, got -1.0"),
        ({"ranked": [[1, np.nan]]}, "ranked: must be finite and >= 0, got nan"),
        ({"ranked": [[[1]]]}, r"ranked: must have 2 axes, or 1 for a single page, got \(1, 1, 1\)"),
        ({"pool": [[1], [1, 2]]}, r"pool: must be numbers, in lists of one length, got \[\[1\], \[1, 2\]\]"),
        ({"pool": [[np.inf]]}, "pool: must be finite and >= 0, got inf"),
        ({"pool": [[1], [1]]}, "pool: must have 1 pages like ranked, got 2"),
        ({"ranked": [[1, 1]]}, r"ranked\[0\]: must have no more relevance than its pool, 1, got 2"),
        ({"empty": "dropp"}, "empty: must be one of 'drop', 'zero', 'one', got 'dropp'; did you mean 'drop'?"),
        ({"ideal": "best"}, "ideal: must be one of 'pool', 'page', got 'best'"),
        ({"gain": "cubic"}, "gain: must be one of 'linear', 'exp2', got 'cubic'"),
        ({"gain": [1, 2]}, r"gain: must begin with 0, what relevance 0 is worth, got \[1.0, 2.0\]"),
        ({"gain": [0]}, "relevance: must be whole grades up to 0, the last of the table `gain`, got 1"),
        ({"ranked": [[0.5]], "gain": [0, 1]}, "relevance: must be whole grades up to 1, .*, got 0.5"),
        ({"pool": [[2000]], "gain": "exp2"}, "relevance: must be <= 1000 for gain='exp2', got 2000.0"),
        ({"discount": "log"}, "discount: must be one of 'log2', 'none', got 'log'; did you mean 'log2'?"),
        ({"discount": [1.0]}, "discount: must have a number for each of 2 slots, got 1"),
        ({"discount": [1.0, -0.5]}, "discount: must be finite and >= 0, got -0.5"),
        ({"discount": Persistence(1.0)}, "discount.probability: must be >= 0 and < 1, got 1.0"),
    ],
)
def test_what_is_refused(change, message):
    given_well = {"ranked": [[1, 0]], "pool": [[1]], "k": 2}
    with pytest.raises(SlatewiseError, match="^" + message):
        ndcg(**(given_well | change))


def test_what_single_metrics_refuse():
    page, pool = [[1, 0]], [[1]]
    with pytest.raises(SlatewiseError, match="ap_denom: must be one of 'min"):
        average_precision(page, pool, 2, ap_denom="r")
    with pytest.raises(SlatewiseError, match="short: must be one of 'k', 'served'"):
        precision(page, pool, 2, short="n")
    with pytest.raises(SlatewiseError, match="served: must be 1 numbers of slots from 0 to 2, got \\[3\\]"):
        precision(page, pool, 2, short="served", served=[3])
    with pytest.raises(SlatewiseError, match="served: must be 1 numbers of slots"):
        precision(page, pool, 2, short="served", served=[1, 1])
    with pytest.raises(SlatewiseError, match="served: must reach down to the last relevant item, got \\[0\\]"):
        precision(page, pool, 2, short="served", served=[0])
    with pytest.raises(SlatewiseError, match="persistence: must be >= 0 and < 1, got 1"):
        rbp(page, pool, 2, persistence=1)
    with pytest.raises(SlatewiseError, match=r"highest: must be at least the highest relevance, 1, .* got 0"):
        err(page, pool, 2, highest=0)
