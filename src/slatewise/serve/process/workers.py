"""Workers: one process per core, and the one above them.

The process above holds the socket, and every worker accepts from it, so a worker that ends loses nobody's connection
but its own. It starts the first, waits until that one is ready (kernels are compiled once, and a policy that is refused
is refused once), and then the others. One that ends by itself is started again, after pauses that double.

| signal | what happens |
|---|---|
| SIGTERM, SIGINT | goes on to all workers; the process ends when the last of them has |
| SIGHUP | the policy's file is read again and put to work: workers are replaced one by one, as successors are ready |
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic
from typing import Literal, final

import msgspec

from slatewise.serve.process.listener import notify
from slatewise.serve.process.logs import set_up
from slatewise.serve.process.settings import Settings
from slatewise.serve.process.sharing import NONE, Tally

SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Libraries that would start threads of their own, when a process is to use one core."""
NOT_HANDED_ON = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "SLATEWISE_TOKEN", "SLATEWISE_KEY")
METERS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
GENERATIONS = 8
"""Times as many places for connections as workers: those that are about to end keep theirs."""
FAILED = 1

log = logging.getLogger("slatewise.serve")


@final
class Errand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker is told on its standard input, where no one else can read it.

    Attributes:
        policy: File of the policy.
        settings: How to serve it.
        listener: Number of the socket.
        told: Number of the pipe on which it says that it is ready.
        tally: Number of the file with everybody's connections.
        place: Its place in there; None if all are taken, and it shares nothing.
        accept: From when on it accepts connections; only the first one does so before it is ready.
    """

    policy: str
    settings: Settings
    listener: int
    told: int
    tally: int
    place: int | None
    accept: Literal["at once", "when ready"]


@final
class Restarts:
    """When a worker that ended is started again: at once, then after pauses that double.

    >>> restarts = Restarts()
    >>> [restarts.pause(lived_s=1.0) for _ in range(4)], restarts.pause(lived_s=100.0)
    ([0.0, 0.5, 1.0, 2.0], 0.0)
    """

    LEAST_S, MOST_S, CALM_S = 0.5, 30.0, 60.0

    def __init__(self) -> None:
        """Begin without a failure."""
        self._failed = 0

    def pause(self, *, lived_s: float) -> float:
        """Return how long to wait, after a life of so many seconds; a long one makes up for all before it."""
        if lived_s >= self.CALM_S:
            self._failed = 0
        wait = min(self.LEAST_S * 2.0 ** (self._failed - 1), self.MOST_S) if self._failed else 0.0
        self._failed += 1
        return wait


def single_threaded() -> None:
    """Keep numerical libraries to one thread; they read this when they are imported."""
    for name in SINGLE_THREADED:
        os.environ.setdefault(name, "1")


def supervise(
    policy: Path, settings: Settings, listener: socket.socket, *, ready: Callable[[str], object] = print
) -> int:
    """Serve with several processes until a signal says to stop, and return the exit code.

    Args:
        policy: File of the policy.
        settings: How.
        listener: A socket that listens.
        ready: Told the policy's hash when all workers are ready.
    """
    set_up(settings)
    with tempfile.TemporaryDirectory(prefix="slatewise-") as private:
        if settings.state is None:
            settings = msgspec.structs.replace(settings, state=f"sqlite:{private}/state.db")
            log.info("workers share state in a file that is gone with them; --state takes one that stays")
        if settings.key is None:
            settings = msgspec.structs.replace(settings, key=token_urlsafe(32))
        meters = Path(private) / "meters"
        meters.mkdir()
        return _Fleet(policy, settings, listener, meters, ready).run()


class _Worker:
    """A process at work.

    Attributes:
        number: Its place among the workers.
        place: Its place in the tally of connections, which its successor does not have while both are there.
        process: The process.
        told: Where it says that it is ready.
        began: When it was started.
        ready: Whether it serves.
        leaving: Whether it was asked to end.
        replaces: The worker whose place it takes when it is ready.
    """

    def __init__(
        self, number: int, place: int | None, process: subprocess.Popen[bytes], told: int, began: float
    ) -> None:
        self.number, self.place, self.process, self.told, self.began = number, place, process, told, began
        self.ready = self.leaving = False
        self.replaces: _Worker | None = None


@final
class _Fleet:
    def __init__(
        self, policy: Path, settings: Settings, listener: socket.socket, meters: Path, ready: Callable[[str], object]
    ) -> None:
        self._policy, self._settings, self._listener, self._meters = policy, settings, listener, meters
        self._ready = ready
        self._workers: list[_Worker] = []
        self._due: dict[int, float] = {}
        self._restarts = [Restarts() for _ in range(settings.workers)]
        self._old: deque[_Worker] = deque()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._places = GENERATIONS * settings.workers
        self._tally = Tally(self._file.fileno(), places=self._places)
        self._selector = selectors.DefaultSelector()
        self._up = self._stopping = False
        self._code = 0

    def run(self) -> int:
        with self._signals() as woken:
            self._start(0, self._settings.rollout)  # who comes later goes on with what serves then
            while self._workers or (self._due and not self._stopping):
                now = monotonic()
                wait = max(min(self._due.values()) - now, 0.0) if self._due and not self._stopping else None
                for key, _ in self._selector.select(wait):
                    if key.fileobj is woken:
                        for number in woken.recv(256):
                            self._signalled(signal.Signals(number))
                    else:
                        self._heard(key.data)
                self._reap()
                if not self._stopping:
                    for number in [number for number, due in self._due.items() if due <= monotonic()]:
                        del self._due[number]
                        self._start(number)
        return self._code

    @contextmanager
    def _signals(self) -> Generator[socket.socket]:
        """Give a socket on which the numbers of signals arrive."""
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, lambda *_: None) for number in wanted}
        signal.set_wakeup_fd(waker.fileno())
        self._selector.register(woken, selectors.EVENT_READ)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(-1)
            for number, handled in before.items():
                signal.signal(number, handled)
            self._selector.close()
            woken.close()
            waker.close()

    def _start(self, number: int, rollout: Literal["resume", "file"] = "resume") -> _Worker:
        told, tell = os.pipe()
        listener, tally = self._listener.fileno(), self._file.fileno()
        taken = {worker.place for worker in self._workers}
        place = next((place for place in range(self._places) if place not in taken), None)
        environment = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
        environment[METERS_FOLDER] = str(self._meters)
        process = subprocess.Popen(
            [sys.executable, "-m", "slatewise.serve.process.worker"],
            stdin=subprocess.PIPE,
            stdout=sys.stderr,
            pass_fds=(listener, tell, tally),
            env=environment,
        )
        os.close(tell)
        accept = "when ready" if any(worker.ready for worker in self._workers) else "at once"
        settings = msgspec.structs.replace(self._settings, rollout=rollout)
        errand = Errand(
            policy=str(self._policy), settings=settings, listener=listener, told=tell, tally=tally, place=place,
            accept=accept,
        )  # fmt: skip
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(errand) + b"\n")
            process.stdin.flush()  # and open until the end: a worker whose parent is gone reads its end
        worker = _Worker(number, place, process, told, monotonic())
        self._workers.append(worker)
        self._selector.register(told, selectors.EVENT_READ, worker)
        return worker

    def _heard(self, worker: _Worker) -> None:
        """Read what a worker says: the hash of the policy that it serves, or nothing more, as it has ended."""
        said = os.read(worker.told, 256).decode().strip()
        self._selector.unregister(worker.told)
        os.close(worker.told)
        if not said:
            return
        worker.ready = True
        log.info("worker %d (process %d) is ready", worker.number, worker.process.pid)
        if worker.replaces is not None:
            self._end(worker.replaces, signal.SIGTERM)
            worker.replaces = None
            self._replace_next()
        if self._up or self._stopping:
            return
        if len(self._workers) == 1:
            for number in range(1, self._settings.workers):
                self._start(number)
        if all(one.ready for one in self._workers):
            self._up = True
            self._ready(said)
            notify("READY=1", os.environ)

    def _signalled(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            if not self._stopping:
                self._stop()
            for worker in self._workers:
                self._end(worker, number)
        elif number == signal.SIGHUP and self._up and not self._stopping:
            log.info("replacing all workers, one after another")
            at_it = {worker.replaces for worker in self._workers} - {None}
            self._old = deque(worker for worker in self._workers if not worker.leaving and worker not in at_it)
            if not at_it:  # else it goes on when the successor is ready
                self._replace_next()

    def _stop(self) -> None:
        self._stopping = True
        self._listener.close()  # the workers have it until they have drained
        notify("STOPPING=1", os.environ)

    def _replace_next(self) -> None:
        while self._old and not self._stopping:
            old = self._old.popleft()
            if old in self._workers and not old.leaving:
                self._start(old.number, "file").replaces = old
                return

    def _reap(self) -> None:
        for worker in [worker for worker in self._workers if worker.process.poll() is not None]:
            self._workers.remove(worker)
            if worker.place is not None:
                self._tally[worker.place] = NONE
            assert worker.process.stdin is not None
            with suppress(BrokenPipeError):
                worker.process.stdin.close()
            self._forget_gauges(worker.process.pid)
            if not self._stopping and not worker.leaving:
                self._lost(worker)

    def _lost(self, worker: _Worker) -> None:
        """A worker ended by itself."""
        code = worker.process.returncode
        if not self._up and not worker.ready:
            self._code = code if code > 0 else FAILED
            self._stop()
            for other in self._workers:
                self._end(other, signal.SIGTERM)
        elif worker.replaces is not None:
            log.error("the successor of worker %d ended with code %d; the old workers stay", worker.number, code)
            self._old.clear()
        else:
            pause = self._restarts[worker.number].pause(lived_s=monotonic() - worker.began)
            log.error("worker %d ended with code %d; it is started again in %g s", worker.number, code, pause)
            self._due[worker.number] = monotonic() + pause

    def _end(self, worker: _Worker, number: signal.Signals) -> None:
        worker.leaving = True
        worker.process.send_signal(number)

    def _forget_gauges(self, pid: int) -> None:
        """Leave what a process counted, and take away what it only showed."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, str(self._meters))
