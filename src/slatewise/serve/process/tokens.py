"""Tokens: who may do what, told by a bearer token.

Pages are composed for whoever can reach the service. Events, reading policies and changing them take a token with that
scope. What is kept of a token is its SHA-256, and all of them are compared, each in constant time: how long a refusal
takes says nothing of how near a guess was.

A file of tokens names each of them:

    deploy:  {token: sha256:8f434346..., scopes: [read, policies]}
    tracker: {token: some-long-secret,   scopes: [events]}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias, final

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from slatewise.core.document import Document, convert
from slatewise.core.errors import PolicyError, RequestError

Scope: TypeAlias = Literal["read", "events", "policies"]
EVERYTHING: tuple[Scope, ...] = ("read", "events", "policies")
NEEDLESS: tuple[Scope, ...] = ("read", "events")
"""What anyone may do where the service has no token at all: only this machine reaches it, or it was said to be open."""
ANYONE = "anyone"
OPERATOR = "operator"
"""Name of the one token that settings hold."""


@final
class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token in a file.

    Attributes:
        token: The token, or `sha256:` and its digest in hexadecimal.
        scopes: What it opens: `read` (policies), `events` (sends them), `policies` (changes them).
    """

    token: Annotated[str, Meta(min_length=16, max_length=4_096)]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = EVERYTHING


class Token(NamedTuple):
    """A token as it is kept.

    Attributes:
        name: Who holds it.
        digest: SHA-256 of it.
        scopes: What it opens.
    """

    name: str
    digest: bytes
    scopes: tuple[Scope, ...]


@final
class Tokens:
    """The tokens of a service."""

    def __init__(self, held: Sequence[Token] = ()) -> None:
        """Take the tokens; none leaves open what changes no policy."""
        self._held = tuple(held)

    @classmethod
    def of(cls, token: str | None, file: str | None) -> Tokens:
        """Return the tokens that settings name.

        Raises:
            RequestError: The file is not there, or does not fit.
        """
        held = [Token(OPERATOR, _digest(token), EVERYTHING)] if token is not None else []
        return cls([*held, *(_read(Path(file)) if file is not None else [])])

    def admit(self, connection: HTTPConnection, scope: Scope) -> str:
        """Return the name of whoever asks.

        Raises:
            HTTPException: 401 without a token that is known, 403 if it does not open this.
        """
        if not self._held:
            if scope in NEEDLESS:
                return ANYONE
            raise HTTPException(403, f"{scope}: are closed, as the service was started without a token")
        scheme, _, sent = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not sent:
            raise HTTPException(401, "authorization: must be a bearer token", _challenge())
        digest = _digest(sent.strip())
        found: Token | None = None
        for token in self._held:
            if compare_digest(token.digest, digest):
                found = token
        if found is None:
            raise HTTPException(401, "authorization: must be a token of this service", _challenge("invalid_token"))
        if scope not in found.scopes:
            challenge = _challenge("insufficient_scope", scope)
            raise HTTPException(403, f"authorization: must be a token with the scope {scope!r}", challenge)
        return found.name


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _declared(token: str) -> bytes:
    """Return the digest of a token in a file; only there may it be written as one."""
    if re.fullmatch(r"sha256:[0-9a-f]{64}", token):
        return bytes.fromhex(token.removeprefix("sha256:"))
    return _digest(token)


def _read(file: Path) -> list[Token]:
    try:
        document = Document.read(file)
        declared = convert(document, (), document.data, dict[str, Declared])
    except PolicyError as error:
        where = f"token_file.{error.where}" if error.where != "policy" else "token_file"
        got = None if error.where.endswith("token") else error.got
        raise RequestError(where, error.rule, got, error.hint, error.source) from None
    if not declared:
        raise RequestError("token_file", "must have a token at least", str(file))
    return [Token(name, _declared(one.token), one.scopes) for name, one in declared.items()]


def _challenge(error: str = "", scope: str = "") -> dict[str, str]:
    told = [f'{name}="{value}"' for name, value in (("error", error), ("scope", scope)) if value]
    return {"www-authenticate": ", ".join(['Bearer realm="slatewise"', *told])}
