"""Rows to fit a landscape on: between which bounds the best rival score is known to be, and in which context.

Everything is measured in ticks of one unit. Prices are whole, 1, 2, ..., or rounded down, so that a price z stands for
[z, z + 1); a score wins iff it is above the best rival's, z < s. What is seen of z depends on who is told what, and
always says that it is in some interval [low, high):

| feedback | won | lost |
|---|---|---|
| `full` | [z, z + 1) | [z, z + 1) |
| `price_if_won`: the winner learns what it beat | [z, z + 1) | [s, ∞) |
| `price_if_lost`: the winning score is published | [1, s) | [z, z + 1) |
| `flag`: won or lost, and nothing else | [1, s) | [s, ∞) |

so that one likelihood, the sum of log(F(high) - F(low)), serves all four. What is called one-sided feedback is the
second in some papers and the third in others. Cost: O(n) and the entries of the features.

References:
    Klein & Moeschberger (2003), "Survival Analysis", section 3.5: likelihoods of censored data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import RequestError, did_you_mean, shown

Feedback: TypeAlias = Literal["full", "price_if_won", "price_if_lost", "flag"]
FEEDBACKS: tuple[str, ...] = get_args(Feedback)
Features: TypeAlias = Any
"""(n, d) sparse matrix in rows of float64; SciPy's stubs know no better."""


class Rows(NamedTuple):
    """What is known of the best rival score, row by row.

    Attributes:
        low: (n,) float64, ticks; it is not below.
        high: (n,) float64, ticks; it is below; infinite where nothing is known.
        score: (n,) float64, ticks: own score, of which the win probability is P(z < score).
        features: (n, d) sparse context.
        limit: Ticks up to which the win probability can be seen in these rows at all.
    """

    low: Numbers
    high: Numbers
    score: Numbers
    features: Features
    limit: int

    @classmethod
    def of(
        cls,
        score: ArrayLike,
        won: ArrayLike,
        *,
        price: ArrayLike | None = None,
        features: Features = None,
        feedback: Feedback = "price_if_won",
        unit: float = 1.0,
    ) -> Rows:
        """Return the rows of a log.

        Args:
            score: (n,) own scores, > 0.
            won: (n,) whether each won.
            price: (n,) best rival scores, > 0; looked at only where the feedback shows them.
            features: (n, d) sparse context; none for none.
            feedback: What is seen when winning and when losing.
            unit: What a tick is worth, > 0: the step of prices, or how fine they are looked at.

        Raises:
            RequestError: A score, or a price that should be seen, is not a number > 0; or a price that was seen does
                not go with won or lost.

        Examples:
            >>> rows = Rows.of([5, 5], [True, False], price=[3, 9])
            >>> rows.low.tolist(), rows.high.tolist(), rows.limit
            ([3.0, 5.0], [4.0, inf], 5)
            >>> Rows.of([5, 5], [True, False], feedback="flag").high.tolist()
            [5.0, inf]
        """
        if feedback not in FEEDBACKS:
            raise RequestError("feedback", "is not known", shown(feedback), did_you_mean(feedback, FEEDBACKS))
        wins = np.asarray(won).astype(np.bool_)
        own = _ticks("score", score, unit, np.ones(len(wins), np.bool_))
        seen = {"full": np.ones_like(wins), "price_if_won": wins, "price_if_lost": ~wins}.get(
            feedback, np.zeros_like(wins)
        )
        exact = whole(_ticks("price", np.ones(len(wins)) if price is None else price, unit, seen))
        if price is None and seen.any():
            raise RequestError("price", f"must be given for feedback {feedback!r}")
        _agree(own, exact, wins, seen)
        low = np.where(seen, exact, np.where(wins, 1.0, own))
        high = np.where(seen, exact + 1.0, np.where(wins, np.maximum(own, 2.0), np.inf))
        # a published winning score is seen however large it is, an own one up to itself
        limit = exact[seen].max(initial=1.0) if feedback in ("full", "price_if_lost") else own.max(initial=1.0)
        if features is None:
            features = sparse.csr_matrix((len(wins), 0))
        return cls(low, high, own, sparse.csr_matrix(features, dtype=np.float64), int(limit))

    @property
    def exact(self) -> Flags:
        """(n,) whether the best rival score itself is known."""
        return self.high == self.low + 1.0

    def at(self, rows: NDArray[Any]) -> Rows:
        """Return some rows, by index or by flags; the limit stays."""
        return Rows(self.low[rows], self.high[rows], self.score[rows], self.features[rows], self.limit)


def one_hot(keys: Mapping[str, ArrayLike], names: Mapping[str, tuple[str, ...]]) -> Features:
    """Return (n, d) one column for each of the names of each key; what is not named has none.

    >>> one_hot({"part": ["morning", "noon"]}, {"part": ("morning", "evening")}).toarray().tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    parts: list[Any] = []
    for key, wanted in names.items():
        values = np.asarray(keys[key], dtype=object)
        place = {name: column for column, name in enumerate(wanted)}
        codes = np.array([place.get(value, -1) for value in values], dtype=np.int64)
        rows = np.flatnonzero(codes >= 0)
        parts.append(sparse.csr_matrix((np.ones(len(rows)), (rows, codes[rows])), (len(values), len(wanted))))
    return sparse.hstack(parts, format="csr")


def seen_names(keys: Mapping[str, ArrayLike], *, least: int = 5) -> dict[str, tuple[str, ...]]:
    """Return, by key, the values that are seen at least so often, in alphabetical order.

    >>> seen_names({"part": ["noon", "noon", "night"]}, least=2)
    {'part': ('noon',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for key, values in keys.items():
        names, counts = np.unique(np.asarray(values, dtype=object).astype(str), return_counts=True)
        found[key] = tuple(names[counts >= least].tolist())
    return found


def whole(ticks: Numbers) -> Numbers:
    """Return prices rounded down, to 1 at least; a hair is added, so that 0.3 / 0.1 is three ticks.

    >>> whole(np.array([0.3 / 0.1, 2.7, 0.2])).tolist()
    [3.0, 2.0, 1.0]
    """
    return np.maximum(np.floor(ticks + 1e-9), 1.0)


def _ticks(name: str, values: ArrayLike, unit: float, needed: Flags) -> Numbers:
    """Return amounts in ticks, 1 at least; 1 where they are not needed."""
    amounts = np.asarray(values, dtype=np.float64)
    if amounts.shape != needed.shape:
        raise RequestError(name, f"must have one value per row, {len(needed)}", shown(amounts.shape))
    wrong = np.flatnonzero(needed & ~(np.isfinite(amounts) & (amounts > 0.0)))
    if len(wrong):
        raise RequestError(f"{name}[{wrong[0]}]", "must be a finite number > 0", shown(float(amounts[wrong[0]])))
    return np.maximum(np.where(needed, amounts / unit, 1.0), 1.0)


def _agree(own: Numbers, price: Numbers, won: Flags, seen: Flags) -> None:
    """Refuse prices that say the opposite of who won."""
    wrong = np.flatnonzero(seen & np.where(won, price > own, price + 1.0 < own))
    if len(wrong):
        row = wrong[0]
        rule = "must be below the score of a row that won" if won[row] else "must not be below that of a row that lost"
        raise RequestError(f"price[{row}]", f"{rule}, {own[row]:g} ticks", f"{price[row]:g}")
