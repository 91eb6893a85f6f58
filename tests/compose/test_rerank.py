"""`compose.rerank`: values exchanged, rows below kept, networks that look at order, refusals."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import torch

from slatewise import Candidates, Constrain, Feed, Policy, PolicyError, Request, RequestError, Rerank, Rule, Solve
from slatewise.learn.export import LISTS, export, weighted
from slatewise.models.inputs import Inputs, Key, Number
from slatewise.models.model import Model

QUALITY = weighted({"quality": 1.0})
ITEMS = Candidates.of(item_id=["a", "b", "c", "d"], utility=[4.0, 3.0, 2.0, 1.0], quality=[0.0, 3.0, 1.0, 9.0])


def written(items=ITEMS, **settings):
    return Rerank(**{"model": QUALITY, **settings}).annotate(items, Request(candidates=items))


class Lower(torch.nn.Module):
    """Scores each row by how far down it stands, and by its quality."""

    def forward(self, numbers, mask):
        places = torch.arange(mask.shape[1]).to(numbers.dtype)
        return numbers[:, :, 0] + 2.0 * places


@pytest.fixture(scope="module")
def lower():
    example = {"numbers": torch.zeros(2, 3, 1), "mask": torch.ones(2, 3, dtype=torch.bool)}
    graph = export(Lower(), example, names=["scores"], dynamic=LISTS)
    return Model.of(
        "prm",
        inputs=Inputs(numbers=(Number(name="quality"),), position=4),
        graphs={"score": graph},
        settings={"link": "logistic"},
    )


def test_rows_exchange_what_they_are_worth():
    found = written()
    assert found["utility"].tolist() == [1.0, 3.0, 2.0, 4.0]
    assert found["rerank"] == pytest.approx(1 / (1 + np.exp(-np.array([0.0, 3.0, 1.0, 9.0]))), abs=1e-6)


def test_rows_that_are_not_among_the_first_stay_below():
    found = written(top=3)
    assert found["utility"].tolist() == [2.0, 4.0, 3.0, 1.0]
    assert found["rerank"][3] == 0.0
    assert written(top=1)["utility"].tolist() == ITEMS.number("utility").tolist()


def test_an_order_of_equals_is_not_lost():
    items = Candidates.of(item_id=list("abcde"), utility=[1.0] * 4 + [0.0], quality=[0.0, 3.0, 1.0, 9.0, 9.0])
    found = written(items, top=3)["utility"]
    assert (np.diff(found[[1, 2, 0, 3, 4]]) < 0).all()
    assert found == pytest.approx([1.0] * 4 + [0.0])


def test_the_order_of_the_candidates_changes_nothing():
    moved = ITEMS.take(np.array([2, 0, 3, 1]))
    assert written(moved, top=3)["utility"].tolist() == written(top=3)["utility"][[2, 0, 3, 1]].tolist()


def test_an_empty_request_and_a_single_row():
    none = Candidates.of(item_id=[], utility=[], quality=[])
    assert {name: values.tolist() for name, values in written(none).items()} == {"utility": [], "rerank": []}
    one = ITEMS.take([3])
    assert written(one)["utility"].tolist() == [1.0]


def test_it_sees_the_order_that_rows_come_in(lower):
    even = Candidates.of(item_id=["a", "b"], utility=[2.0, 1.0], quality=[0.0, 0.0])
    assert written(even, model=lower, passes=1)["utility"].tolist() == [1.0, 2.0]
    assert written(even, model=lower, passes=2)["utility"].tolist() == [2.0, 1.0]  # as much, and it was there first
    worse = Candidates.of(item_id=["a", "b"], utility=[2.0, 1.0], quality=[0.0, 1.0])
    assert written(worse, model=lower, passes=2)["utility"].tolist() == [1.0, 2.0]
    assert written(worse, model=lower, passes=2, delta=0.3)["utility"].tolist() == [2.0, 1.0]


def test_a_page_is_served_in_the_new_order_and_says_why():
    apart = Rule(name="apart", group={"topic": "x"}, every=2, at_most=1)
    stages = (Rerank(model=QUALITY, by="score"), Constrain(rules=(apart,)), Solve())
    columns = {"score": "number", "quality": "number", "topic": "key"}
    feed = Feed(Policy.of(*stages, lines=["all"], columns=columns, slots=4))
    items = Candidates.of(
        item_id=list("abcd"), score=[4.0, 3.0, 2.0, 1.0], quality=[0.0, 3.0, 1.0, 9.0], topic=list("zxyx")
    )
    page = feed.compose(Request(candidates=items), trace=True)
    assert page.item_ids == ["d", "c", "b", "a"]
    step = page.trace.slots[0].steps[0]
    told = (step.stage, step.column, step.value, step.terms)
    assert told == ("compose.rerank", "utility", 4.0, {"before": 1.0, "moved": 3.0})
    feed.warm()


def test_users_context_and_history_reach_the_network():
    class Liked(torch.nn.Module):
        def forward(self, keys, context, history):
            known = (keys[:, :, :1] == history[:, None, :]) & (history[:, None, :] > 0)
            return known.any(dim=2).float() * (1.0 - 2.0 * (context[:, :1] == 1).float())

    topic = Key(name="topic", names=("x", "y", "z"))
    inputs = Inputs(keys=(topic,), context=(Key(name="mood", names=("bored",)),), history=topic, position=3)
    example = {
        "keys": torch.ones(2, 3, 1, dtype=torch.int64),
        "context": torch.ones(2, 1, dtype=torch.int64),
        "history": torch.ones(2, 20, dtype=torch.int64),
    }
    graphs = {"score": export(Liked(), example, names=["scores"])}
    stage = Rerank(model=Model.of("prm", inputs=inputs, graphs=graphs, settings={"link": "logistic"}), passes=1)
    items = Candidates.of(item_id=list("abc"), utility=[3.0, 2.0, 1.0], topic=["x", "y", "z"])

    def first(**request):
        return int(stage.annotate(items, Request(candidates=items, **request))["utility"].argmax())

    assert first() == 0
    assert first(history={"topic": {"z": 2.0}}) == 2
    assert first(history={"topic": {"x": 2.0}}, context={"mood": "bored"}) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passes": 4}, "compose.rerank.passes: must be <= 3, got 4"),
        ({"damping": 1.0}, "compose.rerank.damping: must be < 1, got 1.0"),
        ({"into": "rerank"}, "compose.rerank.into: must be another column than that of predicted clicks, got 'rerank'"),
        (
            {"model": Model.of("prm", inputs=QUALITY.inputs, graphs=QUALITY.graphs)},
            "compose.rerank.model.settings.link: must say what its scores are, as `link`: 'logistic' or 'softmax', "
            "got None",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    stage = Rerank(**{"model": QUALITY, "by": "score", **settings})
    with pytest.raises(PolicyError) as caught:
        Policy.of(stage, Solve(), lines=["all"], columns={"score": "number", "quality": "number"})
    assert str(caught.value) == message


def test_a_row_without_a_value_is_refused():
    items = Candidates.of(utility=[1.0, np.nan], quality=[0.0, 1.0], kinds={"utility": "number?"})
    with pytest.raises(RequestError, match=r"candidates\.utility\[1\]: must be finite"):
        written(items)
