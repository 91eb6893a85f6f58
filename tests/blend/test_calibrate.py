"""`blend.calibrate`: one currency."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise import Calibrate, Candidates, Policy, PolicyError, Ratio, Request, Solve
from slatewise.blend.calibrate import OffsetSegment
from slatewise.blend.maps import Beta, Platt
from slatewise.testing.checks import check_annotator

ITEMS = Candidates.of(line=["ads", "posts", "ads"], score=[0.5, 0.5, -2.0])


def test_keeps_the_promises_of_an_annotator():
    check_annotator(Calibrate(lines={"ads": Ratio(factor=3.0)}), Request(candidates=ITEMS))


def test_maps_each_line_by_its_own_map_and_leaves_the_scores_as_they_were():
    calibrate = Calibrate(lines={"ads": Ratio(factor=0.25)})
    assert calibrate.annotate(ITEMS, Request(candidates=ITEMS))["value"].tolist() == [0.125, 0.5, -0.5]
    assert ITEMS.number("score").tolist() == [0.5, 0.5, -2.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(1e-6, 1e6))
def test_keeps_a_lines_own_order(scores, factor):
    items = Candidates.of(score=scores, line=["ads"] * len(scores))
    calibrate = Calibrate(lines={"ads": Ratio(factor=factor)})
    value = calibrate.annotate(items, Request(candidates=items))["value"]
    order = np.argsort(scores, kind="stable")
    assert (np.diff(value[order]) >= 0).all()


def test_refuses_a_line_that_the_policy_does_not_have():
    with pytest.raises(PolicyError, match=r"blend.calibrate.lines.add: must be a line .* did you mean 'ads'"):
        Policy.of(Calibrate(lines={"add": Ratio()}), Solve(by="value"), lines=["ads"], columns={"score": "number"})


NIGHT = OffsetSegment(when={"scene": "night"}, offsets={"ads": 0.5})
SEGMENTED = Calibrate(
    lines={"ads": Platt(slope=0.9, worth=2.0), "posts": Beta()},
    segments=(NIGHT, OffsetSegment(when={"tenure": "new"}, offsets={"ads": -9.0})),
)
PROBABLE = Candidates.of(line=["ads", "posts", "ads", "live"], score=[0.5, 0.5, 0.01, 7.0])


def test_keeps_the_promises_with_maps_of_every_kind():
    check_annotator(SEGMENTED, Request(candidates=PROBABLE, context={"scene": "night"}))


def test_the_first_segment_that_matches_adds_its_offsets_and_other_lines_stay():
    def value(**context):
        return SEGMENTED.annotate(PROBABLE, Request(candidates=PROBABLE, context=context))["value"]

    plain, night = value(), value(scene="night", tenure="new")
    assert plain.tolist()[1::2] == night.tolist()[1::2] == [0.5, 7.0]
    assert plain[0] == 2.0 * 0.5
    odds = [np.log(one[::2] / 2.0 / (1 - one[::2] / 2.0)) for one in (plain, night)]
    assert odds[1] == pytest.approx(odds[0] + 0.5)


def test_refuses_an_offset_of_a_line_without_a_map():
    stage = Calibrate(lines={"ads": Ratio()}, segments=(OffsetSegment(when={"scene": "day"}, offsets={"posts": 1.0}),))
    with pytest.raises(PolicyError, match=r"segments\[0\].offsets.posts: must be a line with a map in `lines`"):
        Policy.of(
            stage, Solve(by="value"), lines=["ads", "posts"], columns={"score": "number"}, context={"scene": ["day"]}
        )
