"""The training loop: it repeats, ends when it should, goes on where it stood, and says what went wrong."""

import csv
import importlib.util

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import torch
from torch import nn

from slatewise import RequestError
from slatewise.learn.training import CHECKPOINT, LOG, Padded, Training, seeded, train

QUICK = Training(rate=0.05, batch=24, epochs=6, patience=6, device="cpu")
BOARD = importlib.util.find_spec("tensorboard") is not None


def lists(count=80, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, 5, 3))
    label = numbers @ np.array([1.0, -2.0, 0.5]) + 0.1 * rng.normal(size=(count, 5))
    return Padded({"numbers": numbers.astype(np.float32), "label": label.astype(np.float32)})


def network(seed=0, drop=0.2):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(drop), nn.Linear(8, 1))


def error(model, batch):
    return ((model(batch["numbers"])[:, :, 0] - batch["label"]) ** 2).sum(dim=1).mean()


def judge_on(batches):
    whole = batches.at(np.arange(len(batches)))
    return lambda model: -error(model, whole).item()


def weights(model):
    return [value.tolist() for value in model.state_dict().values()]


def trained(settings=QUICK, judge=None, **given):
    model = network()
    history = train(model, lists(), error, judge=judge or judge_on(lists(seed=1)), settings=settings, **given)
    return model, history


def small(model):
    """Judge a network by how small its weights are: the first epoch is the best."""
    return -sum(value.abs().sum().item() for value in model.parameters())


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before():
    one, told = trained()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    other, told_again = trained()
    assert weights(one) == weights(other)
    assert told == told_again
    assert torch.equal(before, torch.get_rng_state())  # and draws nothing of others
    assert weights(one) != weights(trained(Training(rate=0.05, batch=16, epochs=6, seed=1, device="cpu"))[0])


def test_it_learns_and_leaves_the_network_ready_for_use():
    model, history = trained(Training(rate=0.05, batch=16, epochs=30, device="cpu"))
    assert history.epochs[-1].loss < 0.2 * history.epochs[0].loss
    assert judge_on(lists(seed=1))(model) == history.best.score == max(epoch.score for epoch in history.epochs)
    assert not model.training


def test_the_loss_of_an_epoch_is_the_mean_over_its_lists():
    still = Training(rate=1e-12, decay=0.0, batch=24, epochs=1, device="cpu")
    model = network(drop=0.0)
    history = train(model, lists(), error, judge=lambda _: 0.0, settings=still)
    assert history.best.loss == pytest.approx(-judge_on(lists())(model))


@pytest.mark.parametrize(("patience", "seen"), [(1, 3), (2, 6), (9, 8)])
def test_it_ends_when_unseen_lists_gain_no_more_and_keeps_the_best(patience, seen):
    scores = iter([1.0, 2.0, 2.0, 3.0, 0.0, 2.9, 2.8, 2.7])
    kept = {}
    model = network()

    def judge(one):
        assert not one.training
        kept[len(kept) + 1] = weights(one)
        return next(scores)

    settings = Training(rate=0.05, epochs=8, patience=patience, device="cpu")
    history = train(model, lists(), error, judge=judge, settings=settings)
    best = {1: 2, 2: 4, 9: 4}[patience]
    assert (len(history.epochs), history.best.number) == (seen, best)
    assert weights(model) == kept[best]


class InterruptedRunError(Exception):
    """Somebody pulled the plug."""


@pytest.mark.parametrize(("at", "judge"), [(1, None), (3, None), (6, None), (3, small)])
def test_a_run_that_was_interrupted_ends_at_the_same_weights(tmp_path, at, judge):
    whole, told = trained(judge=judge, folder=tmp_path / "whole")

    def pull(epoch):
        if epoch.number == at:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        trained(judge=judge, folder=tmp_path / "parts", watch=pull)
    assert not [path for path in (tmp_path / "parts").iterdir() if path.suffix == ".part"]
    seen = []
    parts, told_again = trained(judge=judge, folder=tmp_path / "parts", watch=lambda epoch: seen.append(epoch.number))
    assert seen == list(range(at + 1, 7))
    assert weights(whole) == weights(parts)
    assert told == told_again
    assert (tmp_path / "whole" / LOG).read_text() == (tmp_path / "parts" / LOG).read_text()


