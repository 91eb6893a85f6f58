"""Words and numbers as the terminal and the report write them."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isnan

from slatewise.demo.showcase import Cell
from slatewise.evaluate.intervals import Interval

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


def reason(cell: Cell) -> str:
    """Return, in words, what a rule kept out of the slot; empty if nothing.

    The row kept out was worth more than the one that stands here.
    """
    held = cell.held_back
    return f"{held.item_id} ({held.line}, {held.utility:.3f}) held back: {held.rule}" if held else ""
