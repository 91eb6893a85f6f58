"""`compose.spread`: what a page that is spread promises, and that it is the page of the twin.

What a promise is tested on is in `instances_spread`; pages are made through a feed, from policies as files have them.
"""

import hashlib
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances_spread import (
    CLIPPED,
    COSINE,
    EVERYTHING,
    KINDS,
    SUMS,
    TERMS,
    exact,
    only,
    rough,
    taken,
    unseen,
    without,
)
from oracles_spread import Twin, shortfalls, spread
from slatewise import Candidates, Feed, Policy, PolicyError, Request, RequestError, Rule, Spread, State
from slatewise.core.columns import Embedding, EmbeddingTable
from slatewise.core.constraints import Constraints
from slatewise.core.document import Document
from slatewise.stages import STAGES
from slatewise.testing.checks import check_selector

POLICIES = {**{name: only(name) for name in TERMS}, "everything": EVERYTHING, "nothing": {}}
LIKED = {"tags": {"t0": 3, "t2": 1}}
APART = {"name": "authors apart", "per": "author", "every": 3, "at_most": 1}
FEW = {"name": "few ads", "group": {"line": "ads"}, "at_most": 3}


def policy_of(section, *, slots=8, rules=(), kinds=KINDS, context=None):
    data = {"version": 1, "lines": ["ads", "posts", "all"], "columns": kinds, "slots": slots, "context": context or {}}
    constrain = {"constrain": {"rules": [*rules]}} if rules else {}
    return Policy.parse(Document({**data, "compose": {**constrain, "spread": section}}, "", {}), STAGES)


def feed_of(section, **how):
    return Feed(policy_of(section, **how))


def items_of(columns):
    return Candidates.of(columns, kinds={name: kind for name, kind in KINDS.items() if name in columns})


def composed(section, columns, *, slots=8, rules=(), kinds=KINDS, context=None, trace=False, **request):
    """Return the page of a policy's section for candidates."""
    feed = feed_of(section, slots=slots, rules=rules, kinds=kinds, context=dict.fromkeys(context or {}, "any"))
    request = Request(candidates=items_of(columns), context=context or {}, **request)
    return feed.compose(request, trace=trace)


def rows_of(page):
    return page.slate.rows.tolist()


def plain(utility, vectors=None, **columns):
    """Return columns of items a, b, c, ... and the kinds that they have."""
    columns = {"utility": utility, **({} if vectors is None else {"vector": vectors}), **columns}
    columns = {"item_id": [chr(ord("a") + row) for row in range(len(utility))], **columns}
    return columns, {name: KINDS[name] for name in columns if name in KINDS}


def ids(section, columns, kinds, **how):
    return composed(section, columns, kinds=kinds, **how).item_ids


# What the stage promises as a selector


@pytest.mark.parametrize("name", POLICIES)
def test_keeps_the_promises_of_a_selector(name):
    stage = msgspec.convert(POLICIES[name], Spread)
    for seed in range(3):
        items = items_of(exact(seed) if seed % 2 else rough(seed))
        check_selector(stage, Request(candidates=items, slots=6, history=LIKED, time=1000.0))
        rules = [msgspec.convert(rule, Rule) for rule in (APART, FEW)]
        check_selector(
            stage, Request(candidates=items, slots=6, history=LIKED, time=1000.0), Constraints(rules, items, 6)
        )


# The twin


@pytest.mark.parametrize("name", [*SUMS, "nothing"])
def test_is_the_page_of_the_twin_where_nothing_rounds_and_ties_abound(name):
    for seed in range(12):
        columns = exact(seed, 24)
        expected, _ = spread(POLICIES[name], columns, 12)
        assert rows_of(composed(POLICIES[name], columns, slots=12)) == expected, seed


@pytest.mark.parametrize("make", [exact, rough])
@pytest.mark.parametrize("name", POLICIES)
def test_no_slot_could_have_had_a_better_row_by_the_twin(name, make):
    for seed in range(4):
        columns = make(seed, 24)
        page = composed(POLICIES[name], columns, slots=12, history=LIKED, time=1000.0)
        short = shortfalls(POLICIES[name], columns, rows_of(page), history=LIKED, time=1000.0)
        assert len(short) == 12
        assert max(short) <= 1e-9, (seed, short)


@pytest.mark.parametrize("strength", [0.0, 1e-6, 0.05, 0.9, 1.0])
@pytest.mark.parametrize("name", ["mmr", "gap, 4", "msd_sum", "projection", "ssd_volume, 3", "dpp", "spectrum, 4"])
def test_is_the_page_of_the_twin_at_any_strength(name, strength):
    for seed in range(3):
        columns = rough(seed, 24)
        section = only(name, strength=strength)
        short = shortfalls(section, columns, rows_of(composed(section, columns)))
        assert max(short) <= 1e-9, (seed, short)


def keeps(columns):
    """Return the mask of the two rules."""

    def allowed(row, page, past):
        last = [*(thing["author"] for thing in past), *(columns["author"][one] for one in page)][-2:]
        ads = sum(columns["line"][one] == "ads" for one in page)
        return columns["author"][row] not in last and (columns["line"][row] != "ads" or ads < 3)

    return allowed


@pytest.mark.parametrize("name", POLICIES)
def test_under_rules_is_the_page_of_the_twin_that_minds_them(name):
    compared = 0
    for seed in range(4):
        columns = rough(seed, 30)
        mask, history = keeps(columns), {"history": LIKED, "time": 1000.0}
        expected, memory = spread(POLICIES[name], columns, 8, mask=mask, **history)
        if len(expected) < 8:
            continue
        page = composed(POLICIES[name], columns, rules=[APART, FEW], **history)
        assert page.status.relaxed == ()
        assert max(shortfalls(POLICIES[name], columns, rows_of(page), mask=mask, **history)) <= 1e-9, seed
        rest = unseen(columns, page.item_ids)
        mask = keeps(rest)
        if (
            rows_of(page) != expected
            or len(spread(POLICIES[name], rest, 6, mask=mask, memory=memory, **history)[0]) < 6
        ):
            continue
        compared += 1
        second = composed(POLICIES[name], rest, slots=6, rules=[APART, FEW], state=page.state, **history)
        short = shortfalls(POLICIES[name], rest, rows_of(second), mask=mask, memory=memory, **history)
        assert max(short) <= 1e-9, seed
    assert compared


