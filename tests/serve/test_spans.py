"""Spans: a sample of requests, as their callers decided or by chance, each with the steps of its page."""

import pytest

from slatewise import RequestError
from slatewise.serve.http.replies import Served
from slatewise.serve.log.journal import Decision
from slatewise.serve.process.settings import Telemetry
from slatewise.serve.process.spans import Spans, parent_of
from slatewise.serve.state.shared import Remembered
from slatewise.serve.wire import Wire

memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01".encode(), f"00-{TRACE}-{SPAN}-00".encode()
ROWS = [{"item_id": f"i{row}", "line": "posts", "p_click": 0.5, "p_share": 0.1, "local": False} for row in range(3)]
TIMINGS = {"age": 1.0, "decode": 2.0, "reserve": 0.5, "compose": 4.0, "encode": 0.25}


@pytest.fixture
def exporter():
    return memory.InMemorySpanExporter()


def begun(exporter, *headers, sample=0.25, chance=0.5):
    spans = Spans(Telemetry(endpoint="http://nowhere", sample=sample), exporter=exporter, chance=lambda: chance)
    return spans, spans.begin("POST", "/v1/compose", headers)


@pytest.mark.parametrize(
    ("headers", "chance", "kept"),
    [
        ([(b"traceparent", SAMPLED)], 0.99, True),
        ([(b"traceparent", UNSAMPLED)], 0.0, False),
        ([(b"accept", b"*/*")], 0.24, True),
        ([(b"accept", b"*/*")], 0.25, False),
        ([(b"traceparent", b"nonsense")], 0.24, True),
        ([(b"traceparent", b"nonsense")], 0.25, False),
    ],
)
def test_the_caller_decides_which_requests_have_a_span_and_else_chance(exporter, headers, chance, kept):
    spans, trail = begun(exporter, *headers, chance=chance)
    assert (trail is not None) == kept
    spans.close()


def test_a_span_goes_on_where_its_caller_stopped_and_tells_the_steps(exporter, feed):
    spans, trail = begun(exporter, (b"traceparent", SAMPLED))
    assert trail.header.decode().split("-")[:2] == ["00", TRACE]
    request = Wire(feed.policy).convert({"slots": 2, "user": "u-1", "candidates": ROWS}).request
    served = Served(page="token", rung="greedy")
    page = feed.compose(request)
    trail.note(Decision(feed.policy, request, b"", "", None, Remembered(), page, served, TIMINGS))
    trail.end(200)
    spans.close()
    (span,) = exporter.get_finished_spans()
    assert f"{span.parent.span_id:016x}" == SPAN
    assert trail.header.decode().split("-")[2] == f"{span.context.span_id:016x}"
    assert span.attributes["slatewise.rung"] == "greedy"
    assert span.attributes["slatewise.candidates"] == 3
    assert span.attributes["http.response.status_code"] == 200
    assert "u-1" not in str(dict(span.attributes)), "users are no matter of telemetry"
    times = {event.name: event.timestamp for event in span.events}
    assert times["encode"] - times["compose"] == 250_000
    assert times["compose"] - times["reserve"] == 4_000_000
    assert times["reserve"] - times["decode"] == 500_000


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        f"00-{TRACE}-{SPAN}".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{SPAN}-01-more".encode(),
    ],
)
def test_what_is_no_traceparent_begins_a_trace_of_its_own(sent):
    assert parent_of(sent) is None


def test_later_versions_of_traceparent_are_read_as_far_as_they_are_known():
    assert parent_of(f"01-{TRACE}-{SPAN}-01-more".encode()).sampled


def test_without_the_library_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(RequestError, match=r"pip install 'slatewise\[telemetry\]'"):
        Spans(Telemetry(endpoint="http://nowhere"))
