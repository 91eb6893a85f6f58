"""How much of a day's traffic falls into a span of time: what a budget is spread over.

    weight(start, end) = integral of the hours' weights over the span, in seconds of an average hour

The hours repeat every day. Cost: O(hours in the span), at most a day of them.

References:
    The hours of `AVITO` are means over regions and weekdays of the traffic of a classifieds site, published with the
    BAT autobidding benchmark (avito-tech/bat-autobidding-benchmark, MIT).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

HOUR, DAY = 3_600.0, 86_400.0
EVEN = (1.0,) * 24
AVITO = (
    0.343,
    0.230,
    0.190,
    0.200,
    0.247,
    0.336,
    0.482,
    0.701,
    1.049,
    1.442,
    1.693,
    1.759,
    1.745,
    1.716,
    1.662,
    1.598,
    1.510,
    1.400,
    1.295,
    1.184,
    1.047,
    0.902,
    0.737,
    0.533,
)
"""Traffic of each hour, relative to the mean."""


def weight(start: float, end: float, hours: Sequence[float]) -> float:
    """Return the traffic of a span, in seconds of an average hour.

    Args:
        start: Seconds since some midnight.
        end: The same, >= start.
        hours: 24 weights, > 0 together.

    Examples:
        >>> weight(0.0, DAY, AVITO).__round__(6), weight(3600.0, 5400.0, EVEN)
        (86400.0, 1800.0)
        >>> weight(4 * HOUR, 5 * HOUR, AVITO) < weight(20 * HOUR, 21 * HOUR, AVITO)
        True
    """
    mean = sum(hours) / len(hours)
    days = floor((end - start) / DAY)
    total = days * DAY
    at, stop = start + days * DAY, end
    while at < stop:
        till = min((floor(at / HOUR) + 1) * HOUR, stop)
        total += (till - at) * hours[int(at // HOUR) % len(hours)] / mean
        at = till
    return total
