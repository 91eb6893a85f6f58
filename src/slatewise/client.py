"""Client: asks the service, from Python.

    request -> columns (or an Arrow stream) -> page, or an error with where, rule and value

Candidates are sent as columns, which is less to send and to read than rows, and the page is the same. A service without
time says when it may be asked again; it is, if that is before the time of the call is over.

Needs httpx: `pip install 'slatewise[client]'`; streams need pyarrow, too: `pip install 'slatewise[client,parquet]'`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar, Unpack, final

import msgspec

from slatewise.core.request import Request
from slatewise.serve.events.events import EventsReply
from slatewise.serve.http.calls import (
    Busy,
    Call,
    Depth,
    Encoding,
    Fields,
    Patience,
    Refused,
    Reply,
    Unreachable,
    batch_call,
    entries,
    page_call,
)
from slatewise.serve.http.replies import ComposeReply, ExplainReply, Health
from slatewise.serve.rollout.diff import Report
from slatewise.serve.rollout.record import Pushed
from slatewise.serve.rollout.roster import Policies
from slatewise.serve.wire import JSON

__all__ = ["AsyncClient", "Busy", "Client", "Refused", "Unreachable"]

_T = TypeVar("_T")

_HEALTH = Call("/healthz", Health)
_POLICIES = Call("/v1/policies", Policies)


class _Asking:
    """What both clients have: where the service is, and how it is asked."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 5.0,
        encoding: Encoding = "columns",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say where the service is; nothing is sent yet.

        Args:
            url: Its address, such as `http://127.0.0.1:8000`.
            token: Bearer token; events and policies may want one.
            timeout_s: Time for a call, tries and pauses included, in seconds.
            encoding: How candidates are sent: `columns` in JSON, or as an `arrow` stream. Batches are always JSON.
            clock: Monotonic clock, in seconds.

        Raises:
            ModuleNotFoundError: httpx is not installed.
        """
        try:
            import httpx
        except ModuleNotFoundError as error:
            error.add_note("pip install 'slatewise[client]'")
            raise
        self._url, self._timeout_s, self._clock = url, timeout_s, clock
        self._encoding: Encoding = encoding
        self._failed = (httpx.HTTPError, httpx.InvalidURL)
        headers = {"accept": JSON} | ({} if token is None else {"authorization": f"Bearer {token}"})
        settings: dict[str, Any] = {"base_url": url, "timeout": timeout_s, "headers": headers}
        self._http: Any = self._opened(httpx, settings)

    def _opened(self, httpx: Any, settings: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _patience(self, call: Call[_T]) -> Patience[_T]:
        return Patience(call, self._timeout_s, self._clock)

    def _sent(self, call: Call[Any]) -> dict[str, Any]:
        return {"method": call.method, "url": call.path, "content": call.body, "headers": call.headers}

    def _page(
        self, path: str, into: type[_T], request: Request | None, fields: Fields, budget_ms: float | None = None
    ) -> Call[_T]:
        return page_call(path, into, request, fields, self._encoding)._replace(budget_ms=budget_ms)

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self._url}: must answer within {self._timeout_s:g} s ({error or type(error).__name__})")


@final
class Client(_Asking):
    """Asks a service; to be used in a `with`, or closed in the end."""

    def compose(
        self, request: Request | None = None, *, budget_ms: float | None = None, **fields: Unpack[Fields]
    ) -> ComposeReply:
        """Return the page for a request, or for the fields of one; where both say something, the fields count.

        Args:
            request: The request.
            budget_ms: Its time, from its arrival to the reply; None takes the policy's.
            fields: Fields of a request as the service has them: `candidates`, `slots`, `user`, and so on.

        Raises:
            Refused: The request does not fit the service's policy.
            Busy: The service has no time for it.
            Unreachable: It did not answer.
        """
        return self._run(self._page("/v1/compose", ComposeReply, request, fields, budget_ms))

    def compose_many(
        self, requests: Sequence[Request | Fields], *, budget_ms: float | None = None
    ) -> list[ComposeReply | Refused]:
        """Return the pages of many requests, each its page or why there is none; `budget_ms` is for all of them."""
        return entries(self._run(batch_call(requests)._replace(budget_ms=budget_ms)))

    def explain(
        self, request: Request | None = None, *, depth: Depth = "trace", **fields: Unpack[Fields]
    ) -> ExplainReply:
        """Return the page with its trace, without serving it; with `costs`, also what each rule costs."""
        return self._run(self._page(_explaining(depth), ExplainReply, request, fields))

    def events(self, events: Sequence[Mapping[str, Any]]) -> EventsReply:
        """Tell what happened to pages, and return what was made of it; told again, nothing is counted again."""
        return self._run(_told("/v1/events", EventsReply, {"events": events}))

    def policies(self) -> Policies:
        """Return all policies, who serves them, and what was changed."""
        return self._run(_POLICIES)

    def policy(self, policy: str) -> dict[str, Any]:
        """Return what a policy says: by its hash, or `active`, `canary` or `previous`."""
        return self._run(Call(_policies(policy), dict[str, Any]))

    def change(self, change: str = "", body: Mapping[str, Any] | bytes | None = None, *, media: str = JSON) -> Any:
        """Change policies: hand one in, or `validate` one, `HASH/shadow`, `HASH/canary`, `HASH/promote`, `rollback`.

        Returns a `Pushed` for a policy that was handed in or validated, a `Report` for a shadow, else `Policies`.
        """
        return self._run(_told(_policies(change), _made_of(change), body, media))

    def health(self) -> Health:
        """Return how the service is."""
        return self._run(_HEALTH)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close it."""
        self.close()

    def _opened(self, httpx: Any, settings: dict[str, Any]) -> Any:
        return httpx.Client(**settings)

    def _run(self, call: Call[_T]) -> _T:
        patience = self._patience(call)
        while True:
            try:
                got = self._http.request(**self._sent(call))
            except self._failed as error:
                raise self._unreachable(error) from error
            reply = Reply(got.status_code, got.headers, got.content)
            pause_s = patience.pause_s(reply)
            if pause_s is None:
                return patience.result(reply)
            time.sleep(pause_s)


