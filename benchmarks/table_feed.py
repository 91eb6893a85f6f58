"""Pages with ads, by every way that there is: what they are truly worth on a feed whose truth is known.

All that learns, learns from the same logged pages of `learn.adfeed`; requests are in no log. Posts keep their order and
at most two ads come in, four slots apart: 8,181 pages, of which the best is known (`oracle`). The generators' evaluator
and the decoder are fitted by their defaults, but for what is said here. Time is that of one core, from candidates to
the page. Pages that break a rule are looked for among all that are allowed.
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

from learn_decode import APART, STOCK, WORLD, stage_for
from slatewise import Propose, Request, Solve
from slatewise.compose.proposals import Beam, Draw, Parallel, Pointer, Vary
from slatewise.core.artefact import Artefact
from slatewise.core.constraints import Constraints
from slatewise.evaluate.adfeed import allowed, optimum, parts, requested, truth
from slatewise.evaluate.intervals import difference_by_cluster
from slatewise.learn.adfeed import request_of, sample
from slatewise.learn.decode import fit_decode
from slatewise.learn.evaluator import TRAINING, fit_evaluator
from slatewise.learn.generate import fit_parallel, fit_pointer
from slatewise.learn.generating import Judge
from slatewise.learn.training import Training
from slatewise.models.inputs import Inputs
from slatewise.models.model import Model

LOGGED, TAUGHT, FRESH = 16_000, 4_000, 1_000_000
"""Pages of the log, those that generators learn from, and the first request that is in no log."""
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


def _evaluator(pages: Any) -> list[Model]:
    numbers = ["relevance", "similarity", "quality", "bid", "value", "large", "frequency"]
    numbers += [f"{side}{place}" for side in "fu" for place in range(WORLD.dims)]
    inputs = Inputs.known(pages, numbers=numbers, keys=["line", "advertiser"], context=["patience"])
    training = msgspec.structs.replace(TRAINING, rate=2e-3, decay=1e-2, epochs=25)
    evaluator = fit_evaluator(pages, exposed="exposed", inputs=inputs, members=3, training=training)
    judge = Judge(evaluator, worth={"bid": 1.0, "value": WORLD.engagement}, cost={"cost": WORLD.load_price})
    few, taught = Training(rate=2e-3, batch=128, epochs=6, patience=3), pages.take(np.arange(TAUGHT))
    pointer = fit_pointer(taught, slots=WORLD.length, judge=judge, inputs=inputs, training=few)
    parallel = fit_parallel(taught, slots=WORLD.length, judge=judge, inputs=inputs, training=few)
    return [evaluator.model, pointer.model, parallel.model]


def _decoder(pages: Any) -> list[Model]:
    return [fit_decode(pages).model]


def ways(found: dict[str, Model]) -> dict[str, Way]:
    """Return the ways to make a page."""
    pointer, parallel = found["evaluator-pointer"], found["evaluator-parallel"]
    wide = tuple(np.linspace(0.0, 0.5, 8).tolist())
    generators = (
        Beam(width=8), Vary(same="topic"), Draw(number=32), Pointer(model=pointer, width=8, number=32),
        Parallel(model=parallel, strengths=wide),
    )  # fmt: skip
    propose = Propose(
        model=found["evaluator-judge"], by="score", generators=generators, ordered=("posts",),
        worth={"bid": 1.0, "value": WORLD.engagement}, cost={"cost": WORLD.load_price},
    )  # fmt: skip
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
        made, rules = ways(found), [*stage_for(found["decoder-model"]).hard_rules, APART]
        for at in range(requests):
            request, asked = request_of(WORLD, STOCK, FRESH + at), requested(WORLD, STOCK, FRESH + at)
            pages = {"oracle": (optimum(WORLD, asked)[0], 0.0)}
            for name, way in made.items():
                bound = Constraints(rules, request.candidates, WORLD.length)
                if at == 0:
                    way(request, bound)
                start = time.thread_time()
                page = way(request, bound)
                pages[name] = page, 1e3 * (time.thread_time() - start)
            for name, (page, spent) in pages.items():
                seen, click = truth(WORLD, asked, page[None])
                worth = parts(WORLD, asked, page[None])[0]
                broken = tuple(page.tolist()) not in legal
                row = [*worth, (seen * click).sum(), seen.sum(), broken, spent]
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
