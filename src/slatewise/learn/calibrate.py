"""Fit `blend.calibrate` from a log of showings, and say how right it is on later ones.

The log is cut in time: the first part is fitted on, the rest is what the report is about. Evidence buys complexity. Of
the methods in `LADDER`, from simple to rich, a line starts with the first; one for which it has enough events is taken
instead if it predicts better: fitted on the first half of what is fitted on, by log loss on the second half, by more
than one standard error of the paired difference. The ratio of a line with fewer than `FEW` events is drawn towards that
of all lines.

With segments, each line's offsets are fitted on top of its map and drawn towards 0 (`learn.shrinkage`). `conditional`
fits one curve for all lines together, and for each an offset, drawn towards 0 likewise.

Cost: O(n log n) a line and method; what the report costs is said there.

References:
    Breiman et al. (1984), "Classification and Regression Trees", section 3.4.3, on one standard error.
    Those of `learn.curves`, `learn.shrinkage`, `evaluate.calibration` and `evaluate.drift`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from slatewise.blend.calibrate import Calibrate, OffsetSegment
from slatewise.blend.maps import Beta, Knots, Map, Platt, Ratio
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.evaluate.calibration import losses, time_blocks
from slatewise.evaluate.intervals import mean_by_cluster
from slatewise.learn.curves import FITS, quantile, scale_of
from slatewise.learn.reports import Choice, LineReport, Showings, inside, reported
from slatewise.learn.shrinkage import shrunken_factors, shrunken_offsets, sums

Numbers = NDArray[np.float64]
Log: TypeAlias = Mapping[str, NDArray[Any]]

METHODS = ("auto", "conditional", "quantile", *FITS)

LADDER = {"ratio": 0, "platt": 300, "beta": 1_000, "isotonic": 10_000}
"""Methods of `auto`, and the events from which on each is tried."""

FEW = 100
"""Events below which a ratio is drawn towards that of all lines."""

HELD = 0.3
"""Share of the log, the latest, that is reported on."""

ASKED_FOR = "the method that was asked for"


class Fitted(NamedTuple):
    """What was fitted.

    Attributes:
        stage: The settings.
        reports: Line to what was found of it on later showings; a line that has none is not among them.
        held: What the report is about: the same columns as the log.
    """

    stage: Calibrate
    reports: dict[str, LineReport]
    held: Log


def fit_calibrate(
    log: Log,
    *,
    method: str = "auto",
    segments: Sequence[str] = (),
    reference: str = "",
    held: float = HELD,
    seed: int = 0,
) -> Fitted:
    """Return maps for the lines of a log.

    Args:
        log: Columns `line`, `score` and `outcome` of showings: 1 if the event happened, else 0; for `ratio` any value,
            >= 0. Further, if there are: `worth` of the event, where one happened; `user`, for intervals; `time`,
            without which rows are taken to be in order; and the columns of segments.
        method: A method of `METHODS`.
        segments: Columns whose values, together, make segments: features of the request, never of the item.
        reference: For `quantile`: the line whose scores the others are mapped to.
        held: Share of the log, the latest, to report on, in (0, 1).
        seed: Root of what is drawn for intervals.

    Raises:
        RequestError: Names the column, the rule and the value.
    """
    _check(log, method, held)
    order = np.argsort(log["time"], kind="stable") if "time" in log else np.arange(len(log["score"]))
    cut = int(len(order) * (1 - held))
    early, late = ({name: column[part] for name, column in log.items()} for part in (order[:cut], order[cut:]))
    lines = sorted(set(early["line"].tolist()))
    if unfitted := sorted(set(late["line"].tolist()) - set(lines)):
        hint = "all of its rows are among the latest, which are reported on"
        raise RequestError("log.line", "must be of lines that have earlier rows to fit on", shown(unfitted[0]), hint)
    maps, why = fit_maps(early, method=method, reference=reference)
    stage = Calibrate(
        lines={line: replace(one, worth=_worth(early, line)) for line, one in maps.items()},
        segments=tuple(_segments(early, maps, segments)),
    )
    reports: dict[str, LineReport] = {}
    for line in lines:
        rows, of = np.flatnonzero(late["line"] == line), early["line"] == line
        if len(rows):
            users = late["user"][rows] if "user" in late else time_blocks(len(rows))
            field = _joined(late, segments)[rows]
            showings = Showings(late["score"][rows], late["outcome"][rows], users, field)
            choice = Choice(_name(maps[line]), why[line], int(of.sum()), float(early["outcome"][of].sum()))
            plain = _ratios(early, lines)[line](showings.score)
            predicted = predictions(stage, late, rows)
            reports[line] = reported(showings, predicted, plain, choice, seed=seed)
    return Fitted(stage, reports, late)


def predictions(stage: Calibrate, log: Log, rows: NDArray[np.int64]) -> Numbers:
    """Return what a line's map and segments say of some rows of a log, in events.

    Args:
        stage: The maps.
        log: As for `fit_calibrate`.
        rows: (n,) rows of one line.
    """
    line = str(log["line"][rows[0]])
    one, offset = stage.lines[line], np.zeros(len(rows))
    open_ = np.ones(len(rows), np.bool_)
    for segment in stage.segments:
        features = (
            (log[name][rows], [wanted] if isinstance(wanted, str) else wanted) for name, wanted in segment.when.items()
        )
        here = open_ & np.all([np.isin(values.astype(str), wanted) for values, wanted in features], axis=0)
        offset[here] = segment.offsets.get(line, 0.0)
        open_ &= ~here
    found = np.empty(len(rows))
    for shift in np.unique(offset):
        same = offset == shift
        found[same] = one(log["score"][rows[same]], offset=float(shift))
    return found / one.worth


def fit_maps(log: Log, *, method: str = "auto", reference: str = "") -> tuple[dict[str, Map], dict[str, str]]:
    """Return each line's map, in events, and why it is this one; the whole log is fitted on, and nothing is reported.

    Args:
        log: As for `fit_calibrate`, in order of time.
        method: As there.
        reference: As there.

    Raises:
        RequestError: As there.
    """
    lines = sorted(set(log["line"].tolist()))
    if method == "quantile":
        if reference not in lines:
            raise RequestError(
                "reference", "must be a line of the log", shown(reference), did_you_mean(reference, lines)
            )
        other = log["score"][log["line"] == reference]
        maps: dict[str, Map] = {line: quantile(log["score"][log["line"] == line], other) for line in lines}
        return maps, dict.fromkeys(lines, ASKED_FOR)
    if method == "conditional":
        return _conditional(log, lines)
    ratios = _ratios(log, lines)
    maps, why = {}, {}
    for line in lines:
        of = log["line"] == line
        score, outcome = log["score"][of], log["outcome"][of]
        try:
            if method == "auto":
                maps[line], why[line] = _climbed(score, outcome, ratios[line])
            else:
                maps[line] = ratios[line] if method == "ratio" else FITS[method](score, outcome, scale_of(score))
                why[line] = ASKED_FOR
        except RequestError as error:
            raise RequestError(f"{error.where} of {line}", error.rule, error.got) from None
    return maps, why


def _conditional(log: Log, lines: Sequence[str]) -> tuple[dict[str, Map], dict[str, str]]:
    """Return one curve for all lines, with an offset for each."""
    whole, why = _climbed(log["score"], log["outcome"], _ratio(log["score"], log["outcome"]))
    codes = np.searchsorted(lines, log["line"].astype(str))
    if isinstance(whole, Ratio):
        return dict(_ratios(log, lines, shared=len(log["score"]))), dict.fromkeys(lines, why)
    level = _level(whole(log["score"]))
    offsets = shrunken_offsets(level, log["outcome"], codes, len(lines)).found.tolist()
    return {line: _moved(whole, by) for line, by in zip(lines, offsets, strict=True)}, dict.fromkeys(lines, why)


def _moved(one: Map, by: float) -> Map:
    """Return a map with something added to log-odds."""
    match one:
        case Platt() | Beta():
            return replace(one, offset=one.offset + by)
        case Knots():
            return replace(one, log_odds=tuple(level + by for level in one.log_odds))
        case other:
            raise AssertionError(other)


def _climbed(score: Numbers, outcome: Numbers, start: Ratio) -> tuple[Map, str]:
    """Return the map that evidence pays for, and why."""
    events, scale = float(outcome.sum()), scale_of(score)
    if not np.isin(outcome, (0.0, 1.0)).all():
        return start, "outcomes are values, not events"
    half = len(score) // 2
    best, found = "ratio", start
    tried: list[str] = []
    for name, least in LADDER.items():
        if name == "ratio" or events < least or (name == "beta" and scale != "probability"):
            continue
        tried.append(name)
        try:
            rival = FITS[name](score[:half], outcome[:half], scale)(score[half:])
            held = FITS[best](score[:half], outcome[:half], scale)(score[half:])
            richer = FITS[name](score, outcome, scale)
        except RequestError:
            continue  # it does not rise on these rows: no evidence for it
        y = outcome[half:]
        gain = mean_by_cluster(
            losses(inside(held), y) - losses(inside(rival), y), time_blocks(len(y)), level=0.6827, resamples=500
        )
        if gain.low > 0:
            best, found = name, richer
    if not tried:
        return found, f"{events:.0f} events are too few for more than a ratio"
    if best == "ratio":
        return found, f"{' and '.join(tried)} did not predict better"
    return found, f"predicts better than what is simpler, of {', '.join(['ratio', *tried])}"


def _ratio(score: Numbers, outcome: Numbers) -> Ratio:
    if not outcome.sum() > 0:
        raise RequestError("log.outcome", "must hold events among the showings that are fitted on")
    found = FITS["ratio"](score, outcome, "score")
    assert isinstance(found, Ratio)
    return found


def _ratios(log: Log, lines: Sequence[str], *, shared: float = FEW) -> dict[str, Ratio]:
    """Return each line's ratio; with fewer events than `shared`, drawn towards that of all lines."""
    whole = _ratio(log["score"], log["outcome"]).factor
    codes = np.searchsorted(lines, log["line"].astype(str))
    seen = sums(codes, log["outcome"], len(lines))
    expected = sums(codes, whole * log["score"], len(lines))
    noise = float(np.square(log["outcome"]).sum() / log["outcome"].sum())
    drawn = shrunken_factors(seen, expected, noise=noise).found
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = whole * np.where((seen < shared) | ~(expected > 0), drawn, seen / expected)
    for line, factor in zip(lines, factors.tolist(), strict=True):
        if not 0 < factor < np.inf:
            raise RequestError(f"log.score of {line}", "must be > 0 in sum, for a ratio")
    return {line: Ratio(factor=factor) for line, factor in zip(lines, factors.tolist(), strict=True)}


