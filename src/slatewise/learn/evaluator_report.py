"""How right an evaluator is: what it says of the clicks of lists that it has not learned from, and what came.

Lists are put in order by the clicks that are predicted of them, and cut into tenths: if less came in the last tenth
than was predicted, choosing pages by the evaluator will disappoint. Cost: O(b * l + b log b).
"""

from __future__ import annotations

import msgspec
import numpy as np

from slatewise.core.columns import Numbers
from slatewise.models.inputs import Arrays

TENTHS = 10
SURE = -1e-6
"""Largest logarithm of a chance that something is seen."""


class EvaluatorReport(msgspec.Struct, frozen=True):
    """How good an evaluator is, on lists that its networks did not learn from.

    Attributes:
        lists: How many there are.
        log_likelihood: Mean of the natural logarithm of how likely the clicks of a list were, each slot alone; where it
            is known what was seen, of slots that were.
        given_above: The same, each slot given what was clicked above; None of what is served, which is not asked that.
        predicted: Per tenth of the lists, those of least value first: mean clicks predicted of a list.
        realised: Mean clicks that came.
        parity: Largest difference between the networks and what is served; None of what is served.
    """

    lists: int
    log_likelihood: float
    given_above: float | None
    predicted: tuple[float, ...]
    realised: tuple[float, ...]
    parity: float | None


def report_on(
    arrays: Arrays, clicks: Numbers, chances: Numbers, *, given: Numbers | None = None, parity: float | None = None
) -> EvaluatorReport:
    """Return how right chances are.

    Args:
        arrays: Lists, as `shown.served` returns them, with a `weight` of each.
        clicks: (b, l) how likely slots that are seen are clicked.
        chances: (b, l) how likely slots are seen and clicked.
        given: (b, l) how likely they are clicked, given what was clicked above.
        parity: Largest difference between networks and what is served.
    """
    weight = arrays["weight"].astype(np.float64)
    there, told, clicked = arrays["mask"], arrays["told"], arrays["label"] > 0
    chances = chances * there

    def likely(chances: Numbers) -> float:
        sure = np.clip(chances, -np.expm1(SURE), np.exp(SURE))
        each = np.log(np.where(clicked, sure, 1 - sure)) * told
        return float(np.average(each.sum(axis=1), weights=weight))

    value, came = chances.sum(axis=1), (arrays["label"] * there).sum(axis=1)
    order = np.argsort(value, kind="stable")
    place = np.floor(TENTHS * (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum())
    tenths = [order[place == one] for one in range(TENTHS) if (place == one).any()]
    return EvaluatorReport(
        lists=len(there),
        log_likelihood=likely(np.where(np.isnan(arrays["exposed"]), chances, clicks)),
        given_above=None if given is None else likely(given),
        predicted=tuple(float(np.average(value[tenth], weights=weight[tenth])) for tenth in tenths),
        realised=tuple(float(np.average(came[tenth], weights=weight[tenth])) for tenth in tenths),
        parity=parity,
    )
