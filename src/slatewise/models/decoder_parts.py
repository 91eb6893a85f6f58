"""What a decoder is made of: candidates as vectors, what is expected of them alone and in pairs, and looks.

Nothing here knows of slots but by what it is given. Cost: of each part, in its own words; none is larger than a look of
all candidates at each other, O(n^2 * d).

References:
    Vaswani et al. (2017), "Attention is all you need", NeurIPS.
    Cheng et al. (2016), "Wide & deep learning for recommender systems", DLRS: numbers that are added as they are.
    Rendle (2010), "Factorization machines", ICDM: products of what two rows are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from slatewise.models.inputs import Sizes
from slatewise.models.listwise import PersonalReranker

MOST_ADS, FAR = 3, 6
"""Ads above and slots since the last of them, from which on more make no difference."""

STATES = 1 + MOST_ADS * FAR
"""0 for no ad above; else 1 + (ads above - 1) * 6 + (slots since the last one - 1)."""


class Shape(NamedTuple):
    """How large the network is.

    Attributes:
        slots: The longest page, >= 1.
        width: Numbers of a token, a multiple of `heads`.
        layers: Causal layers, >= 1.
        heads: Heads that look at all slots above, >= 1.
        bands: Further heads, each of which looks at so many slots, its own among them.
        hidden: Width of the layers between attention, >= 1.
        experts: Experts in each of three groups; 0 for no gates.
        around: Layers in which candidates look at each other before they are placed, >= 0.
        crossed: Heads with which a placed candidate looks at history and candidates; 0 for none.
        ranks: How many places of the incoming order are told apart; 0 if the order says nothing.
        bound: The most that context moves a logit, > 0; infinite for any.
        forgotten: Share of names that count as not known while learning, in [0, 1): names that are learned by heart say
            nothing of lists to come.
        embedded: For lists that are only to be ranked: what is expected without context is what a `PersonalReranker` of
            so many numbers for a name says of a row, alike in all slots, with `around` blocks; 0 for pages.
        dropout: Of that and of context, the share of numbers that is left out while learning, in [0, 1).
    """

    slots: int = 12
    width: int = 64
    layers: int = 2
    heads: int = 4
    bands: tuple[int, ...] = (4, 6)
    hidden: int = 128
    experts: int = 4
    around: int = 1
    crossed: int = 4
    ranks: int = 0
    bound: float = 1.0
    forgotten: float = 0.5
    embedded: int = 0
    dropout: float = 0.0


START = -1.0
"""Log-odds of the share of the bound that amplitudes begin with: enough for context to be learned at all."""


STAYS = -8.0
"""Log-odds of leaving a list of which that is not known."""


PAIRED = 100
"""Names of a column, at most, of which pairs are looked at: of more, hardly any pair is seen twice."""


@final
class Pairs(nn.Module):
    """What rows gain or lose by the row directly above, or two above: pair_ij = w · (z_i z_j), by line of row i."""

    def __init__(self, sizes: Sizes, embedded: int = 4) -> None:
        super().__init__()
        self.places = [place for place, size in enumerate(sizes.keys) if size <= PAIRED]
        self.keys = nn.ModuleList(_embedding(sizes.keys[place], embedded, 0.5) for place in self.places)
        many = sizes.numbers + embedded * len(self.places)
        self.weights = nn.Parameter(torch.zeros(many, 2 * 3))

    def taste(self, numbers: Tensor, keys: Tensor) -> Tensor:
        """Return (b, n, m) what rows are."""
        known = (table(keys[:, :, place]) for place, table in zip(self.places, self.keys, strict=True))
        return torch.cat([numbers, *known], dim=-1)

    def forward(self, below: Tensor, is_ad: Tensor, above: Tensor) -> Tensor:
        """Return (..., 3) for a click and for leaving below a row, and for a click two below it.

        Args:
            below: (..., m) what rows are.
            is_ad: (...) which of them are ads.
            above: (..., m) what stands above.
        """
        found = ((below * above) @ self.weights).unflatten(-1, (2, 3))
        line = is_ad[..., None].to(found)
        return (1.0 - line) * found[..., 0, :] + line * found[..., 1, :]


@final
class Items(nn.Module):
    """Candidates as vectors: what they are, for whom, and among which others."""

    def __init__(self, sizes: Sizes, shape: Shape) -> None:
        super().__init__()
        width, self.forgotten = shape.width, shape.forgotten
        self.numbers = nn.Linear(sizes.numbers, width)
        self.keys = nn.ModuleList(_embedding(size, width) for size in sizes.keys)
        self.context = nn.ModuleList(_embedding(size, width) for size in sizes.context)
        self.shared, self.reads_history = sizes.shared, sizes.history > 0
        self.history = _embedding(sizes.history, width) if self.reads_history and sizes.shared < 0 else None
        self.ad = nn.Parameter(0.1 * torch.randn(width))
        self.ranks = _embedding(shape.ranks + 1, width) if shape.ranks else None
        self.around = nn.ModuleList(Around(width, shape.heads, shape.hidden) for _ in range(shape.around))
        self.last = nn.LayerNorm(width)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return (b, n, d) candidates, (b, m, d) what they may look at, and (b, 1, 1, m) which of that is there."""
        mask = batch["mask"]
        items = self.numbers(batch["numbers"]) + batch["is_ad"][:, :, None].to(self.ad) * self.ad
        for place, table in enumerate(self.keys):
            items = items + table(self._remembered(batch["keys"][:, :, place]))
        for place, table in enumerate(self.context):
            items = items + table(batch["context"][:, place])[:, None]
        if self.ranks is not None:
            rank = (mask.long().cumsum(1)).clamp(max=self.ranks.num_embeddings - 1)
            items = items + self.ranks(rank * ~batch["is_ad"].bool())
        seen, memory = mask, items
        if self.reads_history:
            past = (self.keys[self.shared] if self.history is None else self.history)(batch["history"])
            seen = torch.cat([mask, batch["history"] > 0], dim=1)
            memory = torch.cat([items, past], dim=1)
        hidden = torch.where(seen, 0.0, -math.inf)[:, None, None].to(items)
        for layer in self.around:
            memory = layer(memory, hidden)
        memory = self.last(memory)
        return memory[:, : mask.shape[1]], memory, hidden

    def _remembered(self, codes: Tensor) -> Tensor:
        """Return codes, some of them as not known while learning."""
        if not self.training or self.forgotten == 0:
            return codes
        return codes * (torch.rand(codes.shape, device=codes.device) >= self.forgotten)


