"""Pages that are spread: how fast beside pyversity and beside memory, and whether they are the right ones.

Everything runs on one core, interleaved with its peer. `raw` is the whole way from raw vectors and scores in arrays to
rows: lengths and checks of the vectors, order, scale, and the page.
"""

from __future__ import annotations

import sys
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import msgspec
import numpy as np
from pyversity import Strategy, diversify
from pyversity.strategies.ssd import ssd

import house
from instances_spread import EVERYTHING, KINDS, TERMS, only, rough
from oracles_spread import shortfalls
from oracles_spread import spread as twin
from report import Row, fastest, publish, show
from slatewise import Candidates, Constrain, EmbeddingTable, Feed, Policy, Request, Spread
from slatewise.compose.signals import NO_BALANCES, spacings_for
from slatewise.compose.terms import Similar, Spacing, Term
from slatewise.core.constraints import Constraints
from slatewise.core.variety import NEGATIVES, VARIANTS
from slatewise.kernels.spread import spread
from slatewise.testing.families import FEED_RULES

SLOTS, WIDTH, SIZES, SEED = 50, 128, (500, 1000, 5000), 7
AGREED, TWINNED = 400, 40
NO_BASES = np.zeros((0, 0, 0))


class Contest(NamedTuple):
    """A variant as both know it: pyversity's call, ours, and how many times faster ours is to be."""

    peer: Any
    variant: str
    negative: str
    window: int
    weight: float
    zscore: bool
    goal: float


CONTESTS = {
    "MMR": Contest(partial(diversify, strategy=Strategy.MMR, diversity=0.5), "mmr", "clip", 10**6, 1.0, False, 3),
    "MSD": Contest(partial(diversify, strategy=Strategy.MSD, diversity=0.5), "msd_sum", "keep", 10**6, 1.0, False, 3),
    "DPP": Contest(partial(diversify, strategy=Strategy.DPP, diversity=0.5), "dpp", "keep", 10**6, 2.0, True, 6),
    "SSD": Contest(partial(ssd, diversity=0.5, append_bias=False), "ssd_star", "keep", 10**6, 1.0, True, 20),
    "SSD, window 10": Contest(
        partial(ssd, diversity=0.5, append_bias=False, window=10), "ssd_star", "keep", 10, 1.0, True, 50
    ),
}


def iid(n: int, seed: int = SEED) -> tuple[Any, Any]:
    """Return Gaussian vectors and uniform scores."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, WIDTH)).astype(np.float32), rng.random(n).astype(np.float32)


def clustered(n: int, seed: int = SEED) -> tuple[Any, Any]:
    """Return vectors around 40 centres, and scores that go with the centres."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, 40, n)
    vectors = rng.standard_normal((40, WIDTH))[of] + 0.5 * rng.standard_normal((n, WIDTH))
    scores = 0.7 * rng.random(40)[of] + 0.3 * rng.random(n)
    return vectors.astype(np.float32), scores.astype(np.float32)


@cache
def settings(name: str) -> tuple[Any, ...]:
    """Return what a policy fixes: signals and terms, but for the rows."""
    contest = CONTESTS[name]
    one = np.ones(1)
    variant, windows = np.array([VARIANTS.index(contest.variant)]), np.array([contest.window])
    terms = (variant, np.zeros(1, np.bool_), 0.5 * contest.weight * one, windows, np.array([0, 1]), np.ones((1, 1)),
             np.zeros(1), one)  # fmt: skip
    signal = np.array([[0, NEGATIVES.index(contest.negative), 0, -1, 0, WIDTH]])
    return signal, one, np.zeros((1, 0)), terms, tuple(spacings_for(())), tuple(NO_BALANCES), np.zeros((0, WIDTH))


@cache
def empty(n: int) -> tuple[Any, ...]:
    """Return no keys and no lists for n rows."""
    return np.zeros((0, n), np.int32), np.zeros(0, np.int32), np.zeros((0, n + 1), np.int64)


def prepared(name: str, table: EmbeddingTable, scores: Any, constraints: Any) -> tuple[Any, ...]:
    """Return what the kernel takes, from a table and scores."""
    n = len(scores)
    relevance = scores.astype(np.float64)
    if CONTESTS[name].zscore:
        relevance -= relevance.mean()
        relevance /= np.sqrt(relevance @ relevance / n)
    order = _descending(relevance)
    rank = np.empty(n, np.int32)
    rank[order] = np.arange(n, dtype=np.int32)
    signal, share, levels, terms, spacings, balances, unseen = settings(name)
    matrix = table.matrix
    address = matrix.__array_interface__["data"][0] + matrix.strides[0] * np.arange(n, dtype=np.int64)
    signals = (signal, share, levels, address[None], table.inverse[None].copy(), unseen, *empty(n))
    return order, rank, 0.5 * relevance, (signals, terms, spacings, balances), NO_BASES, constraints, SLOTS


