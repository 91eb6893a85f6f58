"""A network that scores all rows for all slots at once.

    h_i = row i in sight of all candidates,    q_t = slot t after it has looked at them
    logit_(t, i) = q_t · W h_i / sqrt(width),    P_t = softmax over rows

Nothing is worked out slot by slot, so that a page takes one run however long it is. What slots cannot know of each
other, that a row of one kind was just shown, is left to whoever takes rows off these chances: `vectors` say how alike
rows are. Cost: O(n^2 * width + k * n * width).

References:
    Ren et al. (2024), "Non-autoregressive Generative Models for Reranking Recommendation", KDD, section 4.
"""

from __future__ import annotations

from math import sqrt
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.models.embedding import START, Embedded
from slatewise.models.inputs import Sizes
from slatewise.models.listwise import UNSEEN, Block


@final
class ParallelNetwork(nn.Module):
    """Log-odds of rows for slots.

    Attributes:
        slots: How many slots there are.
    """

    def __init__(
        self,
        sizes: Sizes,
        slots: int,
        *,
        width: int = 32,
        blocks: int = 1,
        heads: int = 2,
        hidden: int = 64,
        embedded: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.slots = slots
        self.embedded = Embedded(sizes, width, embedded=embedded, dropout=dropout)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
        self.queries = nn.Parameter(torch.randn(slots, width) * START)
        self.look = Block(width, heads, hidden, dropout)
        self.matched = nn.Linear(width, width)

    def forward(
        self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (b, slots, n) log-odds, very small where there is no row, and (b, n, width) vectors of unit length.

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
        slots = self.look(self.queries.expand(rows.shape[0], -1, -1), rows, mask)
        logits = slots @ self.matched(rows).transpose(1, 2) / sqrt(rows.shape[2])
        vectors = functional.normalize(rows, dim=-1, eps=1e-6)
        return logits.masked_fill(~mask[:, None, :], UNSEEN), vectors