@final
class Listed(nn.Module):
    """Candidates as a reranker sees them, and clicks as it scores them: alike in all slots; and nobody leaves."""

    def __init__(self, sizes: Sizes, shape: Shape) -> None:
        super().__init__()
        self.reranker = PersonalReranker(
            sizes,
            width=shape.width,
            blocks=shape.around,
            heads=shape.heads,
            hidden=shape.hidden,
            embedded=shape.embedded,
            dropout=shape.dropout,
            forgotten=shape.forgotten,
        )
        self.width = _widths(shape.width)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `Items` returns; there is nothing but candidates to look at."""
        mask = batch["mask"]
        items = self.reranker.vectors(*(batch[name] for name in ("numbers", "keys", "context", "history", "mask")))
        return items, items, torch.where(mask, 0.0, -math.inf)[:, None, None].to(items)

    def expected(self, token: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `Ground` returns."""
        click = (self.reranker.score(token) + self.reranker.plain(numbers)).expand(*token.shape[:-1], STATES)
        return click, 0.0 * click + STAYS, self.width(token)


@final
class Ground(nn.Module):
    """What is expected of a row in a slot by state, whatever else stands above; and how far that may be wrong."""

    def __init__(self, width: int, numbers: int, inner: int = 32) -> None:
        super().__init__()
        self.inner = inner
        self.wide = nn.Linear(numbers, 2, bias=False)
        nn.init.zeros_(self.wide.weight)
        self.hidden = nn.Linear(width, 2 * inner)
        self.click, self.leave = nn.Linear(inner, STATES), nn.Linear(inner, STATES)
        self.width = _widths(2 * inner)

    def forward(self, token: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (..., S) log-odds of clicks and of leaving, and (..., 2) log-odds of the share of the bound."""
        hidden, wide = torch.relu(self.hidden(token)), self.wide(numbers)
        click, leave = self.click(hidden[..., : self.inner]), self.leave(hidden[..., self.inner :])
        return click + wide[..., :1], leave + wide[..., 1:], self.width(hidden)


@final
class Attention(nn.Module):
    """Rows that look at others."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.each = heads, width // heads
        self.query, self.pair = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, asking: Tensor, asked: Tensor, hidden: Tensor) -> Tensor:
        """Return (b, s, d) what (b, s, d) rows make of (b, m, d) others, but for those with minus infinity."""
        query = self.query(asking).unflatten(-1, (self.heads, self.each)).transpose(1, 2)
        key, value = self.pair(asked).unflatten(-1, (2, self.heads, self.each)).permute(2, 0, 3, 1, 4)
        share = (query @ key.transpose(2, 3) * self.each**-0.5 + hidden).softmax(dim=-1)
        return self.out((share @ value).transpose(1, 2).flatten(2))


