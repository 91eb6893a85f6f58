"""Findings: what a replay of a decision log found, summed up page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, final

import msgspec

from slatewise.serve.log.replaying import Compared, Difference, placed, served

SHOWN = 10
"""Pages that differ and are told of one by one."""


class LineShare(NamedTuple):
    """Slots of a line.

    Attributes:
        line: The line.
        served: Slots that it had on the pages served.
        replayed: Slots that it has on those that came out.
    """

    line: str
    served: int
    replayed: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found.

    Attributes:
        pages: Records.
        replayed: Those with inputs.
        identical: Pages that came out as they were served.
        different: Pages that did not.
        without_inputs: Records without inputs.
        overlap: Mean share of a page's items that both have, in any slot; None if no page came out.
        lines: Slots of each line, as served and as they came out.
        relaxed: Pages with a rule that gave way, as served and as they came out.
        missing: Slots not filled, as served and as they came out.
        versions: Versions of slatewise that served the pages, and how many each.
        differences: The first pages that differ.
    """

    pages: int
    replayed: int
    identical: int
    different: int
    without_inputs: int
    overlap: float | None
    lines: tuple[LineShare, ...]
    relaxed: tuple[int, int]
    missing: tuple[int, int]
    versions: Mapping[str, int]
    differences: tuple[Difference, ...]


@final
class Findings:
    """What a replay found so far."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._verdicts: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._served: Counter[str] = Counter()
        self._replayed: Counter[str] = Counter()
        self._relaxed, self._missing = [0, 0], [0, 0]
        self._overlap, self._overlaps = 0.0, 0
        self._differences: list[Difference] = []

    def add(self, compared: Compared) -> None:
        """Take note of a page."""
        row, page = compared.row, compared.page
        self._verdicts[compared.verdict] += 1
        self._versions[row["version"]] += 1
        if compared.difference is not None and len(self._differences) < SHOWN:
            self._differences.append(compared.difference)
        if page is None:
            return
        before, now = served(row), placed(page)
        self._served.update(line for _, line in before)
        self._replayed.update(line for _, line in now)
        self._relaxed[0] += bool(row["relaxed"])
        self._relaxed[1] += bool(page.status.relaxed)
        self._missing[0] += row["missing"]
        self._missing[1] += page.status.missing
        longest = max(len(before), len(now))
        self._overlap += len(set(before) & set(now)) / longest if longest else 1.0
        self._overlaps += 1

    def report(self) -> Report:
        """Return all of it."""
        identical, different = self._verdicts["identical"], self._verdicts["different"]
        return Report(
            pages=self._verdicts.total(),
            replayed=identical + different,
            identical=identical,
            different=different,
            without_inputs=self._verdicts["without inputs"],
            overlap=self._overlap / self._overlaps if self._overlaps else None,
            lines=tuple(
                LineShare(line, self._served[line], self._replayed[line])
                for line in sorted(self._served.keys() | self._replayed.keys())
            ),
            relaxed=(self._relaxed[0], self._relaxed[1]),
            missing=(self._missing[0], self._missing[1]),
            versions=dict(sorted(self._versions.items())),
            differences=tuple(self._differences),
        )


def report_of(compared: Iterable[Compared]) -> Report:
    """Return what a replay found."""
    findings = Findings()
    for one in compared:
        findings.add(one)
    return findings.report()
