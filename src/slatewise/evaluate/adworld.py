"""What a feed with ads is made of: how strong each effect is, and the readers, posts and ads that there are.

Readers, posts and ads are vectors of a low rank: a few topics, of which each reader likes some. They are drawn, or
learned from data. `evaluate.adfeed` says what they do.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, shown

Count = Annotated[int, Meta(ge=1)]
Strength = Annotated[float, Meta(ge=0, le=10)]

MOST = 3
"""Ads of a page, at most: all pages are enumerated."""
PATIENCE = {"hasty": -0.6, "usual": 0.0, "patient": 0.6}
"""Log-odds that readers of each kind take from leaving."""


@final
class AdWorld(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the feed is made of; strengths are log-odds.

    Attributes:
        users: Readers, >= 1.
        posts: Posts, at least as many as slots.
        ads: Ads, at least as many as compete for a page.
        advertisers: Whose they are, >= 1.
        topics: Topics of posts and ads, >= 1.
        dims: Numbers in a vector.
        seed: Root of every draw.
        length: Slots of a page.
        competing: Ads that compete for a page.
        first: First slot that an ad may have, from 1.
        last: Last slot that an ad may have.
        gap: Least distance between two ads.
        most: Most ads of a page.
        engagement: Price of a unit of engagement.
        load_price: Price of showing an ad.
        bid: Median of what a click is paid.
        spread: Standard deviation of the logarithm of bids.
        post_level: Of a click on a post that is nothing special.
        ad_level: Of a click on such an ad.
        affinity: What an affinity of 1 adds to a click.
        quality: What a quality of 1 adds.
        worn: What each time that the reader has seen an ad before takes.
        large: What being large adds, to a click and to leaving.
        related: What an ad gains below a row with its vector.
        repeated: What a post loses below one with its vector.
        fatigue: What each ad above takes from posts.
        ad_fatigue: What each ad above takes from ads.
        same_advertiser: What each ad of the same advertiser above takes.
        leaving: Of leaving after a slot.
        annoyed: What an ad that has nothing to do with the row above adds to that.
        dull: What an affinity of -1 adds.
        weary: What each ad so far adds.
        noise: Standard deviation of what the first stage has wrong.
    """

    users: Count = 2000
    posts: Count = 1500
    ads: Count = 200
    advertisers: Count = 40
    topics: Count = 12
    dims: Count = 8
    seed: int = 0
    length: Count = 12
    competing: Count = 20
    first: Count = 2
    last: Count = 11
    gap: Count = 4
    most: Annotated[int, Meta(ge=0, le=MOST)] = 2
    engagement: Annotated[float, Meta(ge=0)] = 1.0
    load_price: Annotated[float, Meta(ge=0)] = 0.02
    bid: Annotated[float, Meta(gt=0)] = 2.5
    spread: Strength = 0.6
    post_level: float = -2.5
    ad_level: float = -4.0
    affinity: Strength = 0.8
    quality: Strength = 0.4
    worn: Strength = 0.2
    large: Strength = 0.5
    related: Strength = 1.4
    repeated: Strength = 0.9
    fatigue: Strength = 0.15
    ad_fatigue: Strength = 0.6
    same_advertiser: Strength = 1.5
    leaving: float = -2.7
    annoyed: Strength = 1.0
    dull: Strength = 0.3
    weary: Strength = 0.4
    noise: Strength = 0.5

    def __post_init__(self) -> None:
        """Refuse feeds that cannot be.

        Raises:
            RequestError: Names the field, what it must be, and its value.
        """
        least = {
            "posts": self.length,
            "ads": self.competing,
            "competing": self.most,
            "length": self.last,
            "last": self.first,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise RequestError(f"adworld.{name}", f"must be >= {bound}", shown(getattr(self, name)))
        if self.first < 1 or self.gap < 1 or not 0 <= self.most <= MOST:
            fields = {"first": self.first, "gap": self.gap, "most": self.most}
            raise RequestError("adworld", f"must have first and gap >= 1, and most from 0 to {MOST}", shown(fields))


class Catalogue(NamedTuple):
    """Readers, posts and ads.

    Attributes:
        users: (m, d) their vectors; an affinity is the product with an item's.
        patience: (m,) which of `PATIENCE`.
        items: (n, d) vectors of unit length: posts, and after them ads.
        topic: (n,) topic of each.
        quality: (n,) of each, about 1 in size.
        value: (n,) engagement that a click is worth.
        bid: (n,) what a click is paid; 0 for posts.
        advertiser: (n,) whose ad it is; -1 for posts.
        large: (n,) 1 for large ads, else 0.
    """

    users: Numbers
    patience: NDArray[np.int64]
    items: Numbers
    topic: NDArray[np.int64]
    quality: Numbers
    value: Numbers
    bid: Numbers
    advertiser: NDArray[np.int64]
    large: Numbers


def catalogue(
    world: AdWorld,
    *,
    users: Numbers | None = None,
    posts: Numbers | None = None,
    topics: NDArray[np.int64] | None = None,
) -> Catalogue:
    """Return readers, posts and ads.

    Args:
        world: What the feed is made of.
        users: (m, d) vectors learned from data; drawn without.
        posts: (n, d) vectors learned from data; drawn without.
        topics: (n,) topics of these posts, from 0; without, each has that of the nearest of as many directions.
    """
    rng = np.random.default_rng([world.seed, 1])
    centres = _unit(rng.normal(size=(world.topics, world.dims)))
    drawn = rng.integers(world.topics, size=world.posts)
    around = centres[drawn] + 0.25 * rng.normal(size=(world.posts, world.dims))
    vectors = _unit(around if posts is None else posts)
    topic = np.argmax(vectors @ centres.T, axis=1) if topics is None else topics
    liked = rng.dirichlet(np.full(world.topics, 0.3), size=world.users)
    tastes = 3.0 * liked @ centres + 0.6 * rng.normal(size=(world.users, world.dims))
    readers = tastes if users is None else users
    # affinities of 1 in size: the mean of (u·v)^2 is the trace of both second moments
    readers = readers / np.sqrt(np.sum((readers.T @ readers) * (vectors.T @ vectors)) / (len(readers) * len(vectors)))
    alike = rng.integers(len(vectors), size=world.ads)  # an ad is about what some post is about
    ads = _unit(vectors[alike] + 0.15 * rng.normal(size=(world.ads, vectors.shape[1])))
    sizes = (len(vectors), world.ads)
    lines = np.repeat([0.0, 1.0], sizes)
    return Catalogue(
        users=readers,
        patience=rng.integers(len(PATIENCE), size=len(readers)),
        items=np.concatenate([vectors, ads]),
        topic=np.concatenate([topic, topic[alike]]),
        quality=rng.normal(size=sum(sizes)),
        value=np.where(lines > 0, 0.2, rng.lognormal(-0.05, 0.3, size=sum(sizes))),
        bid=lines * rng.lognormal(np.log(world.bid), world.spread, size=sum(sizes)),
        advertiser=np.where(lines > 0, rng.integers(world.advertisers, size=sum(sizes)), -1),
        large=lines * (rng.random(sum(sizes)) < 0.25),
    )


def _unit(vectors: Numbers) -> Numbers:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
