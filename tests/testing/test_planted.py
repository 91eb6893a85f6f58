"""Instances that are said to be feasible are; those that are said not to be are not."""

import msgspec
import numpy as np
import pytest

import oracles
from slatewise.kernels import audit
from slatewise.testing.families import FAMILIES, draw
from slatewise.testing.instances import instance
from slatewise.testing.planted import CONTRADICTIONS, feasible, infeasible


def plain(parts):
    return [msgspec.to_builtins(part) for part in parts]


def test_planted_pages_keep_all_rules():
    kinds = set()
    for seed in range(600):
        one = feasible(np.random.default_rng([seed, 3]))
        rules = plain(one.rules)
        assert not any(oracles.cost(rules, one.data, one.planted, one.slots, one.past)), f"instance {seed}"
        assert len(one.planted) == min(one.slots, len(set(one.data["item_id"]))), f"instance {seed}"
        kinds |= {field for rule in rules for field, value in rule.items() if value}
        kinds |= {name for name in ("past", "bonus", "pairs") if getattr(one, name)}
    fields = "per distinct weight exposure first slots every at_least at_most past bonus pairs"
    assert set(fields.split()) <= kinds, "all kinds of rules are among them"


@pytest.mark.parametrize("contradiction", CONTRADICTIONS, ids=lambda one: one.__name__)
def test_contradictions_cannot_all_hold(contradiction, monkeypatch):
    monkeypatch.setattr("slatewise.testing.planted.CONTRADICTIONS", (contradiction,))
    for seed in range(12):
        one = infeasible(np.random.default_rng([seed, 4]), most_rows=6, most_slots=4)
        rules = [{**rule, "priority": 1} for rule in plain(one.rules)]
        _, pages = oracles.priced(rules, one.data, one.slots, {}, one.past)
        assert all(any(cost) for cost, _ in pages), f"instance {seed}"


def test_an_instance_depends_on_family_seed_and_sizes_alone():
    for family in FAMILIES:
        again = draw(family, 5, n=9, k=4)
        assert repr(draw(family, 5, n=9, k=4)) == repr(again)
        assert repr(draw(family, 6, n=9, k=4)) != repr(again)
        assert family == "short" or len(again.data["item_id"]) == 9


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "large"])
def test_families_are_as_large_as_they_say(family):
    one = draw(family, 0)
    problem = one.problem()
    assert problem.slots == one.slots
    assert (
        len(problem.order) == len(one.data["item_id"]) == (200 if family == "feed" else 7 if family == "short" else 60)
    )


@pytest.mark.parametrize("family", [*FAMILIES, "feasible", "infeasible", "instance"])
def test_pages_are_counted_as_the_oracle_does(family):
    rng = np.random.default_rng(0)
    for seed in range(120):
        one = drawn(family, seed, rng)
        arrays, rules = one.constraints.arrays, one.constraints.book.rules
        rows = rng.permutation(len(one.data["item_id"]))
        page = [row for at, row in enumerate(rows) if arrays.items[row] not in arrays.items[rows[:at]]][: one.slots]
        counted = audit.broken(np.array(page, np.int32), arrays) / 1e6
        expected = [oracles.broken(rule, one.data, page, one.slots, one.past) for rule in plain(rules)]
        assert counted == pytest.approx(expected, abs=1e-9), f"instance {seed}"


def drawn(family, seed, rng):
    planted = {"feasible": feasible, "infeasible": infeasible, "instance": instance}
    if family in planted:
        return planted[family](np.random.default_rng([seed, 5]))
    return draw(family, seed, n=int(rng.integers(1, 9)), k=int(rng.integers(1, 7)))
