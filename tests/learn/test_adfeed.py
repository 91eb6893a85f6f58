"""Logs of the feed with ads: propensities by enumeration, readers who do as the truth says, the same rows served."""

from itertools import permutations

import numpy as np
import pytest

from slatewise import RequestError
from slatewise.evaluate.adfeed import patterns, requested, truth
from slatewise.evaluate.adworld import AdWorld, catalogue
from slatewise.learn.adfeed import Logging, columns_of, request_of, sample

SMALL = AdWorld(users=5, posts=30, ads=8, advertisers=3, length=6, competing=4, first=2, last=5, gap=2, most=2, seed=3)
DEEP = AdWorld(users=5, posts=60, ads=8, length=12, competing=4, most=3, gap=3)


@pytest.fixture(scope="module")
def log():
    world = AdWorld()
    stock = catalogue(world)
    return world, stock, sample(1500, world=world, stock=stock, seed=1)


def by_enumeration(world, weights, chances):
    """Return how likely each row stands in each slot, from all that can be drawn."""
    found = np.zeros((world.length + world.competing, world.length))
    for ads, chance in enumerate(chances):
        for slots in patterns(world, ads):
            for drawn in permutations(range(world.competing), ads):
                likely, left = chance / len(patterns(world, ads)), 1.0
                for ad in drawn:
                    likely *= weights[ad] / left
                    left -= weights[ad]
                page = iter(range(world.length))
                ad = iter(drawn)
                for slot in range(world.length):
                    row = world.length + next(ad) if slot in slots else next(page)
                    found[row, slot] += likely
    return found


@pytest.mark.parametrize(
    ("world", "chances"), [(SMALL, (0.2, 0.3, 0.5)), (DEEP, (0.1, 0.2, 0.3, 0.4)), (SMALL, (1.0,))]
)
def test_propensities_are_those_of_all_that_can_be_drawn(world, chances):
    stock = catalogue(world)
    logging = Logging(ads=chances, follow=0.7)
    pages = sample(12, world=world, stock=stock, seed=5, logging=logging)
    names = pages.keys["item"]
    for number in range(12):
        request = requested(world, stock, number)
        weights = request.score[world.length :] ** 0.7
        wanted = by_enumeration(world, weights / weights.sum(), chances)
        items = columns_of(world, stock, request)["item"]
        for row in pages.rows([number]):
            place = items.index(names.name(row))
            if pages.slot[row]:
                assert pages.propensity[row] == pytest.approx(wanted[place, pages.slot[row] - 1], rel=1e-9)
            else:
                assert np.isnan(pages.propensity[row])


def test_readers_do_as_the_truth_says(log):
    world, stock, pages = log
    seen_there, clicked_there, exposed, clicks = [], [], [], []
    for number in range(len(pages)):
        rows = pages.rows([number])
        rows = rows[pages.slot[rows] > 0]
        rows = rows[np.argsort(pages.slot[rows])]
        items = columns_of(world, stock, requested(world, stock, number))["item"]
        page = np.array([[items.index(pages.keys["item"].name(row)) for row in rows]], np.int32)
        seen, click = truth(world, requested(world, stock, number), page)
        seen_there.append(seen[0])
        clicked_there.append(click[0])
        exposed.append(pages.feedback["exposed"][rows])
        clicks.append(pages.feedback["click"][rows])
    seen, click, exposed, clicks = map(np.array, (seen_there, clicked_there, exposed, clicks))
    assert (np.diff(exposed, axis=1) <= 0).all()  # who has left does not come back
    assert (np.isnan(clicks) == (exposed == 0)).all()
    spread = np.sqrt((seen * (1 - seen)).sum(axis=0))
    assert (np.abs((exposed - seen).sum(axis=0)) <= 4 * spread).all()
    there = exposed == 1
    error = np.where(there, clicks - click, 0.0)
    assert np.abs(error.sum()) < 4 * np.sqrt((click * (1 - click))[there].sum())
    tilt = (error * (click - click[there].mean())).sum()  # calibrated along the prediction, too
    assert np.abs(tilt) < 4 * np.sqrt((click * (1 - click) * (click - click[there].mean()) ** 2)[there].sum())


def test_a_log_is_the_same_for_the_same_seed_and_its_parts_can_be_drawn_alone(log):
    world, stock, pages = log
    part = sample(20, world=world, stock=stock, seed=1, start=30)
    assert part.digest == pages.take(np.arange(30, 50)).digest
    other = sample(20, world=world, stock=stock, seed=2, start=30)
    assert other.digest != part.digest
    assert sorted(other.keys["item"].names) == sorted(part.keys["item"].names)  # other pages of the same requests


def test_what_is_served_has_the_columns_that_were_logged(log):
    world, stock, pages = log
    request = request_of(world, stock, 7)
    rows = pages.rows([7])
    served = [request.candidates.item_id[row] for row in range(len(request.candidates))]
    order = [served.index(pages.keys["item"].name(row)) for row in rows]
    for name, logged in pages.numbers.items():
        np.testing.assert_array_equal(request.candidates.number(name)[order], logged[rows])
    for name in ("line", "topic", "advertiser"):
        column = request.candidates.key(name)
        assert [column.name(row) for row in order] == [pages.keys[name].name(row) for row in rows]
    assert request.context == {"patience": pages.context["patience"].name(7)}
    ranked = sorted(request.history["item_id"], key=request.history["item_id"].get, reverse=True)
    assert tuple(ranked) == pages.histories["item"].row(7)
    asked = requested(world, stock, 7)
    np.testing.assert_array_equal(request.candidates.number("score"), asked.score)
    np.testing.assert_allclose(
        request.candidates.number("similarity"),
        sum(request.candidates.number(f"f{d}") * request.candidates.number(f"u{d}") for d in range(world.dims)),
        rtol=1e-9,
    )


@pytest.mark.parametrize("chances", [(0.5, 0.6), (1.5, -0.5), (0.25, 0.25, 0.25, 0.25), ()])
def test_a_policy_that_is_none_is_refused(chances):
    with pytest.raises(RequestError, match=r"logging.ads: must be chances of 0 to 2 ads, with a sum of 1, got \("):
        sample(1, world=SMALL, stock=catalogue(SMALL), seed=0, logging=Logging(ads=chances))
