"""What every method promises, over every family of instances; small ones are compared with every page there is."""

from functools import cache

import msgspec
import numpy as np
import pytest

import oracles
from slatewise.compose.solve import METHODS
from slatewise.core.problem import TOLERANCE
from slatewise.kernels import audit
from slatewise.testing.checks import check_method
from slatewise.testing.families import FAMILIES, draw
from slatewise.testing.planted import feasible, infeasible

SIZES = ((6, 4), (5, 5), (7, 3), (3, 2), (1, 3))
"""Rows and slots of instances of which every page is tried."""
SMALL = 30
PATIENCE_MS = 1_000.0
GENERATORS = {"feasible": feasible, "infeasible": infeasible}

over_methods = pytest.mark.parametrize("method", METHODS)


def small(family, seed):
    """Draw an instance of a family, or of planted ones, of few enough pages to try them all."""
    n, k = SIZES[seed % len(SIZES)]
    if family in GENERATORS:
        return GENERATORS[family](np.random.default_rng([seed, 1]), most_rows=max(n, 4), most_slots=max(k, 2))
    return draw(family, seed, n=n, k=k)


def plain(parts):
    return [msgspec.to_builtins(part) for part in parts]


def objective(one):
    return {"exposure": one.exposure, "bonus": plain(one.bonus), "pairs": plain(one.pairs)}


@cache
def best(family, seed):
    """Return (length, what must be broken, the most that such a page is worth), by trying every page."""
    one = small(family, seed)
    length, pages = oracles.priced(plain(one.rules), one.data, one.slots, objective(one), one.past)
    least = min(cost for cost, _ in pages)
    return length, least, max(value for cost, value in pages if cost == least)


@over_methods
@pytest.mark.parametrize("family", FAMILIES)
def test_keeps_the_promises_of_a_method(method, family):
    for seed in range(3):
        n = 80 if family == "large" else 20
        check_method(METHODS[method], draw(family, seed, n=n, k=6).problem())


@over_methods
@pytest.mark.parametrize("family", [*FAMILIES, *GENERATORS])
def test_claims_no_more_than_is_so(method, family):
    """Of every page there is: none beats what is proven, none is worth more than the bound."""
    for seed in range(SMALL):
        one = small(family, seed)
        check_method(METHODS[method], one.problem(PATIENCE_MS))
        solution = METHODS[method](one.problem(PATIENCE_MS))
        page = solution.rows.tolist()
        length, least, most = best(family, seed)
        broken = oracles.cost(plain(one.rules), one.data, page, one.slots, one.past)
        scale = TOLERANCE * max(1.0, abs(most))
        assert broken[0] == 0, f"instance {seed}: contractual rules hold"
        assert (-len(page), broken) >= (-length, least), f"instance {seed}: the oracle misses a page"
        worth = oracles.value(one.data, page, one.slots, **objective(one))
        assert solution.value == pytest.approx(worth, rel=TOLERANCE, abs=TOLERANCE), f"instance {seed}"
        if solution.least:
            assert (len(page), broken) == (length, least), f"instance {seed}: not the least broken"
        if (len(page), broken) == (length, least):
            assert solution.bound >= most - scale, f"instance {seed}: a page is worth more than the bound"
        if solution.is_proven:
            assert solution.value == pytest.approx(most, rel=TOLERANCE, abs=TOLERANCE), f"instance {seed}: not the best"


@over_methods
def test_breaks_no_rule_of_a_feasible_instance(method):
    for seed in range(150):
        one = feasible(np.random.default_rng([seed, 2]))
        problem = one.problem(PATIENCE_MS)
        rows = METHODS[method](problem).rows
        assert len(rows) == len(one.planted), f"instance {seed}: too short"
        assert not audit.broken(rows, problem.constraints.arrays).any(), f"instance {seed}"


@over_methods
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_candidates_in_another_order_are_the_same_page(method, family):
    """Codes of lines and authors change with the order of candidates; the page does not."""
    for seed in range(3):
        one = draw(family, seed, n=12, k=5)
        other = one.reordered(np.random.default_rng(seed).permutation(len(one.data["item_id"])))
        pages = [named(each, METHODS[method](each.problem()).rows) for each in (one, other)]
        assert pages[0] == pages[1], f"instance {seed}"


def named(one, rows):
    return [(one.data["item_id"][row], one.data["line"][row]) for row in rows]
