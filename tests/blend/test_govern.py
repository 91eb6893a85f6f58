"""`blend.govern`: boosts within budgets, and alarms."""

import numpy as np
import pytest
from msgspec.structs import replace

from slatewise import Candidates, Feed, Govern, Merge, Policy, PolicyError, Request, Shade, Weight
from slatewise.blend.govern import Alarms, Governed, Plan
from slatewise.blend.weight import Experiment, Learned, WeightSegment
from slatewise.core.allowance import Allowance, allowance_of
from slatewise.core.control import Control
from slatewise.core.ledger import Entry, Head
from slatewise.methods.winrates import Learning
from slatewise.testing.checks import check_controller

ITEMS = Candidates.of(line=["ads", "posts", "live"], utility=[1.0, 1.5, 0.5])
PLANS = {
    "launch": Plan(lines={"live": 2.0, "ads": 0.5}, budget=3.0),
    "fair": Plan(lines={"ads": 0.25}, budget=1.0),
}
HEAD = {"lines": ["ads", "posts", "live"], "columns": {"score": "number", "value": "number"}}


def entry(line="ads", heads=None, **known):
    """Return an entry whose heads have the same worth and score unless told otherwise."""
    heads = {name: Head(*own) if isinstance(own, tuple) else Head(own, own, own) for name, own in (heads or {}).items()}
    heads.setdefault(line, Head(1.0, 1.0, 1.0))
    fields = {"request": "r", "time": 0.0, "slot": 1, "item_id": 1, "value": 1.0, "score": heads[line].score}
    return Entry(line=line, heads=heads, **(fields | known))


def page(line, score, worth):
    return (entry(line, {line: (worth, worth, score)}),)


def after(govern, *windows):
    memory = govern.init()
    for window in windows:
        memory = govern.advance(memory, window)
    return memory


def test_keeps_the_promises_of_a_controller():
    paid = entry("live", {"live": 3.0, "posts": 1.5}, without={"launch": "posts"}, terms={"explore.shade": 0.1})
    govern = Govern(plans=PLANS, exploration=0.1, alarms=Alarms(threshold=1.0))
    check_controller(govern, Request(candidates=ITEMS), [(paid,), (), (entry(),)])


def test_plans_add_up_and_can_be_told_apart():
    govern = Govern(plans=PLANS)
    columns = govern.annotate(ITEMS, Request(candidates=ITEMS))
    assert columns["boost"].tolist() == [0.75, 0.0, 2.0]
    assert columns["utility"].tolist() == [1.75, 1.5, 2.5]
    parts = govern.parts(ITEMS, Request(candidates=ITEMS))
    assert {name: part.tolist() for name, part in parts.items()} == {"launch": [0.5, 0, 2], "fair": [0.25, 0, 0]}


def test_a_plan_pays_for_what_it_took_until_its_budget_is_empty():
    """Without `launch` live is worth 1 and posts 1.5: it pays 0.5. With 2.75 paid before, the budget of 3 is empty."""
    took = entry("live", {"live": 3.0, "posts": 1.5}, without={"launch": "posts"})
    govern = Govern(plans=PLANS)
    memory = govern.advance(replace(govern.init(), spent={"launch": 2.0}), [(took,)])
    assert memory.spent == {"launch": 2.5, "fair": 0.0}
    assert memory.alarms == ()
    memory = govern.advance(memory, [(took,)])
    assert memory.alarms == ("budget launch",)
    request = Request(candidates=ITEMS, control=Control({"blend.govern": memory}))
    assert govern.annotate(ITEMS, request)["boost"].tolist() == [0.25, 0.0, 0.0]


def test_what_the_other_line_was_boosted_by_is_no_loss():
    """Without `launch`: live 3 - 2 = 1, ads 2 - 0.5 = 1.5."""
    took = entry("live", {"live": 3.0, "ads": 2.0}, without={"launch": "ads"})
    assert after(Govern(plans=PLANS), [(took,)]).spent["launch"] == 0.5


def test_deflation_is_told_from_values_that_fall():
    """Scores of 8 for 10 are the reference; 4 for 5 is the same, 4 for 10 is half."""
    govern = Govern(alarms=Alarms(reference=2, deflation=0.2, threshold=5.0, low=0.5))
    memory = after(govern, [page("ads", 8.0, 10.0)], [page("ads", 8.0, 10.0)], [page("ads", 4.0, 5.0)])
    assert (memory.index, memory.low, memory.alarms) == (1.0, 1.0, ("low scores",))
    memory = govern.advance(memory, [page("ads", 4.0, 10.0), page("ads", 8.0, 10.0)])
    assert memory.index == pytest.approx(0.75)
    assert memory.alarms == ("deflation",)
    assert memory.reference == (16.0, 20.0)


def test_the_top_score_is_that_of_the_first_slot_whoever_has_it():
    first = entry("posts", {"posts": 1.0, "ads": (10.0, 10.0, 8.0)})
    memory = after(Govern(alarms=Alarms(reference=1)), [(first, entry("ads", {"ads": 99.0}))])
    assert memory.reference == (8.0, 10.0)


def test_shares_that_swing_more_than_chance_raise_an_alarm():
    def window(ads):
        return [tuple(entry("ads" if slot < ads else "posts") for slot in range(20)) for _ in range(10)]

    swinging = [window(15 if number % 2 else 5) for number in range(16)]
    assert after(Govern(), *swinging[:7]).alarms == ()
    memory = after(Govern(), *swinging)
    assert memory.swing == pytest.approx(0.5)
    assert memory.noise == pytest.approx(np.sqrt(0.75 / 200))
    assert memory.alarms == ("oscillation",)
    assert after(Govern(alarms=Alarms(swing=0.0)), *swinging).alarms == ()
    slow = [window(round(10 + 5 * np.sin(number * np.pi / 8))) for number in range(16)]
    assert after(Govern(), *slow).alarms == ()
    assert len(after(Govern(alarms=Alarms(windows=8)), *swinging).shares) == 8


