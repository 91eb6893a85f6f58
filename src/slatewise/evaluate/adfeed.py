"""A feed with ads in which the truth is known: a stand-in for logs that nobody may publish.

A page has 12 slots: posts in their own order, and at most two ads in slots 2 to 11, four or more slots apart. What a
reader does at a slot depends on that slot and on those above it, and on nothing below:

    click  log-odds = base of the row and the reader
                      + related * cos(ad, row above)              an ad fits where it stands
                      - repeated * cos+(post, one above) - half of that for two above
                      - fatigue * ads above                       of posts; ad_fatigue of ads
                      - same_advertiser * its ads above
    leave  log-odds = leaving - patience + annoyed * (1 - cos(ad, row above)) + dull * -affinity + weary * ads so far

    seen_1 = 1,  seen_t = prod_{j<t} (1 - leave_j)
    r_t = seen_t * (click_t * (bid_t + engagement * value_t) - load_price * cost_t)

bid and cost are 0 for posts. R is the sum of r_t; its three parts are kept apart, as the two prices enter it linearly.
Base is a level by line, affinity * u·v, quality, and for ads what each showing before took and what being large adds.
All strengths are fields of `AdWorld`. Cost: O(b * k) for b pages; O(A^2) pages for the best of all with A ads.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, pairwise, permutations
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from slatewise.core.columns import Numbers
from slatewise.evaluate.adworld import PATIENCE, AdWorld, Catalogue
from slatewise.kernels.adfeed import walked

Rows: TypeAlias = NDArray[np.int32]


class AdRequest(NamedTuple):
    """A page asked for: rows are the posts in their own order, and after them the ads that compete.

    Attributes:
        user: Who asks.
        items: (n,) items of the catalogue.
        frequency: (n,) how often the reader has seen each ad before; 0 for posts.
        relevance: (n,) log-odds of a click as the first stage has them: `base` with noise.
        score: (n,) what the first stage makes of it: click * (bid + engagement * value).
        base: (n,) log-odds of a click on each row alone.
        like: (n, n) cosines.
        annoyance: (n,) what each row adds to leaving, as an ad that fits nowhere.
        dullness: (n,) what each row adds to leaving otherwise.
        leaving: Log-odds of leaving after a slot.
        bid: (n,) what a click is paid.
        value: (n,) engagement of a click.
        cost: (n,) of showing, in units of `load_price`.
        brand: (n,) whose ad it is; -1 for posts.
    """

    user: int
    items: NDArray[np.int64]
    frequency: Numbers
    relevance: Numbers
    score: Numbers
    base: Numbers
    like: Numbers
    annoyance: Numbers
    dullness: Numbers
    leaving: float
    bid: Numbers
    value: Numbers
    cost: Numbers
    brand: NDArray[np.int64]


def requested(world: AdWorld, stock: Catalogue, number: int) -> AdRequest:
    """Return a page asked for, the same for the same number."""
    rng = np.random.default_rng([world.seed, 2, number])
    posts = len(stock.bid) - world.ads
    user = int(rng.integers(len(stock.users)))
    found = rng.choice(posts, size=min(5 * world.length, posts), replace=False)
    ads = posts + rng.choice(world.ads, size=world.competing, replace=False)
    items = np.concatenate([found, ads])
    frequency = rng.poisson(0.7, size=len(items)) * (items >= posts)
    vectors = stock.items[items]
    affinity = vectors @ stock.users[user]
    ad = stock.advertiser[items] >= 0
    large = stock.large[items]
    base = np.where(ad, world.ad_level, world.post_level) + world.affinity * affinity
    base += world.quality * stock.quality[items] - world.worn * frequency + world.large * large
    relevance = base + world.noise * rng.normal(size=len(items))
    score = expit(relevance) * (stock.bid[items] + world.engagement * stock.value[items])
    order = np.concatenate([np.argsort(-score[: len(found)])[: world.length], np.arange(len(found), len(items))])
    rows = items[order]
    return AdRequest(
        user=user,
        items=rows,
        frequency=frequency[order].astype(np.float64),
        relevance=relevance[order],
        score=score[order],
        base=base[order],
        like=vectors[order] @ vectors[order].T,
        annoyance=np.where(ad, world.annoyed, 0.0)[order],
        dullness=(world.large * large - world.dull * affinity)[order],
        leaving=world.leaving - list(PATIENCE.values())[stock.patience[user]],
        bid=stock.bid[rows],
        value=stock.value[rows],
        cost=(ad * (1.0 + 0.5 * large))[order],
        brand=stock.advertiser[rows],
    )


def truth(world: AdWorld, request: AdRequest, pages: Rows) -> tuple[Numbers, Numbers]:
    """Return (b, k) how likely each slot is seen, and how likely it is clicked if it is.

    Args:
        world: What the feed is made of.
        request: Whom the pages are for.
        pages: (b, k) rows of the request in serving order.
    """
    effects = (world.related, world.repeated, world.fatigue, world.ad_fatigue, world.same_advertiser, world.weary)
    return walked(
        pages,
        request.base,
        request.like,
        request.brand,
        request.annoyance,
        request.dullness,
        request.leaving,
        effects,
    )


def parts(world: AdWorld, request: AdRequest, pages: Rows) -> Numbers:
    """Return (b, 3) what pages are worth: what clicks are paid, engagement, and what ads are shown."""
    seen, click = truth(world, request, pages)
    clicked = seen * click
    made = (clicked * request.bid[pages], clicked * request.value[pages], seen * request.cost[pages])
    return np.stack([part.sum(axis=1) for part in made], axis=1)


def reward(world: AdWorld, request: AdRequest, pages: Rows) -> Numbers:
    """Return (b,) R, what pages are worth."""
    return parts(world, request, pages) @ np.array([1.0, world.engagement, -world.load_price])


def allowed(world: AdWorld) -> Rows:
    """Return (b, k) all pages, as rows of a request: posts in their order, ads where they may stand.

    The page without ads is the first; then those with one ad, then with two.

    >>> len(allowed(AdWorld()))
    8181
    """
    return _allowed(world.length, world.competing, world.first, world.last, world.gap, world.most)


def optimum(world: AdWorld, request: AdRequest) -> tuple[Rows, float]:
    """Return the best of all pages and what it is worth; of equals the first, which has the fewest ads."""
    pages = allowed(world)
    worth = reward(world, request, pages)
    best = int(np.argmax(worth))
    return pages[best], float(worth[best])


def patterns(world: AdWorld, ads: int) -> list[tuple[int, ...]]:
    """Return the slots, from 0, that so many ads may have.

    >>> [len(patterns(AdWorld(), ads)) for ads in range(3)]
    [1, 10, 21]
    """
    slots = range(world.first - 1, world.last)
    return [
        some for some in combinations(slots, ads) if all(below - above >= world.gap for above, below in pairwise(some))
    ]


@lru_cache(maxsize=8)
def _allowed(length: int, competing: int, first: int, last: int, gap: int, most: int) -> Rows:
    world = AdWorld(
        length=length, competing=competing, first=first, last=last, gap=gap, most=most, posts=length, ads=competing
    )
    found = []
    for ads in range(most + 1):
        shown_ads = np.array(list(permutations(range(length, length + competing), ads)), np.int32)
        for slots in patterns(world, ads):
            pages = np.empty((len(shown_ads), length), np.int32)
            pages[:, np.setdiff1d(np.arange(length), slots)] = np.arange(length - ads)
            pages[:, list(slots)] = shown_ads
            found.append(pages)
    pages = np.concatenate(found)
    pages.setflags(write=False)
    return pages
