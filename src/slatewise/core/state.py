"""State: what has to be remembered between pages, as a value.

State goes into a composition as a value and comes out as a value; nothing below the service keeps any. Today it is the
session's: the items it was shown, so that the next page does not show them again.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Any

import msgspec

from slatewise.core.errors import RequestError, shown

VERSION = 1
LONGEST_SESSION = 2000
"""Items that a session remembers; the oldest are forgotten first."""


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session has seen.

    Attributes:
        shown: Ids of items shown so far, oldest first.
        version: Version of this layout.

    Examples:
        >>> after = State().after(["a", "b"])
        >>> State.from_token(after.token) == after
        True
    """

    shown: tuple[str | int, ...] = ()
    version: int = VERSION

    def after(self, items: Iterable[Any]) -> State:
        """Return the state after a page with these items."""
        return State((*self.shown, *items)[-LONGEST_SESSION:])

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
