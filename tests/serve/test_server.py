"""One process of the service: it says when it is ready, and leaves without breaking its word."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from serve.living import BODY, POLICY, Hammer, Living, wait_for
from slatewise import RequestError
from slatewise.serve.process import listener
from slatewise.serve.process.listener import address, listen, notify
from slatewise.serve.process.settings import Settings, load


@pytest.fixture(scope="module")
def served():
    """A service that is ready, what it said while it started, and how it ended."""
    with Living("--drain-s", "0.5") as living:
        living.early = living.ask("/readyz"), living.ask("/healthz"), living.ask("/v1/compose", BODY)
        yield living.until_ready()


def test_it_says_that_it_lives_and_is_not_ready_while_it_starts(served):
    ready, alive, page = served.early
    assert (ready[0], json.loads(ready[2])["status"], ready[1]["retry-after"]) == (503, "starting", "1")
    assert (alive[0], json.loads(alive[2])["status"]) == (200, "ok")
    error = json.loads(page[2])["error"]
    assert (page[0], error["code"], error["message"]) == (503, 503, "service: is starting")
    assert page[1]["retry-after"] == "1"


def test_ready_means_that_a_page_is_there_at_once(served):
    code, _, page = served.ask("/v1/compose", BODY)
    assert (code, len(json.loads(page)["items"])) == (200, 4)
    assert json.loads(page)["policy"] == json.loads(served.ask("/readyz")[2])["policy"]
    metrics = served.ask("/metrics")[2].decode()
    assert 'slatewise_shed_total{why="starting"} 1.0' in metrics
    assert "slatewise_ready_workers 1.0" in metrics
    assert "_created" not in metrics


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_can_only_be_read_says_so(served, path):
    code, headers, body = served.ask(path, method="DELETE")
    assert (code, headers["allow"]) == (405, "GET, HEAD")
    assert json.loads(body)["error"]["got"] == "DELETE"
    assert served.ask(path, method="HEAD")[::2] == (200, b"")


def test_what_is_refused_is_counted_by_its_code(served):
    assert served.ask("/v1/compose", "{")[0] == 400
    assert served.ask("/nowhere")[0] == 404
    metrics = served.ask("/metrics")[2].decode()
    assert 'slatewise_refused_total{code="400"} 1.0' in metrics
    assert 'slatewise_refused_total{code="404"} 1.0' in metrics


def test_a_service_that_is_stopped_under_load_fails_no_request(served):
    with Hammer(served) as hammer:
        served.process.send_signal(signal.SIGTERM)
        wait_for(lambda: hammer.moved_on, "the first client to go elsewhere")
        ready = served.ask("/readyz")
        assert (ready[0], json.loads(ready[2])["status"], ready[1]["connection"]) == (503, "draining", "close")
        assert served.ask("/v1/compose", BODY)[0] == 200, "whoever does not know yet is served"
        hammer.until_moved_on()
        assert served.process.wait(60) == 0
    assert not hammer.failures
    assert hammer.moved_on == 6
    assert [line["message"] for line in served.lines()][-2:] == ["draining for 0.5 s", "stopped"]
    assert not [line for line in served.lines() if line["level"] in ("WARNING", "ERROR")]
    with pytest.raises(ConnectionError):
        served.ask("/healthz")


def test_whoever_sits_at_a_terminal_does_not_wait_for_a_load_balancer():
    with Living("--drain-s", "3000") as living:
        living.until_ready()
        assert living.stop(signal.SIGINT) == 0


def test_a_service_that_is_stopped_while_it_starts_ends():
    with Living() as living:
        assert living.ask("/healthz")[0] == 200
        assert living.stop() == 0


STUCK = """
import asyncio, os, signal, socket, time
from types import SimpleNamespace
from slatewise.serve.process import server
from slatewise.serve.process.assembly import Parts
from slatewise.serve.process.settings import Settings

async def first():
    asyncio.ensure_future(asyncio.to_thread(time.sleep, 600))
    os.kill(os.getpid(), signal.SIGTERM)

policy = SimpleNamespace(hash="h")
server.put_together = lambda *_: Parts(None, {}, SimpleNamespace(active=policy), None, first, (), ())
server.serve(policy, Settings(drain_s=0.0, grace_s=0.2), socket.create_server(("127.0.0.1", 0)))
"""


def test_work_aside_that_takes_long_keeps_no_service_from_ending():
    assert subprocess.run([sys.executable, "-c", STUCK], timeout=120, check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "--host: host: must be an address of this machine only, as there is no token"),
        (["--fd", "1"], "fd: must be an open socket, got 1"),
        (["--log-level", "loud"], "--log-level: log_level: must be one of"),
        (["--settings", "nowhere.yaml"], "settings: must be a readable text file, got nowhere.yaml"),
    ],
)
def test_what_it_cannot_do_is_refused_before_it_listens(options, told):
    command = [sys.executable, "-m", "slatewise.cli", "serve", POLICY, "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr.startswith(told)) == (1, True), done.stderr


def test_a_socket_that_was_opened_by_systemd_is_taken(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as opened:
        monkeypatch.setattr(listener, "FIRST_PASSED", os.dup(opened.fileno()))
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        with listen(Settings(), environ=environ) as taken:
            assert address(taken).endswith(f":{opened.getsockname()[1]}")
        with listen(Settings(port=0), environ={**environ, "LISTEN_PID": "1"}) as other:
            assert address(other) != address(opened), "it was meant for another process"


def test_a_socket_that_others_reach_needs_a_token_too():
    with socket.create_server(("0.0.0.0", 0)) as wide:
        with pytest.raises(RequestError, match="fd: must be an address of this machine only"):
            listen(Settings(), fd=os.dup(wide.fileno()), environ={})
        settings = load(environ={"SLATEWISE_TOKEN": "long-enough-a-token"}, flags={})
        listen(settings, fd=os.dup(wide.fileno()), environ={}).close()


def test_systemd_is_told(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert told.recv(64) == b"READY=1"
    notify("READY=1", {})
