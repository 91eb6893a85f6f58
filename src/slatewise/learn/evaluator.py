"""Fit an evaluator: what pages as a whole are worth, learned from pages that were shown.

    V(page) = sum_t seen_t * (click_t * worth_t - cost_t)

Chances are learned from what was seen and clicked, slot by slot, as `models.evaluator` has them: clicks twice, with and
without what was clicked above. Where nobody says what was seen, only seen_t * click_t is known, and seeing is what
explains the clicks best. A slot of which nobody says whether it was clicked teaches nothing of that.

Several networks are fitted, each without another part of the log, on which it is stopped. What they disagree in is what
a search for the best page would fall for. Their chances are made right on the whole by one exponent for seeing, and one
scale and shift for clicks, fitted on what each network says of the part that it has not learned from; the report is of
these, too. Cost: that of the network, times epochs, times members.

References:
    Lakshminarayanan, Pritzel & Blundell (2017), "Simple and scalable predictive uncertainty estimation using deep
        ensembles", NeurIPS.
    Platt (1999), "Probabilistic outputs for support vector machines": scale and shift.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit
from torch import Tensor, nn
from torch.nn import functional

import slatewise
from slatewise.core.artefact import Artefact
from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import RequestError, shown
from slatewise.learn.evaluator_report import SURE, EvaluatorReport, report_on
from slatewise.learn.export import LISTS, check_parity, export, tensors
from slatewise.learn.losses import log_not
from slatewise.learn.pages import Pages
from slatewise.learn.rerank import known
from slatewise.learn.shown import READ, parts_of, served
from slatewise.learn.training import Batch, Padded, Training, seeded, train
from slatewise.models.evaluator import Ensemble, Evaluator
from slatewise.models.inputs import Arrays, Inputs, Number
from slatewise.models.model import Model

TRAINING = Training(rate=1.5e-3, batch=256, epochs=40, patience=4)
PARTS = 8
"""Parts of a log, unless there are more members: each member does without one."""
BLOCK = 2048
"""Lists that are looked at together when nothing is learned."""
POWERS = (0.2, 5.0)
"""Of how likely slots are seen: exponents among which the best is looked for."""
AXES = {**LISTS, "seen": {1: "lists", 2: "rows"}, "click": {1: "lists", 2: "rows"}}


class FittedEvaluator(NamedTuple):
    """An evaluator and what was found of it.

    Attributes:
        model: What is served.
        report: How good it is.
        networks: What was learned; for more than what is served.
        provenance: What it was fitted on, and how.
    """

    model: Model
    report: EvaluatorReport
    networks: Ensemble
    provenance: dict[str, Any] = {}

    def artefact(self, *generators: Model) -> Artefact:
        """Return settings of `compose.propose`: this evaluator, and generators with and without a network."""
        named = [{"kind": one.kind, "model": msgspec.to_builtins(one)} for one in generators]
        told = {"generators": [{"kind": "beam"}, {"kind": "draw"}, *named]} if named else {}
        settings = {"model": msgspec.to_builtins(self.model), **told}
        report = msgspec.to_builtins(self.report)
        return Artefact(section="compose.propose", settings=settings, report=report, provenance=self.provenance)

    def given(self, pages: Pages, *, click: str = "click") -> Numbers:
        """Return (b, l) how likely slots of pages shown are clicked, given what was clicked above; 0 for no slot."""
        arrays = served(self.model.inputs, pages, click=click)
        return np.mean([expit(_asked(one, arrays)[2]) for one in self.networks.learned], axis=0) * arrays["mask"]

    @torch.no_grad()
    def marginal(self, pages: Pages, *, click: str = "click") -> Numbers:
        """Return (b, l) how likely slots of pages shown are seen and clicked; 0 for no slot."""
        arrays = served(self.model.inputs, pages, click=click)
        both = [self.networks(*batch) for batch, _ in _blocks(arrays)]
        found = torch.cat([(seen * clicked).mean(dim=0) for seen, clicked in both])
        return found.numpy().astype(np.float64) * arrays["mask"]


def fit_evaluator(
    pages: Pages,
    *,
    click: str = "click",
    exposed: str = "",
    inputs: Inputs | None = None,
    weight: Numbers | None = None,
    groups: NDArray[Any] | None = None,
    members: int = 3,
    width: int = 32,
    blocks: int = 1,
    training: Training = TRAINING,
    folder: Path | None = None,
) -> FittedEvaluator:
    """Return an evaluator of pages.

    Args:
        pages: Pages that were shown; rows without a slot are left out.
        click: The feedback that is of worth.
        exposed: The feedback that says whether a slot was seen; empty if nobody knows.
        inputs: What the networks read; all that the log has and is not seen too rarely, where not said.
        weight: (b,) what each list counts, > 0; 1 each where not said.
        groups: (b,) lists of one group are held back together; those of one user where not said, or each alone.
        members: Networks, >= 1.
        width: Numbers of a row.
        blocks: Looks at the page.
        training: How to learn.
        folder: Where what was learned so far is kept, so that an interrupted fit can go on.

    Raises:
        RequestError: The log has no such feedback, no page was shown, or there are too few groups to hold one back.
    """
    shown_lists = np.unique(pages.lists[pages.slot > 0])
    if not len(shown_lists):
        raise RequestError("pages.slot", "must be given for pages that were shown", "none")
    pages = pages.take(shown_lists)
    if members < 1:
        raise RequestError("members", "must be >= 1", shown(members))
    part = parts_of(pages, None if groups is None else groups[shown_lists], max(members, PARTS), seed=training.seed)
    if int(part.max()) < max(members - 1, 1):
        got = shown(int(part.max()) + 1)
        raise RequestError("pages.user", "must tell groups of lists apart, one for each member and two at least", got)
    read = inputs or known(pages)
    arrays = served(read, pages, click=click, exposed=exposed)
    arrays["weight"] = (np.ones(len(pages)) if weight is None else weight[shown_lists]).astype(np.float32)
    networks = Ensemble(
        [_learned(read, arrays, part == one, training, one, width, blocks, folder) for one in range(members)]
    )
    unseen = _Unseen.of(networks, arrays, part)
    _calibrate(networks, unseen)
    example = tensors({name: arrays[name][:3] for name in READ})
    graph = export(networks.eval(), example, names=("seen", "click"), dynamic=AXES)
    model = Model.of("evaluator", inputs=read, graphs={"score": graph}, settings={"members": members})
    report = _report(networks, unseen, check_parity(networks, model, "score", example))
    how = {"click": click, "exposed": exposed, "members": members, "training": msgspec.to_builtins(training)}
    told = {"pages": pages.digest, "lists": len(pages), "slatewise": slatewise.__version__, **how}
    return FittedEvaluator(model, report, networks, told)


def weighted(weights: Mapping[str, float], *, next_to: float = 0.0) -> Model:
    """Return an evaluator that nobody fitted: all is seen, and clicks have log-odds that are a sum of numbers.

    Args:
        weights: Column to weight.
        next_to: What the sum of the slot above counts besides, for what depends on neighbours.
    """
    network = _Weighted(torch.tensor(list(weights.values())), next_to)
    inputs = Inputs(numbers=tuple(Number(name=name) for name in weights), position=1)
    graph = export(network, {"numbers": torch.zeros(2, 2, len(weights))}, names=("seen", "click"), dynamic=AXES)
    return Model.of("evaluator", inputs=inputs, graphs={"score": graph}, settings={"members": 1})


class _Weighted(nn.Module):
    def __init__(self, weights: Tensor, next_to: float) -> None:
        super().__init__()
        self.weights, self.next_to = nn.Parameter(weights), next_to

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        level = numbers @ self.weights
        above = functional.pad(level, (1, 0))[:, :-1]
        return torch.ones_like(level)[None], torch.sigmoid(level + self.next_to * above)[None]


class _Unseen(NamedTuple):
    """Lists that a member has not learned from, and what it says of them.

    Attributes:
        arrays: The lists.
        clicks: (b, l) log-odds of a click on a slot that is seen.
        seen: (b, l) logarithm of how likely it is seen.
        given: (b, l) log-odds of a click, given what was clicked above.
    """

    arrays: Arrays
    clicks: Numbers
    seen: Numbers
    given: Numbers

    @classmethod
    def of(cls, networks: Ensemble, arrays: Arrays, part: NDArray[np.int64]) -> _Unseen:
        """Ask each member for its part."""
        lists = [np.flatnonzero(part == one) for one in range(len(networks.learned))]
        asked = [
            _asked(one, {name: array[some] for name, array in arrays.items()})
            for one, some in zip(networks.learned, lists, strict=True)
        ]
        chosen = np.concatenate(lists)
        columns = (np.concatenate(column) for column in zip(*asked, strict=True))
        return cls({name: array[chosen] for name, array in arrays.items()}, *columns)


def _learned(
    inputs: Inputs,
    arrays: Arrays,
    held: Flags,
    training: Training,
    member: int,
    width: int,
    blocks: int,
    folder: Path | None,
) -> Evaluator:
    """Return a network that has learned from the lists that are not held."""
    seen, unseen = (Padded({name: array[some] for name, array in arrays.items()}) for some in (~held, held))
    seed = training.seed + member
    with seeded(seed):
        network = Evaluator(inputs.sizes, width=width, blocks=blocks)

    def judged(network: Any) -> float:
        device = next(network.parameters()).device
        batches = [unseen.at(np.arange(at, min(at + BLOCK, len(unseen)))) for at in range(0, len(unseen), BLOCK)]
        moved = [{name: array.to(device) for name, array in batch.items()} for batch in batches]
        losses = [(float(_loss(network, batch)), float(batch["weight"].sum())) for batch in moved]
        return -float(np.average([loss for loss, _ in losses], weights=[weight for _, weight in losses]))

    place = None if folder is None else folder / f"member_{member}"
    train(network, seen, _loss, judge=judged, settings=msgspec.structs.replace(training, seed=seed), folder=place)
    return network


def _loss(network: Any, batch: Batch) -> Tensor:
    """Return the mean over lists of how unlikely clicks were, with and without those above, and what was seen."""
    read = network(*(batch[name] for name in READ))
    label, told, exposed = batch["label"], batch["told"].float(), batch["exposed"]
    seen = network.seen(read).clamp(max=SURE)
    likely = functional.logsigmoid(network.clicks(read)) + torch.where(exposed.isnan(), seen, 0.0)
    likely = likely.clamp(max=SURE)
    loss = -told * torch.where(label > 0, likely, log_not(likely))
    given = network.given(read, label * told)
    loss = loss + told * functional.binary_cross_entropy_with_logits(given, label, reduction="none")
    unlikely = -torch.where(exposed > 0, seen, log_not(seen))
    loss = loss + torch.where(batch["mask"] & ~exposed.isnan(), unlikely, 0.0)
    return (loss.sum(dim=1) * batch["weight"]).sum() / batch["weight"].sum()


def _calibrate(networks: Ensemble, unseen: _Unseen) -> None:
    """Set scale and shift of clicks, and the exponent of seeing where the log says what was seen."""
    arrays = unseen.arrays
    weight = np.broadcast_to(arrays["weight"][:, None], arrays["mask"].shape).astype(np.float64)
    known = arrays["mask"] & ~np.isnan(arrays["exposed"])
    if known.any():
        there, chance, counts = arrays["exposed"][known] > 0, np.minimum(unseen.seen[known], SURE), weight[known]

        def unlikely(power: float) -> float:
            return float((np.where(there, -power * chance, -np.log(-np.expm1(power * chance))) * counts).sum())

        found: Any = minimize_scalar(unlikely, bounds=POWERS, method="bounded")
        networks.seen_power.fill_(float(found.x))
    told = arrays["told"]
    logits, seen = unseen.clicks[told], np.where(known, 0.0, unseen.seen)[told]
    label, counts = arrays["label"][told] > 0, weight[told]

    def off(scale_and_shift: Numbers) -> float:
        scale, shift = scale_and_shift
        likely = np.minimum(log_expit(logits * scale + shift) + seen, SURE)
        return -float((np.where(label, likely, np.log(-np.expm1(likely))) * counts).sum() / counts.sum())

    fitted: Any = minimize(off, np.array([1.0, 0.0]), method="Nelder-Mead")
    if fitted.x[0] > 0.0:  # else nothing was learned, and what there is may as well stay
        networks.click_scale.fill_(float(fitted.x[0]))
        networks.click_shift.fill_(float(fitted.x[1]))


@torch.no_grad()
def _asked(network: Evaluator, arrays: Arrays) -> tuple[Numbers, Numbers, Numbers]:
    """Return (b, l) log-odds of clicks, logarithms of being seen, and log-odds given what was clicked above."""
    found: list[tuple[Tensor, ...]] = []
    for batch, clicked in _blocks(arrays):
        read = network(*batch)
        found.append((network.clicks(read), network.seen(read), network.given(read, clicked)))
    clicks, seen, given = (torch.cat(column).numpy().astype(np.float64) for column in zip(*found, strict=True))
    return clicks, seen, given


def _blocks(arrays: Arrays) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Yield what networks read of some lists, and what was clicked."""
    for at in range(0, len(arrays["mask"]), BLOCK):
        some = tensors({name: arrays[name][at : at + BLOCK] for name in (*READ, "label", "told")})
        yield [some[name] for name in READ], some["label"] * some["told"]


def _report(networks: Ensemble, unseen: _Unseen, parity: float) -> EvaluatorReport:
    """Return how good networks are on lists that they have not learned from."""
    clicks = expit(unseen.clicks * float(networks.click_scale) + float(networks.click_shift))
    seen = np.exp(unseen.seen * float(networks.seen_power))
    return report_on(unseen.arrays, clicks, clicks * seen, given=expit(unseen.given), parity=parity)
