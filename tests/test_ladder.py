"""The ladder: hard rules on every rung, never more than was granted, and pages that can be made again."""

from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise import Candidates, Constrain, Fuse, Merge, Policy, PolicyError, Request, Rule, Solve, Spread
from slatewise.compose.terms import Similar, Term
from slatewise.core.document import Document
from slatewise.core.narrow import Ceiling, allowed, fewer
from slatewise.core.serving import Cap, Rung, Serving
from slatewise.core.state import State
from slatewise.ladder import Conditions, Ladder
from slatewise.stages import STAGES
from slatewise.testing.instances import KINDS, columns
from slatewise.testing.strategies import policies

RUNGS = (
    Rung(name="narrow", candidates=3, keep="seen"),
    Rung(name="narrow and greedy", candidates=1, keep="size", page="greedy"),
    Rung(name="greedy", page="greedy"),
)
CAPS = (
    Cap(name="all", at_most=9),
    Cap(name="authors", per="author", at_most=9),
    Cap(name="ads by topic", group={"line": "ads"}, per="topic", at_most=9),
    Cap(name="items", per="item_id", at_most=9),
)


def laddered(policy, rungs=RUNGS, caps=CAPS):
    """Return the ladder of a policy with these rungs."""
    return Ladder(Policy(msgspec.structs.replace(policy.head, serve=Serving(rungs=rungs, caps=caps)), policy.stages))


