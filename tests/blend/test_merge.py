"""`blend.merge`: queues merged by their heads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise import Candidates, Constrain, Feed, Layout, Merge, Policy, Request, Rule, Solve
from slatewise.core.constraints import Constraints
from slatewise.testing.checks import check_selector

LAYOUT = {"ads": Layout(first_slot=2, min_gap=2, page_cap=3), "live": Layout(page_cap=1)}


@st.composite
def queues(draw):
    """Draw candidates of four lines whose competing values need not follow their own order."""
    n = draw(st.integers(0, 25))
    values = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=n, max_size=n)
    line = draw(st.lists(st.sampled_from(["posts", "ads", "live", "shop"]), min_size=n, max_size=n))
    return Candidates.of(
        item_id=[f"i{row:02d}" for row in range(n)], line=line, score=draw(values), utility=draw(values)
    )


@given(queues(), st.integers(1, 12), st.integers(0, 5))
def test_keeps_the_promises_of_a_selector(items, slots, seed):
    check_selector(Merge(layout=LAYOUT), Request(candidates=items, slots=slots, seed=seed))


@given(queues(), st.integers(1, 12))
def test_keeps_each_lines_own_order(items, slots):
    merge = Merge(layout=LAYOUT)
    rows = merge.select(items, slots, constraints=Constraints(merge.hard_rules, items, slots)).rows
    lines = items.key("line")
    for code in range(len(lines.names)):
        mine = [row for row in rows.tolist() if lines.codes[row] == code]
        queue = sorted(
            np.flatnonzero(lines.codes == code).tolist(),
            key=lambda row: (-items.number("score")[row], items.item_id[row]),
        )
        assert mine == queue[: len(mine)]


@given(queues(), st.integers(1, 12))
def test_takes_the_best_head_that_the_layout_allows(items, slots):
    """A slow twin: slot by slot, over the heads of the lines."""
    merge = Merge(layout=LAYOUT)
    rows = merge.select(items, slots, constraints=Constraints(merge.hard_rules, items, slots)).rows.tolist()
    lines = [items.key("line").name(row) for row in range(len(items))]
    waiting = {
        line: sorted(
            (row for row in range(len(items)) if lines[row] == line),
            key=lambda row: (-items.number("score")[row], items.item_id[row]),
        )
        for line in set(lines)
    }
    placed = []
    for slot in range(1, min(slots, len(items)) + 1):
        heads = [queue[0] for queue in waiting.values() if queue]
        allowed = []
        for row in heads:
            layout = LAYOUT.get(lines[row], Layout())
            slots_of_line = [at for at, other in enumerate(placed, 1) if lines[other] == lines[row]]
            early = slot < layout.first_slot
            close = slots_of_line and slot - slots_of_line[-1] <= layout.min_gap
            full = layout.page_cap is not None and len(slots_of_line) >= layout.page_cap
            if not (early or close or full):
                allowed.append(row)
        row = rows[slot - 1]
        if allowed:
            assert items.number("utility")[row] == max(items.number("utility")[one] for one in allowed)
            assert row in allowed
        placed.append(row)
        waiting[lines[row]].remove(row)


def test_a_row_waits_for_the_whole_queue_before_it():
    """Item b is placed for the ads, where it is worth most; in the posts' queue, c still stands behind a."""
    items = Candidates.of(
        item_id=["a", "b", "c", "b"],
        line=["posts", "posts", "posts", "ads"],
        score=[3.0, 2.0, 1.0, 1.0],
        utility=[1.0, 2.0, 5.0, 9.0],
    )
    assert Merge().select(items, 3).rows.tolist() == [3, 0, 2]


@pytest.mark.parametrize(("depth", "page"), [(None, ["p", "a"]), (1, [])])
def test_passes_every_row_on_unless_told_otherwise(depth, page):
    """With only two ads to choose from, and none allowed, there is no page."""
    items = Candidates.of(item_id=["a", "b", "p"], line=["ads", "ads", "posts"], score=[3.0, 2.0, 1.0])
    top = Rule(name="no ad on top", group={"line": "ads"}, first=1, at_most=0, priority="contractual")
    policy = Policy.of(
        Merge(by="score", depth=depth), Constrain(rules=(top,)), Solve(by="score"),
        lines=["posts", "ads"], columns={"score": "number"}, slots=2,
    )  # fmt: skip
    assert Feed(policy).compose(Request(candidates=items)).item_ids == page


def test_items_go_on_with_all_their_nominations():
    items = Candidates.of(item_id=["x", "x", "y"], line=["ads", "posts", "posts"], score=[9.0, 5.0, 4.0])
    rule = Rule(name="no ads", group={"line": "ads"}, at_most=0, priority="contractual")
    policy = Policy.of(
        Merge(by="score", depth=1), Constrain(rules=(rule,)), Solve(by="score"),
        lines=["posts", "ads"], columns={"score": "number"}, slots=2,
    )  # fmt: skip
    assert Feed(policy).compose(Request(candidates=items)).item_ids == ["x", "y"]


def test_ties_favour_no_line():
    items = Candidates.of(line=["ads", "posts"], score=[1.0, 1.0], utility=[1.0, 1.0])
    firsts = [
        int(Merge().select(items, 1, request=Request(candidates=items, id=str(one))).rows[0]) for one in range(400)
    ]
    assert 140 < sum(firsts) < 260
    again = [
        int(Merge().select(items, 1, request=Request(candidates=items, id=str(one))).rows[0]) for one in range(400)
    ]
    assert firsts == again


def test_an_item_of_two_lines_is_shown_once_and_blocks_neither():
    items = Candidates.of(
        item_id=["a", "a", "b", "c"],
        line=["posts", "ads", "ads", "posts"],
        score=[3.0, 2.0, 1.0, 0.5],
        utility=[3.0, 2.0, 1.0, 0.5],
    )
    assert Merge().select(items, 4).rows.tolist() == [0, 2, 3]


def test_gaps_give_way_before_page_caps():
    items = Candidates.of(line=["ads"] * 3 + ["live"] * 3, score=[6.0, 5, 4, 3, 2, 1], utility=[6.0, 5, 4, 3, 2, 1])
    merge = Merge(layout={"ads": Layout(page_cap=1), "live": Layout(min_gap=2)})
    rows = merge.select(items, 3, constraints=Constraints(merge.hard_rules, items, 3)).rows
    assert rows.tolist() == [0, 3, 4]
