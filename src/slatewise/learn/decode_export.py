"""A decoder as it is served: two graphs.

`prepare` takes the rows of one request and `extend` slots below a prefix, side by side; shapes as `models.decoder` has
them, without the axis of lists in `prepare`. Both are compared with the network before they leave here.

`ranked` serves lists without ads: slot by slot, the row that is most likely to be clicked below those that were placed.
Cost: O(n) rows in each of n slots.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
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

    Args:
        model: A decoder.
        pages: Lists; no row counts as an ad.
    """
    arrays = model.inputs.of_pages(pages)
    found = np.zeros(len(pages.slot))
    for place, (start, end) in enumerate(zip(pages.starts, pages.starts[1:], strict=False)):
        rows = {name: arrays[name][place, : end - start] for name in ("numbers", "keys")}
        lists = {name: arrays[name][place] for name in ("context", "history")}
        found[start:end] = _placed(model, {**rows, **lists}, int(end - start))
    return found


def _placed(model: Model, arrays: Arrays, rows: int) -> Numbers:
    """Return (n,) minus the slots that rows are placed in."""
    at = Prepared(*runtime.run(model, "prepare", **arrays, is_ad=np.zeros(rows, np.bool_)))  # pyright: ignore
    slots, layers, each = (int(model.settings[name]) for name in ("slots", "layers", "each"))
    bands = [int(one) for one in str(model.settings["bands"]).split(",") if one]
    windows = np.array([slots] * int(model.settings["heads"]) + bands)
    keys, values = np.zeros((2, layers, 1, len(windows), 0, each), np.float32)
    left, order = np.arange(rows), list[int]()
    for slot in range(min(rows, slots)):
        seen = np.arange(slot + 1) > slot - windows[:, None]
        mask = np.where(seen, 0.0, -np.inf).astype(np.float32)[None, :, None]
        context, _, new_keys, new_values = runtime.run(
            model,
            "extend",
            token=np.ascontiguousarray(at.token[left, slot, None]),
            prefix_keys=keys,
            prefix_values=values,
            mask=mask,
        )
        logit = at.click[left, slot, 0] + at.click_amplitude[left, slot] * np.tanh(context[:, 0])
        for table, above in ((at.pair_click, 1), (at.pair_click_2, 2)):
            if slot >= above:
                logit = logit + table[left, order[-above]]
        best = int(np.argmax(logit))
        order.append(int(left[best]))
        left = np.delete(left, best)
        keys, values = (
            np.concatenate([old, new[:, best : best + 1]], axis=3)
            for old, new in ((keys, new_keys), (values, new_values))
        )
    order += left.tolist()
    found = np.empty(rows)
    found[order] = -np.arange(rows)
    return found


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
