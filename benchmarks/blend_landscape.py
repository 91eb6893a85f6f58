"""How likely a score wins: every estimator on a campaign whose rivals' prices are known, and one that does it all.

The campaign is iPinYou 2259, 8,355 rows to fit on and 4,171 later ones, of which prices are looked at only to judge.
Own scores end at 89 and prices at 294; half of the later prices are beyond the largest own score. Ridge and stiffness
were chosen on the rows to fit on alone, days held out in turns (`choices` prints that); that the distribution is normal
was not. By the same choice it would be logistic, with ridge 1: a row of its own. `SLATEWISE_SLOW=1` adds the recurrent
network.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from report import Row, show
from slatewise.evaluate.landscape import Outcomes, Report, report
from slatewise.learn import landscape_location
from slatewise.learn.landscape import ESTIMATORS, Fit, Landscape, cross_validated, wins
from slatewise.learn.landscape_links import Link
from slatewise.learn.landscape_rows import Rows

DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ipinyou" / "2259"
FEATURES = 97_424
SEEN = 5
"""Rows in which a feature has to be to count."""

LOGISTIC = partial(landscape_location.fit, link="logistic", ridge=1.0)

AUC, LOG_LOSS, ANLP, ANLP_WITHIN, SECONDS = 0.83, 0.426, 5.59, 4.68, 3.0
"""What other models reached of each, no one of them of all."""


class Campaign(NamedTuple):
    """Rows to fit on and rows to judge on, with the day of the former."""

    rows: Rows
    days: Any
    outcomes: Outcomes
    features: Any


def rows() -> list[Row]:
    """Return the targets; none without the data."""
    if not DATA.is_dir():
        return []
    campaign = loaded()
    names = [name for name in ESTIMATORS if name != "recurrent" or os.environ.get("SLATEWISE_SLOW")]
    found = {name: measured(campaign, name) for name in names}
    found["logistic, ridge 1"] = measured(campaign, LOGISTIC)
    found["lognormal, no context"] = measured(campaign, "lognormal", context=False)
    table(found)
    one, took = found["transformation"]
    others = {name: each for name, (each, _) in found.items() if name != "transformation"}

    def best(figure: str, largest: bool) -> str:
        values = {name: getattr(each, figure).estimate for name, each in others.items()}
        name = (max if largest else min)(values, key=lambda name: values[name])
        return f"{name} {values[name]:.4g}"

    def target(what: str, figure: str, goal: float, largest: bool) -> Row:
        value = getattr(one, figure)
        told = f"{value.estimate:.4f} ({value.low:.3f} to {value.high:.3f})"
        good = value.estimate >= goal if largest else value.estimate <= goal
        sign = "≥" if largest else "≤"
        return Row(f"landscape, one model: {what}", f"{sign} {goal:g}", told, best(figure, largest), good)

    return [
        target("AUC at the own score", "auc", AUC, True),
        target("log loss", "log_loss", LOG_LOSS, False),
        target("ANLP", "anlp", ANLP, False),
        target("ANLP below the largest own score", "anlp_within", ANLP_WITHIN, False),
        Row(
            "landscape, one model: fit", f"< {SECONDS:g} s", f"{took:.2f} s",
            f"lognormal {found['lognormal'][1]:.2f} s", took < SECONDS,
        ),
    ]  # fmt: skip


def loaded() -> Campaign:
    """Return the campaign; the first feature of a row is its day."""
    score, won, price, features = _read("train.yzbx.txt")
    columns = np.flatnonzero(np.bincount(features.indices, minlength=FEATURES) >= SEEN)
    seen = np.where(won, price, np.nan)  # what a loser does not learn is not there
    days = features.indices[features.indptr[:-1]]
    fitted = Rows.of(score, won, price=seen, features=features[:, columns])
    late_score, late_won, late_price, late = _read("test.yzbx.txt")
    return Campaign(fitted, days, Outcomes(late_score, late_won, late_price), late[:, columns])


def _read(name: str) -> tuple[Any, Any, Any, Any]:
    score, price, starts, indices = [], [], [0], []
    for line in (DATA / name).read_text().splitlines():
        _, z, own, *ids = line.split()
        price.append(float(z))
        score.append(float(own))
        indices += [int(one.partition(":")[0]) for one in ids]
        starts.append(len(indices))
    features = sparse.csr_matrix((np.ones(len(indices)), indices, starts), (len(price), FEATURES))
    score, price = np.array(score), np.array(price)
    return score, price < score, price, features


def measured(campaign: Campaign, name: str | Fit, *, context: bool = True) -> tuple[Report, float]:
    """Return the report of an estimator, and the fastest of three fits in seconds of one core (one, if it is slow)."""
    # one curve for all: segments of one column are no match for features of sixteen
    width = campaign.features.shape[1] if context and name != "kaplan_meier" else 0
    fitted = campaign.rows._replace(features=campaign.rows.features[:, :width])
    fit = ESTIMATORS[name] if isinstance(name, str) else name
    took: list[float] = []
    found: Landscape | None = None
    while found is None or (len(took) < 3 and sum(took) < 5.0):
        start = time.process_time()
        found = fit(fitted)
        took.append(time.process_time() - start)
    win = partial(wins, found, campaign.features[:, :width])
    return report(campaign.outcomes, win, limit=campaign.rows.limit), min(took)


def table(found: dict[str, tuple[Report, float]]) -> None:
    """Print all estimators."""
    names = ("auc", "log_loss", "anlp", "anlp_within", "anlp_beyond", "concordance", "brier")
    print(f"{'':22s}" + "".join(f"{name:>13s}" for name in (*names, "S(limit)", "fit, s")))
    for name, (one, took) in found.items():
        figures = [getattr(one, figure).estimate for figure in names]
        print(f"{name:22s}" + "".join(f"{value:13.4f}" for value in (*figures, one.survival, took)))
    seen = next(iter(found.values()))[0].survival_seen
    print(f"seen at the limit or beyond: {seen:.4f}")


def choices(campaign: Campaign) -> Iterator[tuple[str, float, float, float]]:
    """Yield link, ridge, stiffness, and the loss with days held out in turns."""
    links: tuple[Link, ...] = ("normal", "logistic")
    for link in links:
        for ridge, stiffness in ((1.0, 3.0), (3.0, 1.0), (3.0, 3.0), (3.0, 10.0), (3.0, np.inf), (10.0, 3.0)):
            fit = partial(landscape_location.fit, link=link, ridge=ridge, stiffness=stiffness)
            yield link, ridge, stiffness, cross_validated(campaign.rows, fit, campaign.days)


if __name__ == "__main__":
    show(rows())
    for link, ridge, stiffness, loss in choices(loaded()):
        print(f"{link}, ridge {ridge:g}, stiffness {stiffness:g}: {loss:.4f}")
