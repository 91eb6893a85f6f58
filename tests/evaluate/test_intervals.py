"""Intervals that draw clusters: cases whose answer is known."""

from math import isnan, sqrt

import numpy as np
import pytest

from slatewise.evaluate import intervals
from slatewise.evaluate.intervals import difference_by_cluster, mean_by_cluster


def test_two_clusters_worked_out():
    # Drawing two of (0, 1) gives a mean of 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    wide = mean_by_cluster([0.0, 1.0], [1, 2], level=0.95)
    assert (wide.estimate, wide.low, wide.high, wide.clusters) == (0.5, 0.0, 1.0, 2)
    narrow = mean_by_cluster([0.0, 1.0], [1, 2], level=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_clusters_weigh_by_their_visits():
    drawn = mean_by_cluster([1.0, 1.0, 1.0, 0.0], [7, 7, 7, 8], level=0.4)
    assert drawn.estimate == drawn.low == drawn.high == (1 + 1 + 1 + 0) / 4


def test_many_clusters_of_one_agree_with_the_normal():
    values = np.random.default_rng(3).normal(2.0, 1.0, 900)
    drawn = mean_by_cluster(values, np.arange(900))
    half = 1.959964 * values.std() / sqrt(900)
    assert drawn.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert drawn.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_drawing_and_its_normal_limit_agree_where_one_takes_over(monkeypatch):
    rng = np.random.default_rng(11)
    clusters = rng.integers(0, 1500, 6000) ** 2 // 1500
    values = (rng.random(6000) < rng.random(1500)[clusters]).astype(float)
    drawn = mean_by_cluster(values, clusters)
    monkeypatch.setattr(intervals, "MANY", 0)
    limit = mean_by_cluster(values, clusters)
    width = drawn.high - drawn.low
    assert (limit.estimate, limit.clusters) == (drawn.estimate, drawn.clusters)
    assert limit.low == pytest.approx(drawn.low, abs=0.05 * width)
    assert limit.high == pytest.approx(drawn.high, abs=0.05 * width)


def test_visits_that_repeat_within_a_cluster_say_nothing_new():
    values, clusters = np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.array([1, 2, 3, 4, 5])
    once = mean_by_cluster(values, clusters)
    often = mean_by_cluster(np.repeat(values, 50), np.repeat(clusters, 50))
    assert (often.low, often.high) == (once.low, once.high)
    assert mean_by_cluster(np.repeat(values, 50), np.arange(250)).high < once.high


def test_a_difference_is_paired():
    rng = np.random.default_rng(5)
    hard, clusters = rng.random(300), rng.integers(0, 30, 300)
    paired = difference_by_cluster(hard + 0.1, hard, clusters)
    assert paired.low == pytest.approx(0.1)
    assert paired.high == pytest.approx(0.1)
    assert paired.excludes_zero
    assert not difference_by_cluster(hard, hard, clusters).excludes_zero


def test_order_does_not_matter_missing_values_do_not_count_and_the_seed_does_its_work():
    rng = np.random.default_rng(7)
    values, clusters = rng.random(100), rng.integers(0, 10, 100)
    order = rng.permutation(100)
    drawn = mean_by_cluster(values, clusters)
    shuffled = mean_by_cluster(values[order], clusters[order])
    assert (shuffled.low, shuffled.high) == pytest.approx((drawn.low, drawn.high))
    gaps = mean_by_cluster([*values, np.nan, np.nan], [*clusters, 3, 99])
    assert (gaps.estimate, gaps.low, gaps.clusters) == (drawn.estimate, drawn.low, 10)
    assert mean_by_cluster(values, clusters, seed=1).low != drawn.low


def test_one_cluster_or_none_has_no_interval():
    alone = mean_by_cluster([0.0, 1.0], [4, 4])
    assert alone.estimate == 0.5
    assert isnan(alone.low)
    assert isnan(mean_by_cluster([], []).estimate)
