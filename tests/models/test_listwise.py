"""Networks over lists: padding, order, lengths that were not seen, and what is served of them."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from slatewise.models.inputs import Inputs, Key, Number
from slatewise.models.listwise import PersonalReranker, SetTransformer

ITEM = Key(name="item_id", names=tuple("abcdef"))
INPUTS = Inputs(
    numbers=(Number(name="score"), Number(name="age")),
    keys=(Key(name="topic", names=("x", "y")), ITEM),
    context=(Key(name="device", names=("phone", "tv")),),
    history=ITEM,
    position=6,
)
BARE = Inputs(numbers=(Number(name="score"),), position=6)
SMALL = {"width": 16, "heads": 2, "hidden": 24, "embedded": 4}
NETWORKS = {
    "prm": lambda sizes: PersonalReranker(sizes, **SMALL),
    "set": lambda sizes: SetTransformer(sizes, **SMALL),
    "set through points": lambda sizes: SetTransformer(sizes, **SMALL, points=3),
    "set with places": lambda sizes: SetTransformer(sizes, **SMALL, ordinal=4),
}
SETS = ("set", "set through points")


def made(name, inputs=INPUTS):
    torch.manual_seed(1)
    network = NETWORKS[name](inputs.sizes)
    with torch.no_grad():  # far from the start, where differences could hide
        for weights in network.parameters():
            weights += 0.3 * torch.randn_like(weights)
    return network.eval()


def lists(lengths, *, inputs=INPUTS, padded=None):
    draws, sizes = np.random.default_rng(2), inputs.sizes
    b, most = len(lengths), padded or max(lengths)
    codes = [draws.integers(0, size, (b, most)) for size in sizes.keys]
    context = [draws.integers(0, size, b) for size in sizes.context]
    arrays = {
        "numbers": draws.normal(size=(b, most, sizes.numbers)).astype(np.float32),
        "keys": np.stack(codes, axis=2) if codes else np.zeros((b, most, 0), np.int64),
        "context": np.stack(context, axis=1) if context else np.zeros((b, 0), np.int64),
        "history": draws.integers(0, sizes.history, (b, 20)) if sizes.history else np.zeros((b, 0), np.int64),
        "mask": np.arange(most) < np.array(lengths)[:, None],
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def rows_of(batch, rows):
    return {name: one[:, rows] if name in ("numbers", "keys", "mask") else one for name, one in batch.items()}


def scored(network, batch):
    with torch.no_grad():
        return network(*batch.values()).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_and_the_other_lists_of_a_batch_change_nothing(name):
    network, batch = made(name).double(), lists([5, 2, 4], padded=9)
    batch["numbers"] = batch["numbers"].double()
    together = scored(network, batch)
    for place, length in enumerate([5, 2, 4]):
        one = {key: value[[place]] for key, value in batch.items()}
        alone = scored(network, rows_of(one, slice(0, length)))
        assert np.abs(together[place, :length] - alone[0]).max() < 1e-9
        assert (together[place, length:] == 0).all()
    garbled = {**batch, "numbers": torch.where(batch["mask"][:, :, None], batch["numbers"], torch.tensor(1e4).double())}
    assert np.abs(scored(network, garbled) - together).max() < 1e-9


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_in_another_order(name):
    network, batch = made(name), lists([6])
    order = np.random.default_rng(0).permutation(6)
    moved, plain = scored(network, rows_of(batch, order)), scored(network, batch)[:, order]
    follows = np.abs(moved - plain).max() < 1e-5 * np.abs(plain).max()
    assert follows == (name in SETS)  # where it was put is what the others know of a row besides


@pytest.mark.parametrize("name", NETWORKS)
def test_lists_longer_than_any_that_was_seen_have_scores(name):
    network = made(name)
    long = scored(network, lists([40]))
    assert np.isfinite(long).all()
    assert np.ptp(long) > 0.01
    assert np.isfinite(scored(network, lists([0, 3]))).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_counts_through_what_stands_around_it(name):
    network, batch = made(name), lists([4])
    other = {**batch, "numbers": batch["numbers"].clone()}
    other["numbers"][0, 3] += 2.0
    assert np.abs(scored(network, other) - scored(network, batch))[0, :3].max() > 1e-3


@pytest.mark.parametrize("part", ["keys", "context", "history"])
def test_each_part_of_what_is_read_counts(part):
    network, batch = made("prm"), lists([4])
    known = {**batch, part: torch.ones_like(batch[part])}
    nothing = {**batch, part: torch.zeros_like(batch[part])}
    assert np.abs(scored(network, known) - scored(network, nothing)).max() > 1e-3


@pytest.mark.parametrize("inputs", [INPUTS, BARE], ids=["all", "numbers only"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_served_is_what_was_fitted(name, inputs):
    pytest.importorskip("onnxruntime")
    from slatewise.core.errors import SlatewiseError
    from slatewise.learn.export import check_parity, export
    from slatewise.models.model import Model

    network = made(name, inputs)
    graph = export(network, lists([3, 2], inputs=inputs), names=["scores"])
    model = Model.of(name, inputs=inputs, graphs={"score": graph})
    for lengths in ([1], [7, 3, 5], [25] * 2):
        assert check_parity(network, model, "score", lists(lengths, inputs=inputs)) <= 1e-5
    with torch.no_grad():
        network.score.bias += 0.5
    with pytest.raises(SlatewiseError, match=rf"{name}\.score: must be within 1e-05 of what was fitted, got 0\."):
        check_parity(network, model, "score", lists([3], inputs=inputs))
