"""State: what has to be remembered between pages, as a value.

State goes into a composition as a value and comes out as a value; nothing below the service keeps any. Today it is the
session's: the items it was shown, so that the next page does not show them again, and what rules and selectors need to
know of the last of them, so that windows of consecutive slots reach across the end of a page.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind
from slatewise.core.errors import RequestError, shown

VERSION = 1
LONGEST_SESSION = 2000
"""Items that a session remembers; the oldest are forgotten first."""


Plain: TypeAlias = str | int | float | bool | tuple[str | int, ...] | None
"""A value of a column that is no vector."""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session has seen.

    Attributes:
        shown: Ids of items shown so far, oldest first.
        version: Version of this layout.
        last: The last items shown, oldest first: their columns that rules with `every` and selectors look at.
        vectors: Their embeddings, by column: float32 numbers of one row after the other, zeros for none.
        memory: What the selector wrote down besides.

    Examples:
        >>> after = State().after(["a", "b"])
        >>> State.from_token(after.token) == after
        True
    """

    shown: tuple[str | int, ...] = ()
    version: int = VERSION
    last: tuple[dict[str, Plain], ...] = ()
    vectors: dict[str, bytes] = {}
    memory: dict[str, bytes] = {}

    def after(
        self,
        items: Iterable[Any],
        rows: Iterable[dict[str, Any]] = (),
        *,
        reach: int = 0,
        vectors: Mapping[str, NDArray[np.float32]] | None = None,
        memory: Mapping[str, bytes] | None = None,
    ) -> State:
        """Return the state after a page with these items.

        Args:
            items: Ids, first slot first.
            rows: Their columns that rules and selectors look at.
            reach: How many rows, counted from the last, they look back to.
            vectors: Their embeddings, by column, (rows, d) each.
            memory: What the selector wrote down besides.
        """
        last = (*self.last, *rows)
        start = max(len(last) - reach, 0)
        kept: dict[str, bytes] = {}
        for name, matrix in (vectors or {}).items():
            before = self._matrix(name)
            d = matrix.shape[1] or (0 if before is None else before.shape[1])  # a page may have no vector at all
            both = np.zeros((len(last), d), "<f4")
            if before is not None and before.shape[1] == d:
                both[: len(before)] = before
            if matrix.shape[1] == d:
                both[len(last) - len(matrix) :] = matrix
            kept[name] = both[start:].tobytes()
        shown = (*self.shown, *items)[-LONGEST_SESSION:]
        return State(shown, last=last[start:], vectors=kept, memory=dict(memory or {}))

    def past(self, kinds: Mapping[str, Kind]) -> Candidates | None:
        """Return the last items shown as rows with columns of these kinds; None if their columns were not kept.

        Raises:
            RequestError: A value is not of its kind.
        """
        if not self.last:
            return None
        columns: dict[str, Any] = {}
        for name, kind in kinds.items():
            if kind.startswith("embedding"):
                columns[name] = self._matrix(name)
            elif all(name in row for row in self.last):
                columns[name] = [row[name] for row in self.last]
        if any(columns.get(name) is None for name in kinds):
            return None
        try:
            return Candidates.of(columns, kinds=kinds)
        except RequestError as error:
            raise RequestError("state", "must hold rows as the policy has them", str(error)) from None

    def _matrix(self, name: str) -> NDArray[np.float32] | None:
        """Return the vectors of a column, one row for each of the last; None if they were not kept."""
        kept, rows = self.vectors.get(name), len(self.last)
        if not rows or kept is None or len(kept) % (4 * rows):
            return None
        return np.frombuffer(kept, dtype="<f4").reshape(rows, len(kept) // (4 * rows))

    @property
    def token(self) -> str:
        """The state as URL-safe text."""
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def from_token(cls, token: str) -> State:
        """Read a token.

        Raises:
            RequestError: The token is not one of ours, or of another version.
        """
        try:
            state = msgspec.json.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=cls)
        except (ValueError, msgspec.MsgspecError):
            rule = "must be a token from an earlier page"
            raise RequestError("state", rule, shown(token)) from None
        if state.version != VERSION:
            raise RequestError("state", f"must be of version {VERSION}", str(state.version))
        return state
