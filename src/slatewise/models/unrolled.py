"""A decoder without a graph: the same sums, row by row of a tree instead of page by page.

A graph takes pages side by side, so that prefixes have to be copied, padded and masked, and products of small matrices
are as many as pages times heads. Here the rows of all chains go through each product of matrices at once, and look at
what is above where it lies: a row takes half to four fifths of the time, and rows need not be asked in chains. Weights
come with the model, beside its graphs; a model without them is served by its graphs. Cost: 2 * weights operations per
row.

References:
    Vaswani et al. (2017), "Attention is all you need", NeurIPS.
"""

from __future__ import annotations

import io
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from slatewise.kernels import decoder as kernels
from slatewise.kernels.insertion_search import Asked

FIRST = 4_096
"""Rows that there is room for at first."""

Floats = NDArray[np.float32]


class Layer(NamedTuple):
    """One layer; what a normed row is multiplied by is part of the products that follow.

    Attributes:
        all: (d + 1, 3 * wide), to queries, keys and values; the last row is added.
        out: (wide + 1, d), back.
        wider: (d + 1, hidden).
        back: (hidden + 1, d).
    """

    all: Floats
    out: Floats
    wider: Floats
    back: Floats


class Weights(NamedTuple):
    """All of it.

    Attributes:
        layers: The layers.
        experts: (d + 1, experts * inner + gates), to experts, then gates for clicks and for leaving.
        towers: For clicks and for leaving: first gate, experts, and arrays as `kernels.decoder.gated` takes them.
    """

    layers: tuple[Layer, ...]
    experts: Floats
    towers: tuple[tuple[int, int, Floats, Floats], ...]


def weights_of(blob: bytes, windows: NDArray[np.int64]) -> Weights:
    """Return weights as they are multiplied."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as file:
        found: dict[str, Floats] = {name: file[name].astype(np.float32) for name in file.files}
    layers: list[Layer] = []
    for place in range(sum(name.endswith(".out.weight") for name in found)):
        at = f"blocks.{place}"
        every = _after_norm(found, f"{at}.first", f"{at}.all")
        wide = every.shape[1] // 3
        every[:, :wide] *= np.float32((wide // len(windows)) ** -0.5)
        wider = _after_norm(found, f"{at}.second", f"{at}.feed.0")
        out, back = _affine(found, f"{at}.out"), _affine(found, f"{at}.feed.2")
        layers.append(Layer(every, out, wider, back))
    experts, gates = (_after_norm(found, "last", f"experts.{name}") for name in ("experts", "gates"))
    each, many = gates.shape[1] // 5, experts.shape[1]
    click = _tower(found, "experts.click", many, 2 * each)
    leave = _tower(found, "experts.leave", many + 2 * each, 3 * each)
    return Weights(tuple(layers), np.hstack([experts, gates]), (click, leave))


def _affine(found: dict[str, Floats], name: str) -> Floats:
    return np.vstack([found[f"{name}.weight"].T, found[f"{name}.bias"]])


def _after_norm(found: dict[str, Floats], norm: str, name: str) -> Floats:
    """Return a product with what a normed row is multiplied by, and what is added to it, in it."""
    weight, scale, shift = found[f"{name}.weight"], found[f"{norm}.weight"], found[f"{norm}.bias"]
    return np.vstack([(weight * scale).T, weight @ shift + found[f"{name}.bias"]])


def _tower(found: dict[str, Floats], name: str, first: int, experts: int) -> tuple[int, int, Floats, Floats]:
    hidden, last = found[f"{name}.0.weight"], found[f"{name}.2.weight"][0]
    out = np.zeros((len(hidden) + 1, 2), np.float32)
    out[:-1, 0], out[:-1, 1], out[-1, 1] = found[f"{name}.0.bias"], last, found[f"{name}.2.bias"][0]
    return first, experts, np.ascontiguousarray(hidden), out


@final
class Unrolled:
    """Slots that a decoder was asked, for one request."""

    __slots__ = ("_keys", "_token", "_values", "_weights", "_windows")

    def __init__(self, weights: Weights, windows: NDArray[np.int64], token: Floats) -> None:
        """Take weights, slots that heads look at, and (n, L, d) tokens of rows in slots."""
        self._weights, self._windows, self._token = weights, windows, token
        shape = len(weights.layers), 0, weights.layers[0].all.shape[1] // 3
        self._keys, self._values = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def ask(self, asked: Asked) -> tuple[Floats, Floats]:
        """Return (b, s) contexts of clicks and of leaving, and remember the slots for what comes below them."""
        long = int(asked.length.max())
        self._keys, self._values = (roomy(one, int(asked.at.max()) + 1) for one in (self._keys, self._values))
        click, leave = np.zeros((2, len(asked.first), long), np.float32)
        for step in range(long):
            rows, above, slot, chain = kernels.rows_of(asked, step, self._token)
            click[chain, step], leave[chain, step] = self._through(rows, above, slot)
        return click, leave

    def _through(self, rows: Floats, above: NDArray[np.int32], slot: NDArray[np.int64]) -> tuple[Floats, Floats]:
        weights, normed = self._weights, np.empty_like(rows)
        own, scores = above[np.arange(len(slot)), slot], np.empty(above.shape[1], np.float32)
        for layer, keys, values in zip(weights.layers, self._keys, self._values, strict=True):
            kernels.normed(rows, normed)
            projected = normed @ layer.all[:-1]
            projected += layer.all[-1]
            kernels.remembered(projected, own, keys, values)
            seen = np.empty((len(rows), len(layer.out) - 1), np.float32)
            kernels.looked(projected, keys, values, above, slot, self._windows, scores, seen)
            kernels.added(rows, seen @ layer.out[:-1], layer.out[-1])
            kernels.normed(rows, normed)
            inner = normed @ layer.wider[:-1]
            kernels.rectified(inner, layer.wider[-1], inner.shape[1])
            kernels.added(rows, inner @ layer.back[:-1], layer.back[-1])
        kernels.normed(rows, normed)
        experts = normed @ weights.experts[:-1]
        kernels.rectified(experts, weights.experts[-1], weights.towers[0][0])
        found = np.empty((2, len(rows)), np.float32)
        for into, (first, many, hidden, out) in zip(found, weights.towers, strict=True):
            kernels.gated(experts, first, many, hidden, out, np.empty(len(hidden), np.float32), into)
        return found[0], found[1]


def roomy(table: Floats, tokens: int) -> Floats:
    """Return a table (layers, tokens, ...) with room for so many, what it holds included."""
    have = table.shape[1]
    if tokens <= have:
        return table
    grown = np.empty((table.shape[0], max(tokens, 2 * have, FIRST), *table.shape[2:]), np.float32)
    grown[:, :have] = table
    return grown
