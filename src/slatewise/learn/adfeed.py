"""Logs of the feed with ads: pages under a policy that is known, and what readers did there.

How many ads a page has, and which of the legal slots, is drawn; each ad that competes is drawn with a weight of its
first-stage score, without replacement, and the j-th that is drawn takes the j-th slot. Posts keep their order. So every
ad may stand in every legal slot, and the propensity of each row in its slot is known exactly:

    P(ad in slot)   = sum over numbers of ads and j: P(number) * P(j-th ad has the slot) * P(ad is the j-th drawn)
    P(post in slot) = sum over numbers of ads: P(number) * P(as many ads stand above as move the post there)

A row that was seen has `exposed` 1 and a `click`; rows below the slot after which the reader left have `exposed` 0 and
no click at all. Cost: less than a millisecond for each list.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.core.request import Request
from slatewise.evaluate.adfeed import AdRequest, Rows, patterns, requested, truth
from slatewise.evaluate.adworld import PATIENCE, AdWorld, Catalogue, catalogue
from slatewise.learn.datasets_movielens import pairs_of
from slatewise.learn.pages import Pages
from slatewise.learn.pages_columns import LONGEST_HISTORY
from slatewise.learn.ranker import factors

LINES = ("posts", "ads")
KEYS = ("item", "line", "topic", "advertiser")
"""Columns of rows that are text; the others are numbers."""
MEMORY = 3.0
"""How closely what a reader has read follows her affinities: log-odds of an affinity of 1."""


class Logging(NamedTuple):
    """The policy of a log.

    Attributes:
        ads: Chances of 0, 1, 2, ... ads, with a sum of 1.
        follow: How closely ads follow their scores: 0 draws any, 1 by score.
    """

    ads: Sequence[float] = (0.2, 0.4, 0.4)
    follow: float = 0.5


def sample(
    lists: int, *, world: AdWorld, stock: Catalogue, seed: int, start: int = 0, logging: Logging | None = None
) -> Pages:
    """Return logged pages.

    Args:
        lists: How many, >= 1.
        world: What the feed is made of.
        stock: Its readers, posts and ads.
        seed: Root of what is shown and what readers do.
        start: Number of the first request; requests of other numbers are others.
        logging: The policy; by default as declared.

    Raises:
        RequestError: The policy has no such chances.
    """
    policy = _checked(world, logging or Logging())
    shares = _shares(world, policy.ads)
    numbers = range(start, start + lists)
    asked = [requested(world, stock, number) for number in numbers]
    outcomes = [
        _witnessed(world, request, policy, shares, np.random.default_rng([seed, 4, number]))
        for request, number in zip(asked, numbers, strict=True)
    ]
    columns = [columns_of(world, stock, request) for request in asked]
    read = {user: _read(world, stock, user) for user in {request.user for request in asked}}
    slot, exposed, click, propensity = (np.concatenate(part) for part in zip(*outcomes, strict=True))
    return Pages.of(
        request=[f"adfeed-{number}" for number in numbers],
        user=[f"user{request.user}" for request in asked],
        time=np.array(numbers, np.float64),
        lists=np.repeat(np.arange(lists), [len(request.items) for request in asked]),
        keys={name: [one for each in columns for one in each[name]] for name in KEYS},
        numbers={name: np.concatenate([each[name] for each in columns]) for name in columns[0] if name not in KEYS},
        slot=slot,
        feedback={"exposed": exposed, "click": click},
        propensity=propensity,
        context={"patience": [_patience(stock, request.user) for request in asked]},
        histories={"item": [read[request.user] for request in asked]},
    )


def columns_of(world: AdWorld, stock: Catalogue, request: AdRequest) -> dict[str, Any]:
    """Return what a model may know of the rows: text as lists, numbers as arrays.

    `similarity` is the affinity as it is, and `relevance` the first stage's log-odds, with noise; f0, f1, ... is the
    item's vector, and u0, u1, ... the reader's.
    """
    items = request.items
    posts = len(stock.bid) - world.ads
    vectors, reader = stock.items[items], stock.users[request.user]
    ad = request.brand >= 0
    return {
        "item": [item_name(item, posts) for item in items.tolist()],
        "line": [LINES[int(is_ad)] for is_ad in ad],
        "topic": [f"topic{topic}" for topic in stock.topic[items].tolist()],
        "advertiser": [f"advertiser{brand}" if brand >= 0 else None for brand in request.brand.tolist()],
        "score": request.score,
        "relevance": request.relevance,
        "similarity": vectors @ reader,
        "quality": stock.quality[items],
        "bid": request.bid,
        "value": request.value,
        "cost": request.cost,
        "large": stock.large[items],
        "frequency": request.frequency,
        **{f"f{place}": vectors[:, place] for place in range(vectors.shape[1])},
        **{f"u{place}": np.full(len(items), number) for place, number in enumerate(reader)},
    }


def request_of(world: AdWorld, stock: Catalogue, number: int) -> Request:
    """Return a page asked for as a policy takes it; its rows are those of `requested`, in the same order."""
    asked = requested(world, stock, number)
    columns = columns_of(world, stock, asked)
    read = _read(world, stock, asked.user)
    return Request(
        candidates=Candidates.of(item_id=columns.pop("item"), **columns),
        slots=world.length,
        id=f"adfeed-{number}",
        user=f"user{asked.user}",
        context={"patience": _patience(stock, asked.user)},
        time=float(number),
        history={"item_id": {item: float(len(read) - place) for place, item in enumerate(read)}},
    )


def movielens(world: AdWorld, folder: str | Path) -> Catalogue:
    """Return readers and posts with the vectors that users and movies of MovieLens-1M have; topics are genres.

    Args:
        world: What else the feed is made of.
        folder: Has `ml1m_interactions.parquet` and `ml1m_movies.dat`.
    """
    pairs, genres = pairs_of(folder)
    found = factors(pairs, dims=world.dims, seed=world.seed)
    return catalogue(world, users=found.users, posts=found.items, topics=np.unique(genres, return_inverse=True)[1])


def item_name(item: int, posts: int) -> str:
    """Return what an item of the catalogue is called; the first `posts` are posts.

    >>> item_name(3, 10), item_name(12, 10)
    ('post3', 'ad2')
    """
    return f"post{item}" if item < posts else f"ad{item - posts}"


def _checked(world: AdWorld, policy: Logging) -> Logging:
    chances = np.array(policy.ads)
    if not 1 <= len(chances) <= world.most + 1 or (chances < 0).any() or abs(chances.sum() - 1) > 1e-9:
        rule = f"must be chances of 0 to {world.most} ads, with a sum of 1"
        raise RequestError("logging.ads", rule, shown(tuple(policy.ads)))
    return policy


def _witnessed(
    world: AdWorld, request: AdRequest, policy: Logging, shares: tuple[Numbers, Numbers], rng: np.random.Generator
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return (n,) slots, what was exposed and clicked there, and propensities, of one page that is drawn."""
    page, order = _drawn(world, request, policy, rng)
    seen, clicked = (found[0] for found in truth(world, request, page[None, :]))
    stays = rng.random() < seen  # she leaves once, and does not come back
    places, ad = np.arange(world.length), page - world.length
    of_ads = np.sum(shares[0][:, places] * order[:, np.maximum(ad, 0)], axis=0)
    of_posts = shares[1][np.minimum(page, world.length - 1), places]
    slot, exposed, click, propensity = np.full((4, len(request.items)), np.nan)
    slot[:] = 0
    slot[page] = places + 1
    exposed[page] = stays
    click[page] = np.where(stays, rng.random(world.length) < clicked, np.nan)
    propensity[page] = np.where(ad >= 0, of_ads, of_posts)
    return slot, exposed, click, propensity


