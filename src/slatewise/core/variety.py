"""Variety: what a page is charged for being alike, and the problem of spreading it.

With n candidates and the h items that the session saw last, the row i is worth in the next slot

    U_i = (1 - strength) * relevance_i - strength * sum_a weight_a * D_a(i | window_a)
          - sum_c weight_c * q_c(i) + sum_b weight_b * B_b(i) + bonus_i

D: redundancy with the items of a window, measured by how alike rows are (`Signals`, `Terms`); q: soft spacing
(`Spacings`); B: balance towards a target mix (`Balances`). What kernels take of it are the tuples of this module. Rows
n to n + h - 1 of their arrays are what the session saw, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, final, get_args

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes, Numbers
from slatewise.core.problem import PageProblem

Variant: TypeAlias = Literal[
    "mmr", "gap", "msd_sum", "msd_mean", "projection", "ssd_star", "ssd_volume", "dpp", "spectrum"
]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""Kernels know a variant by its place here."""

Likeness: TypeAlias = Literal["cosine", "same", "overlap", "prefix", "linked"]
LIKENESSES: tuple[Likeness, ...] = get_args(Likeness)
"""Kernels know a likeness by its place here."""

Negative: TypeAlias = Literal["keep", "clip", "shift"]
NEGATIVES: tuple[Negative, ...] = get_args(Negative)
"""What becomes of a negative cosine c: itself, max(0, c), or every cosine becomes (1 + c) / 2."""

MEMORY = 200
"""Items that a session remembers what they are like, at most."""


class Signals(NamedTuple):
    """Ways in which rows are alike: S of them, those of one term side by side.

    Attributes:
        signal: (S, 6) int64: place in `LIKENESSES`; place in `NEGATIVES`; the table, key column or list column it looks
            at; for `linked`, the key column that says what a row is called in the lists; and where its dimensions begin
            and end in the vector of a row, of D dimensions in all.
        share: (S,) float64, > 0; those of a term add up to 1.
        levels: (S, L) float64, for `prefix`: what each level that agrees adds; 0 beyond the deepest.
        address: (E, n) int64, where the float32 vector of each candidate lies, 0 for none; who holds this keeps the
            tables alive.
        scale: (E, n) float64, 1 / length of that vector.
        seen: (h, D) float64, what the session saw, in unit vectors; zeros for none.
        codes: (C, n + h) int32, key columns; -1 for none.
        lists: int32, all list columns one after the other; those of `overlap` sorted, without repeats.
        starts: (Q, n + h + 1) int64, where the list of each row begins in `lists`.
    """

    signal: NDArray[np.int64]
    share: Numbers
    levels: Numbers
    address: NDArray[np.int64]
    scale: Numbers
    seen: Numbers
    codes: Codes
    lists: Codes
    starts: NDArray[np.int64]


class Terms(NamedTuple):
    """Redundancy terms: T of them.

    Attributes:
        variant: (T,) int64, place in `VARIANTS`.
        spans: (T,) bool, whether it conditions on the items of the window themselves rather than on their bases.
        weight: (T,) float64, > 0.
        window: (T,) int64, how many earlier items count.
        first: (T + 1,) int64, its signals are first[a] ... first[a + 1] - 1.
        fade: (T, W) float64, for `gap` and `spectrum`: what an item 1, 2, ... slots above counts.
        ridge: (T,) float64, for `spectrum`.
        volume: (T,) float64, for `ssd_volume`: the volume so far; 1 for the others.
    """

    variant: NDArray[np.int64]
    spans: NDArray[np.bool_]
    weight: Numbers
    window: NDArray[np.int64]
    first: NDArray[np.int64]
    fade: Numbers
    ridge: Numbers
    volume: Numbers


class Spacings(NamedTuple):
    """Soft spacing: C classes.

    Attributes:
        level: (C, n + h) float64, >= 0, how much of the class a row is.
        weight: (C,) float64, >= 0.
        fade: (C, W) float64, what an item 1, 2, ... slots above counts; 0 beyond the class's window.
    """

    level: Numbers
    weight: Numbers
    fade: Numbers


class Balances(NamedTuple):
    """Balance towards target mixes: B of them.

    Attributes:
        starts: (B, n + h + 1) int64, where the values of each row begin in `values`.
        values: int32, values of the rows, all columns one after the other.
        target: (B, V) float64, share of each value in the target; 0 for those beyond.
        mixing: (B,) float64, share of the target that is mixed into the page's shares.
        weight: (B,) float64, >= 0.
    """

    starts: NDArray[np.int64]
    values: Codes
    target: Numbers
    mixing: Numbers
    weight: Numbers


@final
@dataclass(frozen=True, slots=True)
class SpreadProblem:
    """A page to be spread.

    Attributes:
        page: What the page is worth by itself, and its rules.
        relevance: (n,) float64, utility on the scale that is weighed against redundancy.
        charge: (n,) float64, >= 0, what rows are charged for lack of a value, per unit of strength.
        bonus: (n,) float64, what rows are worth besides, whatever the strength.
        signals: How rows are alike.
        terms: What is charged for it, per unit of strength.
        spacings: Soft spacing.
        balances: Balance towards target mixes.
        bases: (T, h, D + S) float64, unit bases of what the session saw, for terms on the bases of a window; NaN in
            the first column where there is none, and the item is orthogonalised afresh.
        strength: From 0, relevance, to 1, redundancy alone.
    """

    page: PageProblem
    relevance: Numbers
    charge: Numbers
    bonus: Numbers
    signals: Signals
    terms: Terms
    spacings: Spacings
    balances: Balances
    bases: Any
    strength: float
