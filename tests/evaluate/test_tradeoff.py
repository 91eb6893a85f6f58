"""Trade-offs: known pages, known figures; what is measured of which column; what is refused."""

from math import isnan, log, log2

import numpy as np
import pytest

from slatewise import Candidates, Constrain, Policy, Request, Rule, Solve
from slatewise.compose.spread import Spread, StrengthSegment
from slatewise.compose.terms import Balance, Similar, Spacing, Term
from slatewise.core.errors import SlatewiseError
from slatewise.evaluate.gauges import Gauge, gauges_of, measured
from slatewise.evaluate.tradeoff import Tally, compared, steps_of, trials, with_variant

COLUMNS = {"utility": "number", "vector": "embedding", "topic": "key"}
LOOK_ALIKES = Term(name="look-alikes", variant="mmr", similar=(Similar(cosine="vector"), Similar(same="topic")))
BELOW = 1 / log2(3)
"""What the second slot counts."""


def policy(*stages, lines=("all",), slots=2, columns=COLUMNS):
    return Policy.of(*(stages or (Spread(terms=(LOOK_ALIKES,)),)), lines=list(lines), columns=columns, slots=slots)


def request(*rows, **more):
    """Return a request for rows of (item, utility, vector, topic)."""
    item_id, utility, vector, topic = map(list, zip(*rows, strict=True))
    return Request(
        candidates=Candidates.of(item_id=item_id, utility=utility, vector=vector, topic=topic, kinds=COLUMNS), **more
    )


def tradeoff(policies, requests, strengths, columns=()):
    tally = Tally(policies, strengths=strengths, columns=columns)
    for trial in trials(policies, requests, strengths=strengths):
        tally.add(trial)
    return tally.tradeoff()


def test_known_pages_have_known_figures():
    """The first request serves a, b at 0 and 0.1; at 0.4 a, c, as 0.36 - 0.2 beats 0.54 - 0.4; at 0.8 a, d.

    The second has only two items, and no history.
    """
    first = request(
        ("a", 1.0, [1, 0], "war"),
        ("b", 0.9, [1, 0], "war"),
        ("c", 0.6, [0, 1], "war"),
        ("d", 0.1, [0, 1], "art"),
        history={"topic": {"war": 1, "art": 1}},
    )
    second = request(("e", 1.0, [1, 0], "art"), ("f", 0.5, [0, 1], "war"))
    found = tradeoff({"mmr": policy()}, [first, second], [0.8, 0.1, 0.4])
    assert (found.requests, found.items, found.small, found.windows) == (2, 6, 1, {"topic": None})
    points = found.arms[0].points
    assert [point.strength for point in points] == [0, 0.1, 0.4, 0.8]

    def told(measure):
        return pytest.approx([measure(point) for point in points])

    values = [(1 + worth * BELOW + 1 + 0.5 * BELOW) / 2 for worth in (0.9, 0.9, 0.6, 0.1)]
    assert values == told(lambda point: point.value)
    assert [value / values[0] for value in values] == told(lambda point: point.kept)
    ndcg = [((1 + worth * BELOW) / (1 + 0.9 * BELOW) + 1) / 2 for worth in (0.9, 0.9, 0.6, 0.1)]
    assert ndcg == told(lambda point: point.ndcg)
    one_topic = 0.5 * log(0.5 / 0.995) + 0.5 * log(0.5 / 0.005)
    known = {
        ("vector", "ild"): [0.5, 0.5, 1, 1],
        ("vector", "ilmd"): [0.5, 0.5, 1, 1],
        ("topic", "entropy"): [log(2) / 2, log(2) / 2, log(2) / 2, log(2)],
        ("topic", "run"): [1.5, 1.5, 1.5, 1],
        ("topic", "repeats"): [0.5, 0.5, 0.5, 0],
        ("topic", "divergence"): [one_topic, one_topic, one_topic, 0],
    }
    for (column, measure), wanted in known.items():
        assert wanted == told(lambda point, c=column, m=measure: point.columns[c][m]), (column, measure)
    unequal = 8 / (12 * (1 + BELOW))  # exposures 0, 0, BELOW, BELOW, 1, 1
    assert [(point.coverage, point.gini) for point in points] == [pytest.approx((4 / 6, unequal))] * 4
    assert [one.strength for one in found.arms[0].within] == [0.1, 0.1, 0.1]


def test_strength_zero_keeps_everything_and_segments_and_give_up_do_not_interfere():
    rng = np.random.default_rng(3)
    rows = [(row, float(rng.random()), rng.normal(size=3).tolist(), "ab"[row % 2]) for row in range(20)]
    always = StrengthSegment(when={}, strength=0.9)
    firm = Spread(terms=(LOOK_ALIKES,), give_up=0.0, strength=0.7, segments=(always,))
    arms = {"plain": policy(slots=5), "firm": policy(firm, slots=5)}
    found = tradeoff(arms, [request(*rows, history={"topic": {"a": 1}})], [0.5, 1])
    assert found.arms[0].points == found.arms[1].points
    start, _, end = found.arms[0].points
    assert (start.kept, start.ndcg) == (1, 1)
    assert end.kept < start.kept
    assert end.columns["vector"]["ild"] > start.columns["vector"]["ild"]


