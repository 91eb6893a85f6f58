"""Artefact: what was fitted from a log, as a file that people can read and a policy can take settings from.

A section of a policy that says `from: calibration.json` has the settings of that artefact, with the section's own keys
on top. An artefact says which section it is for, how good it was found to be, and where it comes from.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, final

import msgspec

from slatewise.core.errors import PolicyError, shown
from slatewise.core.files import replacing

LAYOUT = 1
"""Version of the layout below."""


@final
class Artefact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fitted settings, with their report.

    Attributes:
        section: The section of a policy that they are for, such as `blend.calibrate`.
        settings: Fields of that section.
        report: How good they were found to be, on data that they were not fitted on.
        provenance: What they were fitted on, how, and by which version.
        layout: Version of this layout.

    Examples:
        >>> fitted = Artefact(section="blend.weight", settings={"lines": {"ads": 0.8}})
        >>> fitted.version == Artefact(section="blend.weight", settings={"lines": {"ads": 0.8}}).version
        True
    """

    section: str
    settings: dict[str, Any]
    report: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    layout: int = LAYOUT

    @property
    def version(self) -> str:
        """Hash of the settings: equal for equal settings, whatever was found of them."""
        return sha256(msgspec.json.encode([self.section, self.settings], order="sorted")).hexdigest()[:16]

    @classmethod
    def read(cls, path: str | Path) -> Artefact:
        """Read a file.

        Raises:
            PolicyError: The file is not there, or is no artefact of this layout.
        """
        try:
            found = msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except OSError as error:
            raise PolicyError("from", "must be a readable artefact", f"{path} ({error.strerror})") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise PolicyError("from", f"is no artefact ({error})", str(path)) from None
        if found.layout != LAYOUT:
            raise PolicyError("from", f"must be of layout {LAYOUT}", shown(found.layout), source=str(path))
        return found

    def write(self, path: str | Path) -> None:
        """Write a file; it is there whole, or not at all.

        Raises:
            PolicyError: There can be no such file.
        """
        with replacing(Path(path), kind=PolicyError) as part:
            part.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
