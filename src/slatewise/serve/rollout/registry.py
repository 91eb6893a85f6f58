"""Registry: documents of policies, checked and compiled beside the service, and kept in the store in pieces.

A document that is sent has to hold everything: settings and models stand in it, and no file of this machine is read
for it. It is compiled in a thread, one at a time, and nothing that serves knows of it until it is done. Cost: that of
loading a policy, and a page on each of its rungs to compile kernels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar, cast, final

import msgspec

from slatewise.core.document import Document
from slatewise.core.errors import PolicyError, shown
from slatewise.core.policy import FROM, LAYERS, Policy, StageTable
from slatewise.models.model import Model
from slatewise.serve.limits import UNLIMITED, Limits
from slatewise.serve.rollout.aside import aside
from slatewise.serve.rollout.record import Pushed
from slatewise.serve.rollout.rollout import Deployed
from slatewise.serve.state.store.contract import Store, StoreError

FORMS = {
    "application/json": "json",
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "application/toml": "toml",
}
"""Media types of documents."""
LONGEST = 64 * 2**20
"""Bytes of a document: mostly those of models."""
LONGEST_WRITTEN = 2**20
"""Bytes of a document in a form that people write; models are sent as JSON, which is read a hundred times as fast."""
PIECE = 2**17
"""Bytes of a document that the store is given at once: little enough that nothing else waits for it."""
PAUSES_S = (0.1, 0.5, 2.0)
"""Seconds before a piece that the store did not take is given to it again."""


_T = TypeVar("_T")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of a document, besides its pieces.

    Attributes:
        pieces: How many there are.
        digest: Sha-256 of all of it.
    """

    pieces: int
    digest: str


@final
class Registry:
    """Documents, and what was compiled of them.

    Attributes:
        limits: The largest request that is served.
    """

    def __init__(self, table: StageTable, limits: Limits = UNLIMITED, *, store: Store | None = None) -> None:
        """Start with no document; a store keeps them for other processes and for later."""
        self.limits = limits
        self._table = table
        self._store = store
        self._documents: dict[str, bytes] = {}
        self._compiled: dict[str, Deployed] = {}
        self._one_at_a_time = asyncio.Lock()

    def put(self, deployed: Deployed) -> None:
        """Take a policy that is compiled already."""
        self._documents[deployed.hash] = deployed.document
        self._compiled[deployed.hash] = deployed

    async def compile(self, body: bytes, media: str) -> Deployed:
        """Return a policy that is ready to serve; it is not kept.

        Raises:
            PolicyError: Names the field, the rule, the value and the line.
        """
        async with self._one_at_a_time:
            return await aside(compiled, body, media, self._table, self.limits)

    async def keep(self, deployed: Deployed) -> None:
        """Keep a policy, also for other processes.

        Raises:
            StoreError: The store did not take it.
        """
        self.put(deployed)
        if self._store is not None:
            document = deployed.document
            pieces = [document[at : at + PIECE] for at in range(0, len(document), PIECE)]
            await _publish(self._store, deployed.hash, pieces, await aside(_digest, document))

    async def drop(self, policies: Iterable[str]) -> None:
        """Let the store forget what policies say.

        Raises:
            StoreError: The store did not answer.
        """
        for policy in policies if self._store is not None else ():
            assert self._store is not None
            kept = await _kept(self._store, policy)
            await _publish(self._store, policy, [b""] * (kept.pieces if kept is not None else 0), "")

    def document(self, policy: str) -> bytes | None:
        """Return what a policy says, as JSON; None if this process does not have it."""
        return self._documents.get(policy)

    async def fetch(self, policy: str) -> bytes | None:
        """Return what a policy says, as JSON, wherever it is kept; None if it is nowhere.

        Raises:
            StoreError: The store did not answer.
        """
        found = self._documents.get(policy)
        if found is None and self._store is not None:
            found = await _read(self._store, policy)
        if found is not None:
            self._documents[policy] = found
        return found

    async def deployed(self, policy: str) -> Deployed | None:
        """Return a policy that is ready to serve, compiled if it is not yet; None if it is nowhere.

        Raises:
            PolicyError: It was kept by a service that knows other stages.
            StoreError: The store did not answer.
        """
        found = self._compiled.get(policy)
        if found is not None:
            return found
        document = await self.fetch(policy)
        if document is None:
            return None
        found = self._compiled[policy] = await self.compile(document, "application/json")
        return found

    def forget(self, *, documents: Iterable[str], compiled: Iterable[str]) -> None:
        """Let go of everything but these."""
        for kept, names in ((self._documents, set(documents)), (self._compiled, set(compiled))):
            for name in kept.keys() - names:
                del kept[name]

    def beside(self, columns: Iterable[str]) -> None:
        """Let each policy take requests that bring these columns, which are left out if they are not its own."""
        for one in self._compiled.values():
            one.beside(columns)


