"""The integer program of the pages of one length.

Left out is what cannot matter: rows that are not in question, and windows that no page brings outside their bounds.
Rows, groups and items are numbered in the problem's order, so that the order of the candidates changes nothing.
Cost: O(n * length * width * R) entries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from slatewise.core.columns import Codes
from slatewise.core.constraints import UNIT, Arrays
from slatewise.core.problem import PageProblem, Pairs
from slatewise.methods.cells import in_question, windows_of
from slatewise.methods.program import LARGEST, Draft, Program


def program_of(problem: PageProblem, length: int) -> Program:
    """Return the program of the pages of `length`; every rule but the contractual ones has slack."""
    arrays = problem.constraints.arrays
    rows = in_question(problem, length)
    draft = Draft(problem.worth[rows, :length].ravel())
    one = np.ones(length)
    draft.add_rows([(0, sparse.kron(np.ones((1, len(rows))), sparse.eye_array(length)))], one, one)
    items = _renumbered(arrays.items[rows], int(arrays.items.max()) + 1)
    size = int(items.max()) + 1
    shown = sparse.csr_array((np.ones(len(rows)), (items, np.arange(len(rows)))), (size, len(rows)))
    draft.add_rows([(0, sparse.kron(shown, one[None]))], np.zeros(size), np.ones(size))
    for rule in range(len(arrays.sizes)):
        _add_rule(draft, arrays, rows, rule, length)
    _add_pairs(draft, problem.pairs, rows, length)
    return draft.finished(rows, length)


def _renumbered(codes: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Return codes numbered as they first appear; -1 stays."""
    first = np.full(size, len(codes))
    np.minimum.at(first, codes[codes >= 0], np.flatnonzero(codes >= 0))
    number = np.full(size + 1, -1)  # the last stands for code -1
    number[np.argsort(first, kind="stable")] = np.arange(size)
    return number[codes]


class _Count(NamedTuple):
    """What a rule counts.

    Attributes:
        members: (groups, rows) sparse int64, what each row counts in each group.
        windows: (windows, length) int64, what each slot counts in each window.
        seen: (groups, windows) int64, what the page before has there.
        low: Lower bound.
        high: Upper bound.
        tier: Tier of the rule.
    """

    members: Any
    windows: NDArray[np.int64]
    seen: NDArray[np.int64]
    low: int
    high: int
    tier: int


def _add_rule(draft: Draft, arrays: Arrays, rows: Codes, rule: int, length: int) -> None:
    windows = windows_of(arrays, rule, length)
    if not len(windows):
        return
    n, past, size = len(arrays.items), len(arrays.group) - len(arrays.items), int(arrays.sizes[rule])
    who = np.concatenate([rows, np.arange(n, n + past)])
    group = _renumbered(arrays.group[who, rule], size)
    at = np.flatnonzero(group >= 0)
    members = sparse.csr_array((arrays.units[who[at], rule], (group[at], at)), (size, len(who)))
    seen = members[:, len(rows) :] @ windows[:, :past].T
    low, high = arrays.bounds[rule].tolist()
    count = _Count(members[:, : len(rows)], windows[:, past:], seen, low, high, int(arrays.tier[rule]))
    (_add_values if arrays.by_value[rule] else _add_counts)(draft, count)


def _add_counts(draft: Draft, count: _Count) -> None:
    """Bound what rows count, per group and window."""
    members, windows, seen = count.members, count.windows, count.seen
    upto = np.zeros((len(windows), windows.shape[1] + 1), np.int64)
    upto[:, 1:] = np.sort(windows)[:, ::-1].cumsum(axis=1)
    fitting = np.minimum(np.diff(members.indptr), windows.shape[1])
    most = seen + members.max(axis=1).toarray()[:, None] * upto[:, fitting].T
    under, over = np.maximum(count.low - seen, 0).ravel(), np.maximum(most - count.high, 0).ravel()
    kept = np.flatnonzero((under > 0) | (over > 0))
    if len(kept):
        counts = sparse.kron(members, sparse.csr_array(windows), "csr")[kept]
        _add_bounds(draft, [(0, counts)], count, seen.ravel()[kept], under[kept], over[kept])


