"""What each slot of a page was given to, what that was made of, and what the line is charged: a page's ledger.

A score is a sum over stages, read off the columns before and after each of them:

    score = value + weight + price + shade + boosts,

plus, for a merge, what a gap took and what the rows that follow in the queue added. Terms add up to the score but for
rounding.

A line is charged for a slot what its row there displaces:

    charge_j = (others' value on the page without the line's rows from its j-th on)
             - (others' value on the page without those after its j-th).

Summed over its rows that is what the others would have without the line, minus what they have. It takes one more page
per slot, made by the last selector with fewer rows. For a merge that no limit binds and that looks at utility alone, no
page is needed: the others' rows keep their order and move up by one,

    charge = sum_(l >= slot) (exposure_l - exposure_(l+1)) * rival_(l),

with the rivals' rows in their merged order, from the first one below on. Charges are never negative where pages are
exactly optimal; a greedy page may lose by a row more, and gives some that are.

References:
    Vickrey (1961), Clarke (1971), Groves (1973): what a bidder's presence takes from the others.
    Varian (2007), "Position auctions", International Journal of Industrial Organization 25(6).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import NamedTuple

import numpy as np

from slatewise.blend.govern import Govern
from slatewise.blend.merge import Merge
from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Flags, Numbers
from slatewise.core.constraints import Constraints
from slatewise.core.exposure import exposure_of
from slatewise.core.ledger import Entry, Head, Ledger
from slatewise.core.stage import Selector
from slatewise.kernels import audit
from slatewise.why import Annotated, Chosen

BOOST = "boost."
"""Begins the names of terms that plans add."""

NAMES = {"pace": "price"}
"""Terms that are not called like the stage."""


class _Scores(NamedTuple):
    """What rows are worth, and what became of that.

    Attributes:
        value: (n,) float64, by itself.
        weighed: (n,) float64, weighed for this user.
        entered: (k, n) float64, what rows competed with in each slot.
    """

    value: Numbers
    weighed: Numbers
    entered: Numbers

    def head(self, slot: int, row: int) -> Head:
        """Return a row as the head of its line."""
        return Head(float(self.value[row]), float(self.weighed[row]), float(self.entered[slot, row]))


def accounted(page: Chosen) -> Ledger:
    """Return the ledger of a page."""
    request, candidates, picked = page.request, page.candidates, page.solution.rows
    lines = candidates.key("line")
    value, terms = _terms(page)
    entered, more = _entered(page, candidates)
    scores = _Scores(value, value + terms.get("weight", 0.0), entered)
    order = np.argsort(candidates.rank).astype(np.int32)
    after = page.selector.predecessors(candidates)
    free, fit = audit.open_rows(picked, order, page.constraints.arrays, after)
    without = {
        name.removeprefix(BOOST): _entered(page, _less(page, term))[0]
        for name, term in terms.items()
        if name.startswith(BOOST) and term.any()
    }
    charges = _charges(page)
    drawn = candidates.number("propensity") if "propensity" in candidates.columns else np.ones(len(candidates))
    entries: list[Entry] = []
    for slot, row in enumerate(picked.tolist()):
        heads = _heads(entered[slot], free[slot], row, lines.codes, candidates.rank)
        own = float(entered[slot, row])
        rivals = {code: float(entered[slot, one]) for code, one in heads.items() if code != lines.codes[row]}
        second = max(rivals, key=rivals.__getitem__, default=None)
        winners = {plan: _winner(bare[slot], fit[slot], row) for plan, bare in without.items()}
        entries.append(
            Entry(
                request=request.id,
                time=request.time,
                slot=slot + 1,
                line=lines.name(row),
                item_id=candidates.item_id[row],
                value=float(value[row]),
                score=own,
                terms={name: float(term[row]) for name, term in terms.items() if term[row]} | more[slot],
                runner_up=None if second is None else lines.names[second],
                margin=0.0 if second is None else own - rivals[second],
                charge=float(charges[slot]),
                heads={lines.names[code]: scores.head(slot, one) for code, one in heads.items()},
                without={
                    plan: lines.name(one) for plan, one in winners.items() if lines.codes[one] != lines.codes[row]
                },
                propensity=float(drawn[row]),
            )
        )
    return tuple(entries)


def _terms(page: Chosen) -> tuple[Numbers, dict[str, Numbers]]:
    """Return what each row is worth by itself, and what each stage added to that."""
    by = page.selector.by
    score = page.candidates.number(by)
    value: Numbers | None = None
    terms: dict[str, Numbers] = {}
    for one in page.history:
        if by not in one.stage.writes:
            continue
        name = one.stage.section.split(".")[1]
        parts = one.stage.parts(one.before, page.request) if isinstance(one.stage, Govern) else {}
        found = {f"{BOOST}{plan}": boost for plan, boost in _placed(page, one, parts).items()}
        if not found:
            before = by if by in one.before.columns else "value"
            if before not in one.before.columns:
                continue  # the first stage to say what a row is worth
            placed = _placed(page, one, {"old": one.before.number(before), "new": one.after.number(by)})
            value = value if terms else placed["old"]
            found = {NAMES.get(name, name): placed["new"] - placed["old"]}
        terms |= found
    if value is None:
        value = score - sum(terms.values(), np.zeros(len(score)))
    return value, terms


def _placed(page: Chosen, one: Annotated, columns: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """Return columns of the rows that a stage found for those that the last selector chose from."""
    order = np.argsort(one.rows)
    places = order[np.searchsorted(one.rows[order], page.rows)]
    return {name: column[places] for name, column in columns.items()}


def _entered(page: Chosen, candidates: Candidates) -> tuple[Numbers, list[dict[str, float]]]:
    """Return (k, n) what rows competed with in each slot, and what a merge added to that of the rows placed."""
    rows, selector = page.solution.rows, page.selector
    judged = None
    if isinstance(selector, Merge):
        judged = selector.judged(candidates, page.solution, page.constraints, page.request)
    if judged is None:
        return np.tile(candidates.number(selector.by), (len(rows), 1)), [{} for _ in rows]
    return judged.worth, [{part.name: part.amount for part in parts[1:]} for parts in judged.parts]


def _less(page: Chosen, boost: Numbers) -> Candidates:
    """Return the candidates without a boost."""
    by = page.selector.by
    return page.candidates.with_columns({by: page.candidates.number(by) - boost})


def _heads(entered: Numbers, free: Flags, row: int, codes: Codes, rank: Codes) -> dict[int, int]:
    """Return, by line, the row that it came with: the one in the slot, and the best of each other line."""
    rows = np.flatnonzero(free)
    rows = rows[np.lexsort((rank[rows], -entered[rows]))]
    lines, first = np.unique(codes[rows], return_index=True)
    heads = dict(zip(lines.tolist(), rows[first].tolist(), strict=True))
    return dict(sorted({**heads, int(codes[row]): row}.items()))


def _winner(entered: Numbers, fit: Flags, row: int) -> int:
    """Return the row that would have won: the one in the slot unless another is above it."""
    best = int(np.where(fit, entered, -np.inf).argmax())
    return best if entered[best] > entered[row] else row


def _charges(page: Chosen) -> Numbers:
    """Return (k,) what the line of each slot is charged for it."""
    rows = page.solution.rows
    gains = page.selector.gains(page.candidates, rows, page.constraints, request=page.request)
    if any(getattr(one.stage, "accounting", None) == "own" for one in page.history):
        return gains
    codes = page.candidates.key("line").codes
    charges = np.zeros(len(rows))
    for line in np.unique(codes[rows]).tolist():
        slots = np.flatnonzero(codes[rows] == line).astype(np.int32)
        if is_separable(page.selector, page.candidates, page.constraints):
            charges[slots] = displaced_by_rank(page, line, slots)
        else:
            charges[slots] = displaced(page, line, slots, gains)
    return charges


def is_separable(selector: Selector, candidates: Candidates, constraints: Constraints) -> bool:
    """Tell whether rows of a line only move those of others up or down, in the order that these have without it."""
    heads = isinstance(selector, Merge) and not selector.reach and not selector.beam
    return heads and not constraints.book.rules and not candidates.repeats


def displaced(page: Chosen, line: int, slots: Codes, gains: Numbers) -> Numbers:
    """Return what each of a line's rows displaces, by composing the page with fewer of them.

    Args:
        page: The page.
        line: The line.
        slots: Its slots.
        gains: (k,) float64, what each row adds to the value of the page.
    """
    others = [_others_with(page, line, slots[:kept]) for kept in range(len(slots))]
    codes = page.candidates.key("line").codes[page.solution.rows]
    others.append(fsum(gains[codes != line].tolist()))
    return -np.diff(others)


def _others_with(page: Chosen, line: int, slots: Codes) -> float:
    """Return what others gain on the page with only those of the line's rows that stand in these slots."""
    codes = page.candidates.key("line").codes
    kept = codes != line
    kept[page.solution.rows[slots]] = True
    candidates, bound = page.candidates.take(kept), page.constraints
    constraints = Constraints(bound.book, candidates, bound.slots, past=bound.past)
    rows = page.selector.select(candidates, bound.slots, constraints=constraints, request=page.request).rows
    gains = page.selector.gains(candidates, rows, constraints, request=page.request)
    return fsum(gains[candidates.key("line").codes[rows] != line].tolist())


def displaced_by_rank(page: Chosen, line: int, slots: Codes) -> Numbers:
    """Return the same for a merge that is separable, from the others' order alone.

    Args:
        page: The page.
        line: The line.
        slots: Its slots.
    """
    rivals = page.candidates.take(page.candidates.key("line").codes != line)
    size, selector = page.constraints.slots, page.selector
    free = Constraints((), rivals, size)
    rows = selector.select(rivals, size, constraints=free, request=page.request).rows
    worth = np.zeros(size)
    worth[: len(rows)] = rivals.number(selector.by)[rows]
    exposure = exposure_of(selector.exposure, size) if isinstance(selector, Merge) else np.ones(size)
    falls = -np.diff(exposure, append=0.0)
    charges = np.empty(len(slots))
    for place, slot in enumerate(slots.tolist()):
        below = worth[slot - place :][: len(falls) - slot]
        charges[place] = fsum((falls[slot : slot + len(below)] * below).tolist())
    return charges
