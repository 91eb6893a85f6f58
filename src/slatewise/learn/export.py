"""Networks as ONNX: what torch has fitted, for where there is no torch.

A network is traced on an example, with the axes that may have other lengths. What comes out is run by onnxruntime on
the same example, and must give what torch gives: a network that does not survive the way is refused here, and not found
out on pages. Cost: seconds at most, and a few runs of the network.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slatewise.core.errors import SlatewiseError
from slatewise.models import runtime
from slatewise.models.inputs import Inputs, Number
from slatewise.models.model import Model

Axes: TypeAlias = Mapping[str, Mapping[int, str]]

PARITY = 1e-5
"""Largest difference between torch and onnxruntime that is rounding, for numbers of about 1."""

LISTS: Axes = {
    "numbers": {0: "lists", 1: "rows"},
    "keys": {0: "lists", 1: "rows"},
    "context": {0: "lists"},
    "history": {0: "lists"},
    "mask": {0: "lists", 1: "rows"},
    "scores": {0: "lists", 1: "rows"},
}
"""Axes of a network that scores rows of lists."""


def export(network: nn.Module, example: Mapping[str, Tensor], *, names: Sequence[str], dynamic: Axes = LISTS) -> bytes:
    """Return what a network computes, as ONNX.

    Args:
        network: The network; it is traced as it is when nothing is learned.
        example: Arguments of `forward`, in its order; lengths of 2 or more, so that none is taken for granted.
        names: What it returns.
        dynamic: Axes of arguments and results that may have other lengths, and their names.
    """
    learning = network.training
    network.eval()
    file: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter's plans for itself, and of branches on lengths
        torch.onnx.export(
            network,
            tuple(example.values()),
            file,
            dynamo=False,
            input_names=list(example),
            output_names=list(names),
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items() if name in (*example, *names)},
        )
    network.train(learning)
    onnx.checker.check_model(file.getvalue())
    return file.getvalue()


def check_parity(
    network: nn.Module, model: Model, name: str, example: Mapping[str, Tensor], *, tolerance: float = PARITY
) -> float:
    """Return the largest difference between a network and the graph that was made of it.

    Args:
        network: The network.
        model: What it became.
        name: The graph.
        example: Arguments of `forward`; others than it was exported with say more.
        tolerance: What is too much, relative to the largest number where that is above 1.

    Raises:
        SlatewiseError: It is more than that.
    """
    learning = network.training
    network.eval()
    with torch.no_grad():
        wanted = network(*example.values())
    network.train(learning)
    told = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    found = runtime.run(model, name, **{key: value.numpy() for key, value in example.items()})
    pairs = zip(told, found, strict=True)
    return max((agreed(model, name, one.numpy(), other, tolerance=tolerance) for one, other in pairs), default=0.0)


def agreed(model: Model, name: str, wanted: NDArray[Any], found: NDArray[Any], *, tolerance: float = PARITY) -> float:
    """Return the largest difference between what was fitted and what a graph of the model gives.

    Raises:
        SlatewiseError: It is more than the tolerance, relative to the largest number where that is above 1.
    """
    scale = max(float(np.abs(wanted).max(initial=0.0)), 1.0)
    off = float(np.abs(wanted - found).max(initial=0.0)) / scale
    if not off <= tolerance:
        raise SlatewiseError(f"{model.kind}.{name}", f"must be within {tolerance:g} of what was fitted", f"{off:.2g}")
    return off


def weighted(weights: Mapping[str, float]) -> Model:
    """Return a model that scores rows by weighted columns: the smallest one that there is, to try things out with.

    Args:
        weights: Column to weight; scores are log-odds.
    """
    network = _Weighted(torch.tensor(list(weights.values())))
    numbers = torch.zeros(2, 2, len(weights))
    inputs = Inputs(numbers=tuple(Number(name=name) for name in weights), position=1)
    graph = export(network, {"numbers": numbers}, names=["scores"])
    return Model.of("weighted", inputs=inputs, graphs={"score": graph}, settings={"link": "logistic"})


class _Weighted(nn.Module):
    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, numbers: Tensor) -> Tensor:
        return numbers @ self.weights


def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Return arrays as tensors that share their memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
