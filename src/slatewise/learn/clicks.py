"""Classic click models: how likely each slot of a list is clicked, fitted by expectation and maximisation.

    position-based    P(c_t) = a_i * e_t
    cascade           P(c_t) = a_i above the first click; below it nothing is looked at
    dynamic Bayesian  P(c_t) = a_i if t is looked at; a click satisfies with s_i, which ends it; else g to go on
    user browsing     P(c_t | clicks above) = a_i * e_(t, slots since the last click)

with a_i how attractive a document is. All but the first are told what was clicked above. Rates are drawn to their mean
as if `strength` more had been seen of each, so that a document that is new has the mean. In a cascade a second click
cannot be; what is seen of such clicks counts as noise of one rate, lest one of them make a log impossible. Cost:
O(b * k) a round.

References:
    Craswell, Zoeter, Taylor & Ramsey (2008), "An experimental comparison of click position-bias models", WSDM.
    Dupret & Piwowarski (2008), "A user browsing model to predict search engine click data", SIGIR.
    Chapelle & Zhang (2009), "A dynamic Bayesian network click model for web search ranking", WWW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Numbers

ROUNDS = 40
"""Rounds of expectation and maximisation."""

SURE = 1e-6
"""No rate is nearer to 0 or 1."""


class Clicks(NamedTuple):
    """Lists with what was clicked.

    Attributes:
        documents: (b, k) codes of documents, in the order shown; of one query's documents each has a code of its own.
        clicked: (b, k) whether each was clicked.
        weight: (b,) how often the list was seen just so, > 0.
        size: How many codes there are.
    """

    documents: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    weight: Numbers
    size: int

    def at(self, lists: Any) -> Clicks:
        """Return some lists."""
        return Clicks(self.documents[lists], self.clicked[lists], self.weight[lists], self.size)

    @property
    def last(self) -> NDArray[np.int64]:
        """(b, k) slots since the last click above; 0 if there is none."""
        slots = np.arange(self.clicked.shape[1])
        seen = np.maximum.accumulate(np.where(self.clicked, slots, -1), axis=1)
        before = np.concatenate([np.full((len(seen), 1), -1), seen[:, :-1]], axis=1)
        return np.where(before >= 0, slots - before, 0)


class ClickModel(Protocol):
    """What was learned of readers and documents."""

    def given(self, clicks: Clicks) -> Numbers:
        """Return (b, k) how likely each slot is clicked, given what was clicked above."""
        ...

    def marginal(self, documents: NDArray[np.int64]) -> Numbers:
        """Return (b, k) how likely each slot is clicked, before anything is known."""
        ...


class PositionBased(NamedTuple):
    """Documents attract, slots are looked at.

    Attributes:
        attraction: (size,) chance that a document is clicked where it is looked at.
        examined: (k,) chance that a slot is looked at.
    """

    attraction: Numbers
    examined: Numbers

    @classmethod
    def fit(cls, clicks: Clicks, *, strength: float = 1.0) -> PositionBased:
        """Return what explains the clicks best."""
        slots = np.broadcast_to(np.arange(clicks.documents.shape[1]), clicks.documents.shape)
        return cls(*_products(clicks, slots, clicks.documents.shape[1], strength))

    def given(self, clicks: Clicks) -> Numbers:
        """Return the marginals: what was clicked above says nothing."""
        return self.marginal(clicks.documents)

    def marginal(self, documents: NDArray[np.int64]) -> Numbers:
        """Return (b, k) chances."""
        return self.attraction[documents] * self.examined


class UserBrowsing(NamedTuple):
    """Documents attract; a slot is looked at more or less often by how far above the last click was.

    Attributes:
        attraction: (size,) chance that a document is clicked where it is looked at.
        examined: (k, k) chance that slot t is looked at, by the slots since the last click; 0 for none.
    """

    attraction: Numbers
    examined: Numbers

    @classmethod
    def fit(cls, clicks: Clicks, *, strength: float = 1.0) -> UserBrowsing:
        """Return what explains the clicks best."""
        k = clicks.documents.shape[1]
        attraction, examined = _products(clicks, np.arange(k) * k + clicks.last, k * k, strength)
        return cls(attraction, examined.reshape(k, k))

    def given(self, clicks: Clicks) -> Numbers:
        """Return (b, k) chances."""
        slots = np.arange(clicks.documents.shape[1])
        return self.attraction[clicks.documents] * self.examined[slots, clicks.last]

    def marginal(self, documents: NDArray[np.int64]) -> Numbers:
        """Return (b, k) chances, over wherever the last click may have been."""
        b, k = documents.shape
        last = np.zeros((b, k + 1))  # chance that the last click was in slot t - 1; in none for t = 0
        last[:, 0] = 1.0
        chances = np.empty((b, k))
        for slot in range(k):
            since = np.where(np.arange(slot + 1) > 0, slot + 1 - np.arange(slot + 1), 0)
            each = self.attraction[documents[:, slot], None] * self.examined[slot, since]
            chances[:, slot] = (last[:, : slot + 1] * each).sum(axis=1)
            last[:, : slot + 1] *= 1.0 - each
            last[:, slot + 1] = chances[:, slot]
        return chances


class Cascade(NamedTuple):
    """Readers look from the top down to the first click.

    Attributes:
        attraction: (size,) chance that a document is clicked where it is looked at.
        noise: Chance of a click below the first.
    """

    attraction: Numbers
    noise: float

    @classmethod
    def fit(cls, clicks: Clicks, *, strength: float = 1.0) -> Cascade:
        """Return what explains the clicks best; of a cascade that is a matter of counting."""
        looked = clicks.last == 0
        hits, looks = (_sums(clicks, one * looked) for one in (clicks.clicked, np.ones_like(clicks.clicked)))
        below = clicks.weight[:, None] * ~looked
        noise = float((below * clicks.clicked).sum() / max(below.sum(), SURE))
        return cls(_rates(hits, looks, strength), min(max(noise, SURE), 1.0 - SURE))

    def given(self, clicks: Clicks) -> Numbers:
        """Return (b, k) chances."""
        return np.where(clicks.last == 0, self.attraction[clicks.documents], self.noise)

    def marginal(self, documents: NDArray[np.int64]) -> Numbers:
        """Return (b, k) chances."""
        attraction = self.attraction[documents]
        left = np.cumprod(1.0 - attraction, axis=1)
        above = np.concatenate([np.ones((len(left), 1)), left[:, :-1]], axis=1)
        return above * attraction + (1.0 - above) * self.noise


class DynamicBayesian(NamedTuple):
    """Readers go on until a document that they clicked satisfies them, or they give up.

    Attributes:
        attraction: (size,) chance that a document is clicked where it is looked at.
        satisfaction: (size,) chance that a document ends the search once it was clicked.
        perseverance: Chance of going on with the next slot if nothing has satisfied.
    """

    attraction: Numbers
    satisfaction: Numbers
    perseverance: float

    @classmethod
    def fit(cls, clicks: Clicks, *, strength: float = 1.0) -> DynamicBayesian:
        """Return what explains the clicks best."""
        found = cls(np.full(clicks.size, 0.3), np.full(clicks.size, 0.3), 0.8)
        for _ in range(ROUNDS):
            found = found._improved(clicks, strength)
        return found

    def given(self, clicks: Clicks) -> Numbers:
        """Return (b, k) chances."""
        return self._looks(clicks) * self.attraction[clicks.documents]

    def marginal(self, documents: NDArray[np.int64]) -> Numbers:
        """Return (b, k) chances."""
        attraction = self.attraction[documents]
        on = self.perseverance * (1.0 - attraction * self.satisfaction[documents])
        looks = np.cumprod(np.concatenate([np.ones((len(on), 1)), on[:, :-1]], axis=1), axis=1)
        return looks * attraction

    def _looks(self, clicks: Clicks) -> Numbers:
        """Return (b, k) how likely each slot is looked at, given what was clicked above."""
        attraction, satisfaction = self.attraction[clicks.documents], self.satisfaction[clicks.documents]
        looks = np.ones(clicks.documents.shape)
        for slot in range(1, clicks.documents.shape[1]):
            a, look = attraction[:, slot - 1], looks[:, slot - 1]
            passed = look * (1.0 - a) / (1.0 - look * a)
            stays = np.where(clicks.clicked[:, slot - 1], 1.0 - satisfaction[:, slot - 1], passed)
            looks[:, slot] = self.perseverance * stays
        return looks

    def _improved(self, clicks: Clicks, strength: float) -> DynamicBayesian:
        """Return the next round: expectations by looking back from the last slot, then rates of what is expected."""
        b, k = clicks.documents.shape
        attraction, satisfaction = self.attraction[clicks.documents], self.satisfaction[clicks.documents]
        on, looks, clicked = self.perseverance, self._looks(clicks), clicks.clicked
        if_looked, if_left = np.ones((b, k + 1)), np.ones((b, k + 1))  # chance of all clicks from a slot on
        for slot in range(k - 1, -1, -1):
            a, s, hit = attraction[:, slot], satisfaction[:, slot], clicked[:, slot]
            goes = on * if_looked[:, slot + 1] + (1.0 - on) * if_left[:, slot + 1]
            if_left[:, slot] = if_left[:, slot + 1] * ~hit
            if_looked[:, slot] = np.where(hit, a * (s * if_left[:, slot + 1] + (1.0 - s) * goes), (1.0 - a) * goes)
        looked = looks * if_looked[:, :k]
        looked /= looked + (1.0 - looks) * if_left[:, :k]
        goes = on * if_looked[:, 1:] + (1.0 - on) * if_left[:, 1:]
        ends = satisfaction * if_left[:, 1:]
        satisfied = clicked * ends / (ends + (1.0 - satisfaction) * goes)
        unsatisfied = (looked - satisfied)[:, :-1] * clicks.weight[:, None]
        share = (on * if_looked[:, 1:] / goes)[:, :-1]
        went = float((unsatisfied * share).sum() / unsatisfied.sum())
        hits = _sums(clicks, clicked)
        return DynamicBayesian(
            _rates(hits, _sums(clicks, looked), strength),
            _rates(_sums(clicks, satisfied), hits, strength),
            min(max(went, SURE), 1.0 - SURE),
        )


FITS: dict[str, Callable[..., ClickModel]] = {
    "position-based": PositionBased.fit,
    "cascade": Cascade.fit,
    "dynamic Bayesian": DynamicBayesian.fit,
    "user browsing": UserBrowsing.fit,
}
"""Name of a click model to what fits it."""


def log_likelihood(chances: Numbers, clicked: NDArray[np.bool_]) -> Numbers:
    """Return (b,) the natural logarithm of how likely each list's clicks were.

    >>> log_likelihood(np.array([[0.5, 0.25]]), np.array([[True, False]])).round(3).tolist()
    [-0.981]
    """
    sure = np.clip(chances, SURE, 1.0 - SURE)
    return np.log(np.where(clicked, sure, 1.0 - sure)).sum(axis=1)


def perplexity(chances: Numbers, clicked: NDArray[np.bool_], weight: Numbers) -> Numbers:
    """Return (k,) 2 to the mean of -log2 of how likely each slot's outcome was: 1 is foresight, 2 a coin.

    >>> perplexity(np.array([[0.5, 1.0]]), np.array([[True, True]]), np.ones(1)).round(3).tolist()
    [2.0, 1.0]
    """
    sure = np.clip(chances, SURE, 1.0 - SURE)
    bits = np.log2(np.where(clicked, sure, 1.0 - sure))
    return np.exp2(-(weight @ bits) / weight.sum())


def _products(clicks: Clicks, places: Any, size: int, strength: float) -> tuple[Numbers, Numbers]:
    """Return the rates of documents and of places of which the products explain the clicks best."""
    attraction, examined = np.full(clicks.size, 0.5), np.full(size, 0.5)
    weight = np.broadcast_to(clicks.weight[:, None], clicks.documents.shape)
    seen = np.bincount(places.ravel(), weight.ravel(), size).astype(np.float64)
    for _ in range(ROUNDS):
        a, e = attraction[clicks.documents], examined[places]
        missed = 1.0 - a * e
        attracted = np.where(clicks.clicked, 1.0, a * (1.0 - e) / missed)
        looked = np.where(clicks.clicked, 1.0, e * (1.0 - a) / missed)
        attraction = _rates(_sums(clicks, attracted), _sums(clicks, np.ones_like(a)), strength)
        looks = np.bincount(places.ravel(), (weight * looked).ravel(), size).astype(np.float64)
        examined = _rates(looks, seen, strength)
    return attraction, examined


def _sums(clicks: Clicks, each: Any) -> Numbers:
    """Return (size,) the sum over all slots of each document."""
    counted = np.bincount(clicks.documents.ravel(), (each * clicks.weight[:, None]).ravel(), clicks.size)
    return counted.astype(np.float64)


def _rates(hits: Numbers, trials: Numbers, strength: float) -> Numbers:
    """Return the share of hits, as if `strength` more trials had come out like the mean."""
    mean = hits.sum() / max(trials.sum(), SURE)
    return np.clip((hits + strength * mean) / np.maximum(trials + strength, SURE), SURE, 1.0 - SURE)
