"""Fit what `compose.decode` serves: clicks and leaving slot by slot, given what stands above.

What is expected of a row without context is learned first; then context learns what is left, while all else is held;
then both go on together, with smaller steps. Context that is of no use is told to be small by a price on amplitudes,
and bounds are as tight as the log allows. At last chances are made to come true by maps that keep every order, on the
lists that said when to stop. Lists that are only to be ranked are for `learn.decode_ranker`. Cost: that of the network,
times epochs.

References:
    arXiv 2603.04227 (2026), "Constraint-aware generative reranking": two heads, and a loss of the whole page.
    Kingma & Ba (2015), "Adam: a method for stochastic optimization", ICLR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, final

import msgspec
import torch
from msgspec import Meta, to_builtins

from slatewise.core.artefact import Artefact
from slatewise.core.errors import RequestError, shown
from slatewise.learn.decode_export import served
from slatewise.learn.decode_lists import arrays_of, checked, is_shown, likelihoods, loss_of
from slatewise.learn.decode_report import DecodeReport, asked, calibrate, report_of
from slatewise.learn.pages import Pages
from slatewise.learn.rerank import Parts, known, split
from slatewise.learn.training import Batch, Epoch, Padded, Training, seeded, train
from slatewise.models.decoder import Decoder, Shape
from slatewise.models.inputs import Arrays, Inputs
from slatewise.models.model import Model

Learns: TypeAlias = Literal["ground", "context", "all"]

CONTEXT = ("blocks.", "last.", "experts.")
"""Weights of context; all others are of what is expected without."""


@final
class Phase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the learning.

    Attributes:
        learns: `ground`: what is expected without context, alone; `context`: context, while that is held; `all`.
        epochs: At most so many, >= 1.
        rate: What the step is multiplied by, > 0.
    """

    learns: Learns
    epochs: Annotated[int, Meta(ge=1)] = 1
    rate: Annotated[float, Meta(gt=0)] = 1.0


