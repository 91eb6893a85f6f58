"""Meters: what is measured of the service, bound when it starts."""

from __future__ import annotations

from typing import final

from slatewise.serve.journal import Decision


@final
class Meters:
    """Counters and histograms of one process."""

    def served(self, decision: Decision, *, latency_s: float) -> None:
        """Count a page."""

    def refused(self, code: int) -> None:
        """Count a request that got no page."""

    def shed(self, why: str) -> None:
        """Count a request that was turned away: `deadline`, `crowd`, or `drain`."""
