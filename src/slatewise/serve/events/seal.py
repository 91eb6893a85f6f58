"""Seal: names of pages, and tokens that only this service can have made.

    page  = blake2b(crc32(body), request; key, policy)    before it is composed: what it takes from caps goes by it
    token = base64url(blake2b(claim; key) | claim)        after: what events about the page have to show

A token carries what an event needs to be counted, so nothing has to be looked up, whichever process is told of it. It
is signed, not encrypted: whoever has it can read it. Equal claims have equal tokens. A body is told from another of the
same request by its checksum, as a hash of it would cost more than decoding some of it. Cost: 0.2 us per kilobyte of
body, 2 us to make a token, 4 us to read it; 150 characters without caps, and for each item under a cap its id and its
counters.

References:
    Saarinen & Aumasson (2015), "The BLAKE2 Cryptographic Hash and Message Authentication Code", RFC 7693, for the keyed
    hash.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import blake2b
from hmac import compare_digest
from typing import TypeAlias, final
from zlib import crc32

import msgspec

from slatewise.core.errors import RequestError, shown
from slatewise.core.serving import Counted

SHORTEST_KEY = 16
"""Characters of a key that is given as text, at least."""
HORIZON_S = 86_400.0
"""Age at which tokens are no longer taken, by default: a day."""
LONGEST_TOKEN = 65_536
"""Characters of a token that are looked at, at most."""
STEP_S = 60
"""Times in claims are whole steps of it, so that equal requests of the same minute have equal tokens."""
_MARK = 16

Counters: TypeAlias = Mapping[str | int, tuple[str, ...]]
"""Item to the counters that it stands under."""


@final
class Claim(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a token says of a page.

    Attributes:
        page: Name of the page (`Seal.page`).
        request: Name of the request.
        user: Who asked.
        policy: Content hash of the policy.
        time: When it was served, in whole steps of a minute, in seconds.
        takes: Item to the counters of users' caps that it takes from, until an impression confirms.
        counts: What is counted to items, and the counters of caps that count it.
    """

    page: str
    request: str = ""
    user: str = ""
    policy: str = ""
    time: int = 0
    takes: Counters = {}
    counts: Mapping[Counted, Counters] = {}


@final
class Seal:
    """Makes and reads tokens of pages.

    Attributes:
        horizon_s: Age at which tokens are no longer taken, in seconds.

    Examples:
        >>> seal = Seal(b"kept in settings", horizon_s=3_600)
        >>> token = seal.claim(Claim(page="p1", user="u1", time=60_000))
        >>> seal.read(token, now=60_010.0).user
        'u1'
        >>> seal.read(token, now=70_000.0)
        Traceback (most recent call last):
        slatewise.core.errors.RequestError: page: must be of the last 3600 s, got one of 10000 s ago
    """

    def __init__(self, key: bytes, *, horizon_s: float = HORIZON_S) -> None:
        """Take the key that all processes of a service share."""
        self.horizon_s = horizon_s
        self._key = blake2b(key, digest_size=32, person=b"slatewise key").digest()
        self._marking = blake2b(digest_size=_MARK, key=self._key, person=b"slatewise page")
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Claim).decode

    @classmethod
    def of(cls, key: str, *, horizon_s: float = HORIZON_S) -> Seal:
        """Return the seal with a key that settings hold as text.

        Raises:
            RequestError: The key is too short to be kept from guessing.
        """
        if len(key) < SHORTEST_KEY:
            raise RequestError("key", f"must have at least {SHORTEST_KEY} characters", f"{len(key)}")
        return cls(key.encode("utf-8", "surrogatepass"), horizon_s=horizon_s)

    def page(self, request_id: str, body: bytes, policy: str) -> str:
        """Return the name of a page: the same for the same request under the same policy."""
        named = f"{len(body)} {crc32(body)} {request_id}".encode("utf-8", "surrogatepass")
        digest = blake2b(named, digest_size=12, key=self._key, person=policy.encode()[:16]).digest()
        return urlsafe_b64encode(digest).decode()

    def claim(self, claim: Claim) -> str:
        """Return the token of a page."""
        said = self._encode(claim)
        return urlsafe_b64encode(self._mark(said) + said).decode()

    def read(self, token: str, *, now: float) -> Claim:
        """Return what a token says.

        Raises:
            RequestError: It was not made with this key, was altered, or is older than the horizon.
        """
        try:
            sent = b64decode(token.encode("ascii"), b"-_", validate=True) if len(token) <= LONGEST_TOKEN else b""
        except ValueError:
            sent = b""
        mark, said = sent[:_MARK], sent[_MARK:]
        if not compare_digest(mark, self._mark(said)) or urlsafe_b64encode(sent).decode() != token:
            raise RequestError("page", "must be the token of a page of this service", shown(token))
        claim = self._decode(said)
        age = now - claim.time
        if age > self.horizon_s + STEP_S:
            raise RequestError("page", f"must be of the last {self.horizon_s:g} s", f"one of {age:.0f} s ago")
        return claim

    def _mark(self, said: bytes) -> bytes:
        marking = self._marking.copy()
        marking.update(said)
        return marking.digest()


def minute(time: float) -> int:
    """Return a time as claims have it.

    >>> minute(119.9)
    60
    """
    return int(time // STEP_S) * STEP_S
