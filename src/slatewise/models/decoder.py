"""Clicks and leaving on a page, slot by slot, each from what stands above: a network with two ways to be asked.

    token_r,t   = item_r + place_t + attention(item_r + place_t -> history and candidates)
    logit_t     = base(token_r,t, state_t) + pairs(rows directly above) + amplitude(token_r,t) * tanh(context_t)
    context_t   = experts(causal layers(token_1, ..., token_t))
    p_exposed,t = prod_{j<t} (1 - p_leave,j)

`prepare` looks at each candidate in each slot, once per request; `extend` looks at slots below a prefix, once for all
pages that share it. The state counts the ads above and how far the last one is, and pairs say what the rows directly
above do; so the ground, base and pairs, knows of ad load and of neighbours for every page without asking. Context may
move a logit by no more than the amplitude: what a page can be worth has a bound before it is looked at. Nothing above a
slot depends on what stands below it, so that pages share whatever they share from the top.
Cost: `prepare` O(n * L * (n + h + d) * d), `extend` O(layers * s * d * (d + p + s)) for s slots below p.

References:
    Vaswani et al. (2017), "Attention is all you need", NeurIPS; Beltagy et al. (2020), "Longformer": windows.
    arXiv 2603.04227 (2026), "Constraint-aware generative reranking": causal and local attention, user-item attention.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from slatewise.models.decoder_parts import Attention, Block, Ground, Items, Listed, Pairs, Shape, states
from slatewise.models.inputs import Sizes
from slatewise.models.ple import Experts


class Prepared(NamedTuple):
    """What each row is in each slot.

    Attributes:
        token: (b, n, L, e) what `extend` takes.
        click: (b, n, L, S) base log-odds of a click, by state.
        leave: (b, n, L, S) of leaving after the slot.
        click_amplitude: (b, n, L) how far context may move them, >= 0.
        leave_amplitude: (b, n, L) the same for leaving.
        pair_click: (b, n, n) what a click on row i gains when row j stands directly above it.
        pair_leave: (b, n, n) the same for leaving.
        pair_click_2: (b, n, n) what a click gains when row j stands two above.
    """

    token: Tensor
    click: Tensor
    leave: Tensor
    click_amplitude: Tensor
    leave_amplitude: Tensor
    pair_click: Tensor
    pair_leave: Tensor
    pair_click_2: Tensor


class Extended(NamedTuple):
    """What slots add to a prefix.

    Attributes:
        click: (b, s) context, before it is bounded.
        leave: (b, s) the same for leaving.
        keys: (layers, b, heads, s, dh) to put below the prefix.
        values: (layers, b, heads, s, dh) likewise.
    """

    click: Tensor
    leave: Tensor
    keys: Tensor
    values: Tensor


class Logits(NamedTuple):
    """What a page is expected to do, slot by slot, each (b, k).

    Attributes:
        click: Log-odds of a click where the slot is looked at.
        leave: Log-odds of leaving after it.
        click_ground: The former, without context.
        leave_ground: The latter, without context.
        click_amplitude: How far context may move the former.
        leave_amplitude: How far it may move the latter.
    """

    click: Tensor
    leave: Tensor
    click_ground: Tensor
    leave_ground: Tensor
    click_amplitude: Tensor
    leave_amplitude: Tensor


@final
class Decoder(nn.Module):
    """Clicks and leaving, slot by slot.

    Attributes:
        sizes: What comes in.
        shape: How large it is.
    """

    def __init__(self, sizes: Sizes, shape: Shape | None = None) -> None:
        super().__init__()
        shape = shape or Shape()
        self.sizes, self.shape = sizes, shape
        width = shape.width
        self.items = Listed(sizes, shape) if shape.embedded else Items(sizes, shape)
        self.place = nn.Parameter(0.1 * torch.randn(shape.slots, width))
        self.cross = Attention(width, shape.crossed) if shape.crossed else None
        self.ground = None if shape.embedded else Ground(width, sizes.numbers)
        self.pairs = Pairs(sizes)
        heads, each = shape.heads + len(shape.bands), width // shape.heads
        self.blocks = nn.ModuleList(Block(width, heads, each, shape.hidden, shape.dropout) for _ in range(shape.layers))
        self.last = nn.LayerNorm(width)
        self.experts = Experts(width, each=shape.experts)
        if shape.embedded:
            self._start()
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("shift", torch.zeros(2, shape.slots))

    def prepare(self, batch: Mapping[str, Tensor]) -> Prepared:
        """Return what each candidate is in each slot.

        Args:
            batch: numbers (b, n, f), keys (b, n, m), context (b, c), history (b, h), is_ad (b, n), mask (b, n).
        """
        items, memory, seen = self.items(batch)
        token = self._placed(items[:, :, None] + self.place, memory, seen)
        click, leave, click_amplitude, leave_amplitude = self._grounds(token, batch["numbers"][:, :, None], self.shift)
        taste, is_ad = self.pairs.taste(batch["numbers"], batch["keys"]), batch["is_ad"]
        pairs = self.pairs(taste[:, :, None], is_ad[:, :, None], taste[:, None])
        return Prepared(
            token,
            click,
            leave,
            click_amplitude,
            leave_amplitude,
            self.scale[0] * pairs[..., 0],
            self.scale[1] * pairs[..., 1],
            self.scale[0] * pairs[..., 2],
        )

    def extend(self, token: Tensor, prefix_keys: Tensor, prefix_values: Tensor, mask: Tensor) -> Extended:
        """Return what slots below a prefix add to it.

        Args:
            token: (b, s, e) tokens of the rows in these slots.
            prefix_keys: (layers, b or 1, heads, p, dh) of the slots above.
            prefix_values: (layers, b or 1, heads, p, dh) likewise.
            mask: (b or 1, heads, s, p + s) 0 where a slot may look at another, minus infinity where not.
        """
        hidden, keys, values = self._layers(token, prefix_keys, prefix_values, mask)
        click, leave = self.experts(self.last(hidden))
        return Extended(click, leave, keys, values)

    def forward(self, batch: Mapping[str, Tensor]) -> Logits:
        """Return the log-odds of whole pages.

        Args:
            batch: As for `prepare`, and page (b, k) rows in serving order.
        """
        page, token = batch["page"], self._page(batch)
        slots, is_ad = page.shape[1], batch["is_ad"].gather(1, page)
        grounds = self._grounds(token, _at(batch["numbers"], page), self.shift[:, :slots])
        click, leave = (ground.gather(2, states(is_ad)[:, :, None])[:, :, 0] for ground in grounds[:2])
        taste = _at(self.pairs.taste(batch["numbers"], batch["keys"]), page)
        above = self.pairs(taste[:, 1:], is_ad[:, 1:], taste[:, :-1])
        above_two = self.pairs(taste[:, 2:], is_ad[:, 2:], taste[:, :-2])
        click = click + self.scale[0] * (pad(above[..., 0], (1, 0)) + pad(above_two[..., 2], (2, 0)))
        leave = leave + self.scale[1] * pad(above[..., 1], (1, 0))
        hidden = self._layers(token, *self.nothing, self.mask(0, slots))[0]
        found = self.experts(self.last(hidden))
        return Logits(
            click + grounds[2] * self.bounded(found[0]),
            leave + grounds[3] * self.bounded(found[1]),
            click,
            leave,
            grounds[2],
            grounds[3],
        )

    def alone(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return (b, n) log-odds of a click on each row at the top of a page, without context.

        Args:
            batch: As for `prepare`.
        """
        items, memory, seen = self.items(batch)
        token = self._placed(items + self.place[0], memory, seen)
        return self._grounds(token, batch["numbers"], self.shift[:, :1])[0][..., 0]

    def below(self, batch: Mapping[str, Tensor], above: int) -> Tensor:
        """Return (b, n - p) log-odds of a click on each row that is left, directly below the first p slots of a page.

        Args:
            batch: As for `prepare`, and page (b, n): all rows, those that stand in the first slots first. No row
                counts as an ad.
            above: How many slots there are above, p >= 0 and below the slots of the network.
        """
        page = batch["page"]
        items, memory, seen = self.items(batch)
        slot = torch.arange(page.shape[1], device=page.device).clamp(max=above)
        token = self._placed(_at(items, page) + self.place[slot], memory, seen)
        numbers, left = _at(batch["numbers"], page), slice(above, None)
        grounds = self._grounds(token[:, left], numbers[:, left], self.shift[:, above : above + 1])
        click, none = grounds[0][..., 0], batch["is_ad"].gather(1, page)[:, left]
        taste = _at(self.pairs.taste(batch["numbers"], batch["keys"]), page)
        for far, part in ((1, 0), (2, 2)):
            if above >= far:
                pair = self.pairs(taste[:, left], none, taste[:, above - far, None])
                click = click + self.scale[0] * pair[..., part]
        hidden = self._layers(token, *self.nothing, self._alternatives(slot, above))[0]
        context = self.experts(self.last(hidden[:, left]))[0]
        return click + grounds[2] * self.bounded(context)

    def gates(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the mean entropy of the gates for clicks and for leaving, as `Experts.entropies`."""
        token = self._page(batch)
        hidden = self._layers(token, *self.nothing, self.mask(0, token.shape[1]))[0]
        click, leave = self.experts.entropies(self.last(hidden))
        return click.mean(), leave.mean()

    def bounded(self, context: Tensor) -> Tensor:
        """Return what an amplitude is multiplied by."""
        return context if math.isinf(self.shape.bound) else context.tanh()

    @property
    def heads(self) -> int:
        """Heads of a causal layer."""
        return self.shape.heads + len(self.shape.bands)

    @property
    def each(self) -> int:
        """Numbers of each head."""
        return self.shape.width // self.shape.heads

    @property
    def nothing(self) -> tuple[Tensor, Tensor]:
        """Keys and values of the slots above the first."""
        none = self.place.new_zeros(self.shape.layers, 1, self.heads, 0, self.each)
        return none, none

    def mask(self, above: int, slots: int) -> Tensor:
        """Return (1, heads, s, p + s) what slots below p others may look at."""
        distance = torch.arange(above, above + slots)[:, None] - torch.arange(above + slots)
        windows = (math.inf,) * self.shape.heads + self.shape.bands
        allowed = torch.stack([(distance >= 0) & (distance < window) for window in windows])
        return torch.where(allowed, 0.0, -math.inf)[None].to(self.place)

    def _alternatives(self, slot: Tensor, above: int) -> Tensor:
        """Return (1, heads, n, n) what a page may look at of which all slots but the first ones are one and the same.

        Args:
            slot: (n,) slots from 0.
            above: Slots that are taken; of the others each sees these and itself.
        """
        distance, many = slot[:, None] - slot, len(slot)
        itself = torch.eye(many, dtype=torch.bool, device=slot.device)
        windows = (math.inf,) * self.shape.heads + self.shape.bands
        seen = [((distance >= 0) & (distance < window) & (slot < above)) | itself for window in windows]
        return torch.where(torch.stack(seen), 0.0, -math.inf)[None].to(self.place)

    def _start(self) -> None:
        """Begin with slots that are alike and context of 0."""
        nn.init.zeros_(self.place)
        for tower in (self.experts.click, self.experts.leave):
            for weights in [*tower.parameters()][-2:]:
                nn.init.zeros_(weights)

    def _page(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return (b, k, d) tokens of the rows of pages."""
        items, memory, seen = self.items(batch)
        page = batch["page"]
        return self._placed(_at(items, page) + self.place[: page.shape[1]], memory, seen)

    def _layers(
        self, token: Tensor, above_keys: Tensor, above_values: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (b, s, d) what slots make of what is above them, and their keys and values in each layer."""
        hidden, keys, values = token, list[Tensor](), list[Tensor]()
        for layer, block in enumerate(self.blocks):
            hidden, key, value = block(hidden, above_keys[layer], above_values[layer], mask)
            keys.append(key)
            values.append(value)
        return hidden, torch.stack(keys), torch.stack(values)

    def _placed(self, token: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        if self.cross is None:
            return token
        asked = token.flatten(1, -2)
        return token + self.cross(asked, memory, seen).reshape(token.shape)

    def _grounds(self, token: Tensor, numbers: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (..., L, S) log-odds of clicks and of leaving, and (..., L) amplitudes of both."""
        expected = self.items.expected if isinstance(self.items, Listed) else self.ground
        assert expected is not None
        click, leave, width = expected(token, numbers)
        bound = 1.0 if math.isinf(self.shape.bound) else self.shape.bound * width.sigmoid()
        width = bound * torch.ones_like(width)
        return (
            self.scale[0] * click + shift[0, :, None],
            self.scale[1] * leave + shift[1, :, None],
            self.scale[0] * width[..., 0],
            self.scale[1] * width[..., 1],
        )


def _at(rows: Tensor, page: Tensor) -> Tensor:
    """Return (b, k, d) some of (b, n, d) rows."""
    return rows.gather(1, page[:, :, None].expand(-1, -1, rows.shape[2]))
