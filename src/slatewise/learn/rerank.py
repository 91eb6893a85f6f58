"""Fit what `compose.rerank` serves: a network that scores rows in sight of each other, or trees that do not.

Lists are split by time into lists to learn from, lists that say when to stop, and lists to report on. Rows stand in the
order of the first stage, in training as when pages are served; where the log showed them is never looked at, because it
says what was clicked. What is kept is ONNX, compared with the network before it leaves here. Cost: that of the network,
times epochs.

References:
    Pei et al. (2019), "Personalized Re-ranking for Recommendation", RecSys, section 4.4: softmax over the list.
    Pang et al. (2020), "SetRank", SIGIR, section 3.4: the loss over attention.
    Burges (2010), "From RankNet to LambdaRank to LambdaMART: An Overview", MSR-TR-2010-82.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, final

import msgspec
import numpy as np
from msgspec import Meta, to_builtins
from numpy.typing import NDArray
from torch import Tensor, nn

import slatewise
from slatewise.core.artefact import Artefact
from slatewise.core.errors import RequestError, shown
from slatewise.learn.export import agreed, check_parity, export, tensors
from slatewise.learn.losses import LOSSES
from slatewise.learn.pages import Pages
from slatewise.learn.rank_lists import BLOCK, RankLists
from slatewise.learn.rank_passes import Passes, passes_report
from slatewise.learn.rank_report import RankReport, rank_report
from slatewise.learn.training import Batch, Epoch, History, Training, seeded, train
from slatewise.methods.reorder import Link
from slatewise.models import runtime
from slatewise.models.inputs import Inputs
from slatewise.models.listwise import PersonalReranker, SetTransformer
from slatewise.models.model import Model

NETWORKS = ("prm", "set_transformer", "lambdamart")
PART, NAMES = "part", ("train", "valid", "test")
"""Feature of lists that says what they are for, and what it says."""
ARGUMENTS = ("numbers", "keys", "context", "history", "mask")


@final
class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large a network is.

    Attributes:
        width: Numbers of a row, >= 1.
        blocks: How often rows look at each other, >= 1.
        heads: Looks at once; a divisor of `width`.
        hidden: Numbers in between, >= 1.
        embedded: Numbers of a name, >= 1.
        dropout: Share of numbers that is left out while learning, in [0, 1).
        forgotten: Share of names that count as not known while learning, in [0, 1): names that are learned by heart say
            nothing of lists to come.
        points: For sets: through how many points rows look at each other; 0 for directly.
        ordinal: For sets: places that are told apart after all; 0 for none.
    """

    width: Annotated[int, Meta(ge=1)] = 64
    blocks: Annotated[int, Meta(ge=1)] = 2
    heads: Annotated[int, Meta(ge=1)] = 2
    hidden: Annotated[int, Meta(ge=1)] = 128
    embedded: Annotated[int, Meta(ge=1)] = 8
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    forgotten: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    points: Annotated[int, Meta(ge=0)] = 0
    ordinal: Annotated[int, Meta(ge=0)] = 0


class Parts(NamedTuple):
    """Lists by what they are for.

    Attributes:
        learned: To learn from.
        judged: To say when to stop.
        held: To report on.
    """

    learned: Pages
    judged: Pages
    held: Pages

    def provenance(self, **how: Any) -> dict[str, Any]:
        """Return what was fitted on these lists, how, and by which version."""
        parts = self._asdict()
        return {
            "pages": {name: part.digest for name, part in parts.items()},
            "lists": {name: len(part) for name, part in parts.items()},
            **how,
            "slatewise": slatewise.__version__,
        }


