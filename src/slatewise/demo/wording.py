"""Words and numbers as the terminal and the report write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import isnan

from slatewise.demo.mornings import Morning
from slatewise.evaluate.intervals import Interval

NAMES = {
    "random": "random order",
    "for_you": "for_you alone",
    "trending": "trending alone",
    "fresh": "fresh alone",
    "raw": "(a) raw scores merged",
    "blended": "(b) calibrated and blended",
    "ruled": "(c) blended, with rules",
    "paced": "(d) ruled, with a share floor",
}
"""Ways of making pages, in the order in which they are told."""

UNITS = {"for_you": "cosine", "trending": "clicks", "fresh": "per hour"}


def moment(seconds: int) -> str:
    """Return a time as people write it.

    >>> moment(1677138340)
    '23 Feb 2023 07:45'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y %H:%M")


def day(days: int) -> str:
    """Return a day, counted from 1970, as people write it.

    >>> day(19411)
    '23 Feb'
    """
    return datetime.fromtimestamp(days * 86_400, UTC).strftime("%d %b")


def short(name: str) -> str:
    """Return the first word of a name.

    >>> short("ruled"), short("fresh")
    ('(c)', 'fresh')
    """
    return NAMES[name].split(" ")[0]


def percent(share: float, digits: int = 1) -> str:
    """Return a share in percent.

    >>> percent(0.2734)
    '27.3 %'
    """
    return f"{100 * share:.{digits}f} %"


def ends(interval: Interval, scale: float = 100, digits: int = 1) -> str:
    """Return the two ends of an interval, `–` where there is none.

    >>> ends(Interval(0.273, 0.24, 0.301, 0.95, 38))
    '24.0 to 30.1'
    """
    if isnan(interval.low):
        return "–"
    return f"{_minus(scale * interval.low, digits)} to {_minus(scale * interval.high, digits)}"


def signed(value: float, scale: float = 100, digits: int = 1) -> str:
    """Return a difference with its sign, and a true minus.

    >>> signed(-0.0123)
    '−1.2'
    """
    text = _minus(scale * value, digits)
    return text if text.startswith("−") else f"+{text}"


def _minus(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def age(hours: float) -> str:
    """Return how long ago an article was first seen.

    >>> age(0.4), age(3.2), age(75.0)
    ('24 min old', '3 h old', '3 days old')
    """
    if hours < 1:
        return f"{60 * hours:.0f} min old"
    return f"{hours:.0f} h old" if hours < 48 else f"{hours / 24:.0f} days old"


def last_days(mornings: Sequence[Morning], most: int = 8) -> list[list[Morning]]:
    """Return the first days and the last one, at most so many, each with its lines.

    >>> days = [Morning(day, "fresh", "ratio", False, 1.0, None) for day in range(20)]
    >>> [at[0].day for at in last_days(days, most=3)]
    [0, 1, 19]
    """
    days = [[one for one in mornings if one.day == day] for day in dict.fromkeys(one.day for one in mornings)]
    return days if len(days) <= most else [*days[: most - 1], days[-1]]
