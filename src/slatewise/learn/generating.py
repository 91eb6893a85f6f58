"""What generators learn from: lists with ideal pages, losses of pages, and an evaluator's judgement of them.

`learn.generate` has the formulas. Arrays of a batch are those that the network reads, and `ideal` (b, k), the rows of
the best page there could be; `first` (b, k), those of the first stage; `label` (b, n); and, with an evaluator, what it
reads, each name with `judged_` before it. Cost: O(b * n log n), and that of the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.learn.evaluator import FittedEvaluator
from slatewise.learn.export import tensors
from slatewise.learn.losses import log_not, reinforce
from slatewise.learn.pages import Pages
from slatewise.learn.rerank import known
from slatewise.learn.shown import READ, parts_of
from slatewise.learn.training import Batch
from slatewise.models.inputs import Arrays, Inputs
from slatewise.models.listwise import UNSEEN
from slatewise.models.parallel import ParallelNetwork
from slatewise.models.pointer import PointerNetwork

Network: TypeAlias = PointerNetwork | ParallelNetwork

APART = 0.1
"""What likeness of a list's rows counts."""
DRAWN = 8
"""Pages of a list that are drawn to be judged."""
NOISE = 0.5
"""Their noise, in standard deviations of the first stage's scores of a list."""
PARTS = 8
BLOCK = 1024


class Lists(NamedTuple):
    """Lists to learn from, and lists to judge by.

    Attributes:
        inputs: What networks read.
        slots: Rows of a page.
        seen: Arrays of lists that are learned from.
        unseen: Arrays of those that are held.
    """

    inputs: Inputs
    slots: int
    seen: Arrays
    unseen: Arrays

    @classmethod
    def of(
        cls,
        pages: Pages,
        label: str,
        slots: int,
        judge: Judge | None,
        inputs: Inputs | None,
        groups: NDArray[Any] | None,
        seed: int,
    ) -> Lists:
        """Lay lists out."""
        if slots < 1:
            raise RequestError("slots", "must be >= 1", shown(slots))
        labels = pages.labels(label)
        if (labels < 0).any() or not (labels > 0).any():
            raise RequestError(
                f"pages.{label}", "must be >= 0, and somewhere more", shown(float(labels.min(initial=0)))
            )
        held = parts_of(pages, groups, PARTS, seed=seed) == 0
        if held.all() or not pages.padded(labels, int(pages.lengths.max()))[held].any():
            rule = "must be above 0 somewhere in lists that are held back, and leave others to learn from"
            raise RequestError(f"pages.{label}", rule, f"{int(held.sum())} lists held of {len(held)}")
        read = inputs or known(pages.take(~held))
        arrays = read.of_pages(pages)
        length = arrays["mask"].shape[1]
        slots = min(slots, length)
        told = pages.padded(labels, length).astype(np.float32)
        scores = pages.padded(pages.numbers["score"], length)
        arrays |= {
            "label": told,
            "score": _standardised(scores, arrays["mask"]),
            "ideal": np.argsort(-np.where(arrays["mask"], told, -1.0), axis=1, kind="stable")[:, :slots],
            "first": np.tile(np.arange(slots), (len(told), 1)),
        }
        if judge is not None:
            arrays |= judge.arrays(pages)
        parts = ({name: array[some] for name, array in arrays.items()} for some in (~held, held))
        return cls(read, slots, *parts)