class Fitted(NamedTuple):
    """What was fitted.

    Attributes:
        model: The model.
        report: How good it is on lists that it was not fitted on.
        passes: What passes do there.
        history: What came of the epochs; none for trees.
        parity: Largest difference between what was fitted and what is served.
        provenance: What it was fitted on, and how.
    """

    model: Model
    report: RankReport
    passes: Passes
    history: History | None
    parity: float
    provenance: dict[str, Any]

    @property
    def artefact(self) -> Artefact:
        """It, as a file that a policy takes settings from."""
        return Artefact(
            section="compose.rerank",
            settings={"model": to_builtins(self.model)},
            report={"ranks": to_builtins(self.report), "passes": to_builtins(self.passes)},
            provenance=self.provenance,
        )


def split(pages: Pages, *, by: str = "", shares: Sequence[float] = (0.7, 0.1, 0.2), seed: int = 0) -> Parts:
    """Return lists to learn from, to judge by and to report on.

    Args:
        pages: All lists.
        by: `part`: as the log says, by a feature `part` that is `train`, `valid` or `test`; `time`: the first, the next
            and the last; `user`: whole users, who are drawn. Where it is not said, `part` if the log has it, or `time`.
        shares: Of each part, for `time` and `user`.
        seed: Root of the draw of users.

    Raises:
        RequestError: There is no such way; or a part has no lists.
    """
    way = by or (PART if PART in pages.context else "time")
    if way not in (PART, "time", "user") or len(shares) != 3 or (way == PART and PART not in pages.context):
        raise RequestError("split", "must be by 'part', if the log has it, 'time' or 'user', in three", shown(way))
    if way == PART:
        told = np.array([pages.context[PART].name(row) for row in range(len(pages))], object)
        found = [pages.take(told == name) for name in NAMES]
    else:
        found = pages.split_by_time(shares) if way == "time" else pages.split_by_user(shares, seed=seed)
    for name, part in zip(NAMES, found, strict=True):
        if not len(part):
            raise RequestError(f"split.{name}", "must have lists", "none", "split by another of 'part', 'time', 'user'")
    return Parts(*found)


