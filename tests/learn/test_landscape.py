"""Landscapes: every estimator against known rivals, likelihoods of every kind of feedback, and what is handed on."""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import approx_fprime

from slatewise import Candidates, Request, RequestError, Shade
from slatewise.learn import landscape_counts, landscape_hazard, landscape_location
from slatewise.learn.landscape import ESTIMATORS, chosen, cross_validated, fit_line, fit_lines, surprise
from slatewise.learn.landscape_bins import Bins
from slatewise.learn.landscape_export import artefact, settings
from slatewise.learn.landscape_links import between, logs
from slatewise.learn.landscape_rows import FEEDBACKS, Rows, one_hot, seen_names

DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ipinyou" / "2259"
LINKS = ("normal", "logistic", "smallest", "largest")


def world(count=6000, seed=0, location=(3.0, 3.6), scale=0.6):
    """Return a log of log-normal rivals, whose location depends on the part of the day."""
    rng = np.random.default_rng(seed)
    part = rng.integers(0, 2, count)
    price = np.floor(np.exp(np.array(location)[part] + scale * rng.normal(size=count))) + 1.0
    score = rng.integers(2, 80, count).astype(float)
    names = np.array(["morning", "evening"], dtype=object)[part]
    return {"score": score, "won": (price < score).astype(float), "price": price, "part": names}


def rows_of(log, feedback="price_if_won"):
    features = one_hot({"part": log["part"]}, seen_names({"part": log["part"]}))
    won = log["won"].astype(bool)
    return Rows.of(log["score"], won, price=log["price"], features=features, feedback=feedback)


def true_wins(scores, location=3.0, scale=0.6):
    """Return P(z < s) of prices rounded up, for whole scores: that of the amounts up to s - 1."""
    return np.exp(logs("normal", (np.log(scores - 1.0) - location) / scale).below)


# --- rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feedback", "low", "high"),
    [
        ("full", [3, 9], [4, 10]),
        ("price_if_won", [3, 5], [4, np.inf]),
        ("price_if_lost", [1, 9], [5, 10]),
        ("flag", [1, 5], [5, np.inf]),
    ],
)
def test_what_is_known_depends_on_who_is_told_what(feedback, low, high):
    rows = Rows.of([5, 5], [True, False], price=[3, 9], feedback=feedback)
    assert (rows.low.tolist(), rows.high.tolist()) == (low, high)


