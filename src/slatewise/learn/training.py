"""Train a network on lists: mini-batches, an end when unseen lists gain no more, and a run that can be taken up again.

Every epoch shuffles the lists and then takes one step of Adam a batch, on a gradient no longer than `clip`:

    g <- g * min(1, clip / |g|)

After it a judge scores the network on lists that it does not learn from. The weights of the best epoch are the ones
that are kept; training ends `patience` epochs after them. An epoch draws from generators of its own, seeded by
(`seed`, epoch), so that a run that was interrupted ends at the weights that it would have ended at anyway, to the bit
on a processor. Cost: that of the network, times epochs; a checkpoint is some four times the weights.

References:
    Kingma & Ba (2015), "Adam: a method for stochastic optimization", ICLR.
    Pascanu, Mikolov & Bengio (2013), "On the difficulty of training recurrent neural networks", ICML, section 3.2.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeAlias, final

import msgspec
import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from slatewise.core.errors import RequestError, shown
from slatewise.core.files import replacing
from slatewise.learn.checkpoint import Checkpoint, Told, copied

Batch: TypeAlias = dict[str, Tensor]
"""Padded lists: arrays of a network's inputs, with `label`, and `weight` where lists are weighted."""
Loss: TypeAlias = Callable[[nn.Module, Batch], Tensor]
Judge: TypeAlias = Callable[[nn.Module], float]

CHECKPOINT, LOG = "checkpoint.safetensors", "log.csv"
LOOKED_AT = 256
"""Lists of which a run is known again."""


class Batches(Protocol):
    """Lists to learn from."""

    def __len__(self) -> int:
        """Return how many lists there are."""
        ...

    def at(self, lists: NDArray[np.int64], /) -> Batch:
        """Return some of them."""
        ...


