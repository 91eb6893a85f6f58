"""Settings: how a service runs, told by a file, by the environment and on the command line.

    defaults < file < environment < command line

The later one wins, field by field. `limits.candidates` is `SLATEWISE_LIMITS_CANDIDATES` in the environment. Whatever
does not fit is refused with the place that said it; secrets are never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypeAlias, final, get_args

import msgspec
from msgspec import Meta

from slatewise.core.document import Document, convert, spelled
from slatewise.core.errors import PolicyError, RequestError, nearest, shown
from slatewise.core.faults import find_fault
from slatewise.serve.limits import Limits
from slatewise.serve.log.journal import LogSettings

PREFIX = "SLATEWISE_"
SECRETS = ("token", "key", "state")
"""Fields that are not shown; the address of a store may hold a password."""
ELSEWHERE = ("SLATEWISE_DATA", "SLATEWISE_URL")
"""Variables that other parts read."""
LINKED = re.compile(r"SLATEWISE_(SERVICE_|PORT_).*")
"""Variables that Kubernetes sets in every container beside a service of that name."""

NO_TOKEN = "must be an address of this machine only, as there is no token"
HOW = "set SLATEWISE_TOKEN or --token-file, or say --open"

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=3_600)]


@final
class Telemetry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where spans go.

    Attributes:
        endpoint: Address of a collector that takes OTLP over HTTP, such as `http://localhost:4318`; None for no spans.
        sample: Share of requests with a span, of those whose caller has not decided.
    """

    endpoint: Text | None = None
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.01


@final
class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a service runs.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        workers: Processes; one for each core that may be used.
        access: Whether a service that others can reach needs a `token`, or is `open`.
        token: The token that opens everything.
        token_file: File of tokens, see `serve/tokens.py`.
        key: What page tokens are sealed with, 16 characters at least; made up if not given, and gone with the process.
        state: Where shared state is kept: `memory:`, `sqlite:PATH` or `redis://...`; None takes memory for one worker,
            and a file that is gone with the service for several.
        journal: The decision log; None keeps none.
        rollout: What serves at the start: what was put to work last, if the store knows (`resume`), or the policy's
            `file`, everywhere.
        limits: The largest request that is served.
        telemetry: Where spans go.
        log_level: The least that is written to standard error.
        log_form: As `json` lines, as `text`, or (`auto`) as text on a terminal only.
        drain_s: Seconds between telling the load balancer to go elsewhere, and listening no more.
        grace_s: Seconds that requests may then still take, and then each part to write what it holds.
        keep_alive_s: Seconds that an idle connection is kept; longer than the load balancer keeps it.
    """

    host: Text = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    access: Literal["token", "open"] = "token"
    token: Annotated[str, Meta(min_length=16, max_length=4_096)] | None = None
    token_file: Text | None = None
    key: Annotated[str, Meta(min_length=16, max_length=4_096)] | None = None
    state: Text | None = None
    journal: LogSettings | None = None
    rollout: Literal["resume", "file"] = "resume"
    limits: Limits = Limits()
    telemetry: Telemetry = Telemetry()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_form: Literal["auto", "json", "text"] = "auto"
    drain_s: Seconds = 1.0
    grace_s: Seconds = 10.0
    keep_alive_s: Seconds = 75.0

    def __repr__(self) -> str:
        """Return all that is no secret."""
        fields = ", ".join(f"{name}={value!r}" for name, value in shareable(self).items())
        return f"Settings({fields})"


class Said(NamedTuple):
    """A value and who said it."""

    value: Any
    source: str


def load(file: Path | None = None, *, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Return the settings of a service.

    Args:
        file: YAML, TOML or JSON.
        environ: The environment.
        flags: Path of a field, such as `limits.candidates`, to what the command line says; None where it says nothing.

    Raises:
        RequestError: Some value does not fit, or two do not fit together; the source says who said it.
    """
    said = _of_file(file) if file is not None else {}
    said |= _of_environment(environ)
    said |= _of_flags(flags)
    nested: dict[str, Any] = {}
    for path, (value, _) in said.items():
        section, _dot, name = path.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        settings = msgspec.convert(nested, Settings, strict=True)
    except msgspec.ValidationError as error:
        finding = find_fault(str(error), nested, Settings)
        raise RequestError(spelled(finding.path), finding.rule, finding.got, finding.hint) from None
    _check(settings, said)
    return settings


