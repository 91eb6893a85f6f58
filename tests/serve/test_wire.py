"""The wire: bodies and files of requests, as the policy's own columns have them."""

import json

import pyarrow
import pytest
from jsonschema import Draft202012Validator
from pyarrow import parquet

from slatewise import Feed, Policy, RequestError, Solve
from slatewise.serve.files import read_requests
from slatewise.serve.http.openapi import openapi
from slatewise.serve.limits import Limits
from slatewise.serve.wire import Wire

COLUMNS = {"utility": "number", "tags": "keys", "tokens": "keys?"}
POLICY = Policy.of(Solve(), lines=["posts"], columns=COLUMNS)
ROWS = [
    {"item_id": "a", "line": "posts", "utility": 1.0, "tags": ["x", "y", "x"], "tokens": [3, 1]},
    {"item_id": "b", "line": "posts", "utility": 2.0, "tags": ["y"], "tokens": []},
    {"item_id": "c", "line": "posts", "utility": 3.0, "tags": ["z"], "tokens": None},
]
TAGS, TOKENS = [("x", "y", "x"), ("y",), ("z",)], [(3, 1), (), ()]


def lists(request, name):
    column = request.candidates.key_lists(name)
    return [column.row(row) for row in range(len(request.candidates))]


def forms(rows=ROWS):
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return [{"candidates": rows}, {"candidates": columns}]


@pytest.mark.parametrize("body", forms(), ids=["rows", "columns"])
@pytest.mark.parametrize("form", ["body", "plain", "jsonl", "parquet"])
def test_lists_of_keys_come_over_the_wire_and_from_files(tmp_path, body, form):
    wire, path = Wire(POLICY), tmp_path / f"requests.{form}"
    if form == "body":
        order = wire.decode(json.dumps(body).encode())
    elif form == "plain":
        order = wire.convert(body)
    else:
        if form == "jsonl":
            path.write_text(json.dumps(body) + "\n")
        else:
            parquet.write_table(pyarrow.Table.from_pylist([body]), path)
        (order,) = read_requests(path, wire)
    assert (lists(order.request, "tags"), lists(order.request, "tokens")) == (TAGS, TOKENS)
    assert Feed(POLICY).compose(order.request).item_ids == ["c", "b", "a"]


HISTORY = {"tags": {"x": 2.5, "7": 1.0}, "tokens": {3: 1.0, 99: 2.0, "007": 1.0, "1_0": 0.0}, "line": {"posts": 4.0}}


@pytest.mark.parametrize("form", ["body", "plain", "jsonl", "structs", "maps"])
def test_history_comes_with_values_as_the_columns_have_them(tmp_path, form):
    """Keys of a JSON object are text; where a column's values are whole numbers, they are read as such."""
    wire, path = Wire(POLICY), tmp_path / ("requests.jsonl" if form == "jsonl" else "requests.parquet")
    body = {"history": HISTORY, "candidates": ROWS}
    if form == "body":
        order = wire.decode(json.dumps(body).encode())
    elif form == "plain":
        order = wire.convert(body)
    else:
        if form == "jsonl":
            path.write_text(json.dumps(body) + "\n")
        elif form == "structs":
            other = {"history": {"tags": {"y": 1.0}}, "candidates": ROWS}
            parquet.write_table(pyarrow.Table.from_pylist(json.loads(json.dumps([body, other]))), path)
        else:
            amounts = pyarrow.map_(pyarrow.string(), pyarrow.map_(pyarrow.string(), pyarrow.float64()))
            pairs = [(name, list(json.loads(json.dumps(seen)).items())) for name, seen in HISTORY.items()]
            table = pyarrow.Table.from_pylist([{"candidates": ROWS}])
            parquet.write_table(table.append_column("history", pyarrow.array([pairs], amounts)), path)
        order, *others = read_requests(path, wire)
        assert [one.request.history for one in others] in ([], [{"tags": {"y": 1.0}}])
    assert order.request.history == HISTORY
    Feed(POLICY).compose(order.request)


def test_text_of_a_column_stays_text_in_its_history():
    body = {"history": {"tokens": {"3": 1, "5": 2}}, "candidates": [{**ROWS[0], "tokens": [3, "5"]}]}
    assert Wire(POLICY).convert(body).request.history == {"tokens": {3: 1, "5": 2}}


@pytest.mark.parametrize("history", [1, "x", [1], [{"tags": 1}], {"tags": [1]}])
def test_a_file_with_another_history_is_refused(tmp_path, history):
    path = tmp_path / "requests.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([{"candidates": ROWS, "history": history}]), path)
    with pytest.raises(RequestError, match=r"requests.parquet:1: history.*: must be a"):
        list(read_requests(path, Wire(POLICY)))


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"tags": []}, ".tags", "must be of length >= 1, got []"),
        ({"tags": None}, ".tags", "must be a list, got None"),
        ({"tags": "x"}, ".tags", "must be a list, got 'x'"),
        ({"tags": ["x", 0.5]}, ".tags[1]", "must be a whole number or text, got 0.5"),
        ({"tags": ["x", None]}, ".tags[1]", "must be a whole number or text, got None"),
        ({"tags": ["x" * 300]}, ".tags[0]", "must be of length <= 256"),
        ({"tokens": [1] * 300}, ".tokens", "must be of length <= 256"),
    ],
)
def test_a_list_that_does_not_fit_is_named(change, where, message):
    wire = Wire(POLICY, Limits())
    by_row, by_column = forms([{**ROWS[0], **change}])
    name, rest = next(iter(change)), where.removeprefix(f".{next(iter(change))}")
    for body, path in ((by_row, f"candidates[0]{where}"), (by_column, f"candidates.{name}[0]{rest}")):
        with pytest.raises(RequestError) as caught:
            wire.decode(json.dumps(body).encode())
        assert str(caught.value).startswith(f"{path}: {message}")


def test_what_is_described_is_what_is_taken():
    document = openapi(Wire(POLICY, Limits()))
    validator = Draft202012Validator({**document, "$ref": "#/components/schemas/ComposeRequest"})
    assert all(validator.is_valid(body | {"history": {"tags": {"x": 1}}}) for body in forms())
    assert not any(validator.is_valid(body | {"history": {"tags": {"x": -1}}}) for body in forms())
    for change in ({"tags": []}, {"tags": [0.5]}, {"tags": None}, {"tokens": ["x"] * 300}):
        assert not any(validator.is_valid(body) for body in forms([{**ROWS[0], **change}]))


def test_a_feed_warms_up_with_every_kind_of_column():
    Feed(POLICY).warm()
