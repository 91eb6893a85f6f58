"""Control loops on a replay: pages of a window see what was remembered before it, and the same as in production."""

import pytest

from slatewise import Candidates, Feed, Govern, Merge, Policy, Request, RequestError, Weight
from slatewise.blend.govern import Plan
from slatewise.evaluate.loops import Loops
from slatewise.evaluate.replay import replay

ITEMS = Candidates.of(item_id=["p", "a"], line=["posts", "ads"], score=[1.0, 1.0], value=[1.0, 0.5])
REQUESTS = [Request(candidates=ITEMS, id=f"r{number}", slots=1) for number in range(7)]
"""Without a boost, posts win by 0.5, and that is what the plan below pays for a slot."""


@pytest.fixture
def feed():
    plan = Plan(lines={"ads": 1.0}, budget=1.25)  # three slots: 1.0 is left after two, 1.5 is over
    columns = {"score": "number", "value": "number"}
    return Feed(Policy.of(Weight(), Govern(plans={"push": plan}), Merge(), lines=["posts", "ads"], columns=columns))


@pytest.mark.parametrize(("window", "boosted"), [(1, 3), (2, 4), (0, 7), (100, 7)])
@pytest.mark.parametrize("threads", [1, 3])
def test_pages_of_a_window_see_what_was_remembered_before_it(feed, window, boosted, threads):
    loops = Loops(feed, window=window)
    lines = [played.page.items[0].line for played in replay(feed, REQUESTS, threads=threads, loops=loops)]
    assert lines == ["ads"] * boosted + ["posts"] * (7 - boosted)


def test_a_replay_in_two_parts_is_one_replay(feed):
    whole = Loops(feed, window=2)
    list(replay(feed, REQUESTS[:6], loops=whole))
    first = Loops(feed, window=2)
    list(replay(feed, REQUESTS[:4], loops=first))
    second = Loops(feed, window=2, control=feed.restore(first.control.snapshot()))
    list(replay(feed, REQUESTS[4:6], loops=second))
    assert second.control == whole.control


def test_ledgers_carry_what_showing_brought(feed):
    loops = Loops(feed, window=2, outcome=lambda entry: 2.0 if entry.line == "ads" else None)
    loops.move(REQUESTS[:2])
    assert [entry.outcome for ledger in loops.ledgers for entry in ledger] == [2.0, 2.0]


def test_refuses_a_negative_window(feed):
    with pytest.raises(RequestError, match="window: must be >= 0, got -1"):
        Loops(feed, window=-1)