def test_a_window_without_pages_changes_nothing():
    memory = after(Govern(), [page("ads", 1.0, 1.0)])
    assert Govern().advance(memory, [(), ()]) is memory


def test_a_ledger_without_heads_tells_of_winners_alone():
    bare = replace(entry("live", terms={"explore.shade": 0.0}, without={"launch": "posts"}), heads={})
    memory = after(Govern(plans=PLANS, exploration=0.1), [(bare,)])
    assert (memory.reference, memory.allowance.value) == ((1.0, 1.0), 1.0)
    assert memory.spent == {"launch": 0.0, "fair": 0.0}


def test_a_share_that_was_changed_counts_from_the_next_window():
    memory = after(Govern(exploration=0.5), [(entry(),)])
    assert Govern(exploration=0.25).advance(memory, [(entry(),)]).allowance.left == 0.5


def test_pages_that_come_in_late_do_not_begin_a_day_again():
    windows = [[(entry(time=time),)] for time in (86_399.0, 86_401.0, 86_398.0, 86_402.0)]
    memory = after(Govern(exploration=0.5), *windows)
    assert (memory.day, memory.allowance.value) == (1, 3.0)


def test_finding_out_is_paid_from_one_account():
    """Served: 2 + 4. A tenth may be spent; the drawn page gave up 5 - 4 of what its best head was worth."""
    drawn = entry("ads", {"ads": 4.0, "posts": 5.0}, terms={"explore.shade": -0.5}, time=10.0)
    govern = Govern(exploration=0.1)
    memory = after(govern, [(entry("ads", {"ads": 2.0}),), (drawn,)])
    assert memory.allowance == Allowance(share=0.1, value=6.0, spent={"shade": 1.0})
    assert memory.allowance.left == 0.0
    plain = entry("ads", {"ads": 4.0, "posts": 4.5}, propensity=0.5)
    assert after(govern, [(plain,)]).allowance.spent == {"scores": 0.5}
    request = Request(candidates=ITEMS, control=Control({"blend.govern": memory}))
    assert allowance_of(request) == memory.allowance
    assert allowance_of(Request(candidates=ITEMS)) is None
    tomorrow = govern.advance(memory, [(entry("ads", {"ads": 2.0}, time=90_000.0),)])
    assert (tomorrow.day, tomorrow.allowance) == (1, Allowance(share=0.1, value=2.0))


def test_boosts_stop_in_the_feed_when_the_budget_is_empty():
    feed = Feed(Policy.of(Weight(), Govern(plans={"launch": PLANS["launch"]}), Merge(), slots=1, **HEAD))
    items = Candidates.of(line=["ads", "posts", "live"], score=[1.0, 1, 1], value=[1.0, 1.5, 0.5])
    control, shown = feed.init(), []
    for _ in range(5):
        request = Request(candidates=items, control=control)
        shown.append(feed.compose(request).items[0].line)
        control = feed.advance(control, [feed.account(request)])
    assert shown == ["live", "live", "live", "posts", "posts"]
    assert control.memories["blend.govern"].spent == {"launch": 3.0}


@pytest.mark.parametrize(
    ("stages", "why"),
    [
        (
            [Govern(plans={"x": Plan(lines={"adz": 1.0}, budget=1.0)})],
            r"plans.x.lines.adz: must be a line of the policy",
        ),
        ([Govern(anchor="post")], r"anchor: must be a line of the policy, got 'post'; did you mean 'posts'"),
        (
            [Weight(lines={"posts": 2.0}), Govern(anchor="posts")],
            r"blend.govern.anchor: must be left alone by all stages, got 'posts'; take 'posts' out of blend.weight",
        ),
        (
            [Weight(segments=(WeightSegment(when={"a": "b"}, lines={"posts": 2.0}),)), Govern(anchor="posts")],
            r"must be left alone .* take 'posts' out of blend.weight",
        ),
        (
            [Weight(), Shade(learn={"posts": Learning(step=1.0)}, accounting="displacement"), Govern(anchor="posts")],
            r"must be left alone .* take 'posts' out of blend.shade",
        ),
        ([Weight(explore=Experiment(step=0.1)), Govern(anchor="ads")], r"must be left alone .* out of blend.weight"),
        ([Weight(learned={"ads": Learned()}), Govern(anchor="ads")], r"must be left alone .* out of blend.weight"),
        ([Weight(), Shade(accounting="own"), Govern()], r"accounting: must be what winners are charged, got 'own'"),
        ([Govern(anchor="ads", plans=PLANS)], r"must be left alone .* take 'ads' out of plan 'launch'"),
        ([Govern(plans={"x": Plan(lines={}, budget=0.0)})], r"plans.x.budget: must be > 0, got 0"),
    ],
)
def test_refuses(stages, why):
    stages = [*stages, Merge()] if isinstance(stages[0], Weight) else [Weight(), *stages, Merge()]
    with pytest.raises(PolicyError, match=why):
        Policy.of(*stages, context={"a": ["b"]}, **HEAD)


def test_an_anchor_that_is_left_alone_is_fine():
    Policy.of(Weight(lines={"ads": 2.0, "posts": 1.0}), Govern(anchor="posts", plans=PLANS), Merge(), **HEAD)
    Policy.of(Weight(anchor="posts", explore=Experiment(step=0.1)), Govern(anchor="posts"), Merge(), **HEAD)


def test_what_is_remembered_starts_empty():
    assert Govern(exploration=0.25).init() == Governed(allowance=Allowance(share=0.25))
