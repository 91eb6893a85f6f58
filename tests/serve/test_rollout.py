"""Policies at run time: pushed, tried, put to work and rolled back over HTTP, and no request fails for it."""

import asyncio
import gc
import json
import subprocess
import sys
import threading
import weakref
from itertools import cycle

import httpx
import pytest

from serve.policies import (
    BY_UTILITY,
    NO_AD_ON_TOP,
    PLAIN,
    ROWS,
    body,
    changed,
    compose,
    desk_of,
    force,
    items,
    policy_of,
    push,
    serving,
)
from slatewise.serve.rollout import record as records
from slatewise.serve.rollout.rollout import place_of

STRICT = changed(NO_AD_ON_TOP)
JSON = "application/json"


@pytest.fixture
def client():
    with serving(desk_of()) as client:
        yield client


# A policy's way from being pushed to serving, and back


def test_a_policy_is_pushed_tried_promoted_and_rolled_back(client):
    for number in range(3):
        assert items(compose(client, number)) == BY_UTILITY
    start = compose(client)["policy"]
    strict = push(client, STRICT)
    assert compose(client)["policy"] == start
    report = client.post(f"/v1/policies/{strict}/shadow", json={"last": 100}).json()
    assert (report["requests"], report["failed"], report["policies"]) == (5, 0, [start, strict]), report
    assert client.post(f"/v1/policies/{strict}/promote").status_code == 200
    page = compose(client)
    assert (page["policy"], items(page)) == (strict, ["post 1", "ad", "post 2"])
    record = client.post("/v1/policies/rollback").json()["record"]
    assert (record["active"], record["previous"]) == (start, None)
    assert compose(client)["policy"] == start
    assert [entry["what"] for entry in record["audit"]] == ["rollback", "promote", "shadow", "push", "start"]
    assert {entry["who"] for entry in record["audit"][:-1]} == {"ada"}
    promoted, tried = record["audit"][1:3]
    assert promoted["report"] == tried["report"] != ""


def test_asking_twice_changes_nothing_more(client):
    strict = push(client, STRICT)
    assert push(client, STRICT) == strict
    first = force(client, strict)
    assert force(client, strict) == first
    for _ in range(2):
        record = client.post("/v1/policies/rollback", json={"of": strict}).json()["record"]
        assert (record["active"], len(record["audit"])) == (first["previous"], len(first["audit"]) + 1)


def test_only_a_policy_that_was_tried_beside_the_active_one_is_promoted(client):
    strict = push(client, STRICT)
    refused = client.post(f"/v1/policies/{strict}/promote")
    assert refused.status_code == 409
    assert refused.json()["error"]["rule"] == "must be tried beside the active policy"
    client.post(f"/v1/policies/{strict}/shadow")
    refused = client.post(f"/v1/policies/{strict}/canary", json={"share": 0.5})
    assert refused.json()["error"]["rule"] == "must be tried on at least one request"
    compose(client)
    needs_more = push(client, changed(columns={"utility": "number", "price": "number"}))
    report = client.post(f"/v1/policies/{needs_more}/shadow").json()
    assert (report["requests"], report["failed"]) == (1, 1)
    assert "price" in report["failures"][0]["reason"]
    refused = client.post(f"/v1/policies/{needs_more}/promote")
    assert refused.json()["error"]["got"] == "1 of 1 without"
    assert force(client, needs_more)["audit"][0]["why"] == "forced"


def test_what_is_pushed_is_what_is_shown_and_told_of(client):
    strict = push(client, STRICT)
    shown = [client.get(f"/v1/policies/{policy}").json() for policy in (strict, "active")]
    assert [policy_of(document).hash for document in shown] == [strict, policy_of(PLAIN).hash]
    listed = client.get("/v1/policies").json()
    assert [one["hash"] for one in listed["record"]["pushed"]] == [strict, listed["record"]["active"]]
    assert listed["workers"][0]["active"] == listed["record"]["active"]
    assert not listed["split"]


def test_validating_keeps_nothing(client):
    told = client.post("/v1/policies/validate", json=changed(columns={"utility": "number", "topic": "key?"})).json()
    assert "column `topic` (key?) is new" in told["notes"][0]
    assert len(client.get("/v1/policies").json()["record"]["pushed"]) == 1
    assert client.post(f"/v1/policies/{told['hash']}/promote", json={"force": True}).status_code == 404


@pytest.mark.parametrize(
    ("media", "text", "message"),
    [
        ("application/yaml", "version: 1\nlines: [posts]\ncolums: {}\n", "body:3: colums: is no section of a policy"),
        ("application/yaml", "a: &a [*a]", "policy: "),
        ("application/toml", "version = 1\nlines = 3\n", "body:2: lines: must be a list, got 3"),
        (JSON, "[]", "policy: must be a mapping of sections, got []"),
        (JSON, "\xff", "body: must be UTF-8"),
        ("text/plain", "version: 1", "content-type: must be one of application/json"),
        (
            JSON,
            json.dumps(changed(compose={"solve": {"from": "/etc/passwd"}})),
            "body:1: compose.solve.from: must be left out of a policy that is sent: it names a file",
        ),
        (JSON, json.dumps(changed(compose={"solve": {"method": "best"}})), "body:1: compose.solve.method: must be"),
    ],
)
def test_a_policy_that_is_none_is_refused_and_what_serves_goes_on(client, media, text, message):
    for route in ("/v1/policies", "/v1/policies/validate"):
        reply = client.post(route, content=text.encode("latin-1"), headers={"content-type": media})
        assert reply.status_code == 400
        assert message in reply.json()["error"]["message"]
        assert set(reply.json()["error"]) == {"code", "where", "rule", "got", "hint", "message"}
    assert items(compose(client)) == BY_UTILITY


