"""Instances of which it is known whether all rules can hold.

`feasible` draws a page first, counts what stands in the windows of random rules on it, and sets bounds that admit it.
`infeasible` adds rules that contradict each other on any page that is as long as it can be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slatewise.compose.solve import Bonus, Pair
from slatewise.core.candidates import Candidates
from slatewise.core.constraints import UNIT, Constraints
from slatewise.core.exposure import Curve
from slatewise.core.rules import MOST, Rule
from slatewise.testing.instances import Instance, columns, scope

CURVES: tuple[Curve, ...] = ("log", "reciprocal", "halving", "flat", [1.0, 0.5, 0.25])
SLACK = (0, 0, 0, 1, 1, 2)


def feasible(rng: np.random.Generator, *, most_rows: int = 12, most_slots: int = 6, most_rules: int = 6) -> Instance:
    """Draw an instance with a page, `planted`, that is as long as can be and keeps all rules, of any kind."""
    slots = int(rng.integers(1, most_slots + 1))
    one = Instance(
        columns(rng, int(rng.integers(1, most_rows + 1))),
        (),
        slots,
        past=columns(rng, int(rng.integers(1, slots + 3))) if rng.random() < 0.35 else None,
        exposure=CURVES[rng.integers(len(CURVES))],
        bonus=(Bonus(by="seen", slots=(1, int(rng.integers(1, slots + 1)))),) if rng.random() < 0.2 else (),
        pairs=_pairs(rng) if rng.random() < 0.2 else (),
    )
    candidates, shown = one.candidates, one.shown
    page = _page(rng, candidates, slots)
    rules = (
        _admitting(rng, f"rule {number}", page, candidates, shown, slots)
        for number in range(rng.integers(1, most_rules + 1))
    )
    return one._replace(rules=tuple(rules), planted=tuple(page.tolist()))


def infeasible(rng: np.random.Generator, *, most_rows: int = 8, most_slots: int = 5, most_rules: int = 3) -> Instance:
    """Draw an instance whose rules cannot all hold, of equal or different priorities; some are contractual."""
    one = feasible(rng, most_rows=most_rows, most_slots=most_slots, most_rules=most_rules)
    while len(one.planted or ()) < 2:
        one = feasible(rng, most_rows=most_rows, most_slots=most_slots, most_rules=most_rules)
    length = len(one.planted or ())
    contradiction = CONTRADICTIONS[rng.integers(len(CONTRADICTIONS))]
    if contradiction is gap_against_rows:
        one = one._replace(data=_one_line(one.data, length))
    ranks: list[Any] = ["contractual"] * 2 if rng.random() < 0.1 else rng.integers(1, 4, 2).tolist()
    added = [
        Rule(name=f"against {number}", priority=rank, **fields)
        for number, (rank, fields) in enumerate(zip(ranks, contradiction(rng, length), strict=False))
    ]
    return one._replace(rules=(*one.rules, *added), planted=None)


def floors_beyond_slots(rng: np.random.Generator, length: int) -> tuple[dict[str, Any], ...]:
    """Two floors that ask for one slot more than there are."""
    floor = int(rng.integers(1, length + 1))
    first = {"group": {"line": "posts"}, "at_least": floor}
    return first, {"group": {"line": "ads"}, "at_least": length + 1 - floor}


def floor_against_cap(rng: np.random.Generator, length: int) -> tuple[dict[str, Any], ...]:
    """More in the first slots than on the whole page; in rows, or in weight."""
    floor = int(rng.integers(1, length + 1))
    first = {"group": {"line": "posts"}, "first": floor, "at_least": floor}
    if rng.random() < 0.5:
        return first, {"group": {"line": "posts"}, "at_most": floor - 1}
    return {"weight": "size", "first": floor, "at_least": floor}, {"weight": "size", "at_most": floor - 0.5}


def gap_against_rows(rng: np.random.Generator, length: int) -> tuple[dict[str, Any], ...]:
    """Rows of one line that must stand apart, with too few others to stand between them."""
    return ({"group": {"line": "posts"}, "every": int(rng.integers(2, 4)), "at_most": 1},)


def pins_of_one_slot(rng: np.random.Generator, length: int) -> tuple[dict[str, Any], ...]:
    """Two lines that each must have the same slot."""
    slot = int(rng.integers(1, length + 1))
    return tuple({"group": {"line": line}, "slots": (slot, slot), "at_least": 1} for line in ("videos", "ads"))


def values_against_cap(rng: np.random.Generator, length: int) -> tuple[dict[str, Any], ...]:
    """More topics than a cap on all but one of them leaves."""
    topics = int(rng.integers(2, 4))
    return {"distinct": "topic", "at_least": topics}, {"group": {"topic": ["t1", "t2"]}, "at_most": topics - 2}


def shares_beyond_one(rng: np.random.Generator, length: int) -> tuple[dict[str, Any], ...]:
    """Two lines that each must have more than half of what is looked at."""
    window = {"first": int(rng.integers(1, length + 1)), "exposure": "log", "at_least": 0.55}
    return {"group": {"line": "posts"}, **window}, {"group": {"line": "videos"}, **window}


CONTRADICTIONS: tuple[Callable[[np.random.Generator, int], tuple[dict[str, Any], ...]], ...] = (
    floors_beyond_slots,
    floor_against_cap,
    gap_against_rows,
    pins_of_one_slot,
    values_against_cap,
    shares_beyond_one,
)


def _one_line(data: dict[str, Any], length: int) -> dict[str, Any]:
    """Return the columns with so few rows of other lines that a page of `length` has two posts side by side."""
    rows = len(data["item_id"])
    others = (length - 2) // 2
    lines = ["videos"] * others + ["posts"] * (rows - others)
    return {**data, "item_id": [f"i{row:03d}" for row in range(rows)], "line": lines}


def _pairs(rng: np.random.Generator) -> tuple[Pair, ...]:
    same = Pair(worth=float(rng.choice([-1.0, -0.5, 0.5])), same="topic", within=int(rng.integers(1, 4)), fade="log")
    apart = Pair(worth=0.5, above={"line": "posts"}, below={"local": True})
    return (same, apart)[: int(rng.integers(1, 3))]


def _page(rng: np.random.Generator, candidates: Candidates, slots: int) -> NDArray[np.int64]:
    """Draw a page of distinct items, as long as can be."""
    rows = rng.permutation(len(candidates))
    _, first = np.unique(candidates.items[rows], return_index=True)
    return rows[np.sort(first)][:slots]


def _admitting(
    rng: np.random.Generator,
    name: str,
    page: NDArray[np.int64],
    candidates: Candidates,
    shown: Candidates | None,
    slots: int,
) -> Rule:
    """Draw a rule that the page keeps."""
    fields = scope(rng, slots)
    if not fields.keys() & {"weight", "distinct", "every"} and rng.random() < 0.3:
        fields["exposure"] = CURVES[rng.integers(len(CURVES))]
    step, most = (0.05, 1.0) if "exposure" in fields else (0.5 if "weight" in fields else 1.0, MOST)
    wide = Constraints([Rule(name=name, at_most=most, **fields)], candidates, slots, past=shown)
    low, high = _counted(wide, page)
    at_least = max(low - step * SLACK[rng.integers(len(SLACK))], 0.0)
    at_most = min(high + step * SLACK[rng.integers(len(SLACK))], most)
    kind = rng.random()
    if kind < 0.5 or not at_least:
        fields["at_most"] = at_most
    else:
        fields["at_least"] = at_least
        if kind > 0.85:
            fields["at_most"] = at_most
    return Rule(name=name, priority="contractual" if rng.random() < 0.2 else int(rng.integers(1, 4)), **fields)


def _counted(constraints: Constraints, page: NDArray[np.int64]) -> tuple[float, float]:
    """Return the smallest and the largest count that the one rule has in any of its windows on the page."""
    arrays = constraints.arrays
    n = len(arrays.items)
    past = len(arrays.group) - n
    shown = np.concatenate((np.arange(n, n + past), page))
    start, stop = past + int(arrays.windows[0, 0]), past + min(int(arrays.windows[0, 1]), len(page))
    if start >= stop:
        return 0.0, 0.0
    scale = np.ones(len(shown))
    if arrays.curve[0, 0] >= 0:
        curve = arrays.curve[0, start - past : stop - past]
        scale[start:stop] = np.diff(np.round(UNIT * np.cumsum(curve) / curve.sum()), prepend=0.0)
    start -= min(past, int(arrays.reach[0]))
    width = min(int(arrays.windows[0, 2]), stop - start)
    group = arrays.group[shown, 0]
    amount = arrays.units[shown, 0] * scale
    asked = np.unique(arrays.group[:n, 0])
    asked = asked[asked >= 0]
    counts: list[float] = []
    for first in range(start, stop - width + 1):
        window = slice(first, first + width)
        inside = group[window][group[window] >= 0]
        if arrays.by_value[0]:
            counts.append(len(np.unique(inside)))
            continue
        total = np.bincount(inside, amount[window][group[window] >= 0], minlength=int(arrays.sizes[0]))
        counts += (total[asked] / UNIT).tolist()
    return min(counts, default=0.0), max(counts, default=0.0)
