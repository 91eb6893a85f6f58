"""Spans: what OpenTelemetry shows of a request, for a sample of them.

One span a request, with an event for each step and the way a page was served as attributes. Whether a request has one
is decided before anything is made: by its caller's `traceparent` if there is one, else by chance. A request without a
span costs a look at its headers and a random number.

References:
    W3C (2021), "Trace Context", sections 3.2 and 3.3: the form of `traceparent`, and what a service does with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from random import random
from time import time_ns
from typing import Any, NamedTuple, final

from slatewise import __version__
from slatewise.core.errors import RequestError
from slatewise.serve.log.journal import Decision
from slatewise.serve.process.logs import CURRENT
from slatewise.serve.process.settings import Telemetry

TRAIL = "slatewise.trail"
"""Where the trail of a request stands in its ASGI scope."""
STEPS = ("encode", "compose", "reserve", "decode")
"""Last one first."""

_FORM = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Parent(NamedTuple):
    """The span of a caller.

    Attributes:
        trace: Number of the trace.
        span: Number of the span.
        sampled: Whether the caller keeps it.
    """

    trace: int
    span: int
    sampled: bool


def parent_of(sent: bytes) -> Parent | None:
    """Read a `traceparent`; None if it is none, as then a trace begins here.

    >>> parent_of(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    """
    found = _FORM.fullmatch(sent)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return Parent(int(found[2], 16), int(found[3], 16), bool(int(found[4], 16) & 1))


@final
class Trail:
    """The span of a request that is answered.

    Attributes:
        header: The `traceparent` that its reply carries.
    """

    __slots__ = ("_span", "header")

    def __init__(self, span: Any) -> None:
        """Take a span that has begun."""
        self._span = span
        context = span.get_span_context()
        self.header = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()

    def note(self, decision: Decision) -> None:
        """Write down how a page was served, and when its steps ended: backwards from now."""
        served, page = decision.served, decision.page
        self._span.set_attributes(
            {
                "slatewise.policy": decision.policy.hash,
                "slatewise.variant": served.variant,
                "slatewise.rung": served.rung,
                "slatewise.quality": served.quality,
                "slatewise.state": served.state,
                "slatewise.status": page.status.kind,
                "slatewise.candidates": len(decision.request.candidates),
                "slatewise.slots": len(page.items),
                "slatewise.age_ms": decision.timings_ms["age"],
            }
        )
        ended = time_ns()
        for step in STEPS:
            self._span.add_event(step, timestamp=ended)
            ended -= round(max(decision.timings_ms[step], 0.0) * 1e6)

    def end(self, code: int) -> None:
        """End the span with the status code of the reply."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("http.response.status_code", code)
        if code >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


@final
class Spans:
    """Decides which requests have a span, and sends those."""

    def __init__(self, telemetry: Telemetry, *, exporter: Any = None, chance: Callable[[], float] = random) -> None:
        """Begin to send.

        Args:
            telemetry: Where to, and how many.
            exporter: What sends; OTLP over HTTP if not given.
            chance: Gives numbers that are even over [0, 1).

        Raises:
            RequestError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                exporter = OTLPSpanExporter(f"{(telemetry.endpoint or '').rstrip('/')}/v1/traces", timeout=2)
        except ModuleNotFoundError as error:
            rule = f"needs {error.name}, which is not installed"
            raise RequestError("telemetry.endpoint", rule, hint="pip install 'slatewise[telemetry]'") from None
        resource = Resource.create({"service.name": "slatewise", "service.version": __version__})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("slatewise", __version__)
        self._sample = telemetry.sample
        self._chance = chance

    def begin(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Trail | None:
        """Return the trail of a request; None if it is not among the sample."""
        parent = None
        for name, value in headers:
            if name == b"traceparent":
                parent = parent_of(value)
                break
        if not (parent.sampled if parent is not None else self._chance() < self._sample):
            return None
        from opentelemetry.trace import SpanKind

        attributes = {"http.request.method": method, "url.path": path}
        span = self._tracer.start_span(
            f"{method} {path}", _context(parent), kind=SpanKind.SERVER, attributes=attributes
        )
        return Trail(span)

    def close(self) -> None:
        """Send what is there."""
        self._provider.shutdown()


def note(decision: Decision) -> None:
    """Write a page down on the trail of the request that is answered, if it has one."""
    scope = CURRENT.get()
    if scope is not None and (trail := scope.get(TRAIL)) is not None:
        trail.note(decision)


def _context(parent: Parent | None) -> Any:
    """Return what a span begins under; the surroundings of the task if there is no parent."""
    if parent is None:
        return None
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    flags = TraceFlags(TraceFlags.SAMPLED)
    return set_span_in_context(NonRecordingSpan(SpanContext(parent.trace, parent.span, True, flags)))
