"""`compose.decode`: what the stage makes of its fields, and what the decoder's two ways of being asked have in common.

That the search finds the best of all pages is in `tests/methods/test_insertion.py`, for any causal network.
"""

import math

import msgspec
import numpy as np
import pytest

from slatewise import Candidates, Constrain, Decode, Feed, Policy, PolicyError, Request, RequestError, Rule
from slatewise.compose.decode import Reorder, Reward
from slatewise.core.constraints import Constraints
from slatewise.kernels import audit
from slatewise.kernels.insertion_search import Asked, one_chain
from slatewise.models.decoding import Prefixes, prepared
from slatewise.models.inputs import Inputs, Key, Number
from slatewise.models.model import Model
from slatewise.testing.checks import check_selector

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from slatewise.learn.decoders import by_hand, untrained
from slatewise.models.decoder_parts import Shape

SLOTS = 6
STAY = 1 - 1 / (1 + math.exp(1))
"""Share of readers that go on below a slot with log-odds -1 of leaving."""


@pytest.fixture(scope="module")
def plain():
    """A click in one of two looks at any row, and 27 % of readers leave below each."""
    return by_hand(slots=SLOTS, leave=-1.0)


@pytest.fixture(scope="module")
def random():
    inputs = Inputs(
        numbers=(Number(name="utility"), Number(name="bid")),
        keys=(Key(name="line", names=("posts", "ads")),),
        position=8,
    )
    return untrained(inputs, Shape(slots=8, width=32, heads=2, bound=0.6), seed=3, sharpness=2.0, click=-1, leave=-2)


@pytest.fixture(scope="module")
def known():
    """A network that reads who asks."""
    inputs = Inputs(
        numbers=(Number(name="utility"),),
        keys=(Key(name="line", names=("posts", "ads")),),
        context=(Key(name="tenure", names=("new", "old")),),
        history=Key(name="item_id", names=("0", "1")),
        position=8,
    )
    return untrained(inputs, Shape(slots=8, width=32, heads=2, bound=0.6), seed=5, sharpness=2.0, click=-1, leave=-2)


def feed(posts=SLOTS, bids=(2.0, 9.0), **columns):
    n = posts + len(bids)
    return Candidates.of(
        line=["posts"] * posts + ["ads"] * len(bids),
        utility=np.arange(n, 0.0, -1.0),
        bid=[None] * posts + list(bids),
        kinds={"bid": "number?"},
        **columns,
    )


def decoded(model, items, slots=SLOTS, rules=(), **fields):
    stage = Decode(model=model, **fields)
    return stage.select(items, slots, constraints=Constraints([*stage.hard_rules, *rules], items, slots))


def test_reward_is_clicks_times_worth_where_readers_still_look(plain):
    """Half of the looks are clicks; organics pay their engagement 1, the ad 9 and its engagement, less a cost of 3."""
    items = feed(posts=2, bids=(9.0,))
    fields = {"insert": 1, "positions": (2, 2), "reward": Reward(cost=3.0, ad_weight=1.0)}
    found = decoded(plain, items, 3, **fields)
    assert found.rows.tolist() == [0, 2, 1]
    assert found.value == pytest.approx(0.5 + STAY * (0.5 * 10 - 3) + STAY**2 * 0.5, abs=1e-6)
    assert found.is_proven
    stage = Decode(model=plain, **fields)
    gains = stage.gains(items, found.rows, Constraints(stage.hard_rules, items, 3))
    assert gains == pytest.approx([0.5, STAY * 2, STAY**2 * 0.5], abs=1e-6)


def test_weights_change_without_another_model(plain):
    items = feed(quality=[4.0] * SLOTS + [0.0, 0.0])
    for reward, ads in (
        (Reward(), 2),  # every ad pays more than a click on an organic
        (Reward(engagement="quality"), 1),  # the ad of 2 does not
        (Reward(engagement="quality", engagement_weight=0.25), 2),
        (Reward(ad_weight=2.0), 1),
        (Reward(ad_weight=10.0), 0),
        (Reward(cost="cost", ad_weight=10.0), 1),
    ):
        costly = items.with_columns({"cost": np.array([0.0] * SLOTS + [0.0, 9.0])})
        rows = decoded(plain, costly, reward=reward).rows
        assert (rows >= SLOTS).sum() == ads, reward


