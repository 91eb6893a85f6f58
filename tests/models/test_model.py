"""Models without torch: what networks read, what is refused, and what they are kept as."""

import msgspec
import numpy as np
import pytest

from slatewise import Candidates, Policy, PolicyError, Request, Rerank, Solve
from slatewise.core.artefact import Artefact
from slatewise.models import runtime
from slatewise.models.inputs import LONGEST_HISTORY, Inputs, Key, Number
from slatewise.models.model import Model
from slatewise.stages import STAGES

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

from slatewise.learn.export import weighted

TOPIC = Key(name="topic", names=("art", "7"))
INPUTS = Inputs(
    numbers=(Number(name="age", mean=2.0, scale=4.0),),
    keys=(TOPIC, Key(name="item_id", names=("a",))),
    context=(Key(name="device", names=("phone",)),),
    history=Key(name="topic", names=TOPIC.names),
    position=3,
)
ITEMS = Candidates.of(
    item_id=["c", "a", "b"],
    topic=["art", None, "news"],
    age=[2.0, np.nan, 10.0],
    kinds={"age": "number?", "topic": "key?"},
)
HEAD = {
    "lines": ["all"],
    "columns": {"utility": "number", "age": "number?", "topic": "key?"},
    "context": {"device": "any"},
}


def arrays(**request):
    return INPUTS.of(ITEMS, Request(candidates=ITEMS, **request), np.array([2, 1, 0]))


def test_rows_come_in_order_as_scaled_numbers_and_known_codes():
    found = arrays(context={"device": "phone"})
    assert found["numbers"].tolist() == [[2.0], [0.0], [0.0]]  # missing is the mean
    assert found["keys"].tolist() == [[0, 0], [0, 1], [1, 0]]
    assert found["context"].tolist() == [1]
    assert arrays(context={"device": "watch"})["context"].tolist() == [0]
    assert {name: array.dtype.name for name, array in found.items()} == {
        "numbers": "float32",
        "keys": "int64",
        "context": "int64",
        "history": "int64",
    }


def test_what_is_missing_has_no_name_and_what_is_far_is_cut():
    odd = Inputs(
        numbers=(Number(name="age", scale=1e-300),), keys=(Key(name="topic", names=("None", "art")),), position=3
    )
    assert odd.of(ITEMS, Request(candidates=ITEMS), np.arange(3))["keys"].tolist() == [[2], [0], [0]]
    assert odd.of(ITEMS, Request(candidates=ITEMS), np.arange(3))["numbers"].tolist() == [[1e9], [0.0], [1e9]]


def test_of_a_history_the_largest_amounts_count_and_names_are_text():
    found = arrays(history={"topic": {"art": 1.0, "news": 9.0, 7: 2.0}})["history"]
    assert found.tolist() == [2, 1] + [0] * (LONGEST_HISTORY - 2)
    assert arrays()["history"].tolist() == [0] * LONGEST_HISTORY


def test_a_request_gives_the_arrays_that_its_log_gives():
    pages = pytest.importorskip("slatewise.learn.pages").Pages.of(
        request=["one", "two"],
        lists=[0, 0, 0, 1],
        keys={"item": ["b", "a", "c", "a"], "topic": ["news", None, "art", "art"]},
        numbers={"score": [3.0, 2.0, 1.0, 0.0], "age": [10.0, np.nan, 2.0, 6.0]},
        context={"device": ["phone", None]},
        histories={"topic": [["7", "news", "art"], []]},
    )
    logged = INPUTS.of_pages(pages)
    asked = arrays(context={"device": "phone"}, history={"topic": {"7": 3.0, "news": 2.0, "art": 1.0}})
    for name, array in asked.items():
        assert logged[name][0].tolist() == array.tolist()
    assert logged["mask"].tolist() == [[True] * 3, [True, False, False]]
    assert logged["numbers"][1].tolist() == [[1.0], [0.0], [0.0]]
    assert logged["keys"][1].tolist() == [[1, 1], [0, 0], [0, 0]]
    known = Inputs.known(pages, seen=1, history="topic")
    assert [one.name for one in known.keys] == ["item_id", "topic"]  # of one line nothing can be told
    assert known.sizes.shared == 1
    assert known.position == 3


