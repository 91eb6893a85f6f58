"""What a network loses on lists: functions of scores, labels and a mask to one number, the mean over lists.

    bce, mse            rows one by one; mean over the rows of a list
    ranknet, hinge      log(1 + exp(-a (s_i - s_j))), max(0, 1 - (s_i - s_j)) for y_i > y_j; mean over a list's pairs
    listnet, softmax    -sum_i p_i log softmax(s)_i with p = softmax(y), or p = y / sum y
    listmle             sum_t log sum_(j >= t) exp(s_j) - s_t, rows by falling label
    lambdarank          RankNet's terms times the change of NDCG if i and j swapped places; sum over pairs
    lambda_loss         the same, and mu times |G_i - G_j| |1 / D(|r_i - r_j|) - 1 / D(|r_i - r_j| + 1)|: NDCGLoss2++
    approx_ndcg         1 - NDCG at ranks 1 + sum_(j != i) sigmoid((s_j - s_i) / t)
    soft_rank_ndcg      the same at ranks by projection; transport_ndcg: at ranks by transport
    neural_ndcg         1 - sum_i (P G)_i / D(i), P of NeuralSort, scaled; soft_sort_ndcg: P of SoftSort, scaled

G = (2^y - 1) / max DCG and D(r) = log2(1 + r); beyond slot k, 1 / D is 0. Logarithms of losses are natural: NDCGLoss2++
as published is larger by 1 / log 2. A list that tells nothing loses 0, and counts in the mean: one without rows, one
without two labels that differ for losses of pairs, one without anything relevant for those with G or y / sum y. Rows
that are not there get no gradient, whatever their scores and labels. Cost: O(b n log n), and O(b n^2) for pairs and
matrices.

References:
    Burges (2010), "From RankNet to LambdaRank to LambdaMART: an overview".
    Cao et al. (2007), "Learning to rank: from pairwise approach to listwise approach", ICML.
    Xia et al. (2008), "Listwise approach to learning to rank: theory and algorithm", ICML.
    Wang et al. (2018), "The LambdaLoss framework for ranking metric optimization", CIKM.
    Qin, Liu & Li (2010), "A general approximation framework for direct optimization of information retrieval measures".
    Pobrotyn & Bialobrzeski (2021), "NeuralNDCG: direct optimisation of a ranking metric via differentiable relaxation".
    Rendle et al. (2009), "BPR: Bayesian personalized ranking from implicit feedback", UAI: `ranknet` on clicks.
    Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement learning".
    Ren et al. (2024), "Non-autoregressive generative models for reranking recommendation", KDD: unlikelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from slatewise.core.errors import RequestError, shown
from slatewise.models.softsort import (
    LOWEST,
    Regulariser,
    doubly_stochastic,
    neural_sort,
    ranks_of,
    soft_rank,
    soft_sort,
    transport_sort,
)

SURE = -1e-6
"""Largest logarithm of a chance of which the opposite is looked at."""


def bce(scores: Tensor, labels: Tensor, mask: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of labels from 0 to 1; weights are (b, n), such as inverse propensities."""
    scores, labels = _there(scores, labels, mask)
    terms = functional.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    return _mean_of_rows(terms, mask, weights)


