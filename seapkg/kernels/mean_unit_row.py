"""Fast form of `seapkg.models.rearm_parts.mean_of_unit_rows`: the rows are not formed."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def mean_unit_row(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The mean over the rows of x Wᵀ + b, each scaled to unit norm.

    The squared norms are a quadratic form of x. It needs one product of n x h x h in each pass;
    forming the rows needs one forward and two backward. A row that nearly cancels to zero counts
    for less than 1.

    Args:
        x: [n, h].
        weight: [d, h].
        bias: [d].

    Returns:
        [d].
    """
    matrix, bias_square = weight.T @ weight, bias @ bias
    squared = _QuadraticForm.apply(x, matrix) + x @ (2 * (bias @ weight)) + bias_square
    with torch.no_grad():
        bound = (x * x).sum(dim=1) * matrix.trace() + bias_square
    rounding = torch.finfo(x.dtype).eps * bound + 1e-24
    shrunk = torch.maximum(squared, rounding).rsqrt() / len(x)
    return F.linear(shrunk @ x, weight) + shrunk.sum() * bias


class _QuadraticForm(torch.autograd.Function):
    """x A xᵀ for each row of `x` [n, h] and a symmetric A [h, h]; both passes share x A."""

    @staticmethod
    def forward(ctx, x: Tensor, matrix: Tensor) -> Tensor:
        product = x @ matrix
        ctx.save_for_backward(x, product)
        return (product * x).sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, product = ctx.saved_tensors
        gradient = gradient[:, None]
        return product * (2 * gradient), x.T @ (x * gradient)
