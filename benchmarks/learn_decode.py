"""Pages with ads, chosen by a decoder: how fast the best of all is found and proven, and what each part of that saves.

The feed is `evaluate.adfeed`, of which the truth is known; the decoder is fitted on some thousand of its logged pages.
A request has 20 ads and 12 slots, of which 2 to 11 may have an ad, four apart: 8,181 pages of at most two ads. Time is
that of one core, from candidates to the page, all but the making of the request.

`python benchmarks/learn_decode.py --full` compares the page with the best of all for 10,000 requests, of which all but
500 have eight ads, for 1,257 pages; `--model FILE` takes a decoder that was fitted before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np

from report import Row, show
from slatewise import Decode, Request
from slatewise.compose.decode import Reorder
from slatewise.core.artefact import Artefact
from slatewise.evaluate.adworld import AdWorld, catalogue
from slatewise.kernels.insertion_bounds import bounds_for, bounds_of, every_page
from slatewise.kernels.insertion_search import Asked, gains_of, one_chain
from slatewise.learn.adfeed import request_of, sample
from slatewise.learn.adfeed_pages import rules_of, stage_of
from slatewise.methods.insertion import MARGIN, Decoded, Insertions, beam, exact, staged
from slatewise.models.model import Model

WORLD = AdWorld()
STOCK = catalogue(WORLD)
LISTS = 4_000
"""Logged pages that the decoder is fitted on."""
FRESH = 1_000_000
"""Requests from this one on are in no log."""
TOGETHER = 64
"""Pages that are asked side by side where nothing is shared."""
WIDE = 512
"""Slots that are asked side by side where nothing is left out."""


class Served(NamedTuple):
    """A page, how it was found, and the milliseconds of one core."""

    found: Decoded
    took: float


def fitted() -> Model:
    """Return a decoder that was fitted on logged pages."""
    from slatewise.learn.decode import fit_decode

    return fit_decode(sample(LISTS, world=WORLD, stock=STOCK, seed=1)).model


def read(path: str) -> Model:
    """Return a decoder from its artefact."""
    return msgspec.convert(Artefact.read(path).settings["model"], Model)


def stage_for(model: Model, **fields: Any) -> Decode:
    """Return the stage as the feed would have it, with no end to its work."""
    return stage_of(model, WORLD, deadline_ms=1e6, **fields)


def requests(count: int, start: int = FRESH) -> list[Request]:
    """Return requests that are in no log."""
    return [request_of(WORLD, STOCK, start + number) for number in range(count)]


def fewer(request: Request, ads: int) -> Request:
    """Return a request with some of its ads."""
    return msgspec.structs.replace(request, candidates=request.candidates.take(np.arange(WORLD.length + ads)))


def served(stage: Decode, some: Iterable[Request]) -> list[Served]:
    """Return pages of requests."""
    found: list[Served] = []
    for request in some:
        rules = rules_of(stage, WORLD, request)
        start = time.thread_time()
        _, page = stage.solved(request.candidates, WORLD.length, constraints=rules, request=request)
        found.append(Served(page, 1e3 * (time.thread_time() - start)))
    return found


def insertions(stage: Decode, request: Request) -> tuple[Insertions, Any]:
    """Return the pages of a request, and which rows are ads."""
    laid, _ = stage._laid_out(request.candidates, rules_of(stage, WORLD, request))
    return stage._insertions(request.candidates, request, laid), laid.is_ad


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return milliseconds of one core, and what a call returns."""
    start = time.thread_time()
    found = call()
    return 1e3 * (time.thread_time() - start), found


def page_by_page(page: Insertions, is_ad: Any, *, pruned: bool) -> tuple[float, int]:
    """Return (what the best page is worth, pages asked): whole pages side by side, which share nothing.

    Args:
        page: The pages.
        is_ad: Which rows are ads.
        pruned: Whether those whose bound is below the best so far are left out.
    """
    every = every_page(page.patterns, page.slots)
    low, high = bounds_of(every, is_ad, page.tables).T
    order = np.argsort(-high, kind="stable") if pruned else np.arange(len(every))
    best, asked = (low.max(), 0) if pruned else (-np.inf, 0)
    for start in range(0, len(every), TOGETHER):
        rows = every[order[start : start + TOGETHER]]
        if pruned and high[order[start]] < best - MARGIN * high.max():
            break
        chain = one_chain(rows[0])
        at = np.arange(rows.size, dtype=np.int32).reshape(rows.shape)
        none = np.repeat(chain.above, len(rows), axis=0)
        many = Asked(rows, at, none, np.zeros(len(rows), np.int64), np.full(len(rows), page.slots))
        click, leave = page.network().ask(many)
        for one, row in enumerate(rows):
            best = max(best, gains_of(row, is_ad, page.tables, click[one : one + 1], leave[one : one + 1]).sum())
        asked += len(rows)
    return best, asked


def agreement(model: Model, some: Iterable[Request]) -> Row:
    """Compare what is served with the best of all pages, each of them asked."""
    stage, wrong, other, many = stage_for(model), 0, 0, 0
    for request in some:
        page, _ = insertions(stage, request)
        found, every = exact(page), exact(replace(page, wide=WIDE), margin=np.inf)
        assert every.decoding.evaluated == every.decoding.pages
        wrong += abs(found.value - every.value) > 1e-6 * abs(every.value)
        other += found.rows.tolist() != every.rows.tolist()
        many += 1
    measured = f"{many - wrong} of {many} the best, {many - other} the same page"
    return Row("the best of all pages", "always", measured, "all pages asked", wrong == other == 0)


