"""A meta-network: each node's own transform, made from what is known of the node (REARM, spec B.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seapkg.models.base import rows, unit_rows


class MetaNetwork(nn.Module):
    """(B13): what a node's modalities share, as a low-rank transform of its own vector.

    From the modalities' vectors M_n a key k_n; from it the two factors of a transform, each of unit norm, to which
    their mean over all nodes is added before a softmax.
    """

    def __init__(self, width: int, dim: int, rank: int, trained: bool = True) -> None:
        super().__init__()
        self.rank, self.dim, self.trained = rank, dim, trained
        self.key = nn.Linear(width, dim).requires_grad_(self.trained)
        self.left = _hyper_network(dim, rank)
        self.right = _hyper_network(dim, rank)

    def forward(self, content: Tensor, own: Tensor, index: Tensor | None) -> Tensor:
        """`content`: [n, M d] of all nodes; `own`: [b, d] of the nodes `index`, or of all. Returns [b, d]."""
        key = self.key(content)
        key = key if self.trained else key.detach()
        left = self._factor(self.left, key, index).view(-1, self.dim, self.rank).softmax(dim=1)
        right = self._factor(self.right, key, index).view(-1, self.rank, self.dim).softmax(dim=1)
        inner = (left * own[:, :, None]).sum(dim=1)  # [b, r]
        return (right * inner[:, :, None]).sum(dim=1)

    @staticmethod
    def _factor(network: nn.Sequential, key: Tensor, index: Tensor | None) -> Tensor:
        """The network's rows at length 1 for the nodes `index`, or for all, plus their mean over all nodes. [b, d r]"""
        hidden, last = network[:2](key), network[2]
        return unit_rows(last(taken(hidden, index))) + mean_unit_row(hidden, last.weight, last.bias)


def mean_unit_row(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The mean of the rows of x Wᵀ + b, each at length 1, without these rows: `x` is [n, h], the mean [len(b)].

    The squared lengths are quadratic in x: one product of n x h x h forward and one backward, where the rows would take
    one and two. A row of which only rounding is left, as x Wᵀ + b is nearly zero, counts for less than 1.
    """
    matrix, of_bias = weight.T @ weight, bias @ bias
    squared = _QuadraticForm.apply(x, matrix) + x @ (2 * (bias @ weight)) + of_bias
    with torch.no_grad():
        at_most = (x * x).sum(dim=1) * matrix.trace() + of_bias
    rounding = torch.finfo(x.dtype).eps * at_most + 1e-24
    shrunk = torch.maximum(squared, rounding).rsqrt() / len(x)
    return F.linear(shrunk @ x, weight) + shrunk.sum() * bias


class _QuadraticForm(torch.autograd.Function):
    """x A xᵀ for each row of `x` [n, h] and a symmetric `A` [h, h], returns [n]. The gradient of x is what the forward
    pass has formed already."""

    @staticmethod
    def forward(ctx, x: Tensor, matrix: Tensor) -> Tensor:
        product = x @ matrix
        ctx.save_for_backward(x, product)
        return (product * x).sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, product = ctx.saved_tensors
        return product * (2 * gradient[:, None]), x.T @ (x * gradient[:, None])


def taken(table: Tensor, index: Tensor | None) -> Tensor:
    """The rows `index` of a table, or all of it."""
    return table if index is None else rows(table, index)


def _hyper_network(dim: int, rank: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim * rank), nn.PReLU(), nn.Linear(dim * rank, dim * rank))
