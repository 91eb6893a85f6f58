"""Hostile requests over real sockets: each gets an answer that is no fault of ours, and the service goes on."""

import json
import socket

import numpy as np
import pytest

from bodies import BODY, COLUMNS, mutated, spoilt

ALLOWED = {200, 400, 413, 415}


def test_spoilt_bodies_are_refused_by_name_and_the_service_goes_on(client):
    rng = np.random.default_rng(3)
    codes = []
    for _ in range(3000):
        body, headers = spoilt(rng)
        reply = client.post("/v1/compose", content=body, headers=headers)
        codes.append(reply.status_code)
        assert reply.status_code in ALLOWED, (body, headers)
        if reply.status_code != 200:
            error = reply.json()["error"]
            assert error["where"], body
            assert error["rule"], body
            assert "Traceback" not in error["message"], body
    assert codes.count(400) > 1500
    assert codes.count(200) > 100
    assert client.post("/v1/compose", json=BODY).status_code == 200


@pytest.mark.parametrize("route", ["/v1/compose/batch", "/v1/explain?costs=true"])
def test_other_routes_refuse_as_well(client, route):
    rng = np.random.default_rng(4)
    for _ in range(200):
        document = {"requests": [BODY, {**BODY, "candidates": COLUMNS}]} if "batch" in route else BODY
        reply = client.post(route, content=json.dumps(mutated(document, rng)).encode())
        assert reply.status_code in ALLOWED
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"candidates":' * 60_000,
        b'{"candidates": {"item_id": ' + b"[" * 900_000,
        b'{"seed": ' + b"9" * 900_000 + b', "candidates": []}',
        b'{"time": 1e' + b"9" * 900_000 + b', "candidates": []}',
        b'{"user": "' + b"\\ud800" * 1000 + b'", "candidates": []}',
        b'{"user": "\xff\xfe", "candidates": []}',
        b"\xef\xbb\xbf{}",
        b'{"candidates": [' + b"{}," * 300_000 + b"{}]}",
        b'{"context": {' + b",".join(b'"%d": "x"' % one for one in range(60_000)) + b'}, "candidates": []}',
        b'{"requests": [' + b"[[[]]]," * 100_000 + b"[]]}",
    ],
    ids=range(11),
)
@pytest.mark.parametrize("route", ["/v1/compose", "/v1/compose/batch", "/v1/explain"])
def test_deep_long_and_ill_coded_bodies_are_refused(client, route, body):
    assert client.post(route, content=body).status_code == 400


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/compose HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /v1/compose HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /v1/compose HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /v1/compose HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"POST /v1/explain HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n\x1f\x8b\x08",
        b"\x00\x01\x02\r\n\r\n",
    ],
)
def test_a_client_that_breaks_off_costs_nothing(client, head):
    url = client.base_url
    with socket.create_connection((url.host, url.port)) as raw:
        raw.sendall(head)
    assert client.get("/healthz").json()["status"] == "ok"
