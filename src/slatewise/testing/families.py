"""Families of pages to compose, each hard in its own way, and one way to draw from them.

    draw("tight", seed=7)                  # at the size that the family is meant for
    draw("tight", seed=7, n=8, k=4)        # small enough to try every page

An instance depends on its family, seed and sizes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from slatewise.compose.solve import Bonus, Pair
from slatewise.core.rules import Rule
from slatewise.testing.instances import LINES, Instance

Family: TypeAlias = Callable[[np.random.Generator, int | None, int | None], Instance]

FEED_LINES = ("posts", "videos", "live", "ads")
FEED_RULES = (
    Rule(name="ad load", group={"line": "ads"}, first=10, at_most=2),
    Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1),
    Rule(name="one local", group={"local": True}, at_least=1),
    Rule(name="authors apart", per="author", every=4, at_most=1),
    Rule(name="live early", group={"line": "live"}, first=8, at_least=1),
    Rule(name="topics", distinct="topic", first=10, at_least=3),
)
"""Caps, gaps and floors of a feed, authors apart, several topics."""


def draw(family: str, seed: int, *, n: int | None = None, k: int | None = None) -> Instance:
    """Draw an instance of a family with about n rows and k slots; by default the size that the family is meant for."""
    return FAMILIES[family](np.random.default_rng([seed, *family.encode()]), n, k)


def loose(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Caps that seldom bind, and a bonus in the first slots: the best rows are nearly the best page."""
    n, k = n or 60, k or 10
    rules = (
        Rule(name="ad load", group={"line": "ads"}, at_most=max(k // 2, 1)),
        Rule(name="author load", per="author", every=4, at_most=2),
        Rule(name="topic load", per="topic", at_most=max(k - 1, 1)),
        Rule(name="a local", group={"local": True}, at_least=1),
    )
    return Instance(_rows(rng, n), rules, k, bonus=(Bonus(by="seen", slots=(1, max(k // 3, 1))),))


def tight(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Caps that together leave hardly more room than the page has slots: few pages keep them all."""
    n, k = n or 60, k or 10
    spread = rng.multinomial(k, (0.5, 0.3, 0.2))
    rules = (
        *(
            Rule(name=f"{line} load", group={"line": line}, at_most=int(room))
            for line, room in zip(LINES, spread, strict=True)
        ),
        Rule(name="topic load", per="topic", at_most=-(-k // 3), priority=2),
        Rule(name="size", weight="size", at_most=float(rng.integers(k, 2 * k)) / 2, priority=3),
        Rule(name="ad share", group={"line": "ads"}, exposure="log", at_most=0.2, priority=2),
    )
    return Instance(_rows(rng, n), rules, k)


def conflicting(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Floors that ask for all slots or one more than there are: they can only just hold together, or cannot."""
    n, k = n or 60, k or 10
    spread = rng.multinomial(k + int(rng.integers(0, 2)), (0.4, 0.3, 0.3))
    rules = (
        *(
            Rule(name=f"{line} floor", group={"line": line}, at_least=int(floor), priority=int(rng.integers(1, 4)))
            for line, floor in zip(LINES, spread, strict=True)
        ),
        Rule(name="locals", group={"local": True}, first=-(-k // 2), at_least=int(rng.integers(1, 3))),
        Rule(name="topics", distinct="topic", at_least=int(rng.integers(2, 4)), priority=2),
        Rule(name="weight", weight="size", at_least=float(k) / 2, priority=int(rng.integers(1, 4))),
    )
    return Instance(_rows(rng, n), rules, k)


def authors(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Many authors of few rows each, kept apart across the border to the page before: no two rows are alike."""
    n, k = n or 60, k or 10
    most = max(n // 3, 1)
    rules = (
        Rule(name="authors apart", per="author", every=4, at_most=1, priority="contractual" if n > 12 else 3),
        Rule(name="author load", per="author", at_most=2, priority=2),
        Rule(name="many authors", distinct="author", first=5, at_least=4),
        Rule(name="lines mixed", per="line", every=3, at_most=2),
    )
    past = _rows(rng, int(rng.integers(1, 6)), authors=most)
    return Instance(_rows(rng, n, authors=most), rules, k, past=past)


def overlapping(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Many windows over the same groups: a row is counted often, and each slot is in other windows than the next."""
    n, k = n or 60, k or 10
    rules = [
        Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1, priority=3),
        Rule(name="ads every five", group={"line": "ads"}, every=5, at_most=2),
        Rule(name="a video every four", group={"line": "videos"}, every=4, at_least=1, priority=2),
        Rule(name="sizes", weight="size", every=3, at_most=3.5),
    ]
    for number in range(4):
        start, stop = sorted((rng.integers(0, k, 2) + 1).tolist())
        most = int(rng.integers(0, 3))
        rules.append(Rule(name=f"ads {number}", group={"line": "ads"}, slots=(start, stop), at_most=most))
        rules.append(Rule(name=f"topics {number}", per="topic", slots=(start, stop), at_most=most + 1))
        rules.append(Rule(name=f"posts {number}", group={"line": "posts"}, slots=(start, stop), at_least=most))
    return Instance(_rows(rng, n), tuple(rules), k, past=_rows(rng, 4) if rng.random() < 0.5 else None)


def ties(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Values of 0 and 1 and slots that are looked at alike: pages without number are worth the same."""
    n, k = n or 60, k or 10
    rules = (
        Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1),
        Rule(name="topics mixed", per="topic", every=3, at_most=1, priority=2),
        Rule(name="videos", group={"line": "videos"}, at_least=max(k // 4, 1)),
        Rule(name="authors apart", per="author", every=3, at_most=1),
    )
    return Instance(_rows(rng, n, utility=rng.integers(0, 2, n).astype(float)), rules, k, exposure="flat")


def negative(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Rows that cost: a full page is worth less than a short one, and is due all the same; low slots are best."""
    n, k = n or 60, k or 10
    rules = (
        Rule(name="ads", group={"line": "ads"}, at_least=max(k // 3, 1)),
        Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1, priority=2),
        Rule(name="authors apart", per="author", every=3, at_most=1),
        Rule(name="local share", group={"local": True}, exposure="reciprocal", at_least=0.1, at_most=0.6),
    )
    return Instance(_rows(rng, n, utility=np.round(rng.normal(-1, 0.7, n), 3)), rules, k, exposure="reciprocal")


def short(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Fewer rows than slots: all are served, windows end with the page, and only the order is left to choose."""
    k = k or 10
    n = min(n or 7, k - 1) or 1
    rules = (
        Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1),
        Rule(name="ads late", group={"line": "ads"}, first=2, at_most=0, priority=2),
        Rule(name="posts", group={"line": "posts"}, at_least=n),
        Rule(name="video last", group={"line": "videos"}, slots=(max(n - 1, 1), k), at_least=1),
        Rule(name="topics mixed", per="topic", every=3, at_most=1),
    )
    return Instance(_rows(rng, n), rules, k)


def single(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """One slot: every floor wants it, and windows reach back to the page before."""
    n = n or 60
    rules = (
        Rule(name="authors apart", per="author", every=3, at_most=1, priority=3),
        Rule(name="a video", group={"line": "videos"}, at_least=1),
        Rule(name="a local", group={"local": True}, every=3, at_least=1, priority=2),
        Rule(name="no ad first", group={"line": "ads"}, first=1, at_most=0),
    )
    return Instance(_rows(rng, n), rules, 1, past=_rows(rng, 3, authors=max(n // 2, 1)))


def shares(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Shares of exposure and weights: what a row counts depends on its slot, so rules are knapsacks."""
    n, k = n or 60, k or 10
    rules = (
        Rule(name="posts share", group={"line": "posts"}, exposure="log", at_least=0.3, at_most=0.6, priority=2),
        Rule(name="ad share", group={"line": "ads"}, exposure="log", at_least=0.05, at_most=0.2, priority=3),
        Rule(name="topic share", per="topic", exposure="reciprocal", at_most=0.5),
        Rule(name="early locals", group={"local": True}, exposure=[1.0, 0.5], first=-(-k // 2), at_least=0.2),
        Rule(name="size", weight="size", at_least=k / 2, at_most=k, priority=2),
    )
    return Instance(_rows(rng, n), rules, k)


def pairs(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Rows that replace or lift each other when they are near: the best row depends on its neighbours."""
    n, k = n or 60, k or 10
    rules = (
        Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1),
        Rule(name="a video", group={"line": "videos"}, first=-(-k // 2), at_least=1),
        Rule(name="author load", per="author", at_most=2),
    )
    terms = (
        Pair(worth=-0.6, same="topic", within=2, fade="reciprocal"),
        Pair(worth=-0.4, same="author", within=3),
        Pair(worth=0.3, above={"line": "posts"}, below={"line": "videos"}),
    )
    return Instance(_rows(rng, n), rules, k, pairs=terms[: int(rng.integers(1, 4))])


def feed(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """A feed as it is served, of 200 rows in 20 slots: caps, gaps and floors, authors apart, several topics."""
    n, k = n or 200, k or 20
    line = rng.choice(FEED_LINES, n, p=(0.5, 0.25, 0.1, 0.15))
    lift = dict(zip(FEED_LINES, (1.0, 1.1, 0.8, 1.4), strict=True))
    data = {
        **_rows(rng, n, authors=max(2 * n // 5, 1), topics=12),
        "item_id": [f"i{item:04d}" for item in range(n)],
        "line": line.tolist(),
        "utility": rng.beta(2, 20, n) * [lift[one] for one in line],
        "local": rng.random(n) < 0.05,
    }
    return Instance(data, FEED_RULES, k)


def large(rng: np.random.Generator, n: int | None = None, k: int | None = None) -> Instance:
    """Two thousand rows: whatever looks at each row for each slot and rule takes its time."""
    return feed(rng, n or 2_000, k or 20)


def _rows(
    rng: np.random.Generator,
    n: int,
    *,
    authors: int | None = None,
    topics: int = 4,
    utility: Any = None,
) -> dict[str, Any]:
    """Draw raw columns; one in ten rows has no author, one in ten items is nominated twice."""
    items = np.arange(n)
    again = rng.random(n) < 0.1
    line = rng.integers(0, len(LINES), n)
    for row in np.flatnonzero(again[1:] & ~again[:-1]) + 1:
        items[row], line[row] = items[row - 1], (line[row - 1] + 1) % len(LINES)
    names = rng.integers(0, authors or max(n // 2, 1), n)
    return {
        "item_id": [f"i{item:04d}" for item in items],
        "line": [LINES[code] for code in line],
        "utility": np.round(rng.normal(1, 0.5, n), 3) if utility is None else utility,
        "author": [None if rng.random() < 0.1 else f"a{name}" for name in names],
        "topic": [f"t{topic}" for topic in rng.integers(0, topics, n)],
        "local": rng.random(n) < 0.25,
        "seen": rng.integers(0, 5, n) / 4,
        "size": rng.choice([0.0, 0.5, 1.0, 2.0], n),
    }


FAMILIES: dict[str, Family] = {
    "loose": loose,
    "tight": tight,
    "conflicting": conflicting,
    "authors": authors,
    "overlapping": overlapping,
    "ties": ties,
    "negative": negative,
    "short": short,
    "single": single,
    "shares": shares,
    "pairs": pairs,
    "feed": feed,
    "large": large,
}
"""What is hard about each is in its docstring."""