def shareable(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain data, with `***` for what must not be shown."""
    plain = msgspec.to_builtins(settings)
    return {name: "***" if name in SECRETS and value is not None else value for name, value in plain.items()}


def fields() -> dict[str, Any]:
    """Return the path of every field and its type."""
    return dict(_leaves(Settings, ""))


def variable(path: str) -> str:
    """Return the name that a field has in the environment.

    >>> variable("limits.candidates")
    'SLATEWISE_LIMITS_CANDIDATES'
    """
    return PREFIX + path.replace(".", "_").upper()


def _leaves(kind: type[msgspec.Struct], above: str) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(kind):
        for held in (field.type, *get_args(field.type)):  # a section, or one that may be missing
            if isinstance(held, type) and issubclass(held, msgspec.Struct):
                yield from _leaves(held, f"{above}{field.name}.")
                break
        else:
            yield above + field.name, field.type


def _of_file(file: Path) -> dict[str, Said]:
    try:
        document = Document.read(file)
        convert(document, (), document.data, Settings)
    except PolicyError as error:
        where = error.where.replace("policy", "settings", 1) if error.where == "policy" else error.where
        got = None if where in SECRETS else error.got
        raise RequestError(where, error.rule, got, error.hint, error.source) from None
    said: dict[str, Said] = {}
    for path in fields():
        section, _, name = path.rpartition(".")
        holder = document.data.get(section) or {} if section else document.data
        if name in holder:
            line = document.lines.get(tuple(path.split(".")))
            said[path] = Said(holder[name], str(file) if line is None else f"{file}:{line}")
    return said


def _of_environment(environ: Mapping[str, str]) -> dict[str, Said]:
    known = {variable(path): path for path in fields()}
    said: dict[str, Said] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in ELSEWHERE or LINKED.fullmatch(name):
            continue
        if name == "SLATEWISE_PORT" and text.startswith("tcp://"):
            continue  # that, too, is Kubernetes
        path = known.get(name)
        if path is None:
            raise RequestError(name, "is no setting", hint=nearest(name, known), source="environment")
        said[path] = Said(_converted(path, text, name), name)
    return said


def _of_flags(flags: Mapping[str, Any]) -> dict[str, Said]:
    said: dict[str, Said] = {}
    for path, value in flags.items():
        if value is not None:
            section, _, name = path.rpartition(".")
            source = "--" + (section if name == "folder" else name).replace("_", "-")
            said[path] = Said(_converted(path, value, source), source)
    return said


def _converted(path: str, value: Any, source: str) -> Any:
    kind = fields()[path]
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        finding = find_fault(str(error), value, kind)
        got = None if path in SECRETS else finding.got
        raise RequestError(path, finding.rule, got, finding.hint, source) from None


def _check(settings: Settings, said: Mapping[str, Said]) -> None:
    def refuse(field: str, rule: str, got: str | None, hint: str) -> NoReturn:
        raise RequestError(field, rule, got, hint, said[field].source if field in said else "")

    if not may_listen(settings, settings.host):
        refuse("host", NO_TOKEN, shown(settings.host), HOW)
    if settings.workers > 1 and settings.state is not None and settings.state.startswith("memory"):
        hint = "take sqlite:PATH or redis://..., or leave it out"
        refuse("state", "must be a store that several workers can share", "memory", hint)


def may_listen(settings: Settings, host: str) -> bool:
    """Tell whether the service may be reached at an address: others need a token, unless all are welcome."""
    guarded = settings.token is not None or settings.token_file is not None
    return guarded or settings.access == "open" or loopback(host)


def loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address.

    >>> loopback("127.0.0.1"), loopback("::1"), loopback("localhost"), loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
