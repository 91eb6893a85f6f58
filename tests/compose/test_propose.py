"""`compose.propose`: pages under the rules, the best of them by the evaluator, what is drawn, and refusals."""

from itertools import permutations

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import torch

from slatewise import Candidates, Feed, Policy, PolicyError, Propose, Request, RequestError, Rule
from slatewise.compose.proposals import Beam, Draw, Parallel, Pointer, Vary
from slatewise.core.artefact import Artefact
from slatewise.core.constraints import Constraints
from slatewise.kernels import windows
from slatewise.learn.evaluator import weighted
from slatewise.learn.export import export, tensors
from slatewise.models.inputs import Inputs, Number
from slatewise.models.model import Model
from slatewise.models.parallel import ParallelNetwork
from slatewise.models.pointer import PointerNetwork, PointerStep
from slatewise.testing.checks import check_selector
from slatewise.testing.instances import instance

ALONE = weighted({"quality": 1.0})
BELOW = weighted({"quality": 1.0}, next_to=-0.8)
"""A row is good for less below one that is good."""
ITEMS = Candidates.of(
    item_id=list("abcd"), line=["posts", "posts", "ads", "ads"], utility=[4.0, 3.0, 2.0, 1.0], quality=[2.0, 1.5, -1, 1]
)
INPUTS = Inputs(numbers=(Number(name="utility"),), position=4)

POLICY = """
version: 1
lines: [posts, ads]
columns: {utility: number, quality: number}
slots: 3
compose:
  constrain: {rules: [{name: one ad, group: {line: ads}, at_most: 1}]}
  propose: {from: evaluator.json}
"""


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def value(page, next_to=0.0, quality=ITEMS.number("quality")):
    above = [0.0, *quality[list(page[:-1])]]
    return sum(sigmoid(quality[row] + next_to * over) for row, over in zip(page, above, strict=True))


@pytest.fixture(scope="module")
def pointer():
    torch.manual_seed(0)
    network = PointerNetwork(INPUTS.sizes, width=8, dropout=0.0).eval()
    arrays = INPUTS.of(ITEMS, Request(candidates=ITEMS), np.arange(3))
    example = tensors(
        {**{name: np.stack([array] * 2) for name, array in arrays.items()}, "mask": np.ones((2, 3), bool)}
    )
    with torch.no_grad():
        encoded = network(*example.values())
    step = dict(zip(("keys", "hidden", "cell", "last"), encoded[1:], strict=True))
    both, one = {0: "lists", 1: "rows"}, {0: "lists"}
    names = ("vectors", "rows", "hidden_0", "cell_0", "last_0")
    axes = dict.fromkeys(("numbers", "keys", "mask", "vectors", "rows", "logits"), both)
    axes |= dict.fromkeys(("context", "history", "hidden", "cell", "last", *names[2:], "hidden_1", "cell_1"), one)
    graphs = {
        "encode": export(network, example, names=names, dynamic=axes),
        "step": export(PointerStep(network), step, names=("logits", "hidden_1", "cell_1"), dynamic=axes),
    }
    return network, Model.of("pointer", inputs=INPUTS, graphs=graphs)


@pytest.fixture(scope="module")
def parallel():
    torch.manual_seed(0)
    network = ParallelNetwork(INPUTS.sizes, 3, width=8, dropout=0.0).eval()
    arrays = INPUTS.of(ITEMS, Request(candidates=ITEMS), np.arange(3))
    example = tensors(
        {**{name: np.stack([array] * 2) for name, array in arrays.items()}, "mask": np.ones((2, 3), bool)}
    )
    both, one = {0: "lists", 1: "rows"}, {0: "lists"}
    axes = {**dict.fromkeys(("numbers", "keys", "mask", "vectors"), both), "context": one, "history": one}
    graph = export(network, example, names=("logits", "vectors"), dynamic={**axes, "logits": {0: "lists", 2: "rows"}})
    return network, Model.of("parallel", inputs=INPUTS, graphs={"score": graph})


