"""Policies at work: policy list, show, push, shadow, canary, promote, rollback; and diff, which needs no service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from slatewise.cli.shared import (
    REFUSED,
    AsJson,
    PolicyFile,
    app,
    extra,
    feed_of,
    note,
    print_json,
    refusals,
    show,
)

if TYPE_CHECKING:
    from slatewise.serve.rollout.diff import Report

policy = typer.Typer(help="Change the policies of a running service.", no_args_is_help=True)
app.add_typer(policy, name="policy")

_T = TypeVar("_T")

Url = Annotated[str, typer.Option(help="Address of the service.", envvar="SLATEWISE_URL")]
Token = Annotated[str, typer.Option(help="Token that opens policies.", envvar="SLATEWISE_TOKEN", show_envvar=True)]
Hash = Annotated[str, typer.Argument(help="Hash of a policy; or active, canary, previous.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Also if it was not tried, or failed when it was.")]

HERE = "http://127.0.0.1:8000"
PATIENCE_S = 300.0
"""How long a policy may take to compile, or to compose logged requests."""


@policy.command("list")
def list_(url: Url = HERE, token: Token = "", as_json: AsJson = False) -> None:
    """Show all policies, who serves them, and what was changed lately."""
    with refusals(as_json), extra("client"):
        _show_policies(_ask(url, token, "GET", ""), as_json)


@policy.command("show")
def show_(policy: Hash = "active", url: Url = HERE, token: Token = "") -> None:
    """Print what a policy says, as JSON."""
    import msgspec

    with refusals(False), extra("client"):
        print_json(msgspec.Raw(_ask(url, token, "GET", f"/{policy}")))


@policy.command()
def push(
    policy: PolicyFile,
    validate: Annotated[bool, typer.Option("--validate", help="Only check it there; keep nothing.")] = False,
    url: Url = HERE,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Send a policy, with all that its file takes from others, and print its hash; it does not serve yet."""
    import msgspec

    from slatewise.core.policy import Policy
    from slatewise.stages import STAGES

    with refusals(as_json), extra("client"):
        from slatewise.render_diff import pushed_lines
        from slatewise.serve.rollout.record import Pushed

        body = msgspec.json.encode(Policy.load(policy, STAGES).document())
        pushed = _read(_ask(url, token, "POST", "/validate" if validate else "", body), Pushed)
        print_json(pushed) if as_json else show(pushed_lines(pushed))


@policy.command()
def shadow(
    policy: Hash,
    last: Annotated[int, typer.Option(help="How many of the last requests.", min=1)] = 200,
    url: Url = HERE,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Compose the last requests with a policy, and show what would change; exit code 1 if some get no page."""
    with refusals(as_json), extra("client"):
        from slatewise.serve.rollout.diff import Report

        _show_report(_read(_ask(url, token, "POST", f"/{policy}/shadow", _json(last=last)), Report), as_json)


@policy.command()
def canary(
    policy: Hash,
    share: Annotated[float, typer.Option(help="Share of users, from 0 (nobody) to 1.", min=0, max=1)],
    force: Force = False,
    url: Url = HERE,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Let a policy serve a share of users; they stay the same as the share grows."""
    with refusals(as_json), extra("client"):
        body = _json(share=share, force=force)
        _show_policies(_ask(url, token, "POST", f"/{policy}/canary", body), as_json)


@policy.command()
def promote(policy: Hash, force: Force = False, url: Url = HERE, token: Token = "", as_json: AsJson = False) -> None:
    """Let a policy serve everybody; the one before is kept, ready to be rolled back to."""
    with refusals(as_json), extra("client"):
        _show_policies(_ask(url, token, "POST", f"/{policy}/promote", _json(force=force)), as_json)


@policy.command()
def rollback(
    of: Annotated[str | None, typer.Option(help="Only if this policy serves; its hash.")] = None,
    url: Url = HERE,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Take the canary away; or, where there is none, go back to the policy that served before."""
    with refusals(as_json), extra("client"):
        _show_policies(_ask(url, token, "POST", "/rollback", _json(of=of)), as_json)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Policy file.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="Policy file.", show_default=False)],
    requests: Annotated[Path, typer.Argument(help="Requests: .jsonl, one body on each line.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show what changes on the pages of a file of requests from one policy to another; exit code 1 if some get none."""
    with refusals(as_json):
        from time import perf_counter

        from slatewise.serve.rollout.offline import logged, sides
        from slatewise.serve.rollout.shadow import shadowed

        pair = sides(feed_of(before).policy, feed_of(after).policy)
        _show_report(shadowed(logged(requests), *pair, clock=perf_counter), as_json)


def _ask(url: str, token: str, method: str, route: str, body: bytes | None = None) -> bytes:
    """Return what the service says.

    Raises:
        RequestError: It refused, or it is not there.
    """
    import httpx
    import msgspec

    from slatewise.core.errors import RequestError

    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    where = f"{url.rstrip('/')}/v1/policies{route}"
    try:
        reply = httpx.request(method, where, content=body, headers=headers, timeout=PATIENCE_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RequestError("url", f"must be that of a service that runs ({error})", where) from None
    if reply.is_success:
        return reply.content
    try:
        told = msgspec.json.decode(reply.content)["error"]
        fields = (told["where"], told["rule"], told["got"], told["hint"])
    except (msgspec.DecodeError, KeyError, TypeError):
        rule = f"must be that of a service with policies (it answered {reply.status_code})"
        raise RequestError("url", rule, where) from None
    raise RequestError(*fields)


def _read(reply: bytes, kind: type[_T]) -> _T:
    import msgspec

    from slatewise.core.errors import RequestError

    try:
        return msgspec.json.decode(reply, type=kind)
    except msgspec.ValidationError as error:
        raise RequestError("url", f"must be that of a service of this version ({error})") from None


def _json(**fields: Any) -> bytes:
    import msgspec

    return msgspec.json.encode(fields)


def _show_policies(reply: bytes, as_json: bool) -> None:
    from slatewise.render_diff import policies_tables
    from slatewise.serve.rollout.desk import Policies

    policies = _read(reply, Policies)
    print_json(policies) if as_json else show(policies_tables(policies))


def _show_report(report: Report, as_json: bool) -> None:
    from slatewise.render_diff import report_tables

    print_json(report) if as_json else show(report_tables(report))
    if report.failed:
        if not as_json:
            note(f"{report.failed} of {report.requests} requests get no page")
        raise typer.Exit(REFUSED)