def mse(scores: Tensor, labels: Tensor, mask: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Return the squared error; weights are (b, n)."""
    scores, labels = _there(scores, labels, mask)
    return _mean_of_rows((scores - labels).square(), mask, weights)


def ranknet(scores: Tensor, labels: Tensor, mask: Tensor, *, steepness: float = 1.0) -> Tensor:
    """Return the logistic loss of pairs; that of BPR where labels are clicks.

    >>> s, y = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> there = torch.ones(1, 2, dtype=torch.bool)
    >>> bool(ranknet(s, y, there) < ranknet(-s, y, there))
    True
    """
    apart, better = _pairs(scores, labels, mask)
    return _mean_of_pairs(functional.softplus(-steepness * apart), better)


def hinge(scores: Tensor, labels: Tensor, mask: Tensor, *, margin: float = 1.0) -> Tensor:
    """Return by how much pairs fall short of a margin."""
    apart, better = _pairs(scores, labels, mask)
    return _mean_of_pairs(torch.relu(margin - apart), better)


def listnet(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy of softmax(scores) from softmax(labels), which has mass on labels of 0, too."""
    scores, labels = _there(scores, labels, mask)
    wanted = torch.softmax(labels.masked_fill(~mask, LOWEST), dim=1) * mask
    return -(wanted * _log_softmax(scores, mask)).sum(dim=1).mean()


def softmax(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Return the cross-entropy of softmax(scores) from labels >= 0 by their sum, such as clicks by propensity."""
    scores, labels = _there(scores, labels, mask)
    total = labels.sum(dim=1, keepdim=True)
    wanted = labels / torch.where(total > 0, total, 1.0)
    return -(wanted * _log_softmax(scores, mask)).sum(dim=1).mean()


def listmle(scores: Tensor, labels: Tensor, mask: Tensor, *, seed: int = 0) -> Tensor:
    """Return -log of the chance that Plackett-Luce draws the rows by falling label.

    Args:
        scores: (b, n) scores.
        labels: (b, n) labels.
        mask: (b, n) rows that there are.
        seed: Root of the order of equal labels.
    """
    scores, labels = _there(scores, labels, mask)
    shuffled = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=1)
    shuffled = shuffled.to(scores.device)
    keys = labels.masked_fill(~mask, -torch.inf).gather(1, shuffled)
    order = shuffled.gather(1, keys.argsort(dim=1, descending=True, stable=True))
    return -plackett_luce(scores, order, mask).mean()


def lambdarank(scores: Tensor, labels: Tensor, mask: Tensor, *, steepness: float = 1.0, k: int | None = None) -> Tensor:
    """Return pairs' logistic losses times what NDCG at k would change; slopes are LambdaRank's."""
    return _lambdas(scores, labels, mask, steepness, k, 0.0)


def lambda_loss(
    scores: Tensor, labels: Tensor, mask: Tensor, *, steepness: float = 1.0, k: int | None = None, mu: float = 10.0
) -> Tensor:
    """Return NDCGLoss2++: as `lambdarank`, and mu times the bound of NDCG, which looks at how far ranks are apart."""
    return _lambdas(scores, labels, mask, steepness, k, mu)


def approx_ndcg(scores: Tensor, labels: Tensor, mask: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Return 1 - NDCG at ranks that are sums of sigmoids."""
    scores, _ = _there(scores, labels, mask)
    above = torch.sigmoid((scores[:, None, :] - scores[:, :, None]) / temperature) * mask[:, None, :]
    # a row is not above itself: sigmoid(0) = 1 / 2
    return _ndcg_at(above.sum(dim=2) + 0.5, labels, mask)


def soft_rank_ndcg(
    scores: Tensor, labels: Tensor, mask: Tensor, *, regularisation: float = 1.0, regulariser: Regulariser = "l2"
) -> Tensor:
    """Return 1 - NDCG at ranks that are projections onto the permutahedron."""
    ranks = soft_rank(scores, mask, regularisation=regularisation, regulariser=regulariser)
    return _ndcg_at(ranks.clamp(min=1.0), labels, mask)


def transport_ndcg(
    scores: Tensor, labels: Tensor, mask: Tensor, *, regularisation: float = 0.1, rounds: int = 30
) -> Tensor:
    """Return 1 - NDCG at ranks by transport to targets from 1 to -1."""
    ranks = ranks_of(transport_sort(scores, mask, regularisation=regularisation, rounds=rounds))
    return _ndcg_at(ranks.clamp(min=1.0), labels, mask)


def neural_ndcg(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    k: int | None = None,
    rounds: int = 50,
) -> Tensor:
    """Return 1 - NDCG at k of gains that NeuralSort has sorted, softly, with columns that sum to 1."""
    matrix = neural_sort(scores, mask, temperature=temperature)
    return _ndcg_of(doubly_stochastic(matrix, rounds=rounds), labels, mask, k)


def soft_sort_ndcg(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    power: Literal[1, 2] = 1,
    k: int | None = None,
    rounds: int = 50,
) -> Tensor:
    """Return 1 - NDCG at k of gains that SoftSort has sorted, softly, with columns that sum to 1.

    Unscaled, a row may be in several slots at once, and its gain be counted in each: the loss falls while the order
    does not improve.
    """
    matrix = soft_sort(scores, mask, temperature=temperature, power=power)
    return _ndcg_of(doubly_stochastic(matrix, rounds=rounds), labels, mask, k)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "bce": bce,
    "mse": mse,
    "ranknet": ranknet,
    "hinge": hinge,
    "listnet": listnet,
    "softmax": softmax,
    "listmle": listmle,
    "lambdarank": lambdarank,
    "lambda_loss": lambda_loss,
    "approx_ndcg": approx_ndcg,
    "soft_rank_ndcg": soft_rank_ndcg,
    "transport_ndcg": transport_ndcg,
    "neural_ndcg": neural_ndcg,
    "soft_sort_ndcg": soft_sort_ndcg,
}
"""Losses of scores by name, all taken with their defaults."""


def plackett_luce(scores: Tensor, orders: Tensor, mask: Tensor, *, slots: int | None = None) -> Tensor:
    """Return (b,) log of the chance that rows are drawn in an order, one by one in proportion to exp(score).

    Args:
        scores: (b, n) scores.
        orders: (b, n) all rows in the order drawn, those that are not there last.
        mask: (b, n) rows that there are.
        slots: How many draws count; all by default.
    """
    drawn = scores.masked_fill(~mask, LOWEST).gather(1, orders)
    left = drawn.flip(1).logcumsumexp(dim=1).flip(1)
    counts = mask.gather(1, orders)[:, :slots]
    return torch.where(counts, (drawn - left)[:, :slots], 0.0).sum(dim=1)


def sampled_orders(scores: Tensor, mask: Tensor, *, seed: int) -> Tensor:
    """Return (b, n) rows in an order drawn by Plackett-Luce, those that are not there last."""
    drawn = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise = -torch.log(-torch.log(drawn.clamp(min=1e-300))).to(scores.device)
    return (scores.detach() + noise).masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True)


