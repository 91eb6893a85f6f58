"""Arrow bodies: the same requests and refusals as JSON, and nothing that a stream can do to the service."""

import contextlib
import json
import resource
import struct

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bodies import COLUMNS, REST, ROWS, corrupted, streamed, written
from slatewise import Candidates, Feed, Policy, RequestError, Solve
from slatewise.core.columns import Embedding, KeyLists, Keys
from slatewise.serve.arrow import ARROW
from slatewise.serve.frames import survey
from slatewise.serve.limits import Limits
from slatewise.serve.wire import Wire

POLICY = Policy.of(
    Solve(),
    lines=["posts", "ads"],
    columns={
        "utility": "number",
        "share": "number?",
        "author": "key?",
        "topic": "key",
        "tags": "keys",
        "tokens": "keys?",
        "local": "flag",
        "vector": "embedding?",
    },
    slots=3,
)
WIRE, FEED = Wire(POLICY, Limits()), Feed(POLICY)
n = 6
WIDE = {
    "item_id": [f"i{row}" for row in range(n)],
    "line": ["posts", "ads", "posts"] * 2,
    "utility": [row / 7 for row in range(n)],
    "share": [None, 0.1, 1, None, 1e-300, -2.5],
    "author": ["ida", None, "lea", "ida", "ü", None],
    "topic": [3, 1, 3, 2, 2, 1],
    "tags": [["x"], ["x", "y", "x"], ["z"], ["y"], ["x"], ["y"]],
    "tokens": [[1, 2], [], None, [2], [7, 7], None],
    "local": [True, False, True, False, False, True],
    "vector": [[1.0, 0.5], None, [0.25, 3.0], [0.0, 0.0], None, [1e-3, 0.1]],
}
FIXED = {"vector": pyarrow.list_(pyarrow.float64(), 2)}
VALUES = {"item_id": ["i0"], "line": ["posts"], "utility": [1.0], "topic": ["a"], "tags": [["x"]], "local": [True]}


def plain(candidates: Candidates):
    """Return every column as plain values, row by row."""
    columns = {"item_id": list(candidates.item_id)}
    for name, column in candidates.columns.items():
        match column:
            case Keys():
                columns[name] = [column.name(row) for row in range(len(candidates))]
            case KeyLists():
                columns[name] = [column.row(row) for row in range(len(candidates))]
            case Embedding(table, rows):
                columns[name] = [None if row < 0 else table.matrix[row].tolist() for row in rows.tolist()]
            case _:
                columns[name] = [None if value != value else value for value in column.tolist()]
    return columns


def by_json(columns, wire=WIRE, rest=None):
    return wire.decode(json.dumps({**(rest or {}), "candidates": columns}).encode())


def refusal(decode, *arguments):
    with pytest.raises(RequestError) as caught:
        decode(*arguments)
    error = caught.value
    return error.where, error.rule, error.got


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"types": FIXED},
        {"dictionaries": ["item_id", "line", "author", "topic"]},
        {"chunk": 2},
        {"chunk": 2, "dictionaries": ["line", "author", "topic"], "types": FIXED},
        {"types": {"item_id": pyarrow.large_string(), "tags": pyarrow.large_list(pyarrow.large_string())}},
        {"types": {"topic": pyarrow.uint8(), "tokens": pyarrow.list_(pyarrow.dictionary(pyarrow.int8(), "int16"))}},
        {"types": {"vector": pyarrow.list_(pyarrow.float64())}},
    ],
)
def test_a_stream_is_the_request_that_its_columns_are_in_json(options):
    stream = streamed(WIDE, {"request_id": "r", "trace": True}, **options)
    ours, theirs = WIRE.decode(stream, ARROW), by_json(WIDE, rest={"request_id": "r", "trace": True})
    assert plain(ours.request.candidates) == plain(theirs.request.candidates)
    assert ours.trace
    assert FEED.compose(ours.request).encode() == FEED.compose(theirs.request).encode()


def test_the_golden_request_gives_the_same_bytes_in_three_encodings(feed):
    wire = Wire(feed.policy, Limits())
    stream = streamed(COLUMNS, REST, types={"p_share": pyarrow.float64()}, dictionaries=["line"])
    orders = [by_json(ROWS, wire, REST), by_json(COLUMNS, wire, REST), wire.decode(stream, ARROW)]
    assert len({feed.compose(order.request).encode() for order in orders}) == 1


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.floats(-1e9, 1e9, allow_nan=False) | st.integers(-(2**53), 2**53).map(float)


