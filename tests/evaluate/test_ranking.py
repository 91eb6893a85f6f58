"""Scores that tie: four equals, worth anything from 0.43 to 1."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slow_metrics as slow
from slatewise import Candidates, Solve
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.gains import Persistence
from slatewise.evaluate.metrics import ndcg
from slatewise.evaluate.ranking import ndcg_by_score, ranked_by_score

FIRST, SECOND, THIRD, FOURTH = (1 / log2(slot + 1) for slot in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("ties", "values"),
    [
        ("engine", [FIRST, SECOND, THIRD, FOURTH]),
        ("input", [FIRST, SECOND, THIRD, FOURTH]),
        ("id_desc", [FOURTH, THIRD, SECOND, FIRST]),
        ("average", [(FIRST + SECOND + THIRD + FOURTH) / 4] * 4),
    ],
)
def test_four_equal_scores_and_one_relevant_item(ties, values):
    found = ndcg_by_score(np.eye(4), np.ones((4, 4)), 4, ties=ties)
    np.testing.assert_allclose(found, values)
    if ties != "average":
        np.testing.assert_allclose(ndcg(ranked_by_score(np.eye(4), np.ones((4, 4)), ties=ties), np.eye(4), 4), values)


def test_the_figures_of_the_four():
    slots = [FIRST, SECOND, THIRD, FOURTH]
    assert np.mean(slots) == pytest.approx(0.640402, abs=5e-7)
    assert slots == pytest.approx([1, 0.6309, 0.5, 0.4307], abs=5e-5)


def test_a_page_by_its_scores():
    relevance, scores = [3, 2, 0, 1, 0], [0.2, 0.5, 0.9, 0.1, 0.3]
    assert ranked_by_score(relevance, scores).tolist() == [[0, 2, 0, 3, 1]]
    for ties in ("engine", "average", "input", "id_desc"):
        assert ndcg_by_score(relevance, scores, 5, ties=ties)[0] == pytest.approx(0.617562, abs=5e-7)
        assert ndcg_by_score(relevance, scores, 5, ties=ties, gain="exp2")[0] == pytest.approx(0.563664, abs=5e-7)


def test_what_decides_between_equals():
    grades, scores = [[1, 2, 3]], [[0.5, 0.5, 0.5]]
    assert ranked_by_score(grades, scores, ids=[["c", "a", "b"]]).tolist() == [[2, 3, 1]]
    assert ranked_by_score(grades, scores, ids=[[10, 9, 100]]).tolist() == [[2, 1, 3]]
    assert ranked_by_score(grades, scores, ids=[[10, 9, 100]], ties="id_desc").tolist() == [[3, 1, 2]]
    assert ranked_by_score(grades, scores, ids=[[10, 9, 100]], tied_by=[[1, 0, 1]]).tolist() == [[1, 3, 2]]
    assert ranked_by_score(grades, scores, ids=[[10, 9, 100]], ties="input").tolist() == [[1, 2, 3]]
    many = np.arange(100)
    np.testing.assert_equal(ranked_by_score(many, many % 2, ties="input")[0], [*range(1, 100, 2), *range(0, 100, 2)])


def test_candidates_that_are_not_there_go_last():
    found = ranked_by_score([[0, 1, 2]], [[np.nan, -5.0, -np.inf]])
    assert found.tolist() == [[1, 2, 0]]
    assert ndcg_by_score([[0, 1, 0]], [[np.nan, 1.0, 1.0]], 3, ties="average")[0] == pytest.approx((1 + SECOND) / 2)


rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5)


@given(rows, st.integers(1, 6), st.sampled_from(["linear", "exp2", (0, 1, 5)]), st.sampled_from(["log2", "none", 0.5]))
def test_the_average_is_that_of_all_orders_of_equals(rows, k, gain, discount):
    relevance, scores = zip(*rows, strict=True)
    if any(relevance):
        kind = Persistence(discount) if isinstance(discount, float) else discount
        found = ndcg_by_score(relevance, scores, k, ties="average", gain=gain, discount=kind)[0]
        assert found == pytest.approx(slow.ndcg_mean(relevance, scores, k, gain, discount))
        ordered = [ndcg_by_score(relevance, scores, k, ties=ties, gain=gain)[0] for ties in ("engine", "id_desc")]
        assert min(ordered) - 1e-9 <= ndcg_by_score(relevance, scores, k, ties="input", gain=gain)[0] <= 1 + 1e-9


def test_ties_of_one_page_do_not_reach_into_the_next():
    relevance, scores = [[0, 1], [1, 0]], [[2.0, 1.0], [1.0, 0.0]]
    np.testing.assert_allclose(ndcg_by_score(relevance, scores, 2, ties="average"), [SECOND, 1.0])


def test_the_order_of_the_candidates_changes_nothing_for_the_engine():
    rng = np.random.default_rng(2)
    relevance, scores, ids = rng.integers(0, 3, 9), rng.integers(0, 3, 9), rng.permutation(9)
    order = rng.permutation(9)
    one = ranked_by_score(relevance, scores, ids=ids)
    np.testing.assert_equal(ranked_by_score(relevance[order], scores[order], ids=ids[order]), one)


def test_the_engine_orders_as_pages_are_served():
    rng = np.random.default_rng(4)
    scores, ids = rng.integers(0, 3, 12).astype(float), rng.permutation(12)
    served = Solve(by="score").select(Candidates.of(item_id=ids, score=scores), slots=12).rows
    assert ranked_by_score(np.arange(12), scores, ids=ids)[0].tolist() == served.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ties": "average"}, "ties: must be one of 'engine', 'input', 'id_desc', got 'average'"),
        ({"scores": [[1.0]]}, r"scores: must be of one shape with the others, \(1, 2\), got \(1, 1\)"),
        ({"scores": [[np.nan, 1.0]]}, "scores: must be there for whatever is relevant, got nan"),
        ({"ids": [[1]]}, "ids: must be of one shape"),
        ({"tied_by": [[1, 2, 3]]}, "tied_by: must be of one shape"),
        ({"relevance": [["x", "y"]]}, "relevance: must be numbers"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        ranked_by_score(**({"relevance": [[1, 0]], "scores": [[1.0, 1.0]]} | change))
    if "ties" in change:
        with pytest.raises(SlatewiseError, match="ties: must be one of 'engine', 'average'"):
            ndcg_by_score([[1]], [[1]], 1, ties="none")
