"""Assignments and flows: equal to the integer program where rules are a network, refused or greedy where not."""

import msgspec
import numpy as np
import pytest

from slatewise import Candidates, Constrain, Policy, PolicyError, Rule, Solve
from slatewise.compose.solve import Bonus, Pair
from slatewise.core.constraints import Constraints
from slatewise.methods import flow, greedy, ilp

INSTANCES = 600
LINES = ("posts", "videos", "ads")


def drawn(rng):
    """Draw candidates, some nominated twice by lines of one kind, and rules that are a network on full pages."""
    n, slots = int(rng.integers(1, 12)), int(rng.integers(1, 7))
    line = rng.choice(LINES, n).tolist()
    item = np.arange(n)
    if rng.random() < 0.3:
        item[rng.integers(0, n)] = item[rng.integers(0, n)]
    names = {(int(one), of) for one, of in zip(item, line, strict=True)}
    if len(names) < n:
        item = np.arange(n)
    items = Candidates.of(
        item_id=item.tolist(),
        line=line,
        author=[None if rng.random() < 0.1 else f"a{one}" for one in rng.integers(0, 4, n)],
        local=rng.random(n) < 0.4,
        size=rng.choice([0.0, 0.5, 1.0], n),
        boost=rng.integers(0, 3, n).astype(float),
        utility=rng.integers(-1, 4, n).astype(float) if rng.random() < 0.5 else np.round(rng.normal(size=n), 3),
        kinds={"author": "key?"},
    )
    rules = [*pinning(rng, slots), *(counting(rng) if rng.random() < 0.7 else ())]
    bonus = (Bonus(by="boost", slots=(1, 2)),) if rng.random() < 0.3 else ()
    return Solve(method="flow", bonus=bonus).problem(items, Constraints(rules, items, slots)), rules


def pinning(rng, slots):
    """Yield rules on cells."""
    slot = int(rng.integers(1, slots + 1))
    choices = [
        Rule(name="none early", group={"line": "ads"}, first=slot, at_most=0),
        Rule(name="pinned", group={"local": True}, slots=(slot, slot), at_least=1),
        Rule(name="small", weight="size", slots=(slot, slot), at_most=0.5),
        Rule(name="large", weight="size", group={"line": "posts"}, first=1, at_least=0.5, priority=2),
        Rule(name="known", distinct="author", slots=(slot, slot), at_least=1, priority="contractual"),
        Rule(name="unknown", per="author", group={"line": "ads"}, every=1, at_most=0.5),
        Rule(name="unseen", group={"line": "videos"}, exposure=[1.0, 0.0, 1.0], at_most=0),
        Rule(name="seen", group={"local": True}, exposure="log", slots=(slot, slot), at_least=0.5),
    ]
    return (choices[place] for place in rng.choice(len(choices), int(rng.integers(0, 3)), replace=False))


def counting(rng):
    """Yield rules on counts over the whole page, nested."""
    most = float(rng.integers(2, 8)) / 2
    yield Rule(name="lines", per="line", at_most=most)
    if rng.random() < 0.5:
        yield Rule(name="local posts", group={"line": "posts", "local": True}, at_least=1, at_most=2)
    if rng.random() < 0.5:
        yield Rule(name="some", group={"line": ["videos", "ads"]}, at_least=float(rng.integers(1, 7)) / 2)


def test_is_best_wherever_it_says_so_and_says_so_wherever_rules_hold():
    solved = routed = 0
    for seed in range(INSTANCES):
        problem, rules = drawn(np.random.default_rng(seed))
        assert not [rule for rule in rules if flow.refusal(rule)]
        solution, best = flow.solve(problem), ilp.solve(problem)
        if solution.is_proven:
            assert len(solution.rows) == len(best.rows), f"instance {seed}"
            assert solution.value == pytest.approx(best.value, rel=1e-9, abs=1e-9), f"instance {seed}"
        else:
            assert solution.value <= solution.bound
        arrays = problem.constraints.arrays
        full = len(best.rows) == min(problem.slots, len(np.unique(arrays.items)))
        plain = len(np.unique(arrays.items)) == len(arrays.items)
        if full and plain and ilp._broken(problem, best.rows).sum() == 0:
            assert solution.is_proven, f"instance {seed}"
            solved += 1
            routed += any(rule.name == "lines" for rule in rules)
    assert solved > INSTANCES / 4
    assert routed > INSTANCES / 8


