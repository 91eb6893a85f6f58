"""`slatewise policy` and `slatewise diff`, run as people run them, against a real service."""

import json
import os
import subprocess
import sys

import pytest

from serve.policies import NO_AD_ON_TOP, PLAIN, body, changed, desk_of, policy_of, serving

STRICT = changed(NO_AD_ON_TOP)


def run(*arguments, url="http://127.0.0.1:9", token="ada"):
    environment = {"COLUMNS": "160", "NO_COLOR": "1", "SLATEWISE_URL": url, "SLATEWISE_TOKEN": token}
    command = [sys.executable, "-m", "slatewise.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.fixture
def policies(tmp_path):
    files = []
    for name, document in (("plain", PLAIN), ("strict", STRICT)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(document))
    return [str(file) for file in files]


def test_a_policy_goes_its_way_from_the_command_line(policies):
    with serving(desk_of()) as client:
        url = str(client.base_url)
        for number in range(3):
            client.post("/v1/compose", content=body(number))
        strict, start = policy_of(STRICT).hash, policy_of(PLAIN).hash
        pushed = run("policy", "push", policies[1], url=url)
        assert (pushed.stdout, pushed.stderr) == (f"{strict}\n", "")
        early = run("policy", "promote", strict, url=url)
        assert early.returncode == 1
        assert early.stderr.startswith(
            f"policy: must be tried beside the active policy, got {strict}; ask for its shadow"
        )
        tried = run("policy", "shadow", strict, url=url)
        assert tried.returncode == 0
        assert "3 requests, 0 equal pages (0.0%), overlap 1.000" in tried.stdout
        assert "post 1 (posts)" in tried.stdout
        for share in ("0.1", "1"):
            listed = json.loads(run("policy", "canary", strict, "--share", share, "--json", url=url).stdout)
            assert listed["record"]["share"] == float(share)
        assert run("policy", "promote", strict, url=url).returncode == 0
        assert json.loads(run("policy", "show", url=url).stdout)["compose"]["constrain"]["rules"][0]["first"] == 1
        table = run("policy", "list", url=url).stdout
        assert [row.split()[:2] for row in table.splitlines() if row.strip().startswith(strict)] == [[strict, "active"]]
        assert "3 of 3 pages" in table
        for _ in range(2):
            back = json.loads(run("policy", "rollback", "--of", strict, "--json", url=url).stdout)
            assert back["record"]["active"] == start


def test_a_shadow_with_failures_exits_with_1(policies, tmp_path):
    needs = tmp_path / "needs.json"
    needs.write_text(json.dumps(changed(columns={"utility": "number", "price": "number"})))
    with serving(desk_of()) as client:
        client.post("/v1/compose", content=body())
        policy = run("policy", "push", str(needs), url=str(client.base_url)).stdout.splitlines()
        assert "column `price` (number) is new: requests must bring it" in policy[1]
        done = run("policy", "shadow", policy[0], url=str(client.base_url))
    assert done.returncode == 1
    assert "1 requests get no page" in done.stdout
    assert "candidates.price: must be given" in done.stdout or "price" in done.stdout


def test_diff_says_offline_what_would_change(policies, tmp_path):
    requests = tmp_path / "requests.jsonl"
    requests.write_bytes(b"\n".join(body(number) for number in range(5)) + b"\n")
    report = json.loads(run("diff", *policies, str(requests), "--json").stdout)
    assert (report["requests"], report["equal"], report["overlap"]) == (5, 0, 1.0)
    assert report["policies"] == [policy_of(PLAIN).hash, policy_of(STRICT).hash]
    again = run("diff", policies[0], policies[0], str(requests))
    assert (again.returncode, "5 requests, 5 equal pages (100.0%)" in again.stdout) == (0, True)
    requests.write_bytes(b"")
    assert run("diff", *policies, str(requests)).stdout == "no requests\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["policy", "list"], "url: must be that of a service that runs"),
        (["policy", "push", "nowhere.yaml"], "policy: must be a readable text file"),
        (["diff", "nowhere.yaml", "nowhere.yaml", "requests.jsonl"], "policy: must be a readable text file"),
    ],
)
def test_what_is_not_there_is_refused_by_name(arguments, told):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)


def test_a_service_says_in_its_own_words_why_it_refuses():
    with serving(desk_of()) as client:
        refused = run("policy", "list", url=str(client.base_url), token="")
        assert (refused.returncode, refused.stderr) == (1, "authorization: must be a bearer token\n")
        unknown = run("policy", "promote", "nothing", "--json", url=str(client.base_url))
        assert json.loads(unknown.stdout)["error"]["where"] == "policy"
