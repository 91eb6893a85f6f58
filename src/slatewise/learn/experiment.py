"""Fit `blend.weight` from its standing experiment: what the weights change, and a step to where more comes of pages.

Each user has a sign for each line (`Experiment`). One regression of what came of pages on all signs gives the gradient
by the logarithms of all weights at once, as the signs of lines are independent:

    d E[y] / d ln weight_b  =  (E[y | +] - E[y | -]) / (2 step)  =  coefficient_b / step

The same within each value of each feature, drawn towards the line's own gradient by how much such gradients differ
beyond chance. Weights move along it by at most `move`, which is no further than the experiment went, so that a few
rounds of fitting and serving climb; `limit` of the stage holds the sum. The anchor has no sign and stays at 1. Users
are what is independent, so standard errors are by user.

Cost: O(pages * lines^2), and a hash for each user and line.

References:
    Spall (1992), "Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient Approximation".
    Liang & Zeger (1986), "Longitudinal Data Analysis Using Generalized Linear Models", Biometrika 73, on clusters.
    Efron & Morris (1975), "Data Analysis Using Stein's Estimator and its Generalizations", JASA 70.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from slatewise.blend.weight import Experiment, Learned, Weight, sign
from slatewise.core.errors import RequestError, shown
from slatewise.evaluate.intervals import Interval

Numbers = NDArray[np.float64]
Log: TypeAlias = Mapping[str, NDArray[Any]]

LEAST = 100
"""Users below whom nothing is said of a value of a feature."""

NORMAL = 1.959964
"""Standard errors to either side of an interval of 95 %."""


class Gradient(msgspec.Struct, frozen=True):
    """What a line's weight changes.

    Attributes:
        line: The line.
        when: Feature and value; empty for all requests.
        users: Users that it rests on.
        gradient: Change of the outcome of a page, per change of the logarithm of the weight.
        step: What is added to that logarithm.
    """

    line: str
    when: dict[str, str]
    users: int
    gradient: Interval
    step: float


class Climbed(NamedTuple):
    """What was fitted from the experiment.

    Attributes:
        stage: The settings.
        gradients: What they rest on.
        unsupported: Features' values that too few users had: nothing was learned of them.
    """

    stage: Weight
    gradients: tuple[Gradient, ...]
    unsupported: tuple[dict[str, str], ...]


def fit_experiment(
    log: Log,
    *,
    stage: Weight,
    lines: Sequence[str],
    features: Sequence[str] = (),
    move: float | None = None,
) -> Climbed:
    """Return the stage after a step along the gradient that its experiment found.

    Args:
        log: Columns `user` and `outcome` of pages, and those of features.
        stage: The stage under which the pages were served, with its experiment.
        lines: The lines of the policy.
        features: Features of the request that weights may depend on.
        move: Largest change of the logarithm of a line's weight, > 0; the experiment's own step if not given.

    Raises:
        RequestError: There is no experiment, or too few users.
    """
    explore = stage.explore
    if explore is None or not explore.step > 0:
        raise RequestError("explore", "must be on in the stage under which the pages were served")
    moving = [line for line in lines if line != stage.anchor]
    users, of_user = np.unique(log["user"].astype(str), return_inverse=True)
    signs = np.array([[sign(explore.salt, user, line) for line in moving] for user in users.tolist()], np.float64)
    if len(users) < max(LEAST, 2 * len(moving)):
        raise RequestError("log.user", f"must name at least {max(LEAST, 2 * len(moving))} users", shown(len(users)))
    whole, error = _gradient(log["outcome"], signs, of_user, explore)
    found: list[_Found] = [_Found({}, len(users), whole, error)]
    unsupported: list[dict[str, str]] = []
    for name in features:
        for value in sorted(set(log[name].tolist())):
            rows = np.flatnonzero(log[name] == value)
            here = len(np.unique(of_user[rows]))
            if here < max(LEAST, 2 * len(moving)):
                unsupported.append({name: value})
                continue
            found.append(_Found({name: value}, here, *_gradient(log["outcome"][rows], signs, of_user[rows], explore)))
    steps = _steps([(one.slope, one.error) for one in found], explore.step if move is None else move)
    learned = {line: stage.learned.get(line, Learned()) for line in moving}
    gradients: list[Gradient] = []
    for (when, count, slope, spread), by in zip(found, steps, strict=True):
        for place, line in enumerate(moving):
            half = NORMAL * spread[place]
            at = float(slope[place])
            told = Interval(at, float(at - half), float(at + half), 0.95, count)
            gradients.append(Gradient(line, when, count, told, float(by[place])))
            learned[line] = _moved(learned[line], when, float(by[place]))
    return Climbed(msgspec.structs.replace(stage, learned=learned), tuple(gradients), tuple(unsupported))


class _Found(NamedTuple):
    """Gradients of all lines, for some requests."""

    when: dict[str, str]
    users: int
    slope: Numbers
    error: Numbers


def _gradient(
    outcome: Numbers, signs: Numbers, of_user: NDArray[np.int64], explore: Experiment
) -> tuple[Numbers, Numbers]:
    """Return (lines,) the gradient by logarithms of weights, and its standard errors by user."""
    columns = np.column_stack([np.ones(len(outcome)), signs[of_user]])
    inverse = np.linalg.pinv(columns.T @ columns)
    found = inverse @ (columns.T @ outcome)
    scores = columns * (outcome - columns @ found)[:, None]
    users, place = np.unique(of_user, return_inverse=True)
    by_user = np.zeros((len(users), columns.shape[1]))
    np.add.at(by_user, place, scores)
    spread = inverse @ (by_user.T @ by_user) @ inverse * len(users) / max(len(users) - columns.shape[1], 1)
    return found[1:] / explore.step, np.sqrt(np.diag(spread)[1:]) / explore.step


def _steps(found: Sequence[tuple[Numbers, Numbers]], move: float) -> list[Numbers]:
    """Return how far to go: for all requests, then what each value of a feature adds to that."""
    whole = found[0]
    drawn = [_drawn(*whole)] + [_drawn(slope - whole[0], error) for slope, error in found[1:]]
    largest = max((float(np.abs(one).max(initial=0.0)) for one in drawn), default=0.0)
    return [one * (move / largest) if largest > 0 else one for one in drawn]


def _drawn(slope: Numbers, error: Numbers) -> Numbers:
    """Return slopes drawn towards 0 by how much they are beyond chance, together."""
    between = max(0.0, float((np.square(slope) - np.square(error)).mean())) if len(slope) else 0.0
    return slope * (between / (between + np.square(error) + 1e-300))


def _moved(learned: Learned, when: Mapping[str, str], by: float) -> Learned:
    if not by:
        return learned
    if not when:
        return msgspec.structs.replace(learned, offset=learned.offset + by)
    ((name, value),) = when.items()
    values = {**learned.context.get(name, {})}
    values[value] = values.get(value, 0.0) + by
    return msgspec.structs.replace(learned, context={**learned.context, name: values})