@settings(max_examples=60)
@given(st.data())
def test_any_policy_is_that_of_the_twin(data):
    names = data.draw(st.lists(st.sampled_from(sorted(TERMS)), max_size=3, unique=True))
    weights = [data.draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])) for _ in names]
    terms = [{"name": name, **TERMS[name], "weight": by} for name, by in zip(names, weights, strict=True)]
    section = {
        "strength": data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
        "scale": data.draw(st.sampled_from(["none", "zscore", "minmax", "rank"])),
        "terms": terms,
        **{name: EVERYTHING[name] for name in ("spacing", "balance", "fresh", "novel") if data.draw(st.booleans())},
    }
    make, seed = data.draw(st.sampled_from([exact, rough])), data.draw(st.integers(0, 10_000))
    columns = make(seed, data.draw(st.integers(1, 16)))
    session, shown = {"time": 990.0}, []
    memory = state = None
    for slots in data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)):
        rest = unseen(columns, shown)
        page = composed(section, columns, slots=slots, state=state, **session)
        rows = [rest["item_id"].index(item) for item in page.item_ids]
        assert len(rows) == min(slots, len(rest["item_id"]))
        assert max(shortfalls(section, rest, rows, memory=memory, **session), default=0.0) <= 1e-9
        twin = Twin(section, rest, memory=memory, **session)
        for row in rows:
            twin.place(row)
        memory, state = twin.remembered(), page.state
        shown += page.item_ids


# Distinct rows, length


@pytest.mark.parametrize("name", POLICIES)
def test_no_item_twice_on_a_page_nor_in_a_session(name):
    """Items that both lines nominate, with different utilities."""
    columns = rough(1, 12)
    both = {key: [*values, *values] for key, values in columns.items()}
    both["line"] = ["ads"] * 12 + ["posts"] * 12
    both["utility"] = [*columns["utility"], *(0.9 * value for value in columns["utility"])]
    state, seen = None, []
    for _ in range(4):
        page = composed(POLICIES[name], both, slots=4, state=state, time=1000.0)
        state = page.state
        seen += page.item_ids
    assert len(seen) == len(set(seen)) == 12
    assert (len(page.items), page.status.missing) == (0, 4)


@pytest.mark.parametrize("name", POLICIES)
def test_a_page_is_as_long_as_rows_and_rules_allow_and_a_short_one_names_the_rule(name):
    columns = rough(2, 10)
    assert len(composed(POLICIES[name], columns, slots=30).items) == 10
    hard = {**FEW, "group": {}, "name": "three at most", "priority": "contractual"}
    page = composed(POLICIES[name], columns, slots=6, rules=[hard])
    assert (len(page.items), page.status.missing, page.status.held) == (3, 3, ("three at most",))
    soft = composed(POLICIES[name], columns, slots=6, rules=[{**hard, "priority": 1}])
    assert (len(soft.items), soft.status.kind) == (6, "relaxed")
    assert [(one.rule, one.by) for one in soft.status.relaxed] == [("three at most", 3.0)]


@pytest.mark.parametrize("name", POLICIES)
def test_no_candidates_and_one(name):
    columns = rough(3, 1)
    assert composed(POLICIES[name], taken(columns, [])).status.kind == "empty"
    assert composed(POLICIES[name], columns, slots=5).item_ids == columns["item_id"]


def test_a_negative_page_size_is_refused():
    with pytest.raises((RequestError, ValueError)):
        feed_of({}, kinds={"utility": "number"}).compose(Request(candidates=items_of(plain([1.0])[0]), slots=-1))


# Rank


@pytest.mark.parametrize("given_", ["bases", "items"])
@pytest.mark.parametrize("variant", ["projection", "ssd_star", "dpp"])
def test_a_page_longer_than_the_rank_is_filled_by_relevance(variant, given_):
    """Vectors of two dimensions: after two slots nothing new is left, and utility alone decides."""
    rng = np.random.default_rng(5)
    angles = rng.random(20) * math.pi
    columns, kinds = plain((rng.permutation(20) / 20.0).tolist(), [(math.cos(a), math.sin(a)) for a in angles])
    section = {"strength": 0.5, "terms": [{"name": "one", "variant": variant, "similar": COSINE, "given": given_}]}
    page = composed(section, columns, slots=20, kinds=kinds)
    worth = [item.utility for item in page.items][2:]
    assert worth == sorted(worth, reverse=True)
    assert len(set(page.item_ids)) == 20


# Missing, infinite and other odd values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_utilities_that_are_no_numbers_are_refused_with_their_row(value):
    columns, kinds = plain([1.0, value, 2.0])
    with pytest.raises(RequestError, match=r"candidates.utility\[1\]"):
        composed({}, columns, kinds=kinds)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_vectors_that_are_no_numbers_are_refused_with_their_row(value):
    columns, kinds = plain([1.0, 2.0], [(1.0, 0.0), (value, 0.0)])
    with pytest.raises(RequestError, match="1"):
        composed(only("mmr"), columns, kinds=kinds)


def test_lengths_of_vectors_do_not_matter_even_if_their_squares_overflow():
    vectors = [(1.0, 0.0), (0.6, 0.8), (0.0, 1.0)]
    columns, kinds = plain([3.0, 2.9, 2.8], vectors)
    long, _ = plain(
        [3.0, 2.9, 2.8], [tuple(by * x for x in one) for by, one in zip([1e20, 1e-20, 3e38], vectors, strict=True)]
    )
    assert ids(only("mmr"), long, kinds) == ids(only("mmr"), columns, kinds) == ["a", "c", "b"]


@pytest.mark.parametrize("vector", [None, (0.0, 0.0)])
@pytest.mark.parametrize("variant", ["mmr", "projection", "ssd_star", "dpp"])
def test_an_item_without_a_vector_is_no_novelty_but_charged_as_declared(variant, vector):
    """It is 1 worse in utility, and like nothing: only the charge keeps it behind a half-alike one."""
    columns, kinds = plain([4.0, 3.0, 2.75], [(1, 0), (0.6, 0.8), vector])
    kinds = {**kinds, "vector": "embedding?"}
    for missing, expected in {0.0: "acb", 2.0: "abc"}.items():
        similar = [{"cosine": "vector", "missing": missing}]
        section = {"strength": 0.5, "terms": [{"name": "one", "variant": variant, "similar": similar, "weight": 4.0}]}
        if variant == "mmr" or missing:
            assert "".join(ids(section, columns, kinds)) == expected
        short = shortfalls(section, columns, rows_of(composed(section, columns, kinds=kinds)))
        assert max(short) <= 1e-9


