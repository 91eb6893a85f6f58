"""Statuses: what gave way, against what, and what is proven."""

import pytest

from slatewise import Candidates, Constrain, Feed, Policy, Request, Rule, Solve


def status(rules, lines, slots=4):
    items = Candidates.of(line=lines, utility=[float(len(lines) - row) for row in range(len(lines))])
    policy = Policy.of(
        Constrain(rules=tuple(rules)), Solve(), lines=["ads", "posts", "videos"], columns={"utility": "number"}
    )
    return Feed(policy).compose(Request(candidates=items, slots=slots)).status


def floor(line, count, **fields):
    return Rule(name=f"{count} {line}", group={"line": line}, at_least=count, **fields)


LINES = ["posts"] * 4 + ["ads"] * 4 + ["videos"] * 4
IDLE = Rule(name="at most 4 videos", group={"line": "videos"}, at_most=4, priority=9)


@pytest.mark.parametrize(
    ("rules", "gave_way", "by", "against"),
    [
        # 3 + 3 > 4: the less important floor gives way by 2, and the other one is why; the idle cap has no part in it.
        ([floor("ads", 3, priority=5), floor("videos", 3, priority=2), IDLE], "3 videos", 2, {"3 ads"}),
        # 2 + 2 + 1 > 4: no two of them collide, all three do.
        (
            [floor("ads", 2, priority=3), floor("videos", 2, priority=2), floor("posts", 1), IDLE],
            "1 posts",
            1,
            {"2 ads", "2 videos"},
        ),
        # A contractual cap is as good a reason as any.
        (
            [Rule(name="no ads", group={"line": "ads"}, at_most=0, priority="contractual"), floor("ads", 1), IDLE],
            "1 ads",
            1,
            {"no ads"},
        ),
        # Five of four: nobody else is to blame.
        ([Rule(name="five videos", group={"line": "videos"}, at_least=5), IDLE], "five videos", 1, set()),
    ],
    ids=["two floors", "three floors", "contractual", "alone"],
)
def test_names_a_small_set_of_rules_that_collide(rules, gave_way, by, against):
    found = status(rules, LINES)
    assert found.kind == "relaxed"
    assert [(one.rule, one.by) for one in found.relaxed] == [(gave_way, by)]
    assert set(found.relaxed[0].against) == against
    assert found.least
    assert found.gap == 0


def test_a_page_is_optimal_only_if_that_is_proven():
    greedy = Policy.of(
        Constrain(rules=(Rule(name="one of each", per="line", at_most=1),)),
        Solve(method="greedy"),
        lines=["ads", "posts", "videos"],
        columns={"utility": "number"},
        slots=3,
    )
    items = Candidates.of(line=["ads", "ads", "posts", "videos"], utility=[4.0, 3.0, 2.0, 1.0])
    found = Feed(greedy).compose(Request(candidates=items)).status
    assert (found.kind, found.least) == ("feasible", True)
    assert found.gap > 0
    assert found.bound > 4 + 2 + 1 / 2
