"""The recurrent landscape: batched = single, padded = unpadded, its losses, and what it learns."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("torch")

import torch

from slatewise.learn import landscape_recurrent as recurrent
from slatewise.learn.landscape_bins import Bins
from slatewise.learn.landscape_rows import Rows
from slatewise.models.dlf import RecurrentLandscape, outcome_loss, price_loss


@pytest.fixture
def network():
    torch.manual_seed(0)
    return RecurrentLandscape(5, 7, embedded=4, hidden=6)


def test_rows_together_are_what_they_are_alone(network):
    features = sparse.random_array((9, 5), density=0.4, random_state=1, format="csr")
    together = recurrent.hazards(network, features)
    alone = np.concatenate([recurrent.hazards(network, features[[row]]) for row in range(9)])
    assert together == pytest.approx(alone, abs=1e-6)


def test_padding_and_order_of_features_change_nothing(network):
    plain = network(torch.tensor([[1, 3]]))
    assert network(torch.tensor([[3, 5, 1, 5, 5]])).tolist() == [pytest.approx(plain[0].tolist(), abs=1e-6)]


def test_losses_by_hand():
    # chances of the three bins 1/2, 1/3, 1/4; survival 1, 1/2, 1/3, 1/4
    odds = torch.log(torch.tensor([[1.0, 1 / 2, 1 / 3]], dtype=torch.float64)).repeat(2, 1)
    place, ended = torch.tensor([1, 2]), torch.tensor([True, False])
    assert float(price_loss(odds, place, ended)) == pytest.approx((np.log(6) + np.log(3)) / 2)
    score, won = torch.tensor([3, 2]), torch.tensor([True, False])
    assert float(outcome_loss(odds, score, won)) == pytest.approx((np.log(4 / 3) + np.log(3)) / 2)


def test_gradients_of_the_losses():
    odds = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    place, ended = torch.tensor([0, 1, 3, 2]), torch.tensor([True, False, False, True])
    score, won = torch.tensor([1, 2, 3, 3]), torch.tensor([True, False, True, False])
    assert torch.autograd.gradcheck(lambda at: price_loss(at, place, ended), (odds,))
    assert torch.autograd.gradcheck(lambda at: outcome_loss(at, score, won), (odds,))


def test_it_learns_two_contexts_and_the_same_from_the_same_seed():
    rng = np.random.default_rng(0)
    late = rng.integers(0, 2, 500)
    price = np.where(late, 6.0, 2.0) + rng.integers(0, 3, 500)
    score = rng.integers(2, 13, 500).astype(float)
    features = sparse.csr_matrix((np.ones(500), (np.arange(500), late)), (500, 2))
    rows = Rows.of(score, price < score, price=price, features=features)
    settings = recurrent.Settings(width=1, rate=1e-2, batch=50, epochs=12, embedded=4, hidden=8)
    before = torch.get_rng_state()
    found = recurrent.fit(rows, settings=settings)
    assert torch.equal(before, torch.get_rng_state())
    scores = np.array([[3.0, 5.0, 7.0]] * 2)
    wins = found.win(sparse.csr_matrix(np.eye(2)), scores)
    assert wins == pytest.approx(np.array([[1 / 3, 1.0, 1.0], [0.0, 0.0, 1 / 3]]), abs=0.12)
    brief = settings._replace(epochs=1)
    one, other = (recurrent.fit(rows, settings=brief).win(features[:5], scores[:1].repeat(5, 0)) for _ in range(2))
    assert one.tolist() == other.tolist()


def test_a_row_that_lost_inside_a_bin_does_not_survive_it():
    rows = Rows.of([6.0, 9.0], [False, False], price=[9.0, 9.0])
    place, ended = Bins.of(13, width=4).survived(rows)
    assert (place.tolist(), ended.tolist()) == ([1, 2], [False, False])
