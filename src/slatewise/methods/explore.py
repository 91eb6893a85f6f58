"""Exploring on account: scores moved up or down a little, for as long as a line has earned it.

What is learned from scores that were shaded says little of higher ones. A line looks there on some pages, inside a band
around its best score, and never above what a slot is worth. An account earns a share of the score that the line spends
and pays for what exploring spends beyond; while it is empty, nothing is explored. Whether a page explores is drawn from
its name alone, so that whoever reads the ledger finds the same. Cost: one hash per line and page.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp
from typing import Annotated, final

import msgspec
import numpy as np
from msgspec import Meta

from slatewise.core.columns import Numbers
from slatewise.methods.winrates import WinRates


@final
class Explore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How learned lines look beyond the scores that they would enter.

    Attributes:
        share: Most that may be spent on it, as a share of the score that the line spends, 0 to 1.
        band: Change of the logarithm of a score, > 0; up or down with the same probability.
        odds: Probability that a line explores on a page, 0 to 1, while its account lasts.

    Examples:
        >>> explore = Explore(odds=0.2)
        >>> ways = [explore.drawn(f"request {place}", "ads") for place in range(1000)]
        >>> ways.count(1), ways.count(-1), ways.count(0)
        (98, 111, 791)
    """

    share: Annotated[float, Meta(ge=0, le=1)] = 0.01
    band: Annotated[float, Meta(gt=0, le=1)] = 0.15
    odds: Annotated[float, Meta(ge=0, le=1)] = 0.1

    def drawn(self, request: str, line: str) -> int:
        """Return whether a line explores on a page: 1 for up, -1 for down, 0 for not at all."""
        digest = blake2b(f"{request}\0explore\0{line}".encode(), digest_size=8).digest()
        drawn = int.from_bytes(digest) / 2**64
        return 0 if drawn >= self.odds else 1 if drawn < self.odds / 2 else -1

    def moved(self, score: Numbers, way: int, *, full: Numbers) -> Numbers:
        """Return scores moved up or down, none above `full`."""
        return np.minimum(score * exp(way * self.band), full)

    def propensity(self, way: int) -> float:
        """Return the probability of what was drawn."""
        return self.odds / 2 if way else 1.0 - self.odds


@final
class Account(msgspec.Struct, frozen=True):
    """What a line may spend on exploring.

    Attributes:
        earned: What it was granted, in units of score.
        spent: What exploring has cost: score spent on average beyond what would have been.
    """

    earned: float = 0.0
    spent: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self.earned <= self.spent

    def after(self, explore: Explore, rates: WinRates, *, values: Numbers, raised: Numbers, paid: float) -> Account:
        """Return the account after a window.

        Args:
            explore: How the line explored.
            rates: What was known in that window.
            values: Values of the rows whose scores were drawn upwards.
            raised: Those scores.
            paid: Score that the line has spent in all.
        """
        earned = self.earned + explore.share * paid
        if self.empty or not rates.ready or not len(values):
            return Account(earned, self.spent)
        plain = raised / exp(explore.band)
        extra = raised * rates.win(values, raised) - plain * rates.win(values, plain)
        return Account(earned, self.spent + float(np.maximum(extra, 0.0).sum()))
