"""Scanning: what is read straight from the bytes of a body is what any other way of reading gives."""

import json
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slatewise import Policy, RequestError, Solve
from slatewise.core.columns import Keys
from slatewise.kernels.decimals import number
from slatewise.kernels.octets import PADDING
from slatewise.serve.limits import Limits
from slatewise.serve.wire import Wire

COLUMNS = {"utility": "number", "score": "number?", "author": "key", "topic": "key?", "seen": "flag"}
WIRE = Wire(Policy.of(Solve(), lines=["posts", "2", "vidéos"], columns=COLUMNS), Limits(candidates=12, text=12))

texts = st.just("candidates") | st.text('ab1é"\\/\n ,:[]{}', max_size=14)
keys = texts | st.integers(-20, 20) | st.integers()
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 1) | st.integers() | st.just(-0.0)
rows = st.fixed_dictionaries(
    {
        "item_id": st.sampled_from(["a", "b", "cé", ""]) | st.integers(0, 20).map("n{}".format),
        "line": st.sampled_from(["posts", "2", "vidéos"]),
        "utility": st.floats(-1e3, 1e3),
        "author": st.sampled_from(["x", "y", 1, 12345678901234567, "1"]),
        "seen": st.booleans(),
    },
    optional={
        "score": st.none() | st.floats(0, 1),
        "topic": st.none() | st.sampled_from(["t", 3, "long enough for words", ""]),
    },
)
rest = st.fixed_dictionaries(
    {}, optional={"request_id": texts, "slots": st.integers(1, 3), "history": st.just({"topic": {"candidates": 1}})}
)


odd = st.fixed_dictionaries({}, optional={"line": st.sampled_from(["ads", 123]), "author": keys, "utility": numbers})


def by_column(some):
    """Return rows as columns, where none lacks what another has."""
    names = dict.fromkeys(name for row in some for name in row)
    return {name: [row.get(name) for row in some] for name in names}


@st.composite
def bodies(draw):
    """Return a body: mostly right, spelled in many ways, and sometimes damaged in a few places."""
    some = draw(st.lists(rows, max_size=13, unique_by=lambda row: (row["item_id"], row["line"])) | st.lists(rows))
    if draw(st.booleans()):
        some = [{**row, "item_id": place} for place, row in enumerate(some)]
    if some and draw(st.booleans()):
        some[-1] = {**some[-1], **draw(odd)}
    members = [*draw(rest).items(), ("candidates", by_column(some) if draw(st.booleans()) else some)]
    spelled = json.dumps(
        dict(draw(st.permutations(members))),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 1])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])),
    )
    body = bytearray(spelled.encode())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(body) - 1))
        body[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from([*(bytes([one]) for one in b'"\\{}[],:-.eE01 nt\xc3\0\n'), b""])
        )
    return bytes(body)


def stored(array):
    """Return all there is to an array; kernels are compiled for what they are given, so its flags are of it."""
    return array.tobytes(), array.dtype, array.flags.writeable, array.flags.c_contiguous


def seen(order):
    """Return all there is to a request, bit by bit."""
    request, trace = order
    some = request.candidates
    columns = {
        name: (stored(column.codes), column.names, list(map(type, column.names)))
        if isinstance(column, Keys)
        else stored(column)
        for name, column in some.columns.items()
    }
    ids = some.item_id, list(map(type, some.item_id)), stored(some.items), some.repeats, some.gaps
    return ids, columns, request.id, request.slots, request.history, trace


def read(way, body):
    """Return what a way of reading makes of a body: all there is to it, or None where it is refused."""
    try:
        order = way(body)
    except RequestError:
        return None
    return order and seen(order)


@settings(max_examples=1_000, deadline=None)
@given(bodies())
def test_what_is_scanned_is_what_is_decoded(body):
    scanned = read(WIRE._scanned, body)
    assert scanned is None or scanned == read(WIRE._decoded, body)
    assert read(WIRE.decode, body) == read(WIRE._decoded, body)


ROW = {"item_id": "a", "line": "2", "utility": 0.1, "author": "é", "seen": True, "topic": None}
ONE = b'{"item_id":"a","line":"2","utility":1,"author":"x","seen":true}'


@pytest.mark.parametrize("form", [[ROW], by_column([ROW])], ids=["rows", "columns"])
def test_an_ordinary_body_is_scanned(form):
    for spelled in (
        json.dumps(body, ensure_ascii=False)
        for body in ({"user": "u", "candidates": form}, {"candidates": form, "slots": 1})
    ):
        assert WIRE._scanned(spelled.encode()) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"author":"x",', b""),
        (b'"seen":true', b'"seen":true,"seen":true'),
        (b'"seen":true', b'"seen":true,"more":1'),
        (b'"seen":true', b'"seen":1'),
        (b'"seen":true', b'"seen":null'),
        (b'"seen":true', b'"seen":true,'),
        (b'"line":"2"', b'"line":"3"'),
        (b'"line":"2"', b'"line":123'),
        (b'"x"', b'"x\n"'),
        (b'"x"', b'"\\u0078"'),
        (b'"x"', b'"\xff"'),
        (b'"x"', b'"xxxxxxxxxxxxx"'),
        (b'"x"', b"01"),
        (b'"x"', b"1.0"),
        (b'"x"', b"1234567890123456789"),
        (b":1,", b":1e31,"),
        (b":1,", b":NaN,"),
        (b":1,", b":1.,"),
        (ONE, ONE + b"," + ONE),
        (ONE, ONE + b"," + ONE.replace(b'"a"', b"1")),
        (ONE, ONE + b","),
        (ONE, b""),
        (ONE, b",".join(ONE.replace(b'"a"', b"%d" % row) for row in range(13))),
        (b"}]}", b"}],}"),
        (b"}]}", b'}],"candidates":[]}'),
        (b"}]}", b"}]}}"),
        (b"}]}", b"}]"),
        (b'{"candidates"', b'{,"candidates"'),
        (b'"candidates":[', b'"context":{"candidates":['),
        (b"[" + ONE + b"]", b'{"item_id":["a","b"],"line":["2"],"utility":[1],"author":["x"],"seen":[true]}'),
        (b"[" + ONE + b"]", b'{"item_id":["a"],"line":["2"],"utility":[1],"author":["x"]}'),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_others(old, new):
    body = b'{"candidates":[' + ONE + b"]}"
    assert WIRE._scanned(body) is not None
    assert old in body
    assert WIRE._scanned(body.replace(old, new, 1)) is None


@settings(max_examples=2_000, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.floats(1e-9, 1e3).map(repr)
    | st.builds("{}.{}".format, st.integers(-(10**12), 10**12), st.integers(0, 10**9))
    | st.builds("{}e{}".format, st.integers(-(10**19), 10**19), st.integers(-30, 25))
)
@example("9007199254740993")
@example("9007199254740993e-1")
@example("0.1500000000000000222")
@example("2907234563788309512e-26")
@example("6766020943288029794e-25")
def test_a_number_is_read_to_the_nearest(text):
    value, stop = number(np.frombuffer(text.encode() + bytes(PADDING), np.uint8), 0)
    assert stop in (-1, len(text))
    assert stop < 0 or struct.pack("d", value) == struct.pack("d", float(text))
