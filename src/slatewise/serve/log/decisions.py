"""Decisions: what is known of a page when it is served, and the tables that the decision log has of it.

The Arrow schemas below are the source of truth: Parquet files have them, and the table in the documentation and the
JSON Schema are made from them. Within a layout columns are only added, at the end; a column that changes its meaning
gets another name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from slatewise.core.errors import RequestError
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.ladder import Conditions
from slatewise.serve.http.replies import Served
from slatewise.serve.state.shared import Remembered

LAYOUT = 1
"""Version of the tables."""
STEPS = ("age", "decode", "reserve", "compose", "encode")
"""What is timed of a request, in its order; `age` is its time before it was taken up."""


class Decision(NamedTuple):
    """What is known of a page when it is served.

    Attributes:
        policy: The policy that served it.
        request: The request as decoded.
        body: The request as it came.
        media: Media type of the body.
        under: What was decided from clocks and counts.
        remembered: What control loops remembered.
        page: The page.
        served: How it was served.
        timings_ms: Milliseconds by step: `decode`, `reserve`, `compose`, `encode`, `age` when it was taken up.
        time: When it was served, by the clock that people have, in seconds.
        name: What the page is sampled by: the id of its request, or its token where that has none.
    """

    policy: Policy
    request: Request
    body: bytes
    media: str
    under: Conditions
    remembered: Remembered
    page: Page
    served: Served
    timings_ms: Mapping[str, float]
    time: float = 0.0
    name: str = ""


class Noted(NamedTuple):
    """An event as the log has it.

    Attributes:
        source: Who sent it.
        id: Its name; distinct for a source.
        kind: What happened, such as `impression`, `click`, `spend`.
        time: When it happened, in seconds.
        received: When the service was told, in seconds.
        page: Token of the page, as in its record.
        request: Name of the request; empty if it is not known.
        user: Who was shown the page; the log keeps it as it keeps that of pages.
        item: The item; empty for the page as a whole.
        slot: Its slot, from 1; None if it was not told.
        amount: What was spent, or how much there was of anything else; None if it was not told.
        counted: What came of it: `counted`, `repeated`, or `late`.
    """

    source: str
    id: str
    kind: str
    time: float
    received: float
    page: str = ""
    request: str = ""
    user: str = ""
    item: str = ""
    slot: int | None = None
    amount: float | None = None
    counted: str = "counted"


def arrow() -> Any:
    """Return pyarrow.

    Raises:
        RequestError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet  # now, and not while pages are served
    except ModuleNotFoundError:
        raise RequestError("log", "needs pyarrow", hint="pip install 'slatewise[parquet]'") from None
    return pyarrow


def decision_schema() -> Any:
    """Return the Arrow schema of the table of pages."""
    pa = arrow()
    text, number, whole, small, raw = pa.string(), pa.float64(), pa.int64(), pa.int32(), pa.binary()
    models = pa.list_(pa.struct([("stage", text), ("digest", text)]))
    items = pa.list_(pa.struct([("slot", small), ("item", text), ("line", text), ("utility", number)]))
    draws = pa.list_(pa.struct([("stage", text), ("line", text), ("way", small), ("propensity", number)]))
    relaxed = pa.list_(pa.struct([("rule", text), ("by", number)]))
    timings = pa.struct([(step, pa.float32()) for step in STEPS])
    told = [
        ("time", number, "when the page was served, in seconds since 1970"),
        ("page", text, "token of the page, by which events name it"),
        ("request", text, "name of the request"),
        ("user", text, "who asked: plain, hashed, or empty, as the log is set up"),
        ("policy", text, "hash of the policy; its document is `policies/HASH.json`"),
        ("models", models, "digest of every model in the policy, by stage"),
        ("version", text, "version of slatewise"),
        ("seed", whole, "root of every pseudo-random choice"),
        ("candidates", text, "digest of the candidates; the same for any encoding and any order of the rows"),
        ("rows", small, "how many candidates there were"),
        ("slots", small, "how many slots the request asked for, or the policy has"),
        ("rung", text, "name of the rung that composed the page"),
        ("level", small, "the same as a number; 0 is the full pipeline"),
        ("quality", number, "the quality factor, from 0 to 1"),
        ("variant", text, "`active` or `canary`"),
        ("state", text, "whether shared state was `fresh`, `stale`, or only the process' own (`local`)"),
        ("state_version", whole, "version of what control loops remembered"),
        ("state_age_ms", number, "age of shared state, in milliseconds"),
        ("control", text, "what control loops remembered is `controls/NAME.json`; empty if they were at their start"),
        ("granted", text, "what caps allowed the page, as JSON: cap to value to rows"),
        ("conditions_time", number, "clock that the page was composed by; 0 if the request said when it was asked"),
        ("items", items, "what was shown, first slot first: `slot`, `item` (as text), `line`, `utility`"),
        ("value", number, "what the last stage maximised"),
        ("status", text, "`optimal`, `feasible`, `relaxed` or `empty`"),
        ("relaxed", relaxed, "rules that gave way, and by how much"),
        ("missing", small, "slots asked for and not filled"),
        ("probability", number, "probability that this page was chosen, given all of the above"),
        ("draws", draws, "what chance decided: stage, line, way (1 up, -1 down, 0 not), and how likely that was"),
        ("digest", text, "SHA-256 of the page without its trace, as bytes"),
        ("timings", timings, "milliseconds by step: `age` before it was taken up, then the steps in their order"),
        ("trace", text, "why this page, as JSON; on a sample"),
        ("media", text, "media type of the request; where it was kept"),
        ("body", raw, "the request as it came; on a sample"),
    ]
    return _schema(told, "decisions")


