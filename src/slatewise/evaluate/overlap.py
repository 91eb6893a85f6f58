"""How much two rankings agree, the tops more than the rest.

Rank-biased overlap: a reader who looks at one more slot with probability p sees, at depth d, the share of items that
both rankings have down to there.

    RBO = (1 - p) * sum_{d >= 1} p^(d-1) * common_d / d

Below the end of the rankings the agreement is taken to go on as it was (the extrapolated form, which also takes
rankings of unlike length). With p = 0.9 the first ten slots have some 86 % of the weight. Cost: O(k^2).

References:
    Webber, Moffat & Zobel (2010), "A similarity measure for indefinite rankings", ACM TOIS 28(4), equation 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

PERSISTENCE = 0.9
"""Probability that a reader looks at one more slot."""


def rank_biased_overlap(first: Sequence[Any], second: Sequence[Any], *, p: float = PERSISTENCE) -> float:
    """Return how much the tops of two rankings agree, from 0 (nothing in common) to 1 (equal).

    >>> rank_biased_overlap("ab", "ab"), rank_biased_overlap("ab", "cd"), rank_biased_overlap("", "")
    (1.0, 0.0, 1.0)
    >>> round(rank_biased_overlap("ab", "ba"), 4)  # nothing in common at the top, everything below
    0.9
    """
    short, long = sorted((first, second), key=len)
    if not short:
        return 1.0 if not long else 0.0
    above: set[Any] = set()
    below: set[Any] = set()
    common = np.empty(len(long))
    for depth in range(len(long)):
        above.update(short[depth : depth + 1])
        below.add(long[depth])
        common[depth] = len(above & below)
    depths = np.arange(1, len(long) + 1)
    end, both = len(long), common[len(short) - 1]
    agreed = common / depths
    agreed += np.where(depths > len(short), both * (depths - len(short)) / (len(short) * depths), 0.0)
    tail = (common[-1] - both) / end + both / len(short)
    return float((1 - p) / p * (agreed * p**depths).sum() + tail * p**end)