def test_ads_stand_where_they_may(plain):
    rows = decoded(plain, feed(bids=(3.0, 5.0, 9.0)), positions=(3, 5), insert=2).rows
    assert rows.tolist() == [0, 1, 8, 7, 2, 3]  # the best as high as may be
    assert decoded(plain, feed(), insert=0).rows.tolist() == list(range(SLOTS))


APART = Rule(name="ads apart", group={"line": "ads"}, every=3, at_most=1)


@pytest.mark.parametrize(
    ("rule", "columns", "wanted"),
    [
        (APART, {}, [8, 0, 1, 7, 2, 3]),
        (Rule(name="often", per="brand", at_most=1), {"brand": [None] * 6 + ["x", "y", "y"]}, [8, 6, 0, 1, 2, 3]),
        (Rule(name="load", weight="size", at_most=2), {"size": [0.0] * 6 + [1, 1, 2]}, [8, 0, 1, 2, 3, 4]),
        (Rule(name="load", weight="size", at_most=2), {"size": [0.0] * 6 + [1, 1, 3]}, [7, 6, 0, 1, 2, 3]),
        (Rule(name="posts", group={"line": "posts"}, first=2, at_least=1), {}, [8, 0, 7, 1, 2, 3]),
        (Rule(name="local", group={"local": True}, first=3, at_least=1), {"local": [False, True, *[False] * 7]}, None),
    ],
)
def test_rules_hold_for_ads_and_for_organics_that_ads_move_down(plain, rule, columns, wanted):
    items = feed(bids=(3.0, 5.0, 9.0), **columns)
    found = decoded(plain, items, rules=[rule])
    assert not audit.broken(found.rows, Constraints([rule], items, SLOTS).arrays).any()
    assert found.is_proven
    assert found.rows.tolist() == (wanted or [8, 0, 1, 7, 2, 3])


def test_an_item_stands_once_whichever_line_brings_it(plain):
    items = feed(posts=3, bids=(9.0,), item_id=["a", "b", "c", "a"])
    assert decoded(plain, items, 3).rows.tolist() == [3, 1, 2]
    assert decoded(plain, items, 3, reward=Reward(ad_weight=9.0)).rows.tolist() == [0, 1, 2]


def test_where_rules_collide_the_greedy_page_is_served_with_its_status(plain):
    """Four rows of line posts in the first three slots cannot be; the page breaks that by one, and says so."""
    rule = Rule(name="four posts", group={"line": "posts"}, first=3, at_least=4)
    policy = Policy.of(
        Constrain(rules=(rule,)),
        Decode(model=plain),
        lines=["posts", "ads"],
        columns={"utility": "number", "bid": "number?"},
        slots=SLOTS,
    )
    page = Feed(policy).compose(Request(candidates=feed()))
    assert (page.status.kind, page.status.relaxed[0].by, page.status.bound) == ("relaxed", 1.0, None)
    assert page.item_ids == list(range(SLOTS))
    assert page.value == pytest.approx(sum(0.5 * STAY**slot for slot in range(SLOTS)), abs=1e-6)


