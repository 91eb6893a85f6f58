"""How unlike each other the items of a page are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slow_metrics as slow
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.categories import members
from slatewise.evaluate.variety import cosine_distances, ild, ilmd, longest_run, repeats


@pytest.mark.parametrize("dimensions", [2, 3, 64])
def test_duplicates_are_at_no_distance_and_orthogonal_vectors_at_one_in_any_dimension(dimensions):
    odd = np.random.default_rng(dimensions).normal(size=dimensions)
    same = cosine_distances([odd, odd, odd])
    assert (same == 0).all()
    assert ild(same)[0] == ilmd(same)[0] == 0
    unlike = cosine_distances(np.eye(dimensions))
    assert ild(unlike)[0] == ilmd(unlike)[0] == 1
    assert ild(cosine_distances([odd, -odd]))[0] == pytest.approx(2)


def test_mean_and_least_of_a_page_worked_out():
    half = cosine_distances([(1, 0, 0), (0.5, 3**0.5 / 2, 0), (0, 0, 1)])
    assert ild(half)[0] == pytest.approx((0.5 + 1 + 1) / 3)
    assert ilmd(half)[0] == pytest.approx(0.5)


def test_lengths_do_not_matter_nor_does_the_order():
    rng = np.random.default_rng(1)
    page = rng.normal(size=(7, 5))
    longer = page * rng.uniform(0.01, 100, (7, 1))
    assert ild(cosine_distances(longer))[0] == pytest.approx(ild(cosine_distances(page))[0])
    assert ilmd(cosine_distances(page[::-1]))[0] == pytest.approx(ilmd(cosine_distances(page))[0])
    tiny, huge = [(1e-200, 0), (0, 1e-200)], [(1e200, 0), (0, 1e200)]
    assert ild(cosine_distances([tiny, huge])).tolist() == [1, 1]


def test_fewer_than_two_items_have_no_distance():
    for metric in (ild, ilmd):
        np.testing.assert_equal(metric(cosine_distances([[1.0, 0.0]])), [np.nan])
        np.testing.assert_equal(metric(np.zeros((2, 0, 0))), [np.nan, np.nan])
        np.testing.assert_equal(metric(cosine_distances([(1, 0), (0, 1)], served=[1])), [np.nan])
        np.testing.assert_equal(metric(cosine_distances([(1, 0), (np.nan, np.nan)], missing="drop")), [np.nan])


@pytest.mark.parametrize("missing", ["drop", "unlike"])
def test_distances_equal_their_slow_twin(missing):
    rng = np.random.default_rng(4)
    pages = rng.integers(-1, 2, (80, 6, 3)).astype(float)
    served = rng.integers(0, 7, 80)
    known = [[tuple(v) if any(v) else None for v in page.tolist()] for page in pages]
    pages[rng.random((80, 6)) < 0.1] *= np.nan
    known = [
        [None if np.isnan(vector[0]) else one for vector, one in zip(page, row, strict=True)]
        for page, row in zip(pages, known, strict=True)
    ]
    lists = [slow.pair_distances(row, missing, count) for row, count in zip(known, served, strict=True)]
    distances = cosine_distances(pages, missing=missing, served=served)
    np.testing.assert_allclose(ild(distances), [np.mean(one) if one else np.nan for one in lists], atol=1e-12)
    np.testing.assert_allclose(ilmd(distances), [min(one) if one else np.nan for one in lists], atol=1e-12)
    np.testing.assert_equal(distances, distances.transpose(0, 2, 1))


def test_distances_of_ones_own():
    table = [[9, 0.2, np.nan], [0.2, 9, 0.6], [np.nan, 0.6, 9]]
    assert ild(table)[0] == pytest.approx((0.2 + 0.6) / 2), "the diagonal does not count, nor does what is not known"
    assert ilmd(table)[0] == 0.2


def test_what_a_missing_vector_means():
    page = [(1, 0), (0, 0), (1, 0)]
    assert ild(cosine_distances(page, missing="drop"))[0] == 0
    assert ild(cosine_distances(page, missing="unlike"))[0] == (1 + 0 + 1) / 3
    assert cosine_distances(page, missing="unlike")[0, 1].tolist() == [1, 0, 1]
    nothing = [[(0, 0), (0, 0)]]
    assert cosine_distances(nothing, missing="unlike")[0].tolist() == [[0, 1], [1, 0]]
    message = r"vectors\[0\]\[1\]: must have a direction; say what `missing` ones mean"
    with pytest.raises(SlatewiseError, match=message):
        cosine_distances(page)
    for below in (0, np.nan, np.inf):
        empty_slot = [(1, 0), (0, 1), (0, below)]
        assert ild(cosine_distances(empty_slot, served=[2]))[0] == 1, "an empty slot is no mistake"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[(1, np.nan), (1, 0)]], "vectors: must be finite, or NaN as a whole, got nan"),
        ([[(1, np.inf), (1, 0)]], "vectors: must be finite, or NaN as a whole, got inf"),
        ([1.0, 2.0], r"vectors: must have 3 axes, or 2 for a single page, got \(2,\)"),
    ],
)
def test_vectors_that_are_refused(values, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        cosine_distances(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 1]], r"distances: must be square, got \(1, 2\)"),
        ([[0, -1], [-1, 0]], "distances: must be finite and >= 0, or NaN, got -1.0"),
        ([[0, np.inf], [np.inf, 0]], "distances: must be finite and >= 0, or NaN, got inf"),
        ([[0, 1], [2, 0]], "distances: must be the same both ways"),
        ([[0, 1], [np.nan, 0]], "distances: must be the same both ways"),
    ],
)
def test_distances_that_are_refused(values, message):
    for metric in (ild, ilmd):
        with pytest.raises(SlatewiseError, match="^" + message):
            metric(values)


def test_arguments_that_are_refused():
    with pytest.raises(SlatewiseError, match="missing: must be one of 'error', 'drop', 'unlike', got 'zero'"):
        cosine_distances([[1.0]], missing="zero")
    with pytest.raises(SlatewiseError, match="window: must be a whole number >= 0, got -1"):
        repeats([0], window=-1)
    with pytest.raises(SlatewiseError, match=r"categories: must be whole numbers from -1, got 0.5"):
        longest_run([0.5])


def test_repeats_in_a_window_worked_out():
    page = [0, 1, 0, 0, 2, 1]
    assert [repeats(page, window=window)[0] for window in (0, 1, 2, 3, 4, 100)] == [0, 1, 2, 2, 3, 3]
    assert longest_run(page)[0] == 2
    assert repeats([-1, -1], window=1)[0] == longest_run([-1, -1])[0] == 0


def test_runs_end_where_a_slot_has_no_category():
    assert longest_run([[3, 3, -1, 3], [1, -1, 1, -1]]).tolist() == [2, 1]
    assert longest_run(np.zeros((2, 0))).tolist() == [0, 0]
    assert longest_run(np.zeros((2, 3, 0))).tolist() == repeats(np.zeros((2, 3, 0)), window=2).tolist() == [0, 0]


slot = st.sets(st.sampled_from("abc"), max_size=2)


@given(st.lists(st.lists(slot, max_size=7), min_size=1, max_size=3), st.integers(0, 8))
def test_slots_in_several_categories_equal_their_slow_twins(pages, window):
    found = members(pages, "abc")
    assert repeats(found, window=window).tolist() == [slow.repeats(page, window) for page in pages]
    assert longest_run(found).tolist() == [slow.longest_run(page) for page in pages]


@given(st.lists(st.integers(-1, 2), min_size=1, max_size=9), st.integers(0, 9))
def test_codes_and_members_agree(page, window):
    found = members([[None if code < 0 else "abc"[code] for code in page]], "abc")
    assert repeats(page, window=window)[0] == repeats(found, window=window)[0]
    assert longest_run(page)[0] == longest_run(found)[0]
    assert repeats(page, window=window)[0] <= repeats(page, window=window + 1)[0]
