"""A recurrent landscape: the chance of each bin of prices, bin by bin, from what the network remembers.

    r_l = LSTM([embedded context; b_l], r_(l-1)),    logit h_l = w · r_l + c

The survival of a price is the product of what is left by the bins below it. As the chance of each bin is free, a curve
may have any shape, and another one for each context, which takes many rows to learn. Cost: O(n * bins * hidden *
(hidden + embedded)).

References:
    Ren et al. (2019), "Deep Recurrent Survival Analysis", AAAI, sections 3.2 and 3.3.
    Ren et al. (2019), "Deep Landscape Forecasting for Real-time Bidding Advertising", KDD, section 4.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

START = 0.05
"""Standard deviation of embeddings at first: a feature that is hardly seen says hardly anything."""


@final
class RecurrentLandscape(nn.Module):
    """Log-odds of each bin, for contexts that are sets of features.

    Attributes:
        bins: How many there are.
        padding: Feature number that stands for none; as large as there are features.
    """

    def __init__(self, features: int, bins: int, *, embedded: int = 32, hidden: int = 64) -> None:
        super().__init__()
        self.bins, self.padding = bins, features
        self.embedding = nn.Embedding(features + 1, embedded, padding_idx=features)
        nn.init.normal_(self.embedding.weight, std=START)
        with torch.no_grad():
            self.embedding.weight[features] = 0.0
        self.recurrent = nn.LSTM(embedded + 1, hidden, batch_first=True)
        self.odds = nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (b, L) log-odds.

        Args:
            features: (b, m) feature numbers, padded; their order says nothing.
        """
        context = self.embedding(features).sum(dim=1)
        prices = torch.linspace(-1.0, 1.0, self.bins, device=context.device)
        steps = torch.cat(
            [
                context[:, None, :].expand(-1, self.bins, -1),
                prices[None, :, None].expand(len(context), -1, 1),
            ],
            dim=2,
        )
        states, _ = self.recurrent(steps)
        return self.odds(states)[:, :, 0]


def price_loss(odds: Tensor, place: Tensor, ended: Tensor) -> Tensor:
    """Return the mean of -log P(z in its bin), or in none of those survived where its bin is not known.

    Args:
        odds: (b, L) log-odds.
        place: (b,) bins that a row survived.
        ended: (b,) whether its rival is in the next one.
    """
    next_one = place.clamp(max=odds.shape[1] - 1)[:, None]
    met = functional.logsigmoid(odds).gather(1, next_one)[:, 0] * ended
    return -(met + survival(odds, place)).mean()


def outcome_loss(odds: Tensor, score: Tensor, won: Tensor) -> Tensor:
    """Return the mean of -log P(won) or -log P(lost), whichever it was.

    Args:
        odds: (b, L) log-odds.
        score: (b,) bins below the own score.
        won: (b,) whether it won.
    """
    left = survival(odds, score)
    # of a score in the first bin nothing is known below
    lost = torch.clamp(-torch.expm1(left), min=1e-6).log()
    return -torch.where(won, lost, left).mean()


def survival(odds: Tensor, place: Tensor) -> Tensor:
    """Return (b,) log P(z is in no bin below a place)."""
    below = torch.arange(odds.shape[1], device=odds.device)[None, :] < place[:, None]
    return (functional.logsigmoid(-odds) * below).sum(dim=1)
