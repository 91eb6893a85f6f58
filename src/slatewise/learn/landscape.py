"""Fit the landscape of each line from a log of own scores, and say how right it is on later rows.

| estimator | what it assumes | feedback |
|---|---|---|
| `transformation` | context moves one curve of any shape; a log-normal tail | any |
| `lognormal`, `loglogistic`, `weibull`, `frechet` | context moves a curve of that family | any |
| `point` | whether a score wins is logistic in its logarithm; looks at won or lost, and at no price | any |
| `kaplan_meier` | nothing; a curve for each value of the first context column | prices of wins |
| `hazard` | context moves the odds of each bin of prices, low against high | prices of wins |
| `recurrent` | any curve for any context; needs torch, and many rows | prices of wins |

`auto` takes, of the first two lines, the one under which folds of the early rows, held out in turns, are most likely.
The log is cut in time: the report is about its last part. What is written for a policy was fitted on all rows.

References:
    Those of the modules `learn.landscape_*`, one for each estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slatewise.core.columns import Numbers
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.evaluate.landscape import SMALLEST, Outcomes, Report, identified, report
from slatewise.learn import landscape_counts, landscape_hazard, landscape_location
from slatewise.learn.landscape_rows import Features, Feedback, Rows, one_hot, seen_names, whole

Log: TypeAlias = Mapping[str, NDArray[Any]]

HELD = 0.2
"""Share of the log, the latest, that is reported on."""

FOLDS = 4
"""Blocks of time that `auto` holds out in turns."""

BLOCK = 20_000
"""Rows whose curves are looked at together."""


class Landscape(Protocol):
    """What every estimator returns.

    Attributes:
        limit: Ticks up to which the rows could show anything.
    """

    @property
    def limit(self) -> int: ...

    def win(self, features: Features, scores: Numbers) -> Numbers:
        """Return (n, g) how likely scores win, in ticks."""
        ...


Fit: TypeAlias = Callable[[Rows], Landscape]


def _point(rows: Rows) -> Landscape:
    """Return the logistic regression of winning on the logarithm of the score."""
    won = rows.low < rows.score
    low, high = np.where(won, 1.0, rows.score), np.where(won, np.maximum(rows.score, 2.0), np.inf)
    return landscape_location.fit(rows._replace(low=low, high=high), link="logistic", stiffness=np.inf)


def _recurrent(rows: Rows) -> Landscape:
    from slatewise.learn import landscape_recurrent  # torch is optional

    return landscape_recurrent.fit(rows)


_family = partial(partial, landscape_location.fit, stiffness=np.inf)

ESTIMATORS: dict[str, Fit] = {
    "transformation": landscape_location.fit,
    "lognormal": _family(link="normal"),
    "loglogistic": _family(link="logistic"),
    "weibull": _family(link="smallest"),
    "frechet": _family(link="largest"),
    "point": _point,
    "kaplan_meier": landscape_counts.fit,
    "hazard": landscape_hazard.fit,
    "recurrent": _recurrent,
}
"""The estimators, by name."""

CANDIDATES: dict[str, Fit] = {
    "transformation": landscape_location.fit,
    "transformation, ridge 10": partial(landscape_location.fit, ridge=10.0),
    "transformation, logistic": partial(landscape_location.fit, link="logistic", ridge=1.0),
    **{name: ESTIMATORS[name] for name in ("lognormal", "loglogistic", "weibull", "frechet")},
}
"""What `auto` tries."""


class Fitted(NamedTuple):
    """The landscape of one line.

    Attributes:
        landscape: As fitted on all rows.
        estimator: By which estimator.
        names: Values of the context that are features, by column.
        unit: What a tick is worth.
        rows: What it was fitted on.
        report: How right the landscape of the early rows is on the late ones.
    """

    landscape: Landscape
    estimator: str
    names: dict[str, tuple[str, ...]]
    unit: float
    rows: Rows
    report: Report


def fit_line(
    log: Log,
    *,
    estimator: str = "auto",
    feedback: Feedback = "price_if_won",
    context: Sequence[str] = (),
    unit: float = 1.0,
    held: float = HELD,
    seed: int = 0,
) -> Fitted:
    """Return the landscape of the rows of a log.

    Args:
        log: Columns `score`, `won`, `price` (NaN where it is not known) and those of the context; further, if there
            are, `time`, without which rows are taken to be in order, and `cluster`, for intervals.
        estimator: A name of `ESTIMATORS`, or `auto`.
        feedback: What is seen when winning and when losing. Prices that it does not show are used to report only.
        context: Columns of features of the request.
        unit: What a tick is worth, > 0.
        held: Share of the rows, the latest, to report on, in (0, 1).
        seed: Root of the draws.

    Raises:
        RequestError: Names the column or the setting, the rule and the value.
    """
    if estimator not in ESTIMATORS and estimator != "auto":
        raise RequestError(
            "estimator", "is not known", shown(estimator), did_you_mean(estimator, (*ESTIMATORS, "auto"))
        )
    if not 0.0 < held < 1.0:
        raise RequestError("held", "must be in (0, 1)", shown(held))
    order = np.argsort(log["time"], kind="stable") if "time" in log else np.arange(len(log["score"]))
    cut = int(len(order) * (1.0 - held))
    if not 0 < cut < len(order):
        raise RequestError("log", "must have rows to fit on and rows to report on", shown(len(order)))
    keys = {name: log[name][order] for name in context}
    early = {name: column[:cut] for name, column in keys.items()}
    names = seen_names(early)
    price = log.get("price", np.full(len(order), np.nan))[order]
    rows = _rows(log["score"][order], log["won"][order], price, one_hot_of(keys, names, len(order)), feedback, unit)
    first, late = _within(rows.at(np.arange(cut)), feedback), np.arange(cut, len(order))
    name, fit = (estimator, ESTIMATORS[estimator]) if estimator != "auto" else chosen(first)
    tried = fit(first)
    outcomes = Outcomes(
        score=rows.score[late],
        won=log["won"][order][late].astype(np.bool_),
        price=whole(price[late] / unit),
        clusters=log["cluster"][order][late] if "cluster" in log else None,
    )
    cells = {
        f"{column}={value}": limit * unit
        for column, values in early.items()
        for value, limit in identified(first.score, values.tolist()).items()
    }
    found = report(outcomes, partial(wins, tried, rows.features[late]), limit=tried.limit, identified=cells, seed=seed)
    return Fitted(fit(rows), name, names, unit, rows, found)


def fit_lines(log: Log, **how: Any) -> dict[str, Fitted]:
    """Return the landscape of each line of a log, which has a column `line` if there are several.

    Args:
        log: As for `fit_line`.
        how: The rest, as for `fit_line`.
    """
    lines = log.get("line", np.full(len(log["score"]), "all", dtype=object))
    names = sorted(set(lines.tolist()))
    return {name: fit_line({key: column[lines == name] for key, column in log.items()}, **how) for name in names}


def chosen(rows: Rows, candidates: Mapping[str, Fit] = CANDIDATES) -> tuple[str, Fit]:
    """Return the name and the fit of the candidate under which blocks of rows, held out in turns, are most likely."""
    folds = np.arange(len(rows.low)) * FOLDS // max(len(rows.low), 1)
    losses = {name: cross_validated(rows, fit, folds) for name, fit in candidates.items()}
    best = min(losses, key=lambda name: losses[name])
    return best, candidates[best]


def cross_validated(rows: Rows, fit: Fit, folds: NDArray[Any]) -> float:
    """Return the mean of -log P(what was seen) of rows under landscapes that were fitted on the other folds.

    Args:
        rows: What is known of rival scores.
        fit: How to fit.
        folds: (n,) the fold of each row; two or more.
    """
    total = 0.0
    for fold in np.unique(folds):
        unseen = rows.at(folds == fold)
        total += float(surprise(fit(rows.at(folds != fold)), unseen).sum())
    return total / len(rows.low)


def surprise(landscape: Landscape, rows: Rows) -> Numbers:
    """Return (n,) -log P(what was seen of each row)."""
    bounds = wins(landscape, rows.features, np.stack([rows.low, np.where(np.isinf(rows.high), 1.0, rows.high)], axis=1))
    likely = np.where(np.isinf(rows.high), 1.0, bounds[:, 1]) - bounds[:, 0]
    return -np.log(np.maximum(likely, SMALLEST))


def wins(landscape: Landscape, features: Features, scores: Numbers) -> Numbers:
    """Return (n, g) how likely scores win, in ticks, in blocks of bounded memory."""
    starts = range(0, len(scores), BLOCK)
    return np.concatenate([landscape.win(features[at : at + BLOCK], scores[at : at + BLOCK]) for at in starts])


def one_hot_of(keys: Mapping[str, Any], names: Mapping[str, tuple[str, ...]], count: int) -> Features:
    """Return (n, d) the context of rows as features; no columns without any name."""
    used = {key: wanted for key, wanted in names.items() if wanted}
    return one_hot(keys, used) if used else None


def _rows(score: Numbers, won: Any, price: Numbers, features: Features, feedback: Feedback, unit: float) -> Rows:
    return Rows.of(score, won, price=price, features=features, feedback=feedback, unit=unit)


def _within(rows: Rows, feedback: Feedback) -> Rows:
    """Return rows whose limit is their own: what later ones show is not known yet."""
    seen = rows.low[rows.exact] if feedback in ("full", "price_if_lost") else rows.score
    return rows._replace(limit=int(seen.max(initial=1.0)))
