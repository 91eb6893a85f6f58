"""Fitting rerankers: what they learn, what they must not look at, and what is reported of them."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from slatewise import Candidates, Feed, Policy, Request, RequestError
from slatewise.learn.export import weighted
from slatewise.learn.pages import Pages
from slatewise.learn.rank_passes import passes_report
from slatewise.learn.rank_report import figures, rank_report
from slatewise.learn.rerank import Shape, fit_rerank, known, split
from slatewise.learn.training import Training
from slatewise.models import runtime
from slatewise.models.inputs import Inputs, Number
from slatewise.models.model import Model
from slatewise.stages import STAGES

SMALL = Shape(width=16, blocks=1, heads=2, hidden=32, embedded=4, dropout=0.0)
QUICK = Training(rate=1e-2, batch=32, epochs=12, patience=4, device="cpu")


def pages(lists=300, *, seed=0, slots=None, part=None):
    """Return lists of five to eight rows, of which the one that is not like the others is clicked."""
    draws = np.random.default_rng(seed)
    lengths = draws.integers(5, 9, lists)
    of = np.repeat(np.arange(lists), lengths)
    odd = np.concatenate([np.arange(length) == draws.integers(length) for length in lengths])
    side = np.where(odd, -1.0, 1.0) * draws.choice([-1.0, 1.0], lists)[of]
    return Pages.of(
        request=[f"r{one}" for one in range(lists)],
        user=[f"u{one % 40}" for one in range(lists)],
        time=np.arange(lists),
        lists=of,
        keys={"item": draws.integers(0, 30, len(of)).astype(str)},
        numbers={"score": draws.normal(size=len(of)), "side": side},
        feedback={"click": odd.astype(float)},
        slot=np.zeros(len(of)) if slots is None else slots(of, odd),
        context={} if part is None else {"part": part},
    )


@pytest.fixture(scope="module")
def fitted():
    return fit_rerank(pages(), network="set_transformer", shape=SMALL, training=QUICK)


def test_it_learns_what_only_the_list_tells(fitted):
    orders = {name: one["ndcg@5"].estimate for name, one in fitted.report.orders.items()}
    assert orders["model"] > 0.9
    assert abs(orders["initial"] - orders["random"]) < 0.1
    assert fitted.report.gains["ndcg@10"].low > 0.1
    assert fitted.report.is_sound
    assert fitted.parity <= 1e-5
    trees = fit_rerank(pages(), network="lambdamart")
    assert trees.report.orders["model"]["ndcg@5"].estimate < 0.8  # a tree sees a row, and none of the others
    assert trees.parity <= 1e-5


def test_the_same_log_and_seed_give_the_same_model_wherever_rows_were_shown(fitted):
    def clicked_first(of, click):
        order = np.lexsort((~click, of))
        slot = np.zeros(len(of))
        slot[order] = np.arange(len(of)) - np.searchsorted(of, of[order]) + 1
        return slot

    again = fit_rerank(pages(slots=clicked_first), network="set_transformer", shape=SMALL, training=QUICK)
    assert again.model.digest == fitted.model.digest
    other = msgspec.structs.replace(QUICK, seed=1)
    other = fit_rerank(pages(), network="set_transformer", shape=SMALL, training=other)
    assert other.model.digest != fitted.model.digest


def test_what_is_written_serves_pages_in_the_order_of_the_report(fitted, tmp_path):
    fitted.artefact.write(tmp_path / "rerank.json")
    columns = {"score": "number", "side": "number"}
    section = {"rerank": {"from": "rerank.json", "by": "score", "passes": 1}, "solve": {}}
    policy = {"version": 1, "lines": ["items"], "columns": columns, "compose": section}
    (tmp_path / "policy.json").write_bytes(msgspec.json.encode(policy))
    feed = Feed(Policy.load(tmp_path / "policy.json", STAGES))
    held = split(pages()).held
    arrays = fitted.model.inputs.of_pages(held)
    wanted = runtime.scores(fitted.model, {**arrays, "keys": np.zeros_like(arrays["keys"])})
    for place in range(len(held)):
        one = held.take([place])
        items = Candidates.of(item_id=[f"i{row}" for row in range(len(one.slot))], **one.numbers)
        best = np.argsort(-wanted[place][: len(items)])
        assert feed.compose(Request(candidates=items)).item_ids == [f"i{row}" for row in best]
    assert msgspec.json.decode((tmp_path / "rerank.json").read_bytes())["provenance"]["pages"]["held"] == held.digest


def test_rows_of_which_nothing_is_known_are_seen_and_not_learned_from():
    log, few = pages(60), msgspec.structs.replace(QUICK, epochs=1)
    hidden = np.where(np.arange(len(log.slot)) % 3 == 0, np.nan, log.feedback["click"])
    lacking = fit_rerank(replace(log, feedback={"click": hidden}), shape=SMALL, training=few)
    refused = fit_rerank(replace(log, feedback={"click": np.nan_to_num(hidden)}), shape=SMALL, training=few)
    assert lacking.model.digest != refused.model.digest
    assert lacking.report.empty > 0  # the click may be on a row of which nothing is known


def test_parts_are_by_time_by_users_or_as_the_log_says():
    log = pages(40)
    early, _, late = split(log)
    assert early.time.max() < late.time.min()
    users = split(log, by="user")
    assert not set(users.learned.user) & set(users.held.user)
    told = pages(40, part=["test", "train", "valid", "train"] * 10)
    assert [len(part) for part in split(told)] == [20, 10, 10]
    assert not known(split(told).learned).context
    assert len(split(told, by="time").held) == 8


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"network": "mlp"}, "network: must be one of 'prm', 'set_transformer', 'lambdamart', got 'mlp'"),
        ({"loss": "sofmax"}, "loss: must be one of 'bce'"),
        ({"label": "klick"}, "pages.feedback: must have the column, got 'klick'; did you mean 'click'?"),
    ],
)
def test_what_is_not_there_is_refused(how, message):
    with pytest.raises(RequestError) as caught:
        fit_rerank(pages(30), training=QUICK, **how)
    assert str(caught.value).startswith(message)


def test_a_log_in_which_nothing_is_relevant_is_refused():
    log = pages(30)
    nothing = replace(log, feedback={"click": np.zeros(len(log.slot))})
    with pytest.raises(RequestError, match=r"pages\.click: must be above 0 somewhere"):
        fit_rerank(nothing, training=QUICK)
    with pytest.raises(RequestError, match=r"split\.valid: must have lists, got none; split by another"):
        split(pages(1))


def test_figures_by_hand():
    labels = np.array([[0.0, 2.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    scores = np.array([[3.0, 2.0, 1.0, np.nan], [1.0, 1.0, np.nan, np.nan]])
    drawn = np.array([[0.0] * 4, [0.9, 0.1, 0.0, 0.0]])
    found = figures(scores, labels, drawn)
    first = (3 / np.log2(3) + 1 / 2) / (3 + 1 / np.log2(3))
    assert found["ndcg@5"] == pytest.approx([first, 1.0])
    assert found["map"] == pytest.approx([(1 / 2 + 2 / 3) / 2, 1.0])
    assert found["hr@10"].tolist() == [1.0, 1.0]


def test_an_order_that_only_echoes_the_log_is_not_taken_for_knowledge():
    labels = np.zeros((400, 12))
    labels[:, 0] = 1.0  # a perfect first stage
    labels[::7] = 0.0
    scores = np.zeros((400, 12))  # a model that says nothing: only ties could make it look good
    scores[:, 10:] = np.nan
    labels[:, 11] = 7.0  # of what is not there
    report = rank_report(scores, labels, np.arange(400))
    told = {name: one["ndcg@5"].estimate for name, one in report.orders.items()}
    assert told["initial"] == 1.0
    assert told["model"] == pytest.approx(told["random"], abs=0.1)
    assert report.is_sound
    assert (report.lists, report.empty) == (400, 58)
    echoed = rank_report(np.where(np.isnan(scores), np.nan, -np.arange(12.0)), labels, np.arange(400))
    assert echoed.orders["shuffled"]["ndcg@5"].estimate == pytest.approx(told["random"], abs=0.1)
    assert echoed.gains["map"].estimate == 0.0


def test_passes_of_a_model_that_no_order_suits():
    inputs = Inputs(numbers=(Number(name="quality"),), position=4)
    model = Model.of("prm", inputs=inputs, graphs=weighted({"quality": 1.0}).graphs, settings={"link": "softmax"})
    arrays = {
        "numbers": np.array([[[0.0], [2.0], [1.0]], [[3.0], [1.0], [0.0]]], np.float32),
        "keys": np.zeros((2, 3, 0), np.int64),
        "mask": np.array([[True] * 3, [True, True, False]]),
    }
    found = passes_report(model, arrays, np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert (found.cycles, found.damped, found.oscillating) == ({"1": 1.0}, {"1": 1.0}, 0.0)
    assert found.distances == pytest.approx([(2 / 3 + 0) / 2, 0.0])
    assert found.ndcg == [1.0, 1.0, 1.0]
    assert len(found.promised) == 1
    assert found.promised[0] > 0
