"""Pages as a whole: an evaluator against click models on real lists, and pages proposed and chosen on a feed of ads.

The lists are 35,064 result pages with clicks; whole orders are held out, each once, so that nothing can be told of a
page by having seen it. Clicks are predicted slot by slot given those above, as the models that are compared with do,
and without (`marginal`), as pages nobody has seen yet are judged. Intervals draw orders.

Of the feed the truth is known: pages of 12 posts in their own order, with at most two of 20 ads, in 8,181 ways. What
generators propose is chosen from by an evaluator fitted on logged pages, and counted by the truth; `best of all` is
what that evaluator finds best of all ways. `SLATEWISE_SLOW=1` fits more networks, on more pages.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from report import Row, show
from slatewise import Candidates, Propose, Request, Rule
from slatewise.compose.proposals import Beam, Draw, Parallel, Pointer, Vary
from slatewise.core.constraints import Constraints
from slatewise.evaluate.adfeed import allowed, optimum, requested, reward
from slatewise.evaluate.adworld import AdWorld, catalogue
from slatewise.evaluate.intervals import difference_by_cluster
from slatewise.learn.adfeed import request_of, sample
from slatewise.learn.clicks import FITS, Clicks, log_likelihood, perplexity
from slatewise.learn.evaluator import TRAINING, fit_evaluator
from slatewise.learn.generate import fit_parallel, fit_pointer
from slatewise.learn.generating import Judge
from slatewise.learn.pages import Pages
from slatewise.learn.training import Training
from slatewise.models.inputs import Inputs
from slatewise.models.model import Model

SLOW = bool(os.environ.get("SLATEWISE_SLOW"))
DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "yandex_lists" / "trainSample"
FOLDS, MEMBERS = (5, 5) if SLOW else (3, 3)
STRENGTH = 3.0
"""Of each click model, the best of 0.3, 1, 3, 10 and 30 for all four."""

LOGGED, TAUGHT, ASKED, ALL = (20_000, 6_000, 300, 100) if SLOW else (8_000, 1_500, 80, 8)
"""Pages that the evaluator is fitted on, and the generators; requests, and those for which all ways are evaluated."""
FIRST = 1_000_000
"""Number of the first request that is asked; logged ones are below."""

WORLD = AdWorld()
WORTH, COST = {"bid": 1.0, "value": WORLD.engagement}, {"cost": WORLD.load_price}
RULES = (
    Rule(name="ads", group={"line": "ads"}, at_most=WORLD.most),
    Rule(name="ads apart", group={"line": "ads"}, every=WORLD.gap, at_most=1),
    Rule(name="not first", group={"line": "ads"}, slots=(1, WORLD.first - 1), at_most=0),
    Rule(name="not last", group={"line": "ads"}, slots=(WORLD.last + 1, WORLD.length), at_most=0),
)


class Logged(NamedTuple):
    """Lists, those that are the same counted once.

    Attributes:
        clicks: As click models take them.
        order: (b,) which order of documents each list has.
        query: (b,) its query.
    """

    clicks: Clicks
    order: NDArray[np.int64]
    query: NDArray[np.int64]

    @property
    def pages(self) -> Pages:
        """As an evaluator takes them; documents are named within their query."""
        documents, clicked = self.clicks.documents, self.clicks.clicked
        b, k = documents.shape
        return Pages.of(
            request=[f"list{place}" for place in range(b)],
            lists=np.repeat(np.arange(b), k),
            keys={"item": [f"document{one}" for one in documents.ravel()]},
            slot=np.tile(np.arange(1, k + 1), b),
            feedback={"click": clicked.ravel().astype(np.float64)},
            context={"query": [f"query{one}" for one in self.query]},
        )


class Learned(NamedTuple):
    """What was learned from logged pages of the feed.

    Attributes:
        judge: The evaluator.
        pointer: The network that makes pages row by row.
        parallel: The network that scores all slots at once.
    """

    judge: Model
    pointer: Model
    parallel: Model


class Tried(NamedTuple):
    """Generators on the feed.

    Attributes:
        rewards: (b,) what the pages are truly worth.
        values: (b,) what the evaluator said.
        seconds: (b,) how long the stage took on one core.
        broken: Pages that break a rule.
    """

    rewards: Any
    values: Any
    seconds: Any
    broken: int


def rows() -> list[Row]:
    """Return the targets; those on lists only with the data."""
    torch.set_num_threads(1)
    return [*(of_lists(loaded()) if DATA.is_file() else []), *of_feed()]


def loaded() -> Logged:
    """Return the lists."""
    pairs: dict[tuple[str, str], int] = {}
    orders: dict[tuple[str, ...], int] = {}
    queries: dict[str, int] = {}
    found: dict[tuple[int, tuple[bool, ...]], list[Any]] = {}
    for text in DATA.read_text().replace("\n", ";").split(";"):
        head, _, tail = text.partition(":")
        query, _, names = head.strip().partition("\t")
        if not names:
            continue
        shown = [name.strip() for name in names.split(",")]
        clicked = {name.strip() for name in tail.split(",")}
        order = orders.setdefault((query, *shown), len(orders))
        codes = [pairs.setdefault((query, name), len(pairs)) for name in shown]
        hits = tuple(name in clicked for name in shown)
        one = found.setdefault((order, hits), [codes, order, queries.setdefault(query, len(queries)), 0.0])
        one[3] += 1.0
    documents, order, query, weight = (np.array([one[at] for one in found.values()]) for at in range(4))
    clicked = np.array([hits for _, hits in found])
    return Logged(Clicks(documents, clicked, weight, len(pairs)), order, query)


def of_lists(logged: Logged) -> list[Row]:
    """Return the evaluator's rows against each click model, and against the best of them per slot."""
    clicks, weight = logged.clicks, logged.clicks.weight.astype(np.int64)
    given, marginal = predicted(logged)
    likely = {name: log_likelihood(found, clicks.clicked) for name, found in given.items()}
    alone = {name: log_likelihood(found, clicks.clicked) for name, found in marginal.items()}
    print(f"{'':18s} log-likelihood, perplexity given clicks above; without")
    for name in given:
        means = [np.average(each, weights=weight) for each in (likely[name], alone[name])]
        slots = [perplexity(each, clicks.clicked, clicks.weight) for each in (given[name], marginal[name])]
        print(f"{name:18s} {means[0]:8.4f} {slots[0].mean():8.4f}  {means[1]:8.4f} {slots[1].mean():8.4f}")
        print(f"{'':18s} per slot {slots[0].round(3).tolist()}")
    orders = np.repeat(logged.order, weight)

    def compared(name: str, found: dict[str, Any], what: str) -> Row:
        one = difference_by_cluster(np.repeat(found["evaluator"], weight), np.repeat(found[name], weight), orders)
        told = f"{one.estimate:+.4f} ({one.low:+.4f} to {one.high:+.4f})"
        peer = f"{np.average(found[name], weights=weight):.4f}"
        return Row(
            f"clicks of orders held out, {what}: evaluator over {name}", "> 0 nats a list", told, peer, one.low > 0
        )

    best = max(
        (name for name in alone if name != "evaluator"), key=lambda name: np.average(alone[name], weights=weight)
    )
    slots = {name: perplexity(found, clicks.clicked, clicks.weight) for name, found in given.items()}
    others = np.min([found for name, found in slots.items() if name != "evaluator"], axis=0)
    lower = int((slots["evaluator"] < others).sum())
    return [
        *(compared(name, likely, "given those above") for name in FITS),
        compared(best, alone, "unconditional"),
        Row(
            "clicks of orders held out: slots in which the evaluator's perplexity is below that of all click models",
            "10 of 10", f"{lower} of {len(others)}, mean {slots['evaluator'].mean():.4f}", f"{others.mean():.4f}",
            lower == len(others),
        ),
    ]  # fmt: skip


