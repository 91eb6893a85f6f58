"""Decoders learn pairs, states and leaving; their chances come true, and they are served as they were fitted."""

from functools import cache

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

from slatewise.core.errors import RequestError
from slatewise.learn.decode import Phase, Recipe, fit_decode, shape_of
from slatewise.learn.decode_export import ranked, served
from slatewise.learn.decode_lists import arrays_of, likelihoods
from slatewise.learn.decode_report import asked, calibrate, report_of, worths
from slatewise.learn.pages import Pages
from slatewise.learn.rerank import known, split
from slatewise.learn.training import Training
from slatewise.models.decoder import Decoder, Logits
from slatewise.models.inputs import Inputs
from slatewise.models.model import Model

SLOTS, ROWS, ADS = 6, 9, 3
SMALL = {"width": 16, "heads": 2, "hidden": 16, "experts": 2, "crossed": 2, "layers": 1, "around": 0}
QUICK = Training(rate=1e-2, batch=32, device="cpu")
SHORT = Recipe(
    phases=(Phase(learns="ground", epochs=6), Phase(learns="context"), Phase(learns="all", rate=0.1)), price=0.3
)


def chance(odds):
    return 1 / (1 + np.exp(-odds))


@cache
def feed(count=900, seed=0):
    """Return pages: good rows are clicked, less so below a row of their kind and below ads; ads make readers leave."""
    rng = np.random.default_rng(seed)
    lists, columns = np.repeat(np.arange(count), ROWS), {"good": [], "side": []}
    slot, click, exposed = (np.full((count, ROWS), np.nan) for _ in range(3))
    for one in range(count):
        good, side = rng.normal(size=ROWS), rng.choice([-1.0, 1.0], size=ROWS)
        page = rng.permutation(ROWS)[:SLOTS]
        ad = page < ADS
        above = np.concatenate([[0], np.cumsum(ad)[:-1]])
        same = np.concatenate([[0.0], side[page[1:]] * side[page[:-1]]])
        left = rng.random(SLOTS) < chance(-3.0 + 2.0 * ad)
        seen = np.concatenate([[True], np.cumsum(left)[:-1] == 0])
        slot[one] = 0
        slot[one, page] = np.arange(1, SLOTS + 1)
        exposed[one, page] = seen
        click[one, page] = np.where(seen, rng.random(SLOTS) < chance(good[page] - 1.5 * same - 0.7 * above), np.nan)
        columns["good"].append(good)
        columns["side"].append(side)
    return Pages.of(
        request=[f"r{one}" for one in range(count)],
        time=np.arange(float(count)),
        lists=lists,
        keys={
            "item": [f"i{row}" for row in range(ROWS)] * count,
            "line": (["ads"] * ADS + ["posts"] * (ROWS - ADS)) * count,
        },
        numbers={name: np.concatenate(parts) for name, parts in columns.items()}
        | {"score": rng.normal(size=count * ROWS)},
        slot=slot.ravel(),
        feedback={"click": click.ravel(), "exposed": exposed.ravel()},
    )


@cache
def fitted():
    pages = feed()
    return fit_decode(
        pages,
        inputs=known(split(pages).learned, numbers=["good", "side"], keys=["line"]),
        shape=shape_of(pages, **SMALL),
        recipe=SHORT,
        training=QUICK,
    )


def held(pages, found):
    how = {"ads": ("ads",), "slots": SLOTS, "label": "click", "exposed": "exposed"}
    return arrays_of(split(pages).held, found.model.inputs, **how)


def test_arrays_say_what_is_known_of_each_slot():
    pages = Pages.of(
        request=["a", "b"],
        lists=[0, 0, 0, 1, 1],
        keys={"item": ["x", "y", "z", "x", "y"], "line": ["posts", "ads", "posts", "posts", "posts"]},
        numbers={"score": [3, 2, 1, 2, 1]},
        slot=[2, 1, 3, 1, 2],
        feedback={"click": [1, 0, 0, np.nan, 1], "exposed": [1, 1, 0, 1, 1]},
    )
    inputs = known(pages, keys=[], seen=1)
    found = arrays_of(pages, inputs, ads=("ads",), slots=3, label="click", exposed="exposed")
    assert found["page"][0].tolist() == [1, 0, 2]
    assert found["is_ad"].tolist() == [[False, True, False], [False, False, False]]
    assert found["there"].tolist() == [[True, True, True], [True, True, False]]
    assert found["click"].tolist() == [[0, 1, 0], [0, 1, 0]]
    assert found["clicks"].tolist() == [[1, 1, 0], [0, 1, 0]]
    assert found["goes"].tolist() == [[1, 1, 0], [1, 0, 0]]  # the last slot of a page is left without a trace
    assert found["gone"].tolist() == [[0, 1, 0], [0, 0, 0]]


