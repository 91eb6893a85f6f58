"""The feed with ads: the truth against a slow twin, what causes what, and that the page matters."""

from itertools import permutations
from math import comb, exp

import numpy as np
import pytest

from slatewise import RequestError
from slatewise.evaluate.adfeed import allowed, optimum, parts, patterns, requested, reward, truth
from slatewise.evaluate.adworld import AdWorld, catalogue

SMALL = AdWorld(users=5, posts=30, ads=8, advertisers=3, length=6, competing=4, first=2, last=5, gap=2, seed=3)


@pytest.fixture(scope="module")
def feed():
    world = AdWorld()
    return world, catalogue(world)


def slow_page(world, request, page):
    """Return seen and click of one page, written from the formulas."""
    seen, click, stays = [], [], 1.0
    for slot, row in enumerate(page):
        above = page[:slot]
        ads_above = [one for one in above if request.brand[one] >= 0]
        fit = request.like[row, above[-1]] if slot else 0.0
        odds, leave = request.base[row], request.leaving + request.dullness[row]
        if request.brand[row] >= 0:
            odds += world.related * fit - world.ad_fatigue * len(ads_above)
            odds -= world.same_advertiser * sum(request.brand[one] == request.brand[row] for one in ads_above)
            leave += world.annoyed * (1 - fit) + world.weary * (len(ads_above) + 1)
        else:
            twice = request.like[row, above[-2]] if slot > 1 else 0.0
            odds -= world.repeated * (max(fit, 0) + 0.5 * max(twice, 0)) + world.fatigue * len(ads_above)
            leave += world.weary * len(ads_above)
        seen.append(stays)
        click.append(1 / (1 + exp(-odds)))
        stays *= 1 - 1 / (1 + exp(-leave))
    return seen, click


def slow_worth(world, request, page):
    seen, click = slow_page(world, request, page)
    return sum(
        s * (c * (request.bid[row] + world.engagement * request.value[row]) - world.load_price * request.cost[row])
        for s, c, row in zip(seen, click, page, strict=True)
    )


def test_the_truth_is_that_of_a_slow_twin():
    stock = catalogue(SMALL)
    for number in range(5):
        request = requested(SMALL, stock, number)
        pages = allowed(SMALL)
        seen, click = truth(SMALL, request, pages)
        for place in range(0, len(pages), 7):
            slow = slow_page(SMALL, request, pages[place].tolist())
            np.testing.assert_allclose([seen[place], click[place]], slow, rtol=1e-12)
        best, worth = optimum(SMALL, request)
        by_hand = {tuple(page): slow_worth(SMALL, request, page) for page in pages.tolist()}
        assert tuple(best.tolist()) == max(by_hand, key=by_hand.get)
        assert worth == pytest.approx(max(by_hand.values()), rel=1e-12)
        np.testing.assert_allclose(reward(SMALL, request, pages), list(by_hand.values()), rtol=1e-10)


