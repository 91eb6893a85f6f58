"""Limits: how large a request may be, enforced while it is read."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Size = Annotated[int, Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The largest request that is served.

    Attributes:
        body_bytes: Bytes of a body.
        candidates: Candidates of a request.
        slots: Slots of a page.
        batch: Requests of a batch.
        batch_bytes: Bytes of a batch.
        text: Characters of an id, a name or a key.
        keys: Keys in a list of them.
        dimensions: Length of an embedding.
    """

    body_bytes: Size = 1_048_576
    candidates: Size = 2_000
    slots: Size = 100
    batch: Size = 64
    batch_bytes: Size = 16_777_216
    text: Size = 256
    keys: Size = 256
    dimensions: Size = 1_024


UNLIMITED = Limits(body_bytes=2**62, candidates=2**62, slots=1_000_000, text=2**62, keys=2**62, dimensions=2**62)
"""For files that the caller owns."""
