"""Sharing: the connections of a service, shared out between workers that accept from one socket.

The kernel wakes every worker for a connection, and always in the same order: the first takes them all, and a load
balancer that keeps sixteen connections open has them all at one core. So workers write down how many they have where
all can read it, and who has more than another leaves a connection to that one for a millisecond:

    wait  <=>  own > fewest + own // 8

What nobody else has taken by then is taken all the same. If nobody took any, it is a handful at once, so a worker that
hangs keeps no crowd waiting. Who is about to end leaves connections to all others.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import os
import socket
from collections.abc import Callable
from typing import NamedTuple, final

from slatewise.serve.process.listener import BACKLOG

PAUSE_S = 0.001
"""How long a connection is left to others."""
HANDFUL = 16
"""Connections that are taken at once if nobody else wanted them."""
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RETRY_S = 1.0
"""How long no connection is accepted where there is no room for one more open file."""
NONE = -1
"""Written by who accepts nothing."""

log = logging.getLogger("slatewise.serve")


@final
class Tally:
    """How many connections each worker has, in memory that all processes see.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     tally = Tally(file.fileno(), places=3)
        ...     tally[0], tally[1] = 2, 1
        ...     tally.has_fewer(0), tally.has_fewer(1), tally.has_fewer(2)
        (True, False, False)
    """

    def __init__(self, file: int, *, places: int | None = None) -> None:
        """Open the file with this number; it is written anew if it is said how many places there are."""
        if places is not None:
            os.truncate(file, 4 * places)
        self._counts = memoryview(mmap.mmap(file, 0)).cast("i")
        if places is not None:
            for place in range(places):
                self[place] = NONE

    def __getitem__(self, place: int) -> int:
        """Return how many the worker at a place has; `NONE` if it accepts nothing."""
        return self._counts[place]

    def __setitem__(self, place: int, connections: int) -> None:
        """Write down how many the worker at a place has."""
        self._counts[place] = connections

    def all(self) -> list[int]:
        """Return how many each has."""
        return self._counts.tolist()

    def has_fewer(self, place: int) -> bool:
        """Tell whether some other worker has fewer than the one at a place."""
        own = self._counts[place]
        return any(NONE < other < own - own // 8 for other in self._counts)


class Seat(NamedTuple):
    """The place of one worker in a tally."""

    tally: Tally
    place: int

    def note(self, connections: int) -> None:
        """Write down how many connections it has, while it accepts any."""
        if self.tally[self.place] != NONE:
            self.tally[self.place] = connections

    def leave(self) -> None:
        """Write down that it is about to end: others need not leave it anything."""
        self.tally[self.place] = NONE

    def yields(self) -> bool:
        """Tell whether it leaves a connection to others: some have fewer, or it is about to end."""
        return self.tally[self.place] == NONE or self.tally.has_fewer(self.place)


@final
class Acceptor:
    """Accepts connections one at a time, and leaves them to workers with fewer; it closes as servers of asyncio do."""

    def __init__(self, listener: socket.socket, factory: Callable[[], asyncio.Protocol], seat: Seat) -> None:
        """Begin to accept; `factory` makes the protocol of a connection."""
        self._loop = asyncio.get_running_loop()
        self._listener, self._factory, self._seat = listener, factory, seat
        self._later: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()
        self._before: list[int] = []
        listener.listen(BACKLOG)
        listener.setblocking(False)
        seat.tally[seat.place] = 0
        self._listen()

    def close(self) -> None:
        """Accept no more."""
        self._seat.leave()
        if self._later is not None:
            self._later.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Return when all that were accepted have begun."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _listen(self) -> None:
        self._later = None
        self._loop.add_reader(self._listener, self._look)

    def _look(self) -> None:
        if self._seat.yields():
            self._before = self._seat.tally.all()
            self._pause(PAUSE_S, self._take)
        else:
            self._accept()

    def _take(self) -> None:
        self._listen()
        many = HANDFUL if self._before == self._seat.tally.all() else 1
        while many and self._accept():
            many -= 1

    def _accept(self) -> bool:
        """Accept one; tell whether there was one."""
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in NO_ROOM:
                log.exception("no connection can be accepted; tried again in %g s", RETRY_S)
                self._pause(RETRY_S, self._listen)
            return False  # else another has it, or it is gone
        connection.setblocking(False)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seat.note(self._seat.tally[self._seat.place] + 1)
        opening = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opened)
        return True

    def _opened(self, opening: asyncio.Task[object]) -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self._seat.note(self._seat.tally[self._seat.place] - 1)
            log.warning("a connection was lost before it began: %s", error)

    def _pause(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._later = self._loop.call_later(seconds, then)
