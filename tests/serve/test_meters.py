"""Meters: pages are counted right and cheaply, and whatever the dashboard and the alarms ask for is exported."""

import asyncio
import gc
import itertools
import json
import re
import weakref
from importlib.resources import files

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from slatewise.ladder import Conditions
from slatewise.serve.http.replies import Served
from slatewise.serve.log.journal import Decision
from slatewise.serve.process import garbage
from slatewise.serve.process.meters import METERS, Meters, exported
from slatewise.serve.state.shared import Remembered
from slatewise.serve.wire import Wire

DASHBOARDS = files("slatewise.serve.process") / "dashboards"
ROWS = [
    {"item_id": f"i{row}", "line": "posts", "p_click": row / 10, "p_share": 0.1, "local": False} for row in range(3)
]
TIMINGS = {"age": 1.0, "decode": 2.0, "reserve": 0.0, "compose": 4.0, "encode": -1.0}


@pytest.fixture(scope="module")
def decision(feed):
    request = Wire(feed.policy).convert({"slots": 4, "candidates": ROWS}).request
    page = feed.compose(request)
    served = Served(page="token", rung="greedy", level=1, quality=0.5, state="stale", state_age_ms=250.0)
    under = Conditions(granted={"ads a day": {"": 0}, "author": {"x": 2}})
    return Decision(feed.policy, request, b"{}", "application/json", under, Remembered(), page, served, TIMINGS)


