"""Maps of `blend.calibrate`: their formulas, and that no two scores change places or become one."""

from math import exp, log

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise.blend.maps import Beta, Bucketed, Knots, Map, Platt, Quantile, Ratio, Temperature
from slatewise.blend.table import Table

KNOTS = {"scores": (0.01, 0.1, 0.5), "log_odds": (-6.0, -1.0, -0.5)}
COUNTS = {"scores": (0.1, 0.2, 0.4, 0.8), "shown": (50.0, 30.0, 70.0, 50.0), "events": (5.0, 20.0, 10.0, 40.0)}
MANY = np.sort(np.random.default_rng(13).random((2, 300)))
MAPS: dict[str, Map] = {
    "ratio": Ratio(factor=0.8, worth=3.0),
    "temperature": Temperature(temperature=1.7),
    "platt": Platt(slope=0.6, offset=-0.4, worth=0.1),
    "platt of scores": Platt(slope=0.6, offset=-0.4, scale="score"),
    "beta": Beta(low=1.3, high=0.4, offset=0.2),
    "beta, one end": Beta(low=0.7, high=0.0),
    "knots": Knots(**KNOTS, worth=12.0),
    "knots of scores": Knots(**KNOTS, scale="score"),
    "many knots": Knots(scores=tuple(MANY[0].tolist()), log_odds=tuple((9 * MANY[1] - 7).tolist())),
    "bucketed": Bucketed(**COUNTS),
    "quantile through 0": Quantile(scores=(0.0, 11 / 97, 1.0), reference=(-5.0, 1e-9, 5.0)),
    "quantile": Quantile(scores=(0.0, 0.3, 0.9), reference=(0.2, 0.21, 7.0)),
}


def twin(one, score):
    """The formulas, with `math` and no thought of order."""

    def odds(p):
        return log(p) - log(1 - p)

    def line(at, xs, ys):
        place = max(1, min(len(xs) - 1, sum(x <= at for x in xs)))
        slope = (ys[place] - ys[place - 1]) / (xs[place] - xs[place - 1])
        return ys[place - 1] + (at - xs[place - 1]) * slope

    match one:
        case Ratio():
            return one.worth * one.factor * score
        case Quantile():
            return one.worth * line(score, one.scores, one.reference)
        case Temperature():
            level = odds(score) / one.temperature
        case Platt():
            level = one.slope * (odds(score) if one.scale == "probability" else score) + one.offset
        case Beta():
            level = one.low * log(score) - one.high * log(1 - score) + one.offset
        case Knots(scale="probability"):
            level = line(odds(score), [odds(p) for p in one.scores], one.log_odds)
        case Knots():
            level = line(score, one.scores, one.log_odds)
        case Bucketed():
            # By hand: 20 of 30 and 10 of 70 are pooled to 30 of 100; a showing at the mean rate is added to each.
            mean = 75.5 / 201
            rates = [(5 + mean) / 51, (30 + 2 * mean) / 102, (40 + mean) / 51]
            xs = [odds(0.1), ((30 + 1) * odds(0.2) + (70 + 1) * odds(0.4)) / 102, odds(0.8)]
            ys = [odds(rate) for rate in rates]
            level = line(odds(score), [xs[0] - 1, *xs, xs[-1] + 1], [ys[0] - 1, *ys, ys[-1] + 1])
    return one.worth / (1 + exp(-level))


@pytest.mark.parametrize("name", MAPS)
def test_follows_its_formula_between_knots_and_beyond(name):
    score = np.array([1e-6, 0.003, 0.01, 0.1, 0.25, 0.3, 0.5, 0.77, 0.9, 0.999])
    assert MAPS[name](score) == pytest.approx([twin(MAPS[name], one) for one in score.tolist()], rel=1e-12)


@pytest.mark.parametrize("name", MAPS)
def test_no_inversion_and_no_tie_among_scores_in_range(name):
    rng = np.random.default_rng(11)
    score = rng.random(200_000)
    if MAPS[name].on_odds:
        score[::2] = 10.0 ** rng.uniform(-9, 0, 100_000)
    other = rng.permutation(score)
    assert (np.sign(MAPS[name](score) - MAPS[name](other)) == np.sign(score - other)).all()


