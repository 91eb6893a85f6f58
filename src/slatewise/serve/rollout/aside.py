"""Aside: work beside the service, in a thread of its own that gives way to requests.

Python runs one thread at a time, and one that has work to do keeps the others waiting for up to a switch interval, 5 ms
unless it is said otherwise: too long for a request. While there is such work, the interval is a tenth of that.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import ParamSpec, TypeVar

INTERVAL_S = 0.000_5
"""Seconds after which a thread that works aside gives way."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_lock = Lock()
_before: list[float] = []
"""What the interval was before each piece of work that is under way; the last to end finds what it was at first."""


async def aside(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Return what `work` returns, done in a thread that gives way."""
    with _giving_way():
        return await asyncio.to_thread(work, *arguments, **named)


@contextmanager
def _giving_way() -> Generator[None]:
    with _lock:
        _before.append(sys.getswitchinterval())
        sys.setswitchinterval(INTERVAL_S)
    try:
        yield
    finally:
        with _lock:
            sys.setswitchinterval(_before.pop())
