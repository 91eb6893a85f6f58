"""Sorting with gradients: permutations that are soft, and ranks between two whole numbers.

Rows of a matrix are ranks, the best first; columns are the rows of the list. With sorted scores s_[1] >= s_[2] >= ...

    neural_sort     P_i = softmax(((n + 1 - 2i) s - A 1) / t),  A_jk = |s_j - s_k|           unimodal rows
    soft_sort       P_i = softmax(-|s_[i] - s|^p / t)                                        row i peaks at item i
    transport_sort  P = n argmin_T <T, C> - e H(T),  C_ij = (y_i - s_j)^2,  marginals 1/n    rows and columns sum to 1
    soft_rank       the point of the permutahedron of (n, ..., 1) that is next to -s / e     ranks, without a matrix

As t and e fall, all of them become the hard order where there are no ties; as they grow, all rows and ranks become
alike. Scores have a scale, and so has t: lists are best `standardised` first. Rows that a list does not have are
masked: they take no mass and get no gradient, whatever their scores. Numbers of half precision are computed in single.
Cost: O(b n^2), times rounds for transport; O(b n log n) for `soft_rank`, and O(b n) back.

References:
    Grover et al. (2019), "Stochastic optimization of sorting networks via continuous relaxations", ICLR.
    Prillo & Eisenschlos (2020), "SoftSort: a continuous relaxation for the argsort operator", ICML.
    Cuturi, Teboul & Vert (2019), "Differentiable ranks and sorting using optimal transport", NeurIPS.
    Blondel et al. (2020), "Fast differentiable sorting and ranking", ICML.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from slatewise.kernels import isotonic

Regulariser: TypeAlias = Literal["l2", "kl"]

LOWEST = -1e30
"""Stands for minus infinity, which a softmax over nothing would make no number of."""
LEAST, RIDGE = 1e-30, 1e-10
_NARROW = (torch.float16, torch.bfloat16)


def standardised(scores: Tensor, mask: Tensor) -> Tensor:
    """Return (b, n) scores of mean 0 and variance 1 in each list; 0 where all of a list are equal.

    >>> standardised(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]])).tolist()
    [[-1.0, 1.0, 0.0]]
    """
    wide = _wide(scores, mask)
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    away = torch.where(mask, wide - wide.sum(dim=1, keepdim=True) / count, 0.0)
    variance = away.square().sum(dim=1, keepdim=True) / count
    # the slope of a root at 0 is infinite
    told = variance > torch.finfo(wide.dtype).eps ** 2
    return torch.where(told, away / torch.where(told, variance, 1.0).sqrt(), 0.0 * away).to(scores.dtype)


def neural_sort(scores: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return (b, n, n) NeuralSort: rows are ranks and sum to 1.

    >>> P = neural_sort(torch.tensor([[1.0, 3.0, 2.0]]), torch.ones(1, 3, dtype=torch.bool), temperature=0.01)
    >>> P.argmax(dim=2).tolist()
    [[1, 2, 0]]
    """
    wide = _wide(scores, mask)
    apart = ((wide[:, :, None] - wide[:, None, :]).abs() * mask[:, None, :]).sum(dim=2)
    odds = _levels(mask, wide)[:, :, None] * wide[:, None, :] - apart[:, None, :]
    return _rows(odds / temperature, mask).to(scores.dtype)


def soft_sort(scores: Tensor, mask: Tensor, *, temperature: float = 1.0, power: Literal[1, 2] = 1) -> Tensor:
    """Return (b, n, n) SoftSort: rows are ranks and sum to 1; columns need not.

    >>> s, mask = torch.tensor([[1.0, 3.0, 2.0]]), torch.ones(1, 3, dtype=torch.bool)
    >>> soft_sort(s, mask, temperature=100.0).argmax(dim=2).tolist()
    [[1, 2, 0]]
    """
    wide = _wide(scores, mask)
    ranked, _ = _sorted(wide, mask)
    away = (ranked[:, :, None] - wide[:, None, :]).abs()
    return _rows(-(away if power == 1 else away.square()) / temperature, mask).to(scores.dtype)


