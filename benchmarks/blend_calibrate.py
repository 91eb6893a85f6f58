"""Calibration: order kept, right on later showings, quick to serve and to fit.

Real showings are those of the first half of campaign 2997 of iPinYou, if `SLATEWISE_DATA` has them: maps are fitted on
the first half of these, with 100 clicks, and judged on the second, with 140. Everything runs on one core.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
from scipy.optimize import isotonic_regression

from report import Row, fastest, show
from slatewise.blend.maps import Knots, Map
from slatewise.evaluate.calibration import auc, ece, losses, pcoc, perfect_ece, time_blocks
from slatewise.evaluate.calibration import metric_by_cluster as interval_of
from slatewise.evaluate.intervals import Interval, difference_by_cluster
from slatewise.learn.calibrate import fit_calibrate
from slatewise.learn.curves import FITS, isotonic, quantile

PAIRS, MANY, SEED = 200_000, 1_000_000, 7
NEAR = 0.005
"""How near to 1 predicted over observed is to be."""


def rows() -> list[Row]:
    """Return what was measured."""
    showings = _showings()
    return [_order(), *([] if showings is None else _right(*showings)), *_quick()]


def _showings() -> tuple[np.ndarray, np.ndarray] | None:
    path = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ipinyou" / "2997_first_half" / "theta.txt"
    if not path.is_file():
        return None
    clicked, _, predicted = np.loadtxt(path).T
    return predicted, clicked


def _fitted(score: np.ndarray, outcome: np.ndarray) -> dict[str, Map]:
    maps = {name: fit(score, outcome, "probability") for name, fit in FITS.items()}
    return maps | {"quantile": quantile(score, np.random.default_rng(SEED).beta(1, 30, 5000))}


def _order() -> Row:
    rng = np.random.default_rng(SEED)
    score = rng.beta(1, 40, 100_000)
    maps = _fitted(score, (rng.random(100_000) < score**1.1).astype(float))
    one, other = rng.choice(score, (2, PAIRS))
    inversions = ties = 0
    for found in maps.values():
        apart = np.sign(found(one) - found(other))
        inversions += int((apart * np.sign(one - other) < 0).sum())
        ties += int(((apart == 0) & (one != other)).sum())
    measured = f"{inversions} inversions, {ties} ties in {len(maps)} x {PAIRS:,} pairs"
    return Row("maps keep a line's order", "no inversion, no new tie", measured, "", inversions + ties == 0)


def _right(predicted: np.ndarray, clicked: np.ndarray) -> list[Row]:
    half = len(predicted) // 2
    score, y = predicted[half:], clicked[half:]
    maps = _fitted(predicted[:half], clicked[:half])
    moved = max(abs(auc(one(score), y) - auc(score, y)) for one in maps.values())
    log = {"line": np.full(len(predicted), "ads", object), "score": predicted, "outcome": clicked}
    found = fit_calibrate(log, held=0.5).stage.lines["ads"](score)
    plain = maps["ratio"](score)
    blocks = time_blocks(len(y))
    ratio, raw = interval_of(pcoc, found, y, blocks), interval_of(pcoc, score, y, blocks)
    by_chance = np.random.default_rng(SEED).binomial(len(y), y.mean(), 100_000)
    lucky = float((np.abs(y.sum() / by_chance - 1) <= NEAR).mean())
    loss = difference_by_cluster(losses(found, y), losses(plain, y), blocks)
    gap = interval_of(ece, found, y, blocks, baseline=plain)
    null, rate = perfect_ece(found), y.mean()
    told = f"{ece(found, y) / rate:.3f} of the rate; a perfect model shows {null.estimate / rate:.3f} "
    told += f"({null.low / rate:.3f} to {null.high / rate:.3f})"
    others = "; ".join(
        f"{name} {pcoc(one(score), y):.3f}, {ece(one(score), y) / rate:.3f}, {losses(one(score), y).mean():.6f}"
        for name, one in maps.items()
        if name != "quantile"
    )
    return [
        Row("AUC after each map", "the same, exactly", f"changes by {moved:g}", "", moved == 0),
        Row(
            "predicted / observed clicks, 2997, later half of the first half",
            f"1 +- {NEAR}",
            _told(ratio),
            f"scores as they come {_told(raw)}; a perfect model is as near once in {1 / lucky:.0f} times",
            abs(ratio.estimate - 1) <= NEAR,
        ),
        Row(
            "log loss, the same, less that of a constant ratio",
            "not worse",
            _told(loss, ".1e"),
            "paired",
            loss.low <= 0,
        ),
        Row("ECE, the same, less that of a constant ratio", "not worse", _told(gap, ".1e"), told, gap.low <= 0),
        Row("each method: predicted / observed, ECE / rate, log loss", "for the record", others, "", True),
    ]


def _quick() -> list[Row]:
    rng = np.random.default_rng(SEED)
    knots = Knots(scores=tuple(np.sort(rng.random(500))), log_odds=tuple(np.sort(rng.normal(size=500))))
    one, page = np.array([0.3]), rng.random(200)
    at, level = np.array(knots.scores), np.array(knots.log_odds)
    ours, many, peer = fastest(lambda: knots(one), lambda: knots(page), lambda: np.interp(one, at, level))
    score = rng.beta(1, 20, MANY)
    outcome = (rng.random(MANY) < score**1.2).astype(float)
    fits = min(_seconds(lambda: isotonic(score, outcome, "probability")) for _ in range(5))
    plain = min(_seconds(lambda: isotonic_regression(outcome[np.argsort(score)])) for _ in range(3))
    return [
        Row(
            "one score, 500 knots",
            "<= 2 us",
            f"{ours:.2f} us; {1000 * many / 200:.0f} ns a score on a page of 200",
            f"np.interp, without log-odds: {peer:.2f} us",
            ours <= 2,
        ),
        Row(
            "isotonic map, 1,000,000 showings",
            "<= 0.4 s",
            f"{fits:.2f} s",
            f"sort and SciPy's isotonic regression, row by row: {plain:.2f} s",
            fits <= 0.4,
        ),
    ]


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _told(one: Interval, form: str = ".3f") -> str:
    return f"{one.estimate:{form}} ({one.low:{form}} to {one.high:{form}})"


if __name__ == "__main__":
    show(rows())
