"""Meters: what is measured of the service, in the form that Prometheus reads.

`METERS` is the one table of names: the documentation, the dashboard and the alarms are checked against it. A page is
counted in plain numbers, some 4 microseconds of work; once a second, and when somebody asks, they are handed on to
children that were bound when policies were put in. What other parts count by themselves is followed at the same time.

Several workers write to files in a folder of their own (`PROMETHEUS_MULTIPROC_DIR`), and whichever is asked answers for
all. Labels name policies, lines, rules, caps and rungs, never items or users.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal, NamedTuple, final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from slatewise import __version__
from slatewise.core.policy import Policy
from slatewise.serve.log.journal import Decision
from slatewise.serve.process.garbage import Pauses

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEDIA = CONTENT_TYPE_LATEST
LATENCIES_S = (0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 1.0)
LAGS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
PAUSES_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
EVERY_S = 1.0
"""Between two readings of what is followed."""
AT_ONCE = 64
"""Latencies that are handed on together, at most: one by one each would cost three times as much."""
PROBE_S = 0.05
"""Between two looks at how late the event loop is."""


class Meter(NamedTuple):
    """A name that the service exports.

    Attributes:
        name: The name.
        kind: What it is; a histogram also exports `_bucket`, `_sum` and `_count`.
        labels: Names of its labels.
        says: What it measures.
        over: What becomes of a gauge that several workers have: the sum, or the largest.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    says: str
    over: Literal["livesum", "livemax"] = "livemax"


METERS: tuple[Meter, ...] = (
    Meter("slatewise_pages_total", "counter", ("policy", "variant", "rung"), "Pages served."),
    Meter("slatewise_latency_seconds", "histogram", (), "From the arrival of a request to its reply."),
    Meter("slatewise_step_seconds_total", "counter", ("step",), "Time that pages took, by step."),
    Meter("slatewise_refused_total", "counter", ("code",), "Replies that are no success, by status code."),
    Meter("slatewise_shed_total", "counter", ("why",), "Requests turned away: deadline, crowd, drain, starting."),
    Meter("slatewise_items_total", "counter", ("policy", "line"), "Items placed, by line."),
    Meter("slatewise_relaxed_total", "counter", ("policy", "rule"), "Pages on which a rule gave way."),
    Meter("slatewise_missing_slots_total", "counter", (), "Slots asked for and not filled."),
    Meter("slatewise_capped_total", "counter", ("policy", "cap"), "Pages on which a cap left nothing of some value."),
    Meter("slatewise_quality", "gauge", ("policy",), "The quality factor of the last page."),
    Meter("slatewise_state_pages_total", "counter", ("state",), "Pages by how fresh shared state was."),
    Meter("slatewise_state_age_seconds", "gauge", (), "Age of shared state at the last page."),
    Meter("slatewise_breaker_open", "gauge", (), "1 while the store is not asked, as it failed."),
    Meter("slatewise_store_failures_total", "counter", ("why",), "Calls of the store that failed: error, timeout."),
    Meter("slatewise_granted_alone_total", "counter", (), "Pages whose caps of users were granted without the store."),
    Meter("slatewise_settlements_lost_total", "counter", (), "Pages whose holds run out, as the queue was full."),
    Meter("slatewise_unbelieved_total", "counter", (), "Requests whose start no clock can have meant."),
    Meter("slatewise_log_waiting", "gauge", (), "Decisions that wait to be written.", "livesum"),
    Meter("slatewise_log_dropped_total", "counter", ("why",), "Decisions that the log does not have."),
    Meter("slatewise_policy_workers", "gauge", ("policy", "role"), "Workers with a policy: active, canary.", "livesum"),
    Meter("slatewise_canary_share", "gauge", (), "Share of users that the canary serves."),
    Meter("slatewise_rollbacks_total", "counter", ("why",), "Policies taken back: asked, guard."),
    Meter("slatewise_in_flight", "gauge", (), "Requests that are being answered.", "livesum"),
    Meter("slatewise_ready_workers", "gauge", (), "Workers that are warm, and not draining.", "livesum"),
    Meter("slatewise_loop_lag_seconds", "histogram", (), "How late the event loop is."),
    Meter("slatewise_gc_pause_seconds", "histogram", ("generation",), "Collections of cycles."),
    Meter("slatewise_memory_bytes", "gauge", (), "Resident memory of all workers.", "livesum"),
    Meter("slatewise_open_files", "gauge", (), "Open files and sockets of all workers.", "livesum"),
    Meter("slatewise_threads", "gauge", (), "Threads of all workers.", "livesum"),
    Meter("slatewise_build_info", "gauge", ("version",), "1, with the version."),
)
_BUCKETS = {
    "slatewise_latency_seconds": LATENCIES_S,
    "slatewise_loop_lag_seconds": LAGS_S,
    "slatewise_gc_pause_seconds": PAUSES_S,
}
_STEPS = ("age", "decode", "reserve", "compose", "encode")
_ALWAYS: dict[str, tuple[str, ...]] = {
    "slatewise_refused_total": ("400", "401", "403", "404", "413", "415", "500", "503"),
    "slatewise_shed_total": ("deadline", "crowd", "starting"),
    "slatewise_state_pages_total": ("fresh", "stale", "local"),
    "slatewise_store_failures_total": ("error", "timeout"),
    "slatewise_log_dropped_total": ("queue", "bytes", "record", "closing"),
    "slatewise_rollbacks_total": ("asked", "guard"),
    "slatewise_step_seconds_total": _STEPS,
    "slatewise_gc_pause_seconds": ("0", "1", "2"),
    "slatewise_build_info": (__version__,),
}
"""Label values that are exported from the start, so that rates have a beginning."""

