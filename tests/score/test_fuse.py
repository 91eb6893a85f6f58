"""`score.fuse`: several objectives, one score."""

import numpy as np
import pytest

from slatewise import Candidates, Fuse, Policy, PolicyError, Request, Solve
from slatewise.score.fuse import FuseSegment
from slatewise.testing.checks import check_annotator

ITEMS = Candidates.of(click=[0.5, 0.25, 0.0], share=[0.0, np.nan, 1.0])
HEAD = {"lines": ["posts"], "columns": {"click": "number", "share": "number?"}, "context": {"tenure": ["new", "old"]}}


def test_keeps_the_promises_of_an_annotator():
    fuse = Fuse(terms={"click": 2.0, "share": 0.3}, missing={"share": 0.1})
    check_annotator(fuse, Request(candidates=ITEMS))


def test_adds_weight_times_column_and_fills_what_is_missing():
    fuse = Fuse(terms={"click": 2.0, "share": 4.0}, missing={"share": 0.25})
    score = fuse.annotate(ITEMS, Request(candidates=ITEMS))["score"]
    assert score.tolist() == [2 * 0.5 + 4 * 0.0, 2 * 0.25 + 4 * 0.25, 2 * 0.0 + 4 * 1.0]


def test_the_first_matching_segment_replaces_only_its_weights():
    fuse = Fuse(
        terms={"click": 2.0, "share": 4.0},
        missing={"share": 0.0},
        segments=(
            FuseSegment(when={"tenure": ["new", "newer"]}, terms={"click": 8.0}),
            FuseSegment(when={"tenure": "new"}, terms={"click": 100.0}),
        ),
    )
    request = Request(candidates=ITEMS, context={"tenure": "new"})
    assert fuse.annotate(ITEMS, request)["score"].tolist() == [8 * 0.5, 8 * 0.25, 4 * 1.0]


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Fuse(terms={"click": 1.0, "share": 1.0}), "fuse: reads `share`, which may be missing"),
        (Fuse(terms={"click": 1.0}, missing={"share": 0.0}), r"fuse.missing.share: must be a column of `terms`"),
        (Fuse(terms={"click": float("inf")}), r"fuse.terms.click: must be finite, got inf"),
        (Fuse(terms={"click": float("nan")}), r"fuse.terms.click: must be finite, got nan"),
        (
            Fuse(terms={"click": 1.0}, segments=(FuseSegment(when={"tenur": "new"}, terms={}),)),
            r"segments\[0\].when.tenur: is no feature .* did you mean 'tenure'",
        ),
    ],
)
def test_refuses(stage, message):
    with pytest.raises(PolicyError, match=message):
        Policy.of(stage, Solve(by="score"), **HEAD)
