"""`blend.weight`: how much a line's value counts for whom."""

import pytest

from slatewise import Candidates, Policy, PolicyError, Request, Solve, Weight
from slatewise.blend.weight import WeightSegment
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