@pytest.mark.parametrize(("slots", "gap", "most", "ads"), [(10, 4, 2, 20), (7, 3, 3, 4), (4, 5, 2, 3), (5, 1, 3, 3)])
def test_all_pages_are_those_that_keep_the_rules_each_once(slots, gap, most, ads):
    world = AdWorld(length=slots + 2, competing=ads, first=2, last=slots + 1, gap=gap, most=most)
    pages = allowed(world)
    count = sum(
        len(list(permutations(range(ads), some))) * comb(max(slots - max(some - 1, 0) * (gap - 1), 0), some)
        for some in range(most + 1)
    )
    assert len(pages) == len({tuple(page) for page in pages.tolist()}) == count
    assert pages[0].tolist() == list(range(world.length))
    for page in pages[:: max(len(pages) // 500, 1)]:
        standing = np.flatnonzero(page >= world.length)
        assert len(standing) <= most
        assert all(world.first - 1 <= slot <= world.last - 1 for slot in standing)
        assert (np.diff(standing) >= gap).all()
        assert page[page < world.length].tolist() == list(range(world.length - len(standing)))


def test_nothing_depends_on_what_stands_below(feed):
    world, stock = feed
    request = requested(world, stock, 1)
    pages = allowed(world)
    seen, click = truth(world, request, pages)
    for slot in (1, 4, 9):
        head, place = np.unique(pages[:, : slot + 1], axis=0, return_inverse=True)
        for values in (seen, click):
            largest = np.full((len(head), slot + 1), -np.inf)
            least = np.full((len(head), slot + 1), np.inf)
            np.maximum.at(largest, place, values[:, : slot + 1])
            np.minimum.at(least, place, values[:, : slot + 1])
            assert (largest == least).all()
    assert (np.diff(seen, axis=1) < 0).all()
    assert (seen[:, 0] == 1).all()


def test_without_effects_a_click_is_that_of_the_row_alone():
    still = {"related": 0, "repeated": 0, "fatigue": 0, "ad_fatigue": 0, "same_advertiser": 0}
    world = AdWorld(**still)
    stock = catalogue(world)
    request = requested(world, stock, 0)
    pages = allowed(world)
    _, click = truth(world, request, pages)
    np.testing.assert_allclose(click, (1 / (1 + np.exp(-request.base)))[pages], rtol=1e-12)


@pytest.mark.parametrize("effect", ["repeated", "fatigue", "ad_fatigue", "same_advertiser", "weary", "annoyed"])
def test_what_should_hurt_hurts(effect, feed):
    world, stock = feed
    request = requested(world, stock, 2)
    pages = allowed(world)[201:]  # two ads each
    more = AdWorld(**{effect: getattr(world, effect) + 1})
    stronger = requested(more, stock, 2)
    seen, click = truth(world, request, pages)
    seen_then, click_then = truth(more, stronger, pages)
    assert (click_then <= click + 1e-12).all()
    assert (seen_then <= seen + 1e-12).all()
    assert (click_then < click - 1e-6).any() or (seen_then < seen - 1e-6).any()


def test_the_prices_enter_linearly(feed):
    world, stock = feed
    request = requested(world, stock, 3)
    pages = allowed(world)[::97]
    made = parts(world, request, pages)
    other = AdWorld(engagement=0.25, load_price=2.0)
    np.testing.assert_allclose(reward(other, request, pages), made @ [1, 0.25, -2.0], rtol=1e-12)


def test_the_page_matters(feed):
    """The best page is worth much more than what rows alone tell, at the slots that are best for all requests."""
    world, stock = feed
    layouts = [slots for ads in range(world.most + 1) for slots in patterns(world, ads)]
    floors = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
    best, alone, numbers = [], [], []
    for number in range(150):
        request = requested(world, stock, number)
        page, worth = optimum(world, request)
        best.append(worth)
        numbers.append(int((page >= world.length).sum()))
        by_row = (request.bid + world.engagement * request.value) / (1 + np.exp(-request.base))
        by_row = by_row - world.load_price * request.cost
        ads = world.length + np.argsort(-by_row[world.length :])
        pages = np.array([fixed(world, slots, ads, by_row, least) for slots in layouts for least in floors], np.int32)
        alone.append(reward(world, request, pages))
    rule = np.mean(alone, axis=0).max()  # the rule that is best in hindsight
    assert np.mean(best) > 1.1 * rule
    assert rule > 1.05 * np.mean([worths[0] for worths in alone])  # ads pay, too
    assert 0.1 < np.mean(np.array(numbers) == 1) < 0.9


def fixed(world, slots, ads, worth, least):
    """Return the page with the best ads at given slots, those that are worth so much at least."""
    good = [ad for ad in ads[: len(slots)] if worth[ad] >= least]
    page = [-1] * world.length
    for slot, ad in zip(slots, good, strict=False):
        page[slot] = ad
    post = iter(range(world.length))
    return [row if row >= 0 else next(post) for row in page]


def test_a_request_is_the_same_for_the_same_number_and_posts_come_by_score(feed):
    world, stock = feed
    one, again, other = (requested(world, stock, number) for number in (4, 4, 5))
    assert one.items.tolist() == again.items.tolist() != other.items.tolist()
    assert (np.diff(one.score[: world.length]) <= 0).all()
    assert (one.brand[: world.length] == -1).all()
    assert (one.brand[world.length :] >= 0).all()
    assert len(set(one.items.tolist())) == world.length + world.competing
    errors = np.concatenate([r.relevance - r.base for r in (requested(world, stock, n) for n in range(200))])
    assert np.std(errors) == pytest.approx(world.noise, rel=0.05)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"ads": 5}, "adworld.ads: must be >= 20, got 5"),
        ({"length": 10}, "adworld.length: must be >= 11, got 10"),
        ({"most": 4}, "adworld: must have first and gap >= 1, and most from 0 to 3, got"),
    ],
)
def test_a_feed_that_cannot_be_is_refused(field, message):
    with pytest.raises(RequestError) as caught:
        AdWorld(**field)
    assert str(caught.value).startswith(message)
