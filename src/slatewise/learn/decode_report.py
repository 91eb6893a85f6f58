"""How good a decoder is, on lists that it was not fitted on, and how tight its bounds are.

The worth of a page is taken to be its expected clicks, R = sum_t seen_t * click_t. Below a prefix whose context is
known each logit lies within its amplitude of what is expected without context, and so

    U = sum_(t <= s) r_t + seen_(s+1) * sum_(t > s) prod_(s < j < t) (1 - leave_j^low) * click_t^high  >=  R

as leaving less shows more of the page. Cost: that of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from slatewise.core.columns import Numbers
from slatewise.learn.decode_lists import INPUTS, likelihoods
from slatewise.learn.logistic import logistic
from slatewise.learn.training import Batch
from slatewise.models.decoder import Decoder, Logits
from slatewise.models.inputs import Arrays

BLOCK = 512
"""Lists that are looked at together when nothing is learned."""
TENTHS = 10
HELD = 10.0
"""Showings worth of doubt, at even odds each four, that holds the shift of a slot at 0."""
FEWEST = 50
"""Events, and as many showings without one, that a scale and a shift are fitted from."""


class Reliability(NamedTuple):
    """What was predicted and what came, by tenths of the slots, those of least chance first.

    Attributes:
        predicted: Mean chance.
        realised: Share that it came true of.
    """

    predicted: tuple[float, ...]
    realised: tuple[float, ...]

    @property
    def error(self) -> float:
        """Mean distance of both."""
        return float(np.mean(np.abs(np.array(self.predicted) - np.array(self.realised)))) if self.predicted else 0.0


class DecodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How good a decoder is.

    Attributes:
        lists: On how many lists that was measured.
        click: Mean of -log P of the clicks of a list.
        leave: Mean of -log P of its leaving.
        click_ground: The former, without context.
        leave_ground: The latter, without context.
        clicks: Whether chances of clicks came true, where slots were seen.
        leaves: Whether chances of leaving came true.
        click_amplitude: Mean of how far context may move log-odds of clicks.
        leave_amplitude: The same of leaving.
        looseness: Median of U / R before anything is asked of a page, and below a prefix of any length.
        violations: Pages of which U < R, for any prefix.
        entropies: Mean entropy of the gates for clicks and for leaving, 1 if experts count alike; None of what is
            served, which does not tell.
        parity: Largest difference between the network and what is served; None of what is served.
    """

    lists: int
    click: float
    leave: float
    click_ground: float
    leave_ground: float
    clicks: Reliability
    leaves: Reliability
    click_amplitude: float
    leave_amplitude: float
    looseness: tuple[float, float]
    violations: int
    entropies: tuple[float, float] | None
    parity: float | None


@torch.no_grad()
def report_of(network: Decoder, arrays: Arrays, *, parity: float) -> DecodeReport:
    """Return how good a network is on some lists."""
    gates = (
        torch.stack([torch.stack(network.gates(block)) for block in _blocks(arrays)]) if network.shape.experts else None
    )
    entropies = (1.0, 1.0) if gates is None else tuple(gates.mean(dim=0).tolist())
    return report_on(*asked(network, arrays), entropies=(entropies[0], entropies[1]), parity=parity)


def report_on(
    found: Logits, batch: Batch, *, entropies: tuple[float, float] | None = None, parity: float | None = None
) -> DecodeReport:
    """Return how good log-odds are.

    Args:
        found: What is said of the pages of some lists.
        batch: These lists.
        entropies: Of the gates, where there are any.
        parity: Largest difference between network and what is served.
    """
    click, leave = likelihoods(found.click, found.leave, batch)
    click_ground, leave_ground = likelihoods(found.click_ground, found.leave_ground, batch)
    worth, ceilings = worths(found)
    loose = (ceilings / worth[:, None]).numpy()
    return DecodeReport(
        lists=len(found.click),
        click=float(click),
        leave=float(leave),
        click_ground=float(click_ground),
        leave_ground=float(leave_ground),
        clicks=_reliability(found.click, batch["click"], batch["clicks"]),
        leaves=_reliability(found.leave, batch["gone"], batch["goes"]),
        click_amplitude=float(found.click_amplitude.mean()),
        leave_amplitude=float(found.leave_amplitude.mean()),
        looseness=(float(np.median(loose[:, 0])), float(np.median(loose))),
        violations=int((loose < 1 - 1e-5).any(axis=1).sum()),
        entropies=entropies,
        parity=parity,
    )