def reinforce(log_chances: Tensor, rewards: Tensor, *, baseline: Tensor | None = None) -> Tensor:
    """Return what has the slopes of minus the expected reward, in expectation: REINFORCE.

    Args:
        log_chances: (b, m) log of the chance of each of m lists drawn.
        rewards: (b, m) what each was worth.
        baseline: What each is compared with, not dependent on its own draw; by default the mean reward of the others
            drawn for the same request, 0 where there is but one.
    """
    count = rewards.shape[1]
    if baseline is None:
        baseline = (rewards.sum(dim=1, keepdim=True) - rewards) / max(count - 1, 1)
    return -((rewards - baseline).detach() * log_chances).mean()


def unlikelihood(log_chances: Tensor, good: Tensor, mask: Tensor) -> Tensor:
    """Return -log p of the rows of lists that are good, and -log(1 - p) of those of lists that are not.

    Args:
        log_chances: (b, k) log of the chance of the row in each slot.
        good: (b,) how good each list is, from 0 to 1.
        mask: (b, k) slots that there are.
    """
    log_chances = log_chances.masked_fill(~mask, -1.0)
    share = good[:, None]
    return -((share * log_chances + (1 - share) * log_not(log_chances)) * mask).sum(dim=1).mean()


def log_not(log_chances: Tensor) -> Tensor:
    """Return log(1 - p) of log p; p that is 1 within rounding counts as a little less.

    >>> torch.exp(log_not(torch.tensor([0.25]).log())).tolist()
    [0.75]
    """
    return torch.log(-torch.expm1(log_chances.clamp(max=SURE)))