def event_schema() -> Any:
    """Return the Arrow schema of the table of events."""
    pa = arrow()
    text, number, small = pa.string(), pa.float64(), pa.int32()
    told = [
        ("source", text, "who sent the event"),
        ("id", text, "its name, distinct for a source"),
        ("kind", text, "what happened, such as `impression`, `click`, `spend`"),
        ("time", number, "when it happened, in seconds since 1970"),
        ("received", number, "when the service was told, in seconds since 1970"),
        ("page", text, "token of the page, as in the table of pages"),
        ("request", text, "name of the request; empty if it is not known"),
        ("user", text, "who was shown the page: plain, hashed, or empty, as the log is set up"),
        ("item", text, "the item, as text; empty for the page as a whole"),
        ("slot", small, "its slot, from 1; missing if it was not told"),
        ("amount", number, "what was spent, or how much there was of anything else; missing if it was not told"),
        ("counted", text, "what came of it: `counted`, `repeated` or `late`"),
    ]
    return _schema(told, "events")


def table_of(schema: Any) -> str:
    """Return a schema as the table that the documentation shows."""
    rows = [f"| `{field.name}` | {_spelled(field.type)} | {field.metadata[b'about'].decode()} |" for field in schema]
    return "\n".join(["| column | type | what it is |", "|---|---|---|", *rows]) + "\n"


def json_schema(schema: Any) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a row, for whoever turns records into JSON; bytes are in base64."""
    properties = {
        field.name: {**_json(field.type), "description": field.metadata[b"about"].decode()} for field in schema
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"slatewise {schema.metadata[b'slatewise'].decode()}",
        "type": "object",
        "properties": properties,
    }


def _schema(told: list[tuple[str, Any, str]], name: str) -> Any:
    pa = arrow()
    fields = [pa.field(name, kind, metadata={"about": about}) for name, kind, about in told]
    return pa.schema(fields, metadata={"slatewise": f"{name}/{LAYOUT}"})


def _members(kind: Any) -> Iterator[Any]:
    return (kind.field(place) for place in range(kind.num_fields))


def _spelled(kind: Any) -> str:
    if str(kind).startswith("list"):
        return f"list of {_spelled(kind.value_type)}"
    if str(kind).startswith("struct"):
        return "(" + ", ".join(f"{one.name} {_spelled(one.type)}" for one in _members(kind)) + ")"
    return str(kind)


def _json(kind: Any) -> dict[str, Any]:
    if str(kind).startswith("list"):
        return {"type": ["array", "null"], "items": _json(kind.value_type)}
    if str(kind).startswith("struct"):
        members = {one.name: _json(one.type) for one in _members(kind)}
        return {"type": ["object", "null"], "properties": members}
    plain = {"string": "string", "binary": "string", "double": "number", "float": "number"}.get(str(kind), "integer")
    return {"type": [plain, "null"], **({"contentEncoding": "base64"} if str(kind) == "binary" else {})}
