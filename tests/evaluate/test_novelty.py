"""What is new on a page, and how alike two pages are."""

from math import log2

import numpy as np
import pytest

import slow_metrics as slow
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.novelty import novelty, popularity_of, rank_biased_overlap, serendipity


def test_popularity_with_its_prior():
    assert popularity_of([5, 2, 0], prior=1).tolist() == [6 / 10, 3 / 10, 1 / 10]
    assert popularity_of([3, 1], prior=0).tolist() == [0.75, 0.25]
    with pytest.raises(SlatewiseError, match="prior: must be > 0 where an item was never counted, got 0"):
        popularity_of([3, 0], prior=0)
    with pytest.raises(SlatewiseError, match=r"prior: must be finite and >= 0, got -1.0"):
        popularity_of([3, 5], prior=-1)


def test_novelty_worked_out():
    assert novelty([[0, 1, 2], [2, -1, -1]], [1, 0.5, 0.125]).tolist() == [(0 + 1 + 3) / 3, 3]
    assert novelty([2], popularity_of([5, 2, 0], prior=1))[0] == pytest.approx(log2(10))
    np.testing.assert_equal(novelty([[-1, -1]], [0.5]), [np.nan])
    np.testing.assert_equal(novelty(np.zeros((1, 0)), [0.5]), [np.nan])
    with pytest.raises(SlatewiseError, match=r"popularity: must be > 0 and <= 1, got 0.0; see popularity_of"):
        novelty([[0]], [0.0])
    with pytest.raises(SlatewiseError, match=r"popularity: must be > 0 and <= 1, got 3.0"):
        novelty([[0]], [3])
    with pytest.raises(SlatewiseError, match="pages: must be whole numbers from -1 to 0, got 1"):
        novelty([[1]], [0.5])


def test_serendipity_worked_out():
    pages, hits = [[1, 2, 3, -1], [4, -1, -1, -1]], [[1, 2, 0, 0], [1, 0, 0, 0]]
    assert serendipity(pages, hits, [[1, 9], [5, -1]]).tolist() == [1 / 3, 1]
    assert serendipity(pages, hits, [[1, 2], [4, 5]]).tolist() == [0, 0]
    np.testing.assert_equal(serendipity([[-1]], [[0]], [[-1]]), [np.nan])
    with pytest.raises(SlatewiseError, match=r"hits: must be of the shape of pages, \(1, 2\), got \(1, 1\)"):
        serendipity([[1, 2]], [[1]], [[1]])
    with pytest.raises(SlatewiseError, match="baseline: must have 1 pages like pages, got 2"):
        serendipity([[1]], [[1]], [[1], [1]])


def test_overlap_worked_out():
    one, other = [1, 2, 3], [2, 1, 4]
    agreed = 0 / 1 + 0.5 * 2 / 2 + 0.25 * 2 / 3
    assert rank_biased_overlap(one, other, persistence=0.5)[0] == pytest.approx(0.5 * agreed)
    assert rank_biased_overlap(one, one, persistence=0.5)[0] == 1 - 0.5**3
    assert rank_biased_overlap(one, [4, 5, 6])[0] == 0
    assert rank_biased_overlap(one, [4, 5, 6], beyond="extrapolated")[0] == 0
    assert rank_biased_overlap(one, one, beyond="extrapolated")[0] == pytest.approx(1)
    assert rank_biased_overlap(one, [1, 9, 8], persistence=0)[0] == 1
    assert rank_biased_overlap(one, [1, 9, 8], persistence=0, beyond="extrapolated")[0] == 1


def test_pages_of_different_lengths_and_without_items():
    assert rank_biased_overlap([1, -1, -1], [1, 2, -1], persistence=0.5)[0] == 0.5 * (1 + 0.5 * 1 / 2)
    assert rank_biased_overlap([1], [1, 2], persistence=0.5)[0] == 0.5 * (1 + 0.5 * 1 / 2)
    for beyond in ("none", "extrapolated"):
        assert rank_biased_overlap([-1], [1, 2], beyond=beyond)[0] == 0
        np.testing.assert_equal(rank_biased_overlap([-1], [-1, -1], beyond=beyond), [np.nan])
        np.testing.assert_equal(rank_biased_overlap([[]], [[]], beyond=beyond), [np.nan])


def test_overlap_equals_its_slow_twins():
    rng = np.random.default_rng(6)
    for persistence in (0.3, 0.9):
        ones, others = [np.stack([rng.permutation(9)[:6] for _ in range(80)]) for _ in range(2)]
        ends = rng.integers(1, 7, (2, 80))
        ones[np.arange(6) >= ends[0][:, None]] = -1
        others[np.arange(6) >= ends[1][:, None]] = -1
        lists = [(one[one >= 0].tolist(), other[other >= 0].tolist()) for one, other in zip(ones, others, strict=True)]
        twins = [slow.overlap(a, b, persistence, max(len(a), len(b))) for a, b in lists]
        np.testing.assert_allclose(rank_biased_overlap(ones, others, persistence=persistence), twins)
        np.testing.assert_allclose(rank_biased_overlap(others, ones, persistence=persistence), twins)
        twins = [slow.overlap_extrapolated(a, b, persistence) for a, b in lists]
        found = rank_biased_overlap(ones, others, persistence=persistence, beyond="extrapolated")
        np.testing.assert_allclose(found, twins)
        wider = np.pad(ones, ((0, 0), (0, 3)), constant_values=-1)
        np.testing.assert_allclose(
            rank_biased_overlap(wider, others, persistence=persistence, beyond="extrapolated"), twins
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pages": [1, 1]}, "pages: must show an item once, got 1 twice"),
        ({"others": [-1, 1]}, "others: must have empty slots, -1, at the end only"),
        ({"others": [[1], [2]]}, "others: must have 1 pages like pages, got 2"),
        ({"persistence": 1}, "persistence: must be >= 0 and < 1, got 1"),
        ({"beyond": "all"}, "beyond: must be one of 'none', 'extrapolated', got 'all'"),
    ],
)
def test_what_overlap_refuses(change, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        rank_biased_overlap(**({"pages": [1, 2], "others": [2, 1]} | change))
