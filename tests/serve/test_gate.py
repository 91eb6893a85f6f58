"""The gate: who is let in, and that nothing is read of who is not."""

import asyncio
import time

import httpx
import pytest

from slatewise.serve.http.app import application
from slatewise.serve.http.routes import PageRoute
from slatewise.serve.timing.gate import Gate, ShedError
from slatewise.serve.timing.pilot import Rating


def why(gate, **when):
    with pytest.raises(ShedError) as shed:
        gate.enter(**{"now": 10.0, "due": 11.0, "least_s": 0.1, **when})
    return shed.value.why


def test_who_would_be_late_is_turned_away_and_who_would_not_is_let_in():
    noted = []
    gate = Gate(noted=noted.append)
    gate.enter(now=10.0, due=10.1, least_s=0.09)
    assert why(gate, due=10.0) == "deadline"
    assert why(gate, least_s=1.1) == "crowd"
    assert noted == ["deadline", "crowd"]
    assert (gate.inside, gate.shed) == (1, {"deadline": 1, "crowd": 1})


def test_no_more_are_inside_than_there_is_room_for():
    gate = Gate(most=2)
    gate.enter(now=1.0, due=2.0, least_s=0.0)
    gate.enter(now=1.0, due=2.0, least_s=0.0)
    assert why(gate) == "crowd"
    gate.leave()
    gate.enter(now=1.0, due=2.0, least_s=0.0)
    assert gate.inside == 2


@pytest.fixture(scope="module")
def app(feed):
    return application(feed)


def service_of(app):
    return next(route.app.service for route in app.routes if isinstance(route.app, PageRoute))


@pytest.fixture(scope="module")
def ask(app):
    """Ask the application without a server around it."""

    async def one(method, route, **more):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://feed") as client:
            return await client.request(method, route, **more)

    return lambda *asked, **more: asyncio.run(one(*asked, **more))


def test_a_request_that_is_late_is_shed_before_its_body_is_read(ask):
    late = {"x-slatewise-start": str((time.time() - 30) * 1e3), "x-slatewise-budget-ms": "1000"}
    reply = ask("POST", "/v1/compose", content=b"not even JSON", headers=late)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    error = reply.json()["error"]
    assert (error["code"], error["got"]) == (503, "deadline")
    assert error["message"] == "service: must come before its deadline"


def test_a_request_with_less_time_than_the_cheapest_page_takes_is_too(ask, app):
    pilot = service_of(app).rollout.active.pilot
    now = time.monotonic()
    pilot.learn(Rating(0, 1.0), took_s=0.002, rest_s=0.001, latency_s=0.003, now=now)
    brief, enough = ({"x-slatewise-budget-ms": budget} for budget in ("1", "20000"))
    assert ask("POST", "/v1/compose", content=b"not even JSON", headers=brief).status_code == 503
    assert ask("POST", "/v1/compose", content=b"not even JSON", headers=enough).status_code == 400


@pytest.mark.parametrize("start", [9e15, -5, 0])
def test_a_start_that_no_clock_can_have_meant_is_not_believed(ask, app, start):
    gate = service_of(app).gate
    before = gate.unbelieved
    reply = ask("POST", "/v1/compose", content=b"not even JSON", headers={"x-slatewise-start": str(start)})
    assert reply.status_code == 400
    assert gate.unbelieved == before + 1


def test_what_composes_no_page_is_not_behind_the_gate(ask):
    assert ask("GET", "/healthz", headers={"x-slatewise-budget-ms": "0.0001"}).status_code == 200


def test_a_request_that_fails_leaves_too(ask, app):
    for _ in range(3):
        assert ask("POST", "/v1/compose", content=b"{").status_code == 400
    assert service_of(app).gate.inside == 0


def test_a_line_break_after_a_path_leads_around_no_gate(ask, app):
    assert ask("POST", "/v1/compose%0A", content=b"not even JSON").status_code == 400
