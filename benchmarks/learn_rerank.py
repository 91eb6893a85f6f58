"""Reranking lists: networks that see the whole list, beside trees that do not, the first stage, and orders of nothing.

Logs of lists (`learn.datasets`): documents by features, in the order of trees fitted out of fold; MovieLens-100K, what
was rated in a row; and, with `SLATEWISE_SLOW=1`, MovieLens-1M, the first 30 movies of a factor model. Every figure is
on lists that were not learned from, with an interval over users, by the convention of `learn.rank_report`. The time of
an epoch stands beside that of allRank's transformer of the same size on the same lists, where allrank is installed.

Published tables of reranking on MovieLens-1M need ratings and times, which this copy of it has not. MovieLens-100K has
both, and lists and labels are made as there, but the figures are of other data and do not compare.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from report import Row, fastest, show
from slatewise import Candidates, Request, Rerank
from slatewise.evaluate.intervals import Interval
from slatewise.learn.datasets import read
from slatewise.learn.export import export, tensors
from slatewise.learn.losses import listnet
from slatewise.learn.rank_passes import looked
from slatewise.learn.rerank import ARGUMENTS, Fitted, Parts, fit_rerank, known, split
from slatewise.learn.training import Training
from slatewise.models.inputs import Inputs, Number, Sizes
from slatewise.models.listwise import PersonalReranker
from slatewise.models.model import Model

DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data"))
NETWORKS = ("prm", "set_transformer", "lambdamart")
CUT = "ndcg@10"
CYCLES, PARITY = 0.01, 1e-5
"""Share of lists that may come to no rest, and what may lie between what was fitted and what is served."""
ROWS, LISTS, EPOCHS, SLOWER = 50, 640, 8, 1.25
Scored = Callable[[dict[str, Tensor]], Tensor]


class Log(NamedTuple):
    """A log, and how it is learned from.

    Attributes:
        name: What people call it.
        label: Feedback that is relevance.
        training: How to learn.
        reads: Which columns, as of `Inputs.known`.
    """

    name: str
    label: str
    training: Training
    reads: dict[str, Any]


LOGS = {
    "ltr": Log("LETOR sample", "label", Training(batch=16, epochs=20, device="cpu"), {"keys": []}),
    "ml100k": Log("MovieLens-100K", "liked", Training(epochs=6, patience=3, device="cpu"), {"keys": []}),
}
SLOW = {"ml1m": Log("MovieLens-1M", "rated", Training(epochs=8, patience=3, device="cpu"), {"keys": []})}


def rows() -> list[Row]:
    """Return the targets; none without the data."""
    if not DATA.is_dir():
        return []
    torch.set_num_threads(1)
    logs = LOGS | (SLOW if os.environ.get("SLATEWISE_SLOW") else {})
    found: list[Row] = []
    for name, log in logs.items():
        found += compared(log, split(read(name).pages))
    return [*found, training_row(), serving_row()]


def compared(log: Log, parts: Parts) -> list[Row]:
    """Return what networks and trees make of a log."""
    fits = {
        network: fit_rerank(
            parts, network=network, label=log.label, training=log.training, inputs=known(parts.learned, **log.reads)
        )
        for network in NETWORKS
    }
    prm, trees = fits["prm"], fits["lambdamart"].report
    peers = f"first stage {_told(trees.orders['initial'][CUT])}, lambdamart {_told(trees.orders['model'][CUT])}"
    found = [
        Row(
            f"{log.name}: {network}, {CUT}",
            "gain not below 0",
            f"{_told(fit.report.orders['model'][CUT])}, gain {_told(fit.report.gains[CUT], '+.4f')}",
            peers,
            fit.report.gains[CUT].high >= 0,
        )
        for network, fit in fits.items()
        if network != "lambdamart"
    ]
    told = ", ".join(f"{name} {_told(leak, '+.4f')}" for name, leak in prm.report.leaks.items())
    random = _told(prm.report.orders["random"][CUT])
    sound = all(fit.report.is_sound for fit in fits.values())
    off = max(fit.parity for fit in fits.values())
    return [
        *found,
        Row(f"{log.name}: orders of nothing - random, {CUT}", "within a standard error", told, random, sound),
        Row(f"{log.name}: served - fitted", f"≤ {PARITY:g}", f"{off:.1e}", "", off <= PARITY),
        _rest(log.name, prm, parts),
    ]


def training_row() -> Row:
    """Return the time of an epoch, beside that of a transformer of the same size."""
    draws = np.random.default_rng(0)
    arrays = {
        "numbers": draws.normal(size=(LISTS, 30, 20)).astype(np.float32),
        "keys": np.zeros((LISTS, 30, 0), np.int64),
        "context": np.zeros((LISTS, 0), np.int64),
        "history": np.zeros((LISTS, 0), np.int64),
        "mask": np.arange(30) < draws.integers(20, 31, LISTS)[:, None],
    }
    batch = tensors({**arrays, "label": (draws.random((LISTS, 30)) < 0.2).astype(np.float32)})
    own = PersonalReranker(Sizes(20, (), (), 0, -1, 30), width=64, blocks=2, heads=2, hidden=128, dropout=0.1)
    timed = [(own, lambda one: own(*(one[name] for name in ARGUMENTS)))]
    goal = f"≤ {SLOWER:g} × allRank's"
    try:
        from allrank.config import TransformerConfig
        from allrank.models.model import make_model
    except ModuleNotFoundError:
        return Row("PRM: an epoch", goal, _each(_epochs(timed, batch)[0]), "allrank is not installed", True)
    sizes = {"sizes": [64], "input_norm": False, "activation": None, "dropout": 0.0}
    blocks = TransformerConfig(N=2, d_ff=128, h=2, positional_encoding=None, dropout=0.1)
    peer = make_model(sizes, blocks, {"d_output": 1, "output_activation": None}, 20)
    places = torch.arange(30).expand(LISTS, -1)

    def scored(one: dict[str, Tensor]) -> Tensor:
        return peer(one["numbers"], ~one["mask"], places[: len(one["mask"])])

    took, other = _epochs([*timed, (peer, scored)], batch)
    return Row("PRM: an epoch", goal, _each(took), f"allRank {_each(other)}", took <= SLOWER * other)


def serving_row() -> Row:
    """Return the time of a stage on a page."""
    draws = np.random.default_rng(0)
    columns = {f"f{place}": draws.random(200) for place in range(8)}
    reads = Inputs(numbers=tuple(Number(name=name) for name in columns), position=ROWS)
    network = PersonalReranker(reads.sizes)
    nn.init.normal_(network.score.weight)  # as if it had learned something
    example = {
        "numbers": torch.zeros(2, 2, 8),
        "keys": torch.zeros(2, 2, 0, dtype=torch.int64),
        "context": torch.zeros(2, 0, dtype=torch.int64),
        "history": torch.zeros(2, 0, dtype=torch.int64),
        "mask": torch.ones(2, 2, dtype=torch.bool),
    }
    graph = export(network, example, names=["scores"])
    model = Model.of("prm", inputs=reads, graphs={"score": graph}, settings={"link": "softmax"})
    items = Candidates.of(utility=draws.random(200), **columns)
    request, once = Request(candidates=items), Rerank(model=model, top=ROWS, passes=1)
    twice = Rerank(model=model, top=ROWS)
    found = fastest(lambda: once.annotate(items, request), lambda: twice.annotate(items, request), passes=20, repeat=10)
    told = f"{found[0]:.0f} µs once, {found[1]:.0f} µs with a second look"
    return Row(f"compose.rerank: {ROWS} rows, two blocks of 64", "< 2 ms", told, "", found[1] < 2_000)


def _rest(name: str, prm: Fitted, parts: Parts) -> Row:
    """Return how many lists come to no rest, and what promised clicks come to."""
    arrays = prm.model.inputs.of_pages(parts.held)
    free = looked(prm.model, arrays, passes=3, damping=0.0, stickiness=0.0, delta=-np.inf)
    damped = looked(prm.model, arrays, passes=3, delta=-np.inf)
    served = looked(prm.model, arrays, passes=3)
    shares = [float((one.cycles > 1).mean()) for one in (served, damped, free)]
    told = f"{shares[0]:.2%} as served, {shares[1]:.2%} if nothing is refused"
    falls = np.diff(served.rewards, axis=0)[np.arange(1, len(served.rewards))[:, None] <= served.kept]
    right = shares[0] < CYCLES and not (falls <= 0).any()
    return Row(f"{name}: lists without rest in 3 passes", f"< {CYCLES:.0%}", told, f"undamped {shares[2]:.2%}", right)


def _epochs(networks: Sequence[tuple[nn.Module, Scored]], batch: dict[str, Tensor]) -> list[float]:
    """Return the seconds of the fastest epoch of each network, taken in turns."""
    optimisers = [torch.optim.Adam(network.parameters()) for network, _ in networks]
    best = [np.inf] * len(networks)
    for _ in range(EPOCHS):
        for place, (_, scored) in enumerate(networks):
            start = perf_counter()
            for at in range(0, LISTS, 64):
                one = {name: array[at : at + 64] for name, array in batch.items()}
                optimisers[place].zero_grad()
                listnet(scored(one), one["label"], one["mask"]).backward()
                optimisers[place].step()
            best[place] = min(best[place], perf_counter() - start)
    return best


def _each(seconds: float) -> str:
    return f"{seconds / LISTS * 1e6:.0f} µs per list"


def _told(found: Interval, form: str = ".4f") -> str:
    return f"{found.estimate:{form}} ({found.low:{form}} to {found.high:{form}})"


if __name__ == "__main__":
    show(rows())
