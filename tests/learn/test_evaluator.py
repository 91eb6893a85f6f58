"""Evaluators: what is shown in its order, what nobody knows teaches nothing, and the truth is found."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import torch

from slatewise import RequestError
from slatewise.core.columns import Keys
from slatewise.learn.evaluator import fit_evaluator
from slatewise.learn.generate import fit_parallel
from slatewise.learn.pages import Pages
from slatewise.learn.shown import parts_of, served
from slatewise.learn.training import Training
from slatewise.models import runtime
from slatewise.models.evaluator import Ensemble, Evaluator
from slatewise.models.inputs import Inputs, Key

QUICK = Training(rate=1e-2, batch=128, epochs=12, patience=3)


def world(lists, *, seed=0, exposure=False):
    """Return pages of four: a row is clicked with 0.6 below one of another topic, with 0.1 below one of its own."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(2, size=(lists, 4))
    same = np.concatenate([np.zeros((lists, 1), bool), topics[:, 1:] == topics[:, :-1]], axis=1)
    seen = np.cumprod(rng.random((lists, 4)) < 0.8, axis=1)
    click = (rng.random((lists, 4)) < np.where(same, 0.1, 0.6)) * (seen if exposure else 1.0)
    feedback = {"click": np.where(seen > 0, click, np.nan) if exposure else click, "exposed": seen.astype(float)}
    return Pages.of(
        request=[f"r{place:05d}" for place in range(lists)],
        lists=np.repeat(np.arange(lists), 4),
        keys={"item": [f"i{place}" for place in range(4 * lists)], "topic": [f"t{one}" for one in topics.ravel()]},
        slot=np.tile(np.arange(1, 5), lists),
        feedback={name: column.ravel() for name, column in feedback.items()},
    )


INPUTS = Inputs(keys=(Key(name="topic", names=("t0", "t1")),), position=4)


@pytest.fixture(scope="module")
def fitted():
    return fit_evaluator(world(3000, exposure=True), exposed="exposed", inputs=INPUTS, members=2, training=QUICK)


def chances(model, topics):
    keys = np.array(topics, np.int64)[:, :, None]
    empty = {"numbers": np.zeros((*keys.shape[:2], 0), np.float32), "context": np.zeros((len(keys), 0), np.int64)}
    mask = np.ones(keys.shape[:2], bool)
    found = runtime.run(model, "score", keys=keys, history=np.zeros((len(keys), 0), np.int64), mask=mask, **empty)
    return tuple(one.mean(axis=0) for one in found)


def test_a_click_depends_on_the_row_above(fitted):
    seen, click = chances(fitted.model, [[1, 2, 1, 2], [1, 1, 2, 2]])
    assert click[0] == pytest.approx(np.full(4, 0.6), abs=0.12)
    assert click[1] == pytest.approx([0.6, 0.1, 0.6, 0.1], abs=0.12)
    assert seen == pytest.approx(np.tile(0.8 ** np.arange(1, 5), (2, 1)), abs=0.05)


def test_seeing_is_what_explains_clicks_where_nobody_says_what_was_seen():
    """Down the page clicks get rarer by the same factor whatever the row; that nobody looks is the only explanation."""
    pages = world(3000, exposure=True)
    unsaid = Pages.of(
        request=pages.request,
        lists=pages.lists,
        keys={name: [column.name(row) for row in range(len(pages.slot))] for name, column in pages.keys.items()},
        slot=pages.slot,
        feedback={"click": pages.labels("click")},
    )
    found = fit_evaluator(unsaid, inputs=INPUTS, members=1, training=QUICK)
    seen, click = chances(found.model, [[1, 2, 1, 2], [1, 1, 2, 2]])
    wanted = 0.8 ** np.arange(1, 5) * np.array([[0.6, 0.6, 0.6, 0.6], [0.6, 0.1, 0.6, 0.1]])
    assert seen * click == pytest.approx(wanted, abs=0.1)
    assert seen[0, 3] < 0.8 * seen[0, 0]


def test_the_report_is_of_lists_that_were_not_learned_from(fitted):
    report = fitted.report
    assert report.lists == 2 * 3000 // 8
    assert sum(report.predicted) == pytest.approx(sum(report.realised), rel=0.06)
    assert report.predicted[-1] > 2 * report.predicted[0]
    assert report.parity < 1e-5


