"""Where fitted settings come from, and how they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

import slatewise
from slatewise.core.stage import Stage


def settings_of(stage: Stage) -> dict[str, Any]:
    """Return the fields of a stage that are not at their defaults, as plain data.

    >>> from slatewise import Calibrate, Ratio
    >>> settings_of(Calibrate(lines={"ads": Ratio(factor=0.5)}))
    {'lines': {'ads': {'map': 'ratio', 'worth': 1.0, 'factor': 0.5}}}
    """
    plain = msgspec.to_builtins(stage)
    fields = {field.name: field for field in msgspec.structs.fields(stage)}
    return {name: told for name, told in plain.items() if getattr(stage, name) != _default(fields[name])}


def provenance(path: str | Path, log: Mapping[str, NDArray[Any]], **how: Any) -> dict[str, Any]:
    """Return what settings were fitted on, how, and by which version.

    Args:
        path: The file of the log.
        log: Its columns.
        how: What else there is to say.
    """
    path = Path(path)
    rows = len(next(iter(log.values())))
    told: dict[str, Any] = {"log": path.name, "sha256": sha256(path.read_bytes()).hexdigest(), "rows": rows}
    if "time" in log:
        told |= {"first_time": float(log["time"].min()), "last_time": float(log["time"].max())}
    return told | {"slatewise": slatewise.__version__} | how


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
