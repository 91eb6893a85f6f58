"""`blend.weight`: how much a line's value counts for whom."""

from math import exp

import numpy as np
import pytest

from slatewise import Candidates, Policy, PolicyError, Request, Solve, Weight
from slatewise.blend.weight import Experiment, Learned, WeightSegment, sign
from slatewise.testing.checks import check_annotator

ITEMS = Candidates.of(line=["ads", "posts", "live"], value=[0.5, 0.25, 1.0])
WEIGHT = Weight(
    lines={"ads": 2.0, "posts": 4.0},
    segments=(WeightSegment(when={"tenure": "new"}, lines={"ads": 0.5}),),
)


def test_keeps_the_promises_of_an_annotator():
    check_annotator(WEIGHT, Request(candidates=ITEMS))


@pytest.mark.parametrize(("tenure", "ads"), [("old", 2.0), ("new", 0.5)])
def test_weighs_lines_by_segment(tenure, ads):
    written = WEIGHT.annotate(ITEMS, Request(candidates=ITEMS, context={"tenure": tenure}))
    assert written["weight"].tolist() == [ads, 4.0, 1.0]
    assert written["utility"].tolist() == [ads * 0.5, 4.0 * 0.25, 1.0 * 1.0]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Weight(lines={"add": 1.0}), r"weight.lines.add: must be a line .* did you mean 'ads'"),
        (Weight(lines={"ads": float("inf")}), r"weight.lines.ads: must be finite, got inf"),
    ],
)
def test_refuses(stage, message):
    with pytest.raises(PolicyError, match=message):
        Policy.of(stage, Solve(), lines=["ads"], columns={"value": "number"})


LEARNED = Weight(
    lines={"ads": 2.0},
    learned={"ads": Learned(offset=0.1, context={"tenure": {"new": -0.4}}), "live": Learned(offset=9.0)},
    limit=0.5,
    anchor="posts",
)


@pytest.mark.parametrize(("tenure", "power"), [("new", -0.3), ("old", 0.1), (None, 0.1)])
def test_learned_logarithms_are_sums_over_the_context_within_the_limit(tenure, power):
    context = {} if tenure is None else {"tenure": tenure}
    weight = LEARNED.annotate(ITEMS, Request(candidates=ITEMS, context=context))["weight"]
    assert weight == pytest.approx([2.0 * exp(power), 1.0, exp(0.5)])


EXPLORED = Weight(lines={"ads": 2.0}, anchor="posts", explore=Experiment(step=0.1, salt="spring"))


def test_exploring_keeps_the_promises_and_names_its_parts():
    request = Request(candidates=ITEMS, user="u7")
    check_annotator(EXPLORED, request)
    parts = EXPLORED.parts(ITEMS, request)
    assert parts["preference"].tolist() == [2.0, 1.0, 1.0]
    assert parts["explore"][1] == 0.0
    assert np.abs(np.log(1 + parts["explore"] / parts["preference"])) == pytest.approx([0.1, 0.0, 0.1])


def test_signs_are_a_users_own_for_ever_fair_and_independent_from_line_to_line_and_salt_to_salt():
    users = [f"u{number}" for number in range(10_000)]
    signs = np.array([[sign(salt, user, line) for user in users] for salt in "ab" for line in ("ads", "live")])
    assert set(signs.ravel().tolist()) == {-1, 1}
    products = signs @ signs.T / len(users)
    assert np.abs(products - np.eye(4)).max() < 0.05
    assert np.abs(signs.mean(axis=1)).max() < 0.05
    assert [sign("a", user, "ads") for user in users] == signs[0].tolist()


def test_a_request_without_a_user_and_the_anchor_are_not_explored():
    assert EXPLORED.annotate(ITEMS, Request(candidates=ITEMS))["weight"].tolist() == [2.0, 1.0, 1.0]
    weights = {
        EXPLORED.annotate(ITEMS, Request(candidates=ITEMS, user=f"u{number}"))["weight"][1] for number in range(20)
    }
    assert weights == {1.0}


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Weight(anchor="add"), r"weight.anchor: must be a line .* did you mean 'ads'"),
        (Weight(anchor="ads", lines={"ads": 2.0}), r"weight.lines.ads: must be left out, or 1: the line is the anchor"),
        (Weight(anchor="ads", learned={"ads": Learned()}), r"weight.learned.ads: must be left out, or 1"),
        (Weight(learned={"ads": Learned(context={"tenur": {"new": 1.0}})}), r"tenur: is no feature .* 'tenure'"),
        (Weight(explore=Experiment(step=1.5)), r"weight.explore.step: must be <= 1, got 1.5"),
    ],
)
def test_refuses_what_is_learned_or_explored_wrongly(stage, message):
    with pytest.raises(PolicyError, match=message):
        Policy.of(stage, Solve(), lines=["ads"], columns={"value": "number"}, context={"tenure": ["new"]})
