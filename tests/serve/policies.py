"""Policies, requests and a service for tests of rollouts: what several of them need."""

import asyncio
import contextlib
import json
import threading
import time

import httpx
import uvicorn
from starlette.exceptions import HTTPException

from slatewise import Policy
from slatewise.core.document import Document
from slatewise.ladder import Conditions
from slatewise.serve.events.seal import Seal
from slatewise.serve.http.app import assembled
from slatewise.serve.http.body import body_of
from slatewise.serve.http.policies import routes
from slatewise.serve.http.routes import page_routes
from slatewise.serve.limits import Limits
from slatewise.serve.log.journal import Journal
from slatewise.serve.process.meters import Meters
from slatewise.serve.rollout.desk import Desk
from slatewise.serve.rollout.registry import Registry
from slatewise.serve.rollout.rollout import Deployed, Rollout
from slatewise.serve.rollout.shadow import Asked, Ring
from slatewise.serve.service import Service
from slatewise.serve.state.shared import Shared
from slatewise.serve.state.store.contract import StoreError
from slatewise.serve.state.store.memory import MemoryStore
from slatewise.stages import STAGES

PLAIN = {
    "version": 1,
    "lines": ["posts", "ads"],
    "columns": {"utility": "number"},
    "slots": 3,
    "serve": {"budget_ms": 60_000},
    "compose": {"solve": {}},
}
NO_AD_ON_TOP = {"name": "no ad on top", "group": {"line": "ads"}, "first": 1, "at_most": 0}
BY_UTILITY = ["ad", "post 1", "post 2"]
ROWS = [
    {"item_id": "ad", "line": "ads", "utility": 4.0},
    {"item_id": "post 1", "line": "posts", "utility": 3.0},
    {"item_id": "post 2", "line": "posts", "utility": 2.0},
    {"item_id": "post 3", "line": "posts", "utility": 1.0},
]
TOKEN = {"authorization": "Bearer ada"}


def changed(*rules, **changes):
    """Return the plain policy with rules, and with other fields."""
    ruled = {"constrain": {"rules": list(rules)}} if rules else {}
    return {**PLAIN, "compose": {**ruled, "solve": {}}, **changes}


def policy_of(document):
    return Policy.parse(Document.parse(json.dumps(document), "json"), STAGES)


def body(number=0, **changes):
    return json.dumps({"request_id": f"r{number}", "user": f"u{number}", "candidates": ROWS, **changes}).encode()


def asked(count):
    return [Asked(body(number), "application/json", Conditions()) for number in range(count)]


def desk_of(document=PLAIN, **settings):
    """Return a desk without HTTP, whose ring keeps every request."""
    limits = Limits()
    rollout = Rollout(Deployed(policy_of(document), limits), ring=Ring(apart_s=0.0))
    registry = Registry(STAGES, limits, store=settings.get("store"))
    return Desk(rollout, registry, **{"today": time.time, **settings})


class Shelf:
    """A store that keeps what is published, in the process that owns it, and that can be made to fail."""

    kind = "shelf"

    def __init__(self):
        self._store = MemoryStore()
        self.kept, self.leases = self._store._board, self._store._leases
        self.down, self.fails = False, 0

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            self._answer()
            await asyncio.sleep(0)
            return await getattr(self._store, name)(*args, **kwargs)

        return call

    def _answer(self):
        self.fails -= self.fails > 0
        if self.down or self.fails:
            raise StoreError("down")


def known(request, scope):
    """Let in whoever says a name."""
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not name:
        raise HTTPException(401, "authorization: must be a bearer token")
    return name


@contextlib.contextmanager
def serving(desk):
    """Give a client of a real server around a desk, whose record is looked at ten times a second."""
    service = Service(desk.rollout, shared=Shared(), journal=Journal(), meters=Meters(), seal=Seal(b"0" * 16))
    app = assembled(service, Limits(), pages=page_routes(service, Limits()), more=routes(desk, known, body_of))

    @contextlib.asynccontextmanager
    async def looking(_):
        task = asyncio.create_task(desk.run())
        yield
        task.cancel()

    app.router.lifespan_context = looking
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=TOKEN) as client:
        yield client
    server.should_exit = True
    thread.join(timeout=20)


def until(condition, *, seconds=60):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
    return found


def compose(client, number=0, **changes):
    reply = client.post("/v1/compose", content=body(number, **changes))
    assert reply.status_code == 200, reply.text
    return reply.json()


def items(page):
    return [item["item_id"] for item in page["items"]]


def push(client, document):
    reply = client.post("/v1/policies", json=document)
    assert reply.status_code in (200, 201), reply.text
    return reply.json()["hash"]


def force(client, policy):
    reply = client.post(f"/v1/policies/{policy}/promote", json={"force": True})
    assert reply.status_code == 200, reply.text
    return reply.json()["record"]