@pytest.mark.parametrize("variant", ["mmr", "gap", "msd_sum", "msd_mean", "projection", "ssd_star", "dpp", "spectrum"])
@pytest.mark.parametrize("given", ["items", None])
def test_missing_values_are_the_twins(variant, given):
    similar = [
        {"cosine": "vector", "missing": 0.5},
        {"same": "author", "missing": 0.25},
        {"overlap": "tags", "missing": 0.0},
        {"prefix": "path", "missing": 1.0},
    ]
    if given is None and variant in ("projection", "ssd_star"):
        similar = similar[:1]
    given = given if variant in ("projection", "ssd_star", "dpp") else None
    section = {"strength": 0.5, "terms": [{"name": "one", "variant": variant, "similar": similar, "given": given}]}
    kinds = {**KINDS, "vector": "embedding?", "author": "key?", "tags": "keys?", "path": "keys?"}
    for seed in range(4):
        columns = rough(seed, 16)
        for place, name in enumerate(("vector", "author", "tags", "path")):
            columns = without(columns, name, {place, place + 3, place + 6, 15})
        memory = state = None
        for slots in (5, 5):
            page = composed(section, columns, slots=slots, kinds=kinds, state=state)
            short = shortfalls(section, columns, rows_of(page), memory=memory)
            assert max(short) <= 1e-9, (seed, short)
            twin = Twin(section, columns, memory=memory)
            for row in rows_of(page):
                twin.place(row)
            memory, state = twin.remembered(), page.state


def test_two_items_without_a_value_are_not_alike():
    columns, kinds = plain([3.0, 2.75, 2.5], author=[None, None, "x"], tags=[[], [], ["t"]])
    kinds = {**kinds, "author": "key?", "tags": "keys?"}
    for signal in ({"same": "author"}, {"overlap": "tags"}):
        section = {"strength": 0.5, "terms": [{"name": "one", "variant": "mmr", "similar": [{**signal, "missing": 0}]}]}
        assert ids(section, columns, kinds) == ["a", "b", "c"]


def test_a_column_that_may_be_missing_needs_a_charge():
    for signal, kind in (
        ({"cosine": "vector"}, "embedding?"),
        ({"same": "author"}, "key?"),
        ({"overlap": "tags"}, "keys?"),
    ):
        section = {"terms": [{"name": "one", "variant": "mmr", "similar": [signal]}]}
        with pytest.raises(PolicyError, match="may be missing"):
            policy_of(section, kinds={**KINDS, next(iter(signal.values())): kind})
        section = {"terms": [{"name": "one", "variant": "mmr", "similar": [{**signal, "missing": 0.0}]}]}
        policy_of(section, kinds={**KINDS, next(iter(signal.values())): kind})


def test_an_item_twice_in_a_line_is_refused():
    with pytest.raises(RequestError, match="must be distinct within line"):
        items_of({"item_id": ["a", "a"], "utility": [1.0, 2.0]})


def test_a_large_offset_of_utilities_loses_nothing():
    """Utilities are 2**-20 apart on top of 2**30: no float32 could tell them apart."""
    rng = np.random.default_rng(6)
    steps = rng.permutation(30) * 2.0**-20
    columns, kinds = plain((2.0**30 + steps).tolist(), rough(6, 30)["vector"])
    for name in ("mmr", "dpp", "ssd_star", "msd_sum"):
        page = composed(only(name, strength=0.0), columns, slots=30, kinds=kinds)
        assert rows_of(page) == np.argsort(-steps).tolist()
        section = only(name, strength=2.0**-22)
        short = shortfalls(section, columns, rows_of(composed(section, columns, slots=10, kinds=kinds)))
        assert max(short) <= 2.0**-22


# Ties and order


@pytest.mark.parametrize("name", POLICIES)
def test_equals_go_by_relevance_and_then_by_id_wherever_they_stand(name):
    """Thirty copies of one item, among 1003 rows: rounding must not depend on where a row stands."""
    rng = np.random.default_rng(7)
    columns = rough(7, 60)
    same = taken(columns, [0] * 30)
    same["item_id"] = [f"s{number:02d}" for number in rng.permutation(30)]
    same["links"] = [[] for _ in range(30)]
    columns["links"] = [[] for _ in range(60)]
    both = {key: [*columns[key], *same[key]] for key in columns}
    order = rng.permutation(90)
    kinds = {**KINDS, "links": "keys?"}
    section = msgspec.json.decode(msgspec.json.encode(POLICIES[name]).replace(b'"links"', b'"links","missing":0.0'))
    page = composed(section, taken(both, order), slots=90, kinds=kinds, time=1000.0).item_ids
    copies = [item for item in page if item.startswith("s")]
    assert copies == sorted(copies)


def test_at_full_strength_the_first_row_is_the_most_relevant():
    columns, kinds = plain([1.0, 3.0, 3.0, 2.0], [(1, 0), (1, 0), (1, 0), (0, 1)])
    assert ids(only("mmr", strength=1.0), columns, kinds)[:2] == ["b", "d"]
    assert ids(only("dpp", strength=1.0), columns, kinds)[:2] == ["b", "d"]


def test_a_tie_goes_to_the_more_relevant_and_then_the_smaller_id_and_line():
    """At strength 1/2, a half more relevance and a half more likeness weigh the same."""
    columns, kinds = plain([4.0, 1.0, 1.5, 1.0], [(1, 0, 0, 0), (0, 1, 0, 0), (1, 1, 1, 1), (0, 0, 1, 0)])
    assert ids(only("mmr"), columns, kinds) == ["a", "c", "b", "d"]
    twice = {"item_id": ["a", "a"], "line": ["posts", "ads"], "utility": [1.0, 1.0], "vector": [(1, 0), (1, 0)]}
    assert composed(only("mmr"), twice, kinds=kinds).items[0].line == "ads"