@dataclass(frozen=True, slots=True)
class Judge:
    """An evaluator, and what it counts.

    Attributes:
        evaluator: The evaluator.
        worth: Number columns and what they count, whose sum a click is worth; empty counts each as 1.
        cost: The same of what showing a row takes; empty for nothing.
    """

    evaluator: FittedEvaluator
    worth: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)

    def arrays(self, pages: Pages) -> dict[str, NDArray[Any]]:
        """Return what is looked at of lists.

        Raises:
            RequestError: The log has no such column, or misses values of it.
        """
        read = self.evaluator.model.inputs.of_pages(pages)
        told = {f"judged_{name}": read[name] for name in READ}
        for name, weights in (("worth", self.worth or None), ("cost", self.cost)):
            rows = np.ones(len(pages.slot)) if weights is None else np.zeros(len(pages.slot))
            for column, weight in (weights or {}).items():
                rows = rows + weight * _whole(pages, name, column)
            told[f"judged_{name}"] = pages.padded(rows, read["mask"].shape[1]).astype(np.float32)
        return told

    @torch.no_grad()
    def values(self, batch: Batch, pages: Tensor) -> Tensor:
        """Return (b,) what pages are worth, (b, k) rows of each list."""
        networks = self.evaluator.networks.to(pages.device)

        def rows(name: str) -> Tensor:
            column = batch[f"judged_{name}"]
            there = pages.reshape(*pages.shape, *(1,) * (column.ndim - 2)).expand(*pages.shape, *column.shape[2:])
            return column.gather(1, there)

        lists = (batch["judged_context"], batch["judged_history"])
        seen, click = networks(rows("numbers"), rows("keys"), *lists, rows("mask"))
        gains = seen * (click * rows("worth") - rows("cost"))
        return (gains.mean(dim=0) * rows("mask")).sum(dim=1)


def pointed(network: Any, batch: Batch) -> Tensor:
    """Return the loss of a pointer by labels: along the ideal page, or the first stage's, as it is drawn."""
    mask, label = batch["mask"], batch["label"]
    ideal = torch.rand(len(mask), device=mask.device) < 0.5
    paths = torch.where(ideal[:, None], batch["ideal"], batch["first"])
    told = network.followed(network(*_read(batch)), mask, paths)
    loss, left = torch.zeros(len(mask), device=mask.device), label * mask
    for slot in range(paths.shape[1]):
        wanted = left / left.sum(dim=1, keepdim=True).clamp(min=1e-9)
        loss = loss - (wanted * told[:, slot]).sum(dim=1) * _discount(slot)
        left = left.scatter(1, paths[:, slot : slot + 1], 0.0)
    return loss.mean()


def rewarded(judge: Judge, slots: int) -> Callable[[nn.Module, Batch], Tensor]:
    """Return the loss of a pointer by reward: how likely its own pages were, times what they are worth."""

    def loss(network: Any, batch: Batch) -> Tensor:
        mask = batch["mask"]
        encoded = network(*_read(batch))
        total, likely = [], []
        for _ in range(DRAWN):
            with torch.no_grad():
                noise = _gumbel(len(mask), slots, mask.shape[1], device=mask.device)
                paths = network.walked(encoded, mask, slots, noise)
            told = network.followed(encoded, mask, paths).gather(2, paths[:, :, None])[:, :, 0]
            likely.append((told * mask.gather(1, paths)).sum(dim=1))
            total.append(judge.values(batch, paths))
        rewards = torch.stack(total, dim=1)
        spread = rewards.std(dim=1, keepdim=True) + 1e-3 * rewards.abs().mean() + 1e-9
        return reinforce(torch.stack(likely, dim=1), rewards / spread)

    return loss


def matched(network: Any, batch: Batch) -> Tensor:
    """Return the loss of a parallel network by labels."""
    label, mask, paths = batch["label"], batch["mask"], batch["ideal"]
    wanted = label.gather(1, paths)
    same = (label[:, None, :] == wanted[:, :, None]) & mask[:, None, :] & (wanted > 0)[:, :, None]
    goal = same / same.sum(dim=2, keepdim=True).clamp(min=1)
    idle = torch.where(mask & (label <= 0), 0, 1)
    bad = torch.argsort(idle, dim=1, stable=True)[:, : paths.shape[1]]
    usable = (idle.gather(1, bad) == 0) & (wanted > 0)
    return _contrast(network, batch, goal, bad, usable)