@pytest.mark.parametrize("name", MAPS)
def test_no_inversion_among_neighbours(name):
    """Where scores are as near as float64 allows there may be ties, as there are fewer values than scores."""
    rng = np.random.default_rng(12)
    edges = np.array([0.01, 0.1, 0.5, 2.0**-40, 1 - 2.0**-40, 0.3, 0.2, 11 / 97, *MANY[0]])
    near = edges[:, None] * (1 + np.arange(-200, 200) * 2.0**-53)
    low = np.concatenate(
        [10.0 ** rng.uniform(-13, 0, 100_000), 1 - 10.0 ** rng.uniform(-13, -1, 100_000), near.ravel()]
    )
    high = np.nextafter(low, 2.0)
    assert (MAPS[name](low) <= MAPS[name](high)).all()


@pytest.mark.parametrize("name", MAPS)
def test_goes_on_beyond_the_range_of_scores(name):
    value = MAPS[name](np.array([-3.0, -1.0, 0.0, 1e-9, 0.5, 1 - 1e-9, 1.0]))
    assert (np.diff(value) > 0).all()
    assert np.isfinite(value).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.sampled_from(sorted(MAPS)))
def test_never_changes_an_order(scores, name):
    score = np.sort(scores)
    assert (np.diff(MAPS[name](score)) >= 0).all()


def test_a_page_of_all_maps_is_each_map_by_itself():
    """To the last bit, whichever other lines are on the page, and in any order of the lines."""
    rng = np.random.default_rng(4)
    score, names = rng.random(300), ["none", *reversed(MAPS)]
    codes = rng.integers(0, len(names), 300).astype(np.int32)
    table = Table.of(MAPS)
    value = table.values(score, codes, names, table.shifts({"platt": 0.3, "ratio": 0.3}))
    for code, name in enumerate(names):
        mine = score[codes == code]
        alone = MAPS[name](mine, offset=0.3 if name in ("platt", "ratio") else 0.0) if name in MAPS else mine
        assert value[codes == code].tolist() == alone.tolist()


@pytest.mark.parametrize("name", MAPS)
def test_an_offset_adds_to_log_odds_or_to_the_logarithm_of_the_value(name):
    score, one = np.array([0.05, 0.3]), MAPS[name]
    plain, moved = one(score) / one.worth, one(score, offset=0.5) / one.worth
    if isinstance(one, Ratio | Quantile):
        assert moved == pytest.approx(plain * exp(0.5))
    else:
        assert np.log(moved / (1 - moved)) == pytest.approx(np.log(plain / (1 - plain)) + 0.5)


def test_worth_multiplies_the_value():
    score = np.array([0.1, 0.7])
    for one in MAPS.values():
        assert msgspec.structs.replace(one, worth=7.0)(score) == pytest.approx(one(score) / one.worth * 7.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"map": "platt", "slope": -1.0}, r"Expected `float` > 0"),
        ({"map": "temperature", "temperature": 0.0}, r"Expected `float` > 0"),
        ({"map": "beta", "low": 0.0, "high": 0.0}, "one of `low` and `high` must be > 0"),
        ({"map": "knots", **KNOTS, "scores": (0.1, 0.1, 0.5)}, "`scores` must increase"),
        ({"map": "knots", **KNOTS, "log_odds": (1.0, 1.0, 2.0)}, "`log_odds` must increase"),
        ({"map": "knots", **KNOTS, "scores": (0.1, 0.2)}, r"`scores` and `log_odds` must be as many, got \[2, 3\]"),
        ({"map": "knots", "scores": (0.0, 5e-324), "log_odds": (0.0, 1.0), "scale": "score"}, "further apart"),
        ({"map": "quantile", "scores": (0.1, 0.2), "reference": (2.0, 1.0)}, "`reference` must increase"),
        ({"map": "bucketed", **COUNTS, "events": (51.0, 1.0, 1.0, 1.0)}, "`events` must be at most `shown`"),
        ({"map": "bucketed", **COUNTS, "shown": (50.0, 50.0)}, r"must be as many, got \[4, 2, 4\]"),
        ({"map": "isotonic"}, "Invalid value 'isotonic'"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(settings, Map)
