"""Integer programs: columns to choose, rows that they have to keep to, as a solver takes them.

The first columns are the cells of a page: `place * length + slot` is 1 where the row in that place stands in that slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from slatewise.core.columns import Codes, Numbers

LARGEST = 1e6
"""Largest entry: beyond it, a solver's tolerance on whole columns (1e-6) is more than one such column counts."""


@final
@dataclass(frozen=True, slots=True)
class Program:
    """Columns to choose so that each row is between its bounds: m rows, c columns.

    Attributes:
        rows: Rows of the problem that the first columns stand for, in the problem's order.
        length: Slots of the page.
        matrix: (m, c) sparse float64.
        low: (m,) float64, least that a row may come to.
        high: (m,) float64, most that a row may come to.
        lower: (c,) float64, least value of each column.
        upper: (c,) float64, greatest value of each column.
        worth: (c,) float64, what each column adds to the value of the page.
        unit: (c,) float64, millionths by which a unit of slack breaks its rule; 0 for columns that are no slack.
        tier: (c,) int64, the tier of that rule; 0 for columns that are no slack.
    """

    rows: Codes
    length: int
    matrix: Any
    low: Numbers
    high: Numbers
    lower: Numbers
    upper: Numbers
    worth: Numbers
    unit: Numbers
    tier: NDArray[np.int64]

    @property
    def cells(self) -> int:
        """How many columns say which row stands in which slot; they come first and are whole."""
        return len(self.rows) * self.length

    def page(self, columns: Numbers) -> Codes:
        """Return the rows that a solution puts into the slots."""
        return self.rows[columns[: self.cells].reshape(-1, self.length).argmax(axis=0)]

    def breaking(self, allowed: Numbers) -> Program:
        """Return the program in which the rules of each tier are broken by so many millionths at most."""
        upper = np.where((self.tier > 0) & (allowed[self.tier] == 0), 0, self.upper)
        program = replace(self, upper=upper)
        for tier in np.flatnonzero((allowed > 0) & np.isfinite(allowed)):
            units = np.where(self.tier == tier, self.unit, 0)
            step = max(units.max(initial=0) / LARGEST, 1)
            program = program.with_row(units / step, allowed[tier] / step)
        return program

    def without(self, page: Codes) -> Program:
        """Return the program with one page ruled out."""
        place = np.empty(self.rows.max() + 1, np.int64)
        place[self.rows] = np.arange(len(self.rows))
        row = np.zeros(len(self.upper))
        row[place[page] * self.length + np.arange(self.length)] = 1
        return self.with_row(row, self.length - 1)

    def with_row(self, row: Numbers, high: float) -> Program:
        """Return the program with a row more, which may come to `high`."""
        matrix = sparse.vstack([self.matrix, sparse.csr_array(row[None])], format="csr")
        return replace(self, matrix=matrix, low=np.append(self.low, 0), high=np.append(self.high, high))


@final
class Draft:
    """A program while it is written, in blocks of columns and of rows."""

    def __init__(self, worth: Numbers) -> None:
        """Begin with a column per cell."""
        self.columns: list[Numbers] = []
        self.width = 0
        self.entries: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        self.bounds: list[Numbers] = []
        self.height = 0
        self.add_columns(len(worth), worth=worth)

    def add_columns(
        self, size: int, *, lower: Any = 0.0, upper: Any = 1.0, worth: Any = 0.0, unit: float = 0.0, tier: int = 0
    ) -> int:
        """Add columns, and return the first of them."""
        fields = [np.broadcast_to(np.asarray(one, np.float64), size) for one in (lower, upper, worth, unit, tier)]
        self.columns.append(np.vstack(fields))
        self.width += size
        return self.width - size

    def add_rows(self, parts: Sequence[tuple[int, Any]], low: Numbers, high: Numbers) -> None:
        """Add rows, given as blocks of entries with the column where each begins."""
        for first, block in parts:
            block = block.tocoo()
            self.entries.append((block.data, block.coords[0] + self.height, block.coords[1] + first))
        self.bounds.append(np.vstack([low, high]))
        self.height += len(low)

    def finished(self, rows: Codes, length: int) -> Program:
        """Return the program."""
        lower, upper, worth, unit, tier = np.hstack(self.columns)
        data, row, column = (np.concatenate(parts) for parts in zip(*self.entries, strict=True))
        matrix = sparse.csr_array((data, (row, column)), (self.height, self.width))
        low, high = np.hstack(self.bounds)
        return Program(rows, length, matrix, low, high, lower, upper, worth, unit, tier.astype(np.int64))