def read(meters):
    """Return every sample, by its name and labels."""
    families = text_string_to_metric_families(meters.text().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def counted(decision, times=1):
    meters = Meters()
    meters.put_in([(decision.policy, "active", ["full", "greedy"])])
    for _ in range(times):
        meters.served(decision, latency_s=0.007)
    return read(meters)


def test_a_page_is_counted_under_every_name_that_it_is_about(decision):
    found, policy = counted(decision, times=2), ("policy", decision.policy.hash)
    assert found["slatewise_pages_total", policy, ("rung", "greedy"), ("variant", "active")] == 2
    assert found["slatewise_pages_total", policy, ("rung", "full"), ("variant", "active")] == 0
    assert found["slatewise_latency_seconds_bucket", ("le", "0.008")] == 2
    assert found["slatewise_latency_seconds_bucket", ("le", "0.006")] == 0
    assert found["slatewise_step_seconds_total", ("step", "compose")] == pytest.approx(2 * 0.004)
    assert found["slatewise_step_seconds_total", ("step", "encode")] == 0, "clocks that go back count nothing"
    assert found["slatewise_items_total", ("line", "posts"), policy] == 2 * 3
    assert found["slatewise_missing_slots_total",] == 2 * 1
    for relaxation in decision.page.status.relaxed:
        assert found["slatewise_relaxed_total", policy, ("rule", relaxation.rule)] == 2
    assert found["slatewise_capped_total", ("cap", "ads a day"), policy] == 2
    assert ("slatewise_capped_total", ("cap", "author"), policy) not in found
    assert found["slatewise_state_pages_total", ("state", "stale")] == 2
    assert found["slatewise_state_age_seconds",] == 0.25
    assert found["slatewise_quality", policy] == 0.5


def test_counting_a_page_looks_up_no_labels(decision, monkeypatch):
    meters = Meters()
    rungs = ["full", "greedy"]
    meters.put_in([(decision.policy, "active", rungs)])
    decision = decision._replace(under=Conditions())
    monkeypatch.setattr(MetricWrapperBase, "labels", lambda *_: pytest.fail("labels were looked up"))
    meters.served(decision, latency_s=0.001)
    meters.refused(400)
    meters.shed("crowd")
    meters.read()


def test_policies_that_serve_are_counted_and_those_that_did_are_not(decision):
    meters = Meters()
    meters.put_in([(decision.policy, "active", ["full"])])
    meters.put_in([(decision.policy, "canary", ["full"])])
    found, policy = read(meters), ("policy", decision.policy.hash)
    assert found["slatewise_policy_workers", policy, ("role", "active")] == 0
    assert found["slatewise_policy_workers", policy, ("role", "canary")] == 1


def test_what_parts_count_by_themselves_is_followed():
    meters, totals = Meters(), iter([3, 5, 1, 4])
    meters.follow("slatewise_log_dropped_total", lambda: next(totals), "queue")
    meters.follow("slatewise_log_waiting", lambda: 7.0)
    seen = [read(meters)["slatewise_log_dropped_total", ("why", "queue")] for _ in range(4)]
    assert seen == [3, 5, 5, 8], "a part that begins again at one takes nothing back"
    assert meters.one("slatewise_log_waiting")._value.get() == 7


def test_collections_and_lateness_are_seen_while_it_watches():
    async def watched():
        meters = Meters()
        task = asyncio.create_task(meters.watch())
        await asyncio.sleep(0)
        gc.collect()
        while not read(meters)["slatewise_loop_lag_seconds_count",]:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return read(meters)

    listening = len(gc.callbacks)
    found = asyncio.run(watched())
    assert found["slatewise_gc_pause_seconds_count", ("generation", "2")] >= 1
    assert found["slatewise_memory_bytes",] > 1e6
    assert found["slatewise_open_files",] >= 3
    assert len(gc.callbacks) == listening, "it listens no more"


def test_what_is_loaded_at_the_start_is_not_looked_at_again():
    class Cycle:
        def __init__(self):
            self.own = self

    before = gc.get_threshold()
    try:
        loaded = Cycle()
        garbage.settle()
        later = Cycle()
        of_loaded, of_later = weakref.ref(loaded), weakref.ref(later)
        del loaded, later
        garbage.sweep()
        assert of_loaded() is not None
        assert of_later() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_the_table_is_what_is_exported(decision):
    names = {name for name, *_ in counted(decision)}
    assert names <= exported()
    without_labels = {meter.name for meter in METERS if not meter.labels and meter.kind != "histogram"}
    assert without_labels <= names
    assert all(re.fullmatch(r"slatewise_[a-z_]+", meter.name) and meter.says.endswith(".") for meter in METERS)
    assert all(meter.name.endswith("_total") == (meter.kind == "counter") for meter in METERS)


def queries():
    dashboard = json.loads((DASHBOARDS / "slatewise.json").read_text())
    alarms = YAML(typ="safe", pure=True).load((DASHBOARDS / "alerts.yaml").read_text())
    asked = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked += [("variables", one["definition"]) for one in dashboard["templating"]["list"] if "definition" in one]
    rules = [rule for group in alarms["groups"] for rule in group["rules"]]
    return asked, rules


def test_every_name_that_the_dashboard_and_the_alarms_use_is_exported():
    asked, rules = queries()
    recorded = {rule["record"] for rule in rules if "record" in rule}
    labels = {meter.name: set(meter.labels) for meter in METERS}
    used = set()
    for where, query in asked + [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules]:
        for name, chosen in re.findall(r"\b(slatewise[a-z0-9_:]*)(?:\{([^}]*)\})?", query):
            assert name in exported() | recorded, f"{where}: {name} is not exported"
            meter = re.sub(r"_(bucket|sum|count)$", "", name)
            used.add(meter)
            matched = set(re.findall(r"(\w+)!?=~?\"", chosen)) - {"job", "instance", "le"}
            assert matched <= labels.get(meter, set()), f"{where}: {name} has no label {matched}"
            assert query.count("(") == query.count(")"), where
    assert {meter.name for meter in METERS} <= used, "what nobody looks at need not be measured"


def test_bounds_that_queries_ask_for_are_bounds_of_the_buckets():
    bounds = {(name, dict(labels).get("le")) for name, *labels in read(Meters())}
    bounds |= {(f"{meter.name}_bucket", None) for meter in METERS}
    asked, rules = queries()
    for _, query in asked + [("", rule["expr"]) for rule in rules]:
        for name, bound in re.findall(r"(\w+_bucket)\{[^}]*le=\"([^\"]+)\"", query):
            assert (name, bound) in bounds, query


def test_grafana_can_load_the_dashboard():
    dashboard = json.loads((DASHBOARDS / "slatewise.json").read_text())
    assert dashboard["uid"] == "slatewise"
    assert dashboard["schemaVersion"] >= 36
    assert "id" not in dashboard, "whoever loads it gives it one"
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_an_alarm_says_how_bad_it_is_and_what_to_do(pytestconfig):
    _, rules = queries()
    runbook = (pytestconfig.rootpath / "docs" / "operations.md").read_text()
    for rule in rules:
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]
            for heading in re.findall(r'docs/operations.md, "([^"]+)"', rule["annotations"]["description"]):
                assert f"## {heading}\n" in runbook, heading


def test_the_documentation_has_the_table(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "operations.md").read_text()
    for meter in METERS:
        labels = ", ".join(f"`{label}`" for label in meter.labels)
        assert f"| `{meter.name}` | {meter.kind} | {labels} | {meter.says} |\n" in page
    assert page.count("| `slatewise_") == len(METERS)
