"""What the replay says: every figure of the report, with its interval, and nothing of how it is drawn.

A visit is one unit of every mean, and intervals draw readers (`evaluate.intervals`). The clicked article counts whether
or not anybody could have nominated it; the first rows of the table say how much was out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from slatewise.demo.arms import ARMS, Move
from slatewise.demo.lines import LINES
from slatewise.demo.mornings import Morning
from slatewise.demo.replay import SLOTS, Replay
from slatewise.demo.showcase import Showcase
from slatewise.evaluate.intervals import Interval, difference_by_cluster, mean_by_cluster
from slatewise.evaluate.metrics import hit_rate, ndcg
from slatewise.evaluate.replay import Summary

Numbers = NDArray[np.float64]
PerVisit = tuple[Numbers, Numbers]
"""Hit rate and NDCG of every visit."""

WAYS = ("random", *LINES, *ARMS)
"""Ways of making pages: random order, each line alone, the policies."""

COMPARED = (("blended", "raw"), ("ruled", "raw"), ("ruled", "blended"), ("paced", "ruled"), ("blended", "fresh"))
CURVE_POINTS = 400


class Measured(msgspec.Struct, frozen=True):
    """How well a way of making pages finds the clicked article.

    Attributes:
        name: What made the pages, as in `WAYS`.
        hit_rate: Share of visits whose clicked article is on the page.
        ndcg: Mean NDCG of the page.
    """

    name: str
    hit_rate: Interval
    ndcg: Interval


class Compared(msgspec.Struct, frozen=True):
    """One way of making pages against another, on the same visits.

    Attributes:
        name: The one.
        baseline: The other.
        hit_rate: Difference of hit rates.
        ndcg: Difference of NDCG.
    """

    name: str
    baseline: str
    hit_rate: Interval
    ndcg: Interval


class RuleCost(msgspec.Struct, frozen=True):
    """What a rule did on the ruled pages, and what leaving it out, alone, would change.

    Attributes:
        rule: Its name.
        pages: Share of pages on which it kept a better row out of some slot.
        rows: Articles that it kept out, over all pages.
        relaxed: Pages on which it gave way.
        value: Mean value of a page that it takes, in clicks per page; negative if pages are worth more with it.
        value_share: The same as a share of the page's value without it.
        hit_rate: Hit rate with it minus hit rate without it.
    """

    rule: str
    pages: float
    rows: int
    relaxed: int
    value: float
    value_share: float
    hit_rate: Interval


class Outcome(msgspec.Struct, frozen=True):
    """Everything that the report shows.

    Attributes:
        visits: Number of visits.
        readers: Number of readers.
        first: Time of the first visit, in seconds since 1970.
        last: Time of the last.
        nominated: Mean number of articles nominated per visit.
        ceiling_about: Share of visits whose clicked article was about.
        ceiling_nominated: Share of visits whose clicked article was nominated.
        measured: Ways of making pages, from random order to the ruled pages.
        compared: Differences between them.
        in_view: Arm to the mean share of its page that the reader was really shown.
        summaries: Arm to what its lines did and how long its pages took.
        rules: What the rules of the ruled pages did.
        value_lost: Share of the blended pages' value that the rules take together.
        mornings: The lines' maps, day by day, and what came of them.
        floor: Share of slots that the paced pages are to give to their line.
        moves: Control windows of the paced pages.
        curve: Time and running hit rate of the arms, at points spread evenly over the visits.
        showcase: One visit in full.
    """

    visits: int
    readers: int
    first: int
    last: int
    nominated: float
    ceiling_about: Interval
    ceiling_nominated: Interval
    measured: tuple[Measured, ...]
    compared: tuple[Compared, ...]
    in_view: dict[str, float]
    summaries: dict[str, Summary]
    rules: tuple[RuleCost, ...]
    value_lost: float
    mornings: tuple[Morning, ...]
    floor: float
    moves: tuple[Move, ...]
    curve: dict[str, list[float]]
    showcase: Showcase | None


def conclude(replay: Replay) -> Outcome:
    """Return what a replay of at least one visit says."""
    readers, times = np.array(replay.readers), np.array(replay.times)
    visits = dict(_visits(replay))
    values = {maker: float(np.mean(worth)) for maker, worth in replay.values.items()}
    summaries = {arm: tally.summary() for arm, tally in replay.tallies.items()}
    return Outcome(
        visits=len(readers),
        readers=len(np.unique(readers)),
        first=int(times[0]),
        last=int(times[-1]),
        nominated=float(np.mean(replay.sizes)),
        ceiling_about=mean_by_cluster(np.array(replay.about), readers),
        ceiling_nominated=mean_by_cluster(np.array(replay.nominated), readers),
        measured=tuple(Measured(name, *(mean_by_cluster(one, readers) for one in visits[name])) for name in WAYS),
        compared=tuple(_compared(visits, one, other, readers) for one, other in COMPARED),
        in_view={arm: float(np.mean(seen)) / SLOTS for arm, seen in replay.in_view.items()},
        summaries=summaries,
        rules=tuple(_rule_cost(rule, visits, values, summaries["ruled"], readers) for rule in replay.arms.rules),
        value_lost=1 - values["ruled"] / values["blended"],
        mornings=replay.arms.mornings.told(),
        floor=replay.arms.floor,
        moves=tuple(replay.arms.moves),
        curve=_curve(visits, times),
        showcase=replay.showcase,
    )


def _visits(replay: Replay) -> Iterator[tuple[str, PerVisit]]:
    """Yield every way of making pages with its hit rate and NDCG on each visit."""
    clicks = np.array(replay.clicks)
    pool = (np.arange(clicks.max()) < clicks[:, None]).astype(np.float64)
    yield "random", _random(replay, clicks)
    for maker, hits in replay.hits.items():
        ranked = np.frombuffer(bytes(hits), np.uint8).reshape(-1, SLOTS)
        yield maker, (hit_rate(ranked, pool, SLOTS, empty="drop"), ndcg(ranked, pool, SLOTS, empty="drop"))


def _random(replay: Replay, clicks: NDArray[np.integer]) -> PerVisit:
    """Return what a random order of the nominated articles finds, on average over all orders.

    With m of n articles right: 1 - C(n - m, k) / C(n, k), and m / n * sum of discounts over the best DCG.
    """
    size = np.maximum(np.array(replay.sizes, np.float64), 1)
    right = np.array(replay.nominated) * clicks
    k = np.minimum(SLOTS, size)
    left = size - right - k
    ways = gammaln(size - right + 1) - gammaln(np.maximum(left, 0) + 1)
    none = np.where(left < 0, 0.0, np.exp(ways + gammaln(size - k + 1) - gammaln(size + 1)))
    worth = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, SLOTS + 2)))])
    best = worth[np.minimum(clicks, SLOTS)]
    found = right / size * worth[k.astype(int)] / np.where(best > 0, best, 1)
    missing = np.where(clicks > 0, 0.0, np.nan)
    return (1 - none) * (right > 0) + missing, found + missing


def _compared(visits: Mapping[str, PerVisit], one: str, other: str, readers: NDArray[np.integer]) -> Compared:
    pairs = zip(visits[one], visits[other], strict=True)
    return Compared(one, other, *(difference_by_cluster(a, b, readers) for a, b in pairs))


def _rule_cost(
    rule: str,
    visits: Mapping[str, PerVisit],
    values: Mapping[str, float],
    ruled: Summary,
    readers: NDArray[np.integer],
) -> RuleCost:
    effect = next(one for one in ruled.rules if one.rule == rule)
    lost = values[rule] - values["ruled"]
    return RuleCost(
        rule=rule,
        pages=effect.pages / ruled.pages,
        rows=effect.rows,
        relaxed=effect.relaxed,
        value=lost,
        value_share=lost / values[rule] if values[rule] else 0.0,
        hit_rate=difference_by_cluster(visits["ruled"][0], visits[rule][0], readers),
    )


def _curve(visits: Mapping[str, PerVisit], times: NDArray[np.integer]) -> dict[str, list[float]]:
    places = np.unique(np.linspace(0, len(times) - 1, CURVE_POINTS).astype(int))
    curve = {"time": times[places].astype(np.float64).tolist()}
    for maker in ("random", *ARMS):
        running = np.nancumsum(visits[maker][0]) / np.maximum(np.cumsum(~np.isnan(visits[maker][0])), 1)
        curve[maker] = running[places].tolist()
    return curve