def _segments(log: Log, maps: Mapping[str, Map], names: Sequence[str]) -> list[OffsetSegment]:
    """Return what segments differ by, each line's drawn towards 0; segments without a difference are left out."""
    if not names:
        return []
    values, codes = np.unique(_joined(log, names), return_inverse=True)
    offsets: list[dict[str, float]] = [{} for _ in values]
    for line, one in maps.items():
        of = log["line"] == line
        predicted, outcome = one(log["score"][of]), log["outcome"][of]
        if isinstance(one, Ratio):
            seen, expected = (sums(codes[of], some, len(values)) for some in (outcome, predicted))
            noise = float(np.square(outcome).sum() / max(outcome.sum(), 1e-300))
            found = np.log(shrunken_factors(seen, expected, noise=noise).found)
        else:
            found = shrunken_offsets(_level(predicted), outcome, codes[of], len(values)).found
        for place, offset in enumerate(found.tolist()):
            if offset:
                offsets[place][line] = offset
    first = np.unique(codes, return_index=True)[1]
    return [
        OffsetSegment(when={name: str(log[name][row]) for name in names}, offsets=offset)
        for row, offset in zip(first.tolist(), offsets, strict=True)
        if offset
    ]


def _joined(log: Log, names: Sequence[str]) -> NDArray[Any]:
    """Return (n,) the values of some columns, as one."""
    if not names:
        return np.zeros(len(log["score"]), np.int64)
    return np.array(["\0".join(map(str, row)) for row in zip(*(log[name] for name in names), strict=True)])


