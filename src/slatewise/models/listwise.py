"""Networks that score the rows of a list in sight of each other.

Both are stacks of one block, in which rows look at rows, and each then goes its own way:

    H = LN(X + MHA(X, Y, Y)),    MAB(X, Y) = LN(H + FF(H)),    score_i = w · x_i + v · numbers_i

`PersonalReranker` adds to each row where a first stage put it, and takes X = Y. `SetTransformer` knows no order: with
X = Y, or through m points of its own, MAB(X, MAB(points, X)), permuting rows permutes scores. Rows that only fill up a
list are looked at by nobody. At first, w is 0, and v is 1 for the score of a first stage: a network begins as the order
that it is given. Cost: O(blocks * (n^2 * width + n * width^2)); through points, m stands for one n of n^2.

References:
    Pei et al. (2019), "Personalized Re-ranking for Recommendation", RecSys, section 4.
    Pang et al. (2020), "SetRank: Learning a Permutation-Invariant Ranking Model for Information Retrieval", SIGIR.
    Lee et al. (2019), "Set Transformer", ICML: points that stand for a set.
"""

from __future__ import annotations

from math import sqrt
from typing import final

import torch
from torch import Tensor, nn

from slatewise.models.embedding import START, Embedded
from slatewise.models.inputs import Sizes

UNSEEN = -1e9
"""Logit of what is not looked at; finite, so that a list of nothing has scores."""


@final
class PersonalReranker(nn.Module):
    """Scores of rows, from the rows, who asks, and the order in which they came.

    Attributes:
        places: Places that are told apart; those beyond count as the last.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        width: int = 64,
        blocks: int = 2,
        heads: int = 2,
        hidden: int = 128,
        embedded: int = 16,
        dropout: float = 0.1,
        forgotten: float = 0.0,
    ) -> None:
        super().__init__()
        self.places = sizes.position
        self.embedded = Embedded(sizes, width, embedded=embedded, dropout=dropout, forgotten=forgotten)
        self.position = _positions(sizes.position, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
        self.score, self.plain = _heads(sizes, width)

    def forward(self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return (b, l) scores; 0 where there is no row.

        Args:
            numbers: (b, l, f) float, rows in the order of a first stage.
            keys: (b, l, m) codes.
            context: (b, c) codes.
            history: (b, h) codes.
            mask: (b, l) bool, where there is a row.
        """
        rows = self.vectors(numbers, keys, context, history, mask)
        return (self.score(rows) + self.plain(numbers))[:, :, 0].masked_fill(~mask, 0.0)

    def vectors(self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return (b, l, width) what is scored. Arguments are as of `forward`."""
        rows = self.embedded(numbers, keys, context, history) + _placed(self.position, mask, self.places)
        for block in self.blocks:
            rows = block(rows, rows, mask)
        return rows


@final
class SetTransformer(nn.Module):
    """Scores of the rows of a set.

    Attributes:
        places: As of `PersonalReranker`; 0 if it is a set, in which rows have no places.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        width: int = 64,
        blocks: int = 2,
        heads: int = 2,
        hidden: int = 128,
        embedded: int = 16,
        points: int = 0,
        ordinal: int = 0,
        dropout: float = 0.1,
        forgotten: float = 0.0,
    ) -> None:
        """Take, besides what is as of `PersonalReranker`, how many points there are, and places that are told apart."""
        super().__init__()
        self.places = ordinal
        self.embedded = Embedded(sizes, width, embedded=embedded, dropout=dropout, forgotten=forgotten)
        self.position = _positions(ordinal, width) if ordinal else None
        self.points = nn.ParameterList(nn.Parameter(torch.randn(points, width)) for _ in range(blocks if points else 0))
        self.inner = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in self.points)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
        self.score, self.plain = _heads(sizes, width)

    def forward(self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Return (b, l) scores; 0 where there is no row. Arguments are as of `PersonalReranker`."""
        rows = self.embedded(numbers, keys, context, history)
        if self.position is not None:
            rows = rows + _placed(self.position, mask, self.places)
        for place, block in enumerate(self.blocks):
            if len(self.points):
                points = self.points[place].expand(rows.shape[0], -1, -1)  # a length that is traced
                there = torch.ones_like(points[:, :, 0], dtype=torch.bool)
                rows = block(rows, self.inner[place](points, rows, mask), there)
            else:
                rows = block(rows, rows, mask)
        return (self.score(rows) + self.plain(numbers))[:, :, 0].masked_fill(~mask, 0.0)


@final
class Block(nn.Module):
    """Rows that look at rows, and then go their own way.

    Attributes:
        heads: Looks at once, each with its share of the width.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(width, width)
        self.seen = nn.Linear(width, 2 * width)
        self.merged = nn.Linear(width, width)
        self.own = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """Return (b, l, width).

        Args:
            rows: (b, l, width) that look.
            others: (b, k, width) that are looked at.
            mask: (b, k) bool, which of these are there.
        """
        rows = self.first(rows + self.dropout(self._looked(rows, others, mask)))
        return self.second(rows + self.dropout(self.own(rows)))

    def _looked(self, rows: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        queries = self._by_head(self.queries(rows))
        keys, values = (self._by_head(part) for part in self.seen(others).chunk(2, dim=2))
        logits = queries @ keys.transpose(2, 3) / sqrt(queries.shape[3])
        weights = torch.softmax(logits.masked_fill(~mask[:, None, None, :], UNSEEN), dim=3)
        return self.merged((weights @ values).transpose(1, 2).flatten(2))

    def _by_head(self, vectors: Tensor) -> Tensor:
        """Return (b, heads, l, width / heads)."""
        return vectors.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _heads(sizes: Sizes, width: int) -> tuple[nn.Linear, nn.Linear]:
    """Return what makes scores of vectors and of numbers; at first, scores are those of the first stage."""
    vectors, numbers = nn.Linear(width, 1), nn.Linear(sizes.numbers, 1, bias=False)
    for head in (vectors, numbers):
        for weights in head.parameters():
            nn.init.zeros_(weights)
    if sizes.first >= 0:
        with torch.no_grad():
            numbers.weight[0, sizes.first] = 1.0
    return vectors, numbers


def _positions(places: int, width: int) -> nn.Embedding:
    positions = nn.Embedding(places, width)
    nn.init.normal_(positions.weight, std=START)
    return positions


def _placed(positions: nn.Embedding, mask: Tensor, places: int) -> Tensor:
    """Return (l, width) the vectors of the places of a list."""
    return positions(torch.arange(mask.shape[1], device=mask.device).clamp(max=places - 1))
