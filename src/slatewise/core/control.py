"""Control: what control loops remember, as a value.

Like the state of a session it goes into a composition as a value. It does not come out of it: loops move on a clock of
their own, when they are handed the ledgers of the pages since (`Feed.advance`). A page reads it and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import msgspec

from slatewise.core.errors import RequestError, shown

VERSION = 1


class _Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    memories: dict[str, msgspec.Raw]


@final
class Control(msgspec.Struct, frozen=True):
    """What the control loops of a policy remember.

    Attributes:
        memories: Section of the stage, such as `blend.pace`, to its memory; a loop that is not there is at its start.
    """

    memories: Mapping[str, Any] = {}

    def snapshot(self) -> str:
        """Return the whole of it as text; restored, it gives the same pages."""
        return msgspec.json.encode({"version": VERSION, "memories": self.memories}, order="sorted").decode()

    @classmethod
    def restore(cls, snapshot: str, kinds: Mapping[str, type[msgspec.Struct]]) -> Control:
        """Read a snapshot.

        Args:
            snapshot: What `snapshot` returned.
            kinds: Section to the type of its memory.

        Raises:
            RequestError: It is no snapshot of these loops, or of another version.
        """
        try:
            found = msgspec.json.decode(snapshot, type=_Snapshot)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise RequestError("control", "must be a snapshot of control loops", shown(snapshot)) from None
        if found.version != VERSION:
            raise RequestError("control", f"must be of version {VERSION}", str(found.version))
        memories: dict[str, Any] = {}
        for section, raw in found.memories.items():
            if section not in kinds:
                raise RequestError(f"control.{section}", "is no control loop of the policy")
            try:
                memories[section] = msgspec.json.decode(raw, type=kinds[section])
            except msgspec.MsgspecError as error:
                raise RequestError(f"control.{section}", f"must be a memory of this loop ({error})") from None
        return cls(memories)