@pytest.fixture(scope="module")
def everyone(pointer, parallel):
    return (
        Beam(width=4),
        Draw(number=6),
        Vary(same="line"),
        Pointer(model=pointer[1], width=3, number=4),
        Parallel(model=parallel[1]),
    )


@pytest.mark.parametrize("seed", range(40))
def test_keeps_the_promises_of_a_selector(seed, everyone):
    one = instance(np.random.default_rng(seed))
    stage = Propose(model=weighted({"utility": 0.5}, next_to=-0.5), generators=everyone)
    check_selector(stage, Request(candidates=one.candidates, slots=one.slots), one.constraints)


@pytest.mark.parametrize("seed", range(40))
def test_breaks_the_rules_no_more_than_the_greedy_page(seed, everyone):
    one = instance(np.random.default_rng(seed))
    model, problem = weighted({"utility": 0.5}, next_to=-0.5), one.problem()
    pages = [
        Propose(model=model, generators=some).select(one.candidates, one.slots, constraints=one.constraints).rows
        for some in ((), everyone)
    ]
    assert len(pages[0]) == len(pages[1])
    place, cost = np.argsort(problem.order).astype(np.int32), []
    for page in pages:
        counted, _ = windows.counted(problem.order, problem.constraints.arrays, len(page))
        windows.show(counted, place[page])
        cost.append(tuple(counted.cost.tolist()))
    assert cost[1] <= cost[0]


def test_the_page_of_largest_value_among_all_that_a_wide_beam_knows():
    stage = Propose(model=BELOW, generators=(Beam(width=24),))
    found = stage.select(ITEMS, 3)
    best = max(permutations(range(4), 3), key=lambda page: value(page, -0.8))
    assert found.rows.tolist() == list(best)
    assert found.value == pytest.approx(value(best, -0.8), abs=1e-6)
    assert found.rows.tolist() != Propose(model=BELOW, generators=()).select(ITEMS, 3).rows.tolist()


def test_of_equals_the_one_proposed_first():
    assert Propose(model=ALONE, generators=(Beam(width=24),)).select(ITEMS, 3).rows.tolist() == [0, 1, 3]


def test_what_clicks_are_worth_and_what_showing_costs():
    items = ITEMS.with_columns({"bid": np.array([0.0, 0, 9, 0]), "fee": np.array([3.0, 0, 0, 0])})
    stage = Propose(model=ALONE, generators=(Beam(width=24),), worth={"bid": 2.0, "quality": 1.0}, cost={"fee": 0.5})
    worth, cost = np.array([2.0, 1.5, 17, 1]), np.array([1.5, 0, 0, 0])
    gains = sigmoid(items.number("quality")) * worth - cost
    found = stage.select(items, 2)
    assert sorted(found.rows.tolist()) == sorted(np.argsort(-gains)[:2].tolist())
    assert found.value == pytest.approx(np.sort(gains)[-2:].sum(), abs=1e-5)


class Divided(torch.nn.Module):
    """Two networks: they agree that a row is of quality 0.4, or one says 0 and the other 1."""

    def forward(self, numbers):
        sure = numbers[:, :, 0]
        click = torch.stack([0.4 * sure, 0.4 * sure + (1.0 - sure)])
        return torch.ones_like(click), click


def test_gains_are_what_slots_add_for_the_user_who_asks():
    stage = Propose(model=BELOW, generators=(Beam(width=50),))
    constraints, request = Constraints((), ITEMS, 3), Request(candidates=ITEMS)
    found = stage.select(ITEMS, 3, constraints=constraints, request=request)
    gains = stage.gains(ITEMS, found.rows, constraints, request=request)
    quality = ITEMS.number("quality")[found.rows]
    assert gains == pytest.approx(sigmoid(quality - 0.8 * np.array([0.0, *quality[:-1]])), abs=1e-6)
    assert stage.gains(ITEMS, found.rows[:0], constraints).tolist() == []