def test_orders_that_are_drawn_do_not_look_at_labels():
    pages = feed(40)
    numbers = {name: np.asarray(column) for name, column in pages.numbers.items()}
    drawn = []
    for flip in (False, True):
        click = np.nan_to_num(pages.feedback["click"])
        same = Pages.of(
            request=pages.request,
            lists=pages.lists,
            keys=dict(pages.keys),
            numbers=numbers,
            feedback={"click": 1 - click if flip else click},
        )
        how = {"ads": (), "slots": ROWS, "label": "click", "exposed": "", "orders": 4}
        drawn.append(arrays_of(same, known(same), **how))
    assert (drawn[0]["page"] == drawn[1]["page"]).all()
    assert (drawn[0]["label"] == 1 - drawn[1]["label"]).all()
    assert (np.sort(drawn[0]["page"], axis=1) == np.arange(ROWS)).all()
    orders = drawn[0]["page"].reshape(4, 40, ROWS)
    assert (orders[0] != orders[2]).any(axis=1).mean() > 0.9
    place = np.argsort(orders, axis=2).mean(axis=1)  # the first stage's first row is first in every other order, mostly
    assert place[1::2, 0].mean() + 1 < place[::2, 0].mean()


def test_likelihoods_by_hand():
    click = torch.tensor([[0.0, np.log(3.0), 9.0]])
    leave = torch.tensor([[-np.log(3.0), 0.0, 9.0]])
    batch = {
        "click": [[1.0, 0.0, 0.0]],
        "clicks": [[1.0, 1.0, 0.0]],
        "gone": [[0.0, 1.0, 0.0]],
        "goes": [[1.0, 1.0, 0.0]],
    }
    found = likelihoods(click, leave, {name: torch.tensor(rows) for name, rows in batch.items()})
    assert [float(one) for one in found] == pytest.approx([np.log(2) + np.log(4), np.log(4 / 3) + np.log(2)])


def test_it_learns_rows_pairs_ads_above_and_leaving():
    found = fitted()
    report = found.report
    arrays = held(feed(), found)
    logits, _ = asked(found.network, arrays)
    side = np.take_along_axis(arrays["numbers"][:, :, 1], arrays["page"], 1) > 0
    same = side[:, 1:] == side[:, :-1]
    ad = np.take_along_axis(arrays["is_ad"], arrays["page"], 1)
    click, leave = logits.click.numpy(), logits.leave.numpy()
    good = np.take_along_axis(arrays["numbers"][:, :, 0], arrays["page"], 1)
    assert np.corrcoef(click.ravel(), good.ravel())[0, 1] > 0.3
    assert click[:, 1:][same].mean() < click[:, 1:][~same].mean() - 1.5  # truth: 3.0
    assert leave[ad].mean() > leave[~ad].mean() + 1.0  # truth: 2.0
    above = np.cumsum(ad, axis=1) - ad
    assert click[:, 5][above[:, 5] == 3].mean() < click[:, 5][above[:, 5] == 1].mean() - 0.3  # truth: 1.4
    assert report.clicks.error < 0.05
    assert report.violations == 0
    assert 1.0 <= report.looseness[1] <= report.looseness[0] < 1.3


def test_the_same_seed_makes_the_same_model():
    pages = feed(200)
    brief = Recipe(phases=(Phase(learns="ground"), Phase(learns="context"), Phase(learns="all")))
    digests = [
        fit_decode(pages, shape=shape_of(pages, **SMALL), recipe=brief, training=QUICK).model.digest for _ in range(2)
    ]
    assert digests[0] == digests[1]


def test_it_is_served_as_it_was_fitted_and_reads_back():
    found = fitted()
    assert found.report.parity < 1e-5
    model = msgspec.convert(found.artefact.settings["model"], Model)
    assert model == found.model
    assert set(model.graphs) == {"prepare", "extend"}
    assert model.settings["slots"] == SLOTS


