"""What slots are about, one category each or several."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slow_metrics as slow
from slatewise.core.columns import Keys
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.categories import category_amounts, members


def test_names_become_members():
    found = members([["b", None, ("a", "b", "c")], []], "abc")
    assert found.shape == (2, 3, 3)
    assert found[0].tolist() == [[0, 1, 0], [0, 0, 0], [1 / 3, 1 / 3, 1 / 3]]
    assert not found[1].any()
    assert members([["news"]], ["news"]).tolist() == [[[1]]], "a name is not a list of letters"
    assert members([[("a", "a", "b")]], "ab").tolist() == [[[0.5, 0.5]]]
    assert members([], "ab").shape == (0, 0, 2)
    with pytest.raises(
        SlatewiseError, match=r"pages\[0\]\[1\]: must be in the catalogue, got 'nws'; did you mean 'news'"
    ):
        members([["news", "nws"]], ["news", "sport"])


def test_columns_become_codes():
    codes = Keys.of(["posts", "ads", "posts", None]).codes
    assert category_amounts(codes, 2).tolist() == [[2, 1]]


slot = st.sets(st.sampled_from("abc"), max_size=3)


@given(st.lists(st.lists(slot, min_size=3, max_size=3), min_size=1, max_size=3), st.booleans())
def test_amounts_equal_their_slow_twin(pages, one_for_all):
    rng = np.random.default_rng(len(pages))
    weights = rng.random(3) if one_for_all else rng.random((len(pages), 3))
    each = np.broadcast_to(weights, (len(pages), 3))
    twins = [slow.amounts(page, "abc", row) for page, row in zip(pages, each, strict=True)]
    found = category_amounts(members(pages, "abc"), 3, weights=weights)
    np.testing.assert_allclose(found, twins)
    np.testing.assert_allclose(found, category_amounts(members(pages, "abc") * 7, 3, weights=weights))
    firsts = [[min(slot, default=None) for slot in page] for page in pages]
    codes = [["abc".find(name or "-") for name in page] for page in firsts]
    np.testing.assert_allclose(
        category_amounts(codes, 3, weights=weights), category_amounts(members(firsts, "abc"), 3, weights=weights)
    )


def test_no_pages_and_no_slots():
    assert category_amounts(np.zeros((0, 4)), 2).shape == (0, 2)
    assert category_amounts(np.zeros((2, 0)), 2).tolist() == [[0, 0], [0, 0]]
    assert category_amounts([-1, -1], 2).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [0, 3]}, "categories: must be whole numbers from -1 to 2, got 3"),
        ({"categories": [0, -2]}, "categories: must be whole numbers from -1 to 2, got -2"),
        ({"categories": ["news"]}, "categories: must be numbers, in lists of one length"),
        ({"categories": [[[1, 0]]]}, "categories: must have 3 members per slot, got 2"),
        ({"categories": [[[1, 0, -1]]]}, "categories: must be finite and >= 0, got -1.0"),
        ({"catalogue": 0}, "catalogue: must be a whole number >= 1, got 0"),
        ({"weights": [1.0]}, "weights: must have 2 numbers per page, got 1"),
        ({"weights": [[1.0, 1.0]] * 3}, "weights: must have 1 pages like categories, got 3"),
        ({"weights": [1.0, np.nan]}, "weights: must be finite and >= 0, got nan"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        category_amounts(**({"categories": [0, 1], "catalogue": 3} | change))