def test_caution_takes_what_networks_agree_on():
    both = {1: "lists", 2: "rows"}
    axes = {"numbers": {0: "lists", 1: "rows"}, "seen": both, "click": both}
    graph = export(Divided(), {"numbers": torch.zeros(2, 2, 1)}, names=("seen", "click"), dynamic=axes)
    inputs = Inputs(numbers=(Number(name="sure"),), position=1)
    model = Model.of("evaluator", inputs=inputs, graphs={"score": graph})
    items = Candidates.of(item_id=["bold", "sure"], utility=[2.0, 1.0], sure=[0.0, 1.0])
    for caution, wanted, worth in ((0.0, 0, 0.5), (1.0, 1, 0.4)):
        found = Propose(model=model, caution=caution, generators=(Beam(),)).select(items, 1)
        assert (found.rows.tolist(), found.value) == ([wanted], pytest.approx(worth))


def test_lines_that_keep_their_order():
    stage = Propose(model=weighted({"quality": -1.0}), generators=(Beam(width=24), Draw()), ordered=("posts",))
    assert stage.select(ITEMS, 1).rows.tolist() in ([0], [2], [3])
    for rows in (stage.select(ITEMS, 3).rows.tolist(), stage.select(ITEMS, 4).rows.tolist()):
        assert 1 not in rows or rows.index(0) < rows.index(1)


def test_what_is_drawn_depends_on_the_request_alone():
    items = Candidates.of(utility=np.linspace(1, 0, 30), quality=np.cos(np.arange(30.0)))
    stage = Propose(model=BELOW, generators=(Draw(number=4, temperature=3.0),))

    def page(**request):
        return stage.select(items, 5, request=Request(candidates=items, **request)).rows.tolist()

    assert page(id="one") == page(id="one")
    assert len({tuple(page(id=name)) for name in "abcdef"}) > 1
    assert page(id="one", seed=1) != page(id="one", seed=2) or page(id="one", seed=1) != page(id="one", seed=3)


def test_a_pointer_is_served_as_it_was_learned(pointer):
    """The likeliest of all pages, of which the network says in one go what the stage works out step by step."""
    network, model = pointer
    pages = np.array(list(permutations(range(4), 3)))
    arrays = INPUTS.of(ITEMS, Request(candidates=ITEMS), np.arange(4))
    batch = tensors({name: np.repeat(array[None], len(pages), axis=0) for name, array in arrays.items()})
    mask = torch.ones(len(pages), 4, dtype=torch.bool)
    with torch.no_grad():
        told = network.followed(network(*batch.values(), mask), mask, torch.from_numpy(pages))
    likely = told.gather(2, torch.from_numpy(pages)[:, :, None])[:, :, 0].sum(dim=1).numpy()
    constraints = Constraints((), ITEMS, 3)
    stage = Propose(model=ALONE, generators=(Pointer(model=model, width=24),))
    seen = stage.seen(ITEMS, constraints, Request(candidates=ITEMS))
    found = [page.tolist() for page in stage.generators[0].pages(seen)]
    assert found == pages[np.argsort(-likely, kind="stable")].tolist()


def test_a_parallel_network_and_likeness(parallel):
    network, model = parallel
    arrays = INPUTS.of(ITEMS, Request(candidates=ITEMS), np.arange(4))
    with torch.no_grad():
        logits, vectors = network(*tensors({k: v[None] for k, v in arrays.items()}).values(), torch.ones(1, 4).bool())
    chance, like = torch.softmax(logits[0], dim=1).numpy(), (vectors[0] @ vectors[0].T).numpy()
    wanted = []
    for strength in (0.0, 0.7):
        page = []
        for slot in range(3):
            near = like[page].max(axis=0) if page else 0.0
            worth = (1 - strength) * chance[slot] - strength * near
            worth[page] = -np.inf
            page.append(int(worth.argmax()))
        wanted.append(page)
    stage = Propose(model=ALONE, generators=(Parallel(model=model, strengths=(0.0, 0.7)),))
    seen = stage.seen(ITEMS, Constraints((), ITEMS, 3), Request(candidates=ITEMS))
    assert [page.tolist() for page in stage.generators[0].pages(seen)] == wanted


