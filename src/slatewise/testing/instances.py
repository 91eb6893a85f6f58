"""Random pages to compose: candidates and rules drawn from a seeded generator.

Hard cases are common: ties everywhere, floors that compete for the same slots, rules that cannot all hold, items
nominated twice, fewer rows than slots. `families` draws instances that are hard in one way each, `planted` such as are
known to be feasible or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from slatewise.compose.solve import Bonus, Pair, Solve
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Kind
from slatewise.core.constraints import Constraints
from slatewise.core.exposure import Curve
from slatewise.core.problem import PageProblem
from slatewise.core.rules import Between, Rule

LINES: tuple[str, ...] = ("posts", "videos", "ads")
KINDS: dict[str, Kind] = {
    "utility": "number",
    "author": "key?",
    "topic": "key",
    "local": "flag",
    "seen": "number",
    "size": "number",
}


class Instance(NamedTuple):
    """A page to compose.

    Attributes:
        data: Raw columns: item_id, line, and those in `KINDS`.
        rules: Rules over them.
        slots: Page size.
        past: Raw columns of what the session was shown before, oldest first; None for nothing.
        exposure: How much each slot is looked at.
        bonus: What rows are worth besides in some slots.
        pairs: What rows near each other add or take.
        planted: Rows of a page that is as long as can be and keeps all rules, if one is known.
    """

    data: dict[str, Any]
    rules: tuple[Rule, ...]
    slots: int
    past: dict[str, Any] | None = None
    exposure: Curve = "log"
    bonus: tuple[Bonus, ...] = ()
    pairs: tuple[Pair, ...] = ()
    planted: tuple[int, ...] | None = None

    @property
    def candidates(self) -> Candidates:
        """The columns, checked."""
        return Candidates.of(self.data, kinds=KINDS)

    @property
    def shown(self) -> Candidates | None:
        """The columns of what was shown before, checked."""
        return None if self.past is None else Candidates.of(self.past, kinds=KINDS)

    @property
    def constraints(self) -> Constraints:
        """The rules, bound."""
        return Constraints(self.rules, self.candidates, self.slots, past=self.shown)

    def problem(self, deadline_ms: float = 10.0) -> PageProblem:
        """Return what a method is to solve."""
        stage = Solve(exposure=self.exposure, bonus=self.bonus, pairs=self.pairs, deadline_ms=deadline_ms)
        return stage.problem(self.candidates, self.constraints)

    def reordered(self, rows: Sequence[int]) -> Instance:
        """Return the same instance with its candidates in another order."""
        data = {name: [values[row] for row in rows] for name, values in self.data.items()}
        return self._replace(data=data, planted=None)


def instance(rng: np.random.Generator, *, most_rows: int = 8, most_slots: int = 6, most_rules: int = 4) -> Instance:
    """Draw a page to compose; about one in four has rules that cannot all hold."""
    rows = int(rng.integers(0 if rng.random() < 0.05 else 1, most_rows + 1))
    slots = int(rng.integers(1, most_slots + 1))
    rules = tuple(_rule(rng, f"rule {number}", slots) for number in range(rng.integers(0, most_rules + 1)))
    return Instance(columns(rng, rows), rules, slots)


def columns(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Draw raw columns: lines that overlap in items, authors with gaps, values that tie."""
    items = rng.integers(0, 2 * rows, rows) if rng.random() < 0.3 else np.arange(rows)
    line = rng.integers(0, len(LINES), rows)
    pairs: set[tuple[int, int]] = set()
    for row in range(rows):
        while (int(items[row]), int(line[row])) in pairs:
            items[row] += 2 * rows
        pairs.add((int(items[row]), int(line[row])))
    few_values = rng.random() < 0.5
    authors = [None if rng.random() < 0.1 else f"a{rng.integers(0, max(rows // 2, 1))}" for _ in range(rows)]
    return {
        "item_id": [f"i{item:03d}" for item in items],
        "line": [LINES[code] for code in line],
        "utility": rng.integers(-1, 3, rows).astype(float) if few_values else np.round(rng.normal(size=rows), 3),
        "author": authors,
        "topic": [f"t{rng.integers(0, 3)}" for _ in range(rows)],
        "local": rng.random(rows) < 0.3,
        "seen": rng.integers(0, 5, rows).astype(float),
        "size": rng.choice([0.0, 0.5, 1.0, 2.0], rows),
    }


def scope(rng: np.random.Generator, slots: int) -> dict[str, Any]:
    """Draw what a rule counts, and in which windows: the fields of a `Rule` but for its bounds."""
    fields: dict[str, Any] = {}
    group: dict[str, Any] = {}
    if rng.random() < 0.5:
        group["line"] = str(rng.choice(LINES)) if rng.random() < 0.7 else ["posts", "ads"]
    if rng.random() < 0.25:
        group["local"] = bool(rng.random() < 0.7)
    if rng.random() < 0.15:
        group["seen"] = Between(at_least=float(rng.integers(1, 4)))
    fields["group"] = group
    shape = rng.random()
    if shape < 0.3:
        fields["per"] = str(rng.choice(["author", "topic"]))
    elif shape < 0.4:
        fields["distinct"] = str(rng.choice(["author", "topic"]))
    elif shape < 0.5:
        fields["weight"] = "size"
    window = rng.random()
    if window < 0.35:
        fields["every"] = int(rng.integers(1, slots + 2))
    if 0.25 < window < 0.6:
        fields["first"] = int(rng.integers(1, slots + 2))
    elif window > 0.8:
        start = int(rng.integers(1, slots + 2))
        fields["slots"] = (start, start + int(rng.integers(0, 3)))
    return fields


def _rule(rng: np.random.Generator, name: str, slots: int) -> Rule:
    fields = scope(rng, slots)
    bound = float(rng.integers(0, 4)) if "weight" not in fields else float(rng.integers(0, 7)) / 2
    if rng.random() < 0.6:
        fields["at_most"] = bound
    else:
        fields["at_least"] = bound
        if rng.random() < 0.2:
            fields["at_most"] = bound + float(rng.integers(0, 2))
    fields["priority"] = "contractual" if rng.random() < 0.2 else int(rng.integers(1, 4))
    return Rule(name=name, **fields)
