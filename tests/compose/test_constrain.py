"""`compose.constrain`: the one rule type."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from slatewise import Candidates, Constrain, RequestError, Rule
from slatewise.core.constraints import Constraints
from slatewise.core.rules import Between
from slatewise.kernels import audit
from slatewise.testing.instances import instance


@given(st.integers(0, 2**32), st.integers(0, 8))
def test_counts_like_its_slow_twin(seed, length):
    rng = np.random.default_rng(seed)
    one = instance(rng)
    page = rng.permutation(len(one.candidates))[:length].astype(np.int32)
    constraints = Constraints(one.rules, one.candidates, one.slots)
    amounts = audit.broken(page, constraints.arrays) / 1e6
    for rule, amount in zip(constraints.book.rules, amounts, strict=True):
        assert amount == pytest.approx(oracles.broken(msgspec.to_builtins(rule), one.data, page.tolist(), one.slots))


def test_reads_what_its_rules_name():
    rules = (
        Rule(name="a", group={"line": "ads", "local": True, "seen": Between(at_least=3)}, at_most=1),
        Rule(name="b", per="author", weight="size", every=2, at_most=1),
        Rule(name="c", distinct="topic", group={"item_id": "x"}, at_least=1),
    )
    reads = {"local": "flag", "seen": "number", "author": "key?", "size": "number", "topic": "key?"}
    assert Constrain(rules=rules).reads == reads
    assert Constrain(rules=rules).hard_rules == rules


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs `at_least` or `at_most`"),
        ({"at_least": 2, "at_most": 1}, "at_least 2.0 above at_most 1.0"),
        ({"at_most": 1, "first": 3, "slots": (1, 2)}, "both `first` and `slots`"),
        ({"at_most": 1, "slots": (3, 2)}, "end before they begin"),
        ({"at_most": 1, "distinct": "topic", "per": "author"}, "it counts values, not rows"),
    ],
)
def test_refuses_rules_that_contradict_themselves(fields, message):
    with pytest.raises(ValueError, match=message):
        msgspec.convert({"name": "r", **fields}, Rule)


def test_refuses_a_negative_weight():
    items = Candidates.of(size=[1.0, -0.5])
    with pytest.raises(RequestError, match=r"candidates.size\[1\]: must be from 0 .* rule 'r', got -0.5"):
        Constraints([Rule(name="r", weight="size", at_most=1)], items, 2)


def test_weights_add_up_without_rounding():
    """Ten tenths are one, in any order, and a window that slides leaves nothing behind."""
    items = Candidates.of(size=[0.1] * 30)
    rule = Rule(name="r", weight="size", every=10, at_most=1)
    constraints = Constraints([rule], items, 30)
    assert audit.broken(np.arange(30, dtype=np.int32), constraints.arrays).tolist() == [0]


def test_the_page_before_counts_also_where_no_candidate_is_of_the_group():
    """The last post met the floor for a window that reaches back to it."""
    items, past = Candidates.of(line=["videos"]), Candidates.of(line=["videos", "posts"])
    rule = Rule(name="r", group={"line": "posts"}, every=2, at_least=1)
    constraints = Constraints([rule], items, 1, past=past)
    assert audit.broken(np.zeros(1, np.int32), constraints.arrays).tolist() == [0]


def test_a_value_that_only_the_page_before_has_is_a_value_of_its_own():
    """Also where some value that candidates could have has no candidate any more."""
    rule = Rule(name="two differ", distinct="topic", every=2, at_least=2)
    items = Candidates.of(item_id=["a", "b", "c"], topic=["x", "y", "z"]).take([0, 2])
    past = Candidates.of(item_id=["p"], topic=["w"])
    assert Constraints([rule], items, 1, past=past).arrays.group[:, 0].tolist() == [0, 2, 3]


def test_a_page_that_adds_nothing_to_the_page_before_breaks_nothing():
    """Two authors just shown are more than one and a half, and not the fault of a page without authors."""
    items = Candidates.of(author=[None, None], kinds={"author": "key?"})
    past = Candidates.of(author=["a", "b"])
    rule = Rule(name="r", distinct="author", every=3, at_most=1.5)
    constraints = Constraints([rule], items, 2, past=past)
    assert audit.broken(np.arange(2, dtype=np.int32), constraints.arrays).tolist() == [0]
