"""Fit a decoder for lists that are only to be ranked: no slots were logged, no row is an ad, and nobody leaves.

What is expected without context is a `PersonalReranker`, which begins as the order of a first stage and learns first,
just as it does in `fit_rerank`. Then context and pairs learn below tops of pages, drawn around the reranker's order:

    loss = lambdarank(scores)     then     lambdarank(log-odds of the rows that are left | p rows above), 1 <= p < k

Context is kept if it gains in NDCG@10 on lists that were not learned from, by more than two standard errors; else it is
0, and lists are ranked as the reranker ranks them. Cost: that of the network, times epochs.

References:
    Pei et al. (2019), "Personalized Re-ranking for Recommendation", RecSys.
    Burges (2010), "From RankNet to LambdaRank to LambdaMART: An Overview", MSR-TR-2010-82.
    Kool, van Hoof & Welling (2019), "Stochastic beams and where to find them", ICML: orders drawn by Gumbel noise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec import to_builtins
from torch import Tensor

from slatewise.core.errors import RequestError, shown
from slatewise.learn.checkpoint import copied
from slatewise.learn.decode import FittedDecoder
from slatewise.learn.decode_export import served
from slatewise.learn.decode_lists import arrays_of, checked
from slatewise.learn.decode_report import calibrate, report_of
from slatewise.learn.losses import lambdarank
from slatewise.learn.pages import Pages
from slatewise.learn.rank_lists import CUT, RankLists
from slatewise.learn.rerank import Parts, known, split
from slatewise.learn.training import Batch, Epoch, Judge, Loss, Training, seeded, train
from slatewise.models.decoder import Decoder, Shape
from slatewise.models.inputs import Inputs

EPOCHS = 4
"""Times that context sees all lists, at most."""
ABOVE = ("blocks.", "last.", "experts.", "pairs.", "items.width.")
"""Weights of what rows above do."""
SURE = 2.0
"""Standard errors of a gain that context is kept for."""
NOTHING = -30.0
"""Log-odds of an amplitude of 0."""


def fit_ranker(
    pages: Pages | Parts,
    *,
    label: str = "click",
    inputs: Inputs | None = None,
    shape: Shape | None = None,
    training: Training | None = None,
    folder: Path | None = None,
    watch: Callable[[Epoch], None] | None = None,
) -> FittedDecoder:
    """Return a decoder that orders lists, for `decode_export.ranked`.

    Args:
        pages: Lists; whole ones are split by time.
        label: Feedback that says how relevant a row is; where it was not observed, a row is not learned from.
        inputs: What is read; by default all columns, with the names seen five times.
        shape: How large the network is; by default `ranker_shape`.
        training: How to learn; its epochs are those of the ground at most.
        folder: Where runs are kept that may be interrupted, a folder for each phase.
        watch: Called after every epoch.

    Raises:
        RequestError: Nothing is relevant; the shape is one for pages; or what `train` refuses.
    """
    parts = pages if isinstance(pages, Parts) else split(pages)
    checked(parts.learned, label)
    reads, chosen, sized = inputs or known(parts.learned), training or Training(), shape or ranker_shape(parts.learned)
    if sized.embedded < 1:
        raise RequestError("shape.embedded", "must be >= 1 in what ranks", shown(sized.embedded), "take `ranker_shape`")
    batches = _lists(parts.learned, reads, label).batches(label)
    judge = _lists(parts.judged, reads, label).ndcg
    with seeded(chosen.seed):
        network = Decoder(reads.sizes, sized)

    def fit(part: str, loss: Loss, score: Judge, settings: Training) -> tuple[Epoch, ...]:
        for name, weights in network.named_parameters():
            weights.requires_grad_(name != "place" and name.startswith(ABOVE) == (part == "context"))
        kept = None if folder is None else folder / part
        about = f"{part} {parts.judged.digest}"
        told = train(network, batches, loss, judge=score, settings=settings, about=about, folder=kept, watch=watch)
        return told.epochs

    told = [fit("ground", _lost_alone, lambda one: float(judge(one, Decoder.alone).mean()), chosen)]
    with torch.no_grad():
        before, kept = judge(network, Decoder.alone), copied(network)
    brief = msgspec.structs.replace(chosen, epochs=min(EPOCHS, chosen.epochs))
    told.append(fit("context", _lost_below, lambda one: float(judge(one, _placed).mean()), brief))
    with torch.no_grad():
        gained = judge(network, _placed) - before
    gain, error = float(gained.mean()), float(gained.std() / np.sqrt(len(gained)))
    if gain <= SURE * error:
        network.load_state_dict(kept)
        network.get_parameter("items.width.bias").data.fill_(NOTHING)
    network.requires_grad_(False)
    how: dict[str, Any] = {"ads": (), "slots": sized.slots, "label": label, "exposed": ""}
    drawn = [arrays_of(part, reads, **how) for part in (parts.judged, parts.held)]
    calibrate(network, drawn[0])
    model, parity = served(network, reads, drawn[1])
    return FittedDecoder(
        model,
        report_of(network, drawn[1], parity=parity),
        network,
        tuple(told),
        parts.provenance(
            label=label,
            shape=sized._asdict(),
            training=to_builtins(chosen),
            context={"gain": gain, "error": error},
        ),
    )


def ranker_shape(pages: Pages, **changes: Any) -> Shape:
    """Return the shape of a network that orders lists: its ground is a reranker that begins as the order it is given.

    Args:
        pages: The log.
        changes: Fields of `Shape` that are to be others.
    """
    slots = max(2, min(CUT, int(pages.lengths.max())))
    return Shape(slots=slots, around=2, heads=2, crossed=0, embedded=8, dropout=0.1)._replace(**changes)


def _lists(pages: Pages, reads: Inputs, label: str) -> RankLists:
    """Return lists as the network takes them: none of their rows is an ad."""
    found = RankLists.of(pages, reads, label)
    return found._replace(arrays={**found.arrays, "is_ad": np.zeros(found.labels.shape, np.bool_)})


def _lost_alone(network: Any, batch: Batch) -> Tensor:
    """Return the loss of whole lists, without context."""
    return lambdarank(network.alone(batch), batch["label"], batch["observed"])


def _lost_below(network: Any, batch: Batch) -> Tensor:
    """Return the loss of the rows that are left below a top of a page; how long it is, and which, is drawn."""
    alone = network.alone(batch).detach()
    above = int(torch.randint(1, max(2, min(network.shape.slots, alone.shape[1])), ()))
    noise = -torch.empty_like(alone).exponential_().log()
    page = _order(alone + noise, batch["mask"])
    label, observed = (batch[name].gather(1, page)[:, above:] for name in ("label", "observed"))
    return lambdarank(network.below({**batch, "page": page}, above), label, observed)


def _placed(network: Decoder, batch: Batch) -> Tensor:
    """Return (b, n) minus the slots of rows that are placed one by one."""
    mask = batch["mask"]
    page = _order(network.alone(batch), mask)
    for above in range(min(network.shape.slots, page.shape[1])):
        left = network.below({**batch, "page": page}, above)
        order = _order(left, mask.gather(1, page)[:, above:])
        page = torch.cat([page[:, :above], page[:, above:].gather(1, order)], dim=1)
    return -page.argsort(dim=1).double()


def _order(scores: Tensor, mask: Tensor) -> Tensor:
    """Return (b, n) rows, the largest score first, and last those that are not there."""
    return scores.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
