"""Generators: labels teach them what is good, an evaluator what is good together, and short lists stay whole."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import torch

from slatewise import RequestError
from slatewise.learn.evaluator import FittedEvaluator
from slatewise.learn.generate import fit_parallel, fit_pointer
from slatewise.learn.generating import Judge
from slatewise.learn.pages import Pages
from slatewise.learn.training import Training
from slatewise.models.inputs import Inputs, Key, Number
from slatewise.models.model import Model
from slatewise.models.pointer import PointerNetwork

FITS = {"pointer": fit_pointer, "parallel": fit_parallel}
INPUTS = Inputs(numbers=(Number(name="quality"),), keys=(Key(name="topic", names=("t0", "t1")),), position=6)
QUICK = Training(rate=1e-2, batch=64, epochs=8, patience=3)
SLOW = Training(rate=3e-3, batch=32, epochs=10, patience=10)


def lists(number, *, rows=6, seed=0):
    """Return lists in which the two rows of largest quality are good, and the score says nothing."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=(number, rows))
    good = np.argsort(np.argsort(-quality, axis=1), axis=1) < 2
    return Pages.of(
        request=[f"r{place}" for place in range(number)],
        lists=np.repeat(np.arange(number), rows),
        keys={
            "item": [f"i{place}" for place in range(number * rows)],
            "topic": [f"t{place % 2}" for place in range(number * rows)],
        },
        numbers={"quality": quality.ravel(), "score": rng.normal(size=number * rows)},
        feedback={"click": good.ravel().astype(float)},
    )


@pytest.mark.parametrize("kind", FITS)
def test_rows_that_are_good_come_first(kind):
    found = FITS[kind](lists(400), slots=3, inputs=INPUTS, training=QUICK)
    assert found.report.ndcg > 0.9 > found.report.first_stage + 0.2
    assert found.report.parity < 1e-5
    fresh = lists(50, seed=1)
    scores = fresh.padded(found.ranked(fresh), 6)
    good = fresh.padded(fresh.labels("click"), 6)
    assert np.take_along_axis(good, np.argsort(-scores, axis=1)[:, :2], axis=1).mean() > 0.9
    assert all(len(set(row)) == 6 for row in scores.tolist())


class Apart(torch.nn.Module):
    """An evaluator that wants neighbours of different topics, the first of them t0."""

    def forward(self, numbers, keys, context, history, mask):
        same = torch.cat([keys[:, :1, 0] == 2, keys[:, 1:, 0] == keys[:, :-1, 0]], dim=1)
        click = torch.where(same, 0.1, 0.5)[None]
        return torch.ones_like(click), click


@pytest.mark.parametrize("kind", FITS)
def test_an_evaluator_teaches_what_is_good_together(kind):
    networks = Apart()
    networks.weight = torch.nn.Parameter(torch.zeros(1))
    model = Model.of("evaluator", inputs=INPUTS, graphs={"score": b"none"})
    judge = Judge(FittedEvaluator(model, None, networks))
    found = FITS[kind](lists(400), slots=4, judge=judge, inputs=INPUTS, training=SLOW)
    assert found.report.value > found.report.first_value + 0.3


def test_values_are_of_the_pages_and_of_what_clicks_are_worth():
    model = Model.of("evaluator", inputs=INPUTS, graphs={"score": b"none"})
    networks = Apart()
    judge = Judge(FittedEvaluator(model, None, networks), worth={"quality": 2.0}, cost={"score": 1.0})
    pages = lists(2)
    batch = {name: torch.from_numpy(array) for name, array in judge.arrays(pages).items()}
    rows = np.array([[3, 1], [0, 5]])
    topics, quality, score = (
        pages.padded(column, 6)
        for column in (pages.keys["topic"].codes, pages.numbers["quality"], pages.numbers["score"])
    )
    lines = np.arange(2)[:, None]
    same = topics[lines, rows][:, 1] == topics[lines, rows][:, 0]
    click = np.column_stack([np.where(topics[lines, rows][:, 0] == 1, 0.1, 0.5), np.where(same, 0.1, 0.5)])
    wanted = (click * 2.0 * quality[lines, rows] - score[lines, rows]).sum(axis=1)
    assert judge.values(batch, torch.from_numpy(rows)).numpy() == pytest.approx(wanted, abs=1e-5)


def test_a_path_is_as_likely_as_its_steps_and_all_paths_are_certain():
    torch.manual_seed(0)
    network = PointerNetwork(INPUTS.sizes, width=8).eval()
    paths = torch.tensor([[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]])
    mask = torch.tensor([[True, True, True, False]]).expand(6, -1)
    empty = torch.zeros(6, 0, dtype=torch.long)
    with torch.no_grad():
        encoded = network(
            torch.arange(4.0)[None, :, None].expand(6, -1, -1), torch.ones(6, 4, 1).long(), empty, empty, mask
        )
        told = network.followed(encoded, mask, paths)
    likely = told.gather(2, paths[:, :, None])[:, :, 0].sum(dim=1).exp()
    assert float(likely.sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", FITS)
def test_lists_shorter_than_a_page(kind):
    pages = lists(60, rows=2)
    found = FITS[kind](pages, slots=10, inputs=INPUTS, training=Training(epochs=1))
    assert found.slots == 2
    assert all(len(set(row)) == 2 for row in pages.padded(found.ranked(pages), 2).tolist())


def test_the_same_seed_gives_the_same_model_and_report():
    few = Training(epochs=1)
    for fit in FITS.values():
        found, again = (fit(lists(60), inputs=INPUTS, training=few) for _ in range(2))
        assert found.model.digest == again.model.digest
        assert found.report == again.report
        assert not any(part.training for part in found.network.modules()), "nothing is dropped when pages are made"


def test_refusals():
    with pytest.raises(RequestError, match=r"pages\.feedback: must have the column, got 'like'"):
        fit_pointer(lists(20), label="like")
    pages = Pages.of(request=["one"], lists=[0], keys={"item": ["a"]}, feedback={"click": [0.0]})
    with pytest.raises(RequestError, match=r"pages\.click: must be >= 0, and somewhere more, got 0"):
        fit_parallel(pages)
    with pytest.raises(RequestError, match="slots: must be >= 1, got 0"):
        fit_pointer(lists(20), slots=0)
    with pytest.raises(RequestError, match=r"pages\.click: must be above 0 somewhere in lists that are held back"):
        fit_pointer(lists(20), groups=np.zeros(20))


def test_what_a_judge_counts_has_to_be_in_the_log():
    judge = FittedEvaluator(Model.of("evaluator", inputs=INPUTS, graphs={"score": b"-"}), None, Apart())
    with pytest.raises(RequestError, match=r"worth: must be of columns of the log, got 'qualty'; .*quality"):
        Judge(judge, worth={"qualty": 1.0}).arrays(lists(3))
    told = lists(3)
    told.numbers["quality"][4] = np.nan
    with pytest.raises(RequestError, match=r"pages\.quality: must not be missing to be part of `cost`, got 1 rows"):
        Judge(judge, cost={"quality": 1.0}).arrays(told)
