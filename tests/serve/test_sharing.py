"""Connections of one socket, shared out between those who accept from it."""

import asyncio
import contextlib
import socket
import tempfile

import pytest
import uvloop

from slatewise.serve.process.sharing import HANDFUL, NONE, PAUSE_S, Acceptor, Seat, Tally


class Counted(asyncio.Protocol):
    """A connection that is in its worker's tally while it lasts."""

    def __init__(self, open_, seat):
        self.open, self.seat = open_, seat

    def connection_made(self, transport):
        self.transport = transport
        self.open.add(self)
        self.seat.note(len(self.open))

    def connection_lost(self, exc):
        self.open.discard(self)
        self.seat.note(len(self.open))


class Workers:
    """Several who accept from one socket, in one loop."""

    def __init__(self, many, *, deaf=0):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listeners = [self.listener.dup() for _ in range(many)]
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.tally = Tally(self.file.fileno(), places=many + deaf)
        self.open = [set() for _ in range(many)]
        self.acceptors, self.clients = [], []
        for place in range(many):
            seat = Seat(Tally(self.file.fileno()), place)
            make = lambda place=place, seat=seat: Counted(self.open[place], seat)  # noqa: E731
            self.acceptors.append(Acceptor(self.listeners[place], make, seat))
        for place in range(many, many + deaf):
            self.tally[place] = 0

    async def connect(self, many):
        """Open connections, one after the other, and wait until all are accepted."""
        before, loop = self.count(), asyncio.get_running_loop()
        for _ in range(many):
            self.clients.append(socket.socket())
            self.clients[-1].setblocking(False)
            await loop.sock_connect(self.clients[-1], self.listener.getsockname())
        async with asyncio.timeout(60):
            while self.count() < before + many:
                await asyncio.sleep(0.001)

    def close(self):
        for one in (*self.acceptors, *self.clients, *self.listeners, self.listener, self.file):
            one.close()
        for open_ in self.open:
            for one in open_:
                one.transport.abort()

    def count(self):
        return sum(map(len, self.open))

    def shares(self):
        return [len(one) for one in self.open]


def run(test):
    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(test())
            runner.run(asyncio.sleep(0.01))


@pytest.mark.parametrize("many", [2, 4, 16, 100])
def test_every_worker_has_about_as_many_connections_as_any_other(many):
    async def test():
        with contextlib.closing(Workers(2)) as workers:
            await workers.connect(many)
            most, least = max(workers.shares()), min(workers.shares())
            assert most - least <= 1 + many // 10
            assert workers.shares() == [workers.tally[0], workers.tally[1]]

    run(test)


def test_who_lost_connections_gets_the_next_ones():
    async def test():
        with contextlib.closing(Workers(2)) as workers:
            await workers.connect(12)
            for one in list(workers.open[1]):
                one.transport.close()
            async with asyncio.timeout(60):
                while workers.open[1]:
                    await asyncio.sleep(0.001)
            before = len(workers.open[0])
            await workers.connect(before)
            assert workers.shares() == [before, before]

    run(test)


def test_who_is_about_to_end_leaves_connections_to_others():
    async def test():
        with contextlib.closing(Workers(2)) as workers:
            await workers.connect(6)
            Seat(workers.tally, 0).leave()
            before = workers.shares()
            await workers.connect(8)
            assert workers.shares() == [before[0], before[1] + 8]
            workers.acceptors[1].close()
            await workers.connect(2)
            assert workers.shares() == [before[0] + 2, before[1] + 8]  # as there is nobody else

    run(test)


def test_a_worker_that_hangs_keeps_no_crowd_waiting():
    async def test():
        with contextlib.closing(Workers(1, deaf=1)) as workers:
            (acceptor,) = workers.acceptors
            pauses, pause = [], acceptor._pause
            acceptor._pause = lambda *args: (pauses.append(args), pause(*args))
            clients = [socket.create_connection(workers.listener.getsockname()) for _ in range(100)]
            workers.clients += clients
            await workers.connect(1)
            async with asyncio.timeout(60):
                while workers.count() < 101:
                    await asyncio.sleep(0.001)
            assert len(pauses) <= 2 + 101 / HANDFUL

    run(test)


def test_a_worker_that_takes_none_keeps_nobody_waiting():
    async def test():
        with contextlib.closing(Workers(1, deaf=1)) as workers:
            await workers.connect(5)
            assert workers.shares() == [5]
            (acceptor,) = workers.acceptors
            acceptor.close()
            await acceptor.wait_closed()
            assert workers.tally[0] == NONE
            waiting = asyncio.create_task(workers.connect(1))
            await asyncio.sleep(20 * PAUSE_S)
            assert workers.count() == 5
            next(iter(workers.open[0])).transport.close()
            await asyncio.sleep(20 * PAUSE_S)
            assert workers.tally[0] == NONE  # not one that others would wait for
            waiting.cancel()

    run(test)


def test_replies_on_accepted_connections_do_not_wait_for_more():
    async def test():
        with contextlib.closing(Workers(1)) as workers:
            await workers.connect(1)
            (one,) = workers.open[0]
            assert one.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(test)
