"""A model is judged by what is served alone as its fit judged it, on logs that it has not learned from."""

from functools import cache

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from slatewise.core.artefact import Artefact
from slatewise.core.errors import PolicyError, RequestError
from slatewise.evaluate.adworld import AdWorld, catalogue
from slatewise.learn.adfeed import sample
from slatewise.learn.decode import Phase, Recipe, fit_decode, shape_of
from slatewise.learn.evaluator import fit_evaluator, weighted
from slatewise.learn.judging import judged, learned_from
from slatewise.learn.pages import Pages
from slatewise.learn.rerank import Shape, fit_rerank, known, split
from slatewise.learn.training import Training

WORLD = AdWorld(length=6, competing=5, first=2, last=5, gap=2, users=50, posts=60, ads=20)
QUICK = Training(rate=5e-3, batch=32, epochs=1, device="cpu")


@cache
def pages():
    return sample(160, world=WORLD, stock=catalogue(WORLD), seed=0)


def inputs():
    return known(split(pages()).learned, numbers=["score", "bid", "f0"], keys=["line", "topic"], history="item_id")


@cache
def decoder():
    shape = shape_of(pages(), width=16, heads=2, hidden=16, experts=2, crossed=2)
    recipe = Recipe(phases=(Phase(learns="ground"), Phase(learns="all")))
    return fit_decode(pages(), inputs=inputs(), shape=shape, recipe=recipe, training=QUICK)


def test_a_decoder_is_judged_as_its_fit_judged_it():
    found, wanted = judged(decoder().artefact, split(pages()).held), decoder().report
    for name in ("click", "leave", "click_ground", "leave_ground", "click_amplitude", "leave_amplitude", "looseness"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-4)
    for name in ("clicks", "leaves"):
        assert np.ravel(getattr(found, name)) == pytest.approx(np.ravel(getattr(wanted, name)), abs=1e-4)
    assert (found.lists, found.violations, found.entropies) == (wanted.lists, wanted.violations, None)


def test_pages_shorter_than_a_decoder_knows_are_judged_by_the_slots_they_have():
    held = split(pages()).held
    rows = [row for one in range(len(held)) for row in held.rows([one]) if held.slot[row] in (1, 2, 3)]
    few = Pages.of(
        request=held.request,
        lists=held.lists[rows],
        keys={name: [column.name(row) for row in rows] for name, column in held.keys.items()},
        numbers={name: column[rows] for name, column in held.numbers.items()},
        slot=held.slot[rows],
        feedback={name: column[rows] for name, column in held.feedback.items()},
        context={name: [column.name(one) for one in range(len(held))] for name, column in held.context.items()},
        histories=held.histories,
    )
    found = judged(decoder().artefact, few)
    assert 0 < found.click < judged(decoder().artefact, held).click
    assert found.violations == 0


def test_a_reranker_is_judged_as_its_fit_judged_it():
    shape = Shape(width=8, blocks=1, hidden=8)
    found = fit_rerank(pages(), network="set_transformer", inputs=inputs(), shape=shape, training=QUICK)
    ranks, passes = judged(found.artefact, split(pages()).held)
    assert msgspec.to_builtins(ranks) == msgspec.to_builtins(found.report)
    assert passes == found.passes


def test_an_evaluator_is_judged_by_hand():
    odds = np.array([[0.0, np.log(3.0)], [np.log(3.0), 0.0]])
    log = Pages.of(
        request=["a", "b"],
        lists=[0, 0, 1, 1],
        keys={"item": ["p", "q", "p", "q"]},
        numbers={"odds": odds.ravel()},
        slot=[1, 2, 2, 1],
        feedback={"click": [1, 1, 0, 0]},
    )
    artefact = Artefact(section="compose.propose", settings={"model": msgspec.to_builtins(weighted({"odds": 1.0}))})
    found = judged(artefact, log)
    assert found.log_likelihood == pytest.approx((np.log(1 / 2) + np.log(3 / 4) + np.log(1 / 4) + np.log(1 / 2)) / 2)
    assert found.predicted == pytest.approx([1.25, 1.25])
    assert sorted(found.realised) == [0.0, 2.0]
    assert found.given_above is None


@pytest.mark.parametrize("part", ["learned", "judged"])
def test_a_log_that_was_learned_from_is_refused_whole_and_in_parts(part):
    artefact, parts = decoder().artefact, split(pages())
    for log in (pages(), getattr(parts, part)):
        with pytest.raises(RequestError, match=r"must be lists that compose\.decode has not learned from"):
            judged(artefact, log)
    assert not learned_from(artefact, parts.held)
    found = fit_evaluator(parts.held, members=1, width=8, inputs=inputs(), training=QUICK).artefact()
    assert learned_from(found, parts.held)
    assert not learned_from(found, parts.judged)


def test_what_cannot_be_judged_is_refused():
    artefact, held = decoder().artefact, split(pages()).held
    with pytest.raises(PolicyError, match="section: must be one of"):
        judged(Artefact(section="blend.weight", settings={}), held)
    with pytest.raises(PolicyError, match=r"settings\.model"):
        judged(Artefact(section="compose.decode", settings={}), held)
    short = Pages.of(request=["a"], lists=[0], keys={"item": ["p"]}, slot=[1], feedback={"click": [1]})
    with pytest.raises(RequestError, match=r"pages\.numbers: must have the column, which the model reads, got 'bid'"):
        judged(artefact, short)
    with pytest.raises(RequestError, match=r"pages\.feedback: must have the column"):
        judged(artefact, held, label="liked")