def test_a_changed_byte_is_refused_and_names_the_file(tmp_path):
    model = weighted({"age": 1.0})
    plain = msgspec.to_builtins(model)
    Artefact(section="compose.rerank", settings={"model": plain}).write(tmp_path / "rerank.json")
    document = {"version": 1, **HEAD, "compose": {"rerank": {"from": "rerank.json"}, "solve": {}}}
    (tmp_path / "policy.json").write_bytes(msgspec.json.encode({**document, "columns": {"age": "number"}}))

    def loaded():
        return Policy.load(tmp_path / "policy.json", STAGES)

    with pytest.raises(PolicyError, match="reads `utility`"):
        loaded()
    document["columns"] = {"age": "number", "score": "number"}
    document["compose"]["rerank"] |= {"by": "score"}
    (tmp_path / "policy.json").write_bytes(msgspec.json.encode(document))
    policy = loaded()
    assert Policy.of(*policy.stages, **msgspec.to_builtins(policy.head)).hash == policy.hash
    for path in (("inputs", "position", 2), ("settings", "link", "softmax"), ("kind", "prm")):
        changed = msgspec.json.decode((tmp_path / "rerank.json").read_bytes())
        at = changed["settings"]["model"]
        for step in path[:-2]:
            at = at[step]
        at[path[-2]] = path[-1]
        (tmp_path / "rerank.json").write_bytes(msgspec.json.encode(changed))
        with pytest.raises(PolicyError, match=r"rerank\.json: compose\.rerank\.model: must have the digest") as caught:
            loaded()
        assert len(str(caught.value)) < 300
        Artefact(section="compose.rerank", settings={"model": plain}).write(tmp_path / "rerank.json")
    graph = bytearray(model.graphs["score"])
    graph[len(graph) // 2] ^= 1
    with pytest.raises(msgspec.ValidationError, match="must have the digest"):
        msgspec.convert({**plain, "graphs": {"score": bytes(graph)}}, Model)


def test_the_hash_of_a_policy_follows_its_model():
    def hashed(weight):
        stage = Rerank(model=weighted({"age": weight}), by="score")
        return Policy.of(stage, Solve(), lines=["all"], columns={"score": "number", "age": "number"}).hash

    assert hashed(1.0) == hashed(1.0) != hashed(2.0)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"columns": {"score": "number"}}, "reads `age`, which neither `columns` nor an earlier stage provides"),
        ({"columns": {"score": "number", "age": "key"}}, "reads `age` as a number, but it is a key"),
        ({"context": {}}, "reads feature `device`, which `context` does not declare"),
        ({"columns": {"score": "number", "age": "number", "topic": "key"}}, None),
    ],
)
def test_a_policy_whose_requests_cannot_have_what_is_read_is_refused(head, message):
    graph = weighted({"age": 1.0}).graphs
    columns = {"score": "number", "age": "number?", "topic": "key?"}
    model = Model.of("prm", inputs=INPUTS, graphs=graph, settings={"link": "logistic"})
    wanted = {"lines": ["all"], "columns": columns, "context": {"device": ["phone"]}} | head
    stages = (Rerank(model=model, by="score"), Solve())
    if message is None:
        assert Policy.of(*stages, **wanted).hash
        return
    with pytest.raises(PolicyError) as caught:
        Policy.of(*stages, **wanted)
    assert str(caught.value).startswith(f"compose.rerank.model: {message}, got 'prm {model.digest[:12]}'")


def test_a_history_of_no_keys_is_refused():
    inputs = Inputs(history=Key(name="price", names=("a",)), position=1)
    model = Model.of("prm", inputs=inputs, graphs=weighted({}).graphs, settings={"link": "logistic"})
    with pytest.raises(PolicyError, match="reads the history of `price`, which must be a column of kind key or keys"):
        Policy.of(Rerank(model=model, by="price"), Solve(), lines=["all"], columns={"price": "number"})


def test_what_is_no_graph_is_refused_when_the_policy_loads():
    model = Model.of("prm", inputs=Inputs(position=1), graphs={"score": b"no graph"}, settings={"link": "logistic"})
    with pytest.raises(
        PolicyError, match=r"compose\.rerank\.model\.graphs\.score: must be a graph that onnxruntime can"
    ):
        Policy.of(Rerank(model=model, by="score"), Solve(), lines=["all"], columns={"score": "number"})
    other = Model.of("prm", inputs=Inputs(position=1), graphs={"extend": b"x"}, settings={"link": "logistic"})
    with pytest.raises(PolicyError, match=r"compose\.rerank\.model: must have a graph 'score'"):
        Policy.of(Rerank(model=other, by="score"), Solve(), lines=["all"], columns={"score": "number"})


def test_graphs_are_opened_once_and_run_alike_alone_and_together():
    model = weighted({"age": 0.3, "price": -0.2})
    again = msgspec.convert(msgspec.to_builtins(model), Model)
    assert runtime.session(model, "score") is runtime.session(again, "score")
    rows = np.random.default_rng(0).normal(size=(70, 5, 2)).astype(np.float32)
    mask = np.ones((70, 5), bool)
    together = runtime.scores(model, {"numbers": rows, "mask": mask})
    alone = [runtime.scores(model, {"numbers": rows[[at]], "mask": mask[[at]]})[0] for at in range(70)]
    assert np.abs(together - alone).max() < 1e-6
    assert together == pytest.approx(rows @ [0.3, -0.2], abs=1e-6)
