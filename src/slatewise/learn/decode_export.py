"""A decoder as it is served: two graphs.

`prepare` takes the rows of one request and `extend` slots below a prefix, side by side; shapes as `models.decoder` has
them, without the axis of lists in `prepare`. Both are compared with the network before they leave here.

`ranked` serves lists without ads: slot by slot, the row that is most likely to be clicked below those that were placed.
Many lists are asked at once. Cost: O(n) rows in each of k slots.
"""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.learn.export import check_parity, export
from slatewise.learn.pages import Pages
from slatewise.models import runtime
from slatewise.models.decoder import Decoder, Extended, Prepared
from slatewise.models.inputs import Arrays, Inputs
from slatewise.models.model import Model

ARGUMENTS = ("numbers", "keys", "context", "history", "is_ad")
PREPARE = {
    **{name: {0: "rows"} for name in ("numbers", "keys", "is_ad", "token", "click", "leave")},
    **{name: {0: "rows"} for name in ("click_amplitude", "leave_amplitude")},
    **{name: {0: "rows", 1: "rows"} for name in ("pair_click", "pair_leave", "pair_click_2")},
}
EXTEND = {
    **{name: {0: "pages", 1: "slots"} for name in ("token", "context_click", "context_leave")},
    **{name: {1: "prefixes", 3: "above"} for name in ("prefix_keys", "prefix_values")},
    "mask": {0: "masks", 2: "slots", 3: "looked"},
    **{name: {1: "pages", 3: "slots"} for name in ("keys", "values")},
}
BLOCK = 16
"""Lists that are ranked together."""


@final
class Preparing(nn.Module):
    """`prepare`, of one request."""

    def __init__(self, network: Decoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, is_ad: Tensor) -> Prepared:
        """Return what each of n rows is in each slot."""
        batch = dict(zip(ARGUMENTS, (numbers, keys, context, history, is_ad), strict=True))
        batch = {name: one[None] for name, one in batch.items()}
        batch["mask"] = torch.ones_like(batch["is_ad"])
        return Prepared(*(one[0] for one in self.network.prepare(batch)))


@final
class Extending(nn.Module):
    """`extend`."""

    def __init__(self, network: Decoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, prefix_keys: Tensor, prefix_values: Tensor, mask: Tensor) -> Extended:
        """Return what slots add to a prefix."""
        return self.network.extend(token, prefix_keys, prefix_values, mask)


def served(network: Decoder, inputs: Inputs, arrays: Arrays) -> tuple[Model, float]:
    """Return the model that is served, and by how much it differs from the network.

    Args:
        network: The network.
        inputs: What it reads.
        arrays: Some lists, as `arrays_of` gives them.

    Raises:
        RequestError: Context may move it without bound, so that no page has one.
    """
    shape = network.shape
    if math.isinf(shape.bound):
        raise RequestError("shape.bound", "must be finite in what is served", shown(shape.bound))
    preparing, extending = Preparing(network).eval(), Extending(network).eval()
    prefix, new = _examples(network, arrays, above=min(3, shape.slots - 2))
    graphs = {
        "prepare": export(preparing, prefix, names=Prepared._fields, dynamic=PREPARE),
        "extend": export(extending, new, names=("context_click", "context_leave", "keys", "values"), dynamic=EXTEND),
    }
    settings = {
        "layers": shape.layers,
        "heads": shape.heads,
        "bands": ",".join(map(str, shape.bands)),
        "each": network.each,
        "slots": shape.slots,
    }
    model = Model.of("decoder", inputs=inputs, graphs=graphs, settings=settings)
    some = [_examples(network, arrays, above=above) for above in range(min(4, shape.slots - 1))]
    off = [check_parity(preparing, model, "prepare", some[0][0])]
    off += [check_parity(extending, model, "extend", one) for _, one in some]
    return model, max(off)


def ranked(model: Model, pages: Pages) -> Numbers:
    """Return (N,) scores, larger for rows that are placed above others of their list.

    Rows are placed in as many slots as the decoder has; the others follow as they would be placed in the last of them.

    Args:
        model: A decoder.
        pages: Lists; no row counts as an ad.
    """
    found = np.zeros(len(pages.slot))
    order = np.argsort(pages.lengths, kind="stable")
    for at in range(0, len(pages), BLOCK):
        some = order[at : at + BLOCK]
        arrays = model.inputs.of_pages(pages.take(some))
        mask = arrays["mask"]
        rows = (pages.starts[some, None] + np.arange(mask.shape[1]))[mask]
        found[rows] = _placed(model, arrays)[mask]
    return found


