"""What may stand next: rows with which the page can still break as little as with any other."""

import numpy as np
import pytest

from slatewise import Candidates, Rule
from slatewise.core.constraints import Constraints
from slatewise.core.problem import PageProblem
from slatewise.kernels import windows
from slatewise.kernels.choices import broken, choices
from slatewise.testing.instances import instance


def asked(items, rules, slots, pages, after=None):
    arrays = Constraints(rules, items, slots).arrays
    order = np.arange(len(items), dtype=np.int32)
    before = np.full(len(items), -1, np.int32) if after is None else np.array(after, np.int32)
    return choices(order, arrays, before, slots, np.array(pages, np.int32)).tolist()


def test_without_rules_all_but_those_that_stand_there():
    items = Candidates.of(item_id=["a", "b", "a"], line=["x", "x", "y"])
    assert asked(items, [], 2, [[0], [1]]) == [[False, True, False], [True, False, True]]
    assert asked(items, [], 2, [[0, 1]]) == [[False] * 3], "a whole page has no next slot"


def test_a_rule_keeps_neighbours_apart_and_pages_do_not_mix():
    items = Candidates.of(item_id=list("abcd"), author=["p", "p", "q", "q"])
    apart = Rule(name="apart", per="author", every=2, at_most=1)
    assert asked(items, [apart], 3, [[0], [2], [1]]) == [
        [False, False, True, True],
        [True, True, False, False],
        [False, False, True, True],
    ]


def test_a_floor_that_is_due_takes_the_slot():
    items = Candidates.of(item_id=list("abc"), line=["posts", "posts", "ads"])
    due = Rule(name="an ad", group={"line": "ads"}, slots=(1, 2), at_least=1)
    assert asked(items, [due], 3, [[0]]) == [[False, False, True]]


def test_a_row_waits_for_the_one_before_it():
    items = Candidates.of(item_id=list("abc"))
    assert asked(items, [], 3, np.empty((1, 0)), after=[-1, 0, -1]) == [[True, False, True]]
    assert asked(items, [], 3, [[0]], after=[-1, 0, -1]) == [[False, True, True]]


@pytest.mark.parametrize("seed", range(60))
def test_what_pages_break_is_what_windows_count(seed):
    one = instance(np.random.default_rng(seed))
    problem: PageProblem = one.problem()
    length = min(one.slots, len(set(one.candidates.item_id)))
    rng, pages = np.random.default_rng(seed), []
    for _ in range(5):
        items, page = set(), []
        for row in rng.permutation(len(one.candidates)):
            if one.candidates.item_id[row] not in items and len(page) < length:
                items.add(one.candidates.item_id[row])
                page.append(row)
        pages.append(page)
    order, arrays = problem.order, problem.constraints.arrays
    found = broken(order, arrays, length, np.array(pages, np.int32).reshape(5, length))
    place = np.argsort(order)
    for page, cost in zip(pages, found, strict=True):
        counted, _ = windows.counted(order, arrays, length)
        windows.show(counted, place[page].astype(np.int32))
        assert cost.tolist() == counted.cost.tolist()