@st.composite
def requests(draw):
    """Draw a request that fits any of `policies`, with more candidates than its page has slots."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    items = Candidates.of(columns(rng, draw(st.integers(1, 30))), kinds=KINDS)
    return Request(candidates=items, slots=draw(st.integers(1, 5)), id=draw(st.text(max_size=3)))


def permuted(request, seed):
    """Return the request with its candidates in another order, and which row each is."""
    order = np.random.default_rng(seed).permutation(len(request.candidates))
    return msgspec.structs.replace(request, candidates=request.candidates.take(order)), order


@given(st.data())
def test_every_rung_keeps_every_rule_that_the_full_page_keeps(data):
    ladder = laddered(data.draw(policies()))
    request = data.draw(requests())
    full = ladder.compose(request)
    for rung in range(1, len(ladder.names)):
        page = ladder.compose(request, Conditions(rung=rung, quality=data.draw(st.sampled_from([0.125, 0.5, 1.0]))))
        assert page.status.missing <= full.status.missing, ladder.names[rung]
        if full.status.kind in ("optimal", "feasible"):
            assert not page.status.relaxed, ladder.names[rung]
        assert page.policy == ladder.policy.hash


@given(st.data())
def test_no_page_shows_more_than_was_granted(data):
    ladder = laddered(data.draw(policies()))
    request = data.draw(requests())
    columns = {cap.name: None if cap.per is None else request.candidates.key(cap.per) for cap in CAPS}
    granted = {
        name: {str(one): data.draw(st.integers(0, 3)) for one in ([""] if keys is None else keys.names)}
        for name, keys in columns.items()
        if data.draw(st.booleans())
    }
    for rung in range(len(ladder.names)):
        rows = ladder.compose(request, Conditions(rung=rung, granted=granted)).slate.rows.tolist()
        ads = [row for row in rows if request.candidates.key("line").name(row) == "ads"]
        for name, most in granted.items():
            keys = columns[name]
            counted = [("" if keys is None else keys.name(row)) for row in (ads if name.startswith("ads") else rows)]
            shown = Counter(str(one) for one in counted if one is not None)
            assert all(count <= most[one] for one, count in shown.items()), (ladder.names[rung], name)


@given(st.data())
def test_the_same_conditions_give_the_same_bytes_for_candidates_in_any_order(data):
    policy = data.draw(policies())
    ladder, again = laddered(policy), laddered(policy)
    request = data.draw(requests())
    other, order = permuted(request, data.draw(st.integers(0, 99)))
    granted = {"authors": {"a0": 1, "a1": 2}} if data.draw(st.booleans()) else {}
    for rung in range(len(ladder.names)):
        under = Conditions(rung=rung, quality=0.5, granted=granted, time=7.0)
        page = ladder.compose(request, under, trace=True)
        assert again.compose(request, under, trace=True).encode() == page.encode()
        shuffled = again.compose(other, under, trace=True)
        assert shuffled.encode() == page.encode()
        assert order[shuffled.slate.rows].tolist() == page.slate.rows.tolist()
        assert [request.candidates.item_id[row] for row in page.slate.rows.tolist()] == page.item_ids
        assert [entry.item_id for entry in ladder.account(request, under)] == page.item_ids


@given(st.data())
@settings(max_examples=40)
def test_a_session_goes_on_from_a_page_of_any_rung_without_repeats_and_with_its_windows(data):
    apart = Rule(name="apart", per="line", every=3, at_most=1, priority="contractual")
    policy = Policy.of(
        Constrain(rules=(apart,)),
        Spread(terms=(Term(name="topics", variant="mmr", similar=(Similar(same="topic"),), window=2),)),
        lines=["a", "b", "c"],
        columns={"utility": "number", "topic": "key"},
        slots=3,
    )
    rung = Rung(name="few", page="greedy", candidates=1, keep="utility")
    ladder = Ladder(Policy(msgspec.structs.replace(policy.head, serve=Serving(rungs=(rung,))), policy.stages))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    request = Request(
        candidates=Candidates.of(
            item_id=[f"i{row}" for row in range(18)],
            line=["a", "b", "c"] * 6,
            utility=rng.normal(size=18),
            topic=[f"t{one}" for one in rng.integers(0, 3, 18)],
        )
    )
    state, shown = State(), []
    for place in data.draw(st.lists(st.integers(0, 1), min_size=4, max_size=4)):
        page = ladder.compose(msgspec.structs.replace(request, state=state), Conditions(rung=place))
        shown += [(item.item_id, item.line) for item in page.items]
        state = State.from_token(page.state.token)
        assert set(state.last[0]) == {"item_id", "line", "topic"}
    assert len({item for item, _ in shown}) == len(shown) == 12
    assert all(len({line for _, line in shown[at : at + 3]}) == 3 for at in range(10))


def test_no_rungs_are_one_greedy_rung_unless_the_policy_is_greedy():
    columns = {"utility": "number", "score": "number"}

    def names(*stages):
        return Ladder(Policy.of(*stages, lines=["a"], columns=columns)).names

    assert names(Solve()) == names(Spread()) == names(Merge(beam=4)) == ("full", "greedy")
    assert names(Solve(method="greedy")) == names(Merge()) == ("full",)


def test_a_rung_differs_in_what_it_says_and_in_nothing_else():
    rung = (
        "{name: light, settings: {compose.solve: {exposure: flat}, score.fuse: {terms: {x: 2}}}, page: greedy, by: x}"
    )
    full, light = (feed.policy for feed in Ladder(parsed(f"rungs: [{rung}]")).feeds)
    assert light.head == full.head
    assert light.rules == full.rules
    changed = [(one, other) for one, other in zip(full.stages, light.stages, strict=True) if one is not other]
    assert changed == [
        (Fuse(terms={"x": 1}), Fuse(terms={"x": 2})),
        (Solve(by="score"), Solve(method="greedy", by="x", exposure="flat")),
    ]


def parsed(serve):
    """Return a policy with stages of all kinds."""
    text = f"""
version: 1
lines: [posts, ads]
columns: {{x: number, maybe: "number?", author: "key?"}}
serve: {{{serve}}}
score: {{fuse: {{terms: {{x: 1}}}}}}
blend: {{merge: {{by: score, layout: {{ads: {{min_gap: 1}}}}}}}}
compose:
  constrain:
    rules:
      - {{name: authors, per: author, at_most: 1}}
      - {{name: good, group: {{score: {{at_least: 1}}}}, at_least: 1}}
  solve: {{by: score}}