@final
class Padded:
    """Lists that are padded already, all in memory.

    Attributes:
        arrays: Arrays of one length, by name.

    Examples:
        >>> lists = Padded({"label": np.eye(3)})
        >>> len(lists), lists.at(np.array([2]))["label"].tolist()
        (3, [[0.0, 0.0, 1.0]])
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise RequestError("arrays", "must be of one length", shown(lengths))
        self.arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def __len__(self) -> int:
        """Return how many lists there are."""
        return len(next(iter(self.arrays.values())))

    def at(self, lists: NDArray[np.int64], /) -> Batch:
        """Return some of them."""
        return {name: array[torch.from_numpy(lists)] for name, array in self.arrays.items()}


@final
class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to learn.

    Attributes:
        rate: Step of Adam, > 0.
        decay: How much the weights are held at 0, >= 0.
        batch: Lists of a mini-batch, >= 1.
        epochs: Times that all lists are seen, at most, >= 1.
        patience: Epochs without gain after which it ends, >= 1.
        clip: Longest gradient; 0 leaves gradients as they are.
        seed: Root of the order of lists, and of what a network drops.
        device: Where it is computed; `auto` takes a GPU if there is one.

    Examples:
        >>> Training(epochs=3).batch
        64
        >>> Training(rate=0.0)
        Traceback (most recent call last):
        slatewise.core.errors.RequestError: training.rate: must be > 0.0, got 0.0
    """

    rate: Annotated[float, Meta(gt=0)] = 1e-3
    decay: Annotated[float, Meta(ge=0)] = 1e-5
    batch: Annotated[int, Meta(ge=1)] = 64
    epochs: Annotated[int, Meta(ge=1)] = 30
    patience: Annotated[int, Meta(ge=1)] = 4
    clip: Annotated[float, Meta(ge=0)] = 1.0
    seed: Annotated[int, Meta(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        """Refuse settings out of range, however they came about."""
        if not (self.rate > 0 and isfinite(self.rate)):
            raise RequestError("training.rate", "must be > 0.0", shown(self.rate))
        for name in ("decay", "clip", "seed"):
            if not (getattr(self, name) >= 0 and isfinite(getattr(self, name))):
                raise RequestError(f"training.{name}", "must be >= 0", shown(getattr(self, name)))
        for name in ("batch", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise RequestError(f"training.{name}", "must be >= 1", shown(getattr(self, name)))
        if self.device not in ("auto", "cpu", "cuda"):
            raise RequestError("training.device", "must be one of 'auto', 'cpu', 'cuda'", shown(self.device))

    @property
    def found(self) -> torch.device:
        """The device there is.

        Raises:
            RequestError: It is to be a GPU, and there is none.
        """
        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise RequestError("training.device", "must be there", "'cuda'", "take 'auto' or 'cpu'")
        return torch.device("cuda" if there and self.device != "cpu" else "cpu")


class Epoch(NamedTuple):
    """What came of an epoch.

    Attributes:
        number: From 1.
        loss: Mean over its lists, before each step.
        gradient: Mean length of its gradients, before they were cut.
        score: What the judge found; larger is better.
    """

    number: int
    loss: float
    gradient: float
    score: float


class History(NamedTuple):
    """What came of all epochs.

    Attributes:
        epochs: In order.
    """

    epochs: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        """The one whose weights were kept; of equals the earliest."""
        return max(self.epochs, key=lambda epoch: epoch.score)

    def ended(self, settings: Training) -> bool:
        """Return whether there is nothing left to do."""
        seen = len(self.epochs)
        return seen >= settings.epochs or (seen > 0 and seen - self.best.number >= settings.patience)


def train(
    network: nn.Module,
    batches: Batches,
    loss: Loss,
    *,
    judge: Judge,
    settings: Training | None = None,
    about: str = "",
    folder: Path | None = None,
    watch: Callable[[Epoch], None] | None = None,
) -> History:
    """Train a network in place; it is left with its best weights, in eval mode, where it was.

    Args:
        network: The network.
        batches: Lists to learn from.
        loss: The mean loss over the lists of a batch.
        judge: How good the network is, on lists that are not learned from; it is in eval mode, without gradients.
        settings: How to learn; by default as declared.
        about: What else the run depends on, such as the names of loss and judge: a run about something else is another.
        folder: Where checkpoint, log and, if TensorBoard is installed, events are kept. A run that was interrupted goes
            on from there; one that had ended is not run again.
        watch: Called after every epoch.

    Raises:
        RequestError: There are no lists; a loss, gradient or score is not finite; the folder is of another run.
    """
    chosen = settings or Training()
    if len(batches) < 1:
        raise RequestError("batches", "must hold lists to learn from", "0")
    home, device = next((weights.device for weights in network.parameters()), torch.device("cpu")), chosen.found
    network.to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=chosen.rate, weight_decay=chosen.decay)
    best, history = copied(network), History(())
    checkpoint = None
    if folder is not None:
        checkpoint = Checkpoint(folder / CHECKPOINT, _fingerprint(network, batches, chosen, about))
    if checkpoint is not None and (told := checkpoint.load(network, optimiser)) is not None:
        best, history = told.best, History(msgspec.json.decode(told.notes, type=tuple[Epoch, ...]))
    with _board(folder, len(history.epochs)) as board, _own_draws(device):
        while not history.ended(chosen):
            epoch = _epoch(network, optimiser, batches, loss, judge, chosen, len(history.epochs) + 1)
            history = History((*history.epochs, epoch))
            if history.best is epoch:
                best = copied(network)
            if checkpoint is not None:
                checkpoint.save(network, optimiser, Told(best, msgspec.json.encode(history.epochs).decode()))
                _log(checkpoint.path.with_name(LOG), history)
            board(epoch)
            if watch is not None:
                watch(epoch)
    network.load_state_dict(best)
    network.to(home).eval()
    return history


@contextmanager
def seeded(seed: int) -> Generator[None]:
    """Draw by a seed, such as first weights, and leave the generators of torch as they were found."""
    with _own_draws(torch.device("cpu")):
        torch.manual_seed(seed)
        yield


def _epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Batches,
    loss: Loss,
    judge: Judge,
    settings: Training,
    number: int,
) -> Epoch:
    device = settings.found
    draws = np.random.default_rng([settings.seed, number])
    order = draws.permutation(np.arange(len(batches), dtype=np.int64))
    steps = range(0, len(order), settings.batch)
    torch.manual_seed(int(draws.integers(2**62)))
    network.train()
    total, length = 0.0, 0.0
    for at, start in enumerate(steps, 1):
        lists = order[start : start + settings.batch]
        batch = {name: array.to(device) for name, array in batches.at(lists).items()}
        optimiser.zero_grad()
        value = loss(network, batch)
        found = _finite(f"epoch {number}, batch {at}: loss", value.item())
        value.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip or np.inf)
        length += _finite(f"epoch {number}, batch {at}: gradient", norm.item())
        optimiser.step()
        total += found * len(lists)
    network.eval()
    with torch.no_grad():
        score = _finite(f"epoch {number}: score", float(judge(network)))
    return Epoch(number, total / len(order), length / len(steps), score)


def _finite(where: str, value: float) -> float:
    if not isfinite(value):
        hint = "" if where.endswith("score") else "inputs may not be finite, or `rate` too large"
        raise RequestError(where, "must be finite", shown(value), hint)
    return value


def _fingerprint(network: nn.Module, batches: Batches, settings: Training, about: str) -> str:
    """Return a hash of all that a run depends on, save how long it may go on; of its lists, their number and some."""
    fixed = msgspec.structs.replace(settings, epochs=1, device="auto")
    found = sha256(msgspec.json.encode([fixed, len(batches), about]))
    some = batches.at(np.unique(np.linspace(0, len(batches) - 1, LOOKED_AT).astype(np.int64)))
    for name, value in (*sorted(some.items()), *network.state_dict().items()):
        found.update(f"{name} {tuple(value.shape)} ".encode() + value.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def _log(path: Path, history: History) -> None:
    with replacing(path, where="folder") as part, part.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Epoch._fields)
        table.writerows(history.epochs)


@contextmanager
def _own_draws(device: torch.device) -> Generator[None]:
    """Leave the generators of torch as they were found."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def _board(folder: Path | None, epochs: int) -> Generator[Callable[[Epoch], None]]:
    """Give a function that writes an epoch for TensorBoard, if that is installed."""
    if folder is None or find_spec("tensorboard") is None:
        yield lambda epoch: None
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(folder), purge_step=epochs + 1) as writer:

        def write(epoch: Epoch) -> None:
            for name in Epoch._fields[1:]:
                writer.add_scalar(name, getattr(epoch, name), epoch.number)
            writer.flush()

        yield write