@pytest.mark.parametrize("name", POLICIES)
def test_the_order_of_the_candidates_never_matters(name):
    for make in (exact, rough):
        columns = make(8, 101)
        pages = []
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(101)
            page = composed(POLICIES[name], taken(columns, order), slots=20, history=LIKED, time=1000.0, trace=True)
            pages.append(page.encode())
        assert len(set(pages)) == 1


# Sessions


@pytest.mark.parametrize("scale", ["none", "zscore", "minmax", "rank", "logit"])
@pytest.mark.parametrize("name", POLICIES)
def test_pages_of_a_session_are_one_page(name, scale):
    section = {**POLICIES[name], "scale": scale}
    for make in (exact, rough):
        columns = make(9, 24)
        if scale == "logit":
            columns["utility"] = [0.125 + value / 2 for value in columns["utility"]]
        whole = composed(section, columns, slots=18, history=LIKED, time=1000.0)
        for sizes in ((9, 9), (1, 5, 12), (6, 6, 6)):
            state, shown, rest = None, [], columns
            for slots in sizes:
                page = composed(section, rest, slots=slots, state=state, history=LIKED, time=1000.0)
                state = State.from_token(page.state.token)
                shown += page.item_ids
                rest = columns if len(sizes) == 2 else unseen(columns, shown)
            assert shown == whole.item_ids, sizes


def test_a_scale_is_that_of_the_first_page():
    """On the second page the pool is another: spread out ten times as much; zscore must not notice."""
    first, kinds = plain([3.0, 1.0, 2.0], [(1, 0), (1, 0), (0, 1)])
    for scale in ("zscore", "minmax"):
        section = only("mmr", scale=scale)
        page = composed(section, first, slots=1, kinds=kinds)
        _, memory = spread(section, first, 1)
        later, _ = plain([0.0, 30.0, 20.0, 25.0], [(1, 0), (1, 0), (0, 1), (0.6, 0.8)])
        later["item_id"] = list("xyzw")
        second = composed(section, later, slots=4, kinds=kinds, state=page.state)
        assert rows_of(second) == spread(section, later, 4, memory=memory)[0]
        assert second.item_ids[0] == "y"  # 30 is far above the frozen mean; no likeness makes up for that


def test_a_session_remembers_no_more_than_two_hundred_items():
    section = {"strength": 0.5, "terms": [{"name": "one", "variant": "msd_sum", "similar": [{"same": "author"}]}]}
    columns = {
        "item_id": [f"i{number:03d}" for number in range(260)],
        "utility": [1.0] * 260,
        "author": [f"a{number % 7}" for number in range(260)],
    }
    kinds = {"utility": "number", "author": "key"}
    memory = state = None
    shown = []
    for _ in range(5):
        page = composed(section, columns, slots=50, kinds=kinds, state=state)
        rest = unseen(columns, shown)
        expected, memory = spread(section, rest, 50, memory=memory)
        assert page.item_ids == [rest["item_id"][row] for row in expected]
        state = page.state
        shown += page.item_ids


@pytest.mark.parametrize("scale", ["zscore", "minmax", "rank"])
def test_a_scale_is_kept_even_if_nothing_else_is_remembered(scale):
    """What is fresh weighs against relevance on the scale of the first page; its best rows have gone by the second."""
    section = {"strength": 0.5, "scale": scale, "fresh": [{"by": "made", "half_life_s": 20.0, "weight": 0.5}]}
    for seed in range(5):
        columns = rough(seed, 30)
        whole = composed(section, columns, slots=20, time=1000.0)
        first = composed(section, columns, slots=10, time=1000.0)
        second = composed(section, columns, slots=10, time=1000.0, state=first.state)
        assert first.item_ids + second.item_ids == whole.item_ids


def test_a_rank_is_among_every_row_that_a_session_had():
    """Items of two lines: both of their rows go when one is shown, and neither is forgotten."""
    columns = rough(20, 20)
    both = {key: [*values, *values] for key, values in columns.items()}
    both["line"] = ["ads"] * 20 + ["posts"] * 20
    both["utility"] = [*columns["utility"], *(0.75 * value for value in columns["utility"])]
    for name in ("mmr", "dpp", "ssd_star, 2"):
        section = only(name, scale="rank")
        whole = composed(section, both, slots=16)
        first = composed(section, both, slots=7)
        second = composed(section, both, slots=9, state=first.state)
        assert first.item_ids + second.item_ids == whole.item_ids


@pytest.mark.parametrize(
    "name", ["ssd_star, 2", "ssd_volume", "ssd_volume, 3", "projection, 3", "dpp, 4, bases", "mmr, 3"]
)
def test_what_a_term_remembers_does_not_depend_on_the_strength_of_the_page(name):
    """A page of strength 0 looks at no likeness, but the next of the session does."""
    section = only(name, segments=[{"when": {"mood": "calm"}, "strength": 0.0}])
    for seed in range(4):
        columns = rough(seed, 20)
        first = composed(section, columns, slots=5, context={"mood": "calm"})
        expected, memory = spread(section, columns, 5, context={"mood": "calm"})
        assert rows_of(first) == expected
        rest = unseen(columns, first.item_ids)
        second = composed(section, rest, slots=6, context={"mood": "lively"}, state=first.state)
        assert max(shortfalls(section, rest, rows_of(second), memory=memory)) <= 1e-9


@pytest.mark.parametrize("name", ["ssd_star, 2", "ssd_volume, 3", "dpp, 4, bases", "msd_mean", "gap"])
def test_rows_that_rules_forced_are_remembered_like_others(name):
    """Two authors cannot fill a page at such a distance: the rule gives way, and the next page goes on from there."""
    rule = {"name": "authors apart", "per": "author", "every": 4, "at_most": 1}
    for seed in range(4):
        columns = {**rough(seed, 20), "author": [f"a{row % 2}" for row in range(20)]}
        first = composed(only(name), columns, slots=6, rules=[rule])
        assert first.status.relaxed
        twin = Twin(only(name), columns)
        for row in rows_of(first):
            twin.place(row)
        rest = unseen(columns, first.item_ids)
        second = composed(only(name), rest, slots=6, state=first.state)
        assert max(shortfalls(only(name), rest, rows_of(second), memory=twin.remembered())) <= 1e-9


