"""Decoders that nobody fitted: one whose every number is said, for examples, and one of random weights, for trials.

The former gives every row the same log-odds of a click and of leaving, but for what the ads above add to them:

    click = base + per_ad * min(ads above, 3),    leave = base, + after_ad below an ad's slot

and nothing else on a page moves them: its context is 0. Cost: seconds at most.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from slatewise.kernels.insertion import FAR, MANY
from slatewise.learn.decode_export import ARGUMENTS, EXTEND, PREPARE, served
from slatewise.learn.export import export
from slatewise.learn.training import seeded
from slatewise.models.decoder import Decoder, Prepared
from slatewise.models.decoder_parts import Shape
from slatewise.models.inputs import LONGEST_HISTORY, Inputs
from slatewise.models.model import Model

START = 0.1
"""Standard deviation of weights that fitting would begin with at 0."""


def by_hand(
    *, slots: int, click: float = 0.0, per_ad: float = 0.0, leave: float = -2.0, after_ad: float = 0.0
) -> Model:
    """Return a decoder of which every number is said.

    Args:
        slots: The longest page.
        click: Log-odds of a click where no ad is above.
        per_ad: What each ad above adds to them.
        leave: Log-odds of leaving below a slot.
        after_ad: What an ad in the slot adds to them.
    """
    network = _ByHand(slots, click, per_ad, leave, after_ad)
    rows = (torch.zeros(3, 0), torch.zeros(3, 0).long(), torch.zeros(0).long(), torch.zeros(0).long())
    told: dict[str, Tensor] = dict(zip(ARGUMENTS, (*rows, torch.tensor([False, False, True])), strict=True))
    chains = {
        "token": torch.zeros(2, 3, 1),
        "prefix_keys": torch.zeros(1, 2, 1, 2, 1),
        "prefix_values": torch.zeros(1, 2, 1, 2, 1),
        "mask": torch.zeros(2, 1, 3, 5),
    }
    graphs = {
        "prepare": export(network, told, names=Prepared._fields, dynamic=PREPARE),
        "extend": export(
            _NoContext(), chains, names=("context_click", "context_leave", "keys", "values"), dynamic=EXTEND
        ),
    }
    settings = {"slots": slots, "layers": 1, "heads": 1, "bands": "", "each": 1}
    return Model.of("decoder", inputs=Inputs(position=slots), graphs=graphs, settings=settings)


def untrained(
    inputs: Inputs,
    shape: Shape | None = None,
    *,
    seed: int = 0,
    sharpness: float = 1.0,
    click: float = 0.0,
    leave: float = 0.0,
) -> Model:
    """Return a decoder of random weights.

    Args:
        inputs: What it reads.
        shape: How large it is.
        seed: Of the weights.
        sharpness: How many times as large they are as fitting would begin with.
        click: Added to all log-odds of clicks.
        leave: Added to all log-odds of leaving.
    """
    shape = shape or Shape()
    with seeded(seed):
        network = Decoder(inputs.sizes, shape).eval()
        for weight in network.parameters():
            if weight.dim() > 1 and not weight.any():
                nn.init.normal_(weight, std=START)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.mul_(sharpness)
        network.shift += torch.tensor([[click], [leave]])
    sizes, rng = inputs.sizes, np.random.default_rng(seed)
    some = {
        "numbers": rng.normal(size=(1, 4, sizes.numbers)).astype(np.float32),
        "keys": np.zeros((1, 4, len(sizes.keys)), np.int64),
        "context": np.zeros((1, len(sizes.context)), np.int64),
        "history": np.zeros((1, LONGEST_HISTORY if sizes.history else 0), np.int64),
        "is_ad": np.array([[False, False, True, True]]),
        "mask": np.ones((1, 4), np.bool_),
    }
    return served(network, inputs, some)[0]


class _ByHand(nn.Module):
    """Log-odds by state; nothing else moves them."""

    def __init__(self, slots: int, click: float, per_ad: float, leave: float, after_ad: float) -> None:
        super().__init__()
        above = torch.tensor([0.0] + [float(many) for many in range(1, MANY + 1) for _ in range(FAR)])
        self.click = nn.Parameter(click + per_ad * above)
        self.leave, self.after_ad = nn.Parameter(torch.tensor(leave)), nn.Parameter(torch.tensor(after_ad))
        self.slots = slots

    def forward(
        self, numbers: Tensor, keys: Tensor, context: Tensor, history: Tensor, is_ad: Tensor
    ) -> tuple[Tensor, ...]:
        nothing = is_ad.to(self.click)[:, None, None].expand(-1, self.slots, 1) * 0.0
        leave = self.leave + self.after_ad * is_ad.to(self.click)[:, None, None]
        pairs = nothing[:, 0] * nothing[:, 0].T
        leave = leave + nothing + 0.0 * self.click
        return nothing, self.click + nothing, leave, nothing[:, :, 0], nothing[:, :, 0], pairs, pairs, pairs


class _NoContext(nn.Module):
    def forward(self, token: Tensor, prefix_keys: Tensor, prefix_values: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        nothing = 0.0 * token[:, :, 0] + 0.0 * mask[:, 0, :, 0].clamp(min=-1.0)
        above = (prefix_keys + prefix_values).sum(dim=3, keepdim=True)
        memory = nothing[None, :, None, :, None] + 0.0 * above
        return nothing, nothing, memory, memory