_TALLIED = (
    "slatewise_pages_total",
    "slatewise_relaxed_total",
    "slatewise_capped_total",
    "slatewise_state_pages_total",
    "slatewise_refused_total",
    "slatewise_shed_total",
)


class _Bound(dict[Any, Any]):
    """Children of a meter by their labels; one that is new is bound when it is first asked for."""

    def __init__(self, meter: Any) -> None:
        super().__init__()
        self._meter = meter

    def __missing__(self, labels: str | tuple[str, ...]) -> Any:
        child = self[labels] = self._meter.labels(*((labels,) if isinstance(labels, str) else labels))
        return child


@final
class Meters:
    """What one process measures."""

    def __init__(self) -> None:
        """Start at zero."""
        self.registry = CollectorRegistry()
        self._bound = {meter.name: _Bound(_made(meter, self.registry)) for meter in METERS}
        for name, values in _ALWAYS.items():
            for value in values:
                _ = self._bound[name][value]
        self._tallies: dict[str, defaultdict[Any, float]] = {name: defaultdict(float) for name in _TALLIED}
        self._pages, self._relaxed, self._capped, self._states, self._refused, self._shed = self._tallies.values()
        self._lines: defaultdict[str, defaultdict[str, int]] = defaultdict(partial(defaultdict, int))
        self._took: defaultdict[str, float] = defaultdict(float)
        self._qualities: dict[str, float] = {}
        self._latencies: list[float] = []
        self._age_ms = 0.0
        self._missing = 0
        self._latency = self.one("slatewise_latency_seconds")
        self._lag = self.one("slatewise_loop_lag_seconds")
        self._followed: list[Callable[[], None]] = []
        self._pauses = Pauses()
        self._placed: list[tuple[Policy, str]] = []
        self.one("slatewise_build_info", __version__).set(1)

    def one(self, name: str, *labels: str) -> Any:
        """Return what to count on: a child of a meter, or the meter itself if it has no labels."""
        bound = self._bound[name]
        return bound[labels[0] if len(labels) == 1 else labels] if labels else bound._meter

    def put_in(self, placed: Iterable[tuple[Policy, str, Iterable[str]]]) -> None:
        """Take note of the policies that serve now: each with its role and the names of its rungs."""
        for policy, role in self._placed:
            self.one("slatewise_policy_workers", policy.hash, role).set(0)
        self._placed = []
        for policy, role, rungs in placed:
            self._placed.append((policy, role))
            self.one("slatewise_policy_workers", policy.hash, role).set(1)
            self.one("slatewise_quality", policy.hash)
            for rung in rungs:
                self.one("slatewise_pages_total", policy.hash, role, rung)
            for line in policy.head.lines:
                self.one("slatewise_items_total", policy.hash, line)
            for rule in policy.rules:
                self.one("slatewise_relaxed_total", policy.hash, rule.name)
            for cap in policy.head.serve.caps:
                self.one("slatewise_capped_total", policy.hash, cap.name)

    def follow(self, name: str, read: Callable[[], float], *labels: str) -> None:
        """Have a meter show what some part counts by itself: `read` gives a gauge's value, or a counter's total."""
        child = self.one(name, *labels)
        if not name.endswith("_total"):
            self._followed.append(lambda: child.set(read()))
            return
        seen = 0.0

        def go_on() -> None:
            nonlocal seen
            total = read()
            child.inc(max(total - seen, 0.0))
            seen = total

        self._followed.append(go_on)

    def served(self, decision: Decision, *, latency_s: float) -> None:
        """Count a page."""
        served, policy, page = decision.served, decision.policy.hash, decision.page
        self._latencies.append(latency_s)
        if len(self._latencies) >= AT_ONCE:
            self._observe()
        self._pages[policy, served.variant, served.rung] += 1
        self._states[served.state] += 1
        self._age_ms = served.state_age_ms
        self._qualities[policy] = served.quality
        took = self._took
        for step, spent_ms in decision.timings_ms.items():
            if spent_ms > 0:
                took[step] += spent_ms
        lines = self._lines[policy]
        for item in page.items:
            lines[item.line] += 1
        status = page.status
        self._missing += status.missing
        for relaxation in status.relaxed:
            self._relaxed[policy, relaxation.rule] += 1
        for cap, granted in decision.under.granted.items():
            if not granted or not min(granted.values()):
                self._capped[policy, cap] += 1

    def refused(self, code: int) -> None:
        """Count a request that got no page."""
        self._refused[str(code)] += 1

    def shed(self, why: str) -> None:
        """Count a request that was turned away: `deadline`, `crowd` or `starting`."""
        self._shed[why] += 1

    def read(self) -> None:
        """Hand on what was counted, and read what is followed."""
        self._observe()
        for name, tally in self._tallies.items():
            for labels, count in tally.items():
                self._bound[name][labels].inc(count)
            tally.clear()
        for policy, lines in self._lines.items():
            for line, count in lines.items():
                self.one("slatewise_items_total", policy, line).inc(count)
            lines.clear()
        for step, spent_ms in self._took.items():
            self.one("slatewise_step_seconds_total", step).inc(spent_ms * 1e-3)
        self._took.clear()
        for policy, quality in self._qualities.items():
            self.one("slatewise_quality", policy).set(quality)
        self.one("slatewise_state_age_seconds").set(self._age_ms * 1e-3)
        self.one("slatewise_missing_slots_total").inc(self._missing)
        self._missing = 0
        for go_on in self._followed:
            go_on()
        for pause in self._pauses.take():
            self.one("slatewise_gc_pause_seconds", str(pause.generation)).observe(pause.seconds)
        self.one("slatewise_memory_bytes").set(_resident())
        self.one("slatewise_open_files").set(_open_files())
        self.one("slatewise_threads").set(threading.active_count())

    def _observe(self) -> None:
        """Hand on latencies."""
        for latency_s in self._latencies:
            self._latency.observe(latency_s)
        self._latencies.clear()

    async def watch(self) -> None:
        """Read what is followed once a second, and how late the event loop is; until cancelled."""
        self._pauses.listen()
        try:
            due = monotonic()
            while True:
                asked = monotonic()
                await asyncio.sleep(PROBE_S)
                now = monotonic()
                self._lag.observe(max(now - asked - PROBE_S, 0.0))
                if now >= due:
                    self.read()
                    due = now + EVERY_S
        finally:
            self._pauses.stop()
            self.read()

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it; of all workers if there are several."""
        self.read()
        folder = os.environ.get(SHARED_FOLDER)
        if not folder:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, folder)
        return generate_latest(registry)


def exported() -> set[str]:
    """Return every name that a query can ask for."""
    names = {meter.name for meter in METERS}
    histograms = {meter.name for meter in METERS if meter.kind == "histogram"}
    return names | {f"{name}_{end}" for name in histograms for end in ("bucket", "sum", "count")}


def _made(meter: Meter, registry: CollectorRegistry) -> Any:
    match meter.kind:
        case "counter":
            return Counter(meter.name.removesuffix("_total"), meter.says, meter.labels, registry=registry)
        case "gauge":
            return Gauge(meter.name, meter.says, meter.labels, registry=registry, multiprocess_mode=meter.over)
        case "histogram":
            buckets = _BUCKETS[meter.name]
            return Histogram(meter.name, meter.says, meter.labels, registry=registry, buckets=buckets)


def _resident() -> float:
    """Return the memory that this process holds, in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return float(pages * os.sysconf("SC_PAGE_SIZE"))
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024  # the most so far: there is nothing better here
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
