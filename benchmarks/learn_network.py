"""The decoder of pages with ads: what is proven of it, and what its bounds cost.

Networks are fitted on 4,000 pages of the feed with ads, whose truth is known. A bound is tried on pages that are drawn,
below every prefix of each, for weights that are random and for those that were fitted. What it costs to hold context
within a bound is measured against the same network without one, on lists that neither was fitted on: NDCG@5 of clicks
within the rows shown, lists without a click left out, ties averaged. `python benchmarks/learn_network.py bounds` sweeps
the bound, and `parts` leaves out one part of the network at a time.
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from report import Row, fastest, show
from slatewise.evaluate.adfeed import requested, truth
from slatewise.evaluate.adworld import AdWorld, catalogue
from slatewise.evaluate.ranking import ndcg_by_score
from slatewise.learn.adfeed import sample
from slatewise.learn.decode import Recipe, learned, shape_of
from slatewise.learn.decode_export import served
from slatewise.learn.decode_lists import arrays_of, likelihoods
from slatewise.learn.decode_report import asked, calibrate, worths
from slatewise.learn.rerank import Parts, known, split
from slatewise.learn.training import Training
from slatewise.models import runtime
from slatewise.models.decoder import Decoder
from slatewise.models.decoder_parts import Shape
from slatewise.models.inputs import Arrays, Inputs

PAGES, DRAWN = 4000, 12
"""Pages of the log, and pages that are drawn of each list on which bounds are tried."""
SHAPE = {"width": 32, "hidden": 64}
TRAINING = Training(rate=2e-3, batch=128, device="cpu")
LOOSE, COST, PARITY, SHARED = 1.3, 1e-3, 1e-5, 1e-12
"""What is wanted: of U / R in the median, of what a bound costs, of ONNX, and of prefixes that are shared."""


class Fed(NamedTuple):
    """The feed, as networks learn from it.

    Attributes:
        inputs: What is read.
        parts: The log, split by time.
        arrays: Lists to learn from, to judge by and to report on.
        shape: Of the network.
    """

    inputs: Inputs
    parts: Parts
    arrays: list[Arrays]
    shape: Shape


def rows() -> list[Row]:
    """Return the targets."""
    torch.set_num_threads(1)
    fed = loaded(PAGES)
    network, report = measured(fed, fed.shape)
    _, free = measured(fed, fed.shape._replace(bound=float("inf")))
    torch.manual_seed(1)
    untrained = Decoder(fed.inputs.sizes, fed.shape).eval().requires_grad_(False)
    with torch.no_grad():
        for weights in untrained.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    pages = drawn(fed)
    tried = [ratios(one, pages) for one in (untrained, network)]
    broken = [int((one < 1 - 1e-6).sum()) for one in tried]
    cost = free["ndcg@5"] - report["ndcg@5"]
    model, parity = served(network, fed.inputs, fed.arrays[2])
    halves = [shared(network.to(dtype), fed.arrays[2]) for dtype in (torch.float32, torch.float64)]
    return [
        Row(
            "decoder: pages above their bound", "0", f"{broken[0]} random weights, {broken[1]} fitted",
            f"{tried[0].size + tried[1].size:,} prefixes of pages", sum(broken) == 0,
        ),
        Row(
            "decoder: bound over worth, median", f"≤ {LOOSE:g}",
            f"{np.median(tried[1]):.3f}; {np.median(tried[1][:, 0]):.3f} with no prefix",
            f"random weights {np.median(tried[0]):.3f}", bool(np.median(tried[1][:, 0]) <= LOOSE),
        ),
        Row(
            "decoder: NDCG@5 that the bound costs", f"≤ {COST:g}", f"{cost:+.4f}",
            f"free {free['ndcg@5']:.4f}", cost <= COST,
        ),
        Row("decoder: ONNX against torch", f"≤ {PARITY:g}", f"{parity:.1e}", "", parity <= PARITY),
        Row(
            "decoder: shared prefixes against whole pages", f"≤ {PARITY:g}, {SHARED:g} in float64",
            f"{halves[0]:.1e}, {halves[1]:.1e}", "", halves[0] <= PARITY and halves[1] <= SHARED,
        ),
        Row(
            "decoder: 60 × 6 slots below a prefix, ONNX", "≤ 1.5 ms", f"{extending(network.float(), model):.2f} ms",
            "one core", extending(network, model) <= 1.5,
        ),
    ]  # fmt: skip


def loaded(count: int) -> Fed:
    """Return pages of the feed."""
    world = AdWorld()
    parts = split(sample(count, world=world, stock=catalogue(world), seed=0))
    inputs, shape = known(parts.learned), shape_of(parts.learned, **SHAPE)
    how = {"ads": ("ads",), "slots": shape.slots, "label": "click", "exposed": "exposed"}
    return Fed(inputs, parts, [arrays_of(part, inputs, **how) for part in parts], shape)


def measured(fed: Fed, shape: Shape, recipe: Recipe | None = None) -> tuple[Decoder, dict[str, float]]:
    """Return a network that was fitted, and how good it is."""
    start = time.process_time()
    network, _ = learned(fed.inputs, shape, fed.arrays[0], fed.arrays[1], recipe=recipe or Recipe(), training=TRAINING)
    took = time.process_time() - start
    calibrate(network, fed.arrays[1])
    found, batch = asked(network, fed.arrays[2])
    click, leave = likelihoods(found.click, found.leave, batch)
    scores = torch.where(batch["clicks"] > 0, found.click, torch.nan).double().numpy()
    label = batch["label"].double().numpy()
    telling = label.any(axis=1)
    worth, ceilings = worths(found)
    return network, {
        "ndcg@5": float(ndcg_by_score(label[telling], scores[telling], 5, ties="average").mean()),
        "click": float(click),
        "leave": float(leave),
        "to truth": divergence(fed, found),
        "amplitude": float(found.click_amplitude.mean()),
        "U/R": float((ceilings[:, 0] / worth).median()),
        "fit, s": took,
    }


def divergence(fed: Fed, found: Any) -> float:
    """Return how far chances of clicks are from the truth: the mean of KL over pages, slots by how likely seen."""
    world = AdWorld()
    stock, held, arrays = catalogue(world), fed.parts.held, fed.arrays[2]
    total, chances = 0.0, found.click.double().sigmoid().numpy()
    for one, name in enumerate(held.request.tolist()):
        request = requested(world, stock, int(name.removeprefix("adfeed-")))
        start = held.starts[one]
        names = [held.keys["item"].name(start + row) for row in arrays["page"][one].tolist()]
        places = {_named(item, world, stock): row for row, item in enumerate(request.items.tolist())}
        seen, click = (
            each[0] for each in truth(world, request, np.array([[places[item] for item in names]], np.int32))
        )
        told = chances[one]
        total += float((seen * (click * np.log(click / told) + (1 - click) * np.log((1 - click) / (1 - told)))).sum())
    return total / len(held)


def _named(item: int, world: AdWorld, stock: Any) -> str:
    posts = len(stock.bid) - world.ads
    return f"post{item}" if item < posts else f"ad{item - posts}"


def drawn(fed: Fed) -> Arrays:
    """Return lists with pages that are drawn: posts in their order, up to two ads anywhere."""
    arrays, rng = fed.arrays[2], np.random.default_rng(0)
    found = {name: np.repeat(array, DRAWN, axis=0) for name, array in arrays.items()}
    slots = fed.shape.slots
    for place, is_ad in enumerate(found["is_ad"]):
        ads = rng.choice(np.flatnonzero(is_ad), size=rng.integers(3), replace=False)
        posts = np.flatnonzero(~is_ad & found["mask"][place])[: slots - len(ads)]
        found["page"][place] = np.insert(posts, np.sort(rng.integers(len(posts) + 1, size=len(ads))), ads)
    return found


def ratios(network: Decoder, arrays: Arrays) -> Any:
    """Return (b, k) what pages may be worth at most below each prefix, over what they are worth."""
    found, _ = asked(network, arrays)
    worth, ceilings = worths(type(found)(*(one.double() for one in found)))
    return (ceilings / worth[:, None]).numpy()


@torch.no_grad()
def shared(network: Decoder, arrays: Arrays) -> float:
    """Return the largest difference of contexts: pages below a prefix that they share, and each of them alone."""
    first = {
        name: torch.from_numpy(arrays[name][:1]) for name in ("numbers", "keys", "context", "history", "mask", "is_ad")
    }
    first["numbers"] = first["numbers"].to(network.place)
    token = network.prepare(first).token[0]
    slots, top = torch.arange(token.shape[1]), 6
    chains = torch.stack([(slots + page * (slots >= top)) % len(token) for page in range(20)])
    prefix = network.extend(token[chains[:1, :top], slots[:top]], *network.nothing, network.mask(0, top))
    mask = network.mask(top, len(slots) - top)
    together = network.extend(token[chains[:, top:], slots[top:]], prefix.keys, prefix.values, mask)
    alone = [
        network.extend(token[chain, slots][None], *network.nothing, network.mask(0, len(slots))) for chain in chains
    ]
    off = [(one.click[0, top:] - click).abs().max() for one, click in zip(alone, together.click, strict=True)]
    off += [(one.leave[0, top:] - leave).abs().max() for one, leave in zip(alone, together.leave, strict=True)]
    return float(torch.stack(off).max())


def extending(network: Decoder, model: Any) -> float:
    """Return how long onnxruntime takes for 60 ends of 6 slots below prefixes of 6, in milliseconds."""
    rng, shape = np.random.default_rng(0), network.shape
    token = rng.normal(size=(60, 6, shape.width)).astype(np.float32)
    keys = rng.normal(size=(shape.layers, 60, network.heads, 6, network.each)).astype(np.float32)
    mask = network.mask(6, 6).numpy()
    call = lambda: runtime.run(model, "extend", token=token, prefix_keys=keys, prefix_values=keys, mask=mask)  # noqa: E731
    return fastest(call, passes=30, repeat=5)[0] / 1000


def table(found: dict[str, dict[str, float]]) -> None:
    """Print figures of several networks."""
    names = list(next(iter(found.values())))
    print(f"{'':18s}" + "".join(f"{name:>12s}" for name in names))
    for name, figures in found.items():
        print(f"{name:18s}" + "".join(f"{figures[figure]:12.4f}" for figure in names))


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["bounds"]:
            bounds = (0.5, 1.0, 1.5, float("inf"))
            fed = loaded(PAGES)
            table({f"bound {bound:g}": measured(fed, fed.shape._replace(bound=bound))[1] for bound in bounds})
        case ["parts"]:
            fed = loaded(PAGES)
            left: dict[str, dict[str, Any]] = {
                "all": {}, "no experts": {"experts": 0}, "no bands": {"bands": ()}, "no cross": {"crossed": 0},
                "no set": {"around": 0}, "one layer": {"layers": 1}, "width 64": {"width": 64, "hidden": 128},
            }  # fmt: skip
            table({name: measured(fed, fed.shape._replace(**one))[1] for name, one in left.items()})
        case _:
            show(rows())
