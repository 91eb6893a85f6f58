"""What more passes do to lists: whether orders come to rest, and whether they get better.

`methods.reorder` does it; here it is done for all lists of a log at once, neither damped nor sticky
nor refusing any order, then damped, and then as it is served. Cost: a run of the network per pass and list.
"""

from __future__ import annotations

from typing import Any, cast, final

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Flags, Numbers
from slatewise.core.exposure import exposure_of
from slatewise.evaluate.metrics import ndcg
from slatewise.methods.reorder import Link, Orders, Reordered, reordered
from slatewise.models import runtime
from slatewise.models.inputs import Arrays
from slatewise.models.model import Model

LOOKS = 12
"""Passes after which an order that has not come again is not waited for."""
SERVED = 3
"""Passes of what is served, at most."""


@final
class Passes(msgspec.Struct, frozen=True, kw_only=True):
    """What more passes do.

    Attributes:
        cycles: Neither damped nor sticky: share of lists by how many passes later an order was there again; 1 for one
            that stayed, 0 for none within `LOOKS`.
        damped: The same for three passes, damped and sticky as it is served by default.
        distances: Share of pairs that each of these three turned round.
        promised: By how much predicted clicks rose with the first of them and with the next, where there was a next.
        ndcg: NDCG at 10 of what is kept after 1, 2 and 3 passes at most.
    """

    cycles: dict[str, float]
    damped: dict[str, float]
    distances: list[float]
    promised: list[float]
    ndcg: list[float]

    @property
    def oscillating(self) -> float:
        """Share of lists that come to no rest in what is served."""
        return sum(share for passes, share in self.damped.items() if int(passes) > 1)


def passes_report(model: Model, arrays: Arrays, labels: Numbers) -> Passes:
    """Return what more passes do to lists.

    Args:
        model: What scores them.
        arrays: The lists, as `Inputs.of_pages` makes them.
        labels: (b, l) relevance; 0 where there is no row.
    """
    free = looked(model, arrays, passes=LOOKS, damping=0.0, stickiness=0.0, delta=-np.inf)
    damped = looked(model, arrays, passes=SERVED, delta=-np.inf)
    kept = [looked(model, arrays, passes=count) for count in range(1, SERVED + 1)]
    return Passes(
        cycles=_shares(free.cycles),
        damped=_shares(damped.cycles),
        distances=damped.distances.mean(axis=1).tolist(),
        promised=[float(np.nanmean(rise)) for rise in np.diff(damped.rewards, axis=0) if not np.isnan(rise).all()],
        ndcg=[_ndcg(labels, one.order) for one in kept],
    )


def looked(
    model: Model, arrays: Arrays, *, passes: int, damping: float = 0.5, stickiness: float = 0.5, delta: float = 0.0
) -> Reordered:
    """Return how lists are reordered, all at once."""
    mask = cast("Flags", arrays["mask"])

    def score(order: Orders) -> Numbers:
        rows = {name: np.take_along_axis(arrays[name], order[:, :, None], axis=1) for name in ("numbers", "keys")}
        return runtime.scores(model, {**arrays, **rows})

    return reordered(
        score,
        mask,
        exposure=exposure_of("log", mask.shape[1]),
        link=cast("Link", model.settings["link"]),
        passes=passes,
        damping=damping,
        stickiness=stickiness,
        delta=delta,
    )


def _shares(cycles: NDArray[np.int64]) -> dict[str, float]:
    found, counts = np.unique(cycles, return_counts=True)
    return {str(length): count / len(cycles) for length, count in zip(found.tolist(), counts.tolist(), strict=True)}


def _ndcg(labels: Numbers, order: Orders) -> float:
    values: Any = ndcg(np.take_along_axis(labels, order, axis=1), labels, 10, gain="exp2")
    return float(np.nanmean(values))
