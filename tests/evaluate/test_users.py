"""What a mean runs over, and who is not among it."""

import numpy as np
import pytest

from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.intervals import mean_by_cluster
from slatewise.evaluate.users import units

VALUES, USERS = [1.0, 0.0, np.nan, 0.6, np.nan], ["ann", "ann", "bob", "bob", "cat"]


@pytest.mark.parametrize(
    ("weight", "values", "mean"),
    [
        ("user", [(1 + 0) / 2, 0.6, np.nan], (0.5 + 0.6) / 2),
        ("request", VALUES, (1 + 0 + 0.6) / 3),
        ("impression", [1, 1, 1, np.nan, 0.6, np.nan], (3 * 1 + 0.6) / 4),
    ],
)
def test_what_counts_the_same(weight, values, mean):
    found = units(VALUES, USERS, weight=weight, impressions=[3, 0, 1, 1, 1])
    np.testing.assert_equal(found.values, values)
    assert (found.empty, found.missing, found.unjudged) == (2, 0, 0)
    assert np.nanmean(found.values) == pytest.approx(mean)
    interval = mean_by_cluster(found.values, found.users)
    assert (interval.estimate, interval.clusters) == (pytest.approx(mean), 2)


@pytest.mark.parametrize("weight", ["user", "request", "impression"])
def test_judged_users_without_a_page(weight):
    arguments = {"judged": ["dan", "ann", "eve"], "weight": weight, "impressions": [1] * 5}
    zero = units(VALUES, USERS, missing="zero", **arguments)
    assert (zero.missing, zero.unjudged, zero.empty) == (2, 2, 0)
    assert zero.users[-2:].tolist() == ["dan", "eve"]
    assert zero.values[-2:].tolist() == [0, 0]
    drop = units(VALUES, USERS, missing="drop", **arguments)
    assert (drop.missing, drop.unjudged) == (2, 2)
    assert set(drop.users) == {"ann"}
    assert drop.values.tolist() == zero.values[:-2].tolist()
    with pytest.raises(SlatewiseError, match="users: must hold every judged user, got 2 without a page; see `missing`"):
        units(VALUES, USERS, **arguments)


def test_users_are_matched_by_name_not_by_place():
    found = units([0.0, 1.0], [7, 3], judged=[3, 7])
    assert dict(zip(found.users.tolist(), found.values.tolist(), strict=True)) == {3: 1.0, 7: 0.0}


def test_nobody():
    assert units([], []).values.shape == (0,)
    assert units([], [], judged=["ann"], missing="zero").values.tolist() == [0]
    assert units([1.0], ["ann"], judged=[]).unjudged == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": ["ann"]}, r"users: must be one per value, \(2,\), got \(1,\)"),
        ({"values": [1.0, np.inf]}, "values: must be finite, or NaN, got inf"),
        ({"judged": ["ann", "ann"]}, "judged: must hold each user once, got 'ann'"),
        ({"weight": "users"}, "weight: must be one of .* got 'users'; did you mean 'user'?"),
        ({"missing": "none"}, "missing: must be one of 'error', 'zero', 'drop', got 'none'"),
        ({"weight": "impression"}, r"impressions: must be one number >= 0 per value, \(2,\), for weight='impression'$"),
        ({"weight": "impression", "impressions": [1, -1]}, r"impressions: must be .* got \[1, -1\]"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(SlatewiseError, match="^" + message):
        units(**({"values": [1.0, 0.0], "users": ["ann", "bob"]} | change))
