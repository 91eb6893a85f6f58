"""A service in processes of its own, started as operators start it, and clients that never stop asking."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import uvicorn

POLICY = str(Path(__file__).parents[1] / "golden" / "policy.yaml")
ROWS = [
    {"item_id": f"i{row}", "line": "posts", "p_click": row / 10, "p_share": 0.1, "local": False} for row in range(9)
]
BODY = json.dumps({"request_id": "r", "slots": 4, "candidates": ROWS})
PATIENCE_S = 120.0
"""For whatever has to happen; a machine may be busy, and kernels may have to be compiled."""


def wait_for(seen, what):
    """Wait until `seen()` gives something, and return that."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = seen()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def patient(folder):
    """Write a policy whose pages have all the time of a busy machine, and return its file."""
    file = Path(folder) / "policy.yaml"
    file.write_text(Path(POLICY).read_text() + "\nserve: {budget_ms: 60000}\n")
    return file


@contextlib.contextmanager
def listening(app, headers=None):
    """Serve an application on a free port, and give a client of it."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, "a server")
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, headers=headers) as client:
        yield client
    server.should_exit = True
    thread.join(timeout=10)


class Living:
    """`slatewise serve` on a socket that is open before it starts."""

    def __init__(self, *options, env=None, policy=None):
        self._folder = tempfile.TemporaryDirectory()
        policy = patient(self._folder.name) if policy is None else policy
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        fd = str(self.listener.fileno())
        command = [sys.executable, "-m", "slatewise.cli", "serve", str(policy), "--fd", fd, *options]
        self.process = subprocess.Popen(
            command, pass_fds=(int(fd),), stdout=self._said, stderr=self._said, env={**os.environ, **(env or {})}
        )
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._said.close()
        self._folder.cleanup()

    def said(self):
        """Return what it wrote."""
        self._said.seek(0)
        return self._said.read().decode()

    def lines(self):
        """Return what it logged."""
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]

    def ask(self, path, body=None, method=None, headers=None):
        """Return status, headers and body of a reply, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            headers = {"content-type": "application/json", **(headers or {})}
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()

    def until_ready(self):
        """Wait until it is ready."""

        def ready():
            assert self.process.poll() is None, self.said()
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.ask("/readyz")[0] == 200

        wait_for(ready, "readiness")
        return self

    def until_up(self):
        """Wait until all of its workers are ready."""
        wait_for(lambda: "serving policy" in self.said() or self.process.poll() is not None, "workers")
        assert self.process.poll() is None, self.said()
        return self

    def children(self):
        """Return the processes below it."""
        return [
            int(one) for one in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def stop(self, number=signal.SIGTERM):
        """Ask it to end, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


class Hammer:
    """Clients that ask on connections which they keep, until they are told to go elsewhere."""

    def __init__(self, living, clients=6):
        self.living = living
        self.pages = 0
        self.failures = []
        self.moved_on = 0
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_for(lambda: self.pages > 5 * len(self._threads) or self.failures, "pages")
        return self

    def __exit__(self, *_):
        self._enough.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def until_moved_on(self):
        """Wait until every client was told to go elsewhere, and went."""
        wait_for(lambda: self.moved_on + len(self.failures) >= len(self._threads), "clients to go elsewhere")

    def _ask_on(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.living.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            while not self._enough.is_set():
                try:
                    connection.request("POST", "/v1/compose", BODY, {"content-type": "application/json"})
                    reply = connection.getresponse()
                    page = reply.read()
                except Exception as error:
                    with self._lock:
                        self.failures.append(repr(error))
                    return
                with self._lock:
                    self.pages += 1
                    if reply.status != 200 or not json.loads(page)["items"]:
                        self.failures.append((reply.status, page))
                if reply.getheader("connection") == "close":
                    with self._lock:
                        self.moved_on += 1
                    return