def _level(predicted: Numbers) -> Numbers:
    held = inside(predicted)
    return np.log(held) - np.log1p(-held)


def _worth(log: Log, line: str) -> float:
    """Return the mean worth of a line's events; 1 where nothing is said of it."""
    if "worth" not in log:
        return 1.0
    happened = (log["line"] == line) & (log["outcome"] > 0)
    worth = log["worth"][happened]
    mean = float(worth.mean()) if len(worth) else 1.0
    if not mean > 0:
        raise RequestError(f"log.worth of {line}", "must be > 0 in the mean, and given where events are", shown(mean))
    return mean


def _name(one: Map) -> str:
    return {"knots": "isotonic"}.get(tag := str(one.__struct_config__.tag), tag)


def _check(log: Log, method: str, held: float) -> None:
    if method not in METHODS:
        raise RequestError("method", "must be a method", shown(method), did_you_mean(method, METHODS))
    if not 0 < held < 1:
        raise RequestError("held", "must be in (0, 1)", shown(held))
    outcome = log["outcome"]
    wrong = np.flatnonzero(outcome < 0)
    rule = "must be >= 0"
    if not len(wrong) and method not in ("auto", "ratio"):
        wrong, rule = np.flatnonzero((outcome != 0) & (outcome != 1)), f"must be 0 or 1 for `{method}`"
    if len(wrong):
        raise RequestError(f"log.outcome[{wrong[0] + 1}]", rule, shown(float(outcome[wrong[0]])))
    if len(outcome) < 2:
        raise RequestError("log", "must have rows to fit on, and later ones to report on", shown(len(outcome)))
