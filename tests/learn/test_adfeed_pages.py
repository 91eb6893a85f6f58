"""Nothing is worth more than the best page; what is served is what the decoder likes best, and breaks no rule."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from slatewise import Constrain, Decode, Feed, Policy, Rule
from slatewise.core.errors import RequestError
from slatewise.evaluate.adfeed import allowed, optimum, requested, reward
from slatewise.evaluate.adworld import AdWorld, catalogue
from slatewise.learn.adfeed import request_of, sample
from slatewise.learn.adfeed_pages import (
    BEST,
    DECODED,
    LOGGED,
    NONE,
    STAGED,
    expected,
    is_adfeed,
    landscape,
    stage_of,
    worths,
)
from slatewise.learn.decoders import untrained
from slatewise.models.decoder_parts import Shape
from slatewise.models.inputs import Inputs

WORLD = AdWorld(length=6, competing=5, first=2, last=5, gap=2, users=50, posts=60, ads=20)
STOCK = catalogue(WORLD)


@cache
def pages():
    return sample(12, world=WORLD, stock=STOCK, seed=0)


@cache
def decoder():
    inputs = Inputs.known(pages(), numbers=["score", "bid", "f0", "f1"], keys=["line", "topic"])
    shape = Shape(slots=6, width=16, heads=2, hidden=16, experts=2, crossed=2)
    return untrained(inputs, shape, sharpness=2.0, click=-1.0, leave=-2.0)


@cache
def report():
    return worths(decoder(), pages(), world=WORLD, stock=STOCK)


def test_no_page_is_worth_more_than_the_best_and_none_is_liked_more_than_the_exact_one():
    found = report().orders
    assert found[BEST].of_best == 1.0
    assert all(one.of_best <= 1.0 for one in found.values())
    for kind in (BEST, STAGED, NONE):
        assert found[kind].promised <= found[DECODED].promised + 1e-9
    assert found[NONE].ads == found[NONE].rpm == 0.0


def test_what_the_best_page_is_worth_is_what_the_feed_says():
    asked = [requested(WORLD, STOCK, number) for number in range(12)]
    best = [reward(WORLD, one, allowed(WORLD)).max() for one in asked]
    assert report().orders[BEST].reward.estimate == pytest.approx(np.mean(best))


def test_pages_that_break_a_rule_are_counted():
    assert {kind: one.broken for kind, one in report().orders.items()} == dict.fromkeys(report().orders, 0)
    log = pages()
    turned = np.where(log.slot > 0, WORLD.length + 1 - log.slot, 0).astype(log.slot.dtype)
    wrong = replace(log, slot=turned)
    assert worths(decoder(), wrong, world=WORLD, stock=STOCK).orders[LOGGED].broken == len(log)


def test_a_policy_of_other_prices_is_looked_at_as_well():
    columns = dict.fromkeys(("score", "bid", "value", "cost", "f0", "f1"), "number") | {"topic": "key?"}
    stage = stage_of(decoder(), WORLD, insert=1)
    apart = Constrain(rules=[Rule(name="ads apart", group={"line": "ads"}, every=WORLD.gap, at_most=1)])
    policy = Policy.of(
        apart, stage, lines=["posts", "ads"], columns=columns, slots=6, context={"patience": ["hasty", "usual"]}
    )
    assert isinstance(stage, Decode)
    with pytest.raises(RequestError, match="patience"):
        worths(decoder(), pages(), world=WORLD, stock=STOCK, feed=Feed(policy))
    known = {"context": {"patience": ["hasty", "usual", "patient"]}}
    policy = Policy.of(apart, stage, lines=["posts", "ads"], columns=columns, slots=6, **known)
    found = worths(decoder(), pages(), world=WORLD, stock=STOCK, feed=Feed(policy)).orders["policy"]
    assert found.ads <= 1.0
    assert (found.broken, found.of_best <= 1.0) == (0, True)


def test_a_landscape_has_the_best_ads_for_every_pair_of_slots():
    number = next(number for number in range(12) if optimum(WORLD, requested(WORLD, STOCK, number))[0].max() >= 6)
    found = landscape(decoder(), number, world=WORLD, stock=STOCK)
    asked, request, every = requested(WORLD, STOCK, number), request_of(WORLD, STOCK, number), allowed(WORLD)
    expects = expected(decoder(), asked, request, every, world=WORLD)
    assert found.marks[DECODED][1] == pytest.approx(expects.max(), abs=1e-6)
    assert max(found.without[0], np.nanmax(found.predicted)) == pytest.approx(expects.max())
    assert max(found.without[1], np.nanmax(found.true)) == pytest.approx(found.marks[BEST][2])
    there = ~np.isnan(found.true)
    assert there.tolist() == [[a == b or b - a >= WORLD.gap for b in found.slots] for a in found.slots]
    slots = found.marks[BEST][0]
    assert slots
    assert found.true[slots[0] - WORLD.first, slots[-1] - WORLD.first] == pytest.approx(found.marks[BEST][2])


def test_logs_of_other_feeds_are_known_and_refused():
    assert is_adfeed(pages(), WORLD, STOCK)
    other = AdWorld(**{name: getattr(WORLD, name) for name in ("length", "competing", "first", "last")}, seed=1)
    assert not is_adfeed(pages(), other, catalogue(other))
    with pytest.raises(RequestError, match="must be those of the feed with ads"):
        worths(decoder(), pages(), world=other, stock=catalogue(other))
