"""Offline: the requests of a file composed by two policies, as a service does it with the last it served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slatewise.core.errors import RequestError
from slatewise.core.policy import Policy
from slatewise.ladder import Ladder
from slatewise.serve.rollout.shadow import Asked
from slatewise.serve.wire import JSON, Wire

FORMS = (".jsonl", ".ndjson")


class Loaded(NamedTuple):
    """A policy that composes requests of a file.

    Attributes:
        policy: The policy.
        wire: Reads requests for it.
        ladder: Composes pages.
    """

    policy: Policy
    wire: Wire
    ladder: Ladder


def sides(before: Policy, after: Policy) -> tuple[Loaded, Loaded]:
    """Return two policies, warm, that compose the same requests: each leaves out columns that only the other has.

    Raises:
        PolicyError: A rung is no policy.
    """
    columns = {*before.head.columns, *after.head.columns}
    first, second = (
        Loaded(policy, Wire(policy, ignored=sorted(columns - policy.head.columns.keys())), Ladder(policy))
        for policy in (before, after)
    )
    for side in (first, second):
        side.ladder.warm()
    return first, second


def logged(path: Path) -> Iterator[Asked]:
    """Yield the requests of a file.

    Raises:
        RequestError: The file is not there, or of no known form.
    """
    if path.suffix not in FORMS:
        raise RequestError("requests", f"must end in {', '.join(FORMS)}", str(path))
    if not path.is_file():
        raise RequestError("requests", "must be a readable file", str(path))
    with path.open("rb") as file:
        yield from (Asked(line, JSON) for line in file if line.strip())
