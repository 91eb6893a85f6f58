"""A decoder at work: what it says of the slots of pages, and what it remembers of those above them.

A decoder is asked in two ways, each an ONNX graph. `prepare` is asked once for a request: what each row is in each
slot. `extend` is asked for chains of rows below slots that it was asked before, of which it wrote down keys and values;
so pages that share their first slots share what these cost. Whatever is asked together, each chain is answered as if it
was asked alone, to within float32. Cost: that of the graphs, and some 60 µs for each time that `extend` is asked.

References:
    Shazeer (2019), "Fast transformer decoding: one write-head is all you need": keys and values that are kept.
    Zhai et al. (2024), "Actions speak louder than words", ICML: many targets under one prefix.
"""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Flags
from slatewise.core.request import Request
from slatewise.kernels.insertion_cache import gathered, masked, stored, tokens_of
from slatewise.kernels.insertion_search import Asked
from slatewise.models.model import Model
from slatewise.models.runtime import run

GRAPHS = ("prepare", "extend")
"""Graphs of a decoder."""

EVERYTHING = 1 << 30
"""Slots that a head looks at without a window."""

FIRST = 4_096
"""Slots that there is room for at first."""


class Prepared(NamedTuple):
    """What each row is in each slot: n rows, L slots, S states.

    Attributes:
        token: (n, L, e) float32, what `extend` takes.
        click: (n, L, S) float32, base log-odds of a click, by state of the ads above.
        leave: (n, L, S) float32, of leaving below the slot.
        click_amplitude: (n, L) float32, how far context may move them, >= 0.
        leave_amplitude: (n, L) float32, the same for leaving.
        pair_click: (n, n) float32, what the row directly above, by column, adds to a click.
        pair_leave: (n, n) float32, what it adds to leaving.
        pair_click_2: (n, n) float32, what the row two above adds to a click.
    """

    token: NDArray[np.float32]
    click: NDArray[np.float32]
    leave: NDArray[np.float32]
    click_amplitude: NDArray[np.float32]
    leave_amplitude: NDArray[np.float32]
    pair_click: NDArray[np.float32]
    pair_leave: NDArray[np.float32]
    pair_click_2: NDArray[np.float32]

    def at(self, rows: NDArray[np.integer]) -> Prepared:
        """Return it of some rows, in the order given."""
        pairs = np.ix_(rows, rows)
        return Prepared(*(one[rows] for one in self[:5]), *(one[pairs] for one in self[5:]))


def prepared(model: Model, candidates: Candidates, request: Request, rows: Codes, is_ad: Flags) -> Prepared:
    """Return what rows are in each slot.

    Args:
        model: A decoder.
        candidates: With the columns that it reads.
        request: With context and history.
        rows: (n,) organics in their order, then ads.
        is_ad: (n,) which of them are ads.
    """
    arrays = model.inputs.of(candidates, request, rows)
    return Prepared(*run(model, "prepare", **arrays, is_ad=is_ad))


def windows_of(model: Model) -> NDArray[np.int64]:
    """Return (heads,) int64: how many slots each head of a decoder looks at, from its own up."""
    bands = [int(one) for one in str(model.settings["bands"]).split(",") if one]
    return np.array([EVERYTHING] * int(model.settings["heads"]) + bands, np.int64)


@final
class Prefixes:
    """Slots that a decoder's graph was asked, for one request."""

    __slots__ = ("_keys", "_model", "_token", "_values", "_windows")

    def __init__(self, model: Model, token: NDArray[np.float32]) -> None:
        """Take a decoder and (n, L, e) tokens of rows in slots; nothing was asked yet."""
        self._model, self._token, self._windows = model, token, windows_of(model)
        shape = int(model.settings["layers"]), 0, len(self._windows), int(model.settings["each"])
        self._keys, self._values = np.empty(shape, np.float32), np.empty(shape, np.float32)

    def ask(self, asked: Asked) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (b, s) contexts of clicks and of leaving, and remember the slots for what comes below them."""
        self._keys, self._values = (_roomy(one, int(asked.at.max()) + 1) for one in (self._keys, self._values))
        long = int(asked.length.max())
        click, leave = np.zeros((2, len(asked.first), long), np.float32)
        late = asked.first + long > self._token.shape[1]  # padded, they would reach below the last slot there is
        for some in (np.flatnonzero(~late), *(np.flatnonzero(asked.first == one) for one in set(asked.first[late]))):
            if len(some):
                wide = int(asked.length[some].max())
                row, at, above, first, length = asked
                part = Asked(row[some], at[some], above[some], first[some], length[some])
                found = self._answered(part, wide)
                click[some, :wide], leave[some, :wide] = found
        return click, leave

    def _answered(self, asked: Asked, long: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        above = int(asked.first.max())
        keys, values = gathered(self._keys, self._values, asked, above)
        click, leave, own_keys, own_values = run(
            self._model,
            "extend",
            token=tokens_of(self._token, asked, long),
            prefix_keys=keys,
            prefix_values=values,
            mask=masked(asked, self._windows, above, long),
        )
        stored(self._keys, self._values, asked, own_keys, own_values)
        return click, leave


def _roomy(table: NDArray[np.float32], slots: int) -> NDArray[np.float32]:
    """Return a table (layers, slots, ...) with room for so many, what it holds included."""
    have = table.shape[1]
    if slots <= have:
        return table
    grown = np.empty((table.shape[0], max(slots, 2 * have, FIRST), *table.shape[2:]), np.float32)
    grown[:, :have] = table
    return grown