def test_prices_that_are_not_seen_are_not_looked_at():
    seen = Rows.of([5, 5], [True, False], price=[3, np.nan])
    other = Rows.of([5, 5], [True, False], price=[3, 77])
    assert seen.high.tolist() == other.high.tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"price": [9, 9]}, "price[0]: must be below the score of a row that won, 5 ticks, got 9"),
        (
            {"price": [3, 2], "feedback": "full"},
            "price[1]: must not be below that of a row that lost, 5 ticks, got 2",
        ),
        ({"price": [0, 9]}, "price[0]: must be a finite number > 0, got 0.0"),
        ({"price": [np.nan, 9]}, "price[0]: must be a finite number > 0, got nan"),
        ({}, "price: must be given for feedback 'price_if_won'"),
        ({"price": [3]}, "price: must have one value per row, 2, got (1,)"),
        ({"feedback": "flags"}, "feedback: is not known, got 'flags'; did you mean 'flag'?"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(given, message):
    with pytest.raises(RequestError) as caught:
        Rows.of([5, 5], [True, False], **given)
    assert str(caught.value) == message


# --- Kaplan-Meier -------------------------------------------------------------------------------------------------


def counted_slowly(score, won, price, ticks):
    """Return F at 1, 2, ..., by the definition, row by row."""
    left, found = 1.0, []
    for tick in range(1, ticks + 1):
        found.append(1.0 - left)
        rows = list(zip(score, won, price, strict=True))
        deaths = sum(1 for _, w, z in rows if w and z == tick)
        risk = sum(1 for s, w, z in rows if (w and z >= tick) or (not w and s > tick))
        left *= 1.0 - deaths / risk if risk else 1.0
    return found


def test_kaplan_meier_by_hand():
    # tick  at risk                    ends   survives
    #   1   5, 5, 4, 3 (lost), 6       1 of 5  4/5
    #   2   5, 4, 3 (lost), 6          1 of 4  3/5
    #   3   4, 6: 3 lost, at 3 unseen  1 of 2  3/10
    score, won, price = [5, 5, 4, 3, 6], [True, True, True, False, True], [1, 2, 3, 9, 5]
    found = landscape_counts.fit(Rows.of(score, won, price=price), least=1)
    curve = found.win(sparse.csr_matrix((1, 0)), np.array([[1.0, 2.0, 3.0, 4.0]]))[0]
    assert curve == pytest.approx([0, 1 / 5, 2 / 5, 7 / 10])
    # Greenwood: S^2 * sum d / (n (n - d)) = 0.3^2 * (1/20 + 1/12 + 1/2)
    assert found.errors[-1][3] == pytest.approx(0.3 * (1 / 20 + 1 / 12 + 1 / 2) ** 0.5)


def test_kaplan_meier_by_its_definition_and_where_too_few_are_left():
    log = world(300)
    rows = rows_of(log)._replace(features=sparse.csr_matrix((300, 0)))
    found = landscape_counts.fit(rows, least=10)
    risk = [
        np.sum((log["won"] > 0) & (log["price"] >= tick)) + np.sum((log["won"] == 0) & (log["score"] > tick))
        for tick in range(1, 90)
    ]
    assert found.limit == 1 + next(at for at, number in enumerate(risk) if number < 10)
    ticks = np.arange(1.0, found.limit + 1)
    slow = counted_slowly(log["score"], log["won"] > 0, log["price"], found.limit)
    assert found.win(rows.features[:1], ticks[None])[0] == pytest.approx(slow)


def test_small_segments_are_close_to_all_rows():
    log = world(400)
    rows = rows_of(log)
    ticks = np.arange(1.0, 40.0)[None]
    nobody = sparse.csr_matrix((1, 2))

    def away(prior):
        found = landscape_counts.fit(rows, prior=prior)
        return np.abs(found.win(rows.features[:1], ticks) - found.win(nobody, ticks)).max()

    assert away(1e9) == pytest.approx(0.0, abs=1e-6)
    assert away(0.0) > away(20.0) > away(200.0) > 0.01


# --- likelihoods --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
def test_probabilities_of_intervals_far_out_and_their_derivatives(link):
    low, high = np.array([-1.0, 0.3, -np.inf, 3.0, 1.0]), np.array([-0.5, 0.9, -0.2, np.inf, 1.0 + 1e-6])
    found, down, up = between(link, low, high)
    plain = np.exp(logs(link, high).below) - np.exp(logs(link, low).below)
    assert found == pytest.approx(np.log(np.maximum(plain, 1e-300)), rel=1e-6, abs=1e-6)
    step = 1e-6
    inside = slice(0, 2)
    for slopes, first, last in ((down, step, 0.0), (up, 0.0, step)):
        moved = between(link, low + first, high + last)[0] - between(link, low - first, high - last)[0]
        assert slopes[inside] == pytest.approx(moved[inside] / (2 * step), rel=1e-5)
    assert (down[2], up[3]) == (0.0, 0.0)
    assert np.isfinite(between(link, np.array([-40.0, 35.0]), np.array([-39.0, 36.0]))[0]).all()


@pytest.mark.parametrize("feedback", FEEDBACKS)
@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("stiffness", [2.0, np.inf])
def test_the_gradient_of_a_location_is_that_of_its_value(feedback, link, stiffness):
    rows = rows_of(world(60), feedback)
    knots = landscape_location.knots_of(rows, 12)
    objective = landscape_location.Objective(rows, knots, link=link, ridge=0.7, stiffness=stiffness)
    point = objective.start() + 0.1 * np.random.default_rng(1).normal(size=len(objective.start()))
    slow = approx_fprime(point, lambda at: objective(at)[0], 1e-6)
    assert objective(point)[1] == pytest.approx(slow, rel=2e-4, abs=2e-3)


def test_the_gradient_of_a_hazard_is_that_of_its_value():
    rows = rows_of(world(60))
    bins = Bins.of(rows.limit, width=9)
    objective = landscape_hazard.Objective(
        rows.features, *bins.survived(rows), count=bins.size, ridge=0.7, tilt_ridge=0.3
    )
    point = np.random.default_rng(1).normal(size=bins.size + 4)
    slow = approx_fprime(point, lambda at: objective(at)[0], 1e-6)
    assert objective(point)[1] == pytest.approx(slow, rel=1e-4, abs=1e-3)


def test_the_likelihood_of_a_location_is_the_probability_of_what_was_seen():
    rows = rows_of(world(50))
    straight = landscape_location.fit(rows, ridge=1e-9, stiffness=np.inf)
    objective = landscape_location.Objective(rows, straight.knots, link="normal", ridge=0.0, stiffness=np.inf)
    point = np.concatenate([straight.weights, [straight.rise[0], np.log(straight.slope)]])
    assert objective(point)[0] == pytest.approx(surprise(straight, rows).sum(), rel=1e-6)


# --- recovery -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feedback", FEEDBACKS)
def test_a_location_finds_the_rivals_whatever_is_seen_of_them(feedback):
    rows = rows_of(world(8000), feedback)
    found = landscape_location.fit(rows, link="normal", stiffness=np.inf, ridge=0.1)
    scores = np.array([[8.0, 15.0, 30.0, 60.0]])
    for column, location in ((0, 3.6), (1, 3.0)):
        features = sparse.csr_matrix(np.eye(2)[[column]])
        assert found.win(features, scores)[0] == pytest.approx(true_wins(scores[0], location), abs=0.035)


@pytest.mark.parametrize("estimator", ["transformation", "lognormal", "kaplan_meier", "hazard", "point"])
def test_every_estimator_finds_the_rivals(estimator):
    found = ESTIMATORS[estimator](rows_of(world(8000)))
    scores = np.array([[8.0, 15.0, 30.0, 60.0]])
    for column, location in ((0, 3.6), (1, 3.0)):
        features = sparse.csr_matrix(np.eye(2)[[column]])
        assert found.win(features, scores)[0] == pytest.approx(true_wins(scores[0], location), abs=0.05)


@pytest.mark.parametrize("estimator", [name for name in ESTIMATORS if name != "recurrent"])
def test_curves_rise_from_nothing_towards_one(estimator):
    rows = rows_of(world(800))
    ticks = np.broadcast_to(np.append(np.arange(1.0, 200.0, 0.5), 1e9), (20, 399))
    curves = ESTIMATORS[estimator](rows).win(rows.features[:20], ticks)
    assert (curves[:, 0] == 0.0).all()
    assert (np.diff(curves, axis=1) >= -1e-12).all()
    assert ((curves >= 0.0) & (curves <= 1.0)).all()


def test_a_curve_that_may_bend_follows_prices_that_are_paid_often():
    log = world(1500)
    often = np.random.default_rng(2).random(1500) < 0.3
    log["price"] = np.where(often, 20.0, log["price"])
    log["won"] = (log["price"] < log["score"]).astype(float)
    rows = rows_of(log)
    step = np.array([[20.0, 21.0]])
    bends, straight = (
        np.diff(landscape_location.fit(rows, stiffness=stiffness).win(rows.features[:1], step))[0, 0]
        for stiffness in (1.0, np.inf)
    )
    assert bends > 0.25 > 0.1 > straight
    folds = np.arange(1500) % 2
    losses = [cross_validated(rows, ESTIMATORS[name], folds) for name in ("transformation", "lognormal")]
    assert losses[0] < losses[1] - 0.1
    assert chosen(rows, {name: ESTIMATORS[name] for name in ("lognormal", "transformation")})[0] == "transformation"


def test_beyond_the_last_score_the_straight_line_goes_on():
    rows = rows_of(world(8000))
    found = landscape_location.fit(rows)
    far = np.array([[150.0, 300.0]])
    assert found.win(sparse.csr_matrix(np.eye(2)[[1]]), far)[0] == pytest.approx(true_wins(far[0]), abs=0.02)


@pytest.mark.parametrize("estimator", ["kaplan_meier", "hazard"])
def test_beyond_the_last_bin_the_last_chances_go_on(estimator):
    rows = rows_of(world(2000))
    found = ESTIMATORS[estimator](rows)
    lost = 1.0 - found.win(rows.features[:1], np.array([[60.0, 79.0, 98.0, 117.0]]) * found.limit / 79.0)[0]
    assert lost[1] > lost[2] > lost[3] > 0.0
    assert lost[3] / lost[2] == pytest.approx(lost[2] / lost[1])
    assert lost[2] / lost[1] == pytest.approx(lost[1] / lost[0], abs=0.1)


def test_a_tilt_turns_about_the_middle_bin():
    rows = rows_of(world(2000))
    found = landscape_hazard.fit(rows, width=2)
    turned = found._replace(tilts=found.tilts + np.array([0.5, 0.5]))
    one, other = (each.win(rows.features[:1], found.bins.edges[None])[0] for each in (found, turned))
    middle = found.bins.size // 2
    chances = [np.diff(curve) / (1.0 - curve[:-1]) for curve in (one, other)]
    assert chances[1][middle - 5] < chances[0][middle - 5]
    assert chances[1][middle + 5] > chances[0][middle + 5]


def test_units_scale_everything():
    log = world(500)
    cents = {**log, "score": log["score"] * 0.01, "price": log["price"] * 0.01}
    one, other = (fit_line(each, estimator="lognormal", unit=unit) for each, unit in ((log, 1.0), (cents, 0.01)))
    assert other.report.anlp.estimate == pytest.approx(one.report.anlp.estimate)
    curves = [settings({"ads": fitted})["lines"]["ads"] for fitted in (one, other)]
    assert curves[1]["curve"]["location"] == pytest.approx(curves[0]["curve"]["location"] + np.log(0.01))
    assert curves[1]["limit"] == pytest.approx(curves[0]["limit"] * 0.01)


# --- what is handed on --------------------------------------------------------------------------------------------


def test_a_known_family_is_handed_on_as_such_and_moves_with_the_context():
    fitted = fit_line(world(), estimator="lognormal", context=("part",))
    found = settings({"ads": fitted})
    assert "segments" not in found
    served = msgspec.convert(found, Shade).lines["ads"]
    assert served.limit == 79.0
    for part in ("morning", "evening"):
        request = Request(candidates=Candidates.of(item_id=[]), context={"part": part})
        scores = np.array([10.0, 40.0])
        told = fitted.landscape.win(one_hot({"part": [part]}, fitted.names), scores[None])[0]
        assert served.win(scores, request) == pytest.approx(told)


@pytest.mark.parametrize("estimator", ["transformation", "kaplan_meier", "hazard"])
def test_other_curves_are_handed_on_as_grids_by_context(estimator):
    fitted = fit_line(world(1500), estimator=estimator, context=("part",))
    found = settings({"ads": fitted})
    assert {tuple(one["when"].items()) for one in found["segments"]} == {
        (("part", "morning"),),
        (("part", "evening"),),
    }
    for one in found["segments"]:
        curve = one["lines"]["ads"]["curve"]
        features = one_hot({key: [value] for key, value in one["when"].items()}, fitted.names)
        told = fitted.landscape.win(features, np.array([curve["scores"]]))[0]
        assert curve["wins"] == pytest.approx(told, abs=1e-8)
        assert curve["scores"][-1] <= one["lines"]["ads"]["limit"] == fitted.landscape.limit
        assert ("errors" in curve) == (estimator == "kaplan_meier")
    served = msgspec.convert(found, Shade)
    base = served.lines["ads"].win(np.array([10.0, 40.0]))
    evening, morning = (
        next(one for one in served.segments if one.when["part"] == part).lines["ads"].win(np.array([10.0, 40.0]))
        for part in ("evening", "morning")
    )
    assert ((evening < base) & (base < morning)).all()


def test_an_artefact_says_how_good_it_is_and_where_it_comes_from():
    log = world(600)
    log["line"] = np.array(["ads", "live"], dtype=object)[np.arange(600) % 2]
    found = artefact(fit_lines(log, estimator="lognormal"), {"rows": 600})
    assert found.section == "blend.shade"
    assert sorted(found.settings["lines"]) == ["ads", "live"]
    assert found.report["ads"]["rows"] == 60
    assert found.provenance == {"rows": 600, "estimators": {"ads": "lognormal", "live": "lognormal"}}


def test_the_report_is_about_rows_that_were_not_fitted_on():
    log = world(1000)
    late = {name: column.copy() for name, column in log.items()}
    late["won"][800:] = 1.0 - late["won"][800:]
    late["price"][800:] = np.where(late["won"][800:] > 0, 1.0, 99.0)
    one, other = (fit_line(each, estimator="lognormal", context=("part",)) for each in (log, late))
    assert one.report.auc.estimate > 0.8
    assert other.report.auc.estimate < 0.2


def test_estimators_that_need_prices_say_so():
    with pytest.raises(RequestError, match="feedback: must show prices of rows that won"):
        landscape_counts.fit(rows_of(world(50), "flag"))
    with pytest.raises(RequestError, match=r"estimator: is not known, got 'log'; .*'lognormal'"):
        fit_line(world(50), estimator="log")


# --- real rivals --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not at {DATA}; set SLATEWISE_DATA")
def test_prices_of_lost_rows_change_nothing():
    score, won, price = [], [], []
    for line in (DATA / "train.yzbx.txt").read_text().splitlines()[:1500]:
        _, z, own, *_ = line.split()
        score.append(float(own))
        won.append(int(z) < int(own))
        price.append(float(z))
    told = np.where(won, price, np.nan)
    one, other = (landscape_location.fit(Rows.of(score, won, price=each)) for each in (price, told))
    assert one.rise.tolist() == other.rise.tolist()