@final
class Around(nn.Module):
    """Candidates that look at each other, in whatever order they come."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = _feed(width, hidden)

    def forward(self, items: Tensor, hidden: Tensor) -> Tensor:
        """Return (b, m, d) rows; those with minus infinity in (b, 1, 1, m) are looked at by none."""
        found = self.first(items)
        items = items + self.attention(found, found, hidden)
        return items + self.feed(self.second(items))


@final
class Block(nn.Module):
    """Slots that look at those above, and remember what they looked like."""

    def __init__(self, width: int, heads: int, each: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.each, self.dropout = heads, each, nn.Dropout(dropout)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.all = nn.Linear(width, 3 * heads * each)
        self.out = nn.Linear(heads * each, width)
        self.feed = _feed(width, hidden)

    def forward(self, slots: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (b, s, d) slots, and (b, heads, s, dh) their own keys and values."""
        found = self.all(self.first(slots)).unflatten(-1, (3, self.heads, self.each))
        query, key, value = found.permute(2, 0, 3, 1, 4)
        above = keys.shape[2]
        scores = torch.cat([query @ keys.transpose(2, 3), query @ key.transpose(2, 3)], dim=-1) * self.each**-0.5
        share = (scores + mask).softmax(dim=-1)
        looked = share[..., :above] @ values + share[..., above:] @ value
        slots = slots + self.dropout(self.out(looked.transpose(1, 2).flatten(2)))
        return slots + self.dropout(self.feed(self.second(slots))), key, value


def states(is_ad: Tensor) -> Tensor:
    """Return (b, k) the state of each slot.

    Args:
        is_ad: (b, k) whether an ad stands in it.
    """
    ads = is_ad.bool()
    slot = torch.arange(ads.shape[1]).expand(ads.shape)
    last = torch.where(ads, slot, -1).cummax(dim=1).values.roll(1, dims=1)
    above = (ads.long().cumsum(dim=1) - ads.long()).clamp(max=MOST_ADS)
    return torch.where(above > 0, 1 + (above - 1) * FAR + (slot - last).clamp(max=FAR) - 1, 0)


def _widths(inner: int) -> nn.Linear:
    """Return what makes log-odds of amplitudes, all alike at first."""
    widths = nn.Linear(inner, 2)
    nn.init.zeros_(widths.weight)
    nn.init.constant_(widths.bias, START)
    return widths


def _embedding(size: int, width: int, spread: float = 0.1) -> nn.Embedding:
    table = nn.Embedding(size, width, padding_idx=0)
    with torch.no_grad():
        table.weight.mul_(spread)
    return table


def _feed(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
