"""Scales: how utility becomes the relevance that redundancy is weighed against.

| scale | relevance | the same row, another pool |
|---|---|---|
| `none` | utility | the same |
| `zscore` | (utility - mean) / standard deviation of the pool, 0 if that is 0 | another |
| `minmax` | (utility - smallest) / (largest - smallest), 0 if that is 0 | another |
| `rank` | 1 - rows of larger utility / rows, items shown before in the session included | another |
| `logit` | log(utility / (1 - utility)) | the same |

A session keeps what its first page had.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from slatewise.core.columns import Codes, Numbers
from slatewise.core.errors import RequestError, shown

Scale: TypeAlias = Literal["none", "zscore", "minmax", "rank", "logit"]


def scaled(scale: Scale, by: str, utility: Numbers, order: Codes, kept: Numbers | None) -> tuple[Numbers, Numbers]:
    """Return (relevance, parameters to be kept); `kept` are those of the session's first page."""
    if scale == "rank":
        shown_before = np.zeros(0) if kept is None else kept
        pool = np.sort(np.concatenate([utility, shown_before]))
        larger = len(pool) - np.searchsorted(pool, utility, side="right")
        return 1.0 - larger / max(len(pool), 1), shown_before
    if scale == "logit":
        require((utility > 0) & (utility < 1), by, utility, "must be above 0 and below 1 for `scale: logit`")
        return np.log(utility / (1.0 - utility)), np.zeros(0)
    if scale == "none" or not len(utility):
        return utility, np.zeros(0) if kept is None else kept
    if kept is None or len(kept) != 2:
        if scale == "zscore":
            pool = utility[order]  # so that sums do not depend on the order of the candidates
            kept = np.array([pool.mean(), pool.std()])
        else:
            kept = np.array([utility.min(), utility.max() - utility.min()])
    centre, spread_by = kept
    return (utility - centre) / spread_by if spread_by > 0 else np.zeros_like(utility), kept


def require(right: Any, by: str, values: Numbers, rule: str) -> None:
    """Refuse numbers that are out of range."""
    if not right.all():
        row = int((~right).argmax())
        raise RequestError(f"candidates.{by}[{row}]", rule, shown(float(values[row])))
