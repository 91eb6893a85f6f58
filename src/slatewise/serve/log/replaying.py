"""Replaying: pages of a decision log, composed again from what they were made of, and compared byte for byte.

    body -> request + what loops remembered + conditions -> the ladder of the policy -> page == the page that was served

A record with its inputs names all of it: the policy by its hash, the memory of control loops by name, conditions as
they were decided. Whatever was changed since is found: documents are named by their content, and pages have a digest.
The same inputs under another policy tell what that policy would have shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, final

import msgspec

from slatewise.core.control import Control
from slatewise.core.document import Document
from slatewise.core.errors import RequestError, SlatewiseError, shown
from slatewise.core.page import Page
from slatewise.core.policy import Policy
from slatewise.ladder import Conditions, Ladder
from slatewise.serve.log.reading import Row, read_decisions
from slatewise.serve.log.records import page_columns, request_columns
from slatewise.serve.wire import Wire
from slatewise.stages import STAGES

Verdict: TypeAlias = Literal["identical", "different", "without inputs"]


class Difference(NamedTuple):
    """A page that came out in another way than it was served, or not at all.

    Attributes:
        request: Name of its request.
        page: Its token.
        why: What differs, or what was found changed.
        slots: By slot: what was served, and what came out.
    """

    request: str
    page: str
    why: str
    slots: Mapping[int, tuple[str | None, str | None]] = {}


class Compared(NamedTuple):
    """A record, and what came of it.

    Attributes:
        row: The record.
        verdict: Whether the same page came out.
        page: What came out; None without inputs, and where no page came out.
        difference: What differs, if anything does.
    """

    row: Row
    verdict: Verdict
    page: Page | None = None
    difference: Difference | None = None


@final
class Replayer:
    """Composes pages of a log again.

    Attributes:
        folder: The folder of the log.
        policy: The policy to compose by, instead of those that served; None for those.
    """

    def __init__(self, folder: str | Path, *, policy: Policy | None = None) -> None:
        """Take the folder of a log."""
        self.folder = Path(folder)
        self.policy = policy
        self._columns = _columns(self.folder)
        self._other = None if policy is None else _Prepared(policy, self._columns)
        self._prepared = lru_cache(8)(self._load)
        self._snapshot = lru_cache(64)(self._read_snapshot)

    def compare(self, row: Row) -> Compared:
        """Return what comes of a record."""
        if row["body"] is None:
            return Compared(row, "without inputs")
        page: Page | None = None
        try:
            page, wrong = self._composed(row)
        except SlatewiseError as error:
            wrong = str(error)
        if not wrong:
            return Compared(row, "identical", page)
        slots = {} if page is None else _slots(row, page)
        return Compared(row, "different", page, Difference(row["request"], row["page"], wrong, slots))

    def _composed(self, row: Row) -> tuple[Page, str]:
        """Return (the page, what of the record is otherwise)."""
        prepared = self._other or self._prepared(row["policy"])
        request = prepared.wire.decode(row["body"], row["media"]).request
        if row["control"]:
            control = prepared.restored(self._snapshot(row["control"]), whole=self._other is None)
            request = msgspec.structs.replace(request, control=control)
        names = prepared.ladder.names
        if self._other is None and row["rung"] not in names[row["level"] : row["level"] + 1]:
            raise RequestError("rung", f"must be that of level {row['level']} of the policy", shown(row["rung"]))
        under = Conditions(
            rung=min(row["level"], len(names) - 1),
            quality=row["quality"],
            granted=_decoded(row["granted"], "granted", dict[str, dict[str, int]]),
            time=row["conditions_time"],
        )
        if self._other is not None:
            page = prepared.ladder.compose(request, under)
            return page, "" if placed(page) == served(row) else "items"
        page = prepared.ladder.compose(request, under, trace=row["trace"] is not None)
        again = {**request_columns(prepared.policy, request), **page_columns(page)}
        if page.trace is not None:
            again["trace"] = msgspec.json.encode(page.trace).decode()
        return page, ", ".join(name for name, value in again.items() if row[name] != value)

    def _load(self, name: str) -> _Prepared:
        path = f"policies/{name}.json"
        document = _decoded(_read(self.folder, path), path, dict[str, Any])
        policy = Policy.parse(Document(document, path, {}), STAGES)
        if policy.hash != name:
            raise RequestError(path, "must be the policy that its name is the hash of", policy.hash)
        return _Prepared(policy, self._columns)

    def _read_snapshot(self, name: str) -> str:
        path = f"controls/{name}.json"
        text = _read(self.folder, path)
        if sha256(text).hexdigest()[:12] != name.rpartition("-")[2]:
            raise RequestError(path, "must be the snapshot that its name is the hash of")
        return text.decode()


@final
class _Prepared:
    """A policy that is ready to compose by; bodies may bring columns that it does not know, but others of the log."""

    def __init__(self, policy: Policy, columns: Iterable[str]) -> None:
        self.policy = policy
        self.wire = Wire(policy, ignored=columns)
        self.ladder = Ladder(policy)

    def restored(self, snapshot: str, *, whole: bool) -> Control:
        """Return what a snapshot holds; not as a whole, only of loops that the policy has too."""
        if whole:
            return Control.restore(snapshot, self.policy.memories)
        memories: dict[str, Any] = {}
        for section, kind in self.policy.memories.items():
            plain = msgspec.json.decode(snapshot)
            if section in plain["memories"]:
                plain["memories"] = {section: plain["memories"][section]}
                text = msgspec.json.encode(plain).decode()
                memories |= Control.restore(text, {section: kind}).memories
        return Control(memories)


def served(row: Row) -> list[tuple[str, str]]:
    """Return items and lines of the page that was served, first slot first."""
    return [(item["item"], item["line"]) for item in row["items"]]


def placed(page: Page) -> list[tuple[str, str]]:
    """Return items and lines of a page, as records have them."""
    return [(str(item.item_id), item.line) for item in page.items]


def replayed(path: str | Path, *, policy: Policy | None = None) -> Iterator[Compared]:
    """Yield every record of a log with what comes of it.

    Args:
        path: The folder of a log, or one of its segments.
        policy: Composes by this policy instead: on the same rung, as far as it has as many, with what caps of the same
            names allowed, and with what loops remembered that it has too.

    Raises:
        RequestError: It is no log, or of a layout that is not known.
    """
    path = Path(path)
    replayer = Replayer(path if path.is_dir() else path.parent.parent, policy=policy)
    return map(replayer.compare, read_decisions(path))


class _Document(msgspec.Struct, frozen=True):
    columns: dict[str, Any] = {}


def _columns(folder: Path) -> list[str]:
    """Return the columns of all policies of a log; while one is tried beside another, requests bring those of both."""
    found: set[str] = set()
    for path in folder.glob("policies/*.json"):
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):  # whoever needs it is told
            found.update(msgspec.json.decode(path.read_bytes(), type=_Document).columns)
    return sorted(found)


def _read(folder: Path, path: str) -> bytes:
    try:
        return (folder / path).read_bytes()
    except OSError as error:
        raise RequestError(path, "must be in the folder of the log", error.strerror) from None


def _decoded(text: bytes | str, where: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RequestError(where, f"must be JSON as it was written ({error})") from None


def _slots(row: Row, page: Page) -> dict[int, tuple[str | None, str | None]]:
    """Return, by slot, what was served and what came out, where they differ."""
    before = {item["slot"]: item["item"] for item in row["items"]}
    now = {item.slot: str(item.item_id) for item in page.items}
    slots = sorted(before.keys() | now.keys())
    return {slot: (before.get(slot), now.get(slot)) for slot in slots if before.get(slot) != now.get(slot)}
