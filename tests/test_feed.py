"""The feed: a policy at work on requests."""

import json
import math
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise import (
    Calibrate,
    Candidates,
    Constrain,
    Feed,
    Fuse,
    Layout,
    Merge,
    Policy,
    Ratio,
    Request,
    RequestError,
    Rule,
    Solve,
    State,
    Weight,
)
from slatewise.core.document import Document
from slatewise.serve.wire import Wire
from slatewise.stages import STAGES
from slatewise.testing.strategies import bodies, policies

HEAD = {"lines": ["posts", "ads"], "columns": {"utility": "number", "author": "key?"}}
FULL = Policy.of(
    Fuse(terms={"click": 1.0, "share": 2.0}),
    Calibrate(lines={"ads": Ratio(factor=0.5)}),
    Weight(lines={"ads": 1.5}),
    Merge(layout={"ads": Layout(min_gap=1)}),
    Constrain(rules=(Rule(name="authors apart", per="author", every=3, at_most=1),)),
    Solve(),
    lines=["posts", "ads"],
    columns={"click": "number", "share": "number", "author": "key?"},
)


def requests(count, rows=40):
    rng = np.random.default_rng(5)
    for number in range(count):
        yield Request(
            id=f"r{number}",
            slots=10,
            candidates=Candidates.of(
                item_id=[f"i{row}" for row in range(rows)],
                line=rng.choice(["posts", "ads"], rows).tolist(),
                click=np.round(rng.random(rows), 1),
                share=np.round(rng.random(rows), 1),
                author=[f"a{one}" for one in rng.integers(0, 8, rows)],
            ),
        )


@given(policies(), bodies(), st.integers(0, 2**32))
def test_a_page_keeps_its_promises_whatever_the_policy(policy, body, seed):
    feed, wire = Feed(policy), Wire(policy)
    request = wire.convert(body).request
    page = feed.compose(request, trace=True)
    assert len(set(page.item_ids)) == len(page.items)
    contractual = [rule for rule in policy.rules if rule.priority == "contractual"]
    distinct = len(set(request.candidates.item_id))
    if not contractual:
        assert len(page.items) == min(policy.head.slots, distinct)
    assert not {one.rule for one in page.status.relaxed} & {rule.name for rule in contractual}
    order = np.random.default_rng(seed).permutation(len(request.candidates))
    shuffled = request.candidates.take(order)
    again = feed.compose(
        Request(candidates=shuffled, id=request.id, seed=request.seed, context=request.context), trace=True
    )
    assert again.encode() == page.encode()


@given(policies())
def test_a_policy_survives_every_format(policy):
    text = json.dumps(policy.document())
    for form in ("json", "yaml"):
        assert Policy.parse(Document.parse(text, form), STAGES).hash == policy.hash


def test_the_pool_is_what_the_last_stage_chooses_from():
    """What the session saw is gone, what stages wrote is there, and rows say where they stand in the request."""
    request = next(requests(1))
    first = Feed(FULL).compose(request)
    pool, rows = Feed(FULL).pool(msgspec.structs.replace(request, state=first.state))
    assert sorted(pool.item_id) == sorted({*request.candidates.item_id} - {*first.item_ids})
    assert [request.candidates.item_id[row] for row in rows] == pool.item_id
    later = Feed(FULL).compose(msgspec.structs.replace(request, state=first.state))
    worth = dict(zip(pool.item_id, pool.number("utility").tolist(), strict=True))
    assert [item.utility for item in later.items] == [worth[item.item_id] for item in later.items]


def test_same_bytes_in_any_process_and_with_any_hash_seed():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_feed as t; "
        "from hashlib import sha256; from slatewise import Feed; feed = Feed(t.FULL); "
        "print(sha256(b''.join(feed.compose(r, trace=True).encode() for r in t.requests(20))).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, os.path.dirname(__file__)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "31337")
    }
    assert len(digests) == 1


def test_threads_change_nothing():
    feed = Feed(FULL)
    one = [page.encode() for page in feed.compose_many(requests(50), threads=1)]
    assert [page.encode() for page in feed.compose_many(requests(50), threads=4)] == one


