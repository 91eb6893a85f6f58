"""A pointer network: pages made row by row, each step knowing what stands above.

    e_i = row i in sight of all candidates,    d_t = LSTM(e of the row above, d_(t-1))
    logit_(t, i) = v · tanh(W_e e_i + W_d d_t),    P(x_t | x_<t) = softmax over rows that may come next

What the candidates are is worked out once (`encode`); a step (`step`) is one cell of the recurrent network and n dot
products, so that rules are kept by whoever takes the steps. The cell begins with the mean of the candidates. Cost:
O(n^2 * width) to begin with, and O(n * width + width^2) a step.

References:
    Vinyals, Fortunato & Jaitly (2015), "Pointer Networks", NeurIPS.
    Bello et al. (2018), "Seq2Slate: Re-ranking and Slate Optimization with RNNs".
"""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from slatewise.models.embedding import START, Embedded
from slatewise.models.inputs import Sizes
from slatewise.models.listwise import UNSEEN, Block


class Encoded(NamedTuple):
    """Candidates, and where the first step begins.

    Attributes:
        vectors: (b, n, width) rows in sight of all.
        keys: (b, n, width) what steps look at of them.
        hidden: (b, width) what is remembered at first.
        cell: (b, width) the same.
        last: (b, width) what stands above the first slot.
    """

    vectors: Tensor
    keys: Tensor
    hidden: Tensor
    cell: Tensor
    last: Tensor


@final
class PointerNetwork(nn.Module):
    """Log-odds of the next row."""

    def __init__(
        self,
        sizes: Sizes,
        *,
        width: int = 32,
        blocks: int = 1,
        heads: int = 2,
        hidden: int = 64,
        embedded: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.embedded = Embedded(sizes, width, embedded=embedded, dropout=dropout)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
        self.top = nn.Parameter(torch.randn(width) * START)
        self.begin = nn.Linear(width, width)
        self.gates = nn.Linear(2 * width, 4 * width)
        self.keys, self.query, self.odds = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, mask: Tensor) -> Encoded:
        """Return the candidates, encoded.

        Args:
            numbers: (b, n, f) float.
            keys: (b, n, m) codes.
            context: (b, c) codes.
            history: (b, h) codes.
            mask: (b, n) bool, where there is a row.
        """
        rows = self.embedded(numbers, keys, context, history)
        for block in self.blocks:
            rows = block(rows, rows, mask)
        there = mask[:, :, None].to(rows.dtype)
        mean = (rows * there).sum(dim=1) / there.sum(dim=1).clamp(min=1.0)
        hidden = torch.tanh(self.begin(mean))
        return Encoded(rows, self.keys(rows), hidden, torch.zeros_like(hidden), self.top + torch.zeros_like(hidden))

    def step(self, keys: Tensor, hidden: Tensor, cell: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (b, n) log-odds of the next row, and what is remembered then.

        Args:
            keys: (b, n, width) of the candidates.
            hidden: (b, width) what is remembered.
            cell: (b, width) the same.
            last: (b, width) vector of the row above.
        """
        taken, kept, given, new = self.gates(torch.cat([last, hidden], dim=1)).chunk(4, dim=1)
        cell = torch.sigmoid(kept + 1.0) * cell + torch.sigmoid(taken) * torch.tanh(new)
        hidden = torch.sigmoid(given) * torch.tanh(cell)
        return self.odds(torch.tanh(keys + self.query(hidden)[:, None, :]))[:, :, 0], hidden, cell

    def followed(self, encoded: Encoded, mask: Tensor, paths: Tensor) -> Tensor:
        """Return (b, k, n) the logarithm of how likely each row comes next along given pages.

        Args:
            encoded: The candidates.
            mask: (b, n) bool, where there is a row.
            paths: (b, k) long, rows of each page; each row at most once.
        """
        _, keys, hidden, cell, last = encoded
        free, found = mask, []
        for slot in range(paths.shape[1]):
            logits, hidden, cell = self.step(keys, hidden, cell, last)
            found.append(torch.log_softmax(logits.masked_fill(~free, UNSEEN), dim=1))
            row = paths[:, slot]
            last = encoded.vectors[torch.arange(len(row), device=row.device), row]
            free = free.scatter(1, row[:, None], False)
        return torch.stack(found, dim=1)

    def walked(self, encoded: Encoded, mask: Tensor, slots: int, noise: Tensor) -> Tensor:
        """Return (b, slots) pages: by noise of Gumbel's kind drawn, without any the likeliest row at each step.

        Args:
            encoded: The candidates.
            mask: (b, n) bool, where there is a row; at least `slots` of them.
            slots: Rows of a page.
            noise: (b, slots, n) what is added to log-odds.
        """
        _, keys, hidden, cell, last = encoded
        free, found = mask, []
        for slot in range(slots):
            logits, hidden, cell = self.step(keys, hidden, cell, last)
            row = (logits + noise[:, slot]).masked_fill(~free, UNSEEN).argmax(dim=1)
            found.append(row)
            last = encoded.vectors[torch.arange(len(row), device=row.device), row]
            free = free.scatter(1, row[:, None], False)
        return torch.stack(found, dim=1)


@final
class PointerStep(nn.Module):
    """A step as a network of its own, to be served.

    Attributes:
        network: The network.
    """

    def __init__(self, network: PointerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, keys: Tensor, hidden: Tensor, cell: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `PointerNetwork.step` does."""
        return self.network.step(keys, hidden, cell, last)
