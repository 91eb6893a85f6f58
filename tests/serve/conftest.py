"""Real servers on free ports."""

import pytest

from bodies import patient
from redis_server import PROGRAM, RedisServer
from serve.living import listening
from slatewise.serve.http.app import application

POLICY = "golden/policy.yaml"


@pytest.fixture(scope="session")
def feed(pytestconfig):
    return patient(pytestconfig.rootpath / "tests" / POLICY)


@pytest.fixture(scope="session")
def client(feed):
    with listening(application(feed)) as client:
        yield client


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