def _add_values(draft: Draft, count: _Count) -> None:
    """Bound how many values are present, per window; a value is where one of its rows is, and only there."""
    windows, seen = (count.windows > 0).astype(np.int64), (count.seen > 0).astype(np.int64)
    members = count.members.astype(bool).astype(np.int64)
    size, number = seen.shape
    before = seen.sum(axis=0)
    most = np.minimum(before + windows.sum(axis=1), size)
    under, over = np.maximum(count.low - before * UNIT, 0), np.maximum(most * UNIT - count.high, 0)
    present = draft.add_columns(size * number, lower=seen.ravel())
    if under.any():
        standing = sparse.kron(members, sparse.csr_array(windows))
        least = np.full(size * number, -np.inf)
        draft.add_rows(
            [(present, sparse.eye_array(size * number)), (0, -standing)], least, seen.ravel().astype(np.float64)
        )
    if over.any():
        window, slot = np.nonzero(windows)
        in_slot = -sparse.kron(members, _choosing(slot, windows.shape[1]))
        here = [(present, sparse.kron(sparse.eye_array(size), _choosing(window, number))), (0, in_slot)]
        draft.add_rows(here, np.zeros(size * len(slot)), np.full(size * len(slot), np.inf))
    if under.any() or over.any():
        values = UNIT * sparse.kron(np.ones((1, size)), sparse.eye_array(number), "coo")
        _add_bounds(draft, [(present, values)], count, np.zeros(number, np.int64), under, over)


def _add_bounds(
    draft: Draft,
    parts: list[tuple[int, Any]],
    count: _Count,
    seen: NDArray[np.int64],
    under: NDArray[np.int64],
    over: NDArray[np.int64],
) -> None:
    """Add the rows of a rule, with slack up to `under` and `over` unless it is contractual.

    The rows are divided by what their entries and bounds have in common: where rows are counted, each counts 1.
    """
    low, high = count.low - seen, count.high - seen
    entries = np.concatenate([block.data for _, block in parts]).astype(np.int64)
    unit = float(np.gcd.reduce(np.concatenate([entries, low[under > 0], high[over > 0]])))
    unit = max(unit, np.abs(entries).max(initial=0) / LARGEST)
    parts = [(first, block / unit) for first, block in parts]
    for sign, most in ((1.0, under), (-1.0, over)):
        at = np.flatnonzero(most)
        if count.tier and len(at):
            slack = draft.add_columns(len(at), upper=most[at] / unit, unit=unit, tier=count.tier)
            places = at, np.arange(len(at))
            parts.append((slack, sparse.coo_array((np.full(len(at), sign), places), (len(low), len(at)))))
    draft.add_rows(parts, np.where(under > 0, low / unit, -np.inf), np.where(over > 0, high / unit, np.inf))


def _add_pairs(draft: Draft, pairs: Pairs, rows: Codes, length: int) -> None:
    """Add what pairs are worth: a product for each kind, code and two slots."""
    for kind, worth in enumerate(pairs.worth):
        codes = np.concatenate([pairs.left[rows, kind], pairs.right[rows, kind]])
        size = int(codes.max(initial=-1)) + 1
        left, right = _indicators(_renumbered(codes, size), len(rows), size)
        both = np.flatnonzero((np.diff(left.indptr) > 0) & (np.diff(right.indptr) > 0))
        for distance in np.flatnonzero(worth[: length - 1]) + 1:
            above = sparse.kron(left[both], _choosing(np.arange(length - distance), length))
            below = sparse.kron(right[both], _choosing(np.arange(distance, length), length))
            _add_products(draft, above, below, worth[distance - 1])


def _add_products(draft: Draft, above: Any, below: Any, worth: float) -> None:
    """Add products of sums that are 0 or 1: at most each of them, and at least what they exceed 1 by together."""
    size = above.shape[0]
    product = (draft.add_columns(size, worth=worth), sparse.eye_array(size))
    if worth > 0:
        for part in (above, below):
            draft.add_rows([product, (0, -part)], np.full(size, -np.inf), np.zeros(size))
    else:
        draft.add_rows([product, (0, -(above + below))], np.full(size, -1.0), np.full(size, np.inf))


def _choosing(which: NDArray[np.int64], size: int) -> Any:
    """Return (len(which), size) sparse: each row is 1 in the column given, 0 elsewhere."""
    return sparse.csr_array((np.ones(len(which)), (np.arange(len(which)), which)), (len(which), size))


def _indicators(codes: NDArray[np.int64], n: int, size: int) -> list[Any]:
    """Return (size, n) sparse matrices, which row has which code, for the first n codes and for those that follow."""
    matrices: list[Any] = []
    for part in (codes[:n], codes[n:]):
        at = np.flatnonzero(part >= 0)
        matrices.append(sparse.csr_array((np.ones(len(at)), (part[at], at)), (size, n)))
    return matrices