@given(data=st.data(), rows=st.integers(1, 12), dictionaries=st.sets(st.sampled_from(["line", "author", "topic"])))
def test_any_request_gives_the_same_bytes_in_three_encodings(data, rows, dictionaries):
    def column(values):
        return data.draw(st.lists(values, min_size=rows, max_size=rows))

    columns = {
        "item_id": [f"{data.draw(texts)}{row}" for row in range(rows)],
        "line": column(st.sampled_from(["posts", "ads"])),
        "utility": column(numbers),
        "share": column(st.none() | numbers),
        "author": column(st.none() | texts),
        "topic": column(texts),
        "tags": column(st.lists(texts, min_size=1, max_size=3)),
        "tokens": column(st.none() | st.lists(texts, max_size=3)),
        "local": column(st.booleans()),
        "vector": column(st.none() | st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=2)),
    }
    types = {
        "share": pyarrow.float64(),
        "author": pyarrow.string(),
        "tokens": pyarrow.list_(pyarrow.string()),
        "vector": pyarrow.list_(pyarrow.float32(), 2),
    }
    chunk = data.draw(st.integers(1, rows))
    by_row = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    stream = streamed(columns, {}, types=types, dictionaries=sorted(dictionaries), chunk=chunk)
    orders = [by_json(by_row), by_json(columns), WIRE.decode(stream, ARROW)]
    assert plain(orders[0].request.candidates) == plain(orders[1].request.candidates)
    assert plain(orders[1].request.candidates) == plain(orders[2].request.candidates)
    assert len({FEED.compose(order.request).encode() for order in orders}) == 1


def test_a_float32_stands_for_the_number_it_holds():
    column = pyarrow.array([0.1], pyarrow.float32())
    stream = written(pyarrow.table({**VALUES, "utility": column}))
    assert WIRE.decode(stream, ARROW).request.candidates.number("utility").tolist() == [float(np.float32(0.1))]


def test_names_of_a_dictionary_are_there_once_and_none_is_no_name():
    codes = pyarrow.array([0, 1, 3, 2], pyarrow.int8())
    column = pyarrow.DictionaryArray.from_arrays(codes, pyarrow.array(["a", "b", None, "a", "unused"]))
    columns = {name: values * 4 for name, values in VALUES.items()} | {"item_id": [1, 2, 3, 4]}
    stream = written(pyarrow.table({**columns, "author": column}))
    author = WIRE.decode(stream, ARROW).request.candidates.key("author")
    assert [author.name(row) for row in range(4)] == ["a", "b", "a", None]
    assert sorted(author.names) == ["a", "b", "unused"]


def test_a_null_of_a_dictionary_is_no_value():
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([1], pyarrow.int8()), pyarrow.array(["a", None]))
    stream = written(pyarrow.table({**VALUES, "topic": column}))
    assert refusal(WIRE.decode, stream, ARROW) == ("candidates.topic[0]", "must be a whole number or text", "None")


def test_what_stands_behind_a_null_is_not_read():
    columns = {name: values * 2 for name, values in VALUES.items()} | {"item_id": [1, 2]}
    tokens = pyarrow.ListArray.from_arrays(
        pyarrow.array([0, 2, 3], pyarrow.int32()), pyarrow.array(["x", "y", "z"]), mask=pyarrow.array([True, False])
    )
    stream = written(pyarrow.table({**columns, "tokens": tokens, "share": pyarrow.nulls(2)}))
    ours = plain(WIRE.decode(stream, ARROW).request.candidates)
    assert (ours["tokens"], ours["share"]) == ([(), ("z",)], [None, None])


def test_a_slice_of_a_table_is_what_it_shows():
    table = pyarrow.table({name: pyarrow.array(values) for name, values in WIDE.items()}).slice(2, 3)
    ours = WIRE.decode(written(table), ARROW).request.candidates
    assert plain(ours) == plain(by_json({name: values[2:5] for name, values in WIDE.items()}).request.candidates)


