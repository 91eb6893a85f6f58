"""Opening: from an address to a store behind a breaker.

| address | what it is |
|---|---|
| `memory:` | the memory of this process |
| `sqlite:PATH` | a file, for the processes of one host |
| `redis://...`, `rediss://...`, `unix://...` | a Redis server, for several hosts |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slatewise.core.errors import RequestError, shown
from slatewise.serve.state.store.breaker import Breaker, Patience
from slatewise.serve.state.store.contract import Store
from slatewise.serve.state.store.memory import MemoryStore
from slatewise.serve.state.store.redis import RedisStore, public
from slatewise.serve.state.store.sqlite import SqliteStore


def opened(
    url: str, *, clock: Callable[[], float], patience: Patience | None = None, tenant: str = "slatewise"
) -> Breaker:
    """Return the store at an address.

    Args:
        url: The address.
        clock: A monotonic clock, in seconds.
        patience: What the store may take before it is left alone.
        tenant: What tells apart services that share a server.

    Raises:
        RequestError: It is no address of a store, or the file cannot be used.
    """
    return Breaker(_opened(url, tenant), clock=clock, patience=patience)


def _opened(url: str, tenant: str) -> Store:
    kind, _, rest = url.partition(":")
    match kind:
        case "memory" if not rest:
            return MemoryStore()
        case "sqlite" if rest:
            return SqliteStore(Path(rest))
        case "redis" | "rediss" | "unix" if rest.startswith("//"):
            return RedisStore(url, tenant=tenant)
        case _:
            rule = "must be `memory:`, `sqlite:PATH`, `redis://HOST:PORT`, `rediss://HOST:PORT` or `unix:///PATH`"
            raise RequestError("state", rule, shown(public(url)))
