"""Fitted landscapes as settings of `blend.shade`: known families as such, others as grids, one for each segment.

    log-normal, log-logistic, Weibull   the family, with what each value of the context adds to log z
    anything else                       a grid for all requests, and one for each frequent context

The grid for all requests is the mean curve of the rows, F(s) = mean_i F(s; x_i), so that a context that nobody knows
gets what is true on average. Grids end at the limit: beyond it, a landscape is not known, and is not handed on. Cost:
O(segments * knots), and O(ROWS * knots) for the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import to_builtins
from scipy import sparse

from slatewise.core.artefact import Artefact
from slatewise.core.columns import Numbers
from slatewise.learn.landscape import Fitted, wins
from slatewise.learn.landscape_counts import Counts, segments
from slatewise.learn.landscape_location import KNOTS, Location, knots_of

FAMILIES = {"normal": "lognormal", "logistic": "loglogistic", "smallest": "weibull"}

ROWS = 2_000
"""Rows whose mean curve is the one for all requests."""

CURVE = 240
"""Scores at which a curve is drawn."""

LEAST, MOST = 100, 64
"""Rows that a context needs for a grid of its own, and how many contexts may have one."""


def settings(lines: Mapping[str, Fitted]) -> dict[str, Any]:
    """Return the fields of `blend.shade` for the lines."""
    found: dict[str, Any] = {"lines": {line: landscape(fitted) for line, fitted in lines.items()}}
    segments_of: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for line, fitted in lines.items():
        for when, one in by_context(fitted):
            segments_of.setdefault(tuple(when.items()), {})[line] = one
    # the first that matches counts, so those that say most come first
    precise = sorted(segments_of.items(), key=lambda item: -len(item[0]))
    if precise:
        found["segments"] = [{"when": dict(when), "lines": those} for when, those in precise]
    return found


def artefact(lines: Mapping[str, Fitted], provenance: Mapping[str, Any]) -> Artefact:
    """Return the landscapes of lines as a file that a policy takes settings from.

    Args:
        lines: Line to its landscape.
        provenance: Where they come from, as far as the landscapes do not say it.
    """
    return Artefact(
        section="blend.shade",
        settings=settings(lines),
        report=to_builtins({line: fitted.report for line, fitted in lines.items()}),
        provenance={
            **provenance,
            "estimators": {line: fitted.estimator for line, fitted in lines.items()},
        },
    )


def curves(fitted: Fitted, *, most: int) -> tuple[Numbers, dict[str, Numbers]]:
    """Return scores, half beyond the limit as well, and the curves there: the mean, and the most frequent contexts.

    Args:
        fitted: The landscape.
        most: How many curves, at most, >= 1.
    """
    ticks = np.linspace(1.0, 1.5 * fitted.landscape.limit, CURVE)
    rows, counts = _distinct(fitted.rows.features)
    shown = {"all": fitted.rows.features[:: max(len(fitted.rows.low) // ROWS, 1)]}
    for row in rows[np.argsort(-counts, kind="stable")][: most - 1 if len(rows) > 1 else 0]:
        one = fitted.rows.features[[row]]
        shown[", ".join(_named(one.indices, fitted.names).values()) or "others"] = one
    return ticks * fitted.unit, {name: _mean(fitted, features, ticks) for name, features in shown.items()}


def landscape(fitted: Fitted) -> dict[str, Any]:
    """Return the landscape of all requests, as `blend.shade` takes it."""
    model, limit = fitted.landscape, fitted.landscape.limit * fitted.unit
    if isinstance(model, Location) and _is_family(model):
        return {"curve": _family(model, fitted.unit), "limit": limit, "shift": _shift(model, fitted)}
    if isinstance(model, Counts):
        return {"curve": grid(fitted, None), "limit": limit}
    rows = fitted.rows
    step = max(len(rows.low) // ROWS, 1)
    return {"curve": grid(fitted, rows.features[::step]), "limit": limit}


def by_context(fitted: Fitted) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield each frequent context, the most frequent one first, with its landscape; none for a known family."""
    model, features = fitted.landscape, fitted.rows.features
    known = isinstance(model, Location) and _is_family(model)
    if known or not features.shape[1]:
        return
    if isinstance(model, Counts):  # its curves are those of the first context column that a row has
        features = sparse.csr_matrix(
            (np.ones(features.shape[0]), segments(features), np.arange(features.shape[0] + 1)),
            (features.shape[0], features.shape[1] + 1),
        )[:, : features.shape[1]]
    features.sort_indices()
    rows, counts = _distinct(features)
    for row in rows[np.argsort(-counts, kind="stable")][:MOST]:
        one = features[[row]]
        if one.nnz and counts[rows == row][0] >= LEAST:
            limit = model.limit * fitted.unit
            yield _named(one.indices, fitted.names), {"curve": grid(fitted, one), "limit": limit}


def grid(fitted: Fitted, features: Any) -> dict[str, Any]:
    """Return the mean curve of some contexts, up to the limit; the curve of no context for None."""
    model = fitted.landscape
    knots = knots_of(fitted.rows._replace(limit=model.limit), KNOTS)
    if features is None:
        features = sparse.csr_matrix((1, fitted.rows.features.shape[1]))
    curve: dict[str, Any] = {
        "family": "grid",
        "scores": (knots * fitted.unit).tolist(),
        "wins": np.round(_mean(fitted, features, knots), 9).tolist(),
    }
    if isinstance(model, Counts):
        curve["errors"] = np.clip(_errors(model, features, knots), 0.0, 1.0).round(9).tolist()
    return curve


def _mean(fitted: Fitted, features: Any, ticks: Numbers) -> Numbers:
    """Return the mean curve of contexts at rising scores."""
    scores = np.broadcast_to(ticks, (features.shape[0], len(ticks)))
    return np.maximum.accumulate(np.clip(wins(fitted.landscape, features, scores).mean(axis=0), 0.0, 1.0))


def _is_family(model: Location) -> bool:
    """Whether the curve is a straight line in the logarithm of scores, of a family that has a name."""
    if model.link not in FAMILIES:
        return False
    straight = model.rise[0] + model.slope * np.log(model.knots)
    return bool(np.allclose(model.rise, straight, rtol=1e-9, atol=1e-9))


def _family(model: Location, unit: float) -> dict[str, Any]:
    location = float(np.log(unit) - model.rise[0] / model.slope)
    return {"family": FAMILIES[model.link], "location": location, "scale": 1.0 / model.slope}


def _shift(model: Location, fitted: Fitted) -> dict[str, dict[str, float]]:
    """Return what each value of each column adds to log z."""
    found: dict[str, dict[str, float]] = {}
    shifts = iter((model.weights / model.slope).tolist())
    for column, values in fitted.names.items():
        found[column] = {value: next(shifts) for value in values}
    return {column: values for column, values in found.items() if values}


def _distinct(features: Any) -> tuple[Any, Any]:
    """Return a row of each context that there is, and how many rows have it."""
    contexts = [features.indices[a:b].tobytes() for a, b in zip(features.indptr, features.indptr[1:], strict=False)]
    _, rows, counts = np.unique(np.array(contexts, dtype=object), return_index=True, return_counts=True)
    return rows, counts


def _named(indices: Any, names: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the context that features stand for."""
    flat = [(column, value) for column, values in names.items() for value in values]
    return dict(flat[index] for index in indices)


def _errors(model: Counts, features: Any, knots: Numbers) -> Numbers:
    errors = model.errors[segments(features)[0]]
    return np.interp(knots, model.bins.edges, errors)
