"""`fit calibrate`: what is fitted on what, how much of it evidence pays for, and what the report is about."""

import numpy as np
import pytest
from msgspec.structs import replace

from slatewise import Calibrate, Candidates, Policy, Ratio, Request, RequestError, Solve
from slatewise.blend.calibrate import OffsetSegment
from slatewise.blend.maps import Knots, Platt
from slatewise.evaluate.calibration import losses
from slatewise.learn.calibrate import fit_calibrate, predictions
from slatewise.learn.provenance import settings_of


def log_of(events, *, slope=1.0, rows=20_000, seed=0, line="ads"):
    """Return a log of one line with so many events, more or less."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-3, 1, rows)
    level = slope * odds
    for _ in range(60):
        level += np.log(events / (1 / (1 + np.exp(-level))).sum())
    outcome = (rng.random(rows) < 1 / (1 + np.exp(-level))).astype(float)
    return {"line": np.full(rows, line, object), "score": 1 / (1 + np.exp(-odds)), "outcome": outcome}


FALLING = {"score": np.tile([0.9, 0.1], 10_000), "outcome": np.tile([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0], 2_500)}


def joined(*logs):
    names = logs[0]
    rows = np.random.default_rng(1).permutation(sum(len(log["line"]) for log in logs))
    return {name: np.concatenate([log[name] for log in logs])[rows] for name in names}


@pytest.mark.parametrize(("events", "kind"), [(150, Ratio), (6000, Platt)])
def test_evidence_buys_complexity(events, kind):
    found = fit_calibrate(log_of(events, slope=0.4, rows=100_000))
    assert isinstance(found.stage.lines["ads"], kind)


def test_events_alone_buy_nothing():
    log = log_of(2000, rows=100_000)
    log["outcome"] = (np.random.default_rng(7).random(100_000) < 0.6 * log["score"]).astype(float)
    found = fit_calibrate(log)
    assert found.stage.lines["ads"].factor == pytest.approx(0.6, abs=0.03)
    assert found.reports["ads"].why == "platt and beta did not predict better"


def test_many_events_and_no_straight_line_buy_knots():
    rng = np.random.default_rng(2)
    score = rng.random(60_000)
    rate = np.where(score < 0.5, 0.3 * score, 0.15 + 1.6 * (score - 0.5))
    log = {"line": np.full(60_000, "ads", object), "score": score, "outcome": (rng.random(60_000) < rate).astype(float)}
    assert isinstance(fit_calibrate(log).stage.lines["ads"], Knots)


def test_what_is_reported_on_was_not_fitted_on():
    log = log_of(2000)
    turned = {**log, "outcome": log["outcome"].copy()}
    turned["outcome"][14_000:] = 1 - turned["outcome"][14_000:]
    one, other = fit_calibrate(log), fit_calibrate(turned)
    assert one.stage == other.stage
    assert one.reports["ads"].rows == 6_000
    assert one.reports["ads"].fitted_rows == 14_000
    assert other.reports["ads"].drift.alarm_row < 100


def test_time_decides_what_is_later():
    log = log_of(2000)
    log["time"] = np.random.default_rng(3).permutation(20_000).astype(float)
    order = np.argsort(log["time"])
    sorted_log = {name: column[order] for name, column in log.items()}
    assert fit_calibrate(log).stage == fit_calibrate(sorted_log).stage


def test_the_ratio_of_a_line_with_few_events_is_drawn_towards_all_lines():
    small = log_of(12, rows=200, line="live", seed=4)
    log = joined(log_of(2000), log_of(4000, line="posts", seed=5), small)
    factors = {line: one.factor for line, one in fit_calibrate(log, method="ratio").stage.lines.items()}
    own = fit_calibrate(small, method="ratio").stage.lines["live"].factor
    assert min(own, factors["ads"], factors["posts"]) < factors["live"] < max(own, factors["ads"], factors["posts"])
    assert factors["ads"] != factors["posts"]


def test_segments_get_the_offsets_that_they_differ_by():
    log = log_of(3000, rows=60_000)
    rng = np.random.default_rng(6)
    log["scene"] = rng.choice(["day", "night"], 60_000).astype(object)
    night = log["scene"] == "night"
    level = np.log(log["score"] / (1 - log["score"])) + np.where(night, 0.6, 0.0)
    log["outcome"] = (rng.random(60_000) < 1 / (1 + np.exp(-level))).astype(float)
    found = fit_calibrate(log, method="platt", segments=["scene"])
    offsets = {one.when["scene"]: one.offsets["ads"] for one in found.stage.segments}
    assert offsets["night"] - offsets["day"] == pytest.approx(0.6, abs=0.1)
    assert found.reports["ads"].after.field_rce < 0.5 * found.reports["ads"].before.field_rce
    with_segments = predictions(found.stage, found.held, np.arange(18_000))
    without = predictions(replace(found.stage, segments=()), found.held, np.arange(18_000))
    held = found.held["outcome"]
    assert losses(with_segments, held).mean() < losses(without, held).mean()


def test_segments_that_are_alike_get_no_offsets():
    log = log_of(3000)
    log["scene"] = np.random.default_rng(8).choice(["day", "night"], 20_000).astype(object)
    offsets = [by for one in fit_calibrate(log, segments=["scene"]).stage.segments for by in one.offsets.values()]
    assert np.abs(offsets).max(initial=0) < 0.05


def test_what_is_reported_on_is_what_is_served():
    """Segments that overlap included: the first that matches counts."""
    night = OffsetSegment(when={"scene": "night"}, offsets={"ads": 0.6})
    both = OffsetSegment(when={"scene": ["night", "day"]}, offsets={"ads": -0.4})
    stage = Calibrate(lines={"ads": Platt(slope=0.8, worth=3.0)}, segments=(night, both))
    log = {"line": np.array(["ads"] * 3, object), "score": np.array([0.1, 0.1, 0.2]),
           "scene": np.array(["night", "day", "none"], object)}  # fmt: skip
    served = []
    for score, scene in zip(log["score"].tolist(), log["scene"].tolist(), strict=True):
        items = Candidates.of(line=["ads"], score=[score])
        served.append(stage.annotate(items, Request(candidates=items, context={"scene": scene}))["value"][0])
    assert (predictions(stage, log, np.arange(3)) * 3.0).tolist() == pytest.approx(served)


def test_conditional_shares_one_curve():
    log = joined(log_of(3000, slope=0.5), log_of(3000, slope=0.5, line="posts", seed=9, rows=40_000))
    ads, posts = fit_calibrate(log, method="conditional").stage.lines.values()
    assert ads.slope == posts.slope == pytest.approx(0.5, abs=0.1)
    assert ads.offset - posts.offset == pytest.approx(np.log(2), abs=0.15)


def test_worth_is_the_mean_of_what_events_were_worth():
    log = log_of(2000)
    log["worth"] = np.where(log["outcome"] > 0, np.where(np.arange(20_000) % 2, 3.0, 5.0), np.nan)
    found = fit_calibrate(log, method="platt")
    one = found.stage.lines["ads"]
    assert one.worth == pytest.approx(4.0, abs=0.1)
    assert predictions(found.stage, found.held, np.arange(6_000)).sum() == pytest.approx(600, rel=0.15)


def test_values_instead_of_events_get_a_ratio_and_say_so():
    log = log_of(2000)
    log["outcome"] = log["outcome"] * 7.0
    report = fit_calibrate(log).reports["ads"]
    assert (report.method, report.why) == ("ratio", "outcomes are values, not events")
    assert report.after is None
    assert report.pcoc.estimate == pytest.approx(1, abs=0.15)


def test_settings_are_those_of_a_policy():
    stage = fit_calibrate(log_of(2000), method="isotonic").stage
    policy = Policy.of(
        Calibrate(**{**settings_of(stage), "lines": stage.lines}),
        Solve(by="value"),
        lines=["ads"],
        columns={"score": "number"},
    )
    assert policy.stages[0] == stage


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"method": "plat"}, "method: must be a method, got 'plat'; did you mean 'platt'"),
        ({}, {"held": 1.0}, r"held: must be in \(0, 1\), got 1.0"),
        ({}, {"method": "quantile", "reference": "post"}, "reference: must be a line of the log"),
        ({"outcome": np.full(20_000, -1.0)}, {}, r"log.outcome\[1\]: must be >= 0, got -1.0"),
        (
            {"outcome": np.full(20_000, 2.0)},
            {"method": "platt"},
            r"log.outcome\[1\]: must be 0 or 1 for `platt`, got 2.0",
        ),
        (
            {"outcome": np.full(20_000, 0.5)},
            {"method": "isotonic"},
            r"log.outcome\[1\]: must be 0 or 1 for `isotonic`, got 0.5",
        ),
        ({"outcome": np.zeros(20_000)}, {}, "log.outcome: must hold events among the showings that are fitted on"),
        (FALLING, {"method": "platt"}, "log.score of ads: must rise with the outcome"),
        ({"worth": np.full(20_000, np.nan)}, {}, "log.worth of ads: must be > 0 in the mean"),
        (
            {"line": np.array(["ads"] * 19_000 + ["posts"] * 1_000, object)},
            {},
            "log.line: must be of lines that have earlier rows to fit on, got 'posts'",
        ),
    ],
)
def test_refuses(change, options, message):
    with pytest.raises(RequestError, match=message):
        fit_calibrate(log_of(2000) | change, **options)
