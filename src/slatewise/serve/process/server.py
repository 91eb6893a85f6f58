"""Server: one process of the service, from its first breath to its last.

    listening -> policy compiled, models loaded -> garbage frozen -> ready -> SIGTERM -> draining -> closed, code 0

It listens before it is ready, so that readiness can be asked. On SIGTERM it tells so (`/readyz` is 503, connections are
closed after their reply), serves on for `drain_s`, stops listening, finishes what it was asked, and has its parts write
down what they hold. SIGINT, and a second SIGTERM, do not wait for the load balancer.

References:
    Burns & Oppenheimer (2016), "Design Patterns for Container-based Distributed Systems", section 4: readiness and
    graceful termination as what a process owes to whoever runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, Literal, TypeAlias, TypeVar, cast, final

import uvicorn
from prometheus_client import disable_created_metrics

from slatewise.core.policy import Policy
from slatewise.serve.http.front import Front
from slatewise.serve.process import garbage
from slatewise.serve.process.assembly import Parts, put_together
from slatewise.serve.process.listener import BACKLOG, notify
from slatewise.serve.process.logs import set_up
from slatewise.serve.process.meters import Meters
from slatewise.serve.process.protocol import protocol
from slatewise.serve.process.settings import Settings
from slatewise.serve.process.sharing import Acceptor, Seat
from slatewise.serve.timing.arrival import Turns

SWITCH_S = 0.001
"""How long a thread beside the requests may compute before the event loop has its turn; Python's own is 5 ms."""
LINGER_S = 1.0
"""Between listening no more and closing connections on which nothing was asked: clients that ask on use theirs up."""
BACKSTOP = 10_000
"""Connections or requests at once beyond which uvicorn refuses by itself; the service's own limit is far below."""

_T = TypeVar("_T")

Accept: TypeAlias = Literal["at once", "when ready"]

log = logging.getLogger("slatewise.serve")


def serve(
    policy: Policy,
    settings: Settings,
    listener: socket.socket,
    *,
    accept: Accept = "at once",
    seat: Seat | None = None,
    ready: Callable[[str], object] = print,
) -> None:
    """Serve a policy until a signal says to stop.

    Args:
        policy: The policy.
        settings: How.
        listener: A socket that listens; it is closed at the end.
        accept: From when on connections are accepted: `at once`, so that readiness can be asked, or `when ready`, if
            others accept from the same socket meanwhile.
        seat: Where it shares connections with them.
        ready: Told the policy's hash when requests are served from now on.

    Raises:
        PolicyError: Some rung of the policy is no policy.
        RequestError: A setting does not fit.
    """
    set_up(settings)
    log.info("policy %s: compiling, loading models and warming kernels; not ready until then", policy.hash)
    sys.setswitchinterval(SWITCH_S)
    disable_created_metrics()
    meters = Meters()
    life = _Life(settings, listener, Front(meters, policy.hash), meters, seat)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(life.run(lambda: put_together(policy, settings, meters), accept, ready))
        if any(thread.is_alive() for thread in life.threads):  # before the runner waits for what is under way
            sys.stderr.flush()
            os._exit(0)  # what does not end in its time must not keep the process


def configured(front: Front, settings: Settings, counted: Callable[[int], object] = bool) -> uvicorn.Config:
    """Return how a front is served; errors are logged where everything is, `counted` is told of connections."""
    return uvicorn.Config(
        front,
        http=protocol(Turns(), monotonic, counted),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=BACKSTOP,
        backlog=BACKLOG,
        timeout_keep_alive=round(settings.keep_alive_s),
        timeout_graceful_shutdown=max(round(settings.grace_s), 1),
    )


