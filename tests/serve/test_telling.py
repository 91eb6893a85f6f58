"""The route of events over a real socket: from the token of a page to what became of its events."""

import asyncio
import gzip
import json
import time

import httpx
import pytest
from starlette.applications import Starlette

from slatewise.serve.events.events import CLOUD_EVENT
from slatewise.serve.events.intake import FullError
from slatewise.serve.http.telling import PATH, routes

ROW = {"line": "posts", "p_click": 0.5, "p_share": None, "author": "x", "local": False}
BODY = {"request_id": "events", "slots": 2, "candidates": [{**ROW, "item_id": f"i{row}"} for row in range(3)]}


@pytest.fixture
def event(client):
    """A click on a page that was just served."""
    page = client.post("/v1/compose", json=BODY).json()
    item = page["items"][0]["item_id"]
    return {"source": "test", "type": "click", "time": time.time(), "page": page["served"]["page"], "item_id": item}


def test_events_of_a_page_are_counted_once(client, event):
    told = {"events": [{**event, "id": "a"}, {**event, "id": "b", "page": "forged"}]}
    first, again = (client.post(PATH, json=told) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    found = [[reply.json()[name] for name in ("accepted", "duplicates", "unknown")] for reply in (first, again)]
    assert found == [[1, 0, 1], [0, 1, 1]]
    assert first.json()["uncounted"] == [{"place": 1, "id": "b", "why": "unknown"}]


def test_an_event_may_come_in_its_envelope(client, event):
    cloud = {"specversion": "1.0", "id": "c", "source": "test", "type": "com.example.click"}
    cloud |= {"time": "2026-01-01T00:00:00Z", "subject": event["item_id"], "data": {"page": event["page"]}}
    reply = client.post(PATH, json=cloud, headers={"content-type": CLOUD_EVENT})
    assert (reply.status_code, reply.json()["late"]) == (200, 1)


def test_events_may_be_packed(client, event):
    packed = gzip.compress(json.dumps({"events": [{**event, "id": "packed"}]}).encode())
    reply = client.post(PATH, content=packed, headers={"content-encoding": "gzip"})
    assert (reply.status_code, reply.json()["accepted"]) == (200, 1)


@pytest.mark.parametrize(
    ("ask", "code", "message"),
    [
        ({"json": {"events": [{"id": "a"}]}}, 400, "events[0].source: must be given"),
        ({"content": b"[]", "headers": {"content-type": "text/plain"}}, 415, "content-type: must be one of"),
        ({"content": b"{}", "headers": {"content-encoding": "br"}}, 415, "content-encoding: must be one of identity"),
        ({"content": b"{}", "headers": {"content-encoding": "gzip"}}, 400, "body: must be gzip"),
        ({"content": b" " * 2_000_000}, 413, "body: must have at most"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(client, ask, code, message):
    reply = client.post(PATH, **ask)
    assert reply.status_code == code
    assert reply.json()["error"]["message"].startswith(message)


class Full:
    """An intake without room."""

    async def take(self, events):
        raise FullError(2.0)


def test_without_room_callers_keep_their_events_and_come_again():
    async def read(request):
        return await request.body()

    async def told():
        app = Starlette(routes=routes(Full(), read=read, authorised=lambda request: None))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.post(PATH, json={"events": []})

    reply = asyncio.run(told())
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")


def test_nobody_tells_events_who_may_not():
    def refuse(request):
        raise PermissionError

    async def told():
        app = Starlette(routes=routes(Full(), read=None, authorised=refuse))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            await client.post(PATH, json={"events": []})

    with pytest.raises(PermissionError):
        asyncio.run(told())