def _drawn(world: AdWorld, request: AdRequest, policy: Logging, rng: np.random.Generator) -> tuple[Rows, Numbers]:
    """Return a page, and how likely each ad is the j-th that is drawn."""
    weights = request.score[world.length :] ** policy.follow
    weights /= weights.sum()
    most = len(policy.ads) - 1
    ads = int(rng.choice(most + 1, p=policy.ads))
    legal = patterns(world, ads)
    slots = list(legal[rng.integers(len(legal))])
    page = np.empty(world.length, np.int32)
    page[np.setdiff1d(np.arange(world.length), slots)] = np.arange(world.length - ads)
    page[slots] = world.length + rng.choice(len(weights), size=ads, replace=False, p=weights)
    return page, _orders(weights, most)


def _orders(weights: Numbers, most: int) -> Numbers:
    """Return (most, A) how likely each ad is the j-th drawn without replacement, for j up to 3."""
    found = np.zeros((most, len(weights)))
    if most > 0:
        found[0] = weights
    if most > 1:
        left = weights / (1 - weights)
        found[1] = weights * (left.sum() - left)
    if most > 2:
        for first, second in permutations(range(len(weights)), 2):
            gone = weights[first] + weights[second]
            then = weights[first] * weights[second] / (1 - weights[first]) * weights / (1 - gone)
            then[[first, second]] = 0
            found[2] += then
    return found


def _shares(world: AdWorld, ads: Sequence[float]) -> tuple[Numbers, Numbers]:
    """Return (most, k) how likely each slot has the j-th ad, and (k, k) how likely each post stands in each slot."""
    of_ads = np.zeros((len(ads) - 1, world.length))
    of_posts = np.zeros((world.length, world.length))
    for number, chance in enumerate(ads):
        legal = patterns(world, number)
        for slots in legal:
            free = np.setdiff1d(np.arange(world.length), slots)
            of_posts[np.arange(len(free)), free] += chance / len(legal)
            of_ads[np.arange(number), list(slots)] += chance / len(legal)
    return of_ads, np.minimum(of_posts, 1.0)  # sums of chances


def _read(world: AdWorld, stock: Catalogue, user: int) -> list[str]:
    """Return what a reader has read, most recent first."""
    rng = np.random.default_rng([world.seed, 3, user])
    posts = len(stock.bid) - world.ads
    liking = MEMORY * (stock.items[:posts] @ stock.users[user]) + rng.gumbel(size=posts)
    found = np.argsort(-liking)[:LONGEST_HISTORY]
    return [item_name(item, posts) for item in rng.permutation(found).tolist()]


def _patience(stock: Catalogue, user: int) -> str:
    return list(PATIENCE)[stock.patience[user]]
