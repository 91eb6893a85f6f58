"""Logarithm and exponential: never the wrong way round, and near enough to the truth."""

import numpy as np
import pytest
from numba import njit

from slatewise.kernels.logs import exp, ln


@njit
def logarithms(numbers):
    return np.array([ln(one) for one in numbers])


@njit
def exponentials(numbers):
    return np.array([exp(one) for one in numbers])


def neighbours(around, count=400):
    """Return floats in order: `count` neighbours from each of some numbers on."""
    runs = [np.asarray(around)]
    for _ in range(count):
        runs.append(np.nextafter(runs[-1], np.inf))
    return np.array(runs).T


RNG = np.random.default_rng(3)
EDGES = np.concatenate([np.arange(1, 128) / 128, [0.5, 1.0, 2.0, 2.0**-40, 5e-324, 2.0**-1022]])


@pytest.mark.parametrize("around", [EDGES * (1 - 1e-14), RNG.random(500), 10.0 ** RNG.uniform(-300, 300, 500)])
def test_a_logarithm_never_falls(around):
    runs = neighbours(around)
    found = logarithms(runs.ravel()).reshape(runs.shape)
    assert (np.diff(found, axis=1) >= 0).all()


@pytest.mark.parametrize(
    "around",
    [np.arange(-300, 300) * np.log(2) / 128 * (1 - np.sign(np.arange(-300, 300)) * 2e-14), RNG.uniform(-745, 709, 500)],
)
def test_an_exponential_never_falls(around):
    runs = neighbours(around)
    found = exponentials(runs.ravel()).reshape(runs.shape)
    assert (np.diff(found, axis=1) >= 0).all()


def test_they_are_near_the_truth():
    numbers = 10.0 ** RNG.uniform(-300, 300, 100_000)
    truth = np.log(numbers)
    assert (np.abs(logarithms(numbers) - truth) <= 6e-16 * np.maximum(1, np.abs(truth))).all()
    powers = RNG.uniform(-700, 700, 100_000)
    assert (np.abs(exponentials(powers) / np.exp(powers) - 1) <= 5e-16 * (1 + np.abs(powers))).all()


def test_they_are_exact_where_it_shows():
    assert exponentials(np.array([0.0, 1000.0, -1000.0])).tolist() == [1.0, np.inf, 0.0]
    assert logarithms(np.array([1.0])).tolist() == [0.0]
