"""What becomes of a page as a whole: how likely each slot is seen, and clicked if it is, in sight of all others.

    seen_t = prod_{j <= t} (1 - leave_j),    leave_t = sigmoid(w_l · h_t + b)
    click_t = sigmoid(w_x · x_t + a_t + p_t + w_h · h_t)

x_t is the row, a_t a sum over its numbers and keys, p_t a level of the slot, and h_t the row in its slot after it was
compared with those right above and below, and has looked at the page. So a click is what row and slot are good for
alone, and what the others add. That a slot is seen never becomes likelier further down, however little was learned.

What was clicked above may be given, too: how far above the last click was, how many there were, and on what. That says
how likely the clicks of a log are, one by one; pages that nobody has seen yet are judged without it. Cost: O(blocks *
(k^2 * width + k * width^2)).

References:
    Craswell, Zoeter, Taylor & Ramsey (2008), "An experimental comparison of click position-bias models", WSDM.
    Huzhang et al. (2021), "AliExpress Learning-To-Rank: Maximizing Online Model Performance without Going Online".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.models.embedding import START, Embedded
from slatewise.models.inputs import Sizes
from slatewise.models.listwise import Block

NEAR = (1, 2, -1)
"""How many slots above rows stand that a row is compared with; negative for below."""


class Read(NamedTuple):
    """A page, read.

    Attributes:
        alone: (b, l) log-odds of a click by row and slot alone.
        rows: (b, l, width) rows in sight of the page.
    """

    alone: Tensor
    rows: Tensor


@final
class Evaluator(nn.Module):
    """Log-odds of slots of pages.

    Attributes:
        places: Slots that are told apart; those beyond count as the last.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        width: int = 32,
        blocks: int = 1,
        heads: int = 2,
        hidden: int = 64,
        embedded: int = 32,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.places = sizes.position
        self.embedded = Embedded(sizes, width, embedded=embedded, dropout=dropout)
        self.position = _small(sizes.position, width)
        self.pairs = nn.Linear(width, width)
        self.near = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in NEAR)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
        self.row, self.place = nn.Linear(width, 1), _small(sizes.position, 1)
        self.names = nn.ModuleList(_small(size, 1) for size in sizes.keys)
        self.numbers = nn.Parameter(torch.zeros(sizes.numbers))
        self.click, self.leave = nn.Linear(width, 1), nn.Linear(width, 1)
        nn.init.constant_(self.leave.bias, -3.0)  # nobody leaves at once
        self.since, self.count = _small(sizes.position**2, width), _small(sizes.position, width)
        self.above = nn.Linear(width, width)
        self.after = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, mask: Tensor) -> Read:
        """Return the pages, read.

        Args:
            numbers: (b, l, f) float, rows in the order of their slots.
            keys: (b, l, m) codes.
            context: (b, c) codes.
            history: (b, h) codes.
            mask: (b, l) bool, where there is a row.
        """
        slots = torch.arange(mask.shape[1], device=mask.device).clamp(max=self.places - 1)
        alone = self.embedded(numbers, keys, context, history)
        rows = alone + self.position(slots) + self._beside(alone, mask)
        for block in self.blocks:
            rows = block(rows, rows, mask)
        levels = self.row(alone)[:, :, 0] + (numbers * self.numbers).sum(dim=2)
        for at, table in enumerate(self.names):
            levels = levels + table(keys[:, :, at])[:, :, 0]
        return Read(levels + self.place(slots)[:, 0], rows)

    def _beside(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return (b, l, width) what rows make of those right above and below: of products, number by number."""
        factors = self.pairs(rows) * mask[:, :, None]
        found = torch.zeros_like(rows)
        for distance, weights in zip(NEAR, self.near, strict=True):
            if distance > 0:
                other = functional.pad(factors, (0, 0, distance, 0))[:, :-distance]
            else:
                other = functional.pad(factors, (0, 0, 0, -distance))[:, -distance:]
            found = found + weights(factors * other)
        return found

    def clicks(self, read: Read) -> Tensor:
        """Return (b, l) log-odds of a click on a slot that is seen."""
        return read.alone + self.click(read.rows)[:, :, 0]

    def seen(self, read: Read) -> Tensor:
        """Return (b, l) the logarithm of how likely a slot is seen."""
        return functional.logsigmoid(-self.leave(read.rows)[:, :, 0]).cumsum(dim=1)

    def given(self, read: Read, clicked: Tensor) -> Tensor:
        """Return (b, l) log-odds of a click on a slot that is seen, given what was clicked above.

        Args:
            read: The pages.
            clicked: (b, l) 1 where it was clicked, else 0.
        """
        length = clicked.shape[1]
        slots = torch.arange(length, device=clicked.device)
        last = torch.where(clicked > 0, slots + 1, 0).cummax(dim=1).values
        last = functional.pad(last[:, :-1], (1, 0))
        since = torch.where(last > 0, slots + 1 - last, 0).clamp(max=self.places - 1)
        counts = (clicked.cumsum(dim=1) - clicked).long().clamp(max=self.places - 1)
        values = self.above(read.rows) * clicked[:, :, None]
        above = values.cumsum(dim=1) - values
        told = self.since(slots.clamp(max=self.places - 1) * self.places + since) + self.count(counts)
        return read.alone + self.after(read.rows + told + above)[:, :, 0]


@final
class Ensemble(nn.Module):
    """Evaluators that differ in what they were learned from, or in what they began with.

    Attributes:
        learned: Each of them.
        seen_power: What the logarithm of being seen is multiplied by, so that it is right on the whole, >= 0.
        click_scale: What log-odds of a click are multiplied by, > 0.
        click_shift: What is added to them.
    """

    seen_power: Tensor
    click_scale: Tensor
    click_shift: Tensor

    def __init__(self, members: Sequence[Evaluator]) -> None:
        super().__init__()
        self.learned = tuple(members)
        self.members = nn.ModuleList(members)
        self.register_buffer("seen_power", torch.ones(1))
        self.register_buffer("click_scale", torch.ones(1))
        self.register_buffer("click_shift", torch.zeros(1))

    def forward(
        self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (members, b, l) how likely slots are seen, and how likely they are clicked if they are."""
        seen: list[Tensor] = []
        click: list[Tensor] = []
        for one in self.learned:
            read = one(numbers, keys, context, history, mask)
            seen.append((one.seen(read) * self.seen_power).exp())
            click.append(torch.sigmoid(one.clicks(read) * self.click_scale + self.click_shift))
        return torch.stack(seen), torch.stack(click)


def _small(size: int, width: int) -> nn.Embedding:
    table = nn.Embedding(size, width)
    nn.init.normal_(table.weight, std=START)
    return table