def test_rules_and_other_lines_are_no_loss_of_ndcg_but_what_they_keep_off_is():
    """An item that two lines nominate counts once; a rule that holds the best item back does cost."""
    items = Candidates.of(
        item_id=["a", "a", "b"],
        line=["posts", "ads", "posts"],
        utility=[1.0, 0.8, 0.5],
        vector=[[1, 0], [1, 0], [0, 1]],
        topic=["x", "x", "y"],
        kinds=COLUMNS,
    )
    off = Constrain(rules=(Rule(name="no a", group={"item_id": "a"}, at_most=0, priority="contractual"),))
    arms = {name: policy(*stages, Spread(), lines=["posts", "ads"]) for name, stages in (("free", ()), ("off", (off,)))}
    found = tradeoff(arms, [Request(candidates=items)], [])
    assert [arm.points[0].ndcg for arm in found.arms] == pytest.approx([1, 0.5 / (1 + 0.5 * BELOW)])
    assert [arm.points[0].kept for arm in found.arms] == [1, 1]


def test_utilities_below_zero_have_no_ndcg_and_no_share():
    found = tradeoff({"mmr": policy()}, [request(("a", -1.0, [1, 0], "x"), ("b", -2.0, [0, 1], "y"))], [1])
    assert isnan(found.arms[0].points[0].ndcg)
    assert isnan(found.arms[0].points[0].kept)
    assert [one.strength for one in found.arms[0].within] == [None] * 3


def test_a_variant_is_the_policy_with_another_first_term():
    conditioned = Term(name="look-alikes", variant="dpp", similar=(Similar(cosine="vector"),), given="items", window=3)
    other = Term(name="topics", variant="gap", similar=(Similar(same="topic"),))
    found = with_variant(policy(Spread(terms=(conditioned, other), strength=0.2)), "mmr").stages[-1]
    plain = Term(name="look-alikes", variant="mmr", similar=(Similar(cosine="vector"),), window=3)
    assert found == Spread(terms=(plain, other), strength=0.2)


def test_columns_are_measured_as_the_stage_looks_at_them():
    kinds = {
        "utility": "number",
        "vector": "embedding",
        "author": "key",
        "tags": "keys",
        "path": "keys",
        "near": "keys",
    }
    alike = (Similar(overlap="tags"), Similar(prefix="path"), Similar(linked="near"), Similar(same="line"))
    spread = Spread(
        terms=(Term(name="alike", variant="mmr", similar=alike, window=4),),
        spacing=(Spacing(name="ida", group={"author": "ida", "local": True}, within=3, weight=1.0),),
        balance=(Balance(column="tags", weight=1.0), Balance(column="line", weight=1.0)),
    )
    assert gauges_of(spread, kinds, ["vector"]) == (
        Gauge("tags", "keys", 4),
        Gauge("path", "prefix", 4),
        Gauge("line", "key", 4),
        Gauge("author", "key", 3),
        Gauge("vector", "embedding"),
    )


def test_lists_missing_values_and_empty_slots_are_measured():
    items = Candidates.of(
        item_id=[0, 1, 2],
        vector=[[1.0, 0.0], None, [0.0, 1.0]],
        tags=[["a", "b"], ["b"], None],
        path=[["p", "q"], ["p"], ["q", "p"]],
        kinds={"vector": "embedding?", "tags": "keys?", "path": "keys"},
    )
    board = np.array([[0, 1, -1], [0, 1, 2]])
    apart, alone = measured(Gauge("vector", "embedding"), items, board, {}).tolist()[::-1]
    assert apart == [1, 1]
    assert np.isnan(alone).all()
    tags = measured(Gauge("tags", "keys"), items, board, {"a": 1, "b": 3, "c": 0})
    quarter = 0.25 * log(4) + 0.75 * log(4 / 3)  # half of the first, all of the second: a 1/4, b 3/4
    assert tags == pytest.approx(np.array([[quarter, 2, 1, 0]] * 2), abs=1e-12)
    path = measured(Gauge("path", "prefix", 1), items, board, {"p": 1})
    assert path[:, 1:3].tolist() == [[2, 1], [2, 1]]
    assert np.isnan(path[:, 3]).all()


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: steps_of([0.5, 1.5]), "strengths: must be >= 0 and <= 1, got 1.5"),
        (lambda: with_variant(policy(), "dppp"), "variants: must be one of .*got 'dppp'; did you mean 'dpp'"),
        (lambda: with_variant(policy(Spread()), "dpp"), "compose.spread.terms: must not be empty where variants"),
        (
            lambda: with_variant(policy(Spread(terms=(clipped(),))), "dpp"),
            "variants: term 'clipped' clips cosines, which dpp cannot do with",
        ),
        (lambda: Tally({"page": policy(Solve())}), "compose.solve: has no strength; a trade-off is for policies"),
        (
            lambda: Tally({"mmr": policy()}, columns=["topics"]),
            "columns: must be columns of keys, .*got 'topics'; did you mean 'topic'",
        ),
        (lambda: tradeoff({"mmr": policy()}, [], [1]), "requests: must be at least one"),
        (lambda: compared([("a", policy()), ("a", policy())]), "policies: must have different names, got a"),
        (
            lambda: compared([("a", policy()), ("b", policy(lines=["posts"]))]),
            "b: must have the lines and columns of a, to take the same requests",
        ),
    ],
)
def test_refusals(act, told):
    with pytest.raises(SlatewiseError, match=told):
        act()


def clipped():
    return Term(name="clipped", variant="mmr", similar=(Similar(cosine="vector", negative="clip"),))
