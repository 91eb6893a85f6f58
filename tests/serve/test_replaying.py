"""Pages of a decision log come out again, byte for byte; and if they do not, the log says which and why."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import bodies
from decided import Decider, control_of
from slatewise import Policy, RequestError
from slatewise.core.document import Document
from slatewise.ladder import Conditions
from slatewise.serve.arrow import ARROW
from slatewise.serve.log.findings import report_of
from slatewise.serve.log.journal import Journal, LogSettings
from slatewise.serve.log.reading import count_decisions, read_decisions
from slatewise.serve.log.replaying import replayed
from slatewise.serve.log.segments import segments
from slatewise.serve.wire import JSON, Wire
from slatewise.stages import STAGES
from slatewise.testing import strategies

ROOT = Path(__file__).parent.parent.parent
KEEP = {"log": {"inputs": 1.0, "traces": 1.0}}


def logging(policy):
    """Return the policy, all of whose pages are logged with inputs and traces."""
    return Policy.parse(Document({**policy.document(), "serve": KEEP}, "", {}), STAGES)


def example(name):
    return logging(Policy.load(ROOT / "examples" / name, STAGES))


def write(folder, decisions):
    journal = Journal(LogSettings(folder=str(folder)))
    for decision in decisions:
        journal.offer(decision)
    journal.close(within_s=60.0)
    assert not journal.dropped


def blend_body(rng, name):
    lines = rng.choice(["posts", "live", "ads"], 30).tolist()
    return {
        "request_id": name,
        "user": f"u{rng.integers(20)}",
        "seed": int(rng.integers(5)),
        "time": float(rng.uniform(0, 86_400)),
        "context": {"scene": str(rng.choice(["day", "night"]))},
        "candidates": {
            "item_id": [f"i{row}" for row in range(30)],
            "line": lines,
            "score": [float(one) for one in rng.uniform(0.01, 0.4, 30)],
        },
    }


def spread_body(rng, name, state):
    n = 25
    lines = rng.choice(["posts", "videos", "ads"], n).tolist()
    columns = {
        "item_id": [int(one) for one in rng.permutation(200)[:n]],
        "line": lines,
        "p_click": rng.random(n).tolist(),
        "p_finish": rng.random(n).tolist(),
        "income": [float(rng.random()) if line == "ads" else None for line in lines],
        "author": [None if rng.random() < 0.3 else f"a{rng.integers(5)}" for _ in range(n)],
        "topic": [f"t{rng.integers(4)}" for _ in range(n)],
        "picture": [None if rng.random() < 0.2 else rng.random(4).tolist() for _ in range(n)],
        "subject": [None if rng.random() < 0.2 else [f"s{rng.integers(3)}", "x"] for _ in range(n)],
        "original": [None if rng.random() < 0.8 else "o1" for _ in range(n)],
        "bait": rng.random(n).tolist(),
        "published": [float(one) for one in rng.uniform(9.99e8, 1e9, n)],
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    body = {"request_id": name, "user": "u", "slots": 6, "candidates": rows if rng.random() < 0.5 else columns}
    return body if state is None else {**body, "state": state}


@settings(max_examples=12)
@given(data=st.data())
def test_any_page_under_any_policy_comes_out_byte_for_byte(data):
    policies = data.draw(st.lists(strategies.policies(), min_size=1, max_size=3))
    deciders = [Decider(logging(policy)) for policy in policies]
    decisions = []
    for place, body in enumerate(data.draw(st.lists(strategies.bodies(), min_size=1, max_size=6))):
        decide = deciders[place % len(deciders)]
        body = {**body, "user": data.draw(st.text(max_size=4)), "time": data.draw(st.sampled_from([0.0, 1e9]))}
        decisions.append(decide(body, trace=data.draw(st.booleans())))
    with TemporaryDirectory() as folder:
        write(folder, decisions)
        found = list(replayed(folder))
    assert [one.verdict for one in found] == ["identical"] * len(decisions), [one.difference for one in found]
    for one, decision in zip(found, decisions, strict=True):
        assert one.page is not None
        assert one.page.untraced().encode() == decision.page.untraced().encode()


def test_pages_whose_loops_moved_and_whose_weights_explore_come_out(tmp_path):
    decide, rng = Decider(example("blend.yaml")), np.random.default_rng(5)
    decisions, control, version = [], None, 0
    for place in range(60):
        if place % 12 == 11:
            control, version = control_of(decide.ladder, [one.request for one in decisions]), version + 1
        decisions.append(decide(blend_body(rng, f"r{place}"), control=control, version=version, trace=place % 2 == 0))
    write(tmp_path, decisions)
    rows = list(read_decisions(tmp_path))
    assert len({row["control"] for row in rows}) == 6  # the start and five moves
    assert all(row["draws"] for row in rows)
    report = report_of(replayed(tmp_path))
    assert (report.pages, report.identical, report.different) == (60, 60, 0)
    assert report.overlap == 1.0


def test_pages_of_a_session_come_out_with_what_it_has_seen(tmp_path):
    decide, rng = Decider(example("spread.yaml")), np.random.default_rng(6)
    decisions, state = [], None
    for place in range(24):
        decisions.append(decide(spread_body(rng, f"r{place}", None if place % 4 == 0 else state)))
        state = decisions[-1].page.state.token
    write(tmp_path, decisions)
    report = report_of(replayed(tmp_path))
    assert (report.identical, report.different) == (24, 0), report.differences


def test_pages_of_every_rung_and_of_capped_rows_come_out(tmp_path):
    document = {
        "version": 1,
        "lines": ["posts", "ads"],
        "columns": {"utility": "number", "fresh": "number"},
        "slots": 3,
        "serve": {
            **KEEP,
            "rungs": [{"name": "light", "candidates": 6, "keep": "fresh"}],
            "caps": [{"name": "ads seen", "group": {"line": "ads"}, "at_most": 5}],
        },
        "compose": {"solve": {}},
    }
    decide, rng = Decider(Policy.parse(Document(document, "", {}), STAGES)), np.random.default_rng(7)
    columns = {
        "item_id": list(range(40)),
        "line": ["posts", "ads"] * 20,
        "utility": rng.random(40).tolist(),
        "fresh": rng.random(40).tolist(),
    }
    decisions = [
        decide(
            {"request_id": "r", "candidates": columns},
            under=Conditions(rung=rung, quality=quality, granted={"ads seen": {"": 1}} if capped else {}),
        )
        for rung in range(len(decide.ladder.names))
        for quality in (1.0, 0.5)
        for capped in (False, True)
    ]
    write(tmp_path, decisions)
    assert {row["level"] for row in read_decisions(tmp_path)} == set(range(len(decide.ladder.names)))
    report = report_of(replayed(tmp_path))
    assert (report.identical, report.different) == (len(decisions), 0), report.differences


@pytest.mark.parametrize("media", [JSON, ARROW])
def test_pages_come_out_whose_requests_brought_columns_of_another_policy_too(tmp_path, media):
    plain = {"version": 1, "lines": ["posts"], "columns": {"utility": "number"}, "compose": {"solve": {}}}
    wider = {**plain, "slots": 2, "columns": {"utility": "number", "topic": "key?"}}
    active, canary = (Decider(logging(Policy.parse(Document(one, "", {}), STAGES))) for one in (plain, wider))
    active.wire = Wire(active.policy, ignored=["topic"])
    columns = {"item_id": [1, 2, 3], "line": ["posts"] * 3, "utility": [1.0, 3.0, 2.0], "topic": ["x", "y", "x"]}
    rest = {"request_id": "r"}
    body = bodies.streamed(columns, rest) if media == ARROW else {**rest, "candidates": columns}
    write(tmp_path, [active(body, media=media), canary(body, media=media)])
    (tmp_path / "policies" / "torn.json").write_bytes(b"{")
    report = report_of(replayed(tmp_path))
    assert (report.identical, report.different) == (2, 0), report.differences
    other = report_of(replayed(tmp_path, policy=active.policy))
    assert (other.pages, other.identical) == (2, 1), other.differences


def test_a_page_asked_for_in_rows_in_columns_or_in_arrow_has_one_digest_and_comes_out(tmp_path):
    policy = logging(Policy.load(ROOT / "tests" / "golden" / "policy.yaml", STAGES))
    decide = Decider(policy)
    rest = {**bodies.REST, "user": "ida"}
    decisions = [
        decide({**rest, "candidates": bodies.ROWS}),
        decide({**rest, "candidates": {name: values[::-1] for name, values in bodies.COLUMNS.items()}}),
        decide(bodies.streamed(bodies.COLUMNS, rest), media="application/vnd.apache.arrow.stream"),
    ]
    write(tmp_path, decisions)
    rows = list(read_decisions(tmp_path))
    assert len({row["candidates"] for row in rows}) == len({row["digest"] for row in rows}) == 1
    assert len({row["media"] for row in rows}) == 2
    assert report_of(replayed(tmp_path)).identical == 3
    hidden = tmp_path / "hidden"
    journal = Journal(LogSettings(folder=str(hidden), users="none"))
    for decision in decisions:
        journal.offer(decision)
    journal.close(within_s=60.0)
    assert [row["body"] is None for row in read_decisions(hidden)] == [False, False, True]


WRITER = """
import sys
from pathlib import Path
import numpy as np
import test_replaying as tests
from decided import Decider
decide, rng = Decider(tests.example("blend.yaml")), np.random.default_rng(int(sys.argv[2]))
tests.write(sys.argv[1], [decide(tests.blend_body(rng, f"{sys.argv[2]}-{place}")) for place in range(20)])
"""


def test_several_processes_write_one_log_and_another_one_replays_it(tmp_path):
    here = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(here), "COLUMNS": "120", "NO_COLOR": "1"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(seed)], env={**environment, "PYTHONHASHSEED": str(seed)}
        )
        for seed in (1, 2)
    ]
    assert [writer.wait(timeout=300) for writer in writers] == [0, 0]
    assert len(segments(tmp_path)) == 2
    command = [sys.executable, "-m", "slatewise.cli", "replay", str(tmp_path)]
    for more in ([], ["--json"]):
        done = subprocess.run(
            [*command, *more], env={**environment, "PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if more:
            assert json.loads(done.stdout)["identical"] == 40
        else:
            assert done.stdout.startswith("40 pages  40 replayed: 40 identical, 0 different; 0 without inputs")


@pytest.fixture
def small(tmp_path):
    """A log of a few pages, one of them without inputs."""
    decide, rng = Decider(example("blend.yaml")), np.random.default_rng(8)
    control = control_of(decide.ladder, [decide(blend_body(rng, "w")).request])
    decisions = [
        decide(blend_body(rng, f"r{place}"), control=control, version=3, trace=place == 2) for place in range(5)
    ]
    write(tmp_path, decisions)
    change(tmp_path, 4, body=None, media=None)
    return tmp_path


def change(folder, place, **columns):
    """Change columns of one record."""
    (path,) = segments(folder)
    table = parquet.read_table(path)
    rows = table.to_pylist()
    rows[place].update(columns)
    parquet.write_table(type(table).from_pylist(rows, table.schema), path)


def swapped(row):
    """Return a body whose first two scores are exchanged."""
    body = json.loads(row["body"])
    scores = body["candidates"]["score"]
    scores[0], scores[1] = scores[1], scores[0]
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("digest", "0" * 64, "digest"),
        ("value", 0.25, "value"),
        ("items", [], "items"),
        ("status", "empty", "status"),
        ("seed", 99, "seed"),
        ("draws", [], "draws"),
        ("candidates", "0" * 32, "candidates"),
        ("trace", "{}", "trace"),
        ("body", swapped, "candidates"),
        ("body", b'{"candidates": 5}', "candidates: "),
        ("level", 1, "rung: must be that of level 1 of the policy, got 'full'"),
        ("granted", "{", "granted: must be JSON as it was written"),
        ("control", "", "digest"),
        ("control", "nothing", "controls/nothing.json: must be in the folder of the log"),
        ("policy", "nothing", "policies/nothing.json: must be in the folder of the log"),
    ],
)
def test_a_record_that_was_changed_is_found_and_named(small, column, value, why):
    row = list(read_decisions(small))[2]
    change(small, 2, **{column: value(row) if callable(value) else value})
    report = report_of(replayed(small))
    assert (report.identical, report.different, report.without_inputs) == (3, 1, 1)
    (difference,) = report.differences
    assert difference.request == "r2"
    assert why in difference.why


def test_a_policy_that_was_changed_is_found_and_named(small):
    (path,) = (small / "policies").glob("*.json")
    document = json.loads(path.read_bytes())
    document["blend"]["calibrate"]["lines"]["ads"]["worth"] *= 1.5
    path.write_text(json.dumps(document))
    report = report_of(replayed(small))
    assert (report.identical, report.different) == (0, 4)
    assert f"policies/{path.name}: must be the policy that its name is the hash of" in report.differences[0].why


def test_a_memory_that_was_changed_is_found_and_named(small):
    (path,) = (small / "controls").glob("*.json")
    path.write_text(path.read_text().replace("0.", "0.1", 1))
    report = report_of(replayed(small))
    assert (report.identical, report.different) == (0, 4)
    assert f"controls/{path.name}: must be the snapshot that its name is the hash of" in report.differences[0].why


def test_a_page_that_comes_out_otherwise_is_shown_slot_by_slot(small):
    from slatewise.serve.log import replaying

    compose = replaying.Ladder.compose
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            replaying.Ladder,
            "compose",
            lambda self, request, under, **more: compose(
                self, msgspec.structs.replace(request, slots=3), under, **more
            ),
        )
        found = list(replayed(small))
    assert [one.verdict for one in found] == ["different"] * 4 + ["without inputs"]
    difference, row = found[0].difference, found[0].row
    assert difference is not None
    assert {slot: now for slot, (_, now) in difference.slots.items() if slot > 3} == dict.fromkeys(range(4, 9))
    assert difference.slots[8] == (row["items"][7]["item"], None)


def test_the_same_inputs_under_another_policy_say_what_it_would_have_shown(small):
    document = example("blend.yaml").document()
    document["blend"]["merge"]["layout"]["live"] = {"page_cap": 0}
    report = report_of(replayed(small, policy=Policy.parse(Document(document, "", {}), STAGES)))
    shares = {one.line: (one.served, one.replayed) for one in report.lines}
    assert shares["live"][0] > 0
    assert shares["live"][1] == 0
    assert 0.0 < report.overlap < 1.0
    assert report.replayed == 4
    assert report.identical + report.different == 4
    unchanged = report_of(replayed(small, policy=example("blend.yaml")))
    assert (unchanged.identical, unchanged.overlap) == (4, 1.0)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "slatewise.cli", "replay", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_leaves_with_1_if_some_page_differs(small, tmp_path):
    assert run(small, "--out", tmp_path / "pages.jsonl").returncode == 0
    pages = [json.loads(line) for line in (tmp_path / "pages.jsonl").read_text().splitlines()]
    assert [page["request_id"] for page in pages] == ["r0", "r1", "r2", "r3"]
    change(small, 1, digest="0" * 64)
    done = run(segments(small)[0])
    assert done.returncode == 1
    assert done.stdout.startswith("5 pages  4 replayed: 3 identical, 1 different; 1 without inputs")
    assert "r1" in done.stdout
    other = run(small, "--policy", ROOT / "examples" / "blend.yaml")
    assert other.returncode == 0  # under another policy, pages may differ
    assert "items in common 100.0%" in other.stdout


def test_what_is_no_log_is_refused(tmp_path):
    (tmp_path / "decisions").mkdir()
    with pytest.raises(RequestError, match="log: must be a folder with `decisions`, or a segment"):
        count_decisions(tmp_path)
    path = tmp_path / "decisions" / "a.parquet"
    path.write_text("no Parquet")
    with pytest.raises(RequestError, match="log: must be Parquet"):
        list(read_decisions(tmp_path))
    import pyarrow

    parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(RequestError, match="log: must be decisions of layout 1"):
        list(read_decisions(tmp_path))
    done = run(tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("log: ")