@torch.no_grad()
def asked(network: Decoder, arrays: Arrays) -> tuple[Logits, Batch]:
    """Return what a network says of some lists, and the lists."""
    network.eval()
    found = [network(block) for block in _blocks(arrays)]
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return Logits(*(torch.cat(parts) for parts in zip(*found, strict=True))), batch


def worths(found: Logits) -> tuple[Tensor, Tensor]:
    """Return (b,) what pages are worth, R, and (b, k) what they may be worth at most below each prefix, U.

    Args:
        found: What a network with a bound says of pages.
    """
    click, stay = found.click.sigmoid(), 1.0 - found.leave.sigmoid()
    seen = _seen(stay)
    high = (found.click_ground + found.click_amplitude).sigmoid()
    longest = 1.0 - (found.leave_ground - found.leave_amplitude).sigmoid()
    gained = seen * click
    ceilings: list[Tensor] = []
    for prefix in range(click.shape[1]):
        rest = _seen(longest[:, prefix:]) * high[:, prefix:]
        ceilings.append(gained[:, :prefix].sum(dim=1) + seen[:, prefix] * rest.sum(dim=1))
    return gained.sum(dim=1), torch.stack(ceilings, dim=1)


def calibrate(network: Decoder, arrays: Arrays) -> None:
    """Scale and shift the log-odds of a network, so that chances come true: one scale, and a shift for each slot.

    Both keep the order of rows in every slot, and are made part of base, pairs and amplitudes; so bounds stay bounds.

    Args:
        network: The network; its scale and shift are set.
        arrays: Lists that it has not learned from.
    """
    found, batch = asked(network, arrays)
    columns = ((found.click, batch["click"], batch["clicks"]), (found.leave, batch["gone"], batch["goes"]))
    for head, (logit, came, known) in enumerate(columns):
        scale, shift = _scaled(*(one.numpy().astype(np.float64) for one in (logit, came, known)))
        network.scale[head] = scale * network.scale[head]
        network.shift[head, : len(shift)] = torch.from_numpy(scale * network.shift[head, : len(shift)].numpy() + shift)


def _scaled(logit: Numbers, came: Numbers, known: Numbers) -> tuple[float, Numbers]:
    """Return a scale > 0 and (k,) shifts of log-odds."""
    events, rows = float((came * known).sum()), known > 0
    if min(events, rows.sum() - events) < FEWEST:
        return 1.0, np.zeros(logit.shape[1])
    columns = np.stack([logit[rows], np.ones(int(rows.sum()))], axis=1)
    scale, shift = logistic(columns, came[rows], np.ones(len(columns)))
    if scale <= 0:
        return 1.0, np.zeros(logit.shape[1])
    chance = 1.0 / (1.0 + np.exp(-(scale * logit + shift)))
    short = ((came - chance) * known).sum(axis=0)
    return float(scale), shift + short / ((chance * (1.0 - chance) * known).sum(axis=0) + HELD)


def _seen(stay: Tensor) -> Tensor:
    """Return (b, k) how likely each slot is seen; the first always."""
    return torch.cat([torch.ones_like(stay[:, :1]), stay[:, :-1].cumprod(dim=1)], dim=1)


def _reliability(logit: Tensor, came: Tensor, known: Tensor) -> Reliability:
    rows = known > 0
    chance, true = logit.sigmoid()[rows].numpy(), came[rows].numpy()
    if len(chance) < TENTHS:
        return Reliability((), ())
    tenths = np.array_split(np.argsort(chance, kind="stable"), TENTHS)
    return Reliability(*(tuple(float(one[tenth].mean()) for tenth in tenths) for one in (chance, true)))


def _blocks(arrays: Arrays) -> Sequence[Batch]:
    starts = range(0, len(arrays["page"]), BLOCK)
    return [
        {name: torch.from_numpy(np.ascontiguousarray(arrays[name][at : at + BLOCK])) for name in INPUTS}
        for at in starts
    ]