def test_a_page_whose_items_have_no_vectors_is_one_of_the_session():
    kinds = {**KINDS, "vector": "embedding?"}
    for name in ("mmr", "ssd_star, 2", "dpp"):
        section = only(name)
        section["terms"][0]["similar"] = [{**one, "missing": 0.5} for one in section["terms"][0]["similar"]]
        columns = rough(21, 18)
        state, shown = None, []
        for rows in (range(6), range(6, 12), range(12, 18)):
            part = taken(columns, rows)
            if rows.start == 6:
                part = without(part, "vector", range(6))
            page = composed(section, part, slots=3, kinds=kinds, state=state)
            state = State.from_token(page.state.token)
            shown += page.item_ids
        assert len(set(shown)) == 9


@pytest.mark.parametrize("name", POLICIES)
def test_a_session_may_go_on_under_another_policy(name):
    columns = rough(22, 24)
    state = composed(POLICIES["ssd_volume, 3"], columns, slots=4, time=1000.0).state
    page = composed(POLICIES[name], columns, slots=6, state=state, time=1000.0)
    assert len(set(page.item_ids) - set(state.shown)) == 6


# Names, direction and meaning of what is set


@pytest.mark.parametrize("variant", ["ssd", "SSD", "MMR", "msd", "cover", ""])
def test_a_variant_is_named_in_full(variant):
    with pytest.raises(PolicyError, match="variant"):
        policy_of({"terms": [{"name": "one", "variant": variant, "similar": COSINE}]})


@pytest.mark.parametrize("variant", ["projection", "ssd_star", "ssd_volume", "dpp", "spectrum"])
def test_what_is_no_inner_product_is_refused_where_one_is_needed(variant):
    for similar in (CLIPPED, [{"linked": "links"}]):
        with pytest.raises(PolicyError, match=rf"terms\[0\]: term 'one' .* {variant} .* not positive semidefinite"):
            policy_of({"terms": [{"name": "one", "variant": variant, "similar": similar, "given": None}]})
    if variant in ("projection", "ssd_star", "ssd_volume"):
        with pytest.raises(PolicyError, match="say `given: items`"):
            policy_of({"terms": [{"name": "one", "variant": variant, "similar": [{"same": "author"}]}]})
        by_items = {"name": "one", "variant": variant, "similar": [{"same": "author"}], "given": "items"}
        if variant == "ssd_volume":
            with pytest.raises(PolicyError, match="ssd_volume"):
                policy_of({"terms": [by_items]})
        else:
            policy_of({"terms": [by_items]})


@pytest.mark.parametrize("name", POLICIES)
def test_strength_zero_is_the_order_of_relevance_and_hardly_any_is_nearly_so(name):
    columns, bare = rough(12, 40), {**POLICIES[name], "spacing": [], "balance": [], "fresh": [], "novel": []}
    by_worth = sorted(range(40), key=lambda row: -columns["utility"][row])
    assert rows_of(composed({**bare, "strength": 0.0}, columns, slots=40)) == by_worth
    assert rows_of(composed({**bare, "strength": 1e-9}, columns, slots=40)) == by_worth
    faint = rows_of(composed({**bare, "strength": 1e-6}, columns, slots=40))
    assert sum(one == other for one, other in zip(faint, by_worth, strict=True)) >= 36


