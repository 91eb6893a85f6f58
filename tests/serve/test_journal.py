"""The decision log: what is in it, which pages are, and that nothing that happens to it happens to a request."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
import time
from hashlib import blake2b, sha256
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from decided import Decider
from slatewise import Candidates, Policy, RequestError
from slatewise.core.document import Document
from slatewise.serve.events.seal import Seal
from slatewise.serve.limits import Limits
from slatewise.serve.log import journal as journals
from slatewise.serve.log import records, segments
from slatewise.serve.log.decisions import Noted, decision_schema, event_schema, json_schema, table_of
from slatewise.serve.log.digest import candidates_digest
from slatewise.serve.log.journal import Journal, LogSettings
from slatewise.serve.log.reading import read_decisions, read_events
from slatewise.serve.log.records import drawn
from slatewise.serve.log.segments import named, prune
from slatewise.serve.process.meters import Meters
from slatewise.serve.rollout.rollout import Deployed, Rollout
from slatewise.serve.service import Call, Service
from slatewise.serve.state.shared import Shared
from slatewise.serve.wire import JSON
from slatewise.stages import STAGES

LOG = {"pages": 1.0, "inputs": 1.0, "traces": 0.0}
ROWS = [
    {"item_id": f"i{row}", "line": line, "p_click": row / 10, "p_share": None, "author": "x", "local": row == 3}
    for row, line in enumerate(["posts", "ads", "posts", "videos", "ads", "posts"])
]
BODY = {"request_id": "r1", "user": "ida", "slots": 3, "seed": 7, "candidates": ROWS}


@pytest.fixture(scope="module")
def document(pytestconfig):
    return Policy.load(pytestconfig.rootpath / "tests" / "golden" / "policy.yaml", STAGES).document()


def policy_of(document, **log):
    """Return the policy with these shares of the log."""
    return Policy.parse(Document({**document, "serve": {"log": {**LOG, **log}}}, "", {}), STAGES)


@pytest.fixture(scope="module")
def decide(document):
    return Decider(policy_of(document))


def until(true, seconds=60.0):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def logged(folder, decisions=(), events=(), **settings):
    """Write a log and return its journal, closed."""
    journal = Journal(LogSettings(folder=str(folder), **settings), key=b"key")
    for decision in decisions:
        journal.offer(decision)
    for event in events:
        journal.event(event)
    journal.close(within_s=60.0)
    return journal


def test_a_record_says_how_its_page_was_made_and_what_came_out(tmp_path, decide):
    decision = decide(BODY, time=1234.5, trace=True)
    logged(tmp_path, [decision])
    (row,) = read_decisions(tmp_path)
    assert list(row) == decision_schema().names
    page = json.loads(decision.page.encode())
    assert row["items"] == [
        {"slot": item["slot"], "item": item["item_id"], "line": item["line"], "utility": item["utility"]}
        for item in page["items"]
    ]
    told = {
        "time": 1234.5, "page": decision.served.page, "request": "r1", "user": "ida", "seed": 7, "rows": 6, "slots": 3,
        "policy": decide.policy.hash, "rung": "full", "level": 0, "quality": 1.0, "variant": "active", "control": "",
        "granted": "{}", "conditions_time": 1234.5, "value": page["value"], "status": page["status"]["kind"],
        "missing": page["status"]["missing"], "probability": 1.0, "draws": [], "models": [], "trace": None,
        "body": decision.body, "media": JSON, "candidates": candidates_digest(decision.request.candidates),
        "digest": sha256(decide.pages[decision.served.page]).hexdigest(),
        "timings": {"age": 0.5, "decode": 0.25, "reserve": 0.0, "compose": 2.0, "encode": 0.125},
    }  # fmt: skip
    assert {name: row[name] for name in told} == told
    assert json.loads((tmp_path / "policies" / f"{decide.policy.hash}.json").read_bytes())["slots"] == 10


def test_the_service_hands_every_page_to_the_log(tmp_path, document):
    journal = Journal(LogSettings(folder=str(tmp_path)))
    rollout = Rollout(Deployed(policy_of(document, traces=1.0), Limits()))
    service = Service(rollout, shared=Shared(), journal=journal, meters=Meters(), seal=Seal(b"k" * 16))
    call = Call(json.dumps({**BODY, "request_id": ""}).encode(), JSON, time.monotonic(), budget_ms=60_000.0)
    reply = json.loads(asyncio.run(service.compose(call)))
    journal.close(within_s=60.0)
    (row,) = read_decisions(tmp_path)
    assert row["page"] == reply["served"]["page"]
    assert [item["item"] for item in row["items"]] == [item["item_id"] for item in reply["items"]]
    assert row["body"] == call.body
    assert "trace" not in reply
    assert len(json.loads(row["trace"])["slots"]) == len(row["items"])
    assert all(took >= 0.0 for took in row["timings"].values())
    names: list[str] = []
    service.journal = SimpleNamespace(  # what it samples by is the same before and after the page
        wants_trace=lambda policy, name: names.append(name), offer=lambda decision: names.append(decision.name)
    )
    asyncio.run(service.compose(call))
    asyncio.run(service.compose(call._replace(body=json.dumps(BODY).encode())))
    page = service.seal.read(row["page"], now=row["time"]).page
    assert names == [page, page, "r1", "r1"]
    assert row["time"] == row["conditions_time"] == pytest.approx(time.time(), abs=600)


def test_the_digest_knows_candidates_by_what_they_are():
    rng = np.random.default_rng(3)
    n = 40
    kinds = {"score": "number?", "author": "key?", "tags": "keys?", "local": "flag", "picture": "embedding?"}
    data = {
        "item_id": [f"i{row}" for row in range(n)],
        "line": rng.choice(["posts", "ads"], n).tolist(),
        "score": [None if row % 7 == 0 else float(value) for row, value in enumerate(rng.random(n))],
        "author": [[None, "ida", "lea", 3][one] for one in rng.integers(0, 4, n)],
        "tags": [[None, ["a"], ["a", "b"], [1, "b"]][one] for one in rng.integers(0, 4, n)],
        "local": (rng.random(n) < 0.5).tolist(),
        "picture": [None if row % 5 == 0 else rng.random(3).tolist() for row in range(n)],
    }

    def digest(columns):
        return candidates_digest(Candidates.of(columns, kinds=kinds))

    plain = digest(data)
    for _ in range(5):
        order = rng.permutation(n)
        names = rng.permutation(list(data)).tolist()
        assert digest({name: [data[name][row] for row in order] for name in names}) == plain
    others = {"score": 0.123, "author": "leo", "tags": ["b", "a"], "picture": [0.0, 0.0, 1.0], "line": "videos"}
    digests = {plain}
    for name, other in {**others, "local": not data["local"][2], "item_id": "j"}.items():
        assert data[name][2] != other
        digests.add(digest({**data, name: [*data[name][:2], other, *data[name][3:]]}))
    digests.add(digest({name: values[1:] for name, values in data.items()}))
    assert len(digests) == 9


@pytest.mark.parametrize("encoded", ["rows", "columns"])
def test_one_digest_whatever_the_encoding(decide, encoded):
    columns = {name: [row[name] for row in reversed(ROWS)] for name in ROWS[0]}
    body = {**BODY, "candidates": ROWS if encoded == "rows" else columns}
    assert candidates_digest(decide(body).request.candidates) == "2abc45d62d6f8c334572ff47b5f91e73"


def test_pages_are_drawn_by_name_and_every_process_draws_the_same(tmp_path, document):
    assert drawn("r1") == pytest.approx((0.340228932, 0.392323611, 0.088812368), abs=1e-9)
    names = [f"request {place}" for place in range(400)]
    lots = np.array([drawn(name) for name in names])
    assert abs(np.corrcoef(lots.T) - np.eye(3)).max() < 0.15
    decide = Decider(policy_of(document, pages=0.5, inputs=0.25))
    logged(tmp_path, [decide({**BODY, "request_id": name}) for name in names])
    kept = {row["request"]: row for row in read_decisions(tmp_path)}
    assert set(kept) == {name for name in names if drawn(name).pages < 0.5}
    assert {name for name, row in kept.items() if row["body"]} == {name for name in kept if drawn(name).inputs < 0.25}


def test_requests_without_a_name_are_drawn_by_their_page(tmp_path, document):
    decide = Decider(policy_of(document, pages=0.5))
    decisions = [decide({**BODY, "request_id": ""}) for _ in range(60)]
    logged(tmp_path, decisions)
    kept = [row["page"] for row in read_decisions(tmp_path)]
    assert kept == [token for token in decide.pages if drawn(token).pages < 0.5]


def test_a_trace_is_asked_for_where_the_log_will_have_it(tmp_path, document):
    decide = Decider(policy_of(document, pages=0.5, traces=0.3))
    journal = Journal(LogSettings(folder=str(tmp_path)))
    wanted = set()
    for name in map("r{}".format, range(60)):
        trace = journal.wants_trace(decide.policy, name)
        wanted |= {name} if trace else set()
        journal.offer(decide({**BODY, "request_id": name}, trace=trace))
    journal.offer(decide({**BODY, "request_id": "r1"}, trace=True))  # for the caller, and not for the log
    journal.close(within_s=60.0)
    rows = list(read_decisions(tmp_path))
    assert {row["request"] for row in rows if row["trace"]} == wanted
    assert wanted == {
        name for name in map("r{}".format, range(60)) if drawn(name).pages < 0.5 and drawn(name).traces < 0.3
    }
    assert not Journal().wants_trace(policy_of(document, traces=1.0), "r1")


@pytest.mark.parametrize(("limit", "why"), [({"queue": 5}, "queue"), ({"queue_mb": 0.1}, "bytes")])
def test_what_finds_the_queue_full_is_dropped_and_counted(tmp_path, decide, monkeypatch, limit, why):
    held = threading.Event()
    record = records.Recorder.decision
    monkeypatch.setattr(records.Recorder, "decision", lambda self, one: held.wait(60) and record(self, one))
    journal = Journal(LogSettings(folder=str(tmp_path), **limit))
    decision = decide(BODY)
    for _ in range(20):
        journal.offer(decision)
    room = 5 if why == "queue" else int(1e5 // (2 * len(decision.body) + journals.PAGE_BYTES))
    assert journal.drops[why] == journal.dropped
    assert 20 - room - 1 <= journal.dropped <= 20 - room  # one may be out of the queue by now
    held.set()
    until(lambda: not journal.waiting)
    dropped = journal.dropped
    for _ in range(room):
        journal.offer(decision)
    journal.close(within_s=60.0)
    assert journal.dropped == dropped
    assert len(list(read_decisions(tmp_path))) == 20 + room - dropped


def test_a_folder_that_goes_away_costs_nothing_and_gets_everything_when_it_is_back(tmp_path, decide, caplog):
    folder = tmp_path / "log"
    journal = Journal(LogSettings(folder=str(folder), segment_s=0.02))
    until(lambda: folder.is_dir())
    folder.rmdir()
    folder.write_text("in the way")
    for _ in range(10):
        journal.offer(decide(BODY))
    until(lambda: journal.failures >= 2)
    assert caplog.text.count("cannot be written") == 1  # and not once for each attempt
    folder.unlink()
    until(lambda: journal.written == 10)
    journal.close(within_s=60.0)
    assert len(list(read_decisions(folder))) == 10
    assert not journal.dropped


def test_a_full_disk_leaves_no_half_segment_and_bounded_memory(tmp_path, decide, monkeypatch):
    def full(table, where, **_):
        where.write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    journal = Journal(LogSettings(folder=str(tmp_path), segment_mb=0.005, queue=20))
    until(lambda: journal.offer(decide(BODY)) or (journal.failures > 1 and journal.drops["queue"] > 5))
    assert journal.waiting <= 20
    assert journal._segments[0].size < 50_000
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".json"]
    journal.close(within_s=60.0)
    assert journal.drops["closing"] >= 20
    assert journal.written == 0


def test_a_segment_is_seen_whole_or_not_at_all(tmp_path, decide):
    journal = Journal(LogSettings(folder=str(tmp_path), segment_mb=0.002))
    seen = []
    for place in range(200):
        journal.offer(decide({**BODY, "request_id": f"r{place}"}))
        if place % 40 == 39:
            until(lambda before=len(seen): journal.written > before)
            seen = [row["request"] for row in read_decisions(tmp_path)]
            assert seen == [f"r{place}" for place in range(len(seen))]
    journal.close(within_s=60.0)
    rows = [row["request"] for row in read_decisions(tmp_path)]
    assert rows == [f"r{place}" for place in range(200)]  # names of segments sort by time
    assert len(segments.segments(tmp_path)) > 5


def test_a_record_that_no_column_can_hold_takes_no_other_along(tmp_path, decide):
    decisions = [decide(BODY) for _ in range(12)]
    wrong = decisions[3]._replace(served=msgspec.structs.replace(decisions[3].served, rung="\ud800"))
    unmade = decisions[5]._replace(under=None)
    journal = logged(tmp_path, [*decisions[:3], wrong, decisions[4], unmade, *decisions[6:]])
    assert len(list(read_decisions(tmp_path))) == journal.written == 10
    assert journal.drops["record"] == journal.dropped == 2


def test_closing_gives_up_in_time_and_counts_what_is_lost(tmp_path, decide, monkeypatch):
    held = threading.Event()
    record = records.Recorder.decision
    monkeypatch.setattr(records.Recorder, "decision", lambda self, one: held.wait(60) and record(self, one))
    journal = Journal(LogSettings(folder=str(tmp_path)))
    for _ in range(5):
        journal.offer(decide(BODY))
    journal.close(within_s=0.2)
    assert journal.drops["closing"] in (4, 5)  # one may be out of the queue
    journal.close()
    journal.offer(decide(BODY))
    assert journal.drops["closing"] in (5, 6)
    held.set()


def test_old_segments_go_and_what_others_name_stays(tmp_path, decide):
    day = 86_400.0
    for age, name in [(9, "a"), (5, "b"), (1, "c")]:
        logged(tmp_path / name, [decide(BODY)])
        (path,) = segments.segments(tmp_path / name)
        (tmp_path / "decisions").mkdir(exist_ok=True)
        path = path.rename(tmp_path / "decisions" / f"{named('w', 1, now=1e9 - age * day)}.parquet")
        os.utime(path, (0, 1e9 - age * day))
    size = path.stat().st_size
    (tmp_path / "policies").mkdir()
    for age, name in [(8, "only a"), (0.5, "all")]:
        (tmp_path / "policies" / f"{name}.json").write_text("{}")
        os.utime(tmp_path / "policies" / f"{name}.json", (0, 1e9 - age * day))
    assert prune(tmp_path, keep_mb=1.0, keep_days=30, now=1e9) == 0
    assert prune(tmp_path, keep_mb=1.0, keep_days=7, now=1e9) == 1
    assert [path.stem for path in (tmp_path / "policies").glob("*")] == ["all"]
    assert prune(tmp_path, keep_mb=1.5 * size / 1e6, keep_days=7, now=1e9) == 1
    assert [one.name for one in segments.segments(tmp_path)] == [path.name]


def test_what_a_segment_names_is_written_again_if_it_is_gone(tmp_path, decide):
    journal = Journal(LogSettings(folder=str(tmp_path), segment_s=0.02))
    for count in (1, 2):
        journal.offer(decide(BODY))
        until(lambda count=count: journal.written == count)
        (document,) = (tmp_path / "policies").glob("*.json")
        document.unlink()
    journal.close()


@pytest.mark.parametrize(
    ("users", "told"),
    [("plain", "ida"), ("hashed", blake2b(b"ida", digest_size=16, key=b"key").hexdigest()), ("none", "")],
)
def test_users_are_logged_as_the_log_is_set_up_and_bodies_too(tmp_path, decide, users, told):
    logged(tmp_path, [decide(BODY)], [Noted("app", "e1", "click", 1.0, 2.0, user="ida")], users=users)
    (row,), (event,) = read_decisions(tmp_path), read_events(tmp_path)
    assert row["user"] == event["user"] == json.loads(row["body"])["user"] == told
    assert {**json.loads(row["body"]), "user": "ida"} == BODY


def test_inputs_whose_user_cannot_be_taken_out_are_not_kept(tmp_path, document):
    weight = {**document["blend"]["weight"], "explore": {"step": 0.1, "salt": "s"}}
    exploring = Decider(policy_of({**document, "blend": {**document["blend"], "weight": weight}}))
    logged(tmp_path, [exploring(BODY), exploring({**BODY, "user": ""})], users="none")
    with_user, without = read_decisions(tmp_path)
    assert with_user["body"] is None
    assert without["body"] is not None
    assert [(one["line"], abs(one["way"]), one["propensity"]) for one in with_user["draws"]] == [
        (line, 1, 0.5) for line in document["lines"]
    ]
    assert without["draws"] == []


def test_hashes_need_a_key(tmp_path):
    with pytest.raises(RequestError, match=r"log\.users: must have a key to be hashed with, got none"):
        Journal(LogSettings(folder=str(tmp_path), users="hashed"))


def test_events_have_a_table_of_their_own(tmp_path):
    noted = Noted("app", "e1", "spend", 5.0, 6.0, page="p1", request="r1", item="i2", slot=3, amount=0.5)
    logged(tmp_path, (), [noted, noted._replace(id="e2", slot=None, counted="late")])
    assert list(read_events(tmp_path)) == [
        noted._asdict(),
        noted._replace(id="e2", slot=None, counted="late")._asdict(),
    ]
    with pytest.raises(RequestError, match="must be a folder with `decisions`"):
        list(read_decisions(tmp_path))


def test_without_pyarrow_a_log_is_refused_with_the_command_that_installs_it(tmp_path):
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from slatewise.serve.log.journal import Journal, LogSettings\n"
        "Journal()\n"
        "try: Journal(LogSettings(folder=sys.argv[1]))\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "log: needs pyarrow; pip install 'slatewise[parquet]'\n"


def test_the_documentation_has_the_tables_of_the_schemas(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "decision-log.md").read_text(encoding="utf-8")
    assert table_of(decision_schema()) in page
    assert table_of(event_schema()) in page


def test_rows_fit_the_json_schema_made_from_the_tables(tmp_path, decide):
    noted = Noted("app", "e1", "click", 5.0, 6.0)
    logged(tmp_path, [decide(BODY, trace=True)], [noted])
    (row,), (event,) = read_decisions(tmp_path), read_events(tmp_path)
    for schema, one in ((decision_schema(), {**row, "body": ""}), (event_schema(), event)):
        told = json_schema(schema)
        assert set(told["properties"]) == set(one)
        Draft202012Validator({**told, "additionalProperties": False}).validate(one)
        broken = {**one, schema.names[0]: []}
        assert not Draft202012Validator(told).is_valid(broken)
