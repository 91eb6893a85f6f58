"""What stands in the table of learned pages: sets of lists with their parts, and ways to order a list.

Sets are read once and kept as Parquet in out/table/. Rows stand in the order of a first stage that was fitted on other
lists; every method gets the same columns. Sets are split
as they say themselves, by time, or by users.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.learn.datasets import read
from slatewise.learn.decode_export import ranked
from slatewise.learn.decode_ranker import fit_ranker
from slatewise.learn.evaluator import fit_evaluator
from slatewise.learn.generate import FittedGenerator, fit_parallel, fit_pointer
from slatewise.learn.pages import Pages
from slatewise.learn.rerank import Parts, fit_rerank, split
from slatewise.learn.training import Training
from slatewise.models import runtime
from slatewise.models.inputs import Arrays
from slatewise.models.model import Model

os.environ.setdefault("SLATEWISE_DATA", str(Path(__file__).parent.parent.parent / "shared" / "data"))
KEPT = Path(__file__).parent.parent / "out" / "table"
MOST = 6_000
"""Lists that are learned from, at most: two cores have an hour."""


class Data(NamedTuple):
    """A set.

    Attributes:
        parts: Lists to learn from, to judge by, and held out.
        label: What says that a row is relevant.
    """

    parts: Parts
    label: str


def _pages(name: str) -> Pages:
    path = KEPT / f"{name}.parquet"
    if not path.is_file():
        KEPT.mkdir(parents=True, exist_ok=True)
        read(name).pages.write(path)
    return Pages.read(path)


def _fewer(pages: Pages, most: int) -> Pages:
    if len(pages) <= most:
        return pages
    return pages.take(np.sort(np.random.default_rng(0).permutation(len(pages))[:most]))


def _parts(name: str, label: str, *, by: str, most: int = MOST) -> Data:
    """Return a set's parts: as the log says (`part`), by `time`, or by `user`, who are drawn."""
    pages = _pages(name)
    if by == "part" and "valid" not in pages.context["part"].names:
        learned, held = pages.where("part", "train"), pages.where("part", "test")
        draws = np.random.default_rng(0).permutation(len(learned))
        cut = len(learned) // 6
        found = Parts(learned.take(np.sort(draws[cut:])), learned.take(np.sort(draws[:cut])), held)
    else:
        found = split(pages, by=by)
    return Data(Parts(_fewer(found.learned, most), _fewer(found.judged, most // 4), _fewer(found.held, most)), label)


SETS: dict[str, Callable[[], Data]] = {
    "ml1m": lambda: _parts("ml1m", "rated", by="part", most=3_000),
    "ml100k": lambda: _parts("ml100k", "liked", by="part"),
    "ml100k by user": lambda: _parts("ml100k", "liked", by="user"),
    "ltr": lambda: _parts("ltr", "label", by="part"),
    "ebnerd": lambda: _parts("ebnerd", "click", by="time"),
}


SLOTS, DRAWN, BLOCK = 10, 20, 512
"""Rows of a page that generators make; pages that are drawn besides; lists that are judged together."""


def _initial(data: Data, seed: int) -> NDArray[np.float64]:
    return _rows_down(data.parts.held)


def _constant(data: Data, seed: int) -> NDArray[np.float64]:
    return np.zeros(len(data.parts.held.slot))


def _listwise(network: Any) -> Callable[[Data, int], NDArray[np.float64]]:
    def method(data: Data, seed: int) -> NDArray[np.float64]:
        fitted = fit_rerank(data.parts, network=network, label=data.label, training=Training(seed=seed))
        arrays = fitted.model.inputs.of_pages(data.parts.held)
        return runtime.scores(fitted.model, arrays)[arrays["mask"]]

    return method


def _pointer(data: Data, seed: int) -> FittedGenerator:
    return fit_pointer(data.parts.learned, label=data.label, slots=SLOTS, training=_generator_training(seed))


def _parallel(data: Data, seed: int) -> FittedGenerator:
    return fit_parallel(data.parts.learned, label=data.label, slots=SLOTS, training=_generator_training(seed))


def _generator_training(seed: int) -> Training:
    return Training(rate=1e-3, batch=128, epochs=20, patience=3, seed=seed)


def _generator_evaluator(data: Data, seed: int) -> NDArray[np.float64]:
    """Propose pages of ten and choose: the first stage's, both networks', and such as are drawn around them.

    The evaluator is fitted on pages of ten in orders that are drawn around the first stage's, to which labels were
    carried along. V is what it expects of each slot, with the discount of NDCG. Rows that are on no page follow in the
    order of the first stage.
    """
    held, rng = data.parts.held, np.random.default_rng(seed)
    shown = _shown(data.parts.learned, data.label, rng)
    evaluator = fit_evaluator(
        shown, members=3, training=Training(rate=1.5e-3, batch=128, epochs=20, patience=3, seed=seed)
    )
    first = [_initial(data, seed), _pointer(data, seed).ranked(held), _parallel(data, seed).ranked(held)]
    ranks = [_ranks(held, scores) for scores in first]
    drawn = [_ranks(held, -one + rng.gumbel(scale=2.0, size=len(one))) for one in ranks for _ in range(DRAWN)]
    pages = [*ranks, *drawn]
    arrays = evaluator.model.inputs.of_pages(held)
    length = arrays["mask"].shape[1]
    slots = min(SLOTS, length)
    orders = np.stack([_order(held, one, length)[:, :slots] for one in pages])
    values = np.stack([_values(evaluator.model, arrays, order) for order in orders])
    best = orders[values.argmax(axis=0), np.arange(len(held))]
    scores = held.padded(first[0], length)
    np.put_along_axis(scores, best, 1e3 - np.arange(slots, dtype=np.float64)[None].repeat(len(held), axis=0), axis=1)
    return scores[arrays["mask"]]


def _shown(pages: Pages, label: str, rng: np.random.Generator) -> Pages:
    """Return the lists as pages of ten, in orders that are drawn around that of the first stage."""
    place = _ranks(pages, _rows_down(pages))
    slot = _ranks(pages, -place + rng.gumbel(scale=3.0, size=len(place))) + 1
    relevant = pages.labels(label)
    clicked = relevant / max(float(relevant.max()), 1.0)
    return replace(pages, slot=np.where(slot <= SLOTS, slot, 0).astype(np.int32), feedback={"click": clicked})


def _rows_down(pages: Pages) -> NDArray[np.float64]:
    """Return (N,) scores by which lists stay in the order of their first stage."""
    return -(np.arange(len(pages.slot)) - pages.starts[pages.lists]).astype(np.float64)


def _ranks(pages: Pages, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) places of rows in their lists, from 0, the largest score first."""
    order = np.lexsort((-scores, pages.lists))
    found = np.empty(len(scores))
    found[order] = np.arange(len(scores)) - pages.starts[pages.lists]
    return found


def _order(pages: Pages, ranks: NDArray[np.float64], length: int) -> NDArray[np.int64]:
    """Return (b, l) rows of each list by their places; what is no row comes last."""
    return np.argsort(pages.padded(ranks, length, np.inf), axis=1, kind="stable")


def _values(model: Model, arrays: Arrays, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (b,) what an evaluator makes of pages."""
    found = []
    for at in range(0, len(order), BLOCK):
        rows = order[at : at + BLOCK]
        mask = np.take_along_axis(arrays["mask"][at : at + BLOCK], rows, axis=1)
        read = {
            name: np.take_along_axis(arrays[name][at : at + BLOCK], rows[:, :, None], axis=1)
            for name in ("numbers", "keys")
        }
        lists = {name: arrays[name][at : at + BLOCK] for name in ("context", "history")}
        _, click = runtime.run(model, "score", **read, **lists, mask=mask)
        discount = 1.0 / np.log2(np.arange(rows.shape[1]) + 2)
        found.append((click.mean(axis=0) * mask * discount).sum(axis=1))
    return np.concatenate(found)


def _cgr(data: Data, seed: int) -> NDArray[np.float64]:
    fitted = fit_ranker(data.parts, label=data.label, training=Training(seed=seed))
    return ranked(fitted.model, data.parts.held)


METHODS: dict[str, Callable[[Data, int], NDArray[np.float64]]] = {
    "first stage": _initial,
    "constant": _constant,
    "lambdamart": _listwise("lambdamart"),
    "prm": _listwise("prm"),
    "set_transformer": _listwise("set_transformer"),
    "autoregressive": lambda data, seed: _pointer(data, seed).ranked(data.parts.held),
    "parallel": lambda data, seed: _parallel(data, seed).ranked(data.parts.held),
    "propose": _generator_evaluator,
    "cgr": _cgr,
}