def test_rows_of_one_key_stand_apart_when_that_is_worth_it():
    stage = Propose(model=ALONE, generators=(Vary(same="line", within=1, strengths=(0.0, 9.0)),))
    seen = stage.seen(ITEMS, Constraints((), ITEMS, 4), Request(candidates=ITEMS))
    assert [page.tolist() for page in stage.generators[0].pages(seen)] == [[0, 1, 2, 3], [0, 2, 1, 3]]


def test_nothing_to_choose_from():
    none = Candidates.of(item_id=[], utility=[], quality=[])
    assert Propose(model=ALONE).select(none, 3).rows.tolist() == []


def test_a_trace_tells_what_a_page_would_be_worth_with_others():
    rules = (Rule(name="one ad", group={"line": "ads"}, at_most=1),)
    stage = Propose(model=BELOW, generators=(Beam(width=24),))
    constraints = Constraints(rules, ITEMS, 3)
    found = stage.select(ITEMS, 3, constraints=constraints)
    judged = stage.judged(ITEMS, found, constraints, Request(candidates=ITEMS))
    rows = found.rows.tolist()
    own = [judged.worth[slot, row] for slot, row in enumerate(rows)]
    assert sum(own) == pytest.approx(found.value, abs=1e-6)
    assert [sum(part.amount for part in parts) for parts in judged.parts] == pytest.approx(own)
    for slot, other in ((0, 2), (2, rows[0])):
        page = list(rows)
        if other in rows:
            page[rows.index(other)] = rows[slot]
        page[slot] = other
        gain = judged.worth[slot, other] - own[slot]
        assert gain == pytest.approx(value(page, -0.8) - value(rows, -0.8), abs=1e-6)


def refused(*stages, **columns):
    with pytest.raises(PolicyError) as caught:
        Policy.of(*stages, lines=["posts", "ads"], columns={"utility": "number", "quality": "number", **columns})
    return str(caught.value)


def test_refusals(pointer):
    other = weighted({"bid": 1.0})
    assert "compose.propose.model" in refused(Propose(model=other))
    assert "`bid`" in refused(Propose(model=other))
    assert refused(Propose(model=pointer[1])) == "compose.propose.model.kind: must be 'evaluator', got 'pointer'"
    wrong = refused(Propose(model=ALONE, generators=(Beam(), Pointer(model=ALONE))))
    assert wrong == "compose.propose.generators[1].model.kind: must be 'pointer', got 'evaluator'"
    assert "compose.propose.ordered[0]: must be a line of the policy, got 'post'" in refused(
        Propose(model=ALONE, ordered=("post",))
    )
    assert "fee" in refused(Propose(model=ALONE, cost={"fee": 1.0}))
    assert "topic" in refused(Propose(model=ALONE, generators=(Vary(same="topic"),)))
    unknown = Candidates.of(utility=[1.0, 2.0], quality=[0.0, 1.0], bid=[1.0, np.nan])
    with pytest.raises(RequestError, match="bid"):
        Propose(model=ALONE, worth={"bid": 1.0}).select(unknown, 2)


def test_a_policy_takes_it_from_an_artefact_and_traces_it(tmp_path):
    settings = {"model": msgspec.to_builtins(BELOW), "generators": [{"kind": "beam", "width": 24}]}
    Artefact(section="compose.propose", settings=settings).write(tmp_path / "evaluator.json")
    (tmp_path / "policy.yaml").write_text(POLICY)
    feed = Feed.load(tmp_path / "policy.yaml")
    page = feed.compose(Request(candidates=ITEMS), trace=True)
    one_ad = [page for page in permutations(range(4), 3) if sum(row > 1 for row in page) <= 1]
    best = max(one_ad, key=lambda page: value(page, -0.8))
    assert page.item_ids == [ITEMS.item_id[row] for row in best]
    assert page.value == pytest.approx(value(best, -0.8), abs=1e-6)
    assert [part.name for part in page.trace.slots[0].parts] == ["click", "cost"]
