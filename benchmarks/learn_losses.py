"""Losses and soft sorting beside those of other packages: the same numbers, the same networks, and how long they take.

allRank 1.4.3 and torchsort 0.1.10 (torch), rax 0.4.0 (JAX). allRank asks for a torch of 2021, and for torchvision and
gcsfs, which its losses do not need: it is installed without what it depends on, and stands here without them. A peer
that is not installed is named so. The learning-to-rank sample has 201 queries to learn from and 50 to judge by: it can
find bugs, and cannot rank libraries. `SLATEWISE_DATA` says where it is.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from report import Row, show
from slatewise.evaluate.ranking import ndcg_by_score
from slatewise.learn import losses
from slatewise.learn.training import Padded, Training, train
from slatewise.models.softsort import soft_rank

DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ltr"
FEATURES, PADDED, SEEDS = 301, -1, range(3)
CLOSE, NDCG_CLOSE = 1e-5, 0.003
SETTINGS = Training(rate=1e-3, batch=32, epochs=15, patience=15, device="cpu")

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def rows() -> list[Row]:
    """Return the targets."""
    torch.set_num_threads(1)
    allrank, rax, torchsort = allranks(), raxes(), there("torchsort")
    return [
        *(equal(name, ours(name), peer, "allRank") for name, peer in allrank.items()),
        *(equal(name, ours(name), peer, "rax") for name, peer in rax.items()),
        *([] if allrank else [absent("losses equal to allRank's", "allRank")]),
        *([] if rax else [absent("losses equal to rax's", "rax")]),
        *(ranks_equal(torchsort) if torchsort else [absent("soft ranks equal to torchsort's", "torchsort")]),
        *(faster("NeuralNDCG", length, ours("neural_ndcg"), allrank["neural_ndcg"]) for length in (30, 60) if allrank),
        *(faster("LambdaRank", length, ours("lambdarank"), allrank["lambdarank"]) for length in (30, 60) if allrank),
        *(as_good(name, allrank[name]) for name in ("neural_ndcg", "lambdarank") if allrank and DATA.is_dir()),
        *([as_good_as_trees()] if DATA.is_dir() and find_spec("lightgbm") else []),
    ]


def absent(target: str, package: str) -> Row:
    """Return a row that says that there is nothing to compare with."""
    return Row(f"losses: {target}", f"< {CLOSE:g}", "not compared", f"{package} is not installed", False)


def there(name: str) -> Any:
    """Return a module, None if it is not installed."""
    return import_module(name) if find_spec(name) else None


# --- peers --------------------------------------------------------------------------------------------------------


def ours(name: str) -> Loss:
    """Return a loss as it is compared with others."""
    return partial(losses.LOSSES[name], temperature=1.0) if name == "approx_ndcg" else losses.LOSSES[name]


def allranks() -> dict[str, Loss]:
    """Return allRank's losses in our terms, none if it is not installed."""
    if not find_spec("allrank"):
        return {}
    for name in ("allrank.data.dataset_loading", "gcsfs"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["allrank.data.dataset_loading"].PADDED_Y_VALUE = PADDED  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = import_module("allrank.models.losses")

    def lambdas(scheme: str) -> Loss:
        def found(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
            given = labels.masked_fill(~mask, PADDED)
            return theirs.lambdaLoss(scores, given, weighing_scheme=scheme, reduction_log="natural") / len(scores)

        return found

    def neural(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        # a mean over lists with something relevant; ours is over all lists, the others losing nothing
        share = ((labels > 0) & mask).any(dim=1).float().mean()
        return share * (1.0 + theirs.neuralNDCG(scores, labels.masked_fill(~mask, PADDED)))

    def padded(loss: Callable[[Tensor, Tensor], Tensor], less: float = 0.0) -> Loss:
        return lambda scores, labels, mask: less + loss(scores, labels.masked_fill(~mask, PADDED))

    return {
        "neural_ndcg": neural,
        "lambdarank": lambdas("lambdaRank_scheme"),
        "lambda_loss": lambdas("ndcgLoss2PP_scheme"),
        "listnet": padded(theirs.listNet),
        "listmle": padded(theirs.listMLE),
        "approx_ndcg": padded(theirs.approxNDCGLoss, 1.0),
    }


def raxes() -> dict[str, Loss]:
    """Return rax's losses in our terms, as functions of torch with their slopes; none if it is not installed."""
    if not find_spec("rax"):
        return {}
    jax, rax = import_module("jax"), import_module("rax")
    numpy = jax.numpy

    def mean(loss: Callable[..., Any]) -> Loss:
        def whole(scores: Any, labels: Any, mask: Any) -> Any:
            return numpy.mean(jax.vmap(lambda s, y, there: loss(s, y, where=there))(scores, labels, mask))

        def found(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
            given = [numpy.asarray(one.detach().numpy()) for one in (scores, labels.masked_fill(~mask, 0.0), mask)]
            value, slope = jax.value_and_grad(whole)(*given)
            # a function that has this value and this slope
            return float(value) + ((scores - scores.detach()) * torch.from_numpy(np.array(slope))).sum()

        return found

    def lambdarank(scores: Any, labels: Any, where: Any) -> Any:
        weights = partial(rax.dcg_lambdaweight, normalize=True)
        total = rax.pairwise_logistic_loss(scores, labels, where=where, lambdaweight_fn=weights, reduce_fn=numpy.sum)
        return total / scores.shape[-1]

    def softmax(scores: Any, labels: Any, where: Any) -> Any:
        return rax.softmax_loss(scores, labels / numpy.maximum(labels.sum(), 1e-9), where=where, reduce_fn=numpy.sum)

    def ranknet(scores: Any, labels: Any, where: Any) -> Any:
        return rax.pairwise_logistic_loss(scores, labels, where=where)

    return {
        "softmax": mean(softmax),
        "listmle": mean(partial(rax.listmle_loss, reduce_fn=numpy.sum)),
        "ranknet": mean(ranknet),
        "lambdarank": mean(lambdarank),
    }


# --- the same numbers ---------------------------------------------------------------------------------------------


def lists(length: int, *, count: int = 64, distinct: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, labels and a mask; labels all differ where ties would be broken by chance."""
    rng = np.random.default_rng(length)
    scores = torch.from_numpy(rng.normal(size=(count, length)).astype(np.float32))
    labels = rng.permuted(np.tile(np.arange(length), (count, 1)), axis=1) / length * 4
    mask = torch.arange(length) < torch.from_numpy(rng.integers(2, length + 1, (count, 1)))
    return scores, torch.from_numpy(labels if distinct else np.round(labels)).float(), mask


def slopes(loss: Loss, given: tuple[Tensor, Tensor, Tensor]) -> tuple[float, Tensor]:
    """Return the value and the slopes."""
    scores = given[0].clone().requires_grad_()
    value = loss(scores, *given[1:])
    value.backward()
    assert scores.grad is not None
    return value.item(), scores.grad


def equal(name: str, loss: Loss, peer: Loss, package: str) -> Row:
    """Return how far values and slopes are apart, of lists of 2 to 20 rows."""
    given = lists(20, distinct=name == "listmle")
    (value, slope), (wanted, wanted_slope) = slopes(loss, given), slopes(peer, given)
    off = abs(value - wanted) / max(abs(wanted), 1.0)
    apart = float((slope - wanted_slope).abs().max() / wanted_slope.abs().max())
    told = f"value {off:.1e}, slopes {apart:.1e}"
    return Row(f"losses: {name}, difference", f"< {CLOSE:g}", told, package, max(off, apart) < CLOSE)


def ranks_equal(torchsort: Any) -> list[Row]:
    """Return how far soft ranks are from torchsort's, and the time of both."""
    scores, _, _ = lists(60)
    mask = torch.ones_like(scores, dtype=torch.bool)
    apart = 0.0
    for kind, strength in itertools.product(("l2", "kl"), (0.1, 1.0, 5.0)):
        found = soft_rank(scores.double(), mask, regularisation=strength, regulariser=kind)  # type: ignore[arg-type]
        # theirs count from the smallest
        wanted = torchsort.soft_rank(-scores.double(), regularization=kind, regularization_strength=strength)
        apart = max(apart, float((found - wanted).abs().max()))
    loss: Loss = lambda scores, labels, mask: (soft_rank(scores, mask) * labels).sum()  # noqa: E731
    peer: Loss = lambda scores, labels, mask: (torchsort.soft_rank(-scores) * labels).sum()  # noqa: E731
    return [
        Row("losses: soft ranks, l2 and kl, difference", "< 1e-8", f"{apart:.1e}", "torchsort", apart < 1e-8),
        *(faster("soft rank", length, loss, peer, "torchsort", whole=True) for length in (30, 200)),
    ]


# --- the same time ------------------------------------------------------------------------------------------------


def faster(name: str, length: int, loss: Loss, peer: Loss, package: str = "allRank", whole: bool = False) -> Row:
    """Return the time of value and slopes for 64 lists, beside that of a peer."""
    given = lists(length)
    if whole:
        given = (*given[:2], torch.ones_like(given[2]))
    best = [float("inf")] * 2
    for _ in range(15):
        for place, one in enumerate((loss, peer)):
            start = time.perf_counter()
            slopes(one, given)
            best[place] = min(best[place], time.perf_counter() - start)
    told = f"{best[0] * 1e3:.2g} ms, {best[0] / best[1]:.2g} times the peer's"
    target = f"losses: {name}, 64 lists of {length}, value and slopes"
    return Row(target, "≤ the peer's", told, f"{package} {best[1] * 1e3:.2g} ms", best[0] <= best[1])


# --- the same networks --------------------------------------------------------------------------------------------


def sample(name: str) -> dict[str, np.ndarray]:
    """Return the lists of the sample, padded; a feature that a row does not name is 0."""
    table = [line.split() for line in (DATA / name).read_text().splitlines()]
    sizes = np.array((DATA / f"{name}.query").read_text().split(), np.int64)
    mask = np.arange(sizes.max()) < sizes[:, None]
    numbers, labels = np.zeros((*mask.shape, FEATURES), np.float32), np.zeros(mask.shape, np.float32)
    for (at, slot), row in zip(np.argwhere(mask), table, strict=True):
        labels[at, slot] = float(row[0])
        for told in row[1:]:
            feature, _, value = told.partition(":")
            numbers[at, slot, int(feature)] = float(value)
    return {"numbers": numbers, "label": labels, "mask": mask}


def ndcg(lists: dict[str, np.ndarray], scores: np.ndarray) -> float:
    """Return NDCG@5, 2^y - 1, mean over orders of ties, lists with nothing relevant left out."""
    given = np.where(lists["mask"], scores, np.nan)
    return float(np.nanmean(ndcg_by_score(lists["label"], given, 5, gain="exp2", ties="average")))


def learned(loss: Loss, seed: int) -> float:
    """Return NDCG@5 on the test queries, of a network of one hidden layer that was trained for so many epochs."""
    given, held = sample("rank.train"), sample("rank.test")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1))
    count = itertools.count()  # the last epoch is the best
    train(
        network,
        Padded(given),
        lambda network, batch: loss(network(batch["numbers"])[:, :, 0], batch["label"], batch["mask"]),
        judge=lambda _: float(next(count)),
        settings=Training(**{name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__} | {"seed": seed}),
    )
    with torch.no_grad():
        return ndcg(held, network(torch.from_numpy(held["numbers"]))[:, :, 0].numpy())


def as_good(name: str, peer: Loss) -> Row:
    """Return NDCG@5 of networks that learned by our loss and by a peer's, from the same first weights."""
    found, wanted = ([learned(loss, seed) for seed in SEEDS] for loss in (ours(name), peer))
    apart = max(abs(one - other) for one, other in zip(found, wanted, strict=True))
    told = f"{np.mean(found):.4f}, at most {apart:.4f} apart in {len(SEEDS)} seeds"
    target = f"losses: {name}, NDCG@5 on the LTR sample"
    return Row(target, f"within {NDCG_CLOSE}", told, f"allRank {np.mean(wanted):.4f}", apart <= NDCG_CLOSE)


def as_good_as_trees() -> Row:
    """Return NDCG@5 of trees on our slopes of LambdaRank, beside LightGBM's own."""
    lightgbm = import_module("lightgbm")
    given, held = sample("rank.train"), sample("rank.test")
    mask = torch.from_numpy(given["mask"])
    labels = torch.from_numpy(given["label"]).double()

    def objective(flat: np.ndarray, _: Any) -> tuple[np.ndarray, np.ndarray]:
        scores = torch.zeros(mask.shape, dtype=torch.float64)
        scores[mask] = torch.from_numpy(flat)
        _, slope = slopes(losses.lambdarank, (scores, labels, mask))
        return len(scores) * slope[mask].numpy(), bends(scores, labels, mask)[mask].numpy()

    found = []
    for own in (True, False):
        settings = {
            "objective": objective if own else "lambdarank",
            "lambdarank_norm": False,
            "lambdarank_truncation_level": 1000,
            "min_data_in_leaf": 20,
            "deterministic": True,
            "num_threads": 1,
            "verbosity": -1,
            "boost_from_average": False,
        }
        rows = lightgbm.Dataset(
            given["numbers"][given["mask"]], given["label"][given["mask"]], group=given["mask"].sum(axis=1)
        )
        booster = lightgbm.train(settings, rows, num_boost_round=60)
        scores = booster.predict(held["numbers"].reshape(-1, FEATURES)).reshape(held["mask"].shape)
        found.append(ndcg(held, scores))
    told = f"{found[0]:.4f}, {abs(found[0] - found[1]):.4f} apart"
    target = "losses: trees on our slopes of LambdaRank, NDCG@5 on the LTR sample"
    return Row(target, f"within {NDCG_CLOSE}", told, f"LightGBM {found[1]:.4f}", abs(found[0] - found[1]) <= NDCG_CLOSE)


def bends(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Return (b, n) second derivatives of LambdaRank, sums of w sigmoid (1 - sigmoid) over pairs."""
    discounts = 1.0 / torch.log2(torch.arange(2.0, mask.shape[1] + 2.0, dtype=torch.float64))
    gains = (torch.exp2(labels) - 1.0).masked_fill(~mask, 0.0)
    best = (gains.sort(descending=True).values * discounts).sum(dim=1).clamp(min=1e-9)
    ranks = scores.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    placed = discounts[ranks]
    change = (gains[:, :, None] - gains[:, None, :]) * (placed[:, :, None] - placed[:, None, :])
    chance = torch.sigmoid(scores[:, :, None] - scores[:, None, :])
    there = mask[:, :, None] & mask[:, None, :]
    return (change.abs() / best[:, None, None] * chance * (1.0 - chance) * there).sum(dim=2)


if __name__ == "__main__":
    show(rows())
