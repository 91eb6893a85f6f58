"""Fit generators: networks that make pages, from logs of what was good, and from an evaluator of pages.

From labels, y_i >= 0 of row i, and discount d_t = 1 / log2(t + 1):

    pointer    - sum_t d_t sum_i y_i / Y_t log P(i | x_<t)       over the rows with a label that are left, sum Y_t
    parallel   - sum_t d_t sum_i g_(t, i) log P_(t, i)           g: the rows that an ideal page could have in slot t
               - sum_t d_t log(1 - P_(t, z_t))                   z: the best rows of a first stage that have no label
               + apart * mean of cos+(h_i, h_j)                  so that rows can be told apart

A pointer is shown what stands above: on half of the lists the ideal page, on the others that of the first stage. With
an evaluator, fits go on from there: a pointer by the score function, its reward standardised over the pages drawn of a
list, less the mean of the others; a parallel network by the best and the worst of pages that are drawn around the first
stage's order, in place of the ideal one and z. Cost: that of the networks, times epochs.

References:
    Bello et al. (2018), "Seq2Slate", sections 3.2 and 3.3. Ren et al. (2024), "Non-autoregressive Generative Models for
        Reranking Recommendation", KDD, section 4.3. Kool et al. (2019), "Buy 4 REINFORCE samples, get a baseline".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slatewise.core.columns import Numbers
from slatewise.evaluate.metrics import ndcg
from slatewise.learn.export import LISTS, check_parity, export, tensors
from slatewise.learn.generating import (
    Judge,
    Lists,
    Network,
    contrasted,
    likeliest,
    matched,
    pointed,
    rewarded,
    walked,
)
from slatewise.learn.pages import Pages
from slatewise.learn.shown import READ
from slatewise.learn.training import Batch, Loss, Padded, Training, seeded, train
from slatewise.models.inputs import Inputs
from slatewise.models.model import Model
from slatewise.models.parallel import ParallelNetwork
from slatewise.models.pointer import PointerNetwork, PointerStep

TRAINING = Training(rate=1e-3, batch=128, epochs=20, patience=3)
BOTH, ONE = {0: "lists", 1: "rows"}, {0: "lists"}
BEGIN, NEXT = ("hidden_0", "cell_0", "last_0"), ("hidden_1", "cell_1")
AXES = {**LISTS, "vectors": BOTH, "rows": BOTH, "logits": BOTH}
AXES |= dict.fromkeys(("hidden", "cell", "last", *BEGIN, *NEXT), ONE)
"""Axes of the graphs of a pointer."""


class GeneratorReport(msgspec.Struct, frozen=True):
    """How good a generator's pages are, on lists that it did not learn from.

    Attributes:
        lists: How many there are.
        ndcg: Of the likeliest page, at its length: linear gain, log2 discount, lists without a label left out.
        first_stage: The same of the first stage's order.
        value: Mean of what an evaluator gives the likeliest page; None without one.
        first_value: The same of the first stage's page.
        parity: Largest difference between the network and what is served.
    """

    lists: int
    ndcg: float
    first_stage: float
    value: float | None
    first_value: float | None
    parity: float


class FittedGenerator(NamedTuple):
    """A generator and what was found of it.

    Attributes:
        model: What is served.
        report: How good it is.
        network: What was learned.
        slots: Slots that it was fitted for.
    """

    model: Model
    report: GeneratorReport
    network: Network
    slots: int

    def ranked(self, pages: Pages) -> Numbers:
        """Return (N,) scores whose order is that of the likeliest page; rows that are not on it follow in theirs."""
        arrays = self.model.inputs.of_pages(pages)
        length = arrays["mask"].shape[1]
        found = likeliest(self.network, arrays, min(self.slots, length))
        ranks = np.tile(np.arange(length) - 2.0 * length, (len(found), 1))
        for slot in range(found.shape[1] - 1, -1, -1):
            ranks[np.arange(len(found)), found[:, slot]] = slot - 4.0 * length
        return -ranks[arrays["mask"]]


def fit_pointer(
    pages: Pages,
    *,
    label: str = "click",
    slots: int = 10,
    judge: Judge | None = None,
    inputs: Inputs | None = None,
    groups: NDArray[Any] | None = None,
    width: int = 32,
    training: Training = TRAINING,
    folder: Path | None = None,
) -> FittedGenerator:
    """Return a pointer network.

    Args:
        pages: Lists of candidates, with what became of them.
        label: Feedback that says how good a row is, >= 0.
        slots: Rows of a page, >= 1.
        judge: An evaluator to learn from besides.
        inputs: What the network reads; all that the log has, where not said.
        groups: (b,) lists that are held back together; those of one user where not said.
        width: Numbers of a row.
        training: How to learn.
        folder: Where what was learned so far is kept.

    Raises:
        RequestError: The log has no such feedback, or it is negative, or never more than 0.
    """
    lists = Lists.of(pages, label, slots, judge, inputs, groups, training.seed)
    with seeded(training.seed):
        network = PointerNetwork(lists.inputs.sizes, width=width)
    _learn(lists, network, pointed, training, folder)
    if judge is not None:
        _learn(lists, network, rewarded(judge, lists.slots), training, folder, judge)
    example = tensors({name: lists.unseen[name][:2] for name in READ})
    with torch.no_grad():
        encoded = network.eval()(*example.values())
    following = PointerStep(network).eval()  # else the network goes on as one that learns
    step: dict[str, Tensor] = dict(zip(("keys", "hidden", "cell", "last"), encoded[1:], strict=True))
    graphs = {
        "encode": export(network, example, names=("vectors", "rows", *BEGIN), dynamic=AXES),
        "step": export(following, step, names=("logits", *NEXT), dynamic={**AXES, "keys": BOTH}),
    }
    model = Model.of("pointer", inputs=lists.inputs, graphs=graphs, settings={"slots": lists.slots})
    parity = check_parity(network, model, "encode", example)
    parity = max(parity, check_parity(following, model, "step", step))
    return FittedGenerator(model, _report(lists, network, judge, parity), network, lists.slots)


def fit_parallel(
    pages: Pages,
    *,
    label: str = "click",
    slots: int = 10,
    judge: Judge | None = None,
    inputs: Inputs | None = None,
    groups: NDArray[Any] | None = None,
    width: int = 32,
    training: Training = TRAINING,
    folder: Path | None = None,
) -> FittedGenerator:
    """Return a network that scores all slots at once; arguments as of `fit_pointer`."""
    lists = Lists.of(pages, label, slots, judge, inputs, groups, training.seed)
    with seeded(training.seed):
        network = ParallelNetwork(lists.inputs.sizes, lists.slots, width=width)
    _learn(lists, network, matched, training, folder)
    if judge is not None:
        _learn(lists, network, contrasted(judge, lists.slots), training, folder, judge)
    example = tensors({name: lists.unseen[name][:2] for name in READ})
    axes = {**LISTS, "logits": {0: "lists", 2: "rows"}, "vectors": BOTH}
    graph = export(network.eval(), example, names=("logits", "vectors"), dynamic=axes)
    model = Model.of("parallel", inputs=lists.inputs, graphs={"score": graph}, settings={"slots": lists.slots})
    parity = check_parity(network, model, "score", example)
    return FittedGenerator(model, _report(lists, network, judge, parity), network, lists.slots)


def _learn(
    lists: Lists,
    network: Network,
    loss: Loss,
    training: Training,
    folder: Path | None,
    judge: Judge | None = None,
) -> None:
    """Learn until unseen lists gain no more: by what the likeliest page is worth to an evaluator, or by its NDCG."""

    def judged(network: nn.Module) -> float:
        found = _values(lists, network, judge) if judge is not None else _ndcg(lists, network)
        return float(found.mean())

    place = None if folder is None else folder / ("labels" if judge is None else "judged")
    about = "" if judge is None else judge.evaluator.model.digest
    train(network, Padded(lists.seen), loss, judge=judged, settings=training, about=about, folder=place)


def _ndcg(lists: Lists, network: Any) -> Numbers:
    """Return NDCG of the likeliest pages of lists that are held and have a label."""
    arrays = lists.unseen
    there = (arrays["label"] > 0).any(axis=1)
    pages = _pages(lists, network)[there]
    label = arrays["label"][there].astype(np.float64)
    ranked = np.take_along_axis(label, pages, axis=1) * _once(pages)
    return ndcg(ranked, label, lists.slots)


def _values(lists: Lists, network: Any, judge: Judge) -> Numbers:
    """Return what the likeliest pages of lists that are held are worth to an evaluator."""
    pages = _pages(lists, network)
    return _judged(lists, judge, pages)


def _judged(lists: Lists, judge: Judge, pages: NDArray[np.int64]) -> Numbers:
    batch = tensors({name: array for name, array in lists.unseen.items() if name.startswith("judged_")})
    device = next(judge.evaluator.networks.parameters()).device
    moved = {name: array.to(device) for name, array in batch.items()}
    return judge.values(moved, torch.from_numpy(pages).to(device)).cpu().numpy().astype(np.float64)


def _pages(lists: Lists, network: Any) -> NDArray[np.int64]:
    device = next(network.parameters()).device
    batch: Batch = {name: array.to(device) for name, array in tensors({n: lists.unseen[n] for n in READ}).items()}
    with torch.no_grad():
        return walked(network, batch, lists.slots).cpu().numpy()


def _once(pages: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (b, k) whether a row stands there for the first time: a short list ends in rows that were there."""
    same = pages[:, :, None] == pages[:, None, :]
    return ~np.tril(same, -1).any(axis=2)


def _report(lists: Lists, network: Network, judge: Judge | None, parity: float) -> GeneratorReport:
    first = lists.unseen["first"]
    label = lists.unseen["label"].astype(np.float64)
    order = ndcg(np.take_along_axis(label, first, axis=1), label, lists.slots)
    return GeneratorReport(
        lists=len(first),
        ndcg=float(np.mean(_ndcg(lists, network))),
        first_stage=float(np.nanmean(order)),
        value=None if judge is None else float(_values(lists, network, judge).mean()),
        first_value=None if judge is None else float(_judged(lists, judge, first).mean()),
        parity=parity,
    )
