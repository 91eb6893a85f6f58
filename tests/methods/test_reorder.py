"""Reordering: rests, cycles, damping, and what is kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slatewise.methods.reorder import exchanged, linked, reordered, turns

ALL = np.ones((1, 2), bool)


def second_is_better(first, second):
    """Return scores of two rows: (of one in slot 1, in slot 2) each."""
    return lambda order: np.take_along_axis(np.array([[first, second]]), order[:, :, None], 1)[:, [0, 1], [0, 1]]


# Each row scores more in the second slot: undamped, the two change places for ever.
RESTLESS = second_is_better((0.0, 2.0), (0.0, 2.0))
UNEVEN = second_is_better((1.0, 3.0), (0.0, 2.0))


def run(score, mask=ALL, **how):
    settings = {
        "exposure": np.array([1.0, 0.5]),
        "passes": 3,
        "damping": 0.0,
        "stickiness": 0.0,
        "delta": -np.inf,
    } | how
    return reordered(score, mask, **settings)


def test_a_cycle_is_found_and_its_length_said():
    found = run(RESTLESS, passes=9)
    assert found.orders[:, 0].tolist() == [[0, 1], [1, 0], [0, 1]]
    assert found.cycles.tolist() == [2]
    assert found.distances.tolist() == [[1.0], [1.0]]
    assert len(found.rewards) == 2  # an order that was there before is not looked at again


def test_damping_lets_it_rest():
    # f of 0 1 is 0 2; half of it and half of f of 1 0, which is 2 0, is a tie, in which rows stay where they are
    assert run(RESTLESS, damping=0.5).cycles.tolist() == [1]


def test_stickiness_counts_from_the_second_pass_on_and_in_gaps():
    # the first pass turns 0 0.2 round; then 1 0 is scored 0.2 + 1, 0 + 1 and 0 would be better by 0.8 of the only gap
    turning = second_is_better((0.0, 1.0), (0.0, 0.2))
    assert run(turning, stickiness=0.0).orders[:, 0].tolist() == [[0, 1], [1, 0], [0, 1]]
    for stickiness, order in ((0.99, [0, 1]), (1.01, [1, 0])):
        assert run(turning, stickiness=stickiness, passes=2).orders[2, 0].tolist() == order


def test_what_promises_more_is_kept_and_of_equals_the_earliest():
    # predicted clicks as shares; 0 1: softmax(1, 2), 1 0: softmax(0, 3)
    first, second = np.exp([1, 2]) / np.exp([1, 2]).sum(), np.exp([0, 3]) / np.exp([0, 3]).sum()
    worth = [first @ [1, 0.5], second @ [1, 0.5]]
    assert worth[0] > worth[1]
    found = run(UNEVEN, link="softmax", delta=0.0)
    assert found.rewards[:, 0] == pytest.approx(worth)
    assert found.order.tolist() == [[0, 1]]
    assert found.clicks[0] == pytest.approx(first)
    believed = run(UNEVEN, link="softmax", delta=0.0, passes=1)
    assert (believed.order.tolist(), believed.kept.tolist()) == ([[1, 0]], [1])
    equal = run(RESTLESS, exposure=np.ones(2), delta=0.0)
    assert equal.kept.tolist() == [0]


def test_delta_is_what_a_better_order_has_to_promise():
    better = second_is_better((0.0, 0.0), (1.0, 1.0))  # a gain of (p(1) - p(0)) / 2
    gain = (1 / (1 + np.exp(-1.0)) - 0.5) / 2
    assert run(better, delta=gain - 1e-9).order.tolist() == [[1, 0]]
    assert run(better, delta=gain + 1e-9).order.tolist() == [[0, 1]]
    assert run(better, delta=0.0).clicks[0] == pytest.approx([0.5, 1 / (1 + np.exp(-1.0))])  # by row, not by slot


def test_lists_together_are_what_they_are_alone_and_padding_stays_last():
    draws = np.random.default_rng(0)
    base, pull = draws.normal(size=(40, 6)), draws.normal(size=(40, 6, 6))
    mask = np.arange(6) < draws.integers(1, 7, 40)[:, None]

    def scores(lists):
        def score(order):
            rows = np.take_along_axis(base[lists], order, 1)
            return rows + pull[lists][np.arange(len(lists))[:, None], order, np.arange(order.shape[1])]

        return score

    exposure = 1 / np.log2(np.arange(6) + 2)
    for how in ({"delta": 0.0}, {"delta": -np.inf, "damping": 0.0, "passes": 8}):
        together = run(scores(np.arange(40)), mask, exposure=exposure, **how)
        for place in range(40):
            alone = run(scores(np.array([place])), mask[[place]], exposure=exposure, **how)
            assert together.order[place].tolist() == alone.order[0].tolist()
            assert together.cycles[place] == alone.cycles[0]
            assert together.clicks[place] == pytest.approx(alone.clicks[0])
        length = mask.sum(axis=1)
        assert (together.orders[:, ~mask] == np.nonzero(~mask)[1]).all()
        assert (np.sort(together.order, axis=1) == np.arange(6)).all()
        assert together.lengths.tolist() == length.tolist()
    accepted = run(scores(np.arange(40)), mask, exposure=exposure, delta=0.0, passes=6)
    for place, kept in enumerate(accepted.kept.tolist()):
        taken = accepted.rewards[: kept + 1, place]
        assert (np.diff(taken) > 0).all()  # an order that is taken never promises less


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_turns_are_counted_as_by_hand(one, other):
    slow = sum((one.index(a) < one.index(b)) != (other.index(a) < other.index(b)) for a in range(6) for b in range(a))
    assert turns(np.array([one]), np.array([other])).tolist() == [slow]


def test_links_are_stable_for_large_scores_and_empty_lists():
    mask = np.array([[True, True, False], [False] * 3])
    assert linked(np.array([[800.0, -800.0, 5.0], [1.0] * 3]), mask, "softmax").tolist() == [[1.0, 0, 0], [0] * 3]
    assert linked(np.array([[800.0, 0.0, 5.0], [1.0] * 3]), mask, "logistic").tolist() == [[1.0, 0.5, 0], [0] * 3]


@given(arrays(np.float64, st.integers(0, 8), elements=st.sampled_from([-1.0, 0.0, 0.5, 0.5 + 1e-16, 2.0, 1e30])))
def test_values_are_exchanged_strictly_in_order_above_the_others(values):
    for floor in (-np.inf, min(values, default=0.0)):
        found = exchanged(values, floor)
        assert (found[:-1] > found[1:]).all()
        assert (found > floor).all()
        assert found == pytest.approx(np.sort(values)[::-1], rel=1e-12, abs=1e-300)
