"""Bodies of requests: the golden policy's request in every form, and ways to spoil one."""

import copy
import gzip
import io
import json

import pyarrow
from pyarrow import ipc

from slatewise import Feed, Policy
from slatewise.core.document import Document
from slatewise.serve.arrow import ARROW
from slatewise.serve.wire import JSON
from slatewise.stages import STAGES

ROWS = [
    {"item_id": f"i{row}", "line": line, "p_click": row / 10, "p_share": None, "author": "x", "local": row == 3}
    for row, line in enumerate(["posts", "ads", "posts", "videos", "ads", "posts"])
]
REST = {
    "request_id": "r1",
    "slots": 4,
    "context": {"tenure": "new"},
    "history": {"author": {"x": 3}, "line": {"ads": 0.5}},
}
BODY = {**REST, "candidates": ROWS}
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
JUNK = [None, True, 0, -1, 1e308, "", "x" * 300, [], {}, [None], {"a": 1}, "posts", 2**70, -0.5]
NUMBERS = [0, 1, 7, 255, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1]


def patient(path):
    """Return the feed of a policy that gives every request a minute: a busy machine is no reason to turn it away."""
    document = Policy.load(path, STAGES).document()
    text = json.dumps({**document, "serve": {"budget_ms": 60_000}})
    return Feed(Policy.parse(Document.parse(text, "json", "policy.json"), STAGES))


def streamed(columns, rest=None, *, types=None, dictionaries=(), chunk=None, **options):
    """Return columns as an Arrow stream; `chunk` rows go into each record batch."""
    arrays = {name: pyarrow.array(values, (types or {}).get(name)) for name, values in columns.items()}
    arrays |= {name: arrays[name].dictionary_encode() for name in dictionaries}
    table = pyarrow.table(arrays)
    if rest is not None:
        table = table.replace_schema_metadata({"slatewise": json.dumps(rest)})
    return written(table, chunk=chunk, **options)


def written(table, *, chunk=None, **options):
    """Return a table as an Arrow stream."""
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return sink.getvalue()


def mutated(document, rng):
    """Return a copy with one node replaced, removed, renamed or doubled."""
    document = copy.deepcopy(document)
    nodes = []

    def visit(node):
        if isinstance(node, dict | list):
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                nodes.append((node, key))
                visit(node[key])

    visit(document)
    node, key = nodes[rng.integers(len(nodes))]
    action = rng.integers(4)
    if action == 0:
        del node[key]
    elif action == 1 and isinstance(node, dict):
        node[f"{key}_"] = node.pop(key)
    elif action == 2 and isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    else:
        node[key] = JUNK[rng.integers(len(JUNK))]
    return document


def corrupted(body, rng):
    """Return bytes with a few of them replaced, cut out, or made numbers that are too large."""
    spoilt = bytearray(body)
    for _ in range(rng.integers(1, 6)):
        action, place = rng.integers(6), int(rng.integers(len(spoilt)))
        number = NUMBERS[rng.integers(len(NUMBERS))]
        if action == 0:
            spoilt[place] = rng.integers(256)
        elif action == 1:
            spoilt[place : place + 4] = (number % 2**32).to_bytes(4, "little")
        elif action == 2:
            spoilt[place : place + 8] = number.to_bytes(8, "little")
        elif action == 3 and len(spoilt) > 128:
            del spoilt[place : place + int(rng.integers(1, 64))]
        elif action == 4 and rng.random() < 0.2:
            del spoilt[place + 1 :]
        else:
            spoilt[place] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


STREAM = streamed(COLUMNS, REST, types={"p_share": pyarrow.float64()}, dictionaries=["line", "author"])
RAW = json.dumps(BODY).encode()
PACKED = {"gzip": gzip.compress(RAW), "zstd": pyarrow.compress(RAW, "zstd", asbytes=True)}


def spoilt(rng):
    """Return a body and its headers, most of them wrong."""
    kind = rng.integers(8)
    document = BODY if kind % 2 else {**BODY, "candidates": COLUMNS}
    if kind < 2:
        return json.dumps(mutated(document, rng)).encode(), {}
    if kind == 2:
        return corrupted(json.dumps(document).encode(), rng), {}
    if kind == 3:
        return rng.bytes(int(rng.integers(1, 400))), {"content-type": [JSON, ARROW][rng.integers(2)]}
    if kind == 4:
        encoding = ["gzip", "zstd"][rng.integers(2)]
        return corrupted(PACKED[encoding], rng), {"content-encoding": encoding}
    return corrupted(STREAM, rng), {"content-type": ARROW}