@final
class _Uvicorn(uvicorn.Server):
    """uvicorn, which leaves signals to us, and is slow to close connections.

    Attributes:
        seat: Where this process shares connections with others; None if it is alone.
        accept_s: How long it may take until everybody who waits to be accepted is.
        linger_s: How long it then waits for requests on connections that are open; replies close theirs meanwhile.
    """

    seat: Seat | None = None
    accept_s = linger_s = 0.0
    _acceptors: Sequence[Acceptor] = ()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.seat is None or sockets is None:
            await super().startup(sockets)
            return
        kind: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        make = partial(kind, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        self._acceptors = [Acceptor(listener, make, self.seat) for listener in sockets]
        self.servers = cast("Any", self._acceptors)
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        until = monotonic() + self.accept_s
        with selectors.DefaultSelector() as waiting:
            for listener in sockets or []:
                waiting.register(listener, selectors.EVENT_READ)
            while waiting.select(0) and monotonic() < until:
                await asyncio.sleep(0)  # one is accepted each time the loop comes round
        for server in self.servers:
            server.close()
        for acceptor in self._acceptors:
            await acceptor.wait_closed()  # what was accepted has begun then
        for listener in sockets or []:
            listener.close()
        until = monotonic() + self.linger_s
        while self.server_state.connections and monotonic() < until:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # what has arrived is read before that
        await super().shutdown(sockets)


@final
class _Life:
    """What a process goes through."""

    def __init__(
        self, settings: Settings, listener: socket.socket, front: Front, meters: Meters, seat: Seat | None
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._front = front
        self._meters = meters
        self._asked = asyncio.Event()  # to stop
        self._hurried = asyncio.Event()  # not to wait for the load balancer
        self.threads: list[threading.Thread] = []
        self._aside = ThreadPoolExecutor(thread_name_prefix="aside")
        self._server = _Uvicorn(configured(front, settings, bool if seat is None else seat.note))
        self._server.seat = seat

    async def run(self, build: Callable[[], Parts], accept: Accept, ready: Callable[[str], object]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(self._aside)
        for name, called in (("SIGTERM", self._stop), ("SIGINT", self._stop_now), ("SIGHUP", self._hang_up)):
            loop.add_signal_handler(getattr(signal, name), called)
        serving = self._accepting() if accept == "at once" else None
        try:
            parts = await self._unless_stopped(self._in_thread(build))
            if parts is not None:
                serving = serving or self._accepting()
                await self._serve(parts, ready)
        finally:
            self._server.should_exit = True
            if serving is not None:
                await serving
        if parts is not None:
            await self._close(parts)

    def _accepting(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._server.serve(sockets=[self._listener]))

    async def _serve(self, parts: Parts, ready: Callable[[str], object]) -> None:
        """Serve until asked to stop, and then as long as somebody may not know of it."""
        await parts.first()
        garbage.settle()
        self._beside = [asyncio.ensure_future(self._watched(run)) for run in parts.beside]
        meters, front = self._meters, self._front
        meters.follow("slatewise_in_flight", lambda: front.in_flight)
        meters.follow("slatewise_ready_workers", lambda: front.phase == "ready")
        front.open(parts.app, pages=parts.pages, policy=lambda: parts.rollout.active.hash, spans=parts.spans)
        ready(parts.rollout.active.hash)
        notify("READY=1", os.environ)
        await self._asked.wait()
        front.drain()
        if self._server.seat is not None:
            self._server.seat.leave()
        notify("STOPPING=1", os.environ)
        log.info("draining for %g s", self._settings.drain_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), self._settings.drain_s)
        if not self._hurried.is_set():
            self._server.accept_s, self._server.linger_s = self._settings.grace_s, LINGER_S

    async def _close(self, parts: Parts) -> None:
        """Let every part write what it holds, within a limit of time for each."""
        for task in self._beside:
            task.cancel()
        await self._within("work beside requests", asyncio.gather(*self._beside, return_exceptions=True))
        for closer in parts.closers:
            close: Callable[[], Any] = closer.close
            waits = inspect.iscoroutinefunction(close)
            await self._within(closer.name, close() if waits else self._in_thread(close))
        await self._within("work aside", self._in_thread(self._aside.shutdown))
        log.info("stopped")

    async def _within(self, name: str, work: Awaitable[Any]) -> None:
        try:
            await asyncio.wait_for(work, self._settings.grace_s)
        except TimeoutError:
            log.error("%s: took longer than %g s to close", name, self._settings.grace_s)
        except Exception:
            log.exception("%s: failed to close", name)

    async def _watched(self, run: Callable[[], Awaitable[None]]) -> None:
        """Keep something going beside the requests, whatever befalls it."""
        while True:
            try:
                return await run()
            except Exception:
                log.exception("work beside the requests failed, and begins again")
                await asyncio.sleep(1.0)

    async def _unless_stopped(self, building: asyncio.Future[Parts]) -> Parts | None:
        asked = asyncio.create_task(self._asked.wait())
        await asyncio.wait((building, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        return building.result() if building.done() else None

    def _in_thread(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """Return what comes of work in a thread that the process does not wait for when it ends."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[_T] = loop.create_future()

        def tell(told: Callable[[Any], None], value: Any) -> None:
            if not outcome.done():
                told(value)

        def run() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                try:
                    done = work()
                except BaseException as error:
                    loop.call_soon_threadsafe(tell, outcome.set_exception, error)
                else:
                    loop.call_soon_threadsafe(tell, outcome.set_result, done)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()
        return outcome

    def _stop(self) -> None:
        if self._asked.is_set():
            self._hurried.set()
        self._asked.set()

    def _stop_now(self) -> None:
        self._hurried.set()
        self._asked.set()

    def _hang_up(self) -> None:
        log.warning(
            "SIGHUP changes nothing here; policies are changed over HTTP, and workers by the process above them"
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:
        return None  # Windows has none
    return uvloop.new_event_loop
