"""The command line, run as people run it."""

import json
import os
import subprocess
import sys
from math import log, log2
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pyarrow
import pytest
from pyarrow import parquet

GOLDEN = Path(__file__).parent / "golden"
POLICY = str(GOLDEN / "policy.yaml")
REQUEST = {
    "request_id": "r1",
    "slots": 2,
    "candidates": [
        {"item_id": "a", "line": "posts", "p_click": 0.3, "local": False},
        {"item_id": "b", "line": "posts", "p_click": 0.2, "local": True},
        {"item_id": "c", "line": "ads", "p_click": 0.5, "local": False},
    ],
}


def run(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "slatewise.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
    )


@pytest.fixture
def request_file(tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST))
    return str(path)


def test_compose_prints_a_page_as_table_and_as_json(request_file):
    assert "feasible" in run("compose", POLICY, request_file).stdout
    page = json.loads(run("compose", POLICY, request_file, "--json").stdout)
    assert [item["item_id"] for item in page["items"]] == ["a", "b"]
    assert json.loads(run("compose", POLICY, "-", "--json", stdin=json.dumps(REQUEST)).stdout) == page


def test_explain_says_what_held_a_better_item_back(request_file):
    told = run("explain", POLICY, request_file, "--slot", "2").stdout
    assert "b" in told
    assert "one local" in told
    slots = json.loads(run("explain", POLICY, request_file, "--json").stdout)
    assert slots[1]["held_back"]["rule"] == "one local"


def test_check_draws_the_pipeline(request_file):
    picture = run("check", POLICY).stdout
    places = [picture.index(name) for name in ("score.fuse", "blend.calibrate", "blend.merge", "compose.solve")]
    assert places == sorted(places)
    assert "at most 2 rows with line ads in the first 10 slots" in picture
    assert set(json.loads(run("check", POLICY, "--json").stdout)) == {"hash", "policy"}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_replay_composes_a_file_of_requests(tmp_path, form):
    bodies = [{**REQUEST, "request_id": f"r{number}", "context": {"tenure": "new"}} for number in range(5)]
    path, out = tmp_path / f"requests.{form}", tmp_path / "pages.jsonl"
    if form == "jsonl":
        path.write_text("\n".join(map(json.dumps, bodies)) + "\n")
    else:
        parquet.write_table(pyarrow.Table.from_pylist(bodies), path)
    summary = json.loads(run("replay", POLICY, str(path), "--out", str(out), "--threads", "2", "--json").stdout)
    assert (summary["pages"], summary["slots"]) == (5, 10)
    pages = [json.loads(line) for line in out.read_text().splitlines()]
    assert [page["request_id"] for page in pages] == [f"r{number}" for number in range(5)]
    single = json.loads(run("compose", POLICY, "-", "--json", stdin=json.dumps(bodies[0])).stdout)
    assert pages[0] == single


def test_replay_writes_nothing_where_a_request_is_refused(tmp_path):
    path, out = tmp_path / "requests.jsonl", tmp_path / "pages.jsonl"
    out.write_text("as before")
    path.write_text(json.dumps(REQUEST) + "\n" + json.dumps({**REQUEST, "slots": 0}) + "\n")
    done = run("replay", POLICY, str(path), "--out", str(out))
    assert done.returncode == 1
    assert f"{path}:2: slots: must be >= 1, got 0" in done.stderr
    assert out.read_text() == "as before"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["pages.jsonl", "requests.jsonl"]


def test_names_are_shown_as_they_are(tmp_path):
    path = tmp_path / "request.json"
    path.write_text(json.dumps({**REQUEST, "candidates": [{**REQUEST["candidates"][0], "item_id": "[/b][red]x"}]}))
    assert "[/b][red]x" in run("compose", POLICY, str(path)).stdout


@pytest.mark.parametrize("out", ["nowhere/pages.jsonl", ".", "requests.jsonl"])
def test_replay_refuses_an_output_that_cannot_be(tmp_path, out):
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps(REQUEST) + "\n")
    done = run("replay", POLICY, str(path), "--out", str(tmp_path / out))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert path.read_text() == json.dumps(REQUEST) + "\n"


@pytest.fixture
def tradeoff_files(tmp_path):
    policy, requests = tmp_path / "feed.yaml", tmp_path / "requests.jsonl"
    policy.write_text(
        "{version: 1, lines: [posts], columns: {utility: number, topic: key}, slots: 2, compose: {spread: {terms: ["
        "{name: topics, variant: mmr, similar: [{same: topic}]}]}}}"
    )
    rows = [{"item_id": name, "line": "posts", "utility": worth, "topic": name[0]} for name, worth in
            (("a1", 1.0), ("a2", 0.8), ("b1", 0.4))]  # fmt: skip
    requests.write_text(json.dumps({"candidates": rows}) + "\n")
    return str(policy), str(requests), tmp_path / "out"


def test_tradeoff_says_what_variety_costs_and_draws_it(tradeoff_files):
    policy, requests, out = tradeoff_files
    done = run("tradeoff", policy, requests, "--strengths", "0.5", "--variants", "mmr,gap", "--out", str(out), "--json")
    found = json.loads(done.stdout)
    assert [arm["name"] for arm in found["arms"]] == ["mmr", "gap"]
    start, half = found["arms"][0]["points"]
    assert (start["strength"], start["kept"], start["columns"]["topic"]["entropy"]) == (0, 1, 0)
    assert half["kept"] == pytest.approx((1 + 0.4 / log2(3)) / (1 + 0.8 / log2(3)))
    assert half["columns"]["topic"]["entropy"] == pytest.approx(log(2))
    assert half["columns"]["topic"]["divergence"] is None
    assert found["small"] == 1
    assert ElementTree.parse(out / "tradeoff.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    table = run("tradeoff", policy, requests, "--strengths", "0.5", "--slots", "1").stdout
    assert "largest strength that gives up at most" in table
    assert "requests with fewer than" not in table


def test_tradeoff_draws_only_where_it_can(tradeoff_files):
    policy, requests, _ = tradeoff_files
    done = run("tradeoff", policy, requests, "--out", policy)
    assert (done.returncode, "out: must be a folder" in done.stderr) == (1, True)
    without = "import sys; sys.modules['matplotlib'] = None; from slatewise.cli import app; app(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", without, "tradeoff", policy, requests, "--out", "."], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "is not installed: pip install 'slatewise[report]'" in done.stderr