@pytest.mark.parametrize(
    "change",
    [
        {"topic": [None]},
        {"line": [None]},
        {"line": ["post"]},
        {"item_id": [None]},
        {"item_id": ["x" * 257]},
        {"author": ["ü" * 257]},
        {"topic": ["x" * 300]},
        {"tags": [[]]},
        {"tags": [None]},
        {"tags": [["x", None]]},
        {"tags": [["x", "y" * 257]]},
        {"tags": [["x"] * 300]},
        {"tokens": [["x"] * 300]},
        {"local": [None]},
        {"utility": [None]},
        {"utility": [1e31]},
        {"vector": [[1.0, None]]},
        {"vector": [[1e39, 0.0]]},
        {"vector": [[0.5] * 1025]},
        {"vector": [[]]},
        {"utilty": [1.0]},
        {"tags": [["x"], ["x", None]], "item_id": [1, 2]},
        {"vector": [[1.0], None, [1.0, 2.0]], "item_id": [1, 2, 3]},
        {"item_id": ["a", "b", "a"]},
    ],
)
@pytest.mark.parametrize("dictionaries", [(), ("item_id", "line", "author", "topic")], ids=["plain", "dictionaries"])
def test_a_value_that_does_not_fit_is_refused_as_in_json(change, dictionaries):
    rows = len(change.get("item_id", [0]))
    columns = {name: values * rows for name, values in VALUES.items()}
    columns |= {name: values if len(values) == rows else values * rows for name, values in change.items()}
    types = {name: pyarrow.string() for name in ("topic", "line", "item_id") if name in change}
    types["vector"] = pyarrow.list_(pyarrow.float64())
    types |= {"tags": pyarrow.list_(pyarrow.string()), "local": pyarrow.bool_(), "utility": pyarrow.float64()}
    if "item_id" in change and rows > 1:
        del types["item_id"]
    sent = [name for name in dictionaries if name in columns]
    stream = streamed(columns, types=types, dictionaries=sent)
    assert refusal(WIRE.decode, stream, ARROW) == refusal(by_json, columns)


@pytest.mark.parametrize("columns", [{}, {"item_id": ["a"]}, {"line": ["ads"]}, {"item_id": ["a"], "line": ["ads"]}])
def test_a_column_that_is_lacking_is_named_as_in_json(columns):
    names = [name for name in ("item_id", "line", "utility") if name not in columns]
    where, rule, _ = refusal(WIRE.decode, streamed(columns), ARROW)
    assert (where, rule) == (f"candidates.{names[0]}", "must be given")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pyarrow.array([float("nan")]), "candidates.utility[0]: must be finite, got nan"),
        (pyarrow.array(["1"]), "candidates.utility: must be float32, float64 or whole numbers, got string"),
        (pyarrow.array([1]).cast(pyarrow.timestamp("s")), "candidates.utility: must be float32"),
        (pyarrow.array([[1.0]]), "candidates.utility: must be float32"),
        (pyarrow.array([None]), "candidates.utility: must be float32"),
        (pyarrow.array([{"a": 1}]), "candidates.utility: must be float32"),
    ],
)
def test_a_column_of_another_type_is_named(column, message):
    with pytest.raises(RequestError) as caught:
        WIRE.decode(written(pyarrow.table({**VALUES, "utility": column})), ARROW)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"slots": 101}, "slots: must be <= 100, got 101"),
        ({"slot": 1}, "slot: is not known here; did you mean 'slots'?"),
        ({"candidates": []}, "candidates: is not known here"),
        ({"user": "x" * 257}, "user: must be of length <= 256"),
        ({"history": {"author": {"x": -1}}}, "history.author.x: must be >= 0, got -1"),
        ({"state": "zzz"}, "state: must be a token from an earlier page, got 'zzz'"),
        ([], "body: must be a mapping, got []"),
    ],
)
def test_the_rest_of_a_request_is_refused_as_in_json(rest, message):
    with pytest.raises(RequestError) as caught:
        WIRE.decode(streamed(VALUES, rest), ARROW)
    assert str(caught.value).startswith(message)


STREAM = streamed(WIDE, {"slots": 2}, dictionaries=["line"], types=FIXED)


def test_a_stream_that_is_cut_anywhere_is_refused():
    for length in range(len(STREAM)):
        assert refusal(WIRE.decode, STREAM[:length], ARROW)[0] == "body"
    assert refusal(WIRE.decode, STREAM + b"\0", ARROW)[0] == "body"


