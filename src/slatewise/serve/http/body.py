"""Body: read against a limit, also while it is unpacked, and no further.

What is sent and what it unpacks to are held to the same limit: a body that grows beyond it is refused at that byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request

from slatewise.core.errors import RequestError, shown
from slatewise.serve.http.headers import Said, said

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]

HANG_UP = {"connection": "close"}
"""Sent with a refusal of a body that is too long, so that the rest of it is not read."""


async def read_body(receive: Receive, headers: Said, limit: int) -> bytes:
    """Return a body, unpacked; reading stops as soon as it is too long.

    Raises:
        HTTPException: 400 if the client hung up, 413 if the body is longer than the limit.
        RequestError: It cannot be unpacked.
    """
    if headers.length is not None and headers.length > limit:
        raise _too_long(limit, str(headers.length))
    unpack = _UNPACK[headers.encoding](limit)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "body: must be complete, the client hung up")
        unpack.take(message.get("body", b""))
        if not message.get("more_body", False):
            return unpack.whole()


async def body_of(request: Request, limit: int) -> bytes:
    """Return the body of a request, whatever its media type; as `read_body`."""
    headers = dict(request.scope["headers"])
    media = headers.pop(b"content-type", b"")
    return await read_body(request.receive, said(headers, media=(media.decode("latin-1"),)), limit)


class _Unpacks(Protocol):
    def __init__(self, limit: int) -> None: ...

    def take(self, chunk: bytes) -> None: ...

    def whole(self) -> bytes: ...


class _Plain:
    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._chunks: list[bytes] = []

    def take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit:
            raise _too_long(self._limit)
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


class _Gzip(_Plain):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._sent = _Plain(limit)
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def take(self, chunk: bytes) -> None:
        self._sent.take(chunk)
        try:
            super().take(self._stream.decompress(chunk, self._limit - self._size + 1))
        except zlib.error as error:
            raise _packed_badly("gzip", str(error)) from None
        if self._stream.unused_data:
            raise _packed_badly("gzip", "it goes on after its end")

    def whole(self) -> bytes:
        if not self._stream.eof:
            raise _packed_badly("gzip", "it is cut off")
        return super().whole()


class _Zstd(_Plain):
    def whole(self) -> bytes:
        packed = super().whole()
        try:
            import pyarrow
        except ModuleNotFoundError as error:
            hint = f"content-encoding: must be identity or gzip, {error.name} is not installed"
            raise HTTPException(415, f"{hint}: pip install 'slatewise[parquet]'") from None
        try:
            with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd") as stream:
                body = stream.read_buffer(self._limit + 1).to_pybytes()  # `read` keeps its bytes when it fails
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise _packed_badly("zstd", str(error)) from None
        if len(body) > self._limit:
            raise _too_long(self._limit)
        return body


_UNPACK: dict[str, type[_Unpacks]] = {"identity": _Plain, "gzip": _Gzip, "zstd": _Zstd}


def _too_long(limit: int, got: str = "") -> HTTPException:
    value = f", got {got}" if got else ""
    return HTTPException(413, f"body: must have at most {limit} bytes{value}", HANG_UP)


def _packed_badly(encoding: str, why: str) -> RequestError:
    return RequestError("body", f"must be {encoding}", hint=shown(why).strip("'\""))