def test_schema_is_json():
    assert json.loads(run("schema").stdout)["title"] == "slatewise policy"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["check", "nowhere.yaml"], 1, "policy: must be a readable text file"),
        (["compose", POLICY, "nowhere.json"], 1, "request: must be a readable file"),
        (["compose", POLICY], 2, "Missing argument"),
        (["serve", POLICY, "--port", "70000"], 2, "Usage"),
    ],
)
def test_exit_codes(arguments, code, told):
    done = run(*arguments)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_refusals_are_json_when_asked_for(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(POLICY).read_text().replace("first_slot", "first_slt"))
    done = run("check", str(bad), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["hint"] == "did you mean 'first_slot'?"


def test_help_imports_nothing_heavy():
    script = (
        "import sys, slatewise.cli as cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'scipy', 'msgspec', 'ruamel', 'starlette', 'uvicorn', 'matplotlib', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_the_core_needs_no_edge_library():
    script = (
        "import sys, slatewise.feed, slatewise.serve.wire\n"
        "edge = {'torch', 'pandas', 'polars', 'pyarrow', 'starlette', 'uvicorn', 'typer', 'rich', 'matplotlib'}\n"
        "assert not edge & set(sys.modules), edge & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_serve_says_where_it_listens_and_stops_when_asked():
    with subprocess.Popen(
        [sys.executable, "-m", "slatewise.cli", "serve", POLICY, "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as server:
        told = next(told for line in server.stderr if "http://" in (told := json.loads(line)["message"]))
        url = told.split()[-1]
        try:
            assert httpx.get(f"{url}/healthz", timeout=30).json()["policy"] in told
            busy = run("serve", POLICY, "--port", url.rsplit(":", 1)[1])
            assert (busy.returncode, "must have an address that is free" in busy.stderr) == (1, True)
        finally:
            server.terminate()
        assert server.wait(timeout=30) == 0


LOG = "line,score,outcome,scene\nads,0.5,1,day\nposts,0.5,1,day\nads,0.25,0,night\nads,0.5,1,day\n"


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (["--out", "log.csv"], "out: must be another file than the log, got log.csv"),
        (["--out", "log.csv/fitted.json"], "out: must be a file that can be written, got log.csv/fitted.json"),
        (["--segments", "score"], "segments: must be features of the request, each once, got 'score'"),
        (["--segments", "scene,scene"], "segments: must be features of the request, each once, got 'scene'"),
    ],
)
def test_a_fit_that_is_refused_says_why_and_writes_nothing(tmp_path, monkeypatch, options, refused):
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(LOG)
    done = run("fit", "calibrate", "log.csv", "--held", "0.5", "--out", "fitted.json", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == refused + "\n" or done.stderr.startswith(refused + " (")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("log.csv", LOG)]


def test_a_fit_from_a_policy_has_its_anchor(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    out = tmp_path / "fitted.json"
    done = run("fit", "weight", str(tmp_path / "log.csv"), "--out", str(out), "--policy", POLICY, "--anchor", "posts")
    assert (done.returncode, out.exists()) == (1, False)
    assert done.stderr == "anchor: must be that of the policy's `blend.weight`, got posts; leave it out\n"


@pytest.mark.parametrize(
    ("options", "code", "refused"),
    [
        (["--seed", "-1"], 2, "--seed"),
        (["--share", "=0.5", "--share", "ads=0.5"], 1, "share: must name a line, each once, got '=0.5'"),
        (["--share", "ads=0.5", "--share", "ads=0.5"], 1, "share: must name a line, each once, got 'ads=0.5'"),
        (["--budget", "0.2", "--share", "ads=0.5"], 1, "share: must be left out with a budget"),
        (["--requests", "3000", "--minutes", "60", "--out", "."], 1, "out: must be a file that can be written"),
    ],
)
def test_what_pacing_cannot_replay_or_draw_is_refused(tmp_path, monkeypatch, options, code, refused):
    monkeypatch.chdir(tmp_path)
    Path("pacing.svg").mkdir()
    done = run("pace-sim", *options)
    assert done.returncode == code
    assert refused in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pacing.svg"]


def test_a_snapshot_does_not_take_the_place_of_the_requests_or_the_pages(tmp_path):
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps(REQUEST) + "\n")
    for place in (requests, tmp_path / "pages.jsonl"):
        pages = ("--out", str(tmp_path / "pages.jsonl"))
        done = run("replay", POLICY, str(requests), "--window", "1", *pages, "--control-out", str(place))
        assert done.stderr == f"control_out: must be another file than the requests and the pages, got {place}\n"
    assert list(tmp_path.iterdir()) == [requests]
    assert json.loads(requests.read_text()) == REQUEST


def test_a_replay_of_nothing_says_so(tmp_path):
    (tmp_path / "none.jsonl").write_text("")
    done = run("replay", POLICY, str(tmp_path / "none.jsonl"))
    assert (done.returncode, done.stdout) == (0, "no pages\n")