def test_leaves_its_input_alone_and_tracing_changes_no_page():
    feed, request = Feed(FULL), next(iter(requests(1)))
    before = request.candidates.number("click").tobytes(), request.candidates.key("line").codes.tobytes()
    plain, traced = feed.compose(request), feed.compose(request, trace=True)
    assert plain.trace is None
    assert traced.items == plain.items
    assert (request.candidates.number("click").tobytes(), request.candidates.key("line").codes.tobytes()) == before
    assert set(request.candidates.columns) == {"line", "click", "share", "author"}


def test_the_trace_is_what_the_stages_wrote():
    items = Candidates.of(line=["ads", "posts"], click=[0.5, 0.25], share=[0.25, 0.0], author=["x", "y"])
    page = Feed(FULL).compose(Request(candidates=items, slots=2), trace=True)
    first = page.trace.slots[0]
    assert [(step.stage, step.column, step.value) for step in first.steps] == [
        ("score.fuse", "score", 1.0 * 0.5 + 2.0 * 0.25),
        ("blend.calibrate", "value", 0.5 * 1.0),
        ("blend.weight", "weight", 1.5),
        ("blend.weight", "utility", 1.5 * 0.5),
    ]
    assert first.steps[0].terms == {"click": 0.5, "share": 0.5}
    assert first.utility == page.items[0].utility == 0.75


def test_the_trace_names_the_rule_that_held_a_row_back_and_its_cost():
    items = Candidates.of(item_id=["a", "b", "c"], line=["ads", "ads", "posts"], utility=[4.0, 3.0, 1.0])
    apart = Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1)
    head = {"lines": ["posts", "ads"], "columns": {"utility": "number"}, "slots": 3}
    page = Feed(Policy.of(Constrain(rules=(apart,)), Solve(), **head)).compose(Request(candidates=items), trace=True)
    assert page.item_ids == ["a", "c", "b"]
    top, middle, last = page.trace.slots
    assert (top.held_back, top.runner_up.item_id, top.runner_up.margin) == (None, "b", 1.0)
    assert (middle.held_back.item_id, middle.held_back.rule, middle.held_back.margin) == ("b", "ads apart", -2.0)
    assert (last.held_back, last.runner_up) == (None, None)


def test_the_trace_names_the_floor_for_whose_sake_a_row_was_held_back():
    items = Candidates.of(item_id=["a", "b", "c"], line=["posts", "posts", "ads"], utility=[4.0, 3.0, 1.0])
    floor = Rule(name="one ad", group={"line": "ads"}, at_least=1)
    head = {"lines": ["posts", "ads"], "columns": {"utility": "number"}, "slots": 2}
    page = Feed(Policy.of(Constrain(rules=(floor,)), Solve(), **head)).compose(Request(candidates=items), trace=True)
    assert page.item_ids == ["a", "c"]
    assert page.trace.slots[1].held_back.rule == "one ad"


def test_the_runner_up_is_another_item():
    items = Candidates.of(item_id=["x", "x", "y"], line=["posts", "ads", "posts"], utility=[3.0, 2.0, 1.0])
    policy = Policy.of(Solve(), lines=["posts", "ads"], columns={"utility": "number"}, slots=1)
    page = Feed(policy).compose(Request(candidates=items), trace=True)
    assert page.trace.slots[0].runner_up.item_id == "y"


def test_what_a_stage_makes_must_be_finite():
    class Broken(type(FULL.stages[0]).__mro__[1], frozen=True, kw_only=True):
        section = "score.broken"
        writes = property(lambda self: {"utility": "number"})

        def annotate(self, candidates, request):
            return {"utility": np.full(len(candidates), np.nan)}

    feed = Feed(Policy.of(Broken(), Solve(), lines=["all"], columns={}))
    with pytest.raises(RequestError, match=r"candidates.utility\[0\]: must be finite, got nan"):
        feed.compose(Request(candidates=Candidates.of(item_id=["a"])))


def test_a_row_worth_as_much_was_not_held_back():
    items = Candidates.of(item_id=["a", "b", "c"], line=["ads", "ads", "posts"], utility=[1.0, 1.0, 1.0])
    apart = Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1)
    head = {"lines": ["posts", "ads"], "columns": {"utility": "number"}, "slots": 3}
    page = Feed(Policy.of(Constrain(rules=(apart,)), Solve(), **head)).compose(Request(candidates=items), trace=True)
    assert page.item_ids == ["a", "c", "b"]
    assert [slot.held_back for slot in page.trace.slots] == [None, None, None]


