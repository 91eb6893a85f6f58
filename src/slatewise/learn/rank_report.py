"""How good an order of lists is, beside orders that know nothing.

NDCG at 5 and 10, average precision over the whole list and hit rate at 10, each the mean over lists with an interval
that draws users. Beside them stand orders that say whether a figure means anything:

    initial     as the first stage had them
    random      what all orders have on average, counted and not drawn
    constant    the same score for all; good only where ties are not drawn
    shuffled    the scores against labels that were exchanged within each list; good only where scores are not all that
                is looked at

The last two are means over draws, and must be as random: within one standard error of a single draw. Equal scores stand
in an order that is drawn by list and row, so that nothing of how rows came gets in. Conventions: gain 2^y - 1, discount
1 / log2(1 + slot), the ideal is of the whole list, average precision is over all relevant rows, and lists without any
are left out; how many these are is reported. Cost: O(draws * N log N).

References:
    Järvelin & Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from slatewise.core.columns import Numbers
from slatewise.evaluate.intervals import Interval, difference_by_cluster, mean_by_cluster
from slatewise.evaluate.metrics import average_precision, hit_rate, ndcg
from slatewise.evaluate.ranking import ndcg_by_score

CONVENTION = "gain 2^y - 1, log2 discount, ideal of the whole list, AP over R, lists without positives left out"
FIGURES = ("ndcg@5", "ndcg@10", "map", "hr@10")
LEAK = "ndcg@10"
RESAMPLES = 999
DRAWS = 16
"""Orders of nothing that are drawn."""
ROUNDING = 1e-12


@final
class RankReport(msgspec.Struct, frozen=True, kw_only=True):
    """How good some orders of lists are.

    Attributes:
        lists: How many lists were judged.
        empty: How many of them had nothing relevant, and are in no figure.
        orders: Order to figure to its mean.
        gains: Figure to what the order of interest has more than the initial one, list by list.
        leaks: What orders that know nothing have more than random ones, in NDCG at 10, list by list.
        convention: What was computed.
    """

    lists: int
    empty: int
    orders: dict[str, dict[str, Interval]]
    gains: dict[str, Interval]
    leaks: dict[str, Interval]
    convention: str = CONVENTION

    @property
    def is_sound(self) -> bool:
        """Whether the orders that know nothing are as random in NDCG at 10, within a standard error of one draw."""
        allowed = np.sqrt(DRAWS)
        return all(abs(leak.estimate) <= allowed * standard_error(leak) + ROUNDING for leak in self.leaks.values())


def standard_error(found: Interval) -> float:
    """Return the standard error that an interval was made of."""
    return (found.high - found.low) / (2 * float(norm.ppf((1 + found.level) / 2)))


def rank_report(
    scores: Numbers, labels: Numbers, users: NDArray[np.generic], *, seed: int = 0, level: float = 0.95
) -> RankReport:
    """Return how good scores are.

    Args:
        scores: (b, l) scores of rows in the order of a first stage; NaN where there is no row, or nobody knows of it.
        labels: (b, l) relevance >= 0.
        users: (b,) whose lists they are; each is its own where that is not known.
        seed: Root of the draws.
        level: Share of samples whose interval holds the truth.
    """
    there = ~np.isnan(scores)
    labels = np.where(there, labels, 0.0)
    draws = np.random.default_rng(seed)
    drawn = draws.random(scores.shape)
    place = np.where(there, -np.arange(scores.shape[1], dtype=np.float64), np.nan)
    constant = np.where(there, 0.0, np.nan)
    found = {
        "model": figures(scores, labels, drawn),
        "initial": figures(place, labels, drawn),
        "constant": _mean(figures(constant, labels, draws.random(scores.shape)) for _ in range(DRAWS)),
        "shuffled": _mean(figures(scores, _exchanged(labels, there, draws), drawn) for _ in range(DRAWS)),
    }
    random = {f"ndcg@{k}": ndcg_by_score(labels, constant, k, ties="average", gain="exp2") for k in (5, 10)}

    def mean(values: Numbers) -> Interval:
        return mean_by_cluster(values, users, level=level, resamples=RESAMPLES, seed=seed)

    orders = {name: {figure: mean(values) for figure, values in one.items()} for name, one in found.items()}

    def more(values: Numbers, than: Numbers) -> Interval:
        return difference_by_cluster(values, than, users, level=level, resamples=RESAMPLES, seed=seed)

    return RankReport(
        lists=len(labels),
        empty=int((~labels.any(axis=1)).sum()),
        orders=orders | {"random": {figure: mean(values) for figure, values in random.items()}},
        gains={figure: more(found["model"][figure], found["initial"][figure]) for figure in FIGURES},
        leaks={name: more(found[name][LEAK], random[LEAK]) for name in ("constant", "shuffled")},
    )


def figures(scores: Numbers, labels: Numbers, drawn: Numbers) -> Mapping[str, Numbers]:
    """Return (b,) each figure of each list; NaN for lists without anything relevant.

    Args:
        scores: (b, l) scores, NaN where there is no row.
        labels: (b, l) relevance; 0 where there is no row.
        drawn: (b, l) what decides between equal scores.
    """
    order = np.lexsort((drawn, -scores), axis=1)
    ranked = np.take_along_axis(labels, order, axis=1)
    return {
        "ndcg@5": ndcg(ranked, labels, 5, gain="exp2"),
        "ndcg@10": ndcg(ranked, labels, 10, gain="exp2"),
        "map": average_precision(ranked, labels, labels.shape[1], ap_denom="R"),
        "hr@10": hit_rate(ranked, labels, 10),
    }


def _mean(draws: Iterable[Mapping[str, Numbers]]) -> Mapping[str, Numbers]:
    told = list(draws)
    return {figure: np.mean([one[figure] for one in told], axis=0) for figure in FIGURES}


def _exchanged(labels: Numbers, there: NDArray[np.bool_], draws: np.random.Generator) -> Numbers:
    """Return labels in a drawn order within each list."""
    rows = np.argsort(~there, axis=1, kind="stable")
    drawn = np.argsort(np.where(there, draws.random(labels.shape), np.inf), axis=1)
    found = np.zeros(labels.shape)
    np.put_along_axis(found, rows, np.take_along_axis(labels, drawn, axis=1), axis=1)
    return found