@final
class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is learned, and in which order.

    Attributes:
        phases: One after the other.
        any_click: Weight of whether anything on a page is clicked, >= 0.
        sparse: How strongly weights of pairs are held at 0, >= 0: in standard errors of a weight that is 0.
        price: Of an amplitude of 1, >= 0; more makes bounds tighter.
        orders: Orders that are drawn of lists of which it is not known how they were shown, >= 1.
    """

    phases: tuple[Phase, ...] = (
        Phase(learns="ground", epochs=2),
        Phase(learns="ground", rate=0.25),
        Phase(learns="context"),
        Phase(learns="all", rate=0.25),
        Phase(learns="all", rate=0.05),
    )
    any_click: Annotated[float, Meta(ge=0)] = 0.1
    sparse: Annotated[float, Meta(ge=0)] = 0.3
    price: Annotated[float, Meta(ge=0)] = 0.05
    orders: Annotated[int, Meta(ge=1)] = 4


class FittedDecoder(NamedTuple):
    """What was fitted.

    Attributes:
        model: What is served.
        report: How good it is on lists that it was not fitted on.
        network: The network.
        epochs: What came of them, phase by phase.
        provenance: What it was fitted on, and how.
    """

    model: Model
    report: DecodeReport
    network: Decoder
    epochs: tuple[tuple[Epoch, ...], ...]
    provenance: dict[str, Any]

    @property
    def artefact(self) -> Artefact:
        """It, as a file that a policy takes settings from."""
        return Artefact(
            section="compose.decode",
            settings={"model": to_builtins(self.model)},
            report=to_builtins(self.report),
            provenance=self.provenance,
        )


def fit_decode(
    pages: Pages | Parts,
    *,
    ads: Sequence[str] = ("ads",),
    label: str = "click",
    exposed: str = "exposed",
    inputs: Inputs | None = None,
    shape: Shape | None = None,
    recipe: Recipe | None = None,
    training: Training | None = None,
    folder: Path | None = None,
    watch: Callable[[Epoch], None] | None = None,
) -> FittedDecoder:
    """Return a decoder.

    Args:
        pages: Lists; whole ones are split by time.
        ads: Lines that are ads.
        label: Feedback that is a click.
        exposed: Feedback that says whether a slot was seen; where the log does not have it, nobody ever leaves.
        inputs: What is read; by default all columns, with the names seen five times.
        shape: How large the network is; by default its pages are as long as the longest that was shown.
        recipe: What is learned, and in which order.
        training: Steps and lists of a step; its epochs are those of the recipe.
        folder: Where runs are kept that may be interrupted, a folder for each phase.
        watch: Called after every epoch.

    Raises:
        RequestError: Nothing was ever clicked; no line is of ads; there can be no such shape; or what `train` refuses.
    """
    parts = pages if isinstance(pages, Parts) else split(pages)
    checked(parts.learned, label)
    lines = parts.learned.keys["line"].names
    if is_shown(parts.learned) and not set(ads) & set(lines):
        raise RequestError(
            "ads", f"must be among the lines of the log, {', '.join(map(str, lines))}", shown(tuple(ads))
        )
    reads, steps, chosen = inputs or known(parts.learned), recipe or Recipe(), training or Training()
    sized = shape or shape_of(parts.learned)
    _check_shape(sized)
    arrays = [
        arrays_of(
            part,
            reads,
            ads=ads,
            slots=sized.slots,
            label=label,
            exposed=exposed,
            orders=steps.orders if part is parts.learned else 1,
            seed=chosen.seed,
        )
        for part in parts
    ]
    network, epochs = learned(
        reads, sized, arrays[0], arrays[1], recipe=steps, training=chosen, folder=folder, watch=watch
    )
    calibrate(network, arrays[1])
    model, parity = served(network, reads, arrays[2])
    return FittedDecoder(
        model,
        report_of(network, arrays[2], parity=parity),
        network,
        epochs,
        parts.provenance(
            ads=list(ads),
            label=label,
            exposed=exposed,
            shape=sized._asdict(),
            recipe=to_builtins(steps),
            training=to_builtins(chosen),
        ),
    )


def shape_of(pages: Pages, **changes: Any) -> Shape:
    """Return the shape of a network for pages as long as the longest of a log.

    Args:
        pages: The log.
        changes: Fields of `Shape` that are to be others.
    """
    longest = int(pages.slot.max()) if is_shown(pages) else int(pages.lengths.max())
    return Shape(slots=longest)._replace(**changes)


def _check_shape(shape: Shape) -> None:
    for name, value in (("slots", shape.slots), ("layers", shape.layers), ("width", shape.width)):
        if value < 1:
            raise RequestError(f"shape.{name}", "must be >= 1", shown(value))
    for name, heads in (("heads", shape.heads), ("crossed", shape.crossed)):
        if heads and shape.width % heads:
            raise RequestError("shape.width", f"must be a multiple of `{name}`, {heads}", shown(shape.width))
    if not shape.bound > 0:
        raise RequestError("shape.bound", "must be > 0", shown(shape.bound))


def learned(
    inputs: Inputs,
    shape: Shape,
    arrays: Arrays,
    judged: Arrays,
    *,
    recipe: Recipe,
    training: Training,
    folder: Path | None = None,
    watch: Callable[[Epoch], None] | None = None,
) -> tuple[Decoder, tuple[tuple[Epoch, ...], ...]]:
    """Return a network that was fitted, and its epochs, phase by phase.

    Args:
        inputs: What it reads.
        shape: How large it is.
        arrays: Lists to learn from, of `arrays_of`.
        judged: Lists that say when to stop.
        recipe: What is learned, and in which order.
        training: Steps and lists of a step; its epochs are those of the recipe.
        folder: Where runs are kept that may be interrupted.
        watch: Called after every epoch.
    """
    with seeded(training.seed):
        network = Decoder(inputs.sizes, shape)
    batches, told = Padded(arrays), list[tuple[Epoch, ...]]()
    for number, phase in enumerate(recipe.phases):
        for name, weights in network.named_parameters():
            weights.requires_grad_(phase.learns != "context" or name.startswith(CONTEXT))
        history = train(
            network,
            batches,
            _loss(recipe, phase, len(batches)),
            judge=_judge(phase, judged),
            settings=msgspec.structs.replace(
                training, epochs=phase.epochs, rate=training.rate * phase.rate, seed=training.seed + number
            ),
            about=msgspec.json.encode([recipe, phase.learns]).decode(),
            folder=None if folder is None else folder / f"phase-{number + 1}",
            watch=watch,
        )
        told.append(history.epochs)
    return network.requires_grad_(False), tuple(told)


def _loss(recipe: Recipe, phase: Phase, lists: int) -> Callable[[Any, Batch], torch.Tensor]:
    """Return what a phase learns by: the loss of pages, and what weights of pairs and amplitudes cost."""

    def lost(network: Any, batch: Batch) -> torch.Tensor:
        found = network(batch)
        if phase.learns == "ground":
            found = found._replace(click=found.click_ground, leave=found.leave_ground)
        total = loss_of(found, batch, any_click=recipe.any_click)
        total = total + recipe.sparse / lists**0.5 * network.pairs.weights.abs().sum()
        if phase.learns == "all":
            total = total + recipe.price * (found.click_amplitude + found.leave_amplitude).mean()
        return total

    return lost


def _judge(phase: Phase, arrays: Arrays) -> Callable[[Any], float]:
    """Return what says how good a network is: how likely clicks and leaving are."""

    def judged(network: Any) -> float:
        found, batch = asked(network, arrays)
        if phase.learns == "ground":
            found = found._replace(click=found.click_ground, leave=found.leave_ground)
        click, leave = likelihoods(found.click, found.leave, batch)
        return -float(click + leave)

    return judged
