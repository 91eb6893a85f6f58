"""Metrics of calibration: by their definitions, by other libraries' numbers, and by what chance does to them."""

import numpy as np
import pytest

from slatewise import RequestError
from slatewise.evaluate.calibration import (
    auc,
    binned,
    brier,
    ece,
    field_rce,
    log_loss,
    mce,
    metric_by_cluster,
    pcoc,
    perfect_ece,
    smooth_ece,
    time_blocks,
)


def drawn(seed, n=400, rate=None):
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 5, n).round(2)
    return p, (rng.random(n) < (p if rate is None else rate)).astype(float)


def slow_ece(p, y, bins):
    """Rows in order, cut where a bin's share is full, but never between equal predictions."""
    rows = sorted(zip(p.tolist(), y.tolist(), strict=True))
    starts = sorted(
        {min(at for at, row in enumerate(rows) if row[0] == rows[-(-k * len(rows) // bins)][0]) for k in range(bins)}
    )
    parts = [rows[a:b] for a, b in zip(starts, [*starts[1:], len(rows)], strict=True)]
    gaps = [abs(sum(a for a, _ in part) - sum(b for _, b in part)) for part in parts]
    return sum(gaps) / len(rows), max(gap / len(part) for gap, part in zip(gaps, parts, strict=True))


def slow_smooth_ece(p, y):
    """The integral over [0, 1] of the smoothed residual's size, with mirror images, at the width equal to it."""
    at = (np.arange(4000) + 0.5) / 4000

    def smoothed(width):
        images = np.concatenate([p + 2 * turn for turn in range(-2, 3)] + [2 * turn - p for turn in range(-2, 3)])
        gap = np.tile(y - p, 10)
        density = np.exp(-np.square((at[:, None] - images) / width) / 2) / width / np.sqrt(2 * np.pi)
        return np.abs((density * gap).sum(axis=1) / len(p)).mean()

    low, high = 0.0, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if smoothed(middle) > middle else (low, middle)
    return high


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [1, 3, 20])
def test_calibration_errors_follow_their_definition(seed, bins):
    p, y = drawn(seed)
    assert (ece(p, y, bins=bins), mce(p, y, bins=bins)) == pytest.approx(slow_ece(p, y, bins))


@pytest.mark.parametrize(("seed", "rate"), [(0, 0.5), (1, None), (2, 0.9)])
def test_the_smooth_error_follows_its_definition(seed, rate):
    p, y = drawn(seed, 200, rate)
    assert smooth_ece(p, y) == pytest.approx(slow_smooth_ece(p, y), rel=5e-3)


def test_the_smooth_error_of_one_prediction_is_its_gap():
    assert smooth_ece([0.5] * 10, [1.0] * 7 + [0.0] * 3) == pytest.approx(0.2, rel=1e-3)


def test_pairs_in_order_are_counted_one_by_one():
    p, y = drawn(5, 120)
    events, others = p[y > 0], p[y == 0]
    pairs = np.mean([(one > other) + (one == other) / 2 for one in events for other in others])
    assert auc(p, y) == pytest.approx(pairs)


def test_by_the_numbers_of_scikit_learn():
    """scikit-learn 1.9: roc_auc_score, log_loss, brier_score_loss."""
    p, y = [0.1, 0.4, 0.35, 0.8, 0.65], [0, 0, 1, 1, 0]
    assert auc(p, y) == pytest.approx(0.6666666666666666)
    assert log_loss(p, y) == pytest.approx(0.5877947879470765)
    assert brier(p, y) == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04 + 0.4225) / 5)


def test_a_strictly_increasing_map_changes_no_pair():
    p, y = drawn(6)
    assert auc(p**3 / 7, y) == auc(p, y)


def test_field_values_of_few_events_are_pooled():
    """By hand: a has 2 events of 4 * 0.25, b and c one each of 2 * 0.25, which together are 2 of 1."""
    y = [1, 1, 0, 0, 1, 0, 1, 0]
    field = list("aaaabbcc")
    assert field_rce([0.25] * 8, y, field, least=2) == pytest.approx((4 * (2 - 1) / 2 + 4 * (2 - 1) / 2) / 8)
    assert np.isnan(field_rce([0.1, 0.1], [0, 0], ["a", "b"]))


@pytest.mark.parametrize("metric", [pcoc, ece, mce, smooth_ece, log_loss, brier, auc])
def test_weights_count_rows_as_often(metric):
    p, y = drawn(7, 60)
    p += np.arange(60) * 1e-6  # no two alike, so that bins do not depend on ties
    weight = np.random.default_rng(7).integers(1, 4, 60)
    if metric in (ece, mce):
        bins = binned(p, y, weight)
        assert bins.shown.sum() == weight.sum()
        assert (bins.rate * bins.shown).sum() == pytest.approx((y * weight).sum())
    else:
        assert metric(p, y, weight) == pytest.approx(metric(np.repeat(p, weight), np.repeat(y, weight)))


def test_what_a_perfect_model_shows_is_what_events_drawn_by_its_predictions_show():
    p = np.random.default_rng(8).beta(1, 30, 4000)
    rng = np.random.default_rng(9)
    shown = [ece(p, (rng.random(4000) < p).astype(float)) for _ in range(300)]
    told = perfect_ece(p)
    assert told.estimate == pytest.approx(np.mean(shown), rel=0.03)
    assert (told.low, told.high) == pytest.approx(np.quantile(shown, [0.05, 0.95]), rel=0.06)


def test_intervals_draw_clusters():
    """Rows of a cluster are copies of each other: twice as many of them make nothing surer."""
    p, y = drawn(10, 100)
    once = metric_by_cluster(pcoc, p, y, np.arange(100))
    twice = metric_by_cluster(pcoc, np.repeat(p, 2), np.repeat(y, 2), np.repeat(np.arange(100), 2))
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.05)
    alone = metric_by_cluster(pcoc, np.repeat(p, 2), np.repeat(y, 2), np.arange(200))
    assert alone.high - alone.low < 0.8 * (once.high - once.low)


def test_an_interval_is_as_wide_as_events_are_few():
    p, y = np.full(20_000, 0.005), np.zeros(20_000)
    y[::200] = 1.0
    found = metric_by_cluster(pcoc, p, np.random.default_rng(0).permutation(y), np.arange(20_000))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 / np.sqrt(100), rel=0.15)


def test_a_difference_is_on_the_same_draws():
    p, y = drawn(11)
    found = metric_by_cluster(brier, p, y, time_blocks(400), baseline=p)
    assert (found.low, found.estimate, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ece([], []), "predicted: must have one number per row, and a row"),
        (lambda: ece([0.1, 0.2], [1.0]), "outcome: must have one number per row"),
        (lambda: pcoc([0.1], [np.nan]), "outcome: must be finite, got nan"),
        (lambda: pcoc([0.1], [1.0], [0.0]), "weight: must be >= 0, and not all 0"),
        (lambda: smooth_ece([0.1, 1.5], [1.0, 0.0]), r"predicted\[1\]: must be a probability, got 1.5"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(RequestError, match=message):
        call()
