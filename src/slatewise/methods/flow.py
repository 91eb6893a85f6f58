"""Assignment and min-cost flow: pages whose rules are a network are solved exactly, without search.

    source -> groups, the wider before the narrower -> items -> cells (row, slot) -> slots -> sink

A rule that only says which rows may stand in which slots takes cells away: `at_most: 0`, or a window of one slot. With
no others, the page is an assignment of items to slots (shortest augmenting paths). A rule that bounds how many rows of
a group stand on the whole page bounds what flows through the group's node. That is a network where any two groups, and
the rows of any two items, are nested or disjoint; its constraint matrix is totally unimodular, so that the vertex that
the simplex method ends in is a page. The page is audited all the same.

Rules of any other kind, and pairs, are refused when a policy loads; `refusal` says why. What only a request shows
(groups that overlap, rules that cannot all hold) gets the greedy page.

Cost: O(slots^2 * n) for an assignment; for a flow, a linear program of n * slots columns, some thirty times as much.

References:
    Crouse (2016), "On implementing 2D rectangular assignment algorithms", IEEE Transactions on Aerospace and Electronic
    Systems 52.
    Ahuja, Magnanti & Orlin (1993), "Network Flows", ch. 9 and 11.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Codes, Flags, Numbers
from slatewise.core.constraints import UNIT, Arrays
from slatewise.core.problem import PageProblem, Solution
from slatewise.core.rules import Rule
from slatewise.kernels import audit
from slatewise.methods import greedy
from slatewise.methods.cells import in_question, windows_of

SCALE = 1e4
"""What the largest worth is brought to: HiGHS takes costs for equal that are within 1e-7 of each other."""

WHOLE = 1e-6
"""How near a flow has to be to a whole number; a vertex of a network is whole."""


class Network(NamedTuple):
    """What the rules of a network come to.

    Attributes:
        allowed: (n, length) bool, which rows may stand in which slots.
        groups: (q, n) bool, groups that the whole page is to hold at least and at most so many rows of.
        low: (q,) float64.
        high: (q,) float64.
    """

    allowed: Flags
    groups: Flags
    low: Numbers
    high: Numbers


def refusal(rule: Rule) -> str:
    """Return why a rule can be in no network; empty if it can.

    >>> refusal(Rule(name="ads apart", group={"line": "ads"}, every=2, at_most=1))
    'windows that slide (`every`) overlap'
    >>> refusal(Rule(name="no ads on top", group={"line": "ads"}, first=3, at_most=0))
    ''
    """
    if _forbids(rule):
        return ""
    reasons = {
        "windows that slide (`every`) overlap": rule.every is not None,
        "a count of distinct values (`distinct`) is no flow": rule.distinct is not None,
        "weights (`weight`) make a flow fractional": rule.weight is not None,
        "shares (`exposure`) make a flow fractional": rule.exposure is not None,
        "a count in a part of the page (`first`, `slots`) crosses the slots": bool(rule.first or rule.slots),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _forbids(rule: Rule) -> bool:
    """Tell whether a rule only says which rows may stand in which slots: nothing counts, or windows are one slot."""
    first, last = rule.slots or (1, rule.first or 2)
    return rule.every == 1 or first == last or rule.at_most == 0


def solve(problem: PageProblem) -> Solution:
    """Return the page of greatest value that breaks no rule; the greedy page where no network says which it is."""
    arrays = problem.constraints.arrays
    length = min(problem.slots, len(np.unique(arrays.items)))
    network = _network(arrays, length) if length and not problem.pairs.worth.size else None
    if network is not None:
        page = _routed(problem, network) if len(network.groups) else _assigned(problem, network)
        if page is not None and not audit.broken(page, arrays).any():
            value = problem.value(page)
            return Solution(page, value, value, True)
    return greedy.solve(problem)


def _network(arrays: Arrays, length: int) -> Network | None:
    """Return what the rules come to on a page of `length`; None if that is no network."""
    past = len(arrays.group) - len(arrays.items)
    allowed = np.ones((len(arrays.items), length), np.bool_)
    groups = [_items(arrays)]
    for rule in range(len(arrays.sizes)):
        start, stop, width = arrays.windows[rule].tolist()
        width = min(width, min(stop, length) - start)
        if width <= 0:
            continue
        if not arrays.bounds[rule].any():
            allowed &= _counted(arrays, rule, length) == 0
        elif min(past, arrays.reach[rule]):
            return None
        elif width == 1:
            allowed[:, start:stop] &= _right_alone(arrays, rule, length)[:, start:stop]
        elif width == length and _counts_rows(arrays, rule):
            groups.append(_bounded(arrays, rule, length))
        else:
            return None
    network = Network(allowed, *(np.concatenate(parts) for parts in zip(*groups, strict=True)))
    return network if _are_nested(network.groups) else None


def _counted(arrays: Arrays, rule: int, length: int) -> NDArray[np.int64]:
    """Return (n, length): what each row counts in each slot, in all windows together."""
    n, past = len(arrays.items), len(arrays.group) - len(arrays.items)
    units = np.where(arrays.group[:n, rule] >= 0, arrays.units[:n, rule], 0)
    return np.multiply.outer(units, windows_of(arrays, rule, length)[:, past:].sum(axis=0))


def _right_alone(arrays: Arrays, rule: int, length: int) -> Flags:
    """Return (n, length): whether each row, alone in a window of one slot, keeps the rule."""
    low, high = arrays.bounds[rule]
    counted = _counted(arrays, rule, length)
    # One row cannot give each of several groups its due: there, the audit finds the floor broken whatever stands.
    one_group = arrays.by_value[rule] or arrays.sizes[rule] == 1
    return (counted <= high) & ((counted >= low) | (not one_group))


def _counts_rows(arrays: Arrays, rule: int) -> bool:
    """Tell whether a rule counts rows: each 1, in whichever slot."""
    inside = arrays.group[: len(arrays.items), rule] >= 0
    plain = not arrays.by_value[rule] and arrays.curve[rule, 0] < 0
    return bool(plain and (arrays.units[: len(arrays.items), rule][inside] == UNIT).all())


def _bounded(arrays: Arrays, rule: int, length: int) -> tuple[Flags, Numbers, Numbers]:
    """Return the groups of a rule that can be outside its bounds, and how many rows they may have."""
    low, high = np.ceil(arrays.bounds[rule, 0] / UNIT), np.floor(arrays.bounds[rule, 1] / UNIT)
    members = arrays.group[: len(arrays.items), rule] == np.arange(arrays.sizes[rule])[:, None]
    members = members[(low > 0) | (np.minimum(members.sum(axis=1), length) > high)]
    return members, np.full(len(members), low), np.full(len(members), high)


def _items(arrays: Arrays) -> tuple[Flags, Numbers, Numbers]:
    """Return the items that have several rows, as groups of which one may be shown."""
    several = np.flatnonzero(np.bincount(arrays.items) > 1)
    return arrays.items == several[:, None], np.zeros(len(several)), np.ones(len(several))


def _are_nested(groups: Flags) -> bool:
    """Tell whether any two groups are nested or disjoint."""
    both = groups.astype(np.float64) @ groups.T.astype(np.float64)
    size = np.diagonal(both)
    return bool(((both == 0) | (both == np.minimum.outer(size, size))).all())


def _assigned(problem: PageProblem, network: Network) -> Codes | None:
    """Return the best page where rows compete for slots alone; None if slots stay empty."""
    from scipy.optimize import linear_sum_assignment

    length = network.allowed.shape[1]
    rows = in_question(problem, length)
    worth = np.where(network.allowed[rows], problem.worth[rows, :length], -np.inf)
    try:
        places, slots = linear_sum_assignment(-worth)
    except ValueError:  # its way to say that there is none
        return None
    return rows[places[np.argsort(slots)]]


def _routed(problem: PageProblem, network: Network) -> Codes | None:
    """Return the best page where groups are bounded, too; None if there is none."""
    from scipy import sparse
    from scipy.optimize import linprog

    length = network.allowed.shape[1]
    rows = in_question(problem, length)
    place, slot = np.nonzero(network.allowed[rows])
    if not len(place):
        return None
    cells = np.arange(len(place)), np.ones(len(place))
    worth = problem.worth[rows[place], slot]
    in_slot = sparse.csr_array((cells[1], (slot, cells[0])), (length, len(place)))
    of_row = sparse.csr_array((cells[1], (place, cells[0])), (len(rows), len(place)))
    in_group = sparse.csr_array(network.groups[:, rows].astype(np.float64)) @ of_row
    result: Any = linprog(
        -SCALE / (np.abs(worth).max(initial=0) or 1) * worth,
        A_ub=sparse.vstack([of_row, in_group, -in_group], format="csr"),
        b_ub=np.concatenate([np.ones(len(rows)), network.high, -network.low]),
        A_eq=in_slot,
        b_eq=np.ones(length),
        method="highs-ds",
    )
    if result.x is None or np.abs(result.x - result.x.round()).max() > WHOLE:
        return None
    chosen = np.flatnonzero(result.x > 0.5)
    return rows[place[chosen[np.argsort(slot[chosen])]]]