def _placed(model: Model, arrays: Arrays) -> Numbers:
    """Return (b, n) minus the places of rows; all rows of a list are asked at once, each below what was placed."""
    mask, at = arrays["mask"], _prepared(model, arrays)
    slots, layers, each = (int(model.settings[name]) for name in ("slots", "layers", "each"))
    bands = [int(one) for one in str(model.settings["bands"]).split(",") if one]
    windows = np.array([slots] * int(model.settings["heads"]) + bands)
    lists, rows = np.arange(len(mask)), mask.shape[1]
    keys, values = np.zeros((2, layers, len(mask), len(windows), 0, each), np.float32)
    itself = np.broadcast_to(np.eye(rows, dtype=np.bool_), (len(windows), rows, rows))
    free, stands, logit = mask.copy(), np.full(mask.shape, slots), np.zeros(mask.shape)
    order = list[NDArray[np.int64]]()
    for slot in range(min(rows, slots)):
        seen = (np.arange(slot) > slot - windows[:, None])[:, None].repeat(rows, axis=1)
        looked = np.where(np.concatenate([seen, itself], axis=2), 0.0, -np.inf).astype(np.float32)
        context, _, new_keys, new_values = runtime.run(
            model,
            "extend",
            token=np.ascontiguousarray(at.token[:, :, slot]),
            prefix_keys=keys,
            prefix_values=values,
            mask=looked[None],
        )
        logit = at.click[:, :, slot, 0] + at.click_amplitude[:, :, slot] * np.tanh(context)
        for table, above in ((at.pair_click, 1), (at.pair_click_2, 2)):
            if slot >= above:
                logit = logit + table[lists, :, order[-above]]
        best = np.where(free, logit, -np.inf).argmax(axis=1)
        order.append(best)
        stands[lists, best] = np.minimum(stands[lists, best], slot)
        free[lists, best] = False
        keys, values = (
            np.concatenate([old, new[:, lists, :, best].transpose(1, 0, 2, 3)[..., None, :]], axis=3)
            for old, new in ((keys, new_keys), (values, new_values))
        )
    sequence = np.lexsort((-np.where(mask, logit, -np.inf), stands), axis=1)
    found = np.empty(mask.shape)
    np.put_along_axis(found, sequence, -np.arange(rows, dtype=np.float64)[None].repeat(len(mask), axis=0), axis=1)
    return found


def _prepared(model: Model, arrays: Arrays) -> Prepared:
    """Return what `prepare` says of the rows of each list, and 0 where there is no row."""
    mask = arrays["mask"]
    parts = list[list[NDArray[Any]]]()
    for place, there in enumerate(mask.sum(axis=1)):
        one = {name: arrays[name][place, :there] for name in ("numbers", "keys")}
        one |= {name: arrays[name][place] for name in ("context", "history")}
        parts.append(runtime.run(model, "prepare", **one, is_ad=np.zeros(there, np.bool_)))
    found = []
    for number, name in enumerate(Prepared._fields):
        axes = len(PREPARE[name])
        shape = (mask.shape[1],) * axes + parts[0][number].shape[axes:]
        array = np.zeros((len(mask), *shape), np.float32)
        for place, part in enumerate(parts):
            array[(place, *(slice(there) for there in part[number].shape[:axes]))] = part[number]
        found.append(array)
    return Prepared(*found)


def _examples(network: Decoder, arrays: Arrays, *, above: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return arguments of both graphs: the first list, and its last slots below some that differ page by page."""
    first = {name: torch.from_numpy(np.ascontiguousarray(arrays[name][0])) for name in ARGUMENTS}
    there = torch.from_numpy(arrays["mask"][0])
    first = {name: one[there] if name in ("numbers", "keys", "is_ad") else one for name, one in first.items()}
    with torch.no_grad():
        token = Preparing(network)(*first.values()).token
        slots = torch.arange(token.shape[1])
        chains = torch.stack([token[(slots + page) % len(token), slots] for page in range(3)])
        none = chains.new_zeros(network.shape.layers, 3, network.heads, 0, network.each)
        prefix = network.extend(chains[:, :above], none, none, network.mask(0, above)) if above else None
    new = {
        "token": chains[:, above:],
        "prefix_keys": none if prefix is None else prefix.keys,
        "prefix_values": none if prefix is None else prefix.values,
        "mask": network.mask(above, chains.shape[1] - above).expand(3, -1, -1, -1),
    }
    return first, new