def crafted(big_endian=0, before=0):
    """Return a stream of a schema without columns; its first table is described `before` bytes before it."""
    table, names, header, schema = 16, 4, 36, 28
    data = bytearray(48)
    struct.pack_into("<I6H", data, 0, table, 12, 12, 0, 4, 8, 0)  # the message: where its kind and its schema stand
    struct.pack_into("<iBxxxI", data, table, before or table - names, 1, header - 24)
    struct.pack_into("<3H", data, schema, 6, 6, 4)
    struct.pack_into("<iH", data, header, header - schema, big_endian)
    return struct.pack("<II", 0xFFFFFFFF, 48) + data + struct.pack("<II", 0xFFFFFFFF, 0)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (crafted(big_endian=1), "body: must be of little-endian byte order, got big-endian"),
        (crafted(before=16 + 48 - 4), "body: must be an Arrow IPC stream; an offset points outside"),
        (crafted(before=-(2**31)), "body: must be an Arrow IPC stream; an offset points outside"),
    ],
)
def test_messages_are_looked_at_before_they_are_read(stream, message):
    survey(crafted(), Limits())
    with pytest.raises(RequestError) as caught:
        survey(stream, Limits())
    assert str(caught.value) == message


@pytest.mark.parametrize("declared", [len(WIDE["item_id"]), None], ids=["rows", "bytes"])
def test_a_length_below_nothing_is_refused(declared):
    hints = set()
    for place in range(len(STREAM) - 8):
        value = struct.unpack_from("<q", STREAM, place)[0]
        if value == declared or (declared is None and value % 8 == 0 and 0 < value < len(STREAM)):
            spoilt = bytearray(STREAM)
            struct.pack_into("<q", spoilt, place, -8)
            hints.add(str(refused(bytes(spoilt))))
    assert any("declares a length below 0" in hint for hint in hints)


def refused(stream):
    try:
        survey(stream, Limits())
    except RequestError as error:
        return error
    return None


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused_before_they_are_unpacked(codec):
    bomb = {name: values * 2000 for name, values in VALUES.items()} | {"item_id": list(range(2000))}
    bomb["tags"] = [["x" * 200] * 200] * 2000
    stream = streamed(bomb, compression=codec)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RequestError, match="body: must not have compressed buffers"):
        WIRE.decode(stream, ARROW)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_384  # kilobytes; unpacked, it takes 80 MB


def test_too_much_is_refused_before_it_is_read():
    many = {"item_id": list(range(2001)), "line": ["ads"] * 2001}
    assert refusal(WIRE.decode, streamed(many), ARROW) == ("candidates", "must be of length <= 2000", "2001")
    names = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0]), pyarrow.array([f"{one}" for one in range(2001)]))
    assert refusal(WIRE.decode, written(pyarrow.table({**VALUES, "author": names})), ARROW)[0] == "body"
    rows = {name: values * 300 for name, values in VALUES.items()} | {"item_id": list(range(300))}
    assert refusal(WIRE.decode, streamed(rows, chunk=1), ARROW)[1] == "must have at most 256 messages"
    twice = pyarrow.table([["a"], ["a"]], names=["line", "line"])
    assert refusal(WIRE.decode, written(twice), ARROW) == ("candidates.line", "must be given once", "2 times")


def test_a_length_that_is_a_lie_allocates_nothing():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for place in range(0, len(STREAM) - 8, 4):
        for number in (2**31 - 1, 2**40, 2**62):
            spoilt = bytearray(STREAM)
            struct.pack_into("<q", spoilt, place, number)
            with contextlib.suppress(RequestError):
                FEED.policy.admit(WIRE.decode(bytes(spoilt), ARROW).request)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 65_536  # kilobytes


def test_corrupted_streams_are_refused_or_read_and_never_more():
    rng = np.random.default_rng(7)
    streams = [STREAM, streamed(WIDE, chunk=2, dictionaries=["author"]), streamed(COLUMNS, REST)]
    refusals = []
    for _ in range(6000):
        try:
            order = WIRE.decode(corrupted(streams[rng.integers(len(streams))], rng), ARROW)
            plain(order.request.candidates)  # every code and offset points inside
        except RequestError as error:
            refusals.append(error)
    assert 3000 < len(refusals) < 6000
    assert all(error.where and error.rule for error in refusals)


def test_buffers_at_odd_bytes_are_read_as_they_are():
    """A stream may put its buffers anywhere; kernels get them where they expect them."""
    shifted = bytes(bytearray(b"\0") + STREAM)[1:]
    odd = memoryview(b"\0" * 3 + STREAM)[3:]
    assert plain(WIRE.decode(shifted, ARROW).request.candidates) == plain(WIRE.decode(odd, ARROW).request.candidates)
    for column in WIRE.decode(odd, ARROW).request.candidates.columns.values():
        for array in column if isinstance(column, tuple) else (column,):
            assert not isinstance(array, np.ndarray) or array.flags.aligned