def test_a_ledger_and_a_trace_are_of_the_reader_who_asks(known):
    """Rows are compared by what they add to the reward, organics in their order, and lines charged by the same."""
    items, asks = bids(3), {"context": {"tenure": "old"}, "history": {"item_id": {0: 1.0}}}
    stage = Decode(model=known, reward=Reward(ad_weight=0.3))
    policy = Policy.of(stage, **{**HEAD, "context": {"tenure": ["new", "old"]}})
    one = Feed(policy)
    request = Request(candidates=items, **asks)
    rules = Constraints(stage.hard_rules, items, SLOTS)
    found = stage.select(items, SLOTS, constraints=rules, request=request)
    gains = stage.gains(items, found.rows, rules, request=request)
    assert gains.sum() == pytest.approx(found.value, rel=1e-6)
    assert abs(stage.gains(items, found.rows, rules).sum() - found.value) > 1e-3
    charges = sum(entry.charge for entry in one.account(request) if entry.line == "ads")
    kept = items.take(np.arange(8))
    posts = [row for row in found.rows.tolist() if row < 8]
    alone = stage.select(kept, SLOTS, constraints=Constraints(stage.hard_rules, kept, SLOTS), request=request).value
    own = gains[[found.rows.tolist().index(row) for row in posts]].sum()
    assert charges == pytest.approx(alone - own, rel=1e-5)
    for slot, told in enumerate(one.compose(request, trace=True).trace.slots):
        assert told.worth == pytest.approx(gains[slot], abs=1e-6)
        assert sum(part.amount for part in told.parts) == pytest.approx(gains[slot], abs=1e-6)
        other = told.runner_up
        if other is None:
            continue
        assert other.line == "ads" or other.item_id == min(set(range(8)) - set(found.rows[:slot].tolist()))
        page = found.rows.tolist()
        if other.item_id in page:
            page[page.index(other.item_id)] = page[slot]
        page[slot] = other.item_id
        instead = stage.gains(items, np.array(page, np.int32), rules, request=request).sum()
        assert other.margin == pytest.approx(found.value - instead, abs=1e-5)


def test_few_organics_make_a_short_page(plain):
    found = decoded(plain, feed(posts=2, bids=(3.0, 5.0, 9.0)))
    assert found.rows.tolist() == [4, 3, 0, 1]
    assert found.is_proven
    assert decoded(plain, feed(posts=0, bids=(3.0,))).rows.tolist() == [0]
    assert decoded(plain, feed(posts=0, bids=())).rows.tolist() == []


def test_organics_of_a_window_may_change_places(plain):
    """The third organic is worth most and may stand first; the fourth is worth more still and may not."""
    items = feed(posts=4, bids=(), quality=[1.0, 2.0, 3.0, 9.0])
    reward = Reward(engagement="quality")
    assert decoded(plain, items, 4, reward=reward).rows.tolist() == [0, 1, 2, 3]
    assert decoded(plain, items, 4, reward=reward, reorder=Reorder(window=3)).rows.tolist() == [2, 1, 0, 3]
    below = Reorder(window=2, first=2)
    assert decoded(plain, items, 4, reward=reward, reorder=below).rows.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("fields", [{}, {"method": "staged"}, {"method": "beam", "width": 4}, {"deadline_ms": 0.0}])
def test_keeps_the_promises_of_a_selector(random, fields):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        posts, ads = int(rng.integers(1, 8)), int(rng.integers(0, 5))
        items = Candidates.of(
            item_id=rng.permutation(posts + ads),
            line=["posts"] * posts + ["ads"] * ads,
            utility=rng.integers(0, 3, posts + ads).astype(float),
            bid=rng.uniform(0, 3, posts + ads),
        )
        check_selector(Decode(model=random, insert=2, positions=(2, 6), **fields), Request(candidates=items, slots=6))


def bids(seed, posts=8, ads=6):
    rng = np.random.default_rng(seed)
    n = posts + ads
    line = ["posts"] * posts + ["ads"] * ads
    return Candidates.of(line=line, utility=np.sort(rng.normal(size=n))[::-1], bid=rng.uniform(0, 3, n))


def test_a_page_is_worth_what_it_is_worth_asked_alone(random):
    for seed in range(5):
        items, stage = bids(seed), Decode(model=random, positions=(2, 8))
        rules = Constraints([*stage.hard_rules, APART], items, 8)
        found = stage.select(items, 8, constraints=rules)
        assert found.value == pytest.approx(stage.gains(items, found.rows, rules).sum(), rel=1e-6)