def transport_sort(
    scores: Tensor, mask: Tensor, *, regularisation: float = 0.1, rounds: int = 30, tolerance: float = 1e-6
) -> Tensor:
    """Return (b, n, n) the transport of scores to as many targets, evenly from 1 to -1; rows and columns sum to 1.

    Rounds are made in logarithms, and begin at the prices of the hard order, which are known; so they are few when it
    is cold, too. The gradient is that of the plan to which they lead.

    Args:
        scores: (b, n) scores; a scale of about 1 is what the targets have.
        mask: (b, n) rows that there are.
        regularisation: Weight of the entropy, > 0.
        rounds: How often sums are put right, at most.
        tolerance: Largest error of a sum at which it ends, for all lists of the batch.
    """
    wide = _wide(scores, mask)
    count = mask.sum(dim=1, keepdim=True)
    targets = _levels(mask, wide) / (count - 1).clamp(min=1)
    odds = -(targets[:, :, None] - wide[:, None, :]).square() / regularisation
    there = _ranks(mask)[:, :, None] & mask[:, None, :]
    start = _hard_prices(wide.detach(), mask, targets) / regularisation
    found: Tensor = _Transport.apply(odds.masked_fill(~there, LOWEST), there, start, rounds, tolerance)
    return found.to(scores.dtype)


def doubly_stochastic(matrix: Tensor, *, rounds: int = 50, tolerance: float = 1e-6) -> Tensor:
    """Return (b, n, n) matrices whose columns and then rows were divided by their sums, again and again.

    Rows and columns of zeros stay so. The gradient is that of the rounds that were made.

    Args:
        matrix: (b, n, n) numbers >= 0.
        rounds: How often, at most.
        tolerance: Largest error of a column's sum at which it ends, for all lists of the batch.
    """
    found: Tensor = _Scaled.apply(_single(matrix), rounds, tolerance)
    return found.to(matrix.dtype)


def ranks_of(permutation: Tensor) -> Tensor:
    """Return (b, n) the rank of each row, from 1: the mean of the ranks in its column; 0 where there is no row.

    >>> ranks_of(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])).tolist()
    [[2.0, 1.0]]
    """
    ranks = torch.arange(1, permutation.shape[1] + 1, device=permutation.device, dtype=permutation.dtype)
    total = permutation.sum(dim=1)
    return torch.einsum("bij,i->bj", permutation, ranks) / torch.where(total > 0, total, 1.0)


def soft_rank(scores: Tensor, mask: Tensor, *, regularisation: float = 1.0, regulariser: Regulariser = "l2") -> Tensor:
    """Return (b, n) ranks, 1 for the largest; 0 where there is no row.

    With `l2` ranks are exact, and the gradient 0, as soon as all gaps of the list are `regularisation` or more.

    Args:
        scores: (b, n) scores.
        mask: (b, n) rows that there are.
        regularisation: How soft, > 0, in units of scores.
        regulariser: Squares, or entropy: the projection is of exponentials then.

    Examples:
        >>> soft_rank(torch.tensor([[5.0, 1.0, 2.0]]), torch.ones(1, 3, dtype=torch.bool), regularisation=2.0).tolist()
        [[1.0, 2.75, 2.25]]
    """
    # the largest score is the smallest of -s, and takes the smallest of (n, ..., 1)
    points, order = _sorted(_single(scores) / -regularisation, mask)
    weights, there = _falling(mask, points)
    if regulariser == "kl":
        weights = weights.log()
    ranked = points - _isotonic(points, weights, mask, regulariser)
    if regulariser == "kl":
        ranked = ranked.exp()
    return torch.zeros_like(ranked).scatter(1, order, torch.where(there, ranked, 0.0)).to(scores.dtype)


def soft_sorted(
    scores: Tensor, mask: Tensor, *, regularisation: float = 1.0, regulariser: Regulariser = "l2"
) -> Tensor:
    """Return (b, n) scores in falling order, drawn to each other; 0 where there is no row.

    >>> mask = torch.ones(1, 3, dtype=torch.bool)
    >>> soft_sorted(torch.tensor([[5.0, 1.0, 2.0]]), mask, regularisation=0.1).tolist()
    [[5.0, 2.0, 1.0]]
    """
    weights, _ = _sorted(_single(scores), mask)
    points, there = _falling(mask, weights)
    points = points / regularisation
    return ((points - _isotonic(points, weights, mask, regulariser)) * there).to(scores.dtype)