def contrasted(judge: Judge, slots: int) -> Callable[[nn.Module, Batch], Tensor]:
    """Return the loss of a parallel network by pages that an evaluator finds best and worst."""

    def loss(network: Any, batch: Batch) -> Tensor:
        mask = batch["mask"]
        drawn, worth = [], []
        for _ in range(DRAWN):
            noise = _gumbel(*mask.shape, device=mask.device)
            order = (batch["score"] + NOISE * noise).masked_fill(~mask, UNSEEN).argsort(dim=1, descending=True)
            drawn.append(order[:, :slots])
            worth.append(judge.values(batch, drawn[-1]))
        pages, values = torch.stack(drawn, dim=1), torch.stack(worth, dim=1)
        rows = torch.arange(len(mask), device=mask.device)
        good, bad = pages[rows, values.argmax(dim=1)], pages[rows, values.argmin(dim=1)]
        there = mask.gather(1, good)
        goal = torch.zeros(len(mask), slots, mask.shape[1], device=mask.device).scatter(2, good[:, :, None], 1.0)
        return _contrast(network, batch, goal * there[:, :, None], bad, there & (good != bad))

    return loss


@torch.no_grad()
def likeliest(network: Network, arrays: Arrays, slots: int) -> NDArray[np.int64]:
    """Return (b, slots) rows of the likeliest pages, slot by slot; of a short list, some row again at its end."""
    found: list[Tensor] = []
    for at in range(0, len(arrays["mask"]), BLOCK):
        batch = tensors({name: arrays[name][at : at + BLOCK] for name in READ})
        found.append(walked(network, batch, slots))
    return torch.cat(found).numpy()


def walked(network: Network, batch: Batch, slots: int) -> Tensor:
    """Return (b, slots) rows of the likeliest pages of a batch."""
    mask = batch["mask"]
    if isinstance(network, PointerNetwork):
        noise = torch.zeros(len(mask), slots, mask.shape[1], device=mask.device)
        return network.walked(network(*_read(batch)), mask, slots, noise)
    logits, _ = network(*_read(batch))
    free, pages = mask, []
    for slot in range(slots):
        chances = torch.softmax(logits[:, min(slot, logits.shape[1] - 1)], dim=1)
        pages.append(chances.masked_fill(~free, -1.0).argmax(dim=1))
        free = free.scatter(1, pages[-1][:, None], False)
    return torch.stack(pages, dim=1)


def _contrast(network: Any, batch: Batch, goal: Tensor, bad: Tensor, usable: Tensor) -> Tensor:
    """Return how unlikely goals are, and how likely the rows of a bad page, with rows kept apart."""
    logits, vectors = network(*_read(batch))
    told = torch.log_softmax(logits, dim=2)
    discount = torch.tensor([_discount(slot) for slot in range(goal.shape[1])], device=goal.device)
    against = log_not(told.gather(2, bad[:, :, None])[:, :, 0]) * usable
    loss = -((against + (goal * told).sum(dim=2)) * discount).sum(dim=1)
    there = batch["mask"].float()
    pairs = there[:, :, None] * there[:, None, :] * (1.0 - torch.eye(there.shape[1], device=goal.device))
    alike = (torch.relu(vectors @ vectors.transpose(1, 2)) * pairs).sum(dim=(1, 2))
    return (loss + APART * alike / pairs.sum(dim=(1, 2)).clamp(min=1.0)).mean()


def _whole(pages: Pages, where: str, name: str) -> Numbers:
    """Return a column that is part of what pages are worth, where none is missing, as when they are made."""
    if name not in pages.numbers:
        raise RequestError(where, "must be of columns of the log", shown(name), did_you_mean(name, pages.numbers))
    missing = int(np.isnan(pages.numbers[name]).sum())
    if missing:
        raise RequestError(f"pages.{name}", f"must not be missing to be part of `{where}`", f"{missing} rows without")
    return pages.numbers[name]


def _gumbel(*shape: int, device: torch.device) -> Tensor:
    """Return noise by which the largest log-odds are a draw by their chances."""
    return -torch.log(-torch.log(torch.rand(shape, device=device) + 1e-20))


def _read(batch: Batch) -> list[Tensor]:
    return [batch[name] for name in READ]


def _discount(slot: int) -> float:
    return 1.0 / float(np.log2(slot + 2))


def _standardised(scores: Numbers, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return scores of each list with mean 0 and standard deviation 1."""
    count = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    mean = np.where(mask, scores, 0.0).sum(axis=1, keepdims=True) / count
    off = np.where(mask, scores - mean, 0.0)
    scale = np.sqrt(np.square(off).sum(axis=1, keepdims=True) / count)
    return (off / np.where(scale > 0, scale, 1.0)).astype(np.float32)
