"""Rows as vectors: numbers, keys, features of the request and its history, brought to one width.

    x_i = W_2 gelu(W_1 [numbers_i; keys_i; context; history; likeness_i])

The history is the mean of its embeddings. Where rows have a column of the same names, row and history share their
embeddings, and likeness_i is the product of both, at unit length, number by number: in what a row is like what was
looked at before.
All networks begin with it. Cost: O(n * width * (numbers + width)).

References:
    Pei et al. (2019), "Personalized Re-ranking for Recommendation", RecSys, section 4: rows and users as vectors.
    Rendle (2010), "Factorization Machines", ICDM: products of embeddings.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.models.inputs import Sizes

START = 0.05
"""Standard deviation of embeddings at first: a name that is hardly seen says hardly anything."""


@final
class Embedded(nn.Module):
    """Vectors of rows.

    Attributes:
        width: Numbers of a vector.
        embedded: Numbers of an embedding.
    """

    def __init__(
        self, sizes: Sizes, width: int, *, embedded: int = 16, dropout: float = 0.0, forgotten: float = 0.0
    ) -> None:
        """Take sizes of the inputs, numbers of a vector and of an embedding, and the shares that are left out.

        While learning, `dropout` of the numbers are 0, and `forgotten` of the names of rows as if they were not known.
        """
        super().__init__()
        self.width, self.embedded, self.forgotten, self.shared = width, embedded, forgotten, sizes.shared
        self.keys = nn.ModuleList(_table(size, embedded) for size in sizes.keys)
        self.context = nn.ModuleList(_table(size, embedded) for size in sizes.context)
        self.history = _table(sizes.history, embedded) if sizes.history and sizes.shared < 0 else None
        self.has_history = sizes.history > 0
        parts = len(sizes.keys) + len(sizes.context) + self.has_history + (sizes.shared >= 0)
        self.joined = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(sizes.numbers + parts * embedded, width),
            nn.GELU(),
            nn.Linear(width, width),
        )

    def forward(self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor) -> Tensor:
        """Return (b, l, width).

        Args:
            numbers: (b, l, f) float.
            keys: (b, l, m) codes, 0 for none.
            context: (b, c) codes, 0 for none.
            history: (b, h) codes, 0 for none.
        """
        keys = self._remembered(keys)
        rows = [table(keys[:, :, place]) for place, table in enumerate(self.keys)]
        lists = [table(context[:, place]) for place, table in enumerate(self.context)]
        if self.has_history:
            lists.append(self._seen(history))
        parts = [numbers, *rows, *(one[:, None, :].expand(-1, numbers.shape[1], -1) for one in lists)]
        if self.shared >= 0:
            parts.append(_unit(rows[self.shared]) * _unit(lists[-1])[:, None, :] * self.embedded)
        return self.joined(torch.cat(parts, dim=2))

    def _remembered(self, codes: Tensor) -> Tensor:
        """Return codes; while learning, of a share of them as if they were not known."""
        if not (self.training and self.forgotten):
            return codes
        return codes.masked_fill(torch.rand(codes.shape, device=codes.device) < self.forgotten, 0)

    def _seen(self, history: Tensor) -> Tensor:
        """Return (b, embedded) the mean of what was looked at; zeros for nothing."""
        table = self.keys[self.shared] if self.history is None else self.history
        count = (history > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return table(history).sum(dim=1) / count


def _table(size: int, embedded: int) -> nn.Embedding:
    """Return embeddings of names; that of none is 0 and stays so."""
    table = nn.Embedding(size, embedded, padding_idx=0)
    nn.init.normal_(table.weight, std=START)
    with torch.no_grad():
        table.weight[0] = 0.0
    return table


def _unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=-1, eps=1e-6)