@final
class AsyncClient(_Asking):
    """Asks a service from a coroutine; its methods are those of `Client`, to be awaited."""

    async def compose(
        self, request: Request | None = None, *, budget_ms: float | None = None, **fields: Unpack[Fields]
    ) -> ComposeReply:
        """Return the page for a request; see `Client.compose`."""
        return await self._run(self._page("/v1/compose", ComposeReply, request, fields, budget_ms))

    async def compose_many(
        self, requests: Sequence[Request | Fields], *, budget_ms: float | None = None
    ) -> list[ComposeReply | Refused]:
        """Return the pages of many requests; see `Client.compose_many`."""
        return entries(await self._run(batch_call(requests)._replace(budget_ms=budget_ms)))

    async def explain(
        self, request: Request | None = None, *, depth: Depth = "trace", **fields: Unpack[Fields]
    ) -> ExplainReply:
        """Return the page with its trace; see `Client.explain`."""
        return await self._run(self._page(_explaining(depth), ExplainReply, request, fields))

    async def events(self, events: Sequence[Mapping[str, Any]]) -> EventsReply:
        """Tell what happened to pages; see `Client.events`."""
        return await self._run(_told("/v1/events", EventsReply, {"events": events}))

    async def policies(self) -> Policies:
        """Return all policies; see `Client.policies`."""
        return await self._run(_POLICIES)

    async def policy(self, policy: str) -> dict[str, Any]:
        """Return what a policy says; see `Client.policy`."""
        return await self._run(Call(_policies(policy), dict[str, Any]))

    async def change(
        self, change: str = "", body: Mapping[str, Any] | bytes | None = None, *, media: str = JSON
    ) -> Any:
        """Change policies; see `Client.change`."""
        return await self._run(_told(_policies(change), _made_of(change), body, media))

    async def health(self) -> Health:
        """Return how the service is."""
        return await self._run(_HEALTH)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Close it."""
        await self.close()

    def _opened(self, httpx: Any, settings: dict[str, Any]) -> Any:
        return httpx.AsyncClient(**settings)

    async def _run(self, call: Call[_T]) -> _T:
        patience = self._patience(call)
        while True:
            try:
                got = await self._http.request(**self._sent(call))
            except self._failed as error:
                raise self._unreachable(error) from error
            reply = Reply(got.status_code, got.headers, got.content)
            pause_s = patience.pause_s(reply)
            if pause_s is None:
                return patience.result(reply)
            await asyncio.sleep(pause_s)


def _told(path: str, into: type[_T], body: Mapping[str, Any] | bytes | None, media: str = JSON) -> Call[_T]:
    """Return a call with a body."""
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body or {})
    return Call(path, into, sent, media)


def _made_of(change: str) -> type[Any]:
    """Return the type of what comes back for a change."""
    return {"": Pushed, "validate": Pushed, "shadow": Report}.get(change.rpartition("/")[2], Policies)


def _explaining(depth: Depth) -> str:
    return "/v1/explain?costs=true" if depth == "costs" else "/v1/explain"


def _policies(path: str) -> str:
    return f"/v1/policies/{path}".rstrip("/")