def test_more_strength_is_more_variety():
    columns = rough(13, 60, clusters=3)
    vectors = np.array(columns["vector"], dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def likeness(strength, name):
        rows = rows_of(composed(only(name, strength=strength), columns, slots=8))
        return (vectors[rows] @ vectors[rows].T).sum() - 8

    for name in ("mmr", "msd_mean", "projection", "ssd_star", "dpp", "spectrum"):
        assert likeness(1.0, name) < likeness(0.3, name) + 1e-9 < likeness(0.0, name) + 2e-9, name
        assert likeness(1.0, name) < likeness(0.0, name) - 1


def test_zero_is_zero_and_not_unset():
    columns, kinds = plain([3.0, 2.9, 1.0], [(1, 0), (1, 0), (0, 1)])
    assert ids({**only("mmr"), "strength": 0}, columns, kinds) == ["a", "b", "c"]
    off = {"strength": 0.9, "terms": [{"name": "one", **TERMS["mmr"], "weight": 0}]}
    assert ids(off, columns, kinds) == ["a", "b", "c"]
    assert ids({**off, "terms": [{"name": "one", **TERMS["mmr"]}]}, columns, kinds) == ["a", "c", "b"]
    segments = [{"when": {"kind": "calm"}, "strength": 0}]
    for kind, expected in {"calm": ["a", "b", "c"], "other": ["a", "c", "b"]}.items():
        section = {**only("mmr", strength=0.9), "segments": segments}
        assert ids(section, columns, kinds, context={"kind": kind}) == expected


@pytest.mark.parametrize(
    ("where", "field", "value"),
    [
        ("", "strength", -0.1),
        ("", "strength", 1.1),
        ("", "give_up", -0.1),
        ("", "give_up", 1.1),
        ("", "scale", "softmax"),
        ("terms", "window", 0),
        ("terms", "weight", -1.0),
        ("terms", "similar", []),
        ("terms", "similar", [{}]),
        ("terms", "similar", [{"cosine": "vector", "same": "author"}]),
        ("terms", "similar", [{"cosine": "author"}]),
        ("terms", "similar", [{"same": "nothing"}]),
        ("terms", "similar", [{"same": "author", "negative": "clip"}]),
        ("terms", "similar", [{"same": "author", "levels": [1.0]}]),
        ("terms", "similar", [{"cosine": "vector", "missing": -1.0}]),
        ("terms", "given", "both"),
        ("terms", "ridge", -1.0),
        ("spacing", "within", 0),
        ("spacing", "weight", -1.0),
        ("spacing", "by", "author"),
        ("balance", "column", "utility"),
        ("balance", "mixing", -0.1),
        ("fresh", "half_life_s", 0.0),
        ("novel", "by", "tags"),
    ],
)
def test_what_means_nothing_is_refused_by_name(where, field, value):
    section = msgspec.json.decode(msgspec.json.encode({**EVERYTHING, "segments": []}))
    at = section[where][0] if where else section
    if where == "spacing" and field == "by":
        at.pop("group", None)
    at[field] = value
    with pytest.raises(PolicyError, match=rf"compose\.spread.*{where}"):
        policy_of(section)


@pytest.mark.parametrize("utility", [0.0, 1.0, -0.5, 2.0])
def test_logit_refuses_what_is_no_probability(utility):
    columns, kinds = plain([0.5, utility])
    with pytest.raises(RequestError, match=r"utility\[1\]"):
        composed({"scale": "logit"}, columns, kinds=kinds)


def test_scales_that_forget_scale_and_offset_and_one_that_does_not():
    columns = rough(14, 30)
    wider = {**columns, "utility": [8.0 * value for value in columns["utility"]]}
    higher = {**columns, "utility": [value + 4.0 for value in columns["utility"]]}
    for name in ("mmr", "msd_mean", "dpp", "ssd_star"):
        for scale in ("zscore", "minmax", "rank"):
            pages = [composed(only(name, scale=scale), one).item_ids for one in (columns, wider, higher)]
            assert pages[0] == pages[1] == pages[2], (name, scale)
        narrow, wide, high = (composed(only(name), one).item_ids for one in (columns, wider, higher))
        assert narrow == high
        assert narrow != wide


def test_bad_candidates_change_nothing_on_a_scale_that_does_not_see_the_pool():
    columns = rough(15, 30)
    junk = {**rough(16, 200), "utility": [0.001] * 200, "item_id": [f"z{number}" for number in range(200)]}
    junk["links"] = [["z0"]] * 200
    both = {key: [*columns[key], *junk[key]] for key in columns}
    for name in TERMS:
        section = only(name, strength=0.05)
        if "msd" not in name:
            assert composed(section, both).item_ids == composed(section, columns).item_ids, name
    logit = only("mmr", strength=0.05, scale="logit")
    assert composed(logit, both).item_ids == composed(logit, columns).item_ids


def test_equal_utilities_on_any_scale_still_spread():
    columns, kinds = plain([0.5] * 4, [(1, 0), (1, 0), (0, 1), (0.6, 0.8)])
    for scale in ("none", "zscore", "minmax", "rank", "logit"):
        for name in ("mmr", "dpp", "ssd_star", "msd_sum"):
            assert ids(only(name, scale=scale), columns, kinds)[:2] == ["a", "c"], (scale, name)


def test_negative_utilities_are_charged_too_and_not_promoted():
    columns, kinds = plain([-1.0, -1.125, -1.25], [(1, 0), (1, 0), (0, 1)])
    assert ids(only("mmr"), columns, kinds) == ["a", "c", "b"]


def test_what_a_negative_cosine_means_is_said():
    """B is the opposite of A: a bonus, nothing, or the other end of a scale on which C is in the middle."""
    columns, kinds = plain([4.0, 1.0, 1.5], [(1, 0), (-1, 0), (0, 1)])
    expected = {"keep": "abc", "clip": "acb", "shift": "acb"}  # b against c: 1 + 1, 1 or 1 against 1.5, 1.5 or 1
    for negative, page in expected.items():
        similar = [{"cosine": "vector", "negative": negative}]
        section = {"strength": 0.5, "terms": [{"name": "one", "variant": "mmr", "similar": similar}]}
        assert "".join(ids(section, columns, kinds)) == page, negative


@pytest.mark.parametrize("name", ["mmr", "gap", "msd_mean", "projection", "ssd_star", "dpp", "spectrum"])
def test_a_window_counts_earlier_items_and_sees_them_all(name):
    """A, B, C, then a copy of A: seen by a window of 3, and not by one of 2; a gap counts it, faintly."""
    columns, kinds = plain([9.0, 8.0, 7.0, 1.0, 0.96875], [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), (0.5, 0.5, 0.7)])
    columns["vector"][4] = (0.0, 0.0, 0.0)
    kinds = {**kinds, "vector": "embedding?"}
    similar = [{"cosine": "vector", "missing": 0.0}]
    for window, expected in {2: "abcde", 3: "abced", None: "abced", 1: "abcde", 50: "abced"}.items():
        term = {"name": "one", "variant": name, "similar": similar, "window": window, "weight": 0.5}
        if name == "gap":
            term["fade"] = "flat"
        assert "".join(ids({"strength": 0.5, "terms": [term]}, columns, kinds)) == expected, window


def test_bases_and_items_of_a_window_are_told_apart():
    pages = {}
    for given_ in ("bases", "items"):
        pages[given_] = []
        for seed in range(8):
            term = {
                "name": "one",
                "variant": "ssd_star",
                "similar": COSINE,
                "window": 3,
                "given": given_,
                "weight": 2.0,
            }
            section, columns = {"strength": 0.7, "terms": [term]}, rough(seed, 30)
            page = composed(section, columns, slots=15)
            assert max(shortfalls(section, columns, rows_of(page))) <= 1e-9
            pages[given_].append(page.item_ids)
    assert pages["bases"] != pages["items"]


def test_a_column_must_suit_every_use_of_it():
    """Who can do without a value does not speak for who cannot, nor one kind for another."""
    kinds = {**KINDS, "author": "key?"}
    strict = {"name": "a", "variant": "mmr", "similar": [{"same": "author"}]}
    lenient = {"name": "b", "variant": "mmr", "similar": [{"same": "author", "missing": 0.5}]}
    spacing = {"name": "c", "group": {"author": "a1"}, "weight": 1.0}
    for section in (
        {"terms": [strict, lenient]},
        {"terms": [lenient, strict]},
        {"terms": [strict], "spacing": [spacing]},
    ):
        with pytest.raises(PolicyError, match="may be missing"):
            policy_of(section, kinds=kinds)
    policy_of({"terms": [lenient], "spacing": [spacing]}, kinds=kinds)
    other = {"name": "d", "variant": "mmr", "similar": [{"cosine": "author"}]}
    for terms in ([other, strict], [strict, other]):
        with pytest.raises(PolicyError, match="cosine: reads `author` as a embedding, but it is a key"):
            policy_of({"terms": terms})


def test_names_are_used_once():
    term = {"name": "one", **TERMS["mmr"]}
    with pytest.raises(PolicyError, match=r"terms\[1\].name: must be a name of its own"):
        policy_of({"terms": [term, term]})


# Spending utility


