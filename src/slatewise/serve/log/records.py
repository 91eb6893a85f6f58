"""Records: decisions and events as rows of the log's tables, and what a replay needs besides.

All of it is worked out away from requests. A share of pages is drawn by name, so that any process, today or later,
draws the same ones:

    u = blake2b(name) / 2**64 < share        with another 64 bits for pages, for inputs and for traces

Cost: about 0.2 ms for a page of 20 items from 300 candidates, half of it for the digest of the candidates.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from hashlib import blake2b, sha256
from typing import Any, Literal, NamedTuple, TypeAlias, final

import msgspec

from slatewise import __version__
from slatewise.core.control import Control
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.core.request import Request
from slatewise.models.model import Model
from slatewise.serve.log.decisions import STEPS, Decision, Noted
from slatewise.serve.log.digest import candidates_digest
from slatewise.serve.wire import JSON

Users: TypeAlias = Literal["plain", "hashed", "none"]
"""How users are logged: by name, by a keyed hash of it, or not at all."""

_KEPT = 16
"""Policies and snapshots that are remembered, so as not to be worked out again for the next page."""
_UNIT = 2.0**-64


class Drawn(NamedTuple):
    """Which parts of the log a page is in, as numbers from 0 to 1 that stand below a share or not.

    Attributes:
        pages: For its record.
        inputs: For the request as it came.
        traces: For its trace.
    """

    pages: float
    inputs: float
    traces: float


def drawn(name: str) -> Drawn:
    """Return what was drawn for a page.

    >>> shares = [drawn(f"request {place}").inputs for place in range(1000)]
    >>> sum(share < 0.1 for share in shares)
    92
    """
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=24, person=b"slatewise log").digest()
    return Drawn(*(int.from_bytes(digest[at : at + 8]) * _UNIT for at in (0, 8, 16)))


class File(NamedTuple):
    """What a record names, as a file of its own.

    Attributes:
        path: Where it stands in the folder of the log.
        text: What it holds.
    """

    path: str
    text: bytes


class Record(NamedTuple):
    """A row of a table.

    Attributes:
        row: Its columns.
        files: What has to be there for the page to be composed again.
    """

    row: dict[str, Any]
    files: tuple[File, ...] = ()


class _Told(NamedTuple):
    """What records say of a policy."""

    models: list[dict[str, str]]
    file: File


def request_columns(policy: Policy, request: Request) -> dict[str, Any]:
    """Return what a record says of a request, and of what chance decides on it."""
    return {
        "request": request.id,
        "seed": request.seed,
        "candidates": candidates_digest(request.candidates),
        "rows": len(request.candidates),
        "slots": policy.head.slots if request.slots is None else request.slots,
        "draws": [
            {"stage": stage.section, **chance._asdict()}
            for stage in policy.stages
            for chance in stage.chances(policy.head.lines, request)
        ],
    }


def page_columns(page: Page) -> dict[str, Any]:
    """Return what a record says of a page."""
    return {
        "items": [
            {"slot": item.slot, "item": str(item.item_id), "line": item.line, "utility": item.utility}
            for item in page.items
        ],
        "value": page.value,
        "status": page.status.kind,
        "relaxed": [{"rule": one.rule, "by": one.by} for one in page.status.relaxed],
        "missing": page.status.missing,
        "probability": page.slate.probability,
        "digest": sha256(page.untraced().encode()).hexdigest(),
    }


@final
class Recorder:
    """Makes records.

    Attributes:
        users: How users are logged.
    """

    def __init__(self, users: Users = "plain", *, key: bytes = b"") -> None:
        """Take the key of hashes; who does not have it cannot find out whether a user is in the log."""
        self.users: Users = users
        self._key = key
        self._policies: OrderedDict[str, _Told] = OrderedDict()
        self._controls: OrderedDict[int, tuple[Control, File]] = OrderedDict()

    def decision(self, decision: Decision) -> Record:
        """Return the record of a page."""
        policy, request, page, served, under = (
            decision.policy,
            decision.request,
            decision.page,
            decision.served,
            decision.under,
        )
        told = self._policy(policy)
        control = (
            None if request.control is None else self._control(policy, decision.remembered.version, request.control)
        )
        log, lots = policy.head.serve.log, drawn(decision.name)
        body = self._body(decision) if lots.inputs < log.inputs else None
        traced = page.trace is not None and lots.traces < log.traces
        row: dict[str, Any] = {
            "time": decision.time,
            "page": served.page,
            "user": self._user(request.user),
            "policy": policy.hash,
            "models": told.models,
            "version": __version__,
            "rung": served.rung,
            "level": under.rung,
            "quality": under.quality,
            "variant": served.variant,
            "state": served.state,
            "state_version": served.state_version,
            "state_age_ms": served.state_age_ms,
            "control": "" if control is None else control.path.removeprefix("controls/").removesuffix(".json"),
            "granted": msgspec.json.encode(under.granted, order="sorted").decode(),
            "conditions_time": under.time,
            "timings": {step: decision.timings_ms.get(step) for step in STEPS},
            "trace": msgspec.json.encode(page.trace).decode() if traced else None,
            "media": None if body is None else decision.media,
            "body": body,
            **request_columns(policy, request),
            **page_columns(page),
        }
        return Record(row, (told.file,) if control is None else (told.file, control))

    def event(self, noted: Noted) -> Record:
        """Return the record of an event."""
        return Record({**noted._asdict(), "user": self._user(noted.user)})

    def _user(self, user: str) -> str:
        if self.users == "none" or not user:
            return ""
        if self.users == "plain":
            return user
        return blake2b(user.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).hexdigest()

    def _body(self, decision: Decision) -> bytes | None:
        """Return the request as it came, but for its user where they are not logged by name; None if that cannot be.

        Where chance follows the user (`blend.weight` explores), another name would give another page.
        """
        request = decision.request
        if self.users == "plain" or not request.user:
            return decision.body
        drawing = any(stage.chances(decision.policy.head.lines, request) for stage in decision.policy.stages)
        if drawing or decision.media != JSON:
            return None
        fields = msgspec.json.decode(decision.body, type=dict[str, msgspec.Raw])
        fields["user"] = msgspec.Raw(msgspec.json.encode(self._user(request.user)))
        return msgspec.json.encode(fields)

    def _policy(self, policy: Policy) -> _Told:
        found = self._policies.get(policy.hash)
        if found is None:
            models = [
                {"stage": stage.section, "digest": digest} for stage in policy.stages for digest in _models(stage)
            ]
            text = msgspec.json.encode(policy.document())
            found = _Told(models, File(f"policies/{policy.hash}.json", text))
            _keep(self._policies, policy.hash, found)
        return found

    def _control(self, policy: Policy, version: int, control: Control) -> File:
        """Return the snapshot of what loops remembered, named by policy, version and content.

        A memory that fades is another one with each step, and a store that starts anew counts its versions anew: the
        content tells them apart.
        """
        known = self._controls.get(id(control))
        if known is not None and known[0] is control:
            return known[1]
        text = control.snapshot().encode()
        name = f"{policy.hash}-{version}-{sha256(text).hexdigest()[:12]}"
        file = File(f"controls/{name}.json", text)
        _keep(self._controls, id(control), (control, file))
        return file


def _models(value: Any) -> Iterator[str]:
    """Yield the digests of all models in the settings of a stage."""
    if isinstance(value, Model):
        yield value.digest
    elif isinstance(value, msgspec.Struct):
        yield from _models([getattr(value, name) for name in value.__struct_fields__])
    elif isinstance(value, Mapping):
        yield from _models(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _models(one)


def _keep(kept: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    """Remember one more, and forget the oldest."""
    kept[key] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)
