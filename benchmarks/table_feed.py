"""Pages with ads, by every way that there is: what they are truly worth on a feed whose truth is known.

All that learns, learns from the same logged pages of `learn.adfeed`; requests are in no log. Posts keep their order and
at most two ads come in, four slots apart: 8,181 pages, of which the best is known (`oracle`). The decoder is fitted by
its defaults, evaluator and generators as `learn_propose.learned` does. Time is that of one core, from candidates to the
page. Pages that break a rule are looked for among all that are allowed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from learn_decode import FRESH, STOCK, WORLD, stage_for
from learn_propose import Learned, generators_of, learned, stage_of
from slatewise import Request, Solve
from slatewise.compose.proposals import Parallel, Pointer
from slatewise.core.artefact import Artefact
from slatewise.core.constraints import Constraints
from slatewise.evaluate.adfeed import allowed, optimum, requested
from slatewise.evaluate.intervals import difference_by_cluster
from slatewise.learn.adfeed import request_of, sample
from slatewise.learn.adfeed_pages import outcome_of, rules_of
from slatewise.learn.decode import fit_decode
from slatewise.learn.pages import Pages
from slatewise.models.model import Model

LOGGED, TAUGHT = 16_000, 4_000
"""Pages of the log, and those that generators learn from."""
LOGS = (0, 1)
"""Seeds of logs: what was shown and clicked. Each answers all requests, and figures are means over both."""
PRICES = np.array([1.0, WORLD.engagement, -WORLD.load_price])
Way = Callable[[Request, Constraints], NDArray[np.int32]]


def models(folder: Path, seed: int) -> dict[str, Model]:
    """Return what was learned from the log, from where it is kept or anew."""
    pages = None
    found: dict[str, Model] = {}
    for name, fit in (("evaluator", _evaluator), ("decoder", _decoder)):
        kept = [
            folder / f"feed{seed}-{name}-{part}.json"
            for part in (("judge", "pointer", "parallel") if name == "evaluator" else ("model",))
        ]
        if not all(path.is_file() for path in kept):
            pages = pages or sample(LOGGED, world=WORLD, stock=STOCK, seed=seed)
            folder.mkdir(parents=True, exist_ok=True)
            for path, model in zip(kept, fit(pages), strict=True):
                plain = {"model": msgspec.to_builtins(model)}
                Artefact(section="compose.decode", settings=plain).write(path)
        for path in kept:
            found[path.stem.split("-", 1)[1]] = msgspec.convert(Artefact.read(path).settings["model"], Model)
    return found


def _evaluator(pages: Pages) -> Learned:
    return learned(pages, members=3, taught=TAUGHT, epochs=6)


def _decoder(pages: Pages) -> list[Model]:
    return [fit_decode(pages).model]


def ways(found: dict[str, Model]) -> dict[str, Way]:
    """Return the ways to make a page."""
    pointer, parallel = found["evaluator-pointer"], found["evaluator-parallel"]
    propose = stage_of(found["evaluator-judge"], generators_of(pointer, parallel))
    decode = {
        method: stage_for(found["decoder-model"], method=method, width=8 if method == "beam" else 1)
        for method in ("beam", "staged", "exact")
    }

    def alone(generator: Any) -> Way:
        def way(request: Request, rules: Constraints) -> NDArray[np.int32]:
            seen = propose.seen(request.candidates, rules, request)
            return seen.blank.problem.order[generator.pages(seen)[0]]

        return way

    def by(stage: Any) -> Way:
        return lambda request, rules: (
            stage.select(request.candidates, WORLD.length, constraints=rules, request=request).rows
        )

    return {
        "no ads": lambda request, rules: np.arange(WORLD.length, dtype=np.int32),
        "rules alone": by(Solve(by="score")),
        "autoregressive": alone(Pointer(model=pointer, width=1, number=0)),
        "parallel": alone(Parallel(model=parallel, strengths=(0.0,))),
        "propose (GE)": by(propose),
        "decode: beam of 8": by(decode["beam"]),
        "decode: staged": by(decode["staged"]),
        "decode: exact": by(decode["exact"]),
    }


def measured(folder: Path, requests: int) -> dict[str, Any]:
    """Return each way's pages, by what they are worth: log by log, and in each request by request."""
    legal = {tuple(page) for page in allowed(WORLD).tolist()}
    told: dict[str, list[list[float]]] = {}
    for seed in LOGS:
        found = models(folder, seed)
        made, stage = ways(found), stage_for(found["decoder-model"])
        for at in range(requests):
            request, asked = request_of(WORLD, STOCK, FRESH + at), requested(WORLD, STOCK, FRESH + at)
            pages = {"oracle": (optimum(WORLD, asked)[0], 0.0)}
            for name, way in made.items():
                rules = rules_of(stage, WORLD, request)
                if at == 0:
                    way(request, rules)
                start = time.thread_time()
                page = way(request, rules)
                pages[name] = page, 1e3 * (time.thread_time() - start)
            for name, (page, spent) in pages.items():
                broken = tuple(page.tolist()) not in legal
                row = [*outcome_of(WORLD, asked, page), broken, spent]
                told.setdefault(name, []).append([float(one) for one in row])
    return {name: told[name] for name in (*made, "oracle")}


def feed_rows(folder: Path, *, requests: int, fresh: bool) -> list[str]:
    """Return the table of the feed, measured if it is not there or of fewer requests."""
    path = folder / "feed.json"
    told = json.loads(path.read_text()) if path.is_file() else {}
    if fresh and len(next(iter(told.values()), ())) < len(LOGS) * requests:
        told = measured(folder, requests)
        path.write_text(json.dumps(told))
    return shown({name: np.array(rows) for name, rows in told.items()}) if told else []


def shown(told: dict[str, NDArray[np.float64]]) -> list[str]:
    """Return the table as Markdown."""
    lines = [
        f"### the feed with ads, {len(told['oracle']) // len(LOGS):,} requests, {len(LOGS)} logs",
        "",
        "| way | reward / best | beside propose (GE) | RPM | CTR | engagement | violations | P50 ms | P99 ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    best, other = told["oracle"][:, :3] @ PRICES, told["propose (GE)"][:, :3] @ PRICES
    for name, rows in told.items():
        worth = rows[:, :3] @ PRICES
        more = difference_by_cluster(worth, other, np.arange(len(worth)) % (len(worth) // len(LOGS)), resamples=999)
        half = (more.high - more.low) / 2 / other.mean()
        beside = "" if name == "propose (GE)" else f"{more.estimate / other.mean():+.1%} ± {half:.1%}"
        times = "" if name == "oracle" else " | ".join(f"{one:.1f}" for one in np.quantile(rows[:, 6], [0.5, 0.99]))
        lines.append(
            f"| {name} | {worth.sum() / best.sum():.3f} | {beside} | {1e3 * rows[:, 0].mean():.0f} "
            f"| {rows[:, 3].sum() / rows[:, 4].sum():.4f} | {rows[:, 1].mean():.3f} | {rows[:, 5].mean():.2%} "
            f"| {times or ' | '} |"
        )
    return [*lines, ""]