@pytest.mark.parametrize(
    ("route", "json_body", "code", "message"),
    [
        ("/active/canary", {"share": 2}, 400, "share: must be <= 1, got 2"),
        ("/active/canary", {}, 400, "share: must be given"),
        ("/active/promote", {"forse": True}, 400, "forse: is not known here; did you mean 'force'?"),
        ("/canary/promote", {}, 404, "policy: must be one that was pushed, got 'canary'"),
        ("/active/shadow", [1], 400, "body: must be"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_by_name(client, route, json_body, code, message):
    reply = client.post(f"/v1/policies{route}", json=json_body)
    assert reply.status_code == reply.json()["error"]["code"] == code
    assert reply.json()["error"]["message"].startswith(message)


def test_nobody_changes_policies_without_a_token(client):
    for route in ("", "/validate", "/rollback", "/active/shadow", "/active/canary", "/active/promote"):
        assert client.post(f"/v1/policies{route}", headers={"authorization": ""}).status_code == 401
    assert client.get("/v1/policies", headers={"authorization": ""}).status_code == 401


# Who is served by a canary


def test_a_canary_serves_its_share_of_users_and_those_stay_in_when_it_grows(client):
    strict = push(client, STRICT)

    def served():
        pages = (compose(client, number) for number in range(200))
        return {number for number, page in enumerate(pages) if page["policy"] == strict}

    groups = []
    for share in (0.1, 0.5, 1.0):
        client.post(f"/v1/policies/{strict}/canary", json={"share": share, "force": True})
        groups.append(served())
        assert len(groups[-1]) == pytest.approx(200 * share, abs=24)
    assert groups[0] < groups[1] < groups[2]
    page = compose(client)
    assert page["served"]["variant"] == "canary"
    assert client.post("/v1/policies/rollback", json={"of": strict}).json()["record"]["canary"] is None
    assert served() == set()


def test_users_stand_at_the_same_place_in_every_process_and_elsewhere_for_another_policy():
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from slatewise.serve.rollout.rollout import Deployed, Standing, place_of; print(place_of('ada', 'p'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(told.stdout) == place_of("ada", "p")
    both = sum(place_of(f"u{n}", "p") < 0.1 and place_of(f"u{n}", "q") < 0.1 for n in range(10_000))
    assert both == pytest.approx(100, abs=40)


# While requests come in


def test_no_request_fails_while_policies_are_swapped_under_load():
    others = [
        STRICT,
        changed(columns={"utility": "number", "topic": "key?", "shown": "flag"}),
        changed(serve={"budget_ms": 60_000, "rungs": [{"name": "few", "page": "greedy", "quality": 0.5}]}),
        changed(
            columns={"click": "number"}, score={"fuse": {"terms": {"click": 1.0}}}, compose={"solve": {"by": "score"}}
        ),
    ]
    rows = [{**row, "topic": "x", "click": row["utility"], "shown": True} for row in ROWS]
    with serving(desk_of()) as client:
        hashes = [client.get("/v1/policies").json()["record"]["active"], *(push(client, one) for one in others)]
        stop, counts, failed = threading.Event(), [], []

        def hammer(number):
            seen = set()
            with httpx.Client(base_url=client.base_url, timeout=60) as own:
                while not stop.is_set():
                    reply = own.post("/v1/compose", content=body(number, candidates=rows))
                    if reply.status_code != 200:
                        failed.append(reply.text)
                        return
                    page = reply.json()
                    seen.add(page["policy"])
                    assert len(page["items"]) == 3
            counts.append(seen)

        threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for _, policy in zip(range(25), cycle(hashes[1:] + hashes[:1])):
            force(client, policy)
            client.post(f"/v1/policies/{hashes[1]}/canary", json={"share": 0.5, "force": True})
            compose(client, candidates=rows)
        stop.set()
        for thread in threads:
            thread.join(timeout=60)
    assert not failed
    assert set.union(*counts) == set(hashes)


def test_a_column_of_a_policy_that_is_kept_may_be_sent_and_is_left_out(client):
    rows = [{**row, "topic": "x"} for row in ROWS]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert client.post("/v1/compose", content=body(candidates=rows)).status_code == 400
    push(client, changed(columns={"utility": "number", "topic": "key"}))
    for candidates in (rows, columns):
        page = compose(client, candidates=candidates)
        assert {**page, "served": None} == {**compose(client), "served": None}
    refused = client.post("/v1/compose", content=body(candidates=[{**row, "topc": "x"} for row in rows]))
    assert "topc: is not known here" in refused.json()["error"]["message"]


def test_a_policy_that_cannot_serve_any_more_is_freed():
    async def swaps():
        desk, known = desk_of(), []
        for number in range(20):
            pushed = await desk.push(json.dumps(changed(slots=number + 1)).encode(), JSON, who="ada")
            await desk.promote(pushed.hash, who="ada", trial="waived")
            known.append(weakref.ref(desk.rollout.active))
        gc.collect()
        alive = [number for number, one in enumerate(known) if one() is not None]
        assert alive == [18, 19]
        assert len(desk.record.pushed) <= records.MOST_PUSHED + 2

    asyncio.run(swaps())