def test_the_same_seed_gives_the_same_model():
    pages, few = world(200), Training(rate=1e-2, batch=64, epochs=2)
    first, again = (fit_evaluator(pages, inputs=INPUTS, members=1, training=few).model.digest for _ in range(2))
    other = fit_evaluator(pages, inputs=INPUTS, members=1, training=Training(rate=1e-2, batch=64, epochs=2, seed=1))
    assert first == again != other.model.digest


def test_rows_come_in_the_order_of_their_slots_and_others_are_left_out():
    pages = Pages.of(
        request=["one", "two"],
        lists=[0, 0, 0, 1],
        keys={"item": list("abcd"), "topic": ["t0", "t1", "t1", None]},
        numbers={"score": [3.0, 2.0, 1.0, 1.0]},
        slot=[2, 0, 1, 1],
        feedback={"click": [1.0, 1.0, np.nan, 0.0], "exposed": [0.0, 1.0, 1.0, np.nan]},
    )
    arrays = served(INPUTS, pages, exposed="exposed")
    assert arrays["mask"].tolist() == [[True, True], [True, False]]
    assert arrays["keys"][:, :, 0].tolist() == [[2, 1], [0, 0]]
    assert arrays["label"].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert arrays["told"].tolist() == [[False, False], [True, False]], "nobody knows of a click; was not seen; may be"
    assert served(INPUTS, pages)["told"].tolist() == [[False, True], [True, False]]


def test_what_is_padded_changes_nothing_and_seeing_never_rises():
    torch.manual_seed(0)
    network = Ensemble([Evaluator(INPUTS.sizes, width=8) for _ in range(2)]).eval()
    network.seen_power.fill_(1.0)
    keys = torch.tensor([[[1], [2], [1]]])
    longer = torch.cat([keys, torch.tensor([[[2], [1]]])], dim=1)

    def asked(keys, there):
        mask = torch.arange(keys.shape[1])[None] < there
        empty = torch.zeros(1, 0, dtype=torch.long)
        with torch.no_grad():
            return network(torch.zeros(1, keys.shape[1], 0), keys, empty, empty, mask)

    for short, padded in zip(asked(keys, 3), asked(longer, 3), strict=True):
        assert padded[:, :, :3].numpy() == pytest.approx(short.numpy(), abs=1e-6)
    seen, _ = asked(longer, 5)
    assert (seen.diff(dim=2) <= 0).all()


def test_clicks_below_are_not_told_to_those_above():
    torch.manual_seed(0)
    network = Evaluator(INPUTS.sizes, width=8).eval()
    keys, empty = torch.tensor([[[1], [2], [1], [2]]]), torch.zeros(1, 0, dtype=torch.long)
    read = network(torch.zeros(1, 4, 0), keys, empty, empty, torch.ones(1, 4, dtype=torch.bool))
    given = [network.given(read, torch.tensor([clicked])) for clicked in ([0.0, 0, 0, 0], [0.0, 1, 0, 0])]
    assert torch.equal(given[0][:, :2], given[1][:, :2])
    assert not torch.isclose(given[0][:, 2:], given[1][:, 2:]).any()


def test_whole_groups_are_held_back():
    groups = np.repeat(np.arange(50), 4)
    parts = parts_of(world(200), groups, 8, seed=3)
    assert all(len(set(parts[groups == group])) == 1 for group in range(50))
    assert set(np.bincount(parts)) == {24, 28}


def test_refusals():
    pages = world(20)
    with pytest.raises(RequestError, match=r"pages\.feedback: must have the column, got 'clicks'; .*click"):
        fit_evaluator(pages, click="clicks", inputs=INPUTS)
    candidates = Pages.of(request=["one"], lists=[0], keys={"item": ["a"]}, feedback={"click": [1.0]})
    with pytest.raises(RequestError, match=r"pages\.slot: must be given for pages that were shown, got none"):
        fit_evaluator(candidates)
    with pytest.raises(RequestError, match="members: must be >= 1, got 0"):
        fit_evaluator(pages, members=0)
    with pytest.raises(RequestError, match=r"pages\.user: must tell groups of lists apart, .*, got 2"):
        fit_evaluator(pages, inputs=INPUTS, members=3, groups=np.arange(20) % 2)


def test_which_part_of_the_log_a_list_is_in_is_never_read():
    """It says nothing of a request, and no request has it."""
    told = world(40)
    told = replace(told, context={"part": Keys(np.arange(40, dtype=np.int32) % 2, ("train", "test"))})
    few = Training(rate=1e-2, batch=32, epochs=1)
    assert not fit_evaluator(told, members=1, training=few).model.inputs.context
    assert not fit_parallel(told, slots=2, training=few).model.inputs.context
