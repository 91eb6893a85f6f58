"""Greedy: pages filled slot by slot, under rules."""

import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import oracles
from slatewise import Candidates, Request, Rule, Solve
from slatewise.core.constraints import Constraints
from slatewise.kernels import audit, greedy
from slatewise.methods.opening import NO_PREFERENCE
from slatewise.testing.checks import check_selector
from slatewise.testing.instances import Instance, instance

GOLDEN = Path(__file__).parent.parent / "golden" / "pages.csv"
INSTANCES = 10_000
GREEDY = Solve(method="greedy")


def solved(one: Instance, order=None):
    items = one.candidates if order is None else one.candidates.take(order)
    return GREEDY.select(items, one.slots, constraints=Constraints(one.rules, items, one.slots)).rows.tolist()


def plain(rules):
    return [msgspec.to_builtins(rule) for rule in rules]


@given(st.integers(0, 2**32))
def test_keeps_the_promises_of_a_selector(seed):
    one = instance(np.random.default_rng(seed))
    request = Request(candidates=one.candidates, slots=one.slots)
    check_selector(GREEDY, request, Constraints(one.rules, one.candidates, one.slots))


@pytest.mark.parametrize("part", range(4))
def test_breaks_no_rule_that_need_not_be_broken(part):
    """On random rule sets, no page is longer, and none of that length breaks the rules less; by brute force."""
    relaxed = 0
    for seed in range(part, INSTANCES, 4):
        one = instance(np.random.default_rng(seed), most_rows=8 if seed % 16 == 0 else 6, most_slots=5)
        columns, rules = one.data, plain(one.rules)
        page = solved(one)
        items = [columns["item_id"][row] for row in page]
        assert len(set(items)) == len(items), f"instance {seed}: an item twice"
        order = np.random.default_rng(seed).permutation(len(one.candidates))
        assert [order[row] for row in solved(one, order)] == page, f"instance {seed}: the order of rows matters"
        own = len(page), oracles.cost(rules, columns, page, one.slots)
        perfect = min(one.slots, len(set(columns["item_id"]))), (0,) * len(own[1])
        if own != perfect:
            relaxed += 1
            assert own == oracles.best_pages(rules, columns, one.slots), f"instance {seed}"
    assert relaxed > INSTANCES / 40, "the instances are hard enough to mean something"


def test_takes_the_best_row_where_the_rules_do_not_bind():
    for seed in range(300):
        one = instance(np.random.default_rng(seed), most_rows=8, most_slots=5)
        one = one._replace(rules=tuple(rule for rule in one.rules if rule.at_most is not None and not rule.at_least))
        page = oracles.first_fit(plain(one.rules), one.data, one.slots)
        if len(page) == min(one.slots, len(set(one.data["item_id"]))):
            assert solved(one) == page, f"instance {seed}"


@pytest.mark.parametrize("row", list(csv.DictReader(GOLDEN.read_text().splitlines())), ids=lambda row: row["why"][:60])
def test_golden(row):
    rows = [entry.split() for entry in row["rows"].split("|")]
    ids, lines, authors, worth = zip(*rows, strict=True)
    items = Candidates.of(item_id=ids, line=lines, author=authors, utility=[float(one) for one in worth])
    rules = msgspec.convert(YAML(typ="safe", pure=True).load(row["rules"]), tuple[Rule, ...])
    slots = int(row["slots"])
    constraints = Constraints(rules, items, slots)
    page = GREEDY.select(items, slots, constraints=constraints).rows
    assert [items.item_id[one] for one in page] == row["page"].split()
    amounts = audit.broken(page, constraints.arrays) / 1e6
    broken = {rule.name: by for rule, by in zip(constraints.book.rules, amounts, strict=True) if by}
    expected = row["relaxed"].split()
    assert broken == dict(zip(expected[::2], map(float, expected[1::2]), strict=True))


def test_floors_that_compete_for_the_last_slots_are_all_met():
    """Four floors of three on the least worthy rows: greedy choices must stop in time for the sum of them."""
    lines = ["top"] * 20 + ["a"] * 3 + ["b"] * 3 + ["c"] * 3 + ["d"] * 3
    items = Candidates.of(line=lines, utility=np.linspace(1, 0, len(lines)))
    rules = [Rule(name=line, group={"line": line}, at_least=3) for line in "abcd"]
    page = Solve(method="greedy", deadline_ms=0).select(items, 14, constraints=Constraints(rules, items, 14)).rows
    assert [lines[row] for row in page].count("top") == 2
    assert page[:2].tolist() == [0, 1]


def test_floors_are_only_shared_by_rows_that_serve_both():
    """The ad and the local item have the top post's author: with it on the page, a second author finds no slot."""
    items = Candidates.of(
        line=["posts", "ads", "posts", "posts"],
        local=[False, False, True, False],
        author=["x", "x", "x", "y"],
        utility=[4.0, 3.0, 2.0, 1.0],
    )
    rules = [
        Rule(name="two authors", distinct="author", at_least=2),
        Rule(name="an ad", group={"line": "ads"}, at_least=1),
        Rule(name="a local", group={"local": True}, at_least=1),
    ]
    page = Solve(method="greedy", deadline_ms=0).select(items, 3, constraints=Constraints(rules, items, 3)).rows
    assert page.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("rules", "by"),
    [
        ([Rule(name="r", per="line", every=3, at_most=2)], {"r": 8}),
        ([Rule(name="r", group={"line": "posts"}, first=5, at_most=2)], {"r": 3}),
        (
            [Rule(name=f"r{topic}", group={"topic": topic}, at_least=4, priority=topic + 1) for topic in range(3)],
            {"r0": 2},
        ),
    ],
    ids=["windows", "group", "floors"],
)
def test_what_counting_shows_to_be_unavoidable_is_not_searched_for(rules, by):
    """Of 200 rows of one line in ten slots, a search that could not stop would run to its limit; this one is proven."""
    rng = np.random.default_rng(0)
    items = Candidates.of(
        line=["posts"] * 200, topic=rng.integers(0, 3, 200), utility=rng.random(200), kinds={"topic": "key"}
    )
    constraints = Constraints(rules, items, 10)
    free = GREEDY.predecessors(items)
    order = items.descending(items.number("utility"))
    page, _, proven, _ = greedy.fill(order, constraints.arrays, free, 10, 10**9, NO_PREFERENCE)
    assert proven
    amounts = audit.broken(page, constraints.arrays) / 1e6
    assert {rule.name: one for rule, one in zip(constraints.book.rules, amounts, strict=True) if one} == by


def test_deadline_ms_bounds_the_work_and_never_the_page():
    """Contradicting rules on a large instance: whatever the limit, a full page of distinct rows comes back."""
    rng = np.random.default_rng(1)
    items = Candidates.of(utility=rng.random(500), author=[f"a{one}" for one in rng.integers(0, 3, 500)])
    rules = [
        Rule(name="apart", per="author", every=5, at_most=1),
        Rule(name="one only", distinct="author", at_most=1, priority=2),
    ]
    for limit in (0, 0.01, 2):
        page = (
            Solve(method="greedy", deadline_ms=limit).select(items, 20, constraints=Constraints(rules, items, 20)).rows
        )
        assert len(set(page.tolist())) == 20
