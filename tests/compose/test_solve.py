"""`compose.solve`: what the stage makes of its fields; what methods promise is in `tests/methods`."""

import math

import numpy as np
import pytest

from slatewise import Candidates, Request, Rule, Solve
from slatewise.compose.solve import METHODS, Bonus, Pair
from slatewise.core.constraints import Constraints
from slatewise.testing.checks import check_selector
from slatewise.testing.instances import instance

SECOND, THIRD = 1 / math.log2(3), 1 / 2
"""Exposure of slots under the default curve."""


def solved(items, rules=(), slots=3, **fields):
    return Solve(**fields).select(items, slots, constraints=Constraints(rules, items, slots))


@pytest.mark.parametrize("method", METHODS)
def test_keeps_the_promises_of_a_selector(method):
    for seed in range(10):
        one = instance(np.random.default_rng(seed))
        check_selector(Solve(method=method), Request(candidates=one.candidates, slots=one.slots), one.constraints)


def test_value_is_utility_times_exposure():
    items = Candidates.of(utility=[3.0, 2.0, 1.0])
    assert solved(items).value == pytest.approx(3 + 2 * SECOND + THIRD)
    assert solved(items, exposure="flat").value == 6
    assert solved(items, exposure="reciprocal").value == pytest.approx(3 + 1 + 1 / 3)
    assert solved(items, exposure="halving").value == 3 + 1 + 1 / 4
    lower = solved(items, exposure=[0.5, 1.0])  # the second slot and all that follow are seen most
    assert (lower.rows[0], lower.value) == (2, pytest.approx(0.5 + 3 + 2))


def test_bonus_is_worth_something_in_its_slots_only():
    """X is worth 1 and 3 more on top: 4 + 2 * second there, against 2 + 1 * second without."""
    items = Candidates.of(item_id=["x", "y"], utility=[1.0, 2.0], lift=[3.0, 0.0])
    assert solved(items, slots=2).rows.tolist() == [1, 0]
    on_top = solved(items, slots=2, bonus=(Bonus(by="lift", slots=(1, 1)),))
    assert (on_top.rows.tolist(), on_top.value) == ([0, 1], pytest.approx(4 + 2 * SECOND))
    assert on_top.is_proven


@pytest.mark.parametrize("method", ["swap", "exact", "auto"])
def test_substitutes_stand_apart_and_complements_together(method):
    items = Candidates.of(item_id=["a", "b", "c"], topic=["t", "t", "u"], utility=[3.0, 2.9, 2.0])
    # a b c is worth 3 + 2.9 * .63 + 2 * .5 - 1; with b and c traded 3 + 2 * .63 + 2.9 * .5, which is more.
    apart = solved(items, pairs=(Pair(same="topic", worth=-1.0),), method=method)
    assert [items.item_id[row] for row in apart.rows] == ["a", "c", "b"]
    # An ad right below an article gains 2, the other way round nothing.
    items = Candidates.of(line=["ads", "articles", "articles"], utility=[3.0, 2.0, 1.0])
    below = Pair(above={"line": "articles"}, below={"line": "ads"}, worth=2.0)
    solution = solved(items, pairs=(below,), method=method)
    assert solution.rows.tolist() == [1, 0, 2]
    assert solution.value == pytest.approx(2 + 3 * SECOND + THIRD + 2)


def test_a_pair_fades_with_the_distance():
    items = Candidates.of(topic=["t", "u", "t"], utility=[3.0, 2.0, 1.0])
    for within, taken in ((1, 0.0), (2, 0.5)):
        pair = Pair(same="topic", worth=-1.0, within=within, fade="reciprocal")
        problem = Solve(pairs=(pair,)).problem(items, Constraints((), items, 3))
        worth = problem.value(np.array([0, 1, 2], np.int32))
        assert worth == pytest.approx(3 + 2 * SECOND + THIRD - taken)


def test_no_work_allowed_still_fills_the_page():
    items = Candidates.of(utility=np.linspace(1, 0, 50), author=[f"a{row % 3}" for row in range(50)])
    rules = [Rule(name="apart", per="author", every=5, at_most=1), Rule(name="one", distinct="author", at_most=1)]
    for method in METHODS:
        assert len(set(solved(items, rules, 20, method=method, deadline_ms=0).rows.tolist())) == 20, method
