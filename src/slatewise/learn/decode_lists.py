"""Lists as a decoder learns from them: which row stood in which slot, what was seen there, and what was clicked.

A page that was shown is learned from in the order in which it was shown. A list of which nobody knows how it was shown,
or that was rated as a whole, is learned from in several orders that are drawn: half of them at random, half of them as
the first stage has it, disturbed. Neither looks at what became of a row, so that a slot says nothing of it.

    loss = BCE(leave) over slots that were seen and followed by others + BCE(click) over slots that were seen
         + any_click * BCE(whether anything was clicked at all)

Each slot is conditional on what stands above it, so that the policy of the log needs no weights. Cost: O(k) for a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from slatewise.core.columns import Flags
from slatewise.core.errors import RequestError, shown
from slatewise.learn.pages import Pages
from slatewise.learn.training import Batch
from slatewise.models.decoder import Logits
from slatewise.models.inputs import Arrays, Inputs

INPUTS = ("numbers", "keys", "context", "history", "mask", "is_ad", "page")
"""Arrays that a decoder takes."""


def is_shown(pages: Pages) -> bool:
    """Return whether a log says in which slots rows were shown."""
    return bool((pages.slot > 0).any())


def arrays_of(
    pages: Pages,
    inputs: Inputs,
    *,
    ads: Sequence[str],
    slots: int,
    label: str,
    exposed: str,
    orders: int = 1,
    seed: int = 0,
) -> Arrays:
    """Return all that is learned from.

    Args:
        pages: Lists.
        inputs: What is read.
        ads: Lines that are ads.
        slots: Slots of the longest page.
        label: Feedback that is a click.
        exposed: Feedback that says whether a slot was seen; empty, or a name that the log does not have, for unknown.
        orders: Orders that are drawn of lists that were not shown.
        seed: Root of these.

    Returns:
        The arrays of `Inputs.of_pages`, `is_ad` (b, n), `page` (b, k) rows, and (b, k) float32: `label`, how much
        the row was clicked; `click` and `gone`, 1 where it was clicked at all and where the reader left, with `clicks`
        and `goes`, 1 where that is known.
    """
    found = inputs.of_pages(pages)
    length = found["mask"].shape[1]
    codes = [place for place, name in enumerate(pages.keys["line"].names) if name in ads]
    found["is_ad"] = pages.padded(np.isin(pages.keys["line"].codes, codes), length).astype(np.bool_)
    if is_shown(pages):
        slot = pages.padded(pages.slot.astype(np.int64), length)
        found["mask"] = found["mask"] & ~_out_of_sight(found, slot, slots)
        drawn = [_by(np.where(slot > 0, slot, length + 1), slots)]
        there = [np.take_along_axis(slot, drawn[0], 1) > 0]
    else:
        drawn = [_drawn(pages, length, slots, number, seed) for number in range(orders)]
        there = [np.take_along_axis(found["mask"], page, 1) for page in drawn]
    clicked, seen = _padded(pages, label, length), _padded(pages, exposed, length)
    parts = [_observed(page, on, clicked, seen) for page, on in zip(drawn, there, strict=True)]
    once = {name: np.concatenate([array] * len(parts)) for name, array in found.items()}
    return once | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _out_of_sight(arrays: Arrays, slot: NDArray[np.int64], slots: int) -> Flags:
    """Return (b, n) organics that were not shown, below as many as there are slots: no page would hold them."""
    organic = arrays["mask"] & ~arrays["is_ad"]
    return organic & (np.cumsum(organic, axis=1) > slots) & (slot == 0)


def loss_of(found: Logits, batch: Batch, *, any_click: float) -> Tensor:
    """Return the mean loss of a list: of clicks, of leaving, and of whether anything was clicked, with a weight."""
    click, leave = likelihoods(found.click, found.leave, batch)
    total = click + leave
    return total + any_click * _any_click(found, batch) if any_click > 0 else total


def likelihoods(click: Tensor, leave: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the mean of -log P of the clicks of a list, and of its leaving."""
    clicks = binary_cross_entropy_with_logits(click, batch["click"], reduction="none") * batch["clicks"]
    leaves = binary_cross_entropy_with_logits(leave, batch["gone"], reduction="none") * batch["goes"]
    return clicks.sum() / len(click), leaves.sum() / len(click)


def _any_click(found: Logits, batch: Batch) -> Tensor:
    """Return the mean of -log P(whether anything was clicked): over all slots at which she may have left."""
    click, leave = found.click.sigmoid(), found.leave.sigmoid()
    last = click.shape[1] - 1
    none = 1.0 - click[:, last]
    for slot in range(last - 1, -1, -1):
        none = (1.0 - click[:, slot]) * (leave[:, slot] + (1.0 - leave[:, slot]) * none)
    none = none.clamp(1e-6, 1.0 - 1e-6)
    some = (batch["click"] * batch["clicks"]).amax(dim=1)
    full = (batch["there"].all(dim=1)).to(none)  # of a shorter page the last slots are not there
    return -((some * torch.log1p(-none) + (1.0 - some) * none.log()) * full).mean()


def _observed(page: NDArray[np.int64], there: Flags, clicked: NDArray[Any], seen: NDArray[Any]) -> Arrays:
    click, exposed = (np.take_along_axis(one, page, 1) for one in (clicked, seen))
    below = np.concatenate([exposed[:, 1:], np.full((len(page), 1), np.nan)], axis=1)
    follows = np.concatenate([there[:, 1:], np.zeros((len(page), 1), np.bool_)], axis=1)
    goes = there & follows & (exposed == 1) & ~np.isnan(below)
    columns = {
        "label": np.nan_to_num(click) * there,
        "click": np.nan_to_num(click) > 0,
        "clicks": there & ~np.isnan(click) & (exposed != 0),
        "gone": goes & (below == 0),
        "goes": goes,
    }
    found: Arrays = {name: column.astype(np.float32) for name, column in columns.items()}
    return found | {"page": page, "there": there}


def _padded(pages: Pages, name: str, length: int) -> NDArray[Any]:
    column = pages.feedback.get(name)
    if column is None:
        column = np.full(len(pages.slot), np.nan)
    return pages.padded(column, length, np.nan)


def _by(rank: NDArray[Any], slots: int) -> NDArray[np.int64]:
    return np.argsort(rank, axis=1, kind="stable")[:, :slots]


def _drawn(pages: Pages, length: int, slots: int, number: int, seed: int) -> NDArray[np.int64]:
    """Return (b, k) rows in an order that is drawn; every other one follows the first stage."""
    rng = np.random.default_rng([seed, number])
    noise = rng.gumbel(size=(len(pages), length))
    follow = 0.0 if number % 2 == 0 else 1.0
    rank = follow * np.log1p(np.arange(length)) - noise
    return _by(np.where(pages.mask(length), rank, np.inf), slots)


def checked(pages: Pages, label: str) -> None:
    """Refuse a log that nothing can be learned from.

    Raises:
        RequestError: It has no such feedback, or none that is above 0.
    """
    if not (pages.labels(label) > 0).any():
        raise RequestError(f"pages.{label}", "must be above 0 somewhere", shown(0))
