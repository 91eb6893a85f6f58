"""Caps in a policy, and what pages take from them."""

import numpy as np
import pytest

from slatewise import Candidates, Policy, PolicyError, Request, Solve
from slatewise.core.caps import asked
from slatewise.serve.state.caps import counter, span_of, takes

COLUMNS = {"utility": "number", "brand": "key?", "size": "number", "paid": "flag", "tags": "keys?"}
ITEMS = Candidates.of(
    item_id=[1, 2, 3, 4],
    line=["ads", "ads", "posts", "ads"],
    utility=[1.0, 2.0, 3.0, 4.0],
    brand=["x", None, "x", "y"],
    size=[1.0, 2.0, 3.0, 4.0],
    paid=[True, True, False, False],
)


def policy(*caps, **serve):
    return Policy.of(Solve(), lines=["ads", "posts"], columns=COLUMNS, serve={"caps": list(caps), **serve})


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        ({}, {"": 4}),
        ({"group": {"line": "ads"}}, {"": 3}),
        ({"per": "brand"}, {"x": 2, "y": 1}),
        ({"per": "brand", "group": {"line": "ads"}}, {"x": 1, "y": 1}),
        ({"per": "item_id", "group": {"paid": True}}, {"1": 1, "2": 1}),
        ({"per": "line", "group": {"size": {"at_least": 2, "at_most": 3}}}, {"ads": 1, "posts": 1}),
        ({"group": {"brand": ["x", "z"]}}, {"": 2}),
        ({"group": {"brand": "z"}}, {}),
    ],
)
def test_a_cap_counts_the_rows_of_its_group_by_value(cap, expected):
    (one,) = policy({"name": "c", "at_most": 3, **cap}).head.serve.caps
    assert asked(one, ITEMS) == expected


def test_a_number_and_its_text_are_one_value_and_a_column_that_was_not_sent_has_none():
    (brands,) = policy({"name": "c", "per": "brand", "at_most": 3}).head.serve.caps
    mixed = Candidates.of(item_id=["a", "b", "c"], brand=[7, "7", "x"])
    assert asked(brands, mixed) == {"7": 2, "x": 1}
    assert asked(brands, Candidates.of(item_id=["a"], line=["ads"])) == {}


def test_what_a_page_takes_is_named_by_slot_and_counter():
    deployed = policy(
        {"name": "brands", "per": "brand", "at_most": 3},
        {"name": "ads", "group": {"line": "ads"}, "scope": "all", "at_most": 9, "within_s": 60, "counts": "click"},
    )
    rows = np.array([3, 1, 2], np.int32)
    found = takes(deployed, Request(candidates=ITEMS), rows)
    assert [(take.slot, take.counter) for take in found] == [
        (0, "86400.0/brands/y"),
        (2, "86400.0/brands/x"),
        (0, "60.0/ads/"),
        (1, "60.0/ads/"),
    ]
    assert [take.cap.name for take in found] == ["brands", "brands", "ads", "ads"]


def test_a_counter_says_its_span_exactly_whatever_the_name():
    for span in (1.0, 0.1, 1_234_567.25, 31_536_000.0):
        (cap,) = policy({"name": "a/b", "at_most": 3, "within_s": span}).head.serve.caps
        assert span_of(counter(cap, "x/y")) == span


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ([{"name": "c", "at_most": 1.5}], "must be a whole number, got 1.5"),
        ([{"name": "c", "at_most": 1, "counts": "click"}], "is of each user, which counts `served` items, not 'click'"),
        ([{"name": "c", "at_most": 1}] * 2, "serve.caps[1].name: must name each cap once in a policy, got 'c'"),
        (
            [{"name": "c", "at_most": 1, "per": "brnd"}],
            "serve.caps[0].per: must be a column of the policy, got 'brnd'; did you mean 'brand'?",
        ),
        ([{"name": "c", "at_most": 1, "per": "size"}], "serve.caps[0].per: must be a column of kind key, got 'number'"),
        ([{"name": "c", "at_most": 1, "per": "tags"}], "serve.caps[0].per: must be a column of kind key, got 'keys?'"),
        (
            [{"name": "c", "at_most": 1, "group": {"brand": True}}],
            "serve.caps[0].group.brand: must be a column of kind flag, got 'key?'",
        ),
        (
            [{"name": "c", "at_most": 1, "group": {"line": ["ads", "post"]}}],
            "serve.caps[0].group.line: must be a line of the policy, got 'post'; did you mean 'posts'?",
        ),
    ],
)
def test_a_cap_that_cannot_be_one_is_refused_by_name(caps, message):
    with pytest.raises(PolicyError) as caught:
        policy(*caps)
    assert message in str(caught.value)


def test_spend_may_be_capped_at_any_amount():
    cap = {"name": "c", "scope": "all", "counts": "spend", "at_most": 0.5}
    assert policy(cap).head.serve.caps[0].at_most == 0.5