def shares(found: list[Served]) -> list[Row]:
    """Return how much was looked at."""
    pages = np.array([one.found.decoding.evaluated / one.found.decoding.pages for one in found])
    slots = np.array([one.found.decoding.tokens / one.found.decoding.shared for one in found])
    rows = []
    for what, goal, share in (("pages evaluated", 0.10, pages), ("slots asked", 0.15, slots)):
        middle, late = np.quantile(share, (0.5, 0.99))
        told = f"{middle:.2%} in the median, {late:.2%} at most in 99 of 100"
        rows.append(Row(what, f"<= {goal:.0%} in the median", told, "all of them", middle <= goal))
    return rows


def latency(name: str, found: list[Served], goals: tuple[float, float], peer: str) -> Row:
    """Return how long pages took."""
    middle, late = np.quantile([one.took for one in found], (0.5, 0.99))
    wanted = f"P50 <= {goals[0]:g} ms, P99 <= {goals[1]:g} ms"
    told = f"P50 {middle:.1f} ms, P99 {late:.1f} ms"
    return Row(name, wanted, told, peer, bool(middle <= goals[0] and late <= goals[1]))


def parts(model: Model, some: list[Request]) -> list[Row]:
    """Return what a tree of prefixes and a bound save, apart and together."""
    stage = stage_for(model)
    took: dict[str, list[float]] = {}
    for request in some:
        page, is_ad = insertions(stage, request)
        calls: dict[str, Callable[[], Any]] = {
            "page by page": lambda: page_by_page(page, is_ad, pruned=False),  # noqa: B023
            "tree": lambda: exact(replace(page, wide=WIDE), margin=np.inf),  # noqa: B023
            "bound": lambda: page_by_page(page, is_ad, pruned=True),  # noqa: B023
            "both": lambda: exact(page),  # noqa: B023
        }
        for name, call in calls.items():
            took.setdefault(name, []).append(timed(call)[0])
    middle = {name: float(np.median(times)) for name, times in took.items()}
    told = ", ".join(f"{name} {one:.1f} ms" for name, one in middle.items())
    tree, both = middle["page by page"] / middle["tree"], middle["page by page"] / middle["both"]
    return [Row("what saves what", "a tree 2.5 x", told, f"{tree:.1f} x by a tree, {both:.0f} x by both", tree >= 2.5)]


def first_bounds(model: Model, request: Request) -> Row:
    """Return how long it takes to bound all pages before any is looked at."""
    stage = stage_for(model)
    page, _ = insertions(stage, request)
    took = min(timed(lambda: bounds_for(page.patterns, page.tables))[0] for _ in range(20))
    many = exact(page).decoding.pages
    return Row("bounds of all pages", "< 0.5 ms", f"{took:.2f} ms", f"{many:,} pages", took < 0.5)


def others(model: Model, some: list[Request]) -> list[Row]:
    """Return what the published stages and a beam miss."""
    stage, rows = stage_for(model), []
    pages = [insertions(stage, request)[0] for request in some]
    best = np.array([exact(page).value for page in pages])
    for name, call in (("two stages", staged), ("a beam of 8", beam)):
        took, value = zip(*(timed(lambda: call(page).value) for page in pages), strict=True)  # noqa: B023
        gap = (best - np.array(value)) / best
        told = f"misses {np.mean(gap > 1e-6):.1%}, by {gap.mean():.2%} in the mean and {gap.max():.1%} at most"
        rows.append(Row(name, "reported", told, f"P50 {np.median(took):.1f} ms, without proof", True))
    return rows


def rows(model: Model | None = None, count: int = 200) -> list[Row]:
    """Return what was measured."""
    model = model or fitted()
    some = requests(count)
    served(stage_for(model), some[:3])
    two = served(stage_for(model), some)
    three = served(stage_for(model, insert=3), some)
    turned = served(stage_for(model, reorder=Reorder(window=4)), some[: count // 2])
    looseness = np.median([one.found.decoding.first_bound / one.found.value for one in two])
    return [
        agreement(model, some[:10]),
        *shares(two),
        latency("two ads", two, (10, 20), f"{two[0].found.decoding.pages:,} pages; bound / value {looseness:.2f}"),
        latency("three ads", three, (40, 40), f"{three[0].found.decoding.pages:,} pages"),
        latency("two ads, four posts in any order", turned, (40, 40), f"{turned[0].found.decoding.pages:,} pages"),
        first_bounds(model, some[0]),
        *parts(model, some[:3]),
        *others(model, some),
    ]


if __name__ == "__main__":
    given = read(sys.argv[sys.argv.index("--model") + 1]) if "--model" in sys.argv else fitted()
    if "--full" in sys.argv:
        each = (requests(1, FRESH + at)[0] for at in range(10_000))
        show([agreement(given, (one if at < 500 else fewer(one, 8) for at, one in enumerate(each)))])
    else:
        show(rows(given))
