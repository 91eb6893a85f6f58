"""Which articles the same people read.

Every reader is a direction; an article is the sum of the directions of those who opened it, so that

    cos(i, j) = |readers of i and j| / sqrt(|readers of i| * |readers of j|)

is the co-reading of two articles. The first d readers get an axis each, which makes this exact; later ones share axes
under pseudo-random signs, which leaves it right on average with an error of about 1 / sqrt(d). An opening costs O(1),
the similarity of n articles to a reader O(n * d), and an article O(d) memory however many people read it.

References:
    Charikar, Chen, Farach-Colton (2002), "Finding Frequent Items in Data Streams", ICALP: signed hashing.
    Sarwar et al. (2001), "Item-Based Collaborative Filtering ...", WWW: cosine between items.
"""

from __future__ import annotations

import warnings
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

Codes: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.float64]

AXES = 256
"""Number of axes, d."""

FEWEST_READERS = 2
"""Readers that an article needs to help shape the clusters."""


class Interests:
    """Co-reading of articles, kept up to date one opening at a time.

    Attributes:
        vectors: (m, d) float32, one row per article known to the site, most of them zero.
        readers: (m,) float64, number of readers of each article.
    """

    def __init__(self, axes: int = AXES) -> None:
        self.vectors: NDArray[np.float32] = np.zeros((1024, axes), np.float32)
        self.readers: Numbers = np.zeros(1024)
        self._numbers: dict[int, int] = {}
        self._centres: NDArray[np.float32] = np.zeros((0, axes), np.float32)

    def open(self, reader: int, articles: Codes) -> None:
        """Count articles that a reader opened for the first time; `articles` are distinct."""
        if not len(articles):
            return
        self._grow(int(articles.max()) + 1)
        axis, sign = self._direction(reader)
        self.vectors[articles, axis] += sign
        self.readers[articles] += 1

    def similarity(self, opened: Codes, articles: Codes) -> Numbers:
        """Return (n,) cosine of each article to what a reader opened, shrunk by readers / (readers + 1).

        0 for articles that nobody opened, and for everything if the reader opened nothing.
        """
        self._grow(int(max(opened.max(initial=0), articles.max(initial=0))) + 1)
        profile = _unit(_unit(self.vectors[opened]).sum(axis=0, keepdims=True))
        readers = self.readers[articles]
        return _dot(_unit(self.vectors[articles]), profile)[:, 0] * readers / (readers + 1)

    def refresh(self, clusters: int, seed: int) -> None:
        """Form clusters anew of the articles that several people read: k-means on their directions."""
        shared = self.vectors[self.readers >= FEWEST_READERS]
        if len(shared) >= 4 * clusters:
            points = _unit(shared).astype(np.float64)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "One of the clusters is empty")
                centres, _ = kmeans2(points, clusters, minit="++", rng=np.random.default_rng(seed))
            self._centres = _unit(centres.astype(np.float32))

    def clusters(self, articles: Codes) -> NDArray[np.int32]:
        """Return (n,) cluster of each article, -1 for those that nobody opened."""
        self._grow(int(articles.max(initial=0)) + 1)
        if not len(self._centres):
            return np.full(len(articles), -1, np.int32)
        nearest = _dot(self.vectors[articles], self._centres).argmax(axis=1)
        return np.where(self.readers[articles] > 0, nearest, -1).astype(np.int32)

    def _direction(self, reader: int) -> tuple[int, float]:
        axes = self.vectors.shape[1]
        number = self._numbers.setdefault(reader, len(self._numbers))
        if number < axes:
            return number, 1.0
        bits = int.from_bytes(blake2b(number.to_bytes(8), digest_size=8).digest())
        return (bits >> 1) % axes, 1.0 if bits & 1 else -1.0

    def _grow(self, size: int) -> None:
        have = len(self.readers)
        if size > have:
            more = max(size, 2 * have) - have
            self.vectors = np.concatenate([self.vectors, np.zeros((more, self.vectors.shape[1]), np.float32)])
            self.readers = np.concatenate([self.readers, np.zeros(more)])


def _dot(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return all inner products, without the threads of BLAS: matrices this thin are done before they have started."""
    return np.einsum("nd,kd->nk", rows, others)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
