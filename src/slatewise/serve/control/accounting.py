"""Accounting: ledgers of pages that were served, for as much time as there is, and as if there were one of each.

A ledger takes several more pages to make, so a thread makes them beside the requests, within a share of a core, the
newest pages first. Pages that come in faster are sampled, by their names: half of them, a quarter, and so on. Then the
ledgers of a window stand for all of its pages,

    pages of an entry = (pages with ledgers + pages passed over) / pages with ledgers,

so that what lines are charged in all comes out right on average, whatever share was sampled, and counts every page
exactly once over windows.

References:
    Horvitz & Thompson (1952), "A Generalization of Sampling Without Replacement from a Finite Universe", JASA 47(260).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread
from time import thread_time
from typing import NamedTuple, final
from zlib import crc32

from msgspec.structs import replace

from slatewise.core.ledger import Ledger
from slatewise.core.request import Request
from slatewise.ladder import Conditions, Ladder

SHARE = 0.05
"""Part of a core that accounting takes, at most and on average."""
HURRIED = 0.2
"""Part of that share which is left while pages are composed below the first rung: who has no time keeps few books."""
MOST = 64
"""Pages that wait, and ledgers of a policy in a window, at most; beyond, fewer pages are sampled."""
LEAST_SHARE = 2.0**-16
"""Smallest share of pages that is sampled."""
IDLE_S = 0.25
"""Seconds after which an idle thread looks again whether it should end."""

log = logging.getLogger("slatewise.serve")


class Shown(NamedTuple):
    """A page that was served.

    Attributes:
        policy: Content hash of its policy.
        ladder: The policy at work.
        request: The request, with what control loops remembered.
        under: What was decided about it.
        name: Name of the page.
    """

    policy: str
    ladder: Ladder
    request: Request
    under: Conditions
    name: str


class Entered(NamedTuple):
    """A page with its ledger."""

    name: str
    ledger: Ledger


class _Tally:
    """The pages of a policy since they were last collected.

    Attributes:
        entered: Those with ledgers.
        passed: How many were passed over.
        crowded: How many of these for want of time.
        unsteered: How many more there are that loops did not steer.
        share: Share that is sampled.
    """

    def __init__(self) -> None:
        self.entered: list[Entered] = []
        self.passed = self.crowded = self.unsteered = 0
        self.share = 1.0

    def pass_over(self) -> None:
        """Count a page that there was no time for."""
        self.passed += 1
        self.crowded += 1


@final
class Books:
    """Which pages are accounted for, and how many each stands for.

    Attributes:
        pages: Pages so far, with ledgers or passed over.
        accounted: Pages so far with ledgers.
    """

    def __init__(self, *, most: int = MOST) -> None:
        """Open them."""
        self.pages = self.accounted = 0
        self._most = most
        self._queue: deque[Shown] = deque()
        self._tallies: dict[str, _Tally] = {}
        self._lock = Lock()

    def offer(self, shown: Shown) -> bool:
        """Return whether a page is taken, and not passed over; in a crowd, the oldest page is passed over for it."""
        with self._lock:
            tally = self._tallies.setdefault(shown.policy, _Tally())
            if tally.share < 1 and crc32(shown.name.encode()) >= tally.share * 2.0**32:
                tally.passed += 1
                return False
            self._queue.append(shown)
            if len(self._queue) > self._most:
                self._tallies[self._queue.popleft().policy].pass_over()
            return True

    def pass_over(self, policy: str) -> None:
        """Count a page that loops did not steer: others of its window stand for it, if there are any."""
        with self._lock:
            self._tallies.setdefault(policy, _Tally()).unsteered += 1

    def next(self) -> Shown | None:
        """Return the newest page, whose ledger is due; None if there is none."""
        with self._lock:
            return self._queue.pop() if self._queue else None

    def enter(self, shown: Shown, ledger: Ledger | None) -> None:
        """Write down the ledger of a page; None passes the page over."""
        with self._lock:
            tally = self._tallies[shown.policy]
            if ledger is None:
                tally.passed += 1
            else:
                tally.entered.append(Entered(shown.name, ledger))

    def collect(self, policy: str) -> list[Entered]:
        """Return a policy's ledgers since the last time, and adapt how many pages are sampled from now on.

        Pages that still wait are passed over. Those that were, while there was no ledger, wait for the next one, which
        stands for them, too.
        """
        with self._lock:
            tally = self._tallies.setdefault(policy, _Tally())
            for _ in range(len(self._queue)):
                shown = self._queue.popleft()
                if shown.policy == policy:
                    tally.pass_over()
                else:
                    self._queue.append(shown)
            entered, count = tally.entered, len(tally.entered)
            if tally.crowded > count or count > self._most:
                tally.share = max(tally.share / 2, LEAST_SHARE)
            elif not tally.crowded and 2 * count <= self._most:
                tally.share = min(tally.share * 2, 1.0)
            unsteered, tally.crowded, tally.unsteered = tally.unsteered, 0, 0
            if not count:
                return []
            all_pages = count + tally.passed + unsteered
            tally.entered, tally.passed = [], 0
        self.pages += all_pages
        self.accounted += count
        each = all_pages / count
        return [Entered(name, tuple(replace(entry, pages=each) for entry in ledger)) for name, ledger in entered]


@final
class Accountant:
    """The thread that makes ledgers.

    Attributes:
        books: What it works on.
        failed: Pages whose ledger could not be made.
    """

    def __init__(self, books: Books, *, share: float = SHARE, clock: Callable[[], float] = thread_time) -> None:
        """Start it.

        Args:
            books: Pages come in here, and ledgers are written down here.
            share: Part of a core that it takes, in (0, 1].
            clock: Processor time of the thread that asks, in seconds.
        """
        self.books = books
        self.failed = 0
        self._share = share
        self._clock = clock
        self._ended = Event()
        self._called = Event()
        self._thread = Thread(target=self._run, name="accounts", daemon=True)
        self._thread.start()

    def call(self) -> None:
        """Say that there is a page."""
        if not self._called.is_set():
            self._called.set()

    def close(self) -> None:
        """End it; the page at hand is finished."""
        self._ended.set()
        self._called.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            shown = self.books.next()
            if shown is None:
                self._called.clear()
                self._called.wait(IDLE_S)
                continue
            began = self._clock()
            self._account(shown)
            taken = self._clock() - began
            share = self._share * (HURRIED if shown.under.rung else 1.0)
            self._ended.wait(taken * (1.0 - share) / share)

    def _account(self, shown: Shown) -> None:
        try:
            ledger = shown.ladder.account(shown.request, shown.under)
        except Exception:
            self.failed += 1
            log.exception("page %s of policy %s has no ledger", shown.name, shown.policy)
            ledger = None
        self.books.enter(shown, ledger)
