"""Candidates and policies to try `compose.spread` on, as plain data for it and for its twin."""

from itertools import product

import numpy as np

CORNERS = [
    *(tuple(float(sign * (axis == at)) for at in range(4)) for axis in range(4) for sign in (1, -1)),
    *product((1.0, -1.0), repeat=4),
]
"""24 vectors of length 1 and 2 in four dimensions; their cosines are 0, +-1/2 and +-1, without any rounding."""

COSINE = [{"cosine": "vector"}]
SHIFTED = [{"cosine": "vector", "negative": "shift"}]
CLIPPED = [{"cosine": "vector", "negative": "clip"}]
MIXED = [{"cosine": "vector", "weight": 2.0}, {"same": "author"}, {"overlap": "tags"}]
TERMS = {
    "mmr": {"variant": "mmr", "similar": COSINE},
    "mmr, 3": {"variant": "mmr", "similar": CLIPPED, "window": 3},
    "mmr of all": {
        "variant": "mmr",
        "similar": [
            {"cosine": "vector", "weight": 4.0},
            *MIXED[1:],
            {"prefix": "path", "levels": [4.0, 2.0, 2.0]},
            {"linked": "links"},
        ],
        "window": 4,
    },
    "gap": {"variant": "gap", "similar": COSINE, "fade": "halving"},
    "gap, 4": {"variant": "gap", "similar": [{"same": "author"}], "window": 4},
    "gap, list": {"variant": "gap", "similar": MIXED, "fade": [1.0, 0.75, 0.5, 0.0]},
    "msd_sum": {"variant": "msd_sum", "similar": SHIFTED},
    "msd_sum, 2": {"variant": "msd_sum", "similar": COSINE, "window": 2},
    "msd_mean": {"variant": "msd_mean", "similar": MIXED},
    "msd_mean, 4": {"variant": "msd_mean", "similar": CLIPPED, "window": 4},
    "projection": {"variant": "projection", "similar": COSINE},
    "projection, 3": {"variant": "projection", "similar": SHIFTED, "window": 3},
    "projection, 3, items": {"variant": "projection", "similar": MIXED, "window": 3, "given": "items"},
    "ssd_star": {"variant": "ssd_star", "similar": SHIFTED},
    "ssd_star, 2": {"variant": "ssd_star", "similar": COSINE, "window": 2},
    "ssd_star, 4, items": {"variant": "ssd_star", "similar": SHIFTED, "window": 4, "given": "items"},
    "ssd_volume": {"variant": "ssd_volume", "similar": SHIFTED},
    "ssd_volume, 3": {"variant": "ssd_volume", "similar": COSINE, "window": 3},
    "dpp": {"variant": "dpp", "similar": COSINE},
    "dpp of keys": {"variant": "dpp", "similar": [{"prefix": "path"}, {"overlap": "tags"}]},
    "dpp, 1": {"variant": "dpp", "similar": COSINE, "window": 1},
    "dpp, 3": {"variant": "dpp", "similar": SHIFTED, "window": 3},
    "dpp, 4, bases": {"variant": "dpp", "similar": COSINE, "window": 4, "given": "bases"},
    "spectrum": {"variant": "spectrum", "similar": COSINE},
    "spectrum, 4": {"variant": "spectrum", "similar": MIXED, "window": 4, "fade": "halving", "ridge": 0.5},
}
"""Terms of every variant, with and without a window."""

SUMS = ["mmr", "mmr, 3", "mmr of all", "gap", "msd_sum", "msd_sum, 2", "msd_mean, 4"]
"""Terms that are sums and products of halves on exact instances, so that no order of doing them rounds."""

KINDS = {
    "utility": "number",
    "vector": "embedding",
    "author": "key",
    "tags": "keys",
    "path": "keys",
    "links": "keys",
    "risk": "number",
    "made": "number",
    "known": "number",
}
"""Kinds of the columns of an instance."""


def exact(seed, n=20, *, levels=4):
    """Return columns whose likenesses and utilities are sums of halves; there are many ties."""
    rng = np.random.default_rng(seed)
    vectors = [CORNERS[place] for place in rng.integers(0, len(CORNERS), n)]
    return {**_rest(rng, n), "utility": (rng.integers(0, levels, n) / 4).tolist(), "vector": vectors}


def rough(seed, n=20, *, d=6, clusters=4):
    """Return columns with float32 vectors around a few centres, and utilities that go with the centres."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, clusters, n)
    vectors = (rng.normal(size=(clusters, d))[of] + 0.6 * rng.normal(size=(n, d))).astype(np.float32)
    utility = 0.5 * rng.random(n) + 0.5 * rng.random(clusters)[of]
    return {**_rest(rng, n), "utility": utility.tolist(), "vector": vectors.tolist()}


def _rest(rng, n):
    ids = [f"i{place:03d}" for place in rng.permutation(n)]
    return {
        "item_id": ids,
        "line": rng.choice(["ads", "posts"], n).tolist(),
        "author": [f"a{one}" for one in rng.integers(0, 5, n)],
        "tags": [["t0", "t1", "t2", "t3"][start:stop] for start, stop in rng.choice([(0, 2), (0, 4), (2, 4)], n)],
        "path": [[f"p{one}" for one in rng.integers(0, 2, 3)] for _ in range(n)],
        "links": [[ids[other] for other in rng.choice(n, min(2, n), replace=False)] for _ in range(n)],
        "risk": (rng.integers(0, 5, n) / 4).tolist(),
        "made": (1000.0 - 10.0 * rng.integers(0, 8, n)).tolist(),
        "known": (0.5 ** rng.integers(0, 5, n)).tolist(),
    }


def without(columns, name, rows):
    """Return columns with one of them missing in some rows."""
    return {**columns, name: [None if row in rows else value for row, value in enumerate(columns[name])]}


def taken(columns, rows):
    """Return some rows of columns, in the order given."""
    return {name: [values[row] for row in rows] for name, values in columns.items()}


def unseen(columns, shown):
    """Return the rows of items that were not shown."""
    return taken(columns, [row for row, item in enumerate(columns["item_id"]) if item not in shown])


def only(name, **more):
    """Return a policy with one term."""
    return {"strength": 0.5, "terms": [{"name": "one", **TERMS[name]}], **more}


EVERYTHING = {
    "strength": 0.25,
    "terms": [
        {"name": "looks", "variant": "ssd_star", "similar": SHIFTED, "window": 4, "weight": 2.0},
        {"name": "kind", "variant": "mmr", "similar": [{"prefix": "path"}, {"overlap": "tags"}], "window": 6},
        {"name": "who", "variant": "gap", "similar": [{"same": "author"}], "window": 5, "fade": "halving"},
    ],
    "spacing": [
        {"name": "risky", "by": "risk", "above": 0.5, "within": 4, "fade": "reciprocal", "weight": 0.25},
        {"name": "ads", "group": {"line": "ads"}, "within": 3, "fade": "flat", "weight": 0.125},
    ],
    "balance": [{"column": "tags", "weight": 0.5, "target": {"t0": 0.25, "t1": 0.5, "t9": 0.25}}],
    "fresh": [{"by": "made", "half_life_s": 20.0, "weight": 0.25}],
    "novel": [{"by": "known", "weight": 0.0625}],
}
"""A policy of which nothing is left out."""