def _there(scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores and labels, 0 where there is no row."""
    if not scores.shape == labels.shape == mask.shape or scores.ndim != 2:
        got = [tuple(one.shape) for one in (scores, labels, mask)]
        raise RequestError("scores, labels, mask", "must be of one shape, (b, n)", shown(got))
    return torch.where(mask, scores, 0.0), torch.where(mask, labels, 0.0).to(scores.dtype)


def _mean_of_rows(terms: Tensor, mask: Tensor, weights: Tensor | None) -> Tensor:
    if weights is not None:
        terms = terms * torch.where(mask, weights, 0.0)
    return ((terms * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()


def _pairs(scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (b, n, n) s_i - s_j, and where y_i > y_j."""
    scores, labels = _there(scores, labels, mask)
    better = labels[:, :, None] > labels[:, None, :]
    return scores[:, :, None] - scores[:, None, :], better & mask[:, :, None] & mask[:, None, :]


def _mean_of_pairs(terms: Tensor, better: Tensor) -> Tensor:
    return ((terms * better).sum(dim=(1, 2)) / better.sum(dim=(1, 2)).clamp(min=1)).mean()


def _log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.log_softmax(scores.masked_fill(~mask, LOWEST), dim=1) * mask


def _discounts(ranks: Tensor, k: int | None) -> Tensor:
    """Return 1 / D, 0 beyond slot k."""
    found = 1.0 / torch.log2(1.0 + ranks)
    return found if k is None else found * (ranks <= k)


def _gains(labels: Tensor, mask: Tensor, scores: Tensor, k: int | None) -> tuple[Tensor, Tensor]:
    """Return (b, n) gains by the largest DCG at k that there could be, and (b,) where that is more than 0."""
    gains = torch.where(mask, torch.exp2(torch.where(mask, labels, 0.0).to(scores.dtype)) - 1.0, 0.0)
    ranks = torch.arange(1, gains.shape[1] + 1, device=gains.device, dtype=gains.dtype)
    best = (gains.sort(dim=1, descending=True).values * _discounts(ranks, k)).sum(dim=1)
    return gains / torch.where(best > 0, best, 1.0)[:, None], best > 0


def _lambdas(scores: Tensor, labels: Tensor, mask: Tensor, steepness: float, k: int | None, mu: float) -> Tensor:
    apart, better = _pairs(scores, labels, mask)
    with torch.no_grad():
        gains, _ = _gains(labels, mask, scores, k)
        order = scores.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
        ranks = (order.argsort(dim=1) + 1).to(scores.dtype)
        discounts = _discounts(ranks, k)
        weights = (discounts[:, :, None] - discounts[:, None, :]).abs()
        if mu:
            between = (ranks[:, :, None] - ranks[:, None, :]).abs().clamp(min=1.0)
            seen = torch.ones_like(better) if k is None else torch.minimum(ranks[:, :, None], ranks[:, None, :]) <= k
            weights = weights + mu * (_discounts(between, None) - _discounts(between + 1.0, None)) * seen
        weights = weights * (gains[:, :, None] - gains[:, None, :]).abs() * better
    return (weights * functional.softplus(-steepness * apart)).sum(dim=(1, 2)).mean()


def _ndcg_at(ranks: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    gains, told = _gains(labels, mask, ranks, None)
    found = (gains * torch.where(mask, _discounts(torch.where(mask, ranks, 1.0), None), 0.0)).sum(dim=1)
    return torch.where(told, 1.0 - found, 0.0 * found).mean()


def _ndcg_of(matrix: Tensor, labels: Tensor, mask: Tensor, k: int | None) -> Tensor:
    gains, told = _gains(labels, mask, matrix, k)
    ranks = torch.arange(1, matrix.shape[1] + 1, device=matrix.device, dtype=matrix.dtype)
    found = ((matrix @ gains[:, :, None])[:, :, 0] * _discounts(ranks, k)).sum(dim=1)
    return torch.where(told, 1.0 - found, 0.0 * found).mean()