def fit_rerank(
    pages: Pages | Parts,
    *,
    network: str = "prm",
    loss: str = "lambdarank",
    label: str = "click",
    inputs: Inputs | None = None,
    shape: Shape | None = None,
    training: Training | None = None,
    folder: Path | None = None,
    watch: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Return a model that reorders lists.

    Args:
        pages: Lists; whole ones are split by time.
        network: `prm`, `set_transformer` or `lambdamart`.
        loss: One of `LOSSES`; trees have their own.
        label: Feedback that says what is relevant; where it was not observed, a row is seen and not learned from.
        inputs: What is read; by default all columns, with the names seen five times.
        shape: How large the network is.
        training: How to learn; its seed is that of the first weights as well.
        folder: Where a run is kept that may be interrupted.
        watch: Called after every epoch.

    Raises:
        RequestError: There is no such network, loss or label; or what `train` refuses.
    """
    parts = pages if isinstance(pages, Parts) else split(pages)
    chosen, sized = training or Training(), shape or Shape()
    if loss not in LOSSES:
        raise RequestError("loss", "must be one of " + ", ".join(map(repr, LOSSES)), shown(loss))
    reads = inputs or known(parts.learned)
    history: History | None = None
    if network == "lambdamart":
        model, parity = _grown(parts, reads, label, chosen.seed)
    else:
        built = _built(network, reads, sized, chosen.seed)
        history = _learned(built, parts, reads, loss, label, chosen, folder, watch)
        model, parity = _served(built, network, reads, parts.held, link_of(loss))
    report, passes = ranks_of(model, parts.held, label=label)
    return Fitted(
        model,
        report,
        passes,
        history,
        parity,
        parts.provenance(
            network=network,
            loss=loss,
            label=label,
            shape=to_builtins(sized),
            training=to_builtins(chosen),
            parity=parity,
        ),
    )


def ranks_of(model: Model, pages: Pages, *, label: str = "click") -> tuple[RankReport, Passes]:
    """Return how good a model's order of some lists is, and what more passes do to them.

    Args:
        model: What `fit_rerank` returns.
        pages: Lists that it was not fitted on.
        label: Feedback that says what is relevant; rows of which that is not known are left out.
    """
    arrays, labels, observed = RankLists.of(pages, model.inputs, label)
    scores = np.where(observed, runtime.scores(model, arrays), np.nan)
    return rank_report(scores, labels, _users(pages)), passes_report(model, arrays, labels)


def known(pages: Pages, **how: Any) -> Inputs:
    """Return all that may be read of a log, `Inputs.known`, without which part of the log a list is in."""
    return Inputs.known(pages, **{"context": [name for name in pages.context if name != PART], **how})


def link_of(loss: str) -> Link:
    """Return what the scores say of a network that was fitted by a loss."""
    return "logistic" if loss == "bce" else "softmax"


def _built(network: str, reads: Inputs, shape: Shape, seed: int) -> nn.Module:
    sizes = to_builtins(shape)
    points, ordinal = sizes.pop("points"), sizes.pop("ordinal")
    with seeded(seed):
        match network:
            case "prm":
                return PersonalReranker(reads.sizes, **sizes)
            case "set_transformer":
                return SetTransformer(reads.sizes, points=points, ordinal=ordinal, **sizes)
            case _:
                raise RequestError("network", "must be one of " + ", ".join(map(repr, NETWORKS)), shown(network))


def _learned(
    network: nn.Module,
    parts: Parts,
    reads: Inputs,
    loss: str,
    label: str,
    settings: Training,
    folder: Path | None,
    watch: Callable[[Epoch], None] | None,
) -> History:
    """Learn from lists of which something is relevant; others say nothing of an order."""
    measured, judged = LOSSES[loss], RankLists.of(parts.judged, reads, label)

    def lost(network: nn.Module, batch: Batch) -> Tensor:
        return measured(_scored(network, batch), batch["label"], batch["observed"])

    def score(network: nn.Module) -> float:
        return float(judged.ndcg(network, _scored).mean())

    batches = RankLists.of(parts.learned, reads, label).batches(label)
    about = f"{loss} {parts.judged.digest}"
    return train(network, batches, lost, judge=score, settings=settings, about=about, folder=folder, watch=watch)


def _served(network: nn.Module, kind: str, reads: Inputs, held: Pages, link: Link) -> tuple[Model, float]:
    """Return the model that is served, and by how much it differs from the network."""
    some = tensors(reads.of_pages(held.take(np.arange(min(len(held), BLOCK)))))
    example = {name: one[:1].repeat(2, *[1] * (one.ndim - 1)) for name, one in some.items()}
    graph = export(network, example, names=["scores"])
    model = Model.of(kind, inputs=reads, graphs={"score": graph}, settings={"link": link})
    return model, check_parity(network, model, "score", some)


def _grown(parts: Parts, reads: Inputs, label: str, seed: int) -> tuple[Model, float]:
    """Return trees as they are served, and by how much they differ from what was fitted."""
    from slatewise.learn.lambdamart import Boosting, Examples, fit_lambdamart

    lists = [RankLists.of(part, reads, label) for part in parts]
    learned, judged, held = (
        Examples(one.arrays["numbers"], one.arrays["keys"], one.labels, one.observed) for one in lists
    )
    trees = fit_lambdamart(learned, judged, codes=reads.sizes.keys, boosting=Boosting(seed=seed))
    model = Model.of("lambdamart", inputs=reads, graphs={"score": trees.graph()}, settings={"link": "softmax"})
    return model, agreed(model, "score", trees.scores(held.numbers, held.keys), runtime.scores(model, lists[2].arrays))


def _scored(network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    return network(*(batch[name] for name in ARGUMENTS))


def _users(pages: Pages) -> NDArray[Any]:
    """Return whose lists they are; each is its own where that is not known."""
    return np.where(pages.user == "", pages.request, pages.user)
