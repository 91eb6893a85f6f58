"""Request: who asks for a page, in which context, with which candidates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TypeAlias, TypeVar

import msgspec

from slatewise.core.candidates import Candidates
from slatewise.core.control import Control
from slatewise.core.state import State

When: TypeAlias = dict[str, str | list[str]]
"""Context features and the values (one, or any of several) that they must have."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One page asked for.

    Attributes:
        candidates: The rows to choose from.
        slots: Page size; None takes the policy's.
        id: Name of the request; with `seed` it decides ties between lines.
        user: Who asks; the pipeline only carries it.
        context: Features of the request that segments look at, such as `{"tenure": "new"}`.
        time: When it was asked, in seconds; the pipeline reads no clock of its own.
        seed: Root of every pseudo-random choice.
        state: What the session has seen before; None starts one.
        control: What control loops remember; None if they are at their start.
        history: What the user looked at before: per column of keys its values, and how often or how long, >= 0, such
            as `{"genres": {"drama": 12, "comedy": 3}}`; `compose.spread` may balance pages by it.
    """

    candidates: Candidates
    slots: int | None = None
    id: str = ""
    user: str = ""
    context: Mapping[str, str] = {}
    time: float = 0.0
    seed: int = 0
    state: State | None = None
    control: Control | None = None
    history: Mapping[str, Mapping[str | int, float]] = {}

    def matches(self, when: When) -> bool:
        """Tell whether every feature in `when` has one of its values; an absent feature never matches.

        >>> request = Request(candidates=Candidates.of(item_id=[]), context={"tenure": "new"})
        >>> request.matches({"tenure": ["new", "returning"]}), request.matches({"country": "dk"})
        (True, False)
        """
        return all(
            self.context.get(name) in (wanted if isinstance(wanted, list) else (wanted,))
            for name, wanted in when.items()
        )

    def draw(self, name: str) -> int:
        """Return 63 pseudo-random bits for `name`: the same for the same id, seed and name, in any process."""
        digest = blake2b(f"{self.id}\0{self.seed}\0{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> 1


_Segment = TypeVar("_Segment", bound="Segment")


class Segment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the requests, told by their context.

    Attributes:
        when: Context features and the values (one, or a list of which any will do) that make a request belong.
    """

    when: When


def segment_of(request: Request, segments: Iterable[_Segment]) -> _Segment | None:
    """Return the first segment that the request belongs to, None if there is none."""
    for segment in segments:
        if request.matches(segment.when):
            return segment
    return None
