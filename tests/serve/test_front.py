"""The front: what it finds by itself is answered as it is where a router finds it."""

import asyncio
import json
import logging

import httpx
import pytest

from bodies import BODY
from slatewise.serve.events.seal import Seal
from slatewise.serve.http.app import assembled
from slatewise.serve.http.front import Front
from slatewise.serve.http.routes import page_routes
from slatewise.serve.limits import Limits
from slatewise.serve.log.journal import Journal
from slatewise.serve.process.meters import Meters
from slatewise.serve.rollout.rollout import Deployed, Rollout
from slatewise.serve.service import Service
from slatewise.serve.state.shared import Shared

TODAY = 1.8e9
LATE = {"x-slatewise-start": f"{(TODAY - 30) * 1e3}", "x-slatewise-budget-ms": "1000"}
MANY = json.dumps({"requests": [BODY, {**BODY, "slots": 0}]})
ONE = json.dumps(BODY)


@pytest.fixture(scope="module")
def service(feed):
    parts = {"shared": Shared(), "journal": Journal(), "meters": Meters(), "seal": Seal(b"0" * 16)}
    return Service(Rollout(Deployed(feed.policy, Limits())), **parts, today=lambda: TODAY)


@pytest.fixture(scope="module")
def apps(service):
    """The router alone, and a front around it."""
    limits = Limits(body_bytes=10_000)
    pages = page_routes(service, limits)
    app, front = assembled(service, limits, pages=pages), Front(service.meters)
    front.open(app, pages=pages, policy=lambda: service.rollout.active.hash, spans=None)
    return app, front


def answers(apps, method, path, **more):
    async def one(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:
            reply = await client.request(method, path, **more)
            return reply.status_code, sorted(reply.headers.items()), reply.content

    return [asyncio.run(one(app)) for app in apps]


@pytest.mark.parametrize(
    ("code", "method", "path", "body", "headers"),
    [
        (200, "POST", "/v1/compose", ONE, {}),
        (200, "POST", "/v1/compose?costs=true", ONE, {}),
        (200, "POST", "/v1/compose%0A", ONE, {}),
        (307, "POST", "/v1/compose/", ONE, {}),
        (200, "POST", "/v1/compose/batch", MANY, {}),
        (200, "POST", "/v1/explain?costs=true", ONE, {}),
        (400, "POST", "/v1/explain?costs=yes", ONE, {}),
        (400, "POST", "/v1/compose", "{", {}),
        (400, "POST", "/v1/compose", ONE, {"x-slatewise-budget-ms": "soon"}),
        (406, "POST", "/v1/compose", ONE, {"accept": "text/html"}),
        (413, "POST", "/v1/compose", "x" * 10_001, {}),
        (415, "POST", "/v1/compose", ONE, {"content-type": "text/html"}),
        (503, "POST", "/v1/compose", "{", LATE),
        (405, "GET", "/v1/compose", "", {}),
        (405, "PUT", "/v1/compose/batch", ONE, {}),
        (404, "POST", "/v1/composer", ONE, {}),
        (200, "GET", "/openapi.json", "", {}),
    ],
)
def test_a_front_and_a_router_answer_alike(apps, service, code, method, path, body, headers):
    by_router, by_front = answers(apps, method, path, content=body, headers=headers)
    assert by_front == by_router
    assert by_front[0] == code
    assert service.gate.inside == 0


def test_a_fault_of_ours_is_told_to_whoever_is_around_and_kept_from_the_client(apps, service, monkeypatch, caplog):
    def fail(*_, **__):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(service.rollout, "taken", fail)
    with caplog.at_level(logging.ERROR):
        by_router, by_front = answers(apps, "POST", "/v1/compose", content=ONE)
    assert by_front == by_router
    assert by_front[0] == 500
    assert b"secret" not in by_front[2]
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError] * 2
    assert service.gate.inside == 0
    transport = httpx.ASGITransport(apps[0])
    with pytest.raises(ZeroDivisionError):
        asyncio.run(httpx.AsyncClient(transport=transport, base_url="http://feed").post("/v1/compose", content=ONE))


def test_a_front_asks_no_router_for_pages(apps, monkeypatch):
    _, front = apps
    monkeypatch.setattr(front, "_app", lambda *_: pytest.fail("it was asked"))
    (reply,) = answers([front], "POST", "/v1/compose", content=ONE)
    assert reply[0] == 200
