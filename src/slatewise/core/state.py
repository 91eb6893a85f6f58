"""State: what has to be remembered between pages, as a value.

State goes into a composition as a value and comes out as a value; nothing below the service keeps any. Today it is the
session's: the items it was shown, so that the next page does not show them again, and what the rules need to know of
the last of them, so that windows of consecutive slots reach across the end of a page.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind
from slatewise.core.errors import RequestError, shown

VERSION = 1
LONGEST_SESSION = 2000
"""Items that a session remembers; the oldest are forgotten first."""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session has seen.

    Attributes:
        shown: Ids of items shown so far, oldest first.
        version: Version of this layout.
        last: The last items shown, oldest first: their columns that rules with `every` look at.

    Examples:
        >>> after = State().after(["a", "b"])
        >>> State.from_token(after.token) == after
        True
    """

    shown: tuple[str | int, ...] = ()
    version: int = VERSION
    last: tuple[dict[str, str | int | float | bool | None], ...] = ()

    def after(self, items: Iterable[Any], rows: Iterable[dict[str, Any]] = (), *, reach: int = 0) -> State:
        """Return the state after a page with these items.

        Args:
            items: Ids, first slot first.
            rows: Their columns that rules look at.
            reach: How many rows, counted from the last, rules look back to.
        """
        last = (*self.last, *rows)
        return State((*self.shown, *items)[-LONGEST_SESSION:], last=last[max(len(last) - reach, 0) :])

    def past(self, kinds: Mapping[str, Kind]) -> Candidates | None:
        """Return the last items shown as rows with columns of these kinds; None if their columns were not kept.

        Raises:
            RequestError: A value is not of its kind.
        """
        if not self.last or not all(kinds.keys() <= row.keys() for row in self.last):
            return None
        columns: dict[str, list[Any]] = {name: [row[name] for row in self.last] for name in kinds}
        try:
            return Candidates.of(columns, kinds=kinds)
        except RequestError as error:
            raise RequestError("state", "must hold rows as the policy has them", str(error)) from None

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
