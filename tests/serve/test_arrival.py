"""Arrivals: a request is never said to be younger than it is by more than is promised."""

import asyncio
import socket
import threading
import time

import pytest
import uvicorn

from slatewise.serve.process.protocol import protocol
from slatewise.serve.timing.arrival import ARRIVED, BEAT_S, SLACK_S, Turns, said

PROMISED_S = BEAT_S + SLACK_S


class Blocked:
    """A service that blocks its loop when asked to, and tells what it took as each request's arrival."""

    def __init__(self):
        self.arrived, self.connections = [], []
        http = protocol(Turns(), time.monotonic)
        config = uvicorn.Config(
            self.app, "127.0.0.1", 0, http=http, interface="asgi3", lifespan="off", log_level="warning"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started and self.thread.is_alive():
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    async def app(self, scope, receive, send):
        self.loop = asyncio.get_running_loop()
        self.arrived.append(scope[ARRIVED])
        time.sleep({"/work": 0.1, "/short": 0.004}.get(scope["path"], 0))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def block(self, seconds):
        """Keep the loop busy with what is no request; return when it is."""
        began = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (began.set(), time.sleep(seconds)))
        assert began.wait(20)

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.connections.append(connection)
        self.ask(connection, "/")
        return connection

    def ask(self, connection, path):
        """Send a request, wait for its reply, and return when it was sent."""
        sent = self.send(connection, path)
        self.read(connection)
        return sent

    @staticmethod
    def send(connection, path):
        sent = time.monotonic()
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        return sent

    @staticmethod
    def read(connection):
        found = b""
        while not found.endswith(b"\r\n\r\nok"):
            found += connection.recv(1000) or pytest.fail("the service hung up")


@pytest.fixture
def service():
    service = Blocked()
    yield service
    for connection in service.connections:
        connection.close()
    service.server.should_exit = True
    service.thread.join(10)


def test_data_that_came_while_the_loop_worked_is_as_old_as_its_last_look(service):
    one, two = service.connect(), service.connect()
    service.send(one, "/work")
    time.sleep(0.03)
    sent = service.ask(two, "/")
    assert service.arrived[-1] <= sent + PROMISED_S
    assert time.monotonic() - service.arrived[-1] > 0.06


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.03])
def test_data_that_came_while_anything_else_kept_the_loop_is_too(service, wait_s):
    connection = service.connect()
    for _ in range(3):
        time.sleep(0.02)
        service.block(0.08)
        time.sleep(wait_s)
        sent = service.ask(connection, "/")
        assert service.arrived[-1] <= sent + PROMISED_S


def test_a_loop_that_waits_says_that_requests_just_came(service):
    connection = service.connect()
    overstated = []
    for _ in range(30):
        time.sleep(0.01)
        sent = service.ask(connection, "/")
        assert service.arrived[-1] <= sent + PROMISED_S
        overstated.append(sent - service.arrived[-1])
    assert sorted(overstated)[15] < PROMISED_S


def test_work_that_is_over_makes_nobody_older(service):
    one, two = service.connect(), service.connect()
    overstated = []
    for number in range(60):
        service.ask(one, "/short")
        time.sleep(0.001 + number % 10 * 0.0005)
        sent = service.ask(two, "/")
        overstated.append(sent - service.arrived[-1])
    assert sorted(overstated)[48] < 0.001


@pytest.mark.parametrize(
    ("events", "arrived"),
    [
        ([("data", 1.0)], 1.0),
        ([("data", 1.0), ("data", 1.0002)], 1.0),  # one look
        ([("data", 1.0), ("replied", 1.05), ("data", 1.0501)], 1.0),  # worked since the look before
        ([("data", 1.0), ("replied", 1.05), ("data", 1.06)], 1.06),  # waited since
        ([("data", 1.0), ("replied", 1.1), ("data", 1.1), ("replied", 1.2), ("data", 1.2)], 1.1),
        ([("beat", 1.0), ("data", 1.002)], 1.002),
        ([("beat", 1.0), ("data", 1.02)], 1.0),  # the timer is late
        ([("beat", 1.0), ("beat", 1.02), ("data", 1.0201)], 1.0),  # it was late, and nobody looked in between
        ([("beat", 1.0), ("data", 1.0199), ("beat", 1.02), ("replied", 1.03), ("data", 1.0301)], 1.0199),
        ([("beat", 1.0), ("beat", None), ("data", 1.02)], 1.02),
        ([("beat", 1.0), ("data", 1.0049), ("replied", 1.0062), ("beat", 1.0062), ("data", 1.0063)], 1.0049),
        (
            [("beat", 1.0), ("data", 1.0049), ("replied", 1.0062), ("beat", 1.007), ("looked", None), ("data", 1.008)],
            1.008,
        ),
        ([("beat", 1.0), ("data", 1.0049), ("replied", 1.04), ("beat", 1.0401), ("data", 1.043)], 1.0049),  # and more
        ([("beat", 1.0), ("data", 1.0049), ("replied", 1.04), ("data", 1.043)], 1.0049),
        ([("beat", 1.0), ("beat", 1.03), ("data", 1.0301), ("data", 1.0302)], 1.0),  # one look, after something else
        ([("beat", 1.0), ("data", 1.03), ("data", 1.0301)], 1.0),
        ([("beat", 1.0), ("beat", 1.03), ("data", 1.0301), ("data", 1.032)], 1.0),  # not seen to be another look
        ([("beat", 1.0), ("beat", 1.03), ("data", 1.0301), ("looked", None), ("data", 1.032)], 1.032),
        ([("beat", 1.0), ("data", 1.001), ("replied", 1.1), ("data", 1.1001), ("data", 1.102)], 1.001),
        ([("beat", 1.0), ("beat", 1.03), ("looked", None), ("data", 1.031)], 1.031),  # it looked, and there was nobody
    ],
)
def test_turns_of_a_loop(events, arrived):
    turns, found = Turns(), None
    for name, now in events:
        found = turns.looked() if name == "looked" else getattr(turns, name)(now)
    assert found == arrived


def test_headers_say_a_budget_and_an_age_or_nothing():
    start = b"999000"
    assert said({b"host": b"x", b"x-slatewise-budget-ms": b"25", b"x-slatewise-start": start}, 1000.0) == (25, 1)
    assert said({b"x-slatewise-budget-ms": b"-1", b"x-slatewise-start": b"soon"}, 1000.0) == (None, 0)
    assert said({b"x-slatewise-budget-ms": b"nan"}, 1000.0) == (None, 0)
