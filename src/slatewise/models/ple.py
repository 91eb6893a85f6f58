"""Progressive layered extraction: experts that two tasks share, experts of their own, and a gate for each task.

    z_task = sum_j gate_task,j(h) * relu(E_j h),        gate = softmax over the experts that the task may use

A click looks at its own experts and the shared ones; leaving looks at all of them, as whether somebody goes on depends
on what she would click. A gate that always picks the same expert has collapsed: `entropies` shows that. Cost: O(d *
experts * inner) per row, in one product for all experts.

References:
    Tang et al. (2020), "Progressive Layered Extraction (PLE)", RecSys, section 3.2: one level of it.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn


@final
class Experts(nn.Module):
    """Two numbers per row, one for each task, from experts and gates.

    Attributes:
        each: Experts in each of the three groups: of clicks, shared, of leaving; 0 for one per task and no gate.
        inner: Numbers that an expert gives, >= 1.
    """

    def __init__(self, width: int, *, each: int = 4, inner: int = 16) -> None:
        super().__init__()
        self.each, self.inner = each, inner
        self.experts = nn.Linear(width, (3 * each or 2) * inner)
        self.gates = nn.Linear(width, 5 * each) if each else None
        self.click, self.leave = _tower(inner), _tower(inner)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return (...,) for clicks, and the same for leaving.

        Args:
            hidden: (..., d) rows.
        """
        found = torch.relu(self.experts(hidden)).unflatten(-1, (-1, self.inner))
        if self.gates is None:
            return self.click(found[..., 0, :])[..., 0], self.leave(found[..., 1, :])[..., 0]
        click, leave = self.gated(hidden)
        clicks = (click[..., None] * found[..., : 2 * self.each, :]).sum(dim=-2)
        leaves = (leave[..., None] * found).sum(dim=-2)
        return self.click(clicks)[..., 0], self.leave(leaves)[..., 0]

    def gated(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return (..., 2 e) shares of experts for clicks, and (..., 3 e) for leaving; e in each group."""
        assert self.gates is not None
        asked = self.gates(hidden)
        return asked[..., : 2 * self.each].softmax(dim=-1), asked[..., 2 * self.each :].softmax(dim=-1)

    def entropies(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return (...,) entropy of each gate, for clicks and for leaving: 1 if experts count alike, 0 if one is all."""
        click, leave = (
            -(gate * gate.clamp(min=1e-12).log()).sum(dim=-1) / torch.tensor(float(gate.shape[-1])).log()
            for gate in self.gated(hidden)
        )
        return click, leave


def _tower(inner: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, 1))
