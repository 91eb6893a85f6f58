"""Settings: who wins, what is refused and with whose name, and that secrets stay secret."""

import pytest

from slatewise import RequestError
from slatewise.serve.process.settings import Settings, fields, load, loopback, shareable, variable

SECRET = "correct-horse-battery"


def told(tmp_path, text="", environ=None, **flags):
    file = tmp_path / "serve.yaml"
    file.write_text(text)
    return load(file if text else None, environ=environ or {}, flags=flags)


def test_the_command_line_wins_over_the_environment_over_the_file_over_defaults(tmp_path):
    text = "port: 1\nworkers: 2\ndrain_s: 3\nlimits: {slots: 4, candidates: 5}\n"
    environ = {"SLATEWISE_WORKERS": "6", "SLATEWISE_DRAIN_S": "7", "SLATEWISE_LIMITS_SLOTS": "8", "HOME": "/"}
    found = told(tmp_path, text, environ, drain_s=9.0, log_level=None)
    assert (found.host, found.port, found.workers, found.drain_s) == ("127.0.0.1", 1, 6, 9.0)
    assert (found.limits.slots, found.limits.candidates, found.limits.text) == (8, 5, 256)


@pytest.mark.parametrize(
    ("text", "environ", "flags", "message"),
    [
        ("prot: 1\n", {}, {}, "{file}:1: prot: is not known here; did you mean 'port'?"),
        ("host: x\nport: many\n", {}, {}, "{file}:2: port: must be a whole number, got 'many'"),
        ("limits: {slots: 0}\n", {}, {}, "{file}:1: limits.slots: must be >= 1, got 0"),
        ("", {"SLATEWISE_PORT": "70000"}, {}, "SLATEWISE_PORT: port: must be <= 65535, got '70000'"),
        ("", {"SLATEWISE_WORKRES": "2"}, {}, "environment: SLATEWISE_WORKRES: is no setting; did you mean"),
        ("", {}, {"log_level": "loud"}, "--log-level: log_level: must be one of 'debug', 'error'"),
        ("host: 0.0.0.0\n", {}, {}, "{file}:1: host: must be an address of this machine only, as there is no token"),
        ("", {}, {"workers": 2, "state": "memory:"}, "--state: state: must be a store that several workers can share"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_name_of_whoever_said_it(tmp_path, text, environ, flags, message):
    with pytest.raises(RequestError) as refused:
        told(tmp_path, text, environ, **flags)
    assert str(refused.value).startswith(message.format(file=tmp_path / "serve.yaml"))


@pytest.mark.parametrize(
    ("environ", "flags"),
    [({"SLATEWISE_TOKEN": SECRET}, {}), ({}, {"token_file": "tokens.yaml"}), ({}, {"access": "open"})],
)
def test_others_may_reach_it_with_a_token_or_when_that_is_said(tmp_path, environ, flags):
    assert told(tmp_path, environ=environ, host="0.0.0.0", **flags).host == "0.0.0.0"


def test_what_kubernetes_says_of_a_service_of_that_name_is_no_setting(tmp_path):
    environ = {
        "SLATEWISE_PORT": "tcp://10.0.0.1:80",
        "SLATEWISE_PORT_80_TCP_ADDR": "10.0.0.1",
        "SLATEWISE_SERVICE_HOST": "10.0.0.1",
    }
    assert told(tmp_path, environ=environ).port == 8000


def test_secrets_are_not_shown(tmp_path):
    environ = {"SLATEWISE_TOKEN": SECRET, "SLATEWISE_KEY": SECRET, "SLATEWISE_STATE": f"redis://:{SECRET}@store"}
    found = told(tmp_path, environ=environ)
    assert found.token == SECRET
    assert SECRET not in repr(found) + str(found) + str(shareable(found))
    for name in ("TOKEN", "KEY"):
        with pytest.raises(RequestError) as refused:
            told(tmp_path, environ={f"SLATEWISE_{name}": "tooshort"})
        assert "tooshort" not in str(refused.value)
    with pytest.raises(RequestError) as refused:
        told(tmp_path, "token: tooshort\n")
    assert "tooshort" not in str(refused.value)


def test_every_field_has_a_variable_of_its_own():
    variables = {variable(path) for path in fields()}
    assert len(variables) == len(fields())
    assert {"SLATEWISE_HOST", "SLATEWISE_LIMITS_BODY_BYTES", "SLATEWISE_TELEMETRY_SAMPLE"} <= variables
    assert loopback(Settings().host)


def test_the_documentation_has_every_setting(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "operations.md").read_text()
    for path in fields():
        assert f"| `{path}` | `{variable(path)}` | " in page
    assert page.count("` | `SLATEWISE_") == len(fields())
