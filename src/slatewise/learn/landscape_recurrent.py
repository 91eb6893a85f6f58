"""Fit a recurrent landscape: mini-batches, two losses in turns, and an end when unseen rows gain no more.

    price loss    - log P(z) of rows that won, - log P(z >= s) of rows that lost
    outcome loss  - log P(won or lost)

A batch is learned from twice, once by each. Published is a price loss of the rows that won alone; as Adam takes steps
of one size whatever the size of a loss, that draws prices down, towards those that were beaten. Part of the rows is
kept apart: the network of the epoch whose price loss is least there is the one that is returned. Cost: that of the
network, times epochs.

References:
    Ren et al. (2019), "Deep Recurrent Survival Analysis", AAAI, section 3.4: the losses.
    Kingma & Ba (2015), "Adam: a method for stochastic optimization", ICLR.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from slatewise.core.columns import Numbers
from slatewise.learn.landscape_bins import Bins
from slatewise.learn.landscape_rows import Features, Rows
from slatewise.learn.training import seeded
from slatewise.models.dlf import RecurrentLandscape, outcome_loss, price_loss

BLOCK = 1024
"""Rows that are looked at together when nothing is learned."""


class Settings(NamedTuple):
    """How to learn.

    Attributes:
        width: Ticks of a bin, >= 1.
        rate: Step of Adam, > 0.
        decay: How much the weights are held at 0, >= 0.
        batch: Rows of a mini-batch, >= 1.
        epochs: Times that all rows are seen, at most, >= 1.
        patience: Epochs without gain after which it ends, >= 1.
        apart: Share of the rows that is kept apart, in (0, 1).
        embedded: Numbers that a context is made of.
        hidden: Numbers that are remembered from bin to bin.
    """

    width: int = 4
    rate: float = 1e-3
    decay: float = 1e-4
    batch: int = 128
    epochs: int = 30
    patience: int = 3
    apart: float = 0.15
    embedded: int = 32
    hidden: int = 64


class Recurrent(NamedTuple):
    """A network and its bins.

    Attributes:
        bins: The bins.
        network: The network.
        limit: Ticks up to which the rows could show anything.
        epochs: How many it was learned for.
    """

    bins: Bins
    network: RecurrentLandscape
    limit: int
    epochs: int

    def win(self, features: Features, scores: Numbers) -> Numbers:
        """Return (n, g) how likely scores win.

        Args:
            features: (n, d) sparse context.
            scores: (n, g) ticks.
        """
        return self.bins.win(hazards(self.network, features), scores)


class Batch(NamedTuple):
    """Rows as the losses take them."""

    features: Tensor
    place: Tensor
    ended: Tensor
    score: Tensor
    won: Tensor

    def at(self, rows: Tensor) -> Batch:
        """Return some rows."""
        return Batch(*(column[rows] for column in self))


def fit(rows: Rows, *, settings: Settings | None = None, seed: int = 0) -> Recurrent:
    """Return the network that is best on the rows kept apart.

    Args:
        rows: What is known of rival scores; those that won show the price.
        settings: How to learn; by default as declared.
        seed: Root of the first weights, of the order of rows, and of the rows kept apart.
    """
    chosen = settings or Settings()
    bins = Bins.of(rows.limit, width=chosen.width)
    batch = _batch(rows, bins)
    with seeded(seed):
        network = RecurrentLandscape(rows.features.shape[1], bins.size, embedded=chosen.embedded, hidden=chosen.hidden)
        order = torch.randperm(len(rows.low))
        apart = round(len(order) * chosen.apart)
        epochs = _learn(network, batch.at(order[apart:]), batch.at(order[:apart]), chosen)
    return Recurrent(bins, network, rows.limit, epochs)


def hazards(network: RecurrentLandscape, features: Features) -> Numbers:
    """Return (n, L) the chance of each bin."""
    numbers = padded(features)
    with torch.no_grad():
        parts = [torch.sigmoid(network(block)) for block in torch.split(numbers, BLOCK)]
    return torch.cat(parts).numpy().astype(np.float64)


def padded(features: Features) -> Tensor:
    """Return (n, m) the numbers of the features of each row, and the number of features where it has fewer than m."""
    lengths = np.diff(features.indptr)
    found = np.full((features.shape[0], max(int(lengths.max(initial=0)), 1)), features.shape[1], dtype=np.int64)
    found[np.arange(found.shape[1]) < lengths[:, None]] = features.indices
    return torch.from_numpy(found)


def _batch(rows: Rows, bins: Bins) -> Batch:
    place, ended = bins.survived(rows)
    score = np.minimum(bins.place(rows.score), bins.size)
    columns: tuple[Any, ...] = (place, ended, score, rows.exact & (rows.low < rows.score))
    return Batch(padded(rows.features), *(torch.from_numpy(np.ascontiguousarray(column)) for column in columns))


def _learn(network: RecurrentLandscape, seen: Batch, unseen: Batch, settings: Settings) -> int:
    """Learn until unseen rows gain no more; leave the best weights, and return the epochs that made them."""
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate, weight_decay=settings.decay)
    least, best, best_epoch = np.inf, deepcopy(network.state_dict()), 0
    for epoch in range(1, settings.epochs + 1):
        for rows in torch.split(torch.randperm(len(seen.place)), settings.batch):
            batch = seen.at(rows)
            for loss in (_of_prices, _of_outcomes):
                optimiser.zero_grad()
                loss(network, batch).backward()
                optimiser.step()
        with torch.no_grad():
            found = float(_of_prices(network, unseen))
        if found < least:
            least, best, best_epoch = found, deepcopy(network.state_dict()), epoch
        elif epoch - best_epoch >= settings.patience:
            break
    network.load_state_dict(best)
    return best_epoch


def _of_prices(network: RecurrentLandscape, batch: Batch) -> Tensor:
    return price_loss(network(batch.features), batch.place, batch.ended)


def _of_outcomes(network: RecurrentLandscape, batch: Batch) -> Tensor:
    return outcome_loss(network(batch.features), batch.score, batch.won)