def test_calibration_keeps_the_order_of_rows_and_makes_chances_come_true():
    found = fitted()
    arrays = held(feed(), found)
    before, _ = asked(found.network, arrays)
    tilted = [found.network.scale.clone(), found.network.shift.clone()]
    found.network.scale *= 3.0
    found.network.shift += 1.0
    wrong = report_of(found.network, arrays, parity=0.0)
    calibrate(found.network, arrays)
    right, after = report_of(found.network, arrays, parity=0.0), asked(found.network, arrays)[0]
    found.network.scale.copy_(tilted[0])
    found.network.shift.copy_(tilted[1])
    assert right.click < wrong.click - 0.1
    assert right.violations == 0
    assert abs(np.mean(right.clicks.predicted) - np.mean(right.clicks.realised)) < 0.05
    for slot in range(SLOTS):
        assert (torch.argsort(before.click[:, slot]) == torch.argsort(after.click[:, slot])).float().mean() > 0.9


def test_worth_and_its_bounds_by_hand():
    half, sure = torch.zeros(1, 2), torch.full((1, 2), -50.0)
    nothing = torch.zeros(1, 2)
    worth, ceilings = worths(Logits(half, half, half, half, nothing, nothing))
    assert float(worth) == pytest.approx(0.5 + 0.5 * 0.5)
    assert ceilings.tolist() == [pytest.approx([0.75, 0.75])]
    wide = torch.full((1, 2), 60.0)
    worth, ceilings = worths(Logits(half, half, half, half, wide, wide))
    assert ceilings.tolist() == [pytest.approx([2.0, 0.5 + 0.5 * 1.0])]
    assert float(worths(Logits(half, sure, half, sure, nothing, nothing))[0]) == pytest.approx(1.0)
    first = torch.tensor([[-50.0, 50.0]])  # nobody leaves after the first slot, and everybody after the second
    assert float(worths(Logits(half, first, half, first, nothing, nothing))[0]) == pytest.approx(1.0)


def test_lists_are_ranked_below_what_was_placed():
    inputs, pages = fitted().model.inputs, split(feed()).held.take(np.arange(5))
    how = {"ads": (), "slots": ROWS, "label": "click", "exposed": ""}
    arrays = arrays_of(pages, inputs, **how)
    torch.manual_seed(0)
    network = (
        Decoder(inputs.sizes, fitted().network.shape._replace(slots=ROWS, bound=20.0)).eval().requires_grad_(False)
    )
    for name, weights in network.named_parameters():
        weights.add_((0.0 if name.startswith("ground.w") else 0.5) * torch.randn_like(weights))
    model, _ = served(network, inputs, arrays)
    score = ranked(model, pages)
    for start, end in zip(pages.starts, pages.starts[1:], strict=False):
        assert sorted(score[start:end].tolist()) == sorted(-float(place) for place in range(ROWS))
    for one, start in enumerate(pages.starts[:-1]):
        order = np.argsort(-score[start : start + ROWS])
        for slot in range(ROWS - 1):
            left = order[slot:]
            tried = {
                name: torch.from_numpy(np.repeat(array[[one]], len(left), axis=0)) for name, array in arrays.items()
            }
            tops = [[*order[:slot], row] for row in left]
            click = network({**tried, "page": torch.tensor(np.array(tops))}).click[:, slot]
            assert int(click.argmax()) == 0


def test_refusals():
    pages = feed(50)
    with pytest.raises(RequestError, match=r"ads: must be among the lines of the log, .*posts"):
        fit_decode(pages, ads=("offers",))
    with pytest.raises(RequestError, match=r"pages.feedback: must have the column"):
        fit_decode(pages, label="cliks")
    sized = shape_of(pages)
    for changes, refused in (
        ({"bound": -1.0}, "shape.bound: must be > 0, got -1.0"),
        ({"width": 6}, "shape.width: must be a multiple of `heads`, 4, got 6"),
        ({"width": 0}, "shape.width: must be >= 1, got 0"),
    ):
        with pytest.raises(RequestError, match=refused):
            fit_decode(pages, shape=sized._replace(**changes))
    found = fitted()
    free = type(found.network)(found.model.inputs.sizes, found.network.shape._replace(bound=float("inf")))
    with pytest.raises(RequestError, match=r"shape.bound: must be finite in what is served, got inf"):
        served(free, found.model.inputs, held(feed(), found))


def test_rows_that_no_page_could_hold_are_out_of_sight():
    """As in serving: of organics, as many as there are slots, and those that were shown; ads all."""
    pages = Pages.of(
        request=["r"],
        lists=[0] * 6,
        keys={"item": list("abcdef"), "line": ["posts"] * 5 + ["ads"]},
        numbers={"score": [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]},
        slot=[1, 2, 0, 0, 3, 0],
        feedback={"click": [1, 0, np.nan, np.nan, 0, np.nan]},
    )
    found = arrays_of(pages, Inputs.known(pages), ads=("ads",), slots=3, label="click", exposed="")
    assert found["mask"].tolist() == [[True, True, True, False, True, True]]