def _descending(values: Any) -> Any:
    """Return rows by descending value; of equals, the first."""
    order = values.argsort()[::-1]
    ranked = values[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.argsort(-values, kind="stable")
    return order.astype(np.int32)


def raw(name: str, vectors: Any, scores: Any, constraints: Any) -> Any:
    """Return our page from raw vectors and scores."""
    return spread(*prepared(name, EmbeddingTable(vectors), scores, constraints))


def speed() -> list[Row]:
    """Compare times with pyversity's, from raw input, and with the time that memory needs."""
    rows, whole = [], {}
    for name, contest in CONTESTS.items():
        ratios, limits, ready = {}, {}, {}
        for n in SIZES:
            none = Constraints([], Candidates.of(item_id=np.arange(n)), SLOTS).arrays
            for kind in (clustered, iid):
                vectors, scores = kind(n)
                table = EmbeddingTable(vectors)
                arguments = prepared(name, table, scores, none)
                ours, theirs, kernel, pass_over = fastest(
                    partial(raw, name, vectors, scores, none),
                    partial(contest.peer, vectors, scores, SLOTS),
                    partial(spread, *arguments),
                    partial(np.matmul, vectors, vectors[0]),
                    passes=20 if n < 5000 else 8,
                    repeat=8 if n < 5000 else 2,
                )
                cell = f"{n} {kind.__name__}"
                ratios[cell] = theirs / ours
                moved = spread(*arguments).reads * (0.5 if contest.variant == "msd_sum" else 1.0)
                limits[cell] = kernel / (pass_over * moved / n)
                ready[cell] = kernel
        worst, slowest = min(ratios, key=ratios.__getitem__), max(limits, key=limits.__getitem__)
        told = ", ".join(f"{cell} {ratio:.1f}x" for cell, ratio in ratios.items())
        rows.append(
            Row(
                f"{name} from raw input, k = {SLOTS}, d = {WIDTH}, n = {SIZES[0]} to {SIZES[-1]}",
                f">= {contest.goal}x in the worst cell",
                f"{ratios[worst]:.1f}x at {worst}",
                f"pyversity 0.2.0; {told}",
                ratios[worst] >= contest.goal,
            )
        )
        whole[name] = ready, limits, slowest
    return [*rows, _beside_memory(whole), _ready(whole)]


def _beside_memory(whole: dict[str, Any]) -> Row:
    told = {name: limits[slowest] for name, (_, limits, slowest) in whole.items()}
    cells = ", ".join(
        f"{name} {min(limits.values()):.1f} to {max(limits.values()):.1f}" for name, (_, limits, _) in whole.items()
    )
    return Row(
        "time over that of reading the vectors it looks at, by cell",
        "<= 2x",
        f"{max(told.values()):.1f}x at worst; {cells}",
        "bytes read / bandwidth of X @ y at the same n",
        max(told.values()) <= 2,
    )


def _ready(whole: dict[str, Any]) -> Row:
    times = {
        f"{name} {kind}": ready[f"{SIZES[0]} {kind}"]
        for name, (ready, _, _) in whole.items()
        for kind in ("clustered", "iid")
    }
    told = ", ".join(f"{name} {time:.0f}" for name, time in times.items())
    return Row(
        f"lengths and order known, n = {SIZES[0]}, k = {SLOTS}",
        "<= 60 µs",
        f"{min(times.values()):.0f} to {max(times.values()):.0f} µs: {told}",
        f"{SLOTS - 1} products X @ y",
        max(times.values()) <= 60,
    )


def agreement() -> list[Row]:
    """Compare slates with pyversity's; where they differ, ask whether theirs is worth the same in float64."""
    same, ties, wrong = 0, 0, 0
    for seed in range(AGREED):
        vectors, scores = (iid, clustered)[seed % 2](200, seed)
        none = Constraints([], Candidates.of(item_id=np.arange(200)), 20).arrays
        for name, contest in CONTESTS.items():
            *rest, _ = prepared(name, EmbeddingTable(vectors), scores, none)
            ours = spread(*rest, 20).rows.tolist()
            theirs = contest.peer(vectors, scores, 20).indices.tolist()
            same += ours == theirs
            if ours != theirs:
                short = _shortfall(contest, vectors, scores, theirs)
                ties += short < 1e-5
                wrong += short >= 1e-5
    whole = AGREED * len(CONTESTS)
    return [
        Row(
            f"same slates as pyversity, {whole:,} instances of n = 200, k = 20, five variants",
            ">= 99.5 %, the rest ties",
            f"{same / whole:.2%}; {ties} differ by a tie in float32, {wrong} otherwise",
            "pyversity 0.2.0",
            same / whole >= 0.995 and wrong == 0,
        )
    ]


def _shortfall(contest: Contest, vectors: Any, scores: Any, rows: list[int]) -> float:
    """Return by how much a slate is worse than the best in some slot, in float64."""
    relevance = scores.astype(np.float64)
    columns = {"item_id": list(range(len(scores))), "utility": relevance.tolist(), "vector": vectors.tolist()}
    similar = [{"cosine": "vector", "negative": contest.negative}]
    term = {"name": "one", "variant": contest.variant, "similar": similar, "weight": contest.weight}
    if contest.window < 1000:
        term["window"] = contest.window
    if contest.variant in ("dpp", "ssd_star"):
        term["given"] = "bases"
    policy = {"strength": 0.5, "scale": "zscore" if contest.zscore else "none", "terms": [term]}
    return max(shortfalls(policy, columns, rows))


def twins() -> list[Row]:
    """Compare slates with those of the slow twin of the tests, which evaluates every row in float64."""
    same, ties, whole = 0, 0, 0
    for name in [*TERMS, "everything"]:
        policy = EVERYTHING if name == "everything" else only(name)
        section = msgspec.convert(policy, Spread)
        for seed in range(TWINNED):
            columns = rough(seed, 30)
            rows = section.select(Candidates.of(columns, kinds=KINDS), 10).rows.tolist()
            slow, _ = twin(policy, columns, 10)
            whole += 1
            same += rows == slow
            ties += rows != slow and max(shortfalls(policy, columns, rows)) < 1e-9
    return [
        Row(
            f"same slates as the float64 twin, {whole:,} random instances, {len(TERMS)} terms and all at once",
            "100 %",
            f"{same / whole:.2%}; {ties} of {whole - same} differ by less than 1e-9 in worth",
            "tests/oracles_spread.py",
            same + ties == whole,
        )
    ]


def everything() -> list[Row]:
    """Measure a page with all terms at once and six hard rules."""
    rng = np.random.default_rng(SEED)
    columns = house.columns()
    n = len(columns["item_id"])
    columns |= {name: rng.standard_normal((n, WIDTH)).astype(np.float32) for name in ("image", "text")}
    columns["path"] = [[f"p{one}" for one in rng.integers(0, 6, 4)] for _ in range(n)]
    columns["risk"] = rng.random(n)
    kinds = {**house.policy().head.columns, "image": "embedding", "text": "embedding", "path": "keys", "risk": "number"}
    looks = Term(name="looks", variant="ssd_star", similar=(Similar(cosine="image"), Similar(cosine="text")), window=10)
    spreading = Spread(
        by="p_click",
        strength=0.3,
        terms=(
            looks,
            Term(name="path", variant="mmr", similar=(Similar(prefix="path"),), window=10, weight=0.3),
            Term(name="topic", variant="gap", similar=(Similar(same="topic"),), window=5, weight=0.3),
        ),
        spacing=(
            Spacing(name="risky", by="risk", above=0.7, weight=0.02),
            Spacing(name="ads", group={"line": "ads"}, weight=0.01),
        ),
    )
    items = Candidates.of(columns, kinds=kinds)
    constraints = Constraints(FEED_RULES, items, house.SLOTS)
    lines = ["posts", "videos", "live", "ads"]
    feed = Feed(Policy.of(Constrain(rules=FEED_RULES), spreading, lines=lines, columns=kinds, slots=house.SLOTS))
    request = Request(candidates=items)
    page, whole, vectors = fastest(
        partial(spreading.select, items, house.SLOTS, constraints=constraints),
        partial(feed.compose, request),
        partial(np.matmul, columns["image"], columns["image"][0]),
        passes=200,
        repeat=3,
    )
    return [
        Row(
            f"two embeddings, semantic id, topic, two soft spacings, six hard rules, n = {n}, k = {house.SLOTS}",
            "<= 250 µs",
            f"{page:.0f} µs for the stage, {whole:.0f} µs for the whole feed, state and status included",
            f"one product X @ y: {vectors:.1f} µs",
            page <= 250,
        )
    ]


PARTS = {part.__name__: part for part in (speed, agreement, twins, everything)}

if __name__ == "__main__":
    if sys.argv[1:]:
        show([row for name in sys.argv[1:] for row in PARTS[name]()])
    else:
        publish("diversity", [row for part in PARTS.values() for row in part()])
