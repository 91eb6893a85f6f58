"""Pages of `compose.spread` in the arrays that metrics take: what they are worth, and how they vary column by column.

A gauge is a column and how it is measured. Embeddings have distances (`ild`, `ilmd`). Keys, and lists of keys, have
categories: their `entropy` in nats, the longest `run`, `repeats` within the window that the stage looks at, and, where
the request says what the user looked at before, the `divergence` from it. Of lists from coarse to fine (`prefix`) the
first key counts. Cost: that of the metrics, for all pages of a request at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slatewise.compose.spread import Spread
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind, Numbers
from slatewise.core.errors import SlatewiseError, did_you_mean, shown
from slatewise.core.rules import GIVEN
from slatewise.evaluate.categories import category_amounts, members
from slatewise.evaluate.metrics import ndcg
from slatewise.evaluate.shares import calibration_divergence, entropy
from slatewise.evaluate.variety import cosine_distances, ild, ilmd, longest_run, repeats

Form: TypeAlias = Literal["embedding", "key", "keys", "prefix"]
Board: TypeAlias = NDArray[np.int64]
"""(b, k) rows of a pool in serving order, a page a row; -1 where a slot is empty."""

DISTANCES = ("ild", "ilmd")
CATEGORIES = ("entropy", "run", "repeats", "divergence")


class Gauge(NamedTuple):
    """A column, and how it is measured.

    Attributes:
        column: The column.
        form: What it holds.
        window: Slots above in which a repeat counts; None for all.
    """

    column: str
    form: Form
    window: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured."""
        return DISTANCES if self.form == "embedding" else CATEGORIES


def gauges_of(spread: Spread, columns: Mapping[str, Kind], more: Sequence[str] = ()) -> tuple[Gauge, ...]:
    """Return what to measure: the columns that the stage looks at, each once, and more if asked for.

    Links between items are no categories, and are left out.

    Args:
        spread: The stage.
        columns: The columns that the policy declares.
        more: Further columns of keys, lists of keys, or embeddings.

    Raises:
        SlatewiseError: One of those is of another kind, or not declared.
    """
    found: dict[str, Gauge] = {}
    for gauge in (*_looked_at(spread, columns), *(Gauge(name, _asked(name, columns)) for name in more)):
        found.setdefault(gauge.column, gauge)
    return tuple(found.values())


def _looked_at(spread: Spread, columns: Mapping[str, Kind]) -> Iterator[Gauge]:
    forms: dict[str, Form] = {"cosine": "embedding", "same": "key", "overlap": "keys", "prefix": "prefix"}
    for term in spread.terms:
        for similar in term.similar:
            if similar.likeness in forms:
                yield Gauge(similar.column, forms[similar.likeness], term.window)
    for spacing in spread.spacing:
        for name in spacing.uses:
            if form := _form(name, columns):
                yield Gauge(name, form, spacing.within)
    for balance in spread.balance:
        if form := _form(balance.column, columns):
            yield Gauge(balance.column, form)


def _asked(name: str, columns: Mapping[str, Kind]) -> Form:
    form = _form(name, columns)
    if form is None:
        valid = [*(name for name in columns if _form(name, columns)), *GIVEN]
        rule = "must be columns of keys, lists of keys or embeddings that the policy declares"
        raise SlatewiseError("columns", rule, shown(name), did_you_mean(name, valid))
    return form


def _form(name: str, columns: Mapping[str, Kind]) -> Form | None:
    forms: dict[str, Form] = {"embedding": "embedding", "key": "key", "keys": "keys"}
    return forms.get("key" if name in GIVEN else columns.get(name, "").rstrip("?"))


def utilities_kept(pool: Candidates, utility: Numbers, board: Board) -> Numbers:
    """Return (b,) NDCG of the utilities on each page beside the best order of the pool; NaN if one is below 0."""
    if (utility < 0).any():
        return np.full(len(board), np.nan)
    best = np.zeros(pool.items.max(initial=-1) + 1)
    np.maximum.at(best, pool.items, utility)
    served = np.where(board >= 0, np.append(utility, 0.0)[board], 0.0)
    return ndcg(served, np.broadcast_to(best, (len(board), len(best))), board.shape[1])


def measured(gauge: Gauge, pool: Candidates, board: Board, history: Mapping[str | int, float]) -> Numbers:
    """Return (b, names) what a gauge says of each page; NaN where it says nothing."""
    if gauge.form == "embedding":
        distances = cosine_distances(_vectors(pool, gauge.column, board), missing="drop", served=_served(board))
        return np.stack([ild(distances), ilmd(distances)], axis=1)
    slots, names = _categories(gauge, pool, board)
    places = {name: place for place, name in enumerate((*names, *(name for name in history if name not in names)))}
    if slots.ndim == 3:
        slots = np.pad(slots, ((0, 0), (0, 0), (0, len(places) - slots.shape[2])))
    amounts = category_amounts(slots, max(len(places), 1))
    wanted = np.zeros(amounts.shape[1])
    for name, amount in history.items():
        wanted[places[name]] = amount
    tells = gauge.form != "prefix" and wanted.any()
    window = board.shape[1] if gauge.window is None else gauge.window
    return np.stack(
        [
            entropy(amounts),
            longest_run(slots),
            repeats(slots, window=window),
            calibration_divergence(wanted, amounts) if tells else np.full(len(board), np.nan),
        ],
        axis=1,
    )


def _served(board: Board) -> NDArray[np.int64]:
    return (board >= 0).sum(axis=1)


def _vectors(pool: Candidates, name: str, board: Board) -> Numbers:
    """Return (b, k, d) vectors, NaN for none."""
    table, rows = pool.embedding(name)
    places = np.append(rows, -1)[board]
    vectors = np.full((*board.shape, table.matrix.shape[1]), np.nan)
    vectors[places >= 0] = table.matrix[places[places >= 0]]
    return vectors


def _categories(gauge: Gauge, pool: Candidates, board: Board) -> tuple[NDArray[np.int64] | Numbers, tuple[object, ...]]:
    """Return codes (b, k) or members (b, k, m), and what they stand for."""
    if gauge.form == "key":
        keys = pool.key(gauge.column)
        return np.append(keys.codes, -1)[board].astype(np.int64), keys.names
    lists = pool.key_lists(gauge.column)
    if gauge.form == "prefix":
        first = np.full(len(pool) + 1, -1)
        filled = np.flatnonzero(np.diff(lists.starts))
        first[filled] = lists.codes[lists.starts[filled]]
        return first[board], lists.names
    rows = members([[lists.row(row) for row in range(len(pool))]], lists.names)[0]
    return np.append(rows, np.zeros((1, rows.shape[1])), axis=0)[board], lists.names
