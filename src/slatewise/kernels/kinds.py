"""Kinds of rows: rows that count alike under every rule, so that only the better of two need be looked at.

Arrays as in `kernels.rules`.
"""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel, leaf
from slatewise.kernels.rules import AFTER, HIGH, LOT, LOW, SEEN, TWIN


@kernel
def kinds(group, units, link):
    """Return the kind of each row: rows of one kind are the same to every rule, so only the best need be tried."""
    n, rules = len(link), group.shape[1]
    kind = np.arange(n).astype(np.int32)
    if link[:, AFTER].max() >= 0:
        return kind  # in queues, rows differ by what they let through
    size = 1
    while size < 2 * n:
        size *= 2
    first = np.full(size, -1, np.int32)
    for row in range(n):
        code = np.int64(1469598103934665603)
        for one in range(rules):
            code = (code ^ group[row, one]) * np.int64(1099511628211)
            if group[row, one] >= 0:
                code = (code ^ units[row, one]) * np.int64(1099511628211)
        at = (code ^ (code >> 32)) & (size - 1)
        while first[at] >= 0 and not _alike(group, units, link, row, first[at]):
            at = (at + 1) & (size - 1)
        if first[at] < 0:
            first[at] = row
        kind[row] = first[at]
    return kind


@leaf
def _alike(group, units, link, row, other):
    if link[row, TWIN] != row or link[other, TWIN] != other:
        return False
    for one in range(group.shape[1]):
        if group[row, one] != group[other, one]:
            return False
        if group[row, one] >= 0 and units[row, one] != units[other, one]:
            return False
    return True


@kernel
def better_of_kind(board, worth, rows, tolerance):
    """Return (n,) the row that has to stand above each: of its kind, the next better in play; -1 for none.

    Rows of a kind count alike under every rule; of two of them on a page the better one stands above if slots are worth
    less from top to bottom, and the worse one never stands there alone. A count that no bound can mind is no
    difference.
    """
    group, units, link, rule = board.group.copy(), board.units.copy(), board.link, board.rule
    better = np.full(len(worth), -1, np.int64)
    if not _falls_alike(worth, rows, tolerance):
        return better
    for one in range(len(rule)):
        together = np.zeros(group[:, one].max() + 1, np.int64)
        for row in range(len(group)):
            if group[row, one] >= 0:
                together[group[row, one]] += units[row, one] * rule[one, LOT]
        for row in range(len(group)):
            own = group[row, one]
            if own >= 0 and rule[one, LOW] == 0 and rule[one, SEEN] < 0 and together[own] <= rule[one, HIGH]:
                group[row, one] = -1
    kind = kinds(group, units, link)
    last = np.full(len(worth), -1, np.int64)
    for row in rows:
        better[row] = last[kind[row]]
        last[kind[row]] = row
    return better


@leaf
def _falls_alike(worth, rows, tolerance):
    """Tell whether an earlier row is never worth less, and gains at least as much from standing further up."""
    for at in range(1, len(rows)):
        upper, lower = rows[at - 1], rows[at]
        for slot in range(worth.shape[1]):
            if worth[upper, slot] < worth[lower, slot] - tolerance:
                return False
            if slot and worth[upper, slot - 1] - worth[upper, slot] < (
                worth[lower, slot - 1] - worth[lower, slot] - tolerance
            ):
                return False
    return True