def test_the_log_has_a_row_for_every_epoch(tmp_path):
    _, history = trained(folder=tmp_path)
    with (tmp_path / LOG).open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == [epoch.score for epoch in history.epochs]
    assert [int(row["number"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert bool(list(tmp_path.glob("events.*"))) == BOARD


@pytest.mark.parametrize("settings", [Training(rate=0.05, batch=16, epochs=6, seed=1), Training(rate=0.01)])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, settings):
    trained(folder=tmp_path)
    with pytest.raises(RequestError, match="must be of the same first weights, lists, settings, loss and judge, got"):
        trained(settings, folder=tmp_path)


def test_a_checkpoint_of_other_lists_or_another_loss_is_refused(tmp_path):
    """As many lists of which only labels differ, and a loss of another name, would be taken for what was learned."""
    trained(folder=tmp_path, about="squares")
    trained(folder=tmp_path, about="squares")
    with pytest.raises(RequestError, match="must be of the same"):
        trained(folder=tmp_path, about="ranks")
    told = lists().arrays
    other = Padded({**{name: array.numpy() for name, array in told.items()}, "label": -told["label"].numpy()})
    with pytest.raises(RequestError, match="must be of the same"):
        train(network(), other, error, judge=small, settings=QUICK, about="squares", folder=tmp_path)


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "log").write_text("")
    with pytest.raises(RequestError, match="folder: must be a folder that can be made, got"):
        trained(folder=tmp_path / "log")


def test_a_checkpoint_that_is_broken_is_refused(tmp_path):
    trained(folder=tmp_path)
    (tmp_path / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes()[:-5])
    with pytest.raises(RequestError, match="must hold a checkpoint that can be read"):
        trained(folder=tmp_path)


def test_gradients_are_cut():
    def steep(model, batch):
        return 1e4 * error(model, batch)

    moved = {}
    for clip in (1e-9, 1e9):  # Adam divides by the length, save where that is next to nothing
        model = network(drop=0.0)
        settings = Training(rate=0.05, decay=0.0, batch=80, epochs=1, clip=clip, device="cpu")
        history = train(model, lists(), steep, judge=lambda _: 0.0, settings=settings)
        before = torch.nn.utils.parameters_to_vector(network(drop=0.0).parameters())
        moved[clip] = float((torch.nn.utils.parameters_to_vector(model.parameters()) - before).detach().abs().max())
        assert history.best.gradient > 1e3
    assert moved[1e-9] < 0.2 * moved[1e9]


def test_what_is_not_finite_is_refused_by_epoch_and_batch():
    broken = lists()
    broken.arrays["numbers"][7] = np.nan
    place = int(np.flatnonzero(np.random.default_rng([0, 1]).permutation(80) == 7)[0]) // 24 + 1
    with pytest.raises(RequestError) as caught:
        train(network(), broken, error, judge=lambda _: 0.0, settings=QUICK)
    rule = "must be finite, got nan; inputs may not be finite, or `rate` too large"
    assert str(caught.value) == f"epoch 1, batch {place}: loss: {rule}"
    with pytest.raises(RequestError, match="epoch 1: score: must be finite, got nan"):
        train(network(), lists(), error, judge=lambda _: float("nan"), settings=QUICK)
    with pytest.raises(RequestError, match="batches: must hold lists to learn from, got 0"):
        train(network(), lists(0), error, judge=lambda _: 0.0, settings=QUICK)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 0.0}, "training.rate: must be > 0.0, got 0.0"),
        ({"rate": float("nan")}, "training.rate: must be > 0.0, got nan"),
        ({"clip": -1.0}, "training.clip: must be >= 0, got -1.0"),
        ({"patience": 0}, "training.patience: must be >= 1, got 0"),
        ({"device": "gpu"}, "training.device: must be one of 'auto', 'cpu', 'cuda', got 'gpu'"),
    ],
)
def test_settings_out_of_range_are_refused(given, message):
    with pytest.raises(RequestError) as caught:
        Training(**given)
    assert str(caught.value) == message


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(RequestError, match=r"arrays: must be of one length, got \{'a': 2, 'b': 3\}"):
        Padded({"a": np.zeros(2), "b": np.zeros(3)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(RequestError, match=r"training.device: must be there, got 'cuda'; take 'auto' or 'cpu'"):
        trained(Training(device="cuda"))


def test_first_weights_are_those_of_a_seed_and_other_draws_stay_as_they_were():
    torch.manual_seed(5)
    wanted = torch.rand(3).tolist()
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(3).tolist()
    assert torch.rand(3).tolist() == wanted
    with seeded(1):
        assert torch.rand(3).tolist() == first != wanted
