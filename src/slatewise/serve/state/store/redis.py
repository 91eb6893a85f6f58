"""The store in a Redis server, or one that speaks like it (Valkey): for several hosts.

Every call is one script, sent by its digest, and by its text if the server does not have it (any more). A script
declares all keys that it touches, and these share a hash tag: `{tenant}`, or `{tenant:user}` for a user's caps. Times
come from the caller; the server's own clock only throws away what is long over. Counts of items are whole numbers.
Nothing is tried again here, and time limits are those of the breaker around it.

Cost of `reserve`: O(pages on hold + wants) in the server, which does nothing else meanwhile.

References:
    Redis, "Scripting with Lua", https://redis.io/docs/latest/develop/programmability/eval-intro/.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, NamedTuple, final

import msgspec

from slatewise.core.errors import RequestError, shown
from slatewise.serve.state.store.contract import (
    LATE_S,
    MOST_PAGES,
    REPEAT_S,
    WORKER_S,
    Merge,
    Merged,
    Published,
    StoreError,
    Took,
    UndoneError,
    Want,
)

SCRIPTS = ("merge", "reserve", "settle", "confirm", "fresh", "lease", "publish", "read", "post", "take")

CONNECTIONS = 40
"""Most connections of a process; a call that finds all in use fails at once."""

CONNECT_S = 0.25
"""Time for opening a connection, in seconds."""


def public(url: str) -> str:
    """Return an address without the name and the password in it.

    >>> public("redis://me:secret@host:6379/0")
    'redis://...@host:6379/0'
    """
    secret, at, rest = url.rpartition("@")
    return f"{secret.partition('//')[0]}//...@{rest}" if at else url


class _Command(NamedTuple):
    script: str
    keys: Sequence[str]
    args: Sequence[Any]


class _Script(NamedTuple):
    digest: str
    text: str


@final
class RedisStore:
    """Shared state in a server; see `Store` for what its calls promise."""

    kind = "redis"

    def __init__(self, url: str, *, tenant: str = "slatewise") -> None:
        """Take the address; connections are opened when they are needed.

        Args:
            url: Such as `redis://127.0.0.1:6379/0`, `rediss://...` or `unix:///path`.
            tenant: What keys begin with; services that share a server need different ones.

        Raises:
            RequestError: The address is none, or the client is not installed.
        """
        try:
            from redis import exceptions
            from redis.asyncio.connection import Connection, parse_url
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            rule = "needs the client: pip install 'slatewise[redis]'"
            raise RequestError("state", rule, "redis") from None
        try:
            settings: dict[str, Any] = {**parse_url(url)}
        except ValueError as error:
            rule = f"must be an address of a Redis server ({error})"
            raise RequestError("state", rule, shown(public(url))) from None
        self._kind: Any = settings.pop("connection_class", Connection)
        self._settings: dict[str, Any] = {
            "socket_timeout": None,
            "socket_connect_timeout": CONNECT_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **settings,
        }
        self._refusals, self._unknown, self._errors = (
            exceptions.ResponseError,
            exceptions.NoScriptError,
            exceptions.RedisError,
        )
        self._tenant = tenant
        self._scripts = {name: _script(name) for name in SCRIPTS}
        self._idle: list[Any] = []
        self._open = 0

    async def merge(self, merge: Merge) -> Merged:
        """See `Store.merge`."""
        args: list[Any] = [merge.worker, merge.sequence, repr(merge.time), WORKER_S, REPEAT_S]
        for counter, span_s in merge.spans.items():
            args += (repr(span_s), f"{merge.deltas.get(counter, 0):.17g}")
        keys = [self._key("workers"), *(self._key("window", counter) for counter in merge.spans)]
        workers, *totals = await self._call("merge", keys, *args)
        return Merged(totals=dict(zip(merge.spans, map(float, totals), strict=True)), workers=workers)

    async def reserve(self, user: str, page: str, wants: Sequence[Want], *, time: float, hold_s: float) -> list[int]:
        """See `Store.reserve`."""
        return await self._answer(self._reserving(user, page, wants, time, hold_s))

    async def settle(self, pages: Sequence[Took]) -> list[bool]:
        """See `Store.settle`; all are sent at once, and answered at once."""
        commands, places = list[_Command](), list[int]()
        for place, took in enumerate(pages):
            if took.untold:
                commands.append(self._reserving(took.user, took.page, took.untold, took.time, took.hold_s))
            used = msgspec.msgpack.encode(took.used)
            commands.append(_Command("settle", self._keys(took.user)[:1], (took.page, used)))
            places += [place] * (len(commands) - len(places))
        answers, done = await self._calls(commands), [True] * len(pages)
        for place, answer in zip(places, answers, strict=True):
            done[place] &= not isinstance(answer, self._refusals)
        if pages and not any(done):
            raise UndoneError(f"redis: {answers[-1]}")
        return done

    async def confirm(self, user: str, page: str, counter: str, *, time: float) -> bool:
        """See `Store.confirm`."""
        return bool(await self._call("confirm", self._keys(user), page, counter, repr(time), LATE_S))

    async def fresh(self, keys: Sequence[str], *, time: float, keep_s: float) -> list[bool]:
        """See `Store.fresh`."""
        names = [self._key("seen", key) for key in keys]
        return [bool(one) for one in await self._call("fresh", names, repr(time), repr(keep_s))]

    async def lease(self, name: str, owner: str, *, time: float, ttl_s: float) -> int | None:
        """See `Store.lease`."""
        return await self._call("lease", [self._key("lease", name)], owner, repr(time), repr(ttl_s)) or None

    async def publish(self, name: str, body: bytes, *, fence: int, time: float) -> bool:
        """See `Store.publish`."""
        return bool(await self._call("publish", [self._key("board", name)], body, fence, repr(time)))

    async def read(self, name: str) -> Published | None:
        """See `Store.read`."""
        fence, version, time, body = await self._call("read", [self._key("board", name)])
        if body is None:
            return None
        return Published(fence=int(fence), version=int(version), time=float(time), body=body)

    async def post(self, box: str, letters: Sequence[bytes], *, most: int) -> int:
        """See `Store.post`."""
        return await self._call("post", [self._key("box", box)], most, *letters)

    async def take(self, box: str, most: int) -> list[bytes]:
        """See `Store.take`."""
        return await self._call("take", [self._key("box", box)], most)

    async def close(self) -> None:
        """See `Store.close`."""
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    def _reserving(self, user: str, page: str, wants: Sequence[Want], time: float, hold_s: float) -> _Command:
        asked = msgspec.msgpack.encode([(want.counter, want.wanted, want.at_most, want.within_s) for want in wants])
        return _Command("reserve", self._keys(user), (page, repr(time), repr(hold_s), LATE_S, MOST_PAGES, asked))

    def _key(self, *parts: str) -> str:
        return f"{{{self._tenant}}}:{':'.join(parts)}"

    def _keys(self, user: str) -> list[str]:
        tag = f"{{{self._tenant}:{user}}}"
        return [f"{tag}:pages", f"{tag}:shown"]

    async def _call(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        return await self._answer(_Command(name, keys, args))

    async def _answer(self, command: _Command) -> Any:
        """Return what the server says to a command."""
        (answer,) = await self._calls([command])
        if isinstance(answer, self._refusals):
            raise UndoneError(f"redis: {answer}")
        return answer

    async def _calls(self, commands: Sequence[_Command]) -> list[Any]:
        """Return what the server says to each of some commands that may be repeated; refusals are answers too."""
        scripts = [self._scripts[command.script] for command in commands]
        rest = [(len(command.keys), *command.keys, *command.args) for command in commands]
        connection = await self._connection()
        try:
            asked = [("EVALSHA", script.digest, *one) for script, one in zip(scripts, rest, strict=True)]
            answers = await self._asked(connection, asked)
            if any(isinstance(answer, self._unknown) for answer in answers):  # one may be about what another did
                asked = [("EVAL", script.text, *one) for script, one in zip(scripts, rest, strict=True)]
                answers = await self._asked(connection, asked)
            return answers
        except BaseException as error:  # whatever comes in later is of no use to anybody
            await connection.disconnect(nowait=True)
            if isinstance(error, self._errors | OSError):
                raise StoreError(f"redis: {error}") from None
            raise
        finally:
            self._open -= 1
            self._idle.append(connection)

    async def _asked(self, connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one piece, and return their answers."""
        await connection.send_packed_command(connection.pack_commands(commands))
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except self._refusals as error:
                answers.append(error)
        return answers

    async def _connection(self) -> Any:
        """Return a connection that nobody uses, and that was not closed from the other side meanwhile."""
        if self._open >= CONNECTIONS:
            raise UndoneError("redis: all connections are in use")
        self._open += 1
        connection = self._idle.pop() if self._idle else self._kind(**self._settings)
        try:
            if connection.is_connected and await connection.can_read():
                await connection.disconnect(nowait=True)
            await connection.connect()
        except BaseException as error:
            self._open -= 1
            await connection.disconnect(nowait=True)
            if isinstance(error, self._errors | OSError):
                raise UndoneError(f"redis: {error}") from None
            raise
        return connection


def _script(name: str) -> _Script:
    text = files("slatewise.serve.state.store").joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return _Script(sha1(text.encode(), usedforsecurity=False).hexdigest(), text)