def _wide(scores: Tensor, mask: Tensor) -> Tensor:
    """Return scores of single precision at least, 0 where there is no row."""
    return torch.where(mask, _single(scores), 0.0)


def _single(scores: Tensor) -> Tensor:
    return scores.float() if scores.dtype in _NARROW else scores


def _ranks(mask: Tensor) -> Tensor:
    """Return (b, n) which ranks there are: as many as rows, from the first."""
    return torch.arange(mask.shape[1], device=mask.device) < mask.sum(dim=1, keepdim=True)


def _levels(mask: Tensor, scores: Tensor) -> Tensor:
    """Return (b, n) n + 1 - 2 i of each rank i from 1, with n the rows of the list."""
    ranks = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask.sum(dim=1, keepdim=True) + 1 - 2 * ranks).to(scores.dtype)


def _rows(odds: Tensor, mask: Tensor) -> Tensor:
    found = torch.softmax(odds.masked_fill(~mask[:, None, :], LOWEST), dim=2)
    return found * (mask[:, None, :] & _ranks(mask)[:, :, None])


def _sorted(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (b, n) scores in falling order, equals as they stand and 0 after the last, and (b, n) their places."""
    ranked, order = torch.where(mask, scores, -torch.inf).sort(dim=1, descending=True, stable=True)
    return torch.where(_ranks(mask), ranked, 0.0), order


def _falling(mask: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return (b, n) the ranks n, ..., 1 of each list, 1 after the last, and (b, n) which of them there are."""
    left = mask.sum(dim=1, keepdim=True) - torch.arange(mask.shape[1], device=mask.device)
    return left.clamp(min=1).to(like.dtype), left > 0


def _hard_prices(scores: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """Return (b, n, 1) the price of each target when the largest score goes to the largest, and so on."""
    ranked, _ = _sorted(scores, mask)
    steps = (targets[:, :-1] + targets[:, 1:]) / 2 * (ranked[:, :-1] - ranked[:, 1:])
    worth = torch.cat([torch.zeros_like(targets[:, :1]), -steps.cumsum(dim=1)], dim=1)
    return ((targets - 2 * ranked) * targets + 2 * worth)[:, :, None]


def _isotonic(points: Tensor, weights: Tensor, mask: Tensor, regulariser: Regulariser) -> Tensor:
    found: Tensor = _Isotonic.apply(points, weights, mask.sum(dim=1), regulariser)
    return found


class _Isotonic(torch.autograd.Function):
    """Pools of points less weights: the slope of a pool is shared by all in it, evenly or by softmax."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, weights: Tensor, lengths: Tensor, regulariser: Regulariser) -> Tensor:
        """Return (b, n) numbers that never rise."""
        pool = isotonic.l2 if regulariser == "l2" else isotonic.kl
        found, starts = pool(*(one.detach().cpu().contiguous().numpy() for one in (points, weights, lengths)))
        ctx.save_for_backward(points, weights, torch.from_numpy(starts).to(points.device))
        ctx.regulariser = regulariser
        return torch.from_numpy(found).to(points.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the gradients."""
        points, weights, starts = ctx.saved_tensors
        (slope,) = slopes
        if ctx.regulariser == "l2":
            shared = isotonic.shared(slope.cpu().contiguous().numpy(), starts.cpu().numpy())
            mean = torch.from_numpy(shared).to(slope.device)
            return mean, -mean if ctx.needs_input_grad[1] else None, None, None
        pooled = _pooled(slope, starts)
        high = _pooled_softmax(points, starts)
        return high * pooled, -_pooled_softmax(weights, starts) * pooled, None, None


def _pooled(values: Tensor, starts: Tensor) -> Tensor:
    """Return (b, n) the sum of the pool that each is in."""
    return torch.zeros_like(values).scatter_add(1, starts, values).gather(1, starts)


def _pooled_softmax(values: Tensor, starts: Tensor) -> Tensor:
    # sorted: the first of a pool is its largest
    found = torch.exp(values - values.gather(1, starts))
    return found / _pooled(found, starts)


class _Transport(torch.autograd.Function):
    """Sinkhorn's rounds in logarithms, each followed by a step of Newton's method where that is better."""

    @staticmethod
    def forward(ctx: Any, odds: Tensor, there: Tensor, down: Tensor, rounds: int, tolerance: float) -> Tensor:
        """Return (b, n, n) exponentials of log-odds, scaled so that rows and columns sum to 1."""
        wide, down, plan = odds.double(), down.double(), torch.zeros_like(odds, dtype=torch.float64)
        rows, columns = there.any(dim=2, keepdim=True), there.any(dim=1, keepdim=True)

        def planned(across: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            down = -torch.logsumexp(wide + across, dim=2, keepdim=True) * rows
            plan = torch.where(there, torch.exp(wide + across + down), 0.0)
            return down, plan, (1.0 - plan.sum(dim=1, keepdim=True)) * columns

        for _ in range(rounds):
            across = -torch.logsumexp(wide + down, dim=1, keepdim=True) * columns
            down, plan, off = planned(across)
            if float(off.abs().max()) < tolerance:
                break
            step = _solved(plan, columns, off.mT).mT.clamp(-1.0, 1.0)
            tried = planned(across + step)
            better = tried[2].abs().amax(dim=2, keepdim=True) < off.abs().amax(dim=2, keepdim=True)
            down, plan = torch.where(better, tried[0], down), torch.where(better, tried[1], plan)
        ctx.save_for_backward(plan, columns)
        return plan.to(odds)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the gradient: slopes less what rows and columns have in common, which the sums take back."""
        plan, columns = ctx.saved_tensors
        slope = slopes[0].double()
        low, high = (plan * slope).sum(dim=2, keepdim=True), (plan * slope).sum(dim=1)[:, :, None]
        column = _solved(plan, columns, high - plan.mT @ low)
        row = low - plan @ column
        return (plan * (slope - row - column.mT)).to(slopes[0]), None, None, None, None


def _solved(plan: Tensor, columns: Tensor, wanted: Tensor) -> Tensor:
    """Return (b, n, 1) by how much to move prices of columns for sums to move as wanted, those of rows held at 1."""
    there = columns.to(plan.dtype)
    slopes = torch.diag_embed(plan.sum(dim=1)) - plan.mT @ plan
    # what all prices share moves nothing, nor do columns that are not there, nor much does when it is very cold
    shared = there.mT @ there / there.sum(dim=2, keepdim=True).clamp(min=1.0)
    found, _ = torch.linalg.solve_ex(slopes + shared + torch.diag_embed(1.0 - there[:, 0] + RIDGE), wanted)
    return found


class _Scaled(torch.autograd.Function):
    """Sinkhorn's rounds as products of a matrix and vectors: Q = diag(u) P diag(v)."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, rounds: int, tolerance: float) -> Tensor:
        """Return (b, n, n) the scaled matrix."""
        row = torch.ones_like(matrix[:, :, :1])
        rows, columns = [row], []
        for _ in range(rounds):
            sums = matrix.mT @ row
            column = _inverse(sums)
            if columns and float((sums * columns[-1] - 1).abs().masked_fill(sums <= 0, 0.0).max()) < tolerance:
                break
            row = _inverse(matrix @ column)
            columns.append(column)
            rows.append(row)
        ctx.save_for_backward(matrix, torch.cat(rows, dim=2), torch.cat(columns, dim=2))
        return rows[-1] * matrix * columns[-1].mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the gradient: what each round adds is a product of two vectors, all added up at once."""
        matrix, rows, columns = ctx.saved_tensors
        (slope,) = slopes
        count = columns.shape[2]
        given = slope * matrix
        by_row, by_column = given @ columns[:, :, -1:], given.mT @ rows[:, :, -1:]
        at_rows, at_columns = torch.empty_like(columns), torch.empty_like(columns)
        for at in range(count - 1, -1, -1):
            at_rows[:, :, at : at + 1] = upper = -by_row * rows[:, :, at + 1 : at + 2].square()
            by_column = by_column + matrix.mT @ upper
            at_columns[:, :, at : at + 1] = lower = -by_column * columns[:, :, at : at + 1].square()
            by_row, by_column = matrix @ lower, torch.zeros_like(by_column)
        found = slope * rows[:, :, -1:] * columns[:, :, -1:].mT
        return found + at_rows @ columns.mT + rows[:, :, :-1] @ at_columns.mT, None, None


def _inverse(sums: Tensor) -> Tensor:
    return torch.where(sums > 0, 1.0 / sums.clamp(min=LEAST), 0.0)