def compiled(body: bytes, media: str, table: StageTable, limits: Limits) -> Deployed:
    """Return a policy that is ready to serve.

    Raises:
        PolicyError: Names the field, the rule, the value and the line.
    """
    policy = Policy.parse(_parsed(body, media), table)
    deployed = Deployed(policy, limits)
    deployed.warm()
    _ = deployed.hash, deployed.document  # found once, and both take long where there are models
    return deployed


def described(deployed: Deployed, *, time: float, who: str, beside: Policy | None = None) -> Pushed:
    """Return what is to be known of a policy.

    Args:
        deployed: The policy.
        time: When it came, in seconds.
        who: Who sent it.
        beside: The policy that serves now; None if none does.
    """
    return Pushed(
        hash=deployed.hash,
        time=time,
        who=who,
        rungs=deployed.ladder.names,
        models=models_of(deployed.policy),
        columns=tuple(deployed.policy.head.columns),
        notes=tuple(_notes(deployed.policy, beside)) if beside is not None else (),
    )


def models_of(policy: Policy) -> dict[str, str]:
    """Return the digest of each model of a policy, by section."""
    found: dict[str, str] = {}
    for stage in policy.stages:
        for name in stage.__struct_fields__:
            if isinstance(model := getattr(stage, name), Model):
                found[stage.section] = model.digest
    return found


def _notes(policy: Policy, beside: Policy) -> Iterable[str]:
    """Yield in what requests have to differ from those that are served now."""
    new, old = policy.head, beside.head
    for name, kind in new.columns.items():
        if name not in old.columns:
            need = "may" if kind.endswith("?") else "must"
            yield f"column `{name}` ({kind}) is new: requests {need} bring it, and may do so from now on"
        elif kind.rstrip("?") != old.columns[name].rstrip("?"):
            yield f"column `{name}` is a {kind}, and a {old.columns[name]} now: no request fits both"
    for line in set(old.lines) - set(new.lines):
        yield f"line `{line}` is gone: requests with it are refused"
    for name in set(old.context) - set(new.context):
        yield f"feature `{name}` is gone: requests with it are refused"


def _parsed(body: bytes, media: str) -> Document:
    form = FORMS.get(media)
    if form is None:
        raise PolicyError("content-type", "must be one of " + ", ".join(FORMS), shown(media))
    longest = LONGEST if form == "json" else LONGEST_WRITTEN
    if len(body) > longest:
        hint = "" if form == "json" else "send it as JSON"
        raise PolicyError("body", f"must have at most {longest} bytes", str(len(body)), hint)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PolicyError("body", "must be UTF-8") from None
    document = Document.parse(text, form, "body")
    for layer in LAYERS:
        stages = document.data.get(layer)
        for verb, section in cast("Mapping[str, Any]", stages if isinstance(stages, dict) else {}).items():
            if isinstance(section, dict) and FROM in section:
                hint = "`slatewise policy push` writes what it names in its place"
                rule = "must be left out of a policy that is sent: it names a file"
                path = (layer, verb, FROM)
                raise document.error(PolicyError, path, rule, shown(cast("Any", section[FROM])), hint)
    return document


def _digest(document: bytes) -> str:
    return sha256(document).hexdigest()


async def _again(call: Callable[[], Awaitable[_T]]) -> _T:
    """Return what a call to the store returns; it may be made more than once."""
    for pause_s in PAUSES_S:
        try:
            return await call()
        except StoreError:
            await asyncio.sleep(pause_s)
    return await call()


async def _publish(store: Store, policy: str, pieces: Sequence[bytes], digest: str) -> None:
    for place, piece in enumerate(pieces):
        await _again(partial(store.publish, f"policy:{policy}:{place}", piece, fence=0, time=0.0))
    kept = msgspec.json.encode(Kept(pieces=len(pieces), digest=digest))
    await _again(partial(store.publish, f"policy:{policy}", kept, fence=0, time=0.0))


async def _kept(store: Store, policy: str) -> Kept | None:
    found = await _again(partial(store.read, f"policy:{policy}"))
    return None if found is None else msgspec.json.decode(found.body, type=Kept)


async def _read(store: Store, policy: str) -> bytes | None:
    kept = await _kept(store, policy)
    if kept is None or not kept.digest:
        return None
    pieces = [await _again(partial(store.read, f"policy:{policy}:{place}")) for place in range(kept.pieces)]
    document = b"".join(piece.body for piece in pieces if piece is not None)
    if await aside(_digest, document) != kept.digest:
        raise StoreError(f"policy {policy}: what the store has of it is not what was put there")
    return document
