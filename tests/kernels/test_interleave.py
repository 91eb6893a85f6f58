"""Interleaved kinds: what they prove holds against other methods, which know nothing of them."""

import numpy as np
import pytest

from slatewise import Candidates, Rule, Solve
from slatewise.core.constraints import Constraints
from slatewise.core.problem import TOLERANCE
from slatewise.kernels import audit
from slatewise.kernels.interleave import fill_and_prove
from slatewise.methods import ilp
from slatewise.testing.families import draw

ENOUGH = 100_000


def a_page_of_lines(seed, n=40, slots=9):
    """Draw a page of three lines that share items, under windows, floors, caps and an exclusion; some after another."""
    rng = np.random.default_rng(seed)
    scale = rng.permutation([1.0, 2.0, 5.0])

    def rows(n):
        line = rng.integers(0, 3, n)
        return {
            "line": [f"l{one}" for one in line],
            "opened": (rng.random(n) < 0.15).tolist(),
            "cluster": [None if code == 0 else f"c{code}" for code in rng.integers(0, 8, n)],
            "utility": np.round(rng.random(n) * scale[line], 2) if rng.random() < 0.9 else rng.integers(-1, 2, n),
        }

    rules = [
        Rule(name="none opened", group={"opened": True}, at_most=0, priority="contractual"),
        Rule(name="on top", group={"line": "l0"}, first=4, at_least=1, priority=3),
        Rule(name="mixed", per="line", every=3, at_most=2, priority=2),
        Rule(name="interests", distinct="cluster", first=6, at_least=3, priority=1),
        Rule(name="apart", group={"line": "l1"}, every=4, at_most=1, priority=2),
        Rule(name="not too many", group={"line": "l2"}, at_most=3),
    ]
    rules = [rule for rule in rules if rng.random() < 0.7]
    kinds = {"line": "key", "opened": "flag", "cluster": "key?", "utility": "number"}
    data = rows(n)
    item_id = np.arange(n)
    for row in range(0, n // 2, 2):  # nominated by two lines
        if data["line"][row] != data["line"][-1 - row] and rng.random() < 0.5:
            item_id[-1 - row] = item_id[row]
    past = Candidates.of(rows(3), kinds=kinds) if rng.random() < 0.3 else None
    items = Candidates.of({**data, "item_id": item_id}, kinds=kinds)
    exposure = rng.choice(["log", "flat", "halving"])
    return Solve(exposure=exposure, deadline_ms=1_000).problem(items, Constraints(rules, items, slots, past=past))


def a_page_of_floors(seed):
    """Draw a page of floors whose windows overlap, two of them on values; articles that two or three lines nominate."""
    rng = np.random.default_rng([seed, 1])
    n, slots, lines = int(rng.integers(14, 50)), int(rng.integers(4, 11)), int(rng.integers(1, 4))

    def some(low, high):
        return int(rng.integers(low, high + 1))

    def rows(n):
        line, topic = rng.integers(0, lines, n), np.where(rng.random(n) < 0.5, 0, rng.integers(0, 6, n))
        return {
            "line": [f"l{one}" for one in line],
            "local": (rng.random(n) < 0.2).tolist(),
            "size": rng.choice([0.0, 0.5, 1.0, 2.0], n).tolist(),
            "cluster": [None if one == 5 else f"c{one}" for one in topic],
            "author": [f"a{one}" for one in rng.integers(0, max(n // 3, 1), n)],
            "utility": np.round(rng.random(n), some(1, 3)) + rng.choice([0.0, 0.7]) * (topic == 0),
        }

    rules = [
        Rule(name="on top", group={"line": "l0"}, first=some(1, slots), at_least=some(1, 2), priority=3),
        Rule(name="mixed", per="line", every=3, at_most=2, priority=2),
        Rule(name="interests", distinct="cluster", first=some(2, slots), at_least=some(2, 4)),
        Rule(name="authors", distinct="author", first=some(2, slots), at_least=some(2, 5), priority=2),
        Rule(name="locals", group={"local": True}, first=some(2, slots), at_least=some(1, 3)),
        Rule(name="few locals", group={"local": True}, at_most=some(1, 4)),
        Rule(name="one topic", group={"cluster": "c1"}, first=some(2, slots), at_least=some(1, 2)),
        Rule(name="heavy", weight="size", first=some(2, slots), at_least=some(1, 4) / 2),
        Rule(name="light", weight="size", at_most=some(2, 12) / 2),
    ]
    rules = [rule for rule in rules if rng.random() < 0.4]
    kinds = {"line": "key", "local": "flag", "size": "number", "cluster": "key?", "author": "key", "utility": "number"}
    data, item_id = rows(n), np.arange(n)
    nominated = set(enumerate(data["line"]))
    for row, other in rng.integers(0, n, (some(0, n // 2), 2)).tolist():
        if item_id[other] == other and (item_id[row], data["line"][other]) not in nominated:
            item_id[other] = item_id[row]
            nominated.add((item_id[row], data["line"][other]))
    past = Candidates.of(rows(3), kinds=kinds) if rng.random() < 0.3 else None
    items = Candidates.of({**data, "item_id": item_id}, kinds=kinds)
    exposure = rng.choice(["log", "flat", "halving"])
    return Solve(exposure=exposure, deadline_ms=1_000).problem(items, Constraints(rules, items, slots, past=past))


def proof_of(problem, limit=ENOUGH):
    arrays = problem.constraints.arrays
    proof = fill_and_prove(
        problem.order, arrays, problem.slots, 10_000, problem.utility, problem.exposure, TOLERANCE, limit
    )
    return proof, problem.value(proof.better if len(proof.better) else proof.rows)


def broken_by_tier(problem, rows):
    arrays = problem.constraints.arrays
    cost = np.zeros(arrays.tier.max(initial=0) + 1, np.int64)
    np.add.at(cost, arrays.tier, audit.broken(rows, arrays))
    return cost


@pytest.mark.parametrize(("draw_page", "least_closed"), [(a_page_of_lines, 115), (a_page_of_floors, 85)])
def test_a_page_that_is_proven_is_the_one_of_the_integer_program(draw_page, least_closed):
    closed = better = 0
    for seed in range(120):
        problem = draw_page(seed)
        proof, value = proof_of(problem)
        if not proof.least:
            continue
        best = ilp.solve(problem)
        assert best.is_proven
        nearly = 1e-8 * max(1.0, abs(best.value))
        assert proof.bound >= best.value - nearly, f"page {seed}: a page is worth more than the bound"
        assert value <= best.value + nearly, f"page {seed}"
        if len(proof.better):
            assert (broken_by_tier(problem, proof.better) <= broken_by_tier(problem, proof.rows)).all()
            items = problem.constraints.arrays.items[proof.better]
            assert len(set(items.tolist())) == len(proof.rows)
            assert value > problem.value(proof.rows)
            better += 1
        closed += proof.bound <= value + nearly
    assert closed >= least_closed
    assert better > 10, "some pages are better than the greedy one"


@pytest.mark.parametrize("family", ["authors", "overlapping", "negative", "short", "single", "shares", "conflicting"])
def test_no_page_is_worth_more_than_the_bound(family):
    """Rules that kinds do not tell apart, or that hang on slots and weights, only leave the bound higher."""
    told = 0
    for seed in range(12):
        problem = draw(family, seed, n=14, k=6).problem(1_000)
        for limit in (5, ENOUGH):
            proof, value = proof_of(problem, limit)
            if proof.least:
                best = ilp.solve(problem).value
                nearly = 1e-8 * max(1.0, abs(best))
                assert value - nearly <= best <= proof.bound + nearly, f"{family} {seed}"
                told += np.isfinite(proof.bound)
    assert told
