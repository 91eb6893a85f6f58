"""Soft sorting: what it is by definition, its limits, its symmetries, its gradients, and rows that are not there."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.autograd import gradcheck

from slatewise.models.softsort import (
    doubly_stochastic,
    neural_sort,
    ranks_of,
    soft_rank,
    soft_sort,
    soft_sorted,
    standardised,
    transport_sort,
)


def transported(scores, mask, *, temperature=1.0, rounds=40):
    return transport_sort(scores, mask, regularisation=temperature, rounds=rounds, tolerance=1e-11)


def squared(scores, mask, *, temperature=1.0):
    return soft_sort(scores, mask, temperature=temperature, power=2)


def scaled(scores, mask, *, temperature=1.0):
    return doubly_stochastic(neural_sort(scores, mask, temperature=temperature), rounds=5000, tolerance=1e-9)


MATRICES = {"neural": neural_sort, "soft": soft_sort, "squared": squared, "transport": transported, "scaled": scaled}


def ranked(kind):
    return lambda scores, mask, *, temperature=1.0: soft_rank(
        scores, mask, regularisation=temperature, regulariser=kind
    )


def values(kind):
    return lambda scores, mask, *, temperature=1.0: soft_sorted(
        scores, mask, regularisation=temperature, regulariser=kind
    )


VECTORS = {"rank l2": ranked("l2"), "rank kl": ranked("kl"), "values l2": values("l2"), "values kl": values("kl")}
EVERY = {**MATRICES, **VECTORS, "standardised": lambda scores, mask, *, temperature=1.0: standardised(scores, mask)}


def table(kinds):
    return pytest.mark.parametrize("sort", kinds.values(), ids=kinds)


def lists(*rows, dtype=torch.float64):
    """Return scores padded with a number that would be seen, and a mask."""
    longest = max(map(len, rows))
    scores = torch.full((len(rows), longest), 1e4, dtype=dtype)
    for place, row in enumerate(rows):
        scores[place, : len(row)] = torch.tensor(row, dtype=dtype)
    return scores, torch.arange(longest) < torch.tensor([[len(row)] for row in rows])


def random(count, length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, length)))


def full(scores):
    return torch.ones_like(scores, dtype=torch.bool)


# --- definitions --------------------------------------------------------------------------------------------------


def softmax(numbers):
    found = np.exp(numbers - numbers.max())
    return found / found.sum()


def neural_slowly(s, t):
    n = len(s)
    return np.array(
        [
            softmax(np.array([((n + 1 - 2 * i) * s[j] - sum(abs(s[j] - other) for other in s)) / t for j in range(n)]))
            for i in range(1, n + 1)
        ]
    )


def soft_slowly(s, t, p):
    return np.array([softmax(-(abs(one - s) ** p) / t) for one in sorted(s, reverse=True)])


def pools_slowly(z, w, kind):
    """Return the closest numbers that never rise: of all pools that reach i from the left, the least of the most."""

    def pool(low, high):
        if kind == "l2":
            return (z[low:high] - w[low:high]).mean()
        return np.log(np.exp(z[low:high]).sum()) - np.log(np.exp(w[low:high]).sum())

    n = len(z)
    return np.array(
        [min(max(pool(low, high) for high in range(i + 1, n + 1)) for low in range(i + 1)) for i in range(n)]
    )


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_matrices_are_what_their_formulas_say(temperature):
    for seed in range(5):
        s = random(1, 6, seed)
        one = s[0].numpy()
        assert neural_sort(s, full(s), temperature=temperature)[0].numpy() == pytest.approx(
            neural_slowly(one, temperature)
        )
        for power in (1, 2):
            found = soft_sort(s, full(s), temperature=temperature, power=power)[0].numpy()
            assert found == pytest.approx(soft_slowly(one, temperature, power))


@pytest.mark.parametrize("kind", ["l2", "kl"])
@pytest.mark.parametrize("strength", [0.2, 1.0, 5.0])
def test_soft_ranks_and_values_are_projections(kind, strength):
    for seed in range(20):
        s = random(1, 7, seed).numpy()[0]
        n, order = len(s), np.argsort(-s)
        z, w = np.sort(-s / strength)[::-1], np.arange(n, 0, -1.0)
        told = w if kind == "l2" else np.log(w)
        up = z - pools_slowly(z, told, kind)
        expected = np.empty(n)
        expected[order[::-1]] = up if kind == "l2" else np.exp(up)
        given = torch.from_numpy(s)[None]
        assert soft_rank(given, full(given), regularisation=strength, regulariser=kind)[0].numpy() == pytest.approx(
            expected
        )
        z, w = np.arange(n, 0, -1.0) / strength, s[order]
        found = soft_sorted(given, full(given), regularisation=strength, regulariser=kind)[0].numpy()
        assert found == pytest.approx(z - pools_slowly(z, w, kind))


def test_soft_ranks_are_exact_when_every_gap_is_as_wide_as_the_regularisation():
    s, mask = lists([5.0, 1.0, 2.0])
    assert soft_rank(s, mask, regularisation=1.0).tolist() == [[1.0, 3.0, 2.0]]
    assert soft_rank(s, mask, regularisation=2.0).tolist() == [[1.0, 2.75, 2.25]]
    wide = (3 * torch.arange(8, dtype=torch.float64) ** 1.2)[None, torch.randperm(8, generator=torch.manual_seed(0))]
    wide.requires_grad_()
    found = soft_rank(wide, full(wide), regularisation=2.9)
    found.square().sum().backward()
    assert found[0].tolist() == pytest.approx((8.0 - wide.detach()[0].argsort().argsort()).tolist())
    assert wide.grad.abs().max() == 0.0


def test_a_transport_has_the_least_cost_that_its_entropy_allows():
    s, strength = random(1, 5)[0], 0.2
    y = torch.linspace(1, -1, 5, dtype=torch.float64)
    plan = torch.exp(-((y[:, None] - s[None]) ** 2) / strength)
    for _ in range(5000):
        plan = plan / plan.sum(dim=0, keepdim=True)
        plan = plan / plan.sum(dim=1, keepdim=True)
    found = transported(s[None], full(s[None]), temperature=strength)
    assert found[0].numpy() == pytest.approx(plan.numpy(), abs=1e-9)


@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 1e-1, 1.0])
def test_a_transport_takes_few_rounds_however_cold_it_is(temperature):
    for spread in (1.0, 3.0):
        s = spread * random(30, 40)
        found = transported(s, full(s), temperature=temperature, rounds=6)
        assert found.sum(dim=1).numpy() == pytest.approx(np.ones((30, 40)), abs=1e-9)


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_scaling_and_its_gradient_are_those_of_plain_division(rounds):
    scores, mask = lists([0.3, -1.0, 2.0, 0.1], [0.5, 0.4])
    given = neural_sort(scores, mask, temperature=0.7)
    slope = random(2, 16).reshape(2, 4, 4)

    def plainly(matrix):
        for _ in range(rounds):
            matrix = matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1e-30)
            matrix = matrix / matrix.sum(dim=2, keepdim=True).clamp(min=1e-30)
        return matrix

    gradients = []
    for scaling in (plainly, lambda matrix: doubly_stochastic(matrix, rounds=rounds, tolerance=0.0)):
        matrix = given.clone().requires_grad_()
        found = scaling(matrix)
        (found * slope).sum().backward()
        gradients.append((found.detach().numpy(), torch.where(given > 0, matrix.grad, 0.0).numpy()))
    assert gradients[1][0] == pytest.approx(gradients[0][0])
    assert gradients[1][1] == pytest.approx(gradients[0][1])


# --- limits -------------------------------------------------------------------------------------------------------


@table(MATRICES)
def test_matrices_are_permutations_when_it_is_cold_and_even_when_it_is_hot(sort):
    s = torch.tensor([[0.5, 2.0, -1.0, 1.25]], dtype=torch.float64)
    hard = torch.zeros(4, 4, dtype=torch.float64)
    hard[[0, 1, 2, 3], [1, 3, 0, 2]] = 1.0
    assert sort(s, full(s), temperature=1e-3)[0].numpy() == pytest.approx(hard.numpy(), abs=1e-6)
    assert sort(s, full(s), temperature=1e6)[0].numpy() == pytest.approx(np.full((4, 4), 0.25), abs=1e-4)


@table({name: sort for name, sort in VECTORS.items() if "rank" in name})
def test_ranks_are_whole_when_it_is_cold_and_all_alike_when_it_is_hot(sort):
    s = torch.tensor([[0.5, 2.0, -1.0, 1.25]], dtype=torch.float64)
    assert sort(s, full(s), temperature=1e-2)[0].numpy() == pytest.approx([3.0, 1.0, 4.0, 2.0])
    assert sort(s, full(s), temperature=1e6)[0].std() == pytest.approx(0.0, abs=1e-3)


@table(MATRICES)
def test_rows_sum_to_one_and_columns_where_that_is_promised(sort):
    s = random(20, 9)
    found = sort(s, full(s), temperature=0.5)
    assert found.sum(dim=2).numpy() == pytest.approx(np.ones((20, 9)), abs=1e-6)
    if sort in (transported, scaled):
        assert found.sum(dim=1).numpy() == pytest.approx(np.ones((20, 9)), abs=1e-6)
        assert ranks_of(found).sum(dim=1).numpy() == pytest.approx(np.full(20, 45.0), abs=1e-4)


def test_a_row_of_softsort_peaks_at_its_item_and_one_of_neuralsort_has_one_peak():
    s = random(20, 9)
    order = s.argsort(dim=1, descending=True)
    for temperature in (0.5, 2.0):
        for power in (1, 2):
            found = soft_sort(s, full(s), temperature=temperature, power=power)
            assert torch.equal(found.argmax(dim=2), order)
        along = neural_sort(s, full(s), temperature=temperature).gather(2, order[:, None, :].expand(-1, 9, -1))
        rises = torch.sign(along.diff(dim=2))
        assert (rises.diff(dim=2) <= 0).all()


@table(MATRICES)
def test_equals_share_and_nothing_breaks_when_all_are_equal(sort):
    s = torch.zeros(1, 5, dtype=torch.float64).requires_grad_()
    found = sort(s, full(s), temperature=0.5)
    (found * torch.arange(25.0).reshape(5, 5)).sum().backward()
    assert found[0].detach().numpy() == pytest.approx(np.full((5, 5), 0.2))
    assert s.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["l2", "kl"])
def test_equals_have_equal_ranks(kind):
    s = torch.tensor([[1.0, 3.0, 1.0, 1.0]], dtype=torch.float64)
    found = soft_rank(s, full(s), regularisation=0.1, regulariser=kind)[0].tolist()
    assert found == pytest.approx([3.0, 1.0, 3.0, 3.0])


# --- symmetries ---------------------------------------------------------------------------------------------------


@table(MATRICES | VECTORS)
def test_items_may_come_in_any_order(sort):
    s = random(4, 6)
    shuffled = torch.tensor([3, 0, 5, 1, 4, 2])
    found = sort(s[:, shuffled], full(s), temperature=0.4)
    expected = sort(s, full(s), temperature=0.4)
    if sort not in (VECTORS["values l2"], VECTORS["values kl"]):
        expected = expected[..., shuffled]
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-8)


@table(MATRICES | {name: sort for name, sort in VECTORS.items() if "rank" in name})
def test_what_all_scores_share_says_nothing(sort):
    s = random(4, 6)
    found, expected = (sort(one, full(s), temperature=0.4).numpy() for one in (s + 3.0, s))
    assert found == pytest.approx(expected, abs=1e-8)


def test_standardised_lists_have_no_scale():
    s = random(4, 6)
    found = standardised(7.0 * s - 2.0, full(s))
    assert found.numpy() == pytest.approx(standardised(s, full(s)).numpy())
    assert found.mean(dim=1).numpy() == pytest.approx(np.zeros(4), abs=1e-12)
    assert found.square().mean(dim=1).numpy() == pytest.approx(np.ones(4))


# --- gradients ----------------------------------------------------------------------------------------------------


@table(EVERY)
def test_gradients_are_those_of_differences(sort):
    s, mask = lists([0.4, -1.1, 2.3, 0.9, -0.2], [1.3, 0.1, -0.8], [0.7])
    assert gradcheck(lambda s: sort(s, mask, temperature=0.8), s.requires_grad_(), eps=1e-5, atol=1e-4, rtol=1e-3)


@table(EVERY)
def test_rows_that_are_not_there_change_nothing_and_get_no_gradient(sort):
    s, mask = lists([0.4, -1.1, 2.3, 0.9], [1.3, 0.1], [])
    s[1, 2:], s[2] = torch.nan, -torch.inf
    s.requires_grad_()
    found = sort(s, mask, temperature=0.8)
    alone, both = (sort(s[:1, :4], mask[:1, :4], temperature=0.8), sort(s[1:2, :2], mask[1:2, :2], temperature=0.8))
    assert found[0].tolist() == pytest.approx(np.array(alone[0].tolist()), abs=1e-9)
    short = found[1][tuple(slice(0, 2) for _ in range(found.ndim - 1))]
    assert short.tolist() == pytest.approx(np.array(both[0].tolist()), abs=1e-9)
    assert float(found[1].detach().abs().sum() - short.detach().abs().sum()) == 0.0
    assert float(found[2].detach().abs().sum()) == 0.0
    (found * random(3, found[0].numel()).reshape(found.shape)).sum().backward()
    assert s.grad[~mask].tolist() == [0.0] * 6


@table(EVERY)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_of_half_precision_stay_finite(sort, dtype):
    s = (8.0 * random(2, 30)).to(dtype).requires_grad_()
    for temperature in (1e-3, 1.0):
        found = sort(s, full(s), temperature=temperature)
        assert found.dtype == dtype
        if not (sort is VECTORS["values kl"] or sort is VECTORS["values l2"]) or temperature == 1.0:
            assert found.isfinite().all()
            (slope,) = torch.autograd.grad(found.float().square().sum(), s)
            assert slope.isfinite().all()


@table(MATRICES)
def test_one_row_is_sorted(sort):
    s = torch.tensor([[3.0]], dtype=torch.float64)
    assert sort(s, full(s), temperature=0.1).tolist() == [[[pytest.approx(1.0)]]]


def test_a_list_is_sorted_by_going_down_the_slope():
    wanted = torch.tensor([[4.0, 1.0, 10.0, 2.0, 9.0, 3.0, 7.0, 5.0, 8.0, 6.0]])
    for sort in (
        lambda s: ranks_of(neural_sort(s, full(s), temperature=0.3)),
        lambda s: ranks_of(soft_sort(s, full(s), temperature=0.3)),
        lambda s: ranks_of(transport_sort(s, full(s), regularisation=0.1)),
        lambda s: soft_rank(s, full(s), regularisation=1.0),
    ):
        scores = random(1, 10).float().requires_grad_()
        optimiser = torch.optim.Adam([scores], lr=0.1)
        for _ in range(80):
            optimiser.zero_grad()
            (sort(standardised(scores, full(scores))) - wanted).square().sum().backward()
            optimiser.step()
        hard = scores.argsort(dim=1, descending=True).argsort(dim=1) + 1.0
        assert hard.tolist() == wanted.tolist()
