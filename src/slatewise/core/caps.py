"""Caps: which rows a cap is about, and as what it counts them.

A cap counts rows as candidates bring them, before any stage: each row of its group under the value that it has in the
column `per`, as text; under "" if the cap has no such column. A row without a value is not counted. Cost: O(n).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Keys, Kind
from slatewise.core.constraints import members
from slatewise.core.errors import did_you_mean, shown
from slatewise.core.rules import GIVEN
from slatewise.core.serving import Cap


class Misfit(NamedTuple):
    """What is wrong with a cap.

    Attributes:
        where: Path below `serve.caps`.
        rule: What would have been right.
        got: The offending value.
        hint: What to do.
    """

    where: tuple[str | int, ...]
    rule: str
    got: str
    hint: str = ""


def capped(cap: Cap, candidates: Candidates) -> Keys:
    """Return as what each row is counted: codes of values as text, -1 for rows that are not.

    >>> items = Candidates.of(item_id=["a", "b", "c"], line=["ads", "posts", "ads"], brand=["x", "x", None])
    >>> codes, names = capped(Cap(name="brands", group={"line": "ads"}, per="brand", at_most=3), items)
    >>> codes.tolist(), names
    ([0, -1, -1], ('x',))
    """
    keys = Keys(np.zeros(len(candidates), dtype=np.int32), ("",))
    if any(name not in candidates.columns and name != "item_id" for name, _ in cap.uses):
        return Keys(keys.codes - 1, ())  # an optional column that was not sent: no row has a value
    if cap.per is not None:
        keys = candidates.key(cap.per)
        if not all(isinstance(name, str) for name in keys.names):
            merged = Keys.of(str(name) for name in keys.names)  # 7 and "7" are one value
            keys = Keys(np.where(keys.codes >= 0, merged.codes[keys.codes], -1).astype(np.int32), merged.names)
    if cap.group:
        keys = Keys(np.where(members(cap.group, candidates), keys.codes, -1).astype(np.int32), keys.names)
    return keys


def asked(cap: Cap, candidates: Candidates) -> dict[str, int]:
    """Return each value that a cap counts here, with the number of its rows, >= 1."""
    codes, names = capped(cap, candidates)
    rows = np.bincount(codes[codes >= 0], minlength=len(names))
    return {names[code]: int(rows[code]) for code in np.flatnonzero(rows).tolist()}


def misfits(caps: Sequence[Cap], lines: Sequence[str], columns: Mapping[str, Kind]) -> Iterator[Misfit]:
    """Yield what keeps caps from being caps of a policy with these lines and columns."""
    have: dict[str, Kind] = {**columns, **dict.fromkeys(GIVEN, "key")}
    for place, cap in enumerate(caps):
        if any(cap.name == other.name for other in caps[:place]):
            yield Misfit((place, "name"), "must name each cap once in a policy", shown(cap.name))
        for name, kind in cap.uses:
            where = (place, "per") if name not in cap.group else (place, "group", name)
            if name not in have:
                yield Misfit(where, "must be a column of the policy", shown(name), did_you_mean(name, have))
            elif have[name].rstrip("?") != kind.rstrip("?"):
                yield Misfit(where, f"must be a column of kind {kind.rstrip('?')}", shown(have[name]))
        wanted = cap.group.get("line")
        for line in wanted if isinstance(wanted, list) else [] if wanted is None else [wanted]:
            if line not in lines:
                hint = did_you_mean(str(line), lines)
                yield Misfit((place, "group", "line"), "must be a line of the policy", shown(line), hint)