def predicted(logged: Logged) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (b, k) chances by each model, on orders that it did not learn from: given clicks above, and without."""
    clicks, pages = logged.clicks, logged.pages
    fold = np.random.default_rng(0).permutation(int(logged.order.max()) + 1)[logged.order] % FOLDS
    names = (*FITS, "evaluator")
    given, marginal = ({name: np.empty(clicks.documents.shape) for name in names} for _ in range(2))
    for one in range(FOLDS):
        held = fold == one
        for name, fit in FITS.items():
            found = fit(clicks.at(~held), strength=STRENGTH)
            given[name][held] = found.given(clicks.at(held))
            marginal[name][held] = found.marginal(clicks.documents[held])
        learned, unseen = pages.take(~held), pages.take(held)
        found = fit_evaluator(
            learned, weight=clicks.weight[~held], groups=logged.order[~held].astype(str), members=MEMBERS
        )
        given["evaluator"][held] = found.given(unseen)
        marginal["evaluator"][held] = found.marginal(unseen)
    return given, marginal


def of_feed() -> list[Row]:
    """Return rows of the feed."""
    stock = catalogue(WORLD)
    start = time.perf_counter()
    pages = sample(LOGGED, world=WORLD, stock=stock, seed=0)
    models = learned(pages, members=2, taught=TAUGHT, epochs=4)
    print(f"feed: {LOGGED} pages logged and learned from in {time.perf_counter() - start:.0f} s")
    together = generators_of(models.pointer, models.parallel)
    beam, _, _, pointer, parallel = together
    ways = {
        "greed": (),
        "beam": (beam,),
        "drawn": (Draw(number=64),),
        "pointer": (pointer,),
        "parallel": (parallel,),
        "all": together,
    }
    best = np.array([optimum(WORLD, requested(WORLD, stock, FIRST + at))[1] for at in range(ASKED)])
    found = {name: tried(stage_of(models.judge, generators), stock) for name, generators in ways.items()}
    whole = stage_of(models.judge, ())
    most = np.array([best_of_all(whole, stock, FIRST + at) for at in range(ALL)])
    print(f"{'':10s} {'reward':>8s} {'said':>8s} {'recall':>8s} {'p50 ms':>8s} {'p99 ms':>8s}")
    for name, one in found.items():
        share, said = one.rewards.sum() / best.sum(), one.values.sum() / best.sum()
        recall = one.values[:ALL].sum() / most[:, 1].sum()
        spent = 1e3 * np.quantile(one.seconds, [0.5, 0.99])
        print(f"{name:10s} {share:8.4f} {said:8.4f} {recall:8.4f} {spent[0]:8.2f} {spent[1]:8.2f}")
    print(f"best of all by the evaluator, true reward: {most[:, 0].sum() / best[:ALL].sum():.4f}")
    every, greedy = found["all"], found["greed"]
    slowest, usual = (1e3 * float(np.quantile(every.seconds, level)) for level in (0.99, 0.5))
    gain = difference_by_cluster(every.rewards, greedy.rewards, np.arange(ASKED))
    recall = every.values[:ALL].sum() / most[:, 1].sum()
    broken = sum(one.broken for one in found.values())
    return [
        Row("ad feed: pages that break a rule", "0", f"{broken} of {len(found) * ASKED}", "-", broken == 0),
        Row("ad feed: V(best proposed) / V(best of 8,181)", "≥ 0.97", f"{recall:.4f}",
            f"greed {greedy.values[:ALL].sum() / most[:, 1].sum():.4f}", recall >= 0.97),
        Row("ad feed: true reward over that of the greedy page", "> 0", f"{gain.estimate:+.4f} ({gain.low:+.4f} to "
            f"{gain.high:+.4f})", f"greed {greedy.rewards.sum() / best.sum():.3f} of the optimum, all "
            f"{every.rewards.sum() / best.sum():.3f}", gain.low > 0),
        Row("ad feed: generators, evaluator and rules, one core, P99", "≤ 40 ms", f"{slowest:.1f} ms",
            f"P50 {usual:.1f} ms", slowest <= 40.0),
    ]  # fmt: skip


def learned(pages: Pages, *, members: int, taught: int, epochs: int) -> Learned:
    """Return an evaluator, and generators that it has taught.

    Args:
        pages: The log.
        members: Networks of the evaluator.
        taught: Pages that generators learn from, the first of the log.
        epochs: Times that they see them, at most.
    """
    numbers = ["relevance", "similarity", "quality", "bid", "value", "large", "frequency"]
    numbers += [f"{side}{place}" for side in "fu" for place in range(WORLD.dims)]
    inputs = Inputs.known(pages, numbers=numbers, keys=["line", "advertiser"], context=["patience"])
    training = msgspec.structs.replace(TRAINING, rate=2e-3, decay=1e-2, epochs=25)
    evaluator = fit_evaluator(pages, exposed="exposed", inputs=inputs, members=members, training=training)
    judge, few = Judge(evaluator, worth=WORTH, cost=COST), pages.take(np.arange(taught))
    brief = Training(rate=2e-3, batch=128, epochs=epochs, patience=3)
    pointer = fit_pointer(few, slots=WORLD.length, judge=judge, inputs=inputs, training=brief)
    parallel = fit_parallel(few, slots=WORLD.length, judge=judge, inputs=inputs, training=brief)
    return Learned(evaluator.model, pointer.model, parallel.model)


def generators_of(pointer: Model, parallel: Model) -> tuple[Beam, Vary, Draw, Pointer, Parallel]:
    """Return the generators that are asked together."""
    return (
        Beam(width=8),
        Vary(same="topic"),
        Draw(number=32),
        Pointer(model=pointer, width=8, number=32),
        Parallel(model=parallel, strengths=tuple(np.linspace(0.0, 0.5, 8).tolist())),
    )


def stage_of(model: Model, generators: Any) -> Propose:
    """Return the stage; posts keep their order, as all that it is compared with does."""
    return Propose(
        model=model,
        by="score",
        generators=generators,
        worth=WORTH,
        cost=COST,
        ordered=("posts",),
    )


def bound(number: int, stock: Any) -> tuple[Request, Candidates, Constraints]:
    """Return a request, its rows, and the rules."""
    request = request_of(WORLD, stock, number)
    return request, request.candidates, Constraints(RULES, request.candidates, WORLD.length)


def tried(stage: Propose, stock: Any) -> Tried:
    """Return what becomes of the requests."""
    rewards, values, seconds, broken = [], [], [], 0
    legal = {tuple(page) for page in allowed(WORLD).tolist()}
    for at in range(ASKED):
        request, items, constraints = bound(FIRST + at, stock)
        start = time.process_time()
        found = stage.select(items, WORLD.length, constraints=constraints, request=request)
        seconds.append(time.process_time() - start)
        broken += tuple(found.rows.tolist()) not in legal
        rewards.append(float(reward(WORLD, requested(WORLD, stock, FIRST + at), found.rows[None])[0]))
        values.append(found.value)
    return Tried(np.array(rewards), np.array(values), np.array(seconds), broken)


def best_of_all(stage: Propose, stock: Any, number: int) -> tuple[float, float]:
    """Return (true reward, value) of the page that the evaluator finds best of all."""
    request, items, constraints = bound(number, stock)
    seen = stage.seen(items, constraints, request)
    place = np.argsort(seen.blank.problem.order).astype(np.int32)
    values = stage.judge(seen, place[allowed(WORLD)]).values
    best = int(values.argmax())
    return float(reward(WORLD, requested(WORLD, stock, number), allowed(WORLD)[best : best + 1])[0]), float(
        values[best]
    )


if __name__ == "__main__":
    show(rows())