@pytest.mark.parametrize("give_up", [0.0, 0.02, 0.1, 0.5, 1.0])
def test_no_more_is_given_up_than_allowed(give_up):
    exposure = [1 / math.log2(slot + 2) for slot in range(8)]
    for name in ("mmr", "dpp", "everything"):
        for seed in range(3):
            columns = rough(seed, 40)
            section = {**POLICIES[name], "strength": 0.9, "give_up": give_up}
            page = composed(section, columns, time=1000.0)
            rows = rows_of(page)
            best = sorted(columns["utility"], reverse=True)[:8]
            top = sum(map(float.__mul__, best, exposure))
            worth = sum(columns["utility"][row] * by for row, by in zip(rows, exposure, strict=True))
            status = page.status
            assert status.spent == pytest.approx((top - worth) / top, abs=1e-12)
            free = {**section, "give_up": None, "strength": status.strength}
            assert rows == rows_of(composed(free, columns, time=1000.0))
            assert composed(free, columns, time=1000.0).status.strength is None
            if status.spent > give_up + 1e-12:  # then no strength is small enough, for what else there is
                assert (status.strength, name) == (0.0, "everything")
            if give_up == 1.0:
                assert status.strength == 0.9
            if status.strength < 0.9:
                more = composed({**free, "strength": 0.9}, columns, time=1000.0)
                spent = (top - more.value) / top
                assert spent > give_up


# Soft spacing, balance and the rest, by hand


def test_soft_spacing_keeps_a_class_apart_without_forbidding_it():
    columns = {"item_id": list("abcd"), "line": ["ads", "ads", "posts", "ads"], "utility": [4.0, 3.5, 3.0, 2.5]}
    kinds = {"utility": "number"}
    spacing = {"name": "ads", "group": {"line": "ads"}, "within": 2, "fade": "reciprocal", "weight": 2.0}
    section = {"strength": 0.0, "spacing": [spacing]}
    # Slot 2: b is worth 3.5 - 2, c 3. Slot 3: b 3.5 - 2 / 2, d 2.5 - 1.
    assert ids(section, columns, kinds) == ["a", "c", "b", "d"]
    assert ids({**section, "spacing": [{**spacing, "weight": 0}]}, columns, kinds) == ["a", "b", "c", "d"]
    first = composed(section, columns, slots=1, kinds=kinds)
    assert ids(section, columns, kinds, state=first.state) == ["c", "b", "d"]
    by = {"name": "risk", "by": "risk", "above": 0.5, "within": 1, "weight": 4.0}
    columns = {**columns, "risk": [1.0, 0.5, 0.25, 0.75]}
    assert ids({"strength": 0.0, "spacing": [by]}, columns, {**kinds, "risk": "number"}) == ["a", "b", "c", "d"]
    columns["risk"] = [1.0, 0.75, 0.25, 0.75]
    assert ids({"strength": 0.0, "spacing": [by]}, columns, {**kinds, "risk": "number"}) == ["a", "c", "b", "d"]


def test_balance_follows_what_the_user_liked_or_a_declared_target():
    columns, kinds = plain([1.0] * 6, tags=[["x"], ["x"], ["x"], ["y"], ["y"], ["z"]])
    balance = {"column": "tags", "weight": 1.0}
    section = {"strength": 0.0, "balance": [balance]}
    assert ids(section, columns, kinds) == list("abcdef")
    liked = ids(section, columns, kinds, history={"tags": {"x": 2, "y": 1}})
    assert liked == ["a", "d", "b", "c", "e", "f"]
    declared = {"strength": 0.0, "balance": [{**balance, "target": {"z": 0.5, "y": 0.5}}]}
    assert ids(declared, columns, kinds, history={"tags": {"x": 2, "y": 1}})[:2] == ["d", "f"]


def test_a_value_named_twice_counts_once_in_a_mix():
    columns, kinds = plain([1.0] * 4, tags=[["x"], ["x", "x", "y"], ["y", "x"], ["z"]])
    section = {"strength": 0.0, "balance": [{"column": "tags", "weight": 1.0, "target": {"x": 0.5, "y": 0.5}}]}
    page = composed(section, columns, kinds=kinds)
    assert page.item_ids == ["b", "c", "a", "d"]
    assert rows_of(page) == spread(section, columns, 4)[0]


def test_fresh_and_novel_add_by_age_and_rarity():
    columns, kinds = plain([1.0, 0.75, 0.5], made=[0.0, 100.0, 90.0], known=[0.5, 0.25, 0.125])
    fresh = {"strength": 0.0, "fresh": [{"by": "made", "half_life_s": 10.0, "weight": 2.0}]}
    assert ids(fresh, columns, kinds, time=100.0) == ["b", "c", "a"]  # 1 + 0, .75 + 2, .5 + 1
    assert ids(fresh, columns, kinds, time=50.0) == ["b", "c", "a"]  # what is of the future is as fresh as can be
    assert ids({"strength": 0.0, "novel": [{"by": "known", "weight": 1.0}]}, columns, kinds) == ["c", "b", "a"]
    for value in (0.0, -0.5, 1.5):
        columns["known"] = [0.5, value, 0.5]
        with pytest.raises(RequestError, match=r"known\[1\]"):
            composed({"novel": [{"by": "known", "weight": 1.0}]}, columns, kinds=kinds)


# Large pages, the machine


LONG = [
    ("mmr", None),
    ("gap", 10),
    ("msd_mean", None),
    ("projection", None),
    ("ssd_star", 10),
    ("ssd_volume", 10),
    ("dpp", None),
    ("dpp", 10),
    ("spectrum", 10),
]


