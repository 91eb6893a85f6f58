"""Matching of slots to rows: the certificate says whether it is right, whoever computed it."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from slatewise.kernels.matching import match


def test_prices_prove_the_matching():
    rng = np.random.default_rng(0)
    for _ in range(300):
        slots = int(rng.integers(1, 8))
        n = slots + int(rng.integers(0, 9))
        # Half of them of few values, so that ties really happen, and some below zero.
        reward = rng.integers(-3, 4, (n, slots)) * 1.0 if rng.random() < 0.5 else rng.normal(size=(n, slots))
        slot_of, of_slot, of_row = np.empty(n, np.int64), np.empty(slots), np.empty(n)
        total = match(reward, slot_of, of_slot, of_row, np.empty((3, n)))
        matched = np.flatnonzero(slot_of >= 0)
        assert sorted(slot_of[matched]) == list(range(slots))
        slack = of_slot[None, :] + of_row[:, None] - reward
        assert slack.min() > -1e-9
        assert np.abs(slack[matched, slot_of[matched]]).max() < 1e-9
        assert of_row.min() >= -1e-9
        assert np.abs(of_row[slot_of < 0]).max(initial=0) < 1e-9
        rows, columns = linear_sum_assignment(reward, maximize=True)
        assert np.isclose(total, reward[rows, columns].sum())