def test_a_session_never_sees_an_item_twice():
    feed, request = Feed(FULL), next(iter(requests(1)))
    state, shown = None, []
    for _ in range(4):
        page = feed.compose(Request(candidates=request.candidates, slots=10, state=state))
        shown += page.item_ids
        state = State.from_token(page.state.token)
    assert len(shown) == len(set(shown)) == 40
    page = feed.compose(Request(candidates=request.candidates, slots=10, state=state))
    assert (page.status.kind, page.status.missing) == ("empty", 10)


@pytest.mark.parametrize(
    ("rules", "kind", "relaxed", "missing", "held"),
    [
        ([Rule(name="r", at_most=5)], "optimal", {}, 1, ()),
        ([Rule(name="r", group={"line": "ads"}, at_most=0)], "relaxed", {"r": 2}, 1, ()),
        ([Rule(name="r", group={"line": "ads"}, at_most=0, priority="contractual")], "optimal", {}, 3, ("r",)),
        ([Rule(name="r", at_most=0, priority="contractual")], "empty", {}, 4, ("r",)),
    ],
)
def test_statuses(rules, kind, relaxed, missing, held):
    items = Candidates.of(line=["ads", "ads", "posts"], utility=[3.0, 2.0, 1.0])
    policy = Policy.of(Constrain(rules=tuple(rules)), Solve(), lines=["ads", "posts"], columns={"utility": "number"})
    status = Feed(policy).compose(Request(candidates=items, slots=4)).status
    assert (status.kind, status.missing, status.held) == (kind, missing, held)
    assert {one.rule: one.by for one in status.relaxed} == relaxed


def test_windows_reach_across_the_end_of_a_page():
    """Ida stands in the last slot of the first page: of four slots in a row, none of the next three is hers."""
    apart = Rule(name="authors 4 apart", per="author", every=4, at_most=1)
    local = Rule(name="a local every 5", group={"local": True}, every=5, at_least=1)
    policy = Policy.of(
        Constrain(rules=(apart, local)),
        Solve(),
        lines=["posts"],
        columns={"utility": "number", "author": "key?", "local": "flag"},
        slots=4,
    )
    authors = ["omar", "lea", None, "ida", "ida", "omar", None, None, "lea"]
    items = Candidates.of(
        item_id=[f"p{row}" for row in range(len(authors))],
        author=authors,
        utility=[9.0 - row for row in range(len(authors))],
        local=[True] + [False] * 7 + [True],
    )
    feed = Feed(policy)
    first = feed.compose(Request(candidates=items))
    assert first.item_ids == ["p0", "p1", "p2", "p3"]
    # p4, the worthiest left, is Ida's: not in slots 1 to 3. The last local stood five slots before slot 2, so slot 1 or
    # slot 2 has to be local: p8, which costs least in slot 2.
    after = State.from_token(first.state.token)
    second = feed.compose(Request(candidates=items, state=after))
    assert second.item_ids == ["p5", "p8", "p6", "p4"]
    assert second.status.kind == "optimal"
    alone = feed.compose(Request(candidates=items.take(list(range(4, 9)))))
    assert alone.item_ids[0] == "p4"


def test_costs_are_what_the_page_gains_without_the_rule():
    """Ads of 10, 9 and 8, posts of 3 and 2, in three slots of exposure 1, second and third.

    With one ad at most: 10, 3, 2. Without the rule: 10, 9, 8. The cap on posts does not bind.
    """
    second, third = 1 / math.log2(3), 1 / 2
    rules = (
        Rule(name="one ad", group={"line": "ads"}, at_most=1),
        Rule(name="three posts", group={"line": "posts"}, at_most=3),
    )
    policy = Policy.of(Constrain(rules=rules), Solve(), lines=["ads", "posts"], columns={"utility": "number"}, slots=3)
    items = Candidates.of(line=["ads"] * 3 + ["posts"] * 2, utility=[10.0, 9.0, 8.0, 3.0, 2.0])
    one, posts = Feed(policy).costs(Request(candidates=items))
    assert (one.rule, one.binds, one.relaxed) == ("one ad", True, 0)
    assert one.lost == pytest.approx(6 * second + 6 * third)
    # One more ad would be the 9 instead of the 3 in slot 2, and the 3 instead of the 2 in slot 3.
    assert one.price == pytest.approx(6 * second + third, rel=0.2)
    assert (posts.binds, posts.lost, posts.price) == (False, 0, 0)