"""
    return Policy.parse(Document.parse(text, "yaml", "feed.yaml"), STAGES)


@pytest.mark.parametrize(
    ("rung", "message"),
    [
        ("without: [score.fus]", "without[0]: is no stage of the policy, got 'score.fus'; did you mean 'score.fuse'?"),
        ("without: [score.fuse]", ": must be a policy (blend.merge: reads `score`, which neither"),
        ("without: [blend.merge]", "without: must not leave out a stage with hard rules, got 'blend.merge'; its rules"),
        (
            "without: [compose.constrain]",
            "without: must not leave out a stage with hard rules, got 'compose.constrain'",
        ),
        ("settings: {compose.spread: {}}", "settings.compose.spread: is no stage of this rung; did you mean 'comp"),
        ("settings: {compose.solve: {deadline_ms: -1}}", "settings.compose.solve.deadline_ms: must be >= 0, got -1"),
        ("settings: {compose.solve: {dedline_ms: 1}}", "settings.compose.solve.dedline_ms: is not known here; did you"),
        ("settings: {blend.merge: {layout: {ads: {min_gap: 2}}}}", "settings: must not change a hard rule, got 'ads"),
        ("settings: {blend.merge: {layout: {}}}", "without: must not leave out a stage with hard rules"),
        ("by: x", "by: is for `page: greedy`, got 'x'"),
        ("page: greedy, by: maybe", ": must be a policy (compose.solve: reads `maybe`, which may be missing"),
        ("candidates: 5", "keep: must be a number column that candidates bring, got 'nothing'; valid names: 'x'"),
        ("candidates: 5, keep: maybe", "keep: must be a number column that candidates bring, got 'maybe'"),
        ("keep: x", "keep: is for a rung with `candidates`, got 'x'"),
        ("candidates: 5, keep: x", "candidates: must be all where a floor, here rule 'good', looks at `score`"),
        ("candidates: 0, keep: x", "candidates: must be >= 1, got 0"),
    ],
)
def test_a_rung_that_is_no_policy_is_refused_by_field_and_line(rung, message):
    with pytest.raises(PolicyError) as refused:
        Ladder(parsed(f"rungs: [{{name: light, {rung}}}]"))
    assert refused.value.message.startswith("feed.yaml:5: serve.rungs[0]")
    assert message in refused.value.message.replace("serve.rungs[0].", "").replace("serve.rungs[0]:", ":")


def test_two_rungs_must_have_two_names():
    for names in ("full", "light}, {name: light"):
        with pytest.raises(PolicyError, match=r"serve.rungs\[\d\].name: must be a name that no rung above has"):
            Ladder(parsed(f"rungs: [{{name: {names}}}]"))


def request_of(slots=2, **columns):
    return Request(candidates=Candidates.of(columns), slots=slots)


def test_the_best_of_each_line_are_kept_but_for_those_that_no_page_may_show():
    lines = ["a"] * 4 + ["b"] * 4
    request = request_of(line=lines, score=[9.0, 8, 7, 6, 1, 2, 3, 4], opened=[True] + [False] * 7)
    never = Rule(name="never", group={"opened": True}, at_most=0, priority="contractual")
    assert fewer(request, [], keep="score", most=1).tolist() == [0, 1, 6, 7]  # never fewer than slots
    assert fewer(request, [never], keep="score", most=3).tolist() == [1, 2, 3, 5, 6, 7]
    softly = msgspec.structs.replace(never, priority=1)
    assert fewer(request, [softly], keep="score", most=3).tolist() == [0, 1, 2, 5, 6, 7]
    assert fewer(request, [], keep="score", most=8) is None


def test_what_floors_need_is_kept_too():
    score = [float(9 - row) for row in range(9)]
    request = request_of(
        line=["a"] * 9, score=score, of=["x"] * 5 + ["y", "y", "y", "z"], new=[row > 6 for row in range(9)]
    )

    def kept(**rule):
        return fewer(request, [Rule(name="floor", **rule)], keep="score", most=2).tolist()

    assert kept(group={"new": True}, at_least=1) == [0, 1, 7, 8]
    assert kept(distinct="of", at_least=2) == [0, 1, 5]
    assert kept(per="of", at_least=1) == [0, 1, 5, 8]
    assert kept(per="of", every=1, at_least=1) == [0, 1, 5, 6, 8]


def test_rows_that_were_shown_before_take_nobodys_place():
    request = request_of(slots=1, item_id=["p", "q", "r", "s"], line=["a"] * 4, score=[4.0, 3, 2, 1])
    request = msgspec.structs.replace(request, state=State(shown=("p", "q")))
    assert fewer(request, [], keep="score", most=1).tolist() == [2]


def test_a_rule_that_narrowing_would_cost_is_kept_by_the_last_rung():
    policy = Policy.of(
        Constrain(rules=(Rule(name="authors", per="author", at_most=1),)),
        Solve(),
        lines=["a"],
        columns={"utility": "number", "author": "key"},
        slots=2,
        serve={"rungs": [{"name": "few", "candidates": 1, "keep": "utility"}]},
    )
    items = Candidates.of(utility=[4.0, 3, 2, 1], author=["x", "x", "x", "y"])
    page = Ladder(policy).compose(Request(candidates=items), Conditions(rung=1))
    assert (page.item_ids, page.status.relaxed) == ([0, 3], ())


def test_of_what_is_capped_the_best_items_stay_and_a_second_nomination_counts_once():
    cap = Cap(name="by author", per="author", at_most=9)
    items = Candidates.of(
        item_id=["i", "j", "k", "i", "l"],
        line=["a", "a", "a", "b", "a"],
        author=["x", "x", "x", "x", None],
        utility=[1.0, 3, 2, 4, 0],
    )

    def left(granted):
        rows = allowed(items, [Ceiling(cap, granted)], "utility")
        return None if rows is None else rows.tolist()

    assert [left({"x": most}) for most in range(4)] == [[4], [0, 3, 4], [0, 1, 3, 4], None]
    assert left({"y": 9}) == [4]


def test_a_number_and_its_text_are_one_value_of_a_cap():
    items = Candidates.of(author=[1, "1"], utility=[1.0, 2.0])
    rows = allowed(items, [Ceiling(Cap(name="by author", per="author", at_most=9), {"1": 1})], "utility")
    assert rows.tolist() == [1]


def test_caps_that_the_policy_does_not_have_bind_nothing_and_below_the_last_rung_is_the_last():
    ladder = Ladder(Policy.of(Solve(), lines=["a"], columns={"utility": "number"}, slots=1))
    request = Request(candidates=Candidates.of(utility=[1.0, 2.0]))
    assert ladder.compose(request, Conditions(rung=7, granted={"gone": {"": 0}})).item_ids == [1]


def test_a_request_without_a_time_has_that_of_the_service():
    ladder = Ladder(
        Policy.of(
            Spread(fresh=({"by": "made", "weight": 1, "half_life_s": 1},)),
            lines=["a"],
            columns={"utility": "number", "made": "number"},
            slots=1,
        )
    )
    request = Request(candidates=Candidates.of(utility=[0.0, 0.1], made=[100.0, 0.0]))
    assert ladder.compose(request, Conditions(time=100.0)).item_ids == [0]
    assert ladder.compose(msgspec.structs.replace(request, time=1.0), Conditions(time=100.0)).item_ids != []


def test_caps_bind_in_the_order_of_the_policy_however_a_log_has_them():
    caps = [{"name": "b", "group": {"line": "ads"}, "at_most": 9}, {"name": "a", "per": "author", "at_most": 9}]
    columns = {"utility": "number", "author": "key"}
    ladder = Ladder(Policy.of(Solve(), lines=["ads", "posts"], columns=columns, serve={"caps": caps}))
    items = Candidates.of(
        item_id=[1, 2, 3], line=["ads", "ads", "posts"], author=["x", "y", "x"], utility=[2.0, 1.0, 3.0]
    )
    request = Request(candidates=items, slots=3)
    granted = {"b": {"": 1}, "a": {"x": 1, "y": 1}}
    pages = [
        ladder.compose(request, Conditions(granted=dict(order))) for order in (granted.items(), sorted(granted.items()))
    ]
    assert pages[0].encode() == pages[1].encode()
