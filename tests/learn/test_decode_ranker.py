"""A decoder of lists that are only to be ranked is a reranker, and more only where context is sure to gain."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import torch

from slatewise.core.errors import RequestError
from slatewise.learn.decode_export import ranked, served
from slatewise.learn.decode_ranker import fit_ranker, ranker_shape
from slatewise.learn.pages import Pages
from slatewise.learn.rerank import fit_rerank, known, split
from slatewise.learn.training import Training
from slatewise.models import runtime
from slatewise.models.decoder import Decoder

ROWS = 7
QUICK = Training(rate=3e-3, batch=32, epochs=3, device="cpu")


@cache
def lists(count=240, seed=0):
    """Return lists of 2 to 7 rows, of which the best row of each side is relevant; so what is above a row decides."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, ROWS + 1, size=count)
    good, side, score, label = [], [], [], []
    for length in lengths:
        values, sides = rng.normal(size=length), rng.choice([-1.0, 1.0], size=length)
        best = [
            max((value for value, one in zip(values, sides, strict=True) if one == way), default=9) for way in sides
        ]
        good.append(values)
        side.append(sides)
        score.append(values + rng.normal(size=length))
        label.append((values == best) * rng.choice([1.0, 2.0], size=length))
    rows = int(lengths.sum())
    return Pages.of(
        request=[f"r{one}" for one in range(count)],
        time=np.arange(float(count)),
        lists=np.repeat(np.arange(count), lengths),
        keys={"item": [f"i{row % 30}" for row in range(rows)], "line": ["posts"] * rows},
        numbers={name: np.concatenate(parts) for name, parts in {"good": good, "side": side, "score": score}.items()},
        feedback={"click": np.concatenate(label)},
    )


def test_without_a_sure_gain_it_is_the_reranker():
    pages = lists()
    found, reranker = (fit(pages, training=QUICK) for fit in (fit_ranker, fit_rerank))
    assert [one.score for one in found.epochs[0]] == pytest.approx([one.score for one in reranker.history.epochs])
    held = split(pages).held
    arrays = reranker.model.inputs.of_pages(held)
    wanted = runtime.scores(reranker.model, arrays)[arrays["mask"]]
    score = ranked(found.model, held)
    for start, end in zip(held.starts, held.starts[1:], strict=False):
        assert np.argsort(-score[start:end]).tolist() == np.argsort(-wanted[start:end]).tolist()
    assert found.report.violations == 0
    assert found.report.click_amplitude < 1e-9
    assert found.provenance["context"]["gain"] <= 2 * found.provenance["context"]["error"]
    assert found.report.parity < 1e-5


def test_context_is_kept_where_it_gains():
    pages = lists(600)
    inputs = known(split(pages).learned, numbers=["good", "side"], keys=[])
    shape = ranker_shape(pages, around=0, width=16, hidden=16, layers=1, bound=8.0)
    found = fit_ranker(
        pages, inputs=inputs, shape=shape, training=Training(rate=1e-2, batch=16, epochs=4, device="cpu")
    )
    assert found.report.click_amplitude > 0.1
    assert max(one.score for one in found.epochs[1]) > max(one.score for one in found.epochs[0]) + 0.005


@cache
def random_weights():
    pages = lists(20)
    inputs = known(pages, seen=1)
    torch.manual_seed(0)
    network = Decoder(inputs.sizes, ranker_shape(pages, bound=20.0, width=16, hidden=16)).eval().requires_grad_(False)
    for weights in network.parameters():
        weights.add_(0.3 * torch.randn_like(weights))
    return pages, inputs, network


def test_rows_below_a_top_are_what_whole_pages_say():
    pages, inputs, network = random_weights()
    arrays = inputs.of_pages(pages.take(pages.lengths == ROWS))
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    batch["is_ad"] = torch.zeros_like(batch["mask"])
    page = torch.argsort(torch.rand(batch["mask"].shape), dim=1)
    for above in (0, 1, 2, 5):
        found = network.below({**batch, "page": page}, above)
        for place in range(ROWS - above):
            whole = torch.cat([page[:, :above], page[:, above + place, None]], dim=1)
            assert network({**batch, "page": whole}).click[:, above].tolist() == pytest.approx(
                found[:, place].tolist(), abs=1e-4
            )
    top = network({**batch, "page": page[:, :1]}).click_ground[:, 0]
    assert top.tolist() == pytest.approx(network.alone(batch).gather(1, page[:, :1])[:, 0].tolist(), abs=1e-5)


def test_lists_are_ranked_together_as_alone():
    pages, inputs, network = random_weights()
    arrays = inputs.of_pages(pages)
    arrays["is_ad"] = np.zeros(arrays["mask"].shape, np.bool_)
    shorter = Decoder(inputs.sizes, network.shape._replace(slots=4)).eval().requires_grad_(False)
    shorter.load_state_dict(
        {
            name: one[:4] if name == "place" else one[:, :4] if name == "shift" else one
            for name, one in network.state_dict().items()
        }
    )
    model, _ = served(shorter, inputs, arrays)
    together = ranked(model, pages)
    for one, (start, end) in enumerate(zip(pages.starts, pages.starts[1:], strict=False)):
        alone = ranked(model, pages.take(np.array([one])))
        assert np.argsort(-together[start:end]).tolist() == np.argsort(-alone).tolist()
        assert sorted(-alone) == list(range(end - start))


def test_refusals():
    pages = lists(40)
    with pytest.raises(RequestError, match=r"pages.feedback: must have the column"):
        fit_ranker(pages, label="cliks")
    with pytest.raises(RequestError, match=r"shape.embedded: must be >= 1 in what ranks, got 0"):
        fit_ranker(pages, shape=ranker_shape(pages, embedded=0))