def test_a_prefix_may_be_asked_once_for_many_pages(random):
    """Chains below shared prefixes of all lengths, side by side, are answered as whole pages are."""
    rng, items = np.random.default_rng(1), bids(1)
    rows, is_ad = np.arange(14, dtype=np.int32), np.arange(14) >= 8
    token = prepared(random, items, Request(candidates=items), rows, is_ad).token
    page = rng.permutation(14)[:8].astype(np.int32)
    network = Prefixes(random, token)
    network.ask(one_chain(page))
    first = np.array([0, 1, 3, 6, 7, 7, 2])
    count = np.array([3, 2, 3, 2, 1, 1, 1])
    row, at, above = (np.full((7, 8), -1, np.int32) for _ in range(3))
    for one in range(7):
        above[one, : first[one]] = np.arange(1, first[one] + 1)
        row[one, : count[one]] = rng.permutation(14)[: count[one]]
        at[one, : count[one]] = 9 + 3 * one + np.arange(count[one])
    answers = network.ask(Asked(row, at, above, first, count))
    for one in range(7):
        whole = np.concatenate([page[: first[one]], row[one, : count[one]]])
        alone = Prefixes(random, token).ask(one_chain(whole))
        for answer, wanted in zip(answers, alone, strict=True):
            assert answer[one, : count[one]] == pytest.approx(wanted[0, first[one] :], abs=1e-5)


def test_what_is_above_moves_logits_by_no_more_than_the_amplitude_says(random):
    items = bids(2)
    is_ad = np.arange(14) >= 8
    found = prepared(random, items, Request(candidates=items), np.arange(14, dtype=np.int32), is_ad)
    for amplitude in (found.click_amplitude, found.leave_amplitude):
        assert (amplitude >= 0).all()
        assert (amplitude <= 0.6 + 1e-6).all()


HEAD = {"lines": ["posts", "ads"], "columns": {"utility": "number", "bid": "number?"}, "slots": SLOTS}


@pytest.mark.parametrize(
    ("fields", "head", "text"),
    [
        ({"positions": (5, 3)}, {}, "compose.decode.positions: must not end before they begin, got [5, 3]"),
        ({"ads": {"line": "adverts"}}, {}, "must be a line of the policy, got 'adverts'"),
        ({}, {"slots": 7}, "compose.decode.model.settings.slots: must be fitted on pages of 7 slots"),
        ({"reward": Reward(engagement="dwell")}, {}, "reads `dwell`"),
    ],
)
def test_what_a_policy_may_not_ask_for(plain, fields, head, text):
    with pytest.raises(PolicyError) as refused:
        Policy.of(Decode(model=plain, **fields), **(HEAD | head))
    assert text in str(refused.value)


def test_models_that_cannot_be_served_are_refused(plain):
    def other(**changes):
        told = {
            "kind": plain.kind,
            "inputs": plain.inputs,
            "graphs": plain.graphs,
            "settings": plain.settings,
            **changes,
        }
        return Model.of(told.pop("kind"), **told)

    for model, text in (
        (other(kind="prm"), "compose.decode.model.kind: must be 'decoder', got 'prm'"),
        (other(graphs={"prepare": plain.graphs["prepare"]}), "compose.decode.model: must have a graph 'extend'"),
        (other(inputs=Inputs(numbers=(Number(name="age"),), position=6)), "reads `age`"),
    ):
        with pytest.raises(PolicyError) as refused:
            Policy.of(Decode(model=model), **HEAD)
        assert text in str(refused.value)
    changed = msgspec.to_builtins(plain) | {"settings": {**plain.settings, "slots": 9}}
    with pytest.raises(msgspec.ValidationError, match="digest"):
        msgspec.convert(changed, Model)


def test_requests_that_the_decoder_cannot_answer_are_refused(plain):
    with pytest.raises(RequestError, match="slots: must be <= 6"):
        decoded(plain, feed(), slots=7)
    with pytest.raises(RequestError, match=r"candidates.bid\[7\]: must be finite"):
        decoded(plain, feed(bids=(1.0, math.inf)))


def test_what_a_page_is_worth_does_not_depend_on_which_organics_the_rules_leave_a_place(random):
    items, stage = bids(3), Decode(model=random)
    page = np.array([0, 1, 2, 8, 3, 4, 5, 9], np.int32)
    pins = [
        Rule(name=f"pin {at}", group={"item_id": at}, slots=(slot, slot), at_least=1) for at, slot in ((8, 4), (9, 8))
    ]
    free, pinned = (Constraints([*stage.hard_rules, *rules], items, 8) for rules in ((), pins))
    assert stage.select(items, 8, constraints=pinned).rows.tolist() == page.tolist()
    assert stage.gains(items, page, free) == pytest.approx(stage.gains(items, page, pinned), rel=1e-6)
