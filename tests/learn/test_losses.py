"""Losses: what they are by definition, their slopes, lists that tell nothing, and rows that are not there."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.autograd import gradcheck

from slatewise import RequestError
from slatewise.evaluate.ranking import ndcg_by_score
from slatewise.learn import losses
from slatewise.learn.losses import LOSSES, plackett_luce, reinforce, sampled_orders, unlikelihood

POINTWISE = {"bce", "mse"}
EVERY = {
    **LOSSES,
    "lambdarank at 2": partial(losses.lambdarank, k=2),
    "lambda_loss at 2": partial(losses.lambda_loss, k=2),
    "neural_ndcg at 2": partial(losses.neural_ndcg, k=2),
    "soft_sort_ndcg at 2": partial(losses.soft_sort_ndcg, k=2, power=2),
    "soft_rank_ndcg kl": partial(losses.soft_rank_ndcg, regulariser="kl"),
}
every = pytest.mark.parametrize("name", EVERY)
no_pointwise = pytest.mark.parametrize("name", [name for name in EVERY if name not in POINTWISE])


def lists(*rows):
    """Return scores, labels and a mask of lists of (score, label); what is not there would be seen."""
    longest = max(map(len, rows))
    scores = torch.full((len(rows), longest), 50.0, dtype=torch.float64)
    labels = torch.full((len(rows), longest), 3.0, dtype=torch.float64)
    for place, row in enumerate(rows):
        if row:
            scores[place, : len(row)], labels[place, : len(row)] = torch.tensor(row, dtype=torch.float64).T
    return scores, labels, torch.arange(longest) < torch.tensor([[len(row)] for row in rows])


ONE = [(0.4, 0.0), (-1.1, 1.0), (2.3, 0.0), (0.9, 0.5)]
OTHER = [(1.3, 1.0), (0.1, 0.0)]


# --- definitions --------------------------------------------------------------------------------------------------


def slowly(name, s, y):
    """Return the loss of a list as its definition says it, pair by pair."""
    n = len(s)
    pairs = [(i, j) for i in range(n) for j in range(n) if y[i] > y[j]]
    order = sorted(range(n), key=lambda i: -s[i])
    rank = {i: place for place, i in enumerate(order, 1)}
    ideal = sum((2.0**grade - 1) / np.log2(1 + place) for place, grade in enumerate(sorted(y, reverse=True), 1))
    gain = [(2.0**grade - 1) / ideal for grade in y]

    def d(r):
        return np.log2(1 + r)

    def weighed(weight):
        return sum(weight(i, j) * np.log1p(np.exp(s[j] - s[i])) for i, j in pairs)

    def swapped(i, j):
        return abs((gain[i] - gain[j]) * (1 / d(rank[i]) - 1 / d(rank[j])))

    def apart(i, j):
        between = abs(rank[i] - rank[j])
        return abs(gain[i] - gain[j]) * abs(1 / d(between) - 1 / d(between + 1))

    def soft(numbers):
        return np.exp(numbers) / np.exp(numbers).sum()

    by_label = sorted(range(n), key=lambda i: -y[i])
    ranks = [1 + sum(1 / (1 + np.exp((s[i] - s[j]) / 0.1)) for j in range(n) if j != i) for i in range(n)]
    p = 1 / (1 + np.exp(-s))
    return {
        "bce": lambda: -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)),
        "mse": lambda: np.mean((s - y) ** 2),
        "ranknet": lambda: np.mean([np.log1p(np.exp(s[j] - s[i])) for i, j in pairs]),
        "hinge": lambda: np.mean([max(0, 1 - (s[i] - s[j])) for i, j in pairs]),
        "listnet": lambda: -sum(soft(y) * np.log(soft(s))),
        "softmax": lambda: -sum(y / sum(y) * np.log(soft(s))),
        "listmle": lambda: sum(np.log(sum(np.exp(s[j]) for j in by_label[t:])) - s[by_label[t]] for t in range(n)),
        "lambdarank": lambda: weighed(swapped),
        "lambda_loss": lambda: weighed(lambda i, j: swapped(i, j) + 10 * apart(i, j)),
        "approx_ndcg": lambda: 1 - sum(g / d(r) for g, r in zip(gain, ranks, strict=True)),
    }[name]()


@pytest.mark.parametrize("name", [name for name in LOSSES if "ndcg" not in name or name == "approx_ndcg"])
def test_losses_are_what_their_formulas_say_and_the_mean_over_lists(name):
    rng = np.random.default_rng(0)
    rows = [list(zip(rng.normal(size=n), rng.permutation(n) / n, strict=True)) for n in (5, 3, 7)]
    found = LOSSES[name](*lists(*rows))
    assert float(found) == pytest.approx(np.mean([slowly(name, *np.array(row).T) for row in rows]))


@pytest.mark.parametrize(
    ("loss", "close"),
    [
        (partial(losses.approx_ndcg, temperature=1e-3), 1e-6),
        (partial(losses.neural_ndcg, temperature=1e-3), 1e-6),
        (partial(losses.neural_ndcg, temperature=1e-3, k=3), 1e-6),
        (partial(losses.soft_sort_ndcg, temperature=1e-3), 1e-6),
        (partial(losses.transport_ndcg, regularisation=1e-3), 1e-6),
        (partial(losses.soft_rank_ndcg, regularisation=1e-3), 1e-6),
    ],
)
def test_soft_ndcg_is_ndcg_when_it_is_cold(loss, close):
    rng = np.random.default_rng(1)
    scores, labels = rng.permuted(np.tile(np.arange(6.0), (5, 1)), axis=1), rng.integers(0, 4, (5, 6)).astype(float)
    k = loss.keywords.get("k", 6)
    hard = 1 - ndcg_by_score(labels, scores, k, gain="exp2")
    found = loss(torch.from_numpy(scores), torch.from_numpy(labels), torch.ones(5, 6, dtype=torch.bool))
    assert float(found) == pytest.approx(hard.mean(), abs=close)


def test_slopes_of_lambdarank_are_its_lambdas():
    # labels 1 above 0; ranks 2 and 1: gains (1, 0), discounts (1 / log2 3, 1), max DCG 1
    scores, labels, mask = lists([(0.0, 1.0), (0.5, 0.0)])
    losses.lambdarank(scores.requires_grad_(), labels, mask, steepness=2.0).backward()
    lam = 2.0 / (1 + np.exp(2.0 * (0.0 - 0.5))) * (1 - 1 / np.log2(3))
    assert scores.grad[0].tolist() == pytest.approx([-lam, lam])


@pytest.mark.parametrize("mu", [0.0, 10.0])
def test_beyond_k_only_what_could_enter_counts(mu):
    # of four rows, at k = 1, only pairs with the first by score change NDCG
    rows = [(3.0, 0.0), (2.0, 2.0), (1.0, 1.0), (0.0, 3.0)]
    scores, labels, mask = lists(rows)
    losses.lambda_loss(scores.requires_grad_(), labels, mask, k=1, mu=mu).backward()
    expected = []
    for rank, (s, y) in enumerate(rows[1:], 2):
        apart = 1 / np.log2(rank) - 1 / np.log2(rank + 1)  # ranks differ by rank - 1
        expected.append(-(1 + mu * apart) * (2.0**y - 1) / 7 / (1 + np.exp(s - 3.0)))
    assert scores.grad[0].tolist() == pytest.approx([-sum(expected), *expected])


def test_listnet_has_mass_on_labels_of_zero_and_softmax_has_none():
    scores, labels, mask = lists([(0.3, 1.0), (-0.2, 0.0), (1.0, 0.0)])
    chances = torch.softmax(scores, dim=1)
    for loss, wanted in (("listnet", torch.softmax(labels, dim=1)), ("softmax", labels)):
        given = scores.clone().requires_grad_()
        LOSSES[loss](given, labels, mask).backward()
        assert given.grad[0].tolist() == pytest.approx((chances - wanted)[0].tolist())


def test_equal_labels_are_ordered_by_the_seed():
    scores, labels, mask = lists([(0.3, 0.0), (-0.2, 0.0), (1.0, 0.0)])
    found = {round(float(losses.listmle(scores, labels, mask, seed=seed)), 9) for seed in range(60)}
    orders = torch.tensor(list(permutations(range(3))))
    every = -plackett_luce(scores.expand(6, -1), orders, mask.expand(6, -1))
    assert found == {round(one, 9) for one in every.tolist()}


# --- what all losses have in common -------------------------------------------------------------------------------


@every
def test_slopes_are_those_of_differences(name):
    scores, labels, mask = lists(ONE, OTHER, [(0.7, 1.0)])
    assert gradcheck(lambda s: EVERY[name](s, labels, mask), scores.requires_grad_(), eps=1e-6, atol=1e-5, rtol=1e-3)


@every
def test_rows_that_are_not_there_change_nothing_and_get_no_slope(name):
    scores, labels, mask = lists(ONE, OTHER)
    scores[1, 2:], labels[1, 2:] = torch.nan, torch.nan
    found = EVERY[name](scores.requires_grad_(), labels, mask)
    parts = [EVERY[name](*lists(row)) for row in (ONE, OTHER)]
    assert float(found.detach()) == pytest.approx(float(sum(parts)) / 2, abs=1e-9)
    found.backward()
    assert scores.grad[1, 2:].tolist() == [0.0, 0.0]
    assert scores.grad[mask].abs().min() > 0 or name in ("hinge", "soft_rank_ndcg", "soft_rank_ndcg kl") or "2" in name


@no_pointwise
def test_slopes_of_a_list_sum_to_zero(name):
    scores, labels, mask = lists(ONE, OTHER, [(0.2, 0.0), (0.2, 1.0), (0.2, 1.0)])
    EVERY[name](scores.requires_grad_(), labels, mask).backward()
    exact = 1e-5 if name == "transport_ndcg" else 1e-9
    assert scores.grad.sum(dim=1).tolist() == pytest.approx([0.0] * 3, abs=exact)


@every
def test_lists_that_tell_nothing_lose_nothing(name):
    nothing = [[(0.3, 0.0), (-0.2, 0.0)], []] if name not in {*POINTWISE, "listnet", "listmle"} else [[]]
    scores, labels, mask = lists(ONE, *nothing)
    found = EVERY[name](scores.requires_grad_(), labels, mask)
    found.backward()
    assert float(found.detach()) == pytest.approx(float(EVERY[name](*lists(ONE))) / (1 + len(nothing)), abs=1e-9)
    assert scores.grad[1:].abs().max() < 1e-12
    nobody = torch.zeros(1, 1)
    assert float(EVERY[name](nobody, nobody, nobody.bool())) == 0.0


@every
def test_scores_that_are_no_numbers_are_not_hidden(name):
    scores, labels, mask = lists(ONE, OTHER)
    scores[0, 1] = torch.nan
    assert not EVERY[name](scores, labels, mask).isfinite()


@every
def test_a_loss_falls_until_the_list_is_in_order(name):
    labels = torch.tensor([[1.0, 0.0, 0.0, 0.5, 0.0, 0.75, 0.0, 0.0, 0.25, 0.0]])
    scores = torch.linspace(-0.2, 0.2, 10)[None].clone().requires_grad_()
    mask = torch.ones(1, 10, dtype=torch.bool)
    optimiser = torch.optim.Adam([scores], lr=0.1)
    values = []
    for _ in range(60):
        optimiser.zero_grad()
        value = EVERY[name](scores, labels, mask)
        value.backward()
        values.append(value.item())
        optimiser.step()
    assert values[-1] < values[0] - 0.05
    reached = 2 if "2" in name else 10
    assert ndcg_by_score(labels.numpy(), scores.detach().numpy(), reached, gain="exp2")[0] > 0.92


@every
def test_shapes_that_do_not_match_are_refused(name):
    if "ndcg" in name and "approx" not in name:
        return
    with pytest.raises(RequestError, match="scores, labels, mask: must be of one shape"):
        EVERY[name](torch.zeros(2, 3), torch.zeros(2, 1), torch.ones(2, 3, dtype=torch.bool))


def test_weights_count_rows_as_often_as_they_say():
    scores, labels, mask = lists(OTHER)
    weights = torch.tensor([[3.0, 0.0]])
    assert float(losses.bce(scores, labels, mask, weights=weights)) == pytest.approx(1.5 * np.log1p(np.exp(-1.3)))
    assert float(losses.mse(scores, labels, mask, weights=weights)) == pytest.approx(1.5 * 0.3**2)


# --- policies -----------------------------------------------------------------------------------------------------


def test_chances_of_all_orders_sum_to_one():
    scores, _, mask = lists([(0.3, 0), (-0.2, 0), (1.0, 0)], [(0.5, 0), (2.0, 0)])
    orders = torch.tensor(list(permutations(range(3))))
    chances = plackett_luce(scores[:1].expand(6, -1), orders, mask[:1].expand(6, -1)).exp()
    assert float(chances.sum()) == pytest.approx(1.0)
    first = plackett_luce(scores[:1].expand(6, -1), orders, mask[:1].expand(6, -1), slots=1).exp()
    assert first[::2].tolist() == pytest.approx(torch.softmax(scores[0], dim=0).tolist())
    short = plackett_luce(scores[1:], torch.tensor([[1, 0, 2]]), mask[1:])
    assert float(short) == pytest.approx(-np.log1p(np.exp(-1.5)))


def test_orders_are_drawn_as_often_as_their_chances_say():
    scores, _, mask = lists([(0.3, 0), (-0.2, 0), (1.0, 0)], [(0.5, 0), (2.0, 0)])
    many = 6000
    drawn = sampled_orders(scores[:1].expand(many, -1), mask[:1].expand(many, -1), seed=0)
    for order in permutations(range(3)):
        chance = float(plackett_luce(scores[:1], torch.tensor([order]), mask[:1]).exp())
        share = float((drawn == torch.tensor(order)).all(dim=1).double().mean())
        assert abs(share - chance) < 4 * (chance * (1 - chance) / many) ** 0.5
    assert torch.equal(drawn, sampled_orders(scores[:1].expand(many, -1), mask[:1].expand(many, -1), seed=0))
    assert (sampled_orders(scores[1:].expand(99, -1), mask[1:].expand(99, -1), seed=1)[:, 2] == 2).all()


@pytest.mark.parametrize("baseline", [None, torch.tensor([[1.7]])])
def test_reinforce_has_the_slope_of_the_expected_reward(baseline):
    scores, _, mask = lists([(0.3, 0), (-0.2, 0), (1.0, 0)])
    orders = torch.tensor(list(permutations(range(3))))
    worth = torch.tensor([1.0, 0.2, 3.0, 0.4, 2.0, 0.0], dtype=torch.float64)

    def chances(given):
        return plackett_luce(given.expand(6, -1), orders, mask.expand(6, -1))

    exact = scores.clone().requires_grad_()
    (-(chances(exact).exp() * worth).sum()).backward()
    found = scores.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for one in range(6):  # every pair of draws, as often as it comes
        for other in range(6):
            logs = chances(found)[None, [one, other]]
            often = logs.exp().prod().detach()
            total = total + often * reinforce(logs, worth[None, [one, other]], baseline=baseline)
    total.backward()
    assert found.grad[0].tolist() == pytest.approx(exact.grad[0].tolist())


def test_unlikelihood_draws_towards_good_lists_and_away_from_others():
    logs = torch.log(torch.tensor([[0.5, 0.25], [0.9, 0.4]], dtype=torch.float64)).requires_grad_()
    mask = torch.tensor([[True, True], [True, False]])
    found = unlikelihood(logs, torch.tensor([1.0, 0.0]), mask)
    assert float(found.detach()) == pytest.approx((-np.log(0.5) - np.log(0.25) - np.log(0.1)) / 2)
    found.backward()
    # -1 for p, and p / (1 - p) against it, over two lists
    assert logs.grad.flatten().tolist() == pytest.approx([-0.5, -0.5, 4.5, 0.0])
    certain = torch.zeros(1, 1, requires_grad=True)
    unlikelihood(certain, torch.tensor([0.0]), torch.ones(1, 1, dtype=torch.bool)).backward()
    assert certain.grad.isfinite().all()
