"""Headers: what a request says around its body, and what is refused before the body is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

from starlette.exceptions import HTTPException

from slatewise.core.errors import RequestError, shown
from slatewise.serve.arrow import ARROW
from slatewise.serve.timing import arrival
from slatewise.serve.timing.arrival import LONGEST_S
from slatewise.serve.wire import BUDGET, JSON, START

LONGEST_MS = LONGEST_S * 1e3
"""Largest budget."""

ENCODINGS = ("identity", "gzip", "zstd")


class Said(NamedTuple):
    """What the headers of a request say.

    Attributes:
        media: Media type of the body.
        encoding: How the body is compressed.
        length: Its length in bytes as sent; None if the headers do not say.
        budget_ms: Time for the request; None takes the policy's.
    """

    media: str
    encoding: str
    length: int | None
    budget_ms: float | None


def said(headers: Mapping[bytes, bytes], *, media: tuple[str, ...] = (JSON, ARROW)) -> Said:
    """Read the headers of a request; how old it is, the gate has read.

    Args:
        headers: Names in lower case to values, as ASGI has them.
        media: Media types that are taken; the first one if none is named.

    Raises:
        HTTPException: 406 or 415: the reply cannot be what is accepted, or the body is of another type or encoding.
        RequestError: A budget or a start is no number.
    """
    _check_accept(headers.get(b"accept", b"*/*"))
    length = headers.get(b"content-length", b"")
    if (start := headers.get(arrival.START)) is not None:
        _number(START, start)
    return Said(
        _media(headers.get(b"content-type"), media),
        _encoding(headers.get(b"content-encoding")),
        int(length) if length.isdigit() else None,
        _budget_ms(headers.get(arrival.BUDGET)),
    )


@lru_cache(256)
def _check_accept(accept: bytes) -> None:
    wanted = {"application/json": 1.0, "application/*": 1.0, "*/*": 1.0}
    found: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind in wanted:
            found[kind] = _quality(parameters)
    best = next((found[kind] for kind in wanted if kind in found), 0.0)
    if best <= 0:
        got = shown(accept.decode("latin-1"))
        raise HTTPException(406, f"accept: must take {JSON}, got {got}")


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


@lru_cache(256)
def _media(content_type: bytes | None, taken: tuple[str, ...]) -> str:
    if content_type is None:
        return taken[0]
    media = content_type.decode("latin-1").partition(";")[0].strip().lower()
    if media not in taken:
        raise HTTPException(415, f"content-type: must be {' or '.join(taken)}, got {shown(media)}")
    return media


@lru_cache(256)
def _encoding(content_encoding: bytes | None) -> str:
    encoding = "identity" if content_encoding is None else content_encoding.decode("latin-1").strip().lower()
    if encoding not in ENCODINGS:
        raise HTTPException(415, f"content-encoding: must be one of {', '.join(ENCODINGS)}, got {shown(encoding)}")
    return encoding


def _budget_ms(text: bytes | None) -> float | None:
    if text is None:
        return None
    budget_ms = _number(BUDGET, text)
    if not 0 < budget_ms <= LONGEST_MS:
        raise RequestError(BUDGET, f"must be > 0 and <= {LONGEST_MS:g}", text.decode("latin-1"))
    return budget_ms


def _number(header: str, text: bytes) -> float:
    try:
        number = float(text) if len(text) <= 32 else float("nan")
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise RequestError(header, "must be a number of milliseconds", shown(text.decode("latin-1")))
    return number
