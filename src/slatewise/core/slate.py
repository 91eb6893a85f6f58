"""Slate: the rows of a page in serving order."""

from __future__ import annotations

import msgspec

from slatewise.core.columns import Codes


class Slate(msgspec.Struct, frozen=True):
    """Rows in order.

    Attributes:
        rows: (k,) distinct rows of the request's candidates, first slot first.
        probability: Probability that this slate was chosen, given request, policy and state; 1 without exploration.
    """

    rows: Codes
    probability: float = 1.0
