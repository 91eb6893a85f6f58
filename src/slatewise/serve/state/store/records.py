"""Records: what a store remembers of a user's caps, and the arithmetic on it, free of where it is kept.

    taken(counter) = shown within its span + on hold by pages that are not confirmed yet

A page takes from caps before it is composed, says then what it used, and each impression turns one item on hold into
one that was shown. What a page holds when its time is over is given back by no longer being counted; its record stays a
while, so that an impression that comes late still counts, once. Cost: O(pages on hold + wants).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import final

import msgspec

from slatewise.serve.state.store.contract import LATE_S, MOST_PAGES, Want
from slatewise.serve.state.windows import Window


class Part(msgspec.Struct, array_like=True):
    """What a page has of one counter.

    Attributes:
        granted: Items that it may show; what it used, once it is settled.
        confirmed: Items of it that were shown.
        within_s: Span of the counter.
    """

    granted: int
    confirmed: int
    within_s: float


@final
class Held(msgspec.Struct):
    """What a page has taken.

    Attributes:
        time: When.
        hold_s: For how long.
        parts: By counter; none that it got nothing of.
        settled: Whether it said what it used.
    """

    time: float
    hold_s: float
    parts: dict[str, Part]
    settled: bool = False

    def holds(self, time: float) -> bool:
        """Tell whether it still counts."""
        return abs(time - self.time) < self.hold_s

    def lasts(self, time: float) -> bool:
        """Tell whether it is still to be remembered."""
        return abs(time - self.time) < self.hold_s + LATE_S


@final
class Person(msgspec.Struct):
    """What is remembered of a user.

    Attributes:
        shown: Counter to what the user has seen.
        pages: Pages that took something, oldest first.
        until: When all of this is over.
    """

    shown: dict[str, Window] = {}
    pages: dict[str, Held] = {}
    until: float = 0.0

    def reserve(self, page: str, wants: Sequence[Want], *, time: float, hold_s: float) -> list[int]:
        """Return what each want is granted; see `Store.reserve`."""
        held = self.pages.get(page)
        if held is None or not held.holds(time):
            self.pages.pop(page, None)
            if not self._makes_room(time):
                return [0] * len(wants)
            held = self.pages[page] = Held(time, hold_s, self._granted(wants, time))
            self.until = max(self.until, time + hold_s + LATE_S, *(time + 2 * want.within_s for want in wants))
        return [held.parts[want.counter].granted if want.counter in held.parts else 0 for want in wants]

    def settle(self, page: str, used: Mapping[str, int]) -> None:
        """Keep what a page used; see `Store.settle`."""
        held = self.pages.get(page)
        if held is None or held.settled:
            return
        held.settled = True
        for counter, part in list(held.parts.items()):
            part.granted = max(used.get(counter, 0), part.confirmed)
            if not part.granted:
                del held.parts[counter]

    def confirm(self, page: str, counter: str, *, time: float) -> bool:
        """Count an item as shown; see `Store.confirm`."""
        held = self.pages.get(page)
        part = held.parts.get(counter) if held is not None and held.lasts(time) else None
        if part is None or part.confirmed >= part.granted:
            return False
        part.confirmed += 1
        self.shown.setdefault(counter, Window(part.within_s)).add(1.0, time=time)
        self.until = max(self.until, time + 2 * part.within_s)
        for stale in [name for name, window in self.shown.items() if not window.total(time)]:
            del self.shown[stale]
        return True

    def _granted(self, wants: Sequence[Want], time: float) -> dict[str, Part]:
        held: dict[str, int] = {}
        for counter, items in self._holding(time):
            held[counter] = held.get(counter, 0) + items
        parts: dict[str, Part] = {}
        for want in wants:
            window = self.shown.get(want.counter)
            shown = int(window.total(time)) if window is not None else 0
            granted = min(want.wanted, want.at_most - shown - held.get(want.counter, 0))
            if granted > 0:
                parts[want.counter] = Part(granted, 0, want.within_s)
        return parts

    def _holding(self, time: float) -> Iterator[tuple[str, int]]:
        for held in self.pages.values():
            if held.holds(time):
                yield from ((counter, part.granted - part.confirmed) for counter, part in held.parts.items())

    def _makes_room(self, time: float) -> bool:
        """Tell whether one page more can be remembered, after forgetting those that are over."""
        for page in [page for page, held in self.pages.items() if not held.lasts(time)]:
            del self.pages[page]
        if len(self.pages) >= MOST_PAGES:
            over = next((page for page, held in self.pages.items() if not held.holds(time)), None)
            if over is None:
                return False
            del self.pages[over]
        return True
