"""Real servers on free ports."""

import threading
import time

import httpx
import pytest
import uvicorn

from bodies import patient
from redis_server import PROGRAM, RedisServer
from slatewise.serve.http.app import application

POLICY = "golden/policy.yaml"


@pytest.fixture(scope="session")
def feed(pytestconfig):
    return patient(pytestconfig.rootpath / "tests" / POLICY)


@pytest.fixture(scope="session")
def client(feed):
    server = uvicorn.Server(uvicorn.Config(application(feed), port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture
def redis_server(tmp_path):
    """A Redis server of the test's own."""
    if PROGRAM is None:
        pytest.skip("needs the program redis-server")
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory):
    """A Redis server that tests share; each takes a tenant of its own."""
    if PROGRAM is None:
        pytest.skip("needs the program redis-server")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()
