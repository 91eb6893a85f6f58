"""The conformance check of methods finds those that do not keep their promises."""

import numpy as np
import pytest
from msgspec.structs import replace

from slatewise import Candidates, Rule, Solve
from slatewise.core.constraints import Constraints
from slatewise.methods import greedy
from slatewise.testing.checks import check_method

RULES = (
    Rule(name="never", group={"topic": "x"}, at_most=1, priority="contractual"),
    Rule(name="a y", group={"topic": "y"}, at_least=1),
)


def problem(slots=3):
    items = Candidates.of(
        item_id=["a", "a", "b", "c", "d", "e"],
        line=["p", "q", "p", "p", "p", "p"],
        topic=["x", "x", "x", "z", "z", "y"],
        utility=[6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
    )
    return Solve().problem(items, Constraints(RULES, items, slots))


def paged(*rows, **claims):
    """Return a method that always serves these rows, says truly what they are worth, and claims more."""

    def solve(problem):
        page = np.array(rows, np.int32)
        return replace(greedy.solve(problem), **{"rows": page, "value": problem.value(page), "least": False, **claims})

    return solve


def lying(**claims):
    return lambda problem: replace(greedy.solve(problem), **claims)


class Forgetful:
    """Serves another page each time."""

    def __init__(self):
        self.times = 0

    def __call__(self, problem):
        self.times += 1
        return paged(0, 3, 4)(problem) if self.times > 1 else paged(0, 4, 3)(problem)


def meddling(problem):
    problem.utility[0] += 1
    return greedy.solve(problem)


def by_number(problem):
    """Serve the first rows as they come, as far as items and contractual rules go."""
    page = []
    for row in range(len(problem.order)):
        grown = np.array([*page, row], np.int32)
        if len(set(problem.constraints.arrays.items[grown].tolist())) == len(grown) and row not in (0, 2):
            page.append(row)
    return paged(*page[: problem.slots])(problem)


@pytest.mark.parametrize(
    ("method", "promise"),
    [
        (paged(0, 3, 3), "no row stands twice"),
        (paged(0, 1, 3), "no item stands twice"),
        (paged(0, 2, 3), "contractual rules hold"),
        (lying(value=99.0), "its value is"),
        (lying(bound=1.0), "its bound 1.0 is no less"),
        (paged(3, 4, 5, least=True, bound=5.0), "is no bound"),
        (paged(0, 3, 4, least=True), "no page breaks the rules less"),
        (paged(0, 5, least=True, bound=9.0), "no page is longer"),
        (lying(least=False), "the method says so"),
        (lying(prices=np.zeros(1)), "one price per rule"),
        (lying(prices=np.array([0.0, -1.0])), "not negative"),
        (Forgetful(), "the same solution"),
        (by_number, "does not depend on the order"),
        (meddling, "leaves its problem alone"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_method_that_breaks_a_promise_is_found(method, promise):
    one = problem()
    one.utility.flags.writeable = True
    with pytest.raises(AssertionError, match=promise):
        check_method(method, one)


def test_greedy_keeps_them():
    check_method(greedy.solve, problem())
