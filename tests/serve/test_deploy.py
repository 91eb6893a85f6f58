"""What is deployed: the unit and the image say what the program takes, and give it no more than it needs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest

SAFE = 20
"""Exposure of a unit, as `systemd-analyze security` counts it in tenths: 0 is none, 100 everything."""


@pytest.fixture
def deploy(pytestconfig):
    return pytestconfig.rootpath / "deploy"


@pytest.fixture(scope="module")
def options():
    """The options of `slatewise serve`."""
    command = [sys.executable, "-m", "slatewise.cli", "serve", "--help"]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "300"}
    ).stdout
    return set(re.findall(r"--[a-z-]+", told))


def instructions(file):
    """Return the instructions of a Containerfile: name and the rest."""
    text = re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(re.split(r"\s+", line, maxsplit=1)) for line in text.splitlines() if line.strip()]


def settings_of(unit):
    """Return what a unit says: key to values, empty ones included."""
    found = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_starts_what_there_is_and_as_the_program_expects(deploy, options):
    unit = settings_of(deploy / "slatewise.service")
    program, verb, *rest = shlex.split(unit["ExecStart"][0])
    assert (program.rsplit("/", 1)[1], verb) == ("slatewise", "serve")
    assert {word for word in rest if word.startswith("--")} <= options
    assert unit["Type"] == ["notify"], "it says itself when it is ready"
    assert unit["KillMode"] == ["mixed"], "workers are told by the process above them, once"
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert unit["DynamicUser"] == ["yes"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_unit_and_little_that_it_may_do(deploy, tmp_path):
    unit = tmp_path / "slatewise.service"
    text = (deploy / "slatewise.service").read_text()
    unit.write_text(text.replace("/opt/slatewise/bin/slatewise", shutil.which("true")))
    shutil.copy(deploy / "slatewise.socket", tmp_path)

    def analyze(*arguments):
        command = ["systemd-analyze", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    verified = analyze("verify", str(unit), str(tmp_path / "slatewise.socket"))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    judged = analyze("security", "--offline=true", f"--threshold={SAFE}", str(unit))
    assert judged.returncode == 0, judged.stdout[-200:] + judged.stderr


def test_the_image_copies_what_there_is_and_builds_as_the_makefile_does(deploy, pytestconfig):
    root = pytestconfig.rootpath
    steps = instructions(deploy / "Containerfile")
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from=build"):
            assert all((root / source.lstrip("./") or root).exists() for source in rest.split()[:-1]), rest
    runs = " ".join(rest for name, rest in steps if name == "RUN")
    built = re.search(r"-m build (--wheel --outdir dist \.)", (root / "Makefile").read_text())
    assert f"-m build {built[1]}" in runs
    extras = set(re.search(r"\[([a-z,]+)\]", runs)[1].split(","))
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert {"serve", "redis", "telemetry"} <= extras <= project["optional-dependencies"].keys()
    wanted = [one for extra in extras for one in project["optional-dependencies"][extra]]
    assert not [one for one in wanted if one.startswith(("torch", "slatewise", "lightgbm"))]
    version = re.search(r"python:(3\.\d+)-slim", steps[0][1])[1]
    assert f">={version}" == project["requires-python"]


def test_the_image_runs_as_nobody_in_particular_and_stops_as_it_should(deploy, options):
    steps = instructions(deploy / "Containerfile")
    last = [place for place, (name, _) in enumerate(steps) if name == "FROM"][-1]
    final = dict(steps[last:])
    assert int(final["USER"]) > 1_000
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(final["ENTRYPOINT"]) == ["slatewise"], "a shell in between would keep the signal to itself"
    command = json.loads(final["CMD"])
    assert command[0] == "serve"
    assert {word for word in command if word.startswith("--")} <= options
    health = json.loads(final["HEALTHCHECK"].partition("CMD ")[2])
    compile(health[2], "health", "exec")
    assert f"http://127.0.0.1:{command[command.index('--port') + 1]}/healthz" in health[2]
    assert "pip" not in " ".join(rest for name, rest in steps[last:] if name == "RUN"), "compilers stay behind"
