"""Models at work: ONNX graphs, run by onnxruntime.

A graph is opened once and kept by what it is, so that models that share one share its session. One thread runs it, in
the order of its nodes: pages are composed side by side by as many threads as there are pages, and sums are always taken
in the same order. Cost: that of the graph, and some 20 µs for the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Kind
from slatewise.core.errors import PolicyError, did_you_mean, shown
from slatewise.core.policy import Policy
from slatewise.core.stage import Stage
from slatewise.models.model import Model

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

KEPT = 64
"""Graphs that are kept open."""
BLOCK = 64
"""Lists that are scored together: as many as a processor's cache holds the vectors of."""


class _Opened(NamedTuple):
    """A graph that is open.

    Attributes:
        session: The session.
        inputs: Arrays that it takes.
    """

    session: InferenceSession
    inputs: frozenset[str]


def check(model: Model, policy: Policy, stage: Stage, *, graphs: Sequence[str]) -> None:
    """Refuse a model that a stage of a policy cannot serve, and open its graphs.

    Args:
        model: The model, in the stage's field `model`.
        policy: The policy.
        stage: The stage.
        graphs: What it has to compute.

    Raises:
        PolicyError: Names the stage, the model, and the graph, column, feature or history.
    """
    for name in graphs:
        if name not in model.graphs:
            raise policy.error(stage, ("model",), f"must have a graph {name!r}", _named(model))
        try:
            session(model, name)
        except PolicyError as error:
            raise policy.error(
                stage, ("model", "graphs", name), error.rule, error.got or _named(model), error.hint
            ) from None
    _check_columns(model, policy, stage)
    for key in model.inputs.context:
        if key.name not in policy.head.context:
            rule = f"reads feature `{key.name}`, which `context` does not declare"
            raise policy.error(stage, ("model",), rule, _named(model), did_you_mean(key.name, policy.head.context))
    past = model.inputs.history
    kinds: dict[str, Kind] = {**policy.head.columns, "item_id": "key", "line": "key"}
    if past is not None and not kinds.get(past.name, "").startswith("key"):
        rule = f"reads the history of `{past.name}`, which must be a column of kind key or keys"
        raise policy.error(stage, ("model",), rule, _named(model))


def session(model: Model, name: str) -> InferenceSession:
    """Return the session of one of a model's graphs.

    Raises:
        PolicyError: onnxruntime is not installed, or cannot read the graph.
    """
    return _opened(model.graphs[name]).session


def run(model: Model, name: str, **arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """Return what one of a model's graphs computes.

    Args:
        model: The model.
        name: The graph.
        arrays: What it is given; what it does not take is left out.

    Raises:
        PolicyError: As `session`.
    """
    opened = _opened(model.graphs[name])
    found: Any = opened.session.run(None, {key: array for key, array in arrays.items() if key in opened.inputs})
    return list(found)


def scores(model: Model, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return (b, l) what a model's graph `score` gives rows of lists, arrays as `Inputs.of_pages` makes them."""
    lists = len(arrays["mask"])
    parts = [
        run(model, "score", **{name: array[at : at + BLOCK] for name, array in arrays.items()})[0]
        for at in range(0, lists, BLOCK)
    ]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(arrays["mask"].shape)


def _check_columns(model: Model, policy: Policy, stage: Stage) -> None:
    have: dict[str, Kind] = dict(policy.head.columns)
    for earlier in takewhile(lambda one: one is not stage, policy.stages):
        have |= earlier.writes
    for name, kind in model.inputs.reads.items():
        wanted, found = kind.rstrip("?"), have.get(name, "").rstrip("?")
        if not found:
            rule = f"reads `{name}`, which neither `columns` nor an earlier stage provides"
            raise policy.error(stage, ("model",), rule, _named(model), did_you_mean(name, have))
        if found != wanted:
            raise policy.error(stage, ("model",), f"reads `{name}` as a {wanted}, but it is a {found}", _named(model))


def _named(model: Model) -> str:
    """Return a model as refusals call it."""
    return f"{model.kind} {model.digest[:12]}"


@lru_cache(maxsize=KEPT)
def _opened(graph: bytes) -> _Opened:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise PolicyError("model", "needs onnxruntime", hint="pip install 'slatewise[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        opened = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each of its codes, and no common one
        raise PolicyError("model", "must be a graph that onnxruntime can run", shown(str(error))) from None
    return _Opened(opened, frozenset(one.name for one in opened.get_inputs()))
