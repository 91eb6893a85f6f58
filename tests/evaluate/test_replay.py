"""A tally against pages worked out by hand."""

import math

import pytest

from slatewise import Candidates, Constrain, Feed, Policy, Request, Rule, Solve
from slatewise.evaluate.replay import Tally

APART = Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1)
NO_OLD = Rule(name="nothing old", group={"old": True}, at_most=0, priority="contractual")
TWO_POSTS = Rule(name="two posts", group={"line": "posts"}, at_least=2, priority=0)
POLICY = Policy.of(
    Constrain(rules=(NO_OLD, APART, TWO_POSTS)),
    Solve(),
    lines=["posts", "ads", "videos"],
    columns={"utility": "number", "old": "flag"},
    slots=3,
)


def page(line, utility, old=None, trace=True):
    items = Candidates.of(
        item_id=[f"i{row}" for row in range(len(line))],
        line=line,
        utility=utility,
        old=old or [False] * len(line),
    )
    return Feed(POLICY).compose(Request(candidates=items), trace=trace)


def effects(tally):
    return {effect.rule: effect for effect in tally.summary().rules}


def test_lines_and_costs():
    tally = Tally(POLICY)
    # The second ad, worth 8, gives way in slot 2 to a post worth 2; the old post, worth 20, in all three.
    tally.add(page(["ads", "ads", "posts", "posts"], [9.0, 8.0, 2.0, 1.0]), 0.002)
    tally.add(page(["posts", "posts", "posts", "posts"], [20.0, 3.0, 2.0, 1.0], [True, False, False, False]), 0.004)
    summary = tally.summary()
    assert [(line.line, line.slots) for line in summary.lines] == [("posts", 5), ("ads", 1), ("videos", 0)]
    assert [line.share for line in summary.lines] == [5 / 6, 1 / 6, 0]
    second, third = 1 / math.log2(3), 1 / 2  # exposure of the slots
    assert summary.value == pytest.approx(((9 + 2 * second + 1 * third) + (3 + 2 * second + 1 * third)) / 2)
    old = effects(tally)["nothing old"]
    assert (old.slots, old.pages, old.rows) == (3, 1, 1)
    assert old.cost == (20 - 3) + (20 - 2) + (20 - 1)
    held = [slot.held_back for slot in page(["ads", "ads", "posts", "posts"], [9.0, 8.0, 2.0, 1.0]).trace.slots]
    others = [effect for name, effect in effects(tally).items() if name != "nothing old"]
    assert sum(effect.cost for effect in others) == sum(-one.margin for one in held if one)
    assert summary.times.p50 == pytest.approx(3.0)
    assert summary.times.most == pytest.approx(4.0)


def test_rules_that_give_way_and_pages_that_stay_short():
    tally = Tally(POLICY)
    tally.add(page(["ads", "ads", "posts"], [3.0, 2.0, 1.0]), 0.001)
    tally.add(page(["posts", "posts", "posts"], [3.0, 2.0, 1.0], [True, False, False]), 0.001)
    summary, effect = tally.summary(), effects(tally)
    assert summary.statuses == {"relaxed": 1, "optimal": 1}
    assert (effect["two posts"].relaxed, effect["two posts"].relaxed_by) == (1, 1.0)
    assert (summary.missing, effect["nothing old"].short) == (1, 1)


def test_without_traces_rules_stay_silent_and_without_pages_nothing_breaks():
    tally = Tally(POLICY)
    assert tally.summary().pages == 0
    assert [line.share for line in tally.summary().lines] == [0, 0, 0]
    tally.add(page(["ads", "ads", "posts"], [9.0, 8.0, 2.0], trace=False), 0.001)
    assert all(effect.slots == 0 for effect in tally.summary().rules)
    assert [effect.rule for effect in tally.summary().rules] == [rule.name for rule in POLICY.rules]
