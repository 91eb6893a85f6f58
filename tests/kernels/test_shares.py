"""Prices of shares: a minimum of the dual, whatever floors, caps, losses and ties there are."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import eye, hstack, kron

from slatewise.kernels.shares import dual


def least(worth, floor, cap, loss, most):
    """Return the minimum of the dual, as a linear program."""
    n, lines = worth.shape
    ones, per_line = np.ones((lines, 1)), kron(np.ones((n, 1)), eye(lines))
    rows = hstack([kron(eye(n), ones), per_line, -per_line]).tocsr()
    there = np.isfinite(worth.ravel())
    bounds = [(None, None)] * n + [(0, one) for one in most] + [(0, one) for one in loss]
    costs = np.concatenate([np.ones(n), cap, -floor])
    return linprog(costs, A_ub=-rows[there], b_ub=-worth.ravel()[there], bounds=bounds).fun


def at(price, worth, floor, cap):
    return (worth - price).max(axis=1).sum() + cap @ np.maximum(price, 0) - floor @ np.maximum(-price, 0)


@pytest.mark.parametrize("case", range(60))
def test_prices_are_a_minimum_within_their_bounds(case):
    rng = np.random.default_rng(case)
    n, lines = int(rng.integers(1, 25)), int(rng.integers(1, 6))
    worth = rng.integers(0, 6, (n, lines)).astype(float) if case % 2 else rng.normal(0, 3, (n, lines))
    if case % 5 == 0:
        worth[:, 1:][rng.random((n, lines - 1)) < 0.3] = -np.inf
    floor = rng.random(lines) * n / lines
    cap = floor + rng.random(lines) * n / lines * (case % 3)
    loss, most = rng.random(lines) * 6, rng.random(lines) * 20
    price = dual(worth, floor, cap, loss, most, -1, rng.normal(0, 4, lines))
    assert (price >= -loss - 1e-9).all()
    assert (price <= most + 1e-9).all()
    assert at(price, worth, floor, cap) == pytest.approx(least(worth, floor, cap, loss, most), rel=1e-9, abs=1e-7)


def test_the_anchor_has_no_price_where_shares_are_exact():
    worth = np.array([[5.0, 1.0], [4.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    half, far = np.full(2, 2.0), np.full(2, 100.0)
    # The third slot has to change hands, the second not: the difference of prices is between 1 and 3.
    assert dual(worth, half, half, far, far, 0, np.zeros(2)).tolist() == [0.0, -2.0]
    assert dual(worth, half, half, far, far, 1, np.zeros(2)).tolist() == [2.0, 0.0]


def test_a_floor_out_of_reach_costs_its_loss_and_no_more():
    worth = np.array([[9.0, 0.0], [9.0, 0.0]])
    found = dual(worth, np.array([0.0, 1.0]), np.full(2, 3.0), np.array([0.0, 2.5]), np.full(2, 99.0), -1, np.zeros(2))
    assert found.tolist() == [0.0, -2.5]