@pytest.mark.parametrize(("variant", "window"), LONG)
def test_five_hundred_slots_do_not_drift(variant, window):
    """Every slot of a long page is that of an evaluation in float64, of all rows by whole matrices."""
    rng = np.random.default_rng(17)
    vectors = rng.normal(size=(600, 128)).astype(np.float32)
    utility = rng.random(600)
    columns = {"item_id": list(range(600)), "utility": utility, "vector": vectors}
    section = {"strength": 0.7, "terms": [{"name": "one", "variant": variant, "similar": COSINE, "window": window}]}
    page = rows_of(composed(section, columns, slots=500, kinds={"utility": "number", "vector": "embedding"}))
    x = vectors.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    alike, free, bases, volume = x @ x.T, np.ones(600, bool), [], 1.0
    for slot, row in enumerate(page):
        last = page[max(slot - (window or slot), 0) : slot]
        charge = np.zeros(600)
        if slot:
            near = alike[:, last]
            if (variant, window) == ("dpp", 10):
                left = 1 - np.einsum("nw,nw->n", near, np.linalg.solve(alike[np.ix_(last, last)], near.T).T)
            else:
                left = 1 - ((x @ np.array(bases[max(slot - (window or slot), 0) :]).T) ** 2).sum(axis=1)
            left = np.maximum(left, 0)
            fade = 1 / np.arange(len(last), 0, -1)
            gram = np.sqrt(np.outer(fade, fade)) * alike[np.ix_(last, last)] + 0.1 * np.eye(len(last))
            charge = {
                "mmr": lambda near=near: near.max(axis=1),
                "gap": lambda near=near, fade=fade: (near * fade).max(axis=1),
                "msd_mean": lambda near=near: (near - 1).mean(axis=1),
                "projection": lambda left=left: 1 - left,
                "ssd_star": lambda left=left: 1 - np.sqrt(left),
                "ssd_volume": lambda left=left, volume=volume: volume * (1 - np.sqrt(left)),
                "dpp": lambda left=left: -0.5 * np.log(np.maximum(left, 1e-6)),
                "spectrum": lambda near=near * np.sqrt(fade), gram=gram: np.einsum(
                    "nw,nw->n", near, np.linalg.solve(gram, near.T).T
                ),
            }[variant]()
            volume *= math.sqrt(left[row])
        worth = np.where(free, 0.3 * utility - 0.7 * charge, -np.inf)
        assert worth.max() - worth[row] <= 1e-9, slot
        free[row] = False
        window_bases = bases[max(slot - (window or slot), 0) :]
        rest = x[row].copy()
        for _ in range(2):
            rest -= sum((rest @ q * q for q in window_bases), np.zeros(128))
        squared = rest @ rest
        bases.append(rest / math.sqrt(squared) if squared > 1e-6 else np.zeros(128))


def test_inputs_stay_as_they_are():
    columns = rough(18, 40)
    table = EmbeddingTable(np.array(columns["vector"], dtype=np.float32))
    before = hashlib.sha256(table.matrix.tobytes() + table.inverse.tobytes()).digest()
    columns["vector"] = Embedding(table, np.arange(40, dtype=np.int32))
    items = items_of(columns)
    feed = feed_of(EVERYTHING, slots=10)
    pages = [feed.compose(Request(candidates=items, time=1000.0), trace=True).encode() for _ in range(2)]
    assert pages[0] == pages[1]
    assert hashlib.sha256(table.matrix.tobytes() + table.inverse.tobytes()).digest() == before
    listed = composed(EVERYTHING, rough(18, 40), slots=10, time=1000.0, trace=True)
    assert listed.items == feed.compose(Request(candidates=items, time=1000.0)).items


def test_threads_and_warming_up_change_nothing():
    feed = feed_of(EVERYTHING, slots=10)
    feed.warm()
    requests = [Request(candidates=items_of(rough(seed, 40)), time=1000.0) for seed in range(12)]
    one = [page.encode() for page in feed.compose_many(requests, threads=1)]
    assert [page.encode() for page in feed.compose_many(requests, threads=4)] == one


@pytest.mark.parametrize("name", POLICIES)
def test_the_trace_says_what_each_row_is_worth_and_why(name):
    """The parts add up, relevance and the rest are the twin's, and the runner-up is the best of the others."""
    for make in (exact, rough):
        columns, session = make(23, 20), {"history": LIKED, "time": 1000.0}
        page = composed(POLICIES[name], columns, slots=6, trace=True, **session)
        twin = Twin(POLICIES[name], columns, **session)
        for slot, row in zip(page.trace.slots, rows_of(page), strict=True):
            close = {"abs": 1e-9}
            parts, own = twin.parts(row), {}
            assert slot.utility == columns["utility"][row]
            assert slot.worth == pytest.approx(twin.worth(row), **close)
            assert sum(part.amount for part in slot.parts) == pytest.approx(slot.worth, abs=1e-12)
            for part in slot.parts:
                own[part.name] = own.get(part.name, 0.0) + part.amount
                assert part.item_id is None or part.item_id in page.item_ids[: slot.slot - 1]
            assert own["relevance"] == pytest.approx(parts["relevance"])
            terms = sum(own.get(term["name"], 0.0) for term in POLICIES[name].get("terms", []))
            assert terms == pytest.approx(parts["redundancy"], **close)
            others = {other: twin.worth(other) for other in twin.free() if other != row}
            runner = columns["item_id"].index(slot.runner_up.item_id)
            assert others[runner] == pytest.approx(max(others.values()), **close)
            assert slot.runner_up.margin == pytest.approx(twin.worth(row) - max(others.values()), **close)
            if abs(slot.runner_up.margin) > 1e-5:
                assert not slot.near_tie
            if max(others.values()) == twin.worth(row):
                assert slot.near_tie
            twin.place(row)


def test_the_status_says_where_nothing_new_is_left():
    columns, kinds = plain([0.9, 0.8, 0.7, 0.6], [(1, 0), (0, 1), (1, 1), (1, -1)])
    for variant in ("projection", "ssd_star", "dpp"):
        section = {"strength": 0.5, "terms": [{"name": "one", "variant": variant, "similar": COSINE}]}
        assert composed(section, columns, kinds=kinds, slots=2).status.exhausted is None
        first = composed(section, columns, kinds=kinds, slots=4)
        assert first.status.exhausted == 3, variant
        section["terms"][0]["window"] = 1
        assert composed(section, columns, kinds=kinds, slots=4).status.exhausted is None
    assert composed(only("mmr"), columns, kinds=kinds, slots=4).status.exhausted is None


def test_tracing_changes_no_page():
    for name, section in POLICIES.items():
        columns = rough(19, 30)
        plain_page = composed(section, columns, time=1000.0)
        traced = composed(section, columns, time=1000.0, trace=True)
        assert (plain_page.items, plain_page.trace) == (traced.items, None), name
        assert len(traced.trace.slots) == 8