def test_an_item_of_two_lines_is_shown_once():
    """Both rows of `a` are worth more than any other; with a cap per line, they are of two groups, and no network."""
    items = Candidates.of(item_id=["a", "a", "b", "c"], line=["posts", "ads", "posts", "posts"], utility=[4.0, 3, 2, 1])
    solve = Solve(method="flow")
    once = solve.select(items, 2)
    assert (once.rows.tolist(), once.is_proven) == ([0, 2], True)
    caps = Constraints([Rule(name="r", per="line", at_most=1)], items, 2)
    assert flow.solve(solve.problem(items, caps)).bound == greedy.solve(solve.problem(items, caps)).bound


@pytest.mark.parametrize(
    ("why", "fields"),
    [
        ("groups overlap", [{"group": {"line": "posts"}, "at_most": 1}, {"group": {"local": True}, "at_most": 1}]),
        ("rules cannot hold", [{"group": {"line": "ads"}, "at_least": 2}]),
        ("one slot has not room for each", [{"per": "line", "slots": (2, 2), "at_least": 1}]),
        ("no policy has such a window", [{"group": {"line": "posts"}, "first": 2, "at_most": 1}]),
        ("no policy has such a weight", [{"group": {"local": True}, "weight": "size", "at_least": 2}]),
        ("no policy has such a count", [{"distinct": "line", "at_least": 2}]),
        ("the page before counts", [{"group": {"line": "ads"}, "every": 5, "at_least": 1}]),
    ],
)
def test_falls_back_on_greedy(why, fields):
    kinds = {
        "line": ["posts", "posts", "ads", "posts"],
        "local": [True, False, True, False],
        "size": [3.0, 2.0, 1.0, 0],
    }
    items = Candidates.of(kinds, utility=[3.0, 2.0, 1.0, 2.5])
    past = Candidates.of(line=["ads"], local=[False], size=[1.0])
    rules = [Rule(name=str(place), **one) for place, one in enumerate(fields)]
    problem = Solve(method="flow").problem(items, Constraints(rules, items, 3, past=past))
    solution, other = flow.solve(problem), greedy.solve(problem)
    assert solution.rows.tolist() == other.rows.tolist(), why
    assert (solution.bound, solution.least) == (other.bound, other.least)


def test_pairs_are_no_network():
    items = Candidates.of(utility=[2.0, 1.0])
    problem = Solve(method="flow", pairs=(Pair(worth=1.0),)).problem(items, Constraints((), items, 2))
    assert flow.solve(problem).bound == greedy.solve(problem).bound > flow.solve(problem).value


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"every": 2, "at_most": 1}, "windows that slide (`every`) overlap"),
        ({"distinct": "author", "at_least": 2}, "a count of distinct values (`distinct`) is no flow"),
        ({"weight": "size", "at_most": 2}, "weights (`weight`) make a flow fractional"),
        ({"exposure": "log", "at_most": 0.5}, "shares (`exposure`) make a flow fractional"),
        ({"first": 3, "at_most": 1}, "a count in a part of the page (`first`, `slots`) crosses the slots"),
        ({"slots": (2, 3), "at_least": 1}, "a count in a part of the page (`first`, `slots`) crosses the slots"),
    ],
)
def test_refuses_rules_that_are_no_network(fields, reason):
    rule = Rule(name="ads apart", **fields)
    head = {"lines": ["ads"], "columns": {"utility": "number", "author": "key", "size": "number"}}
    message = (
        f"compose.solve.method: must be able to keep rule 'ads apart', got 'flow'; {reason}; `greedy` and `ilp` can"
    )
    with pytest.raises(PolicyError) as refused:
        Policy.of(Constrain(rules=(rule,)), Solve(method="flow"), **head)
    assert str(refused.value) == message
    Policy.of(Constrain(rules=(rule,)), Solve(method="ilp"), **head)
    allowed = msgspec.structs.replace(rule, at_most=0, at_least=None)
    Policy.of(Constrain(rules=(allowed,)), Solve(method="flow"), **head)


def test_refuses_pairs():
    with pytest.raises(PolicyError, match=r"must be able to weigh `pairs`, got 'flow'; .*; `ilp` can"):
        Policy.of(Solve(method="flow", pairs=(Pair(worth=1.0),)), lines=["ads"], columns={"utility": "number"})
