"""Fast form of `(x @ weight.T).norm(dim=1)`, without the product if it is large."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Blocks of columns of a symmetric product.
N_BLOCKS = 8


def product_norms(x: Tensor, weight: Tensor) -> Tensor:
    """The norms of the rows of x weightᵀ, with a first derivative only.

    Args:
        x: [n, width].
        weight: [n_columns, width].

    Returns:
        [n].
    """
    if 3 * len(x) < 2 * x.shape[1]:  # then the product is cheaper
        return (x @ weight.T).norm(dim=1)
    return _GramNorms.apply(x, weight)


class _GramNorms(torch.autograd.Function):
    """The norms are sqrt(x G · x) with G = weightᵀ weight.

    Both gradients have the factor s = gradient / norms: s x G, and weight xᵀ (s x).
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        product = x @ symmetric_product(weight, weight)
        norms = (product * x).sum(dim=1).clamp_min(1e-20).sqrt()
        ctx.save_for_backward(x, weight, product, norms)
        return norms

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, weight, product, norms = ctx.saved_tensors
        scale = (gradient / norms)[:, None]
        return scale * product, weight @ symmetric_product(x, scale * x)


def symmetric_product(a: Tensor, b: Tensor) -> Tensor:
    """aᵀ b where it is symmetric: blocks below the diagonal are copies of those above it.

    Args:
        a, b: [n, width].

    Returns:
        [width, width].
    """
    width = a.shape[1]
    step = -(-width // N_BLOCKS)
    product = a.new_empty(width, width)
    for start in range(0, width, step):
        stop = start + step
        block = a[:, start:stop].T @ b[:, start:]
        product[start:stop, start:] = block
        product[start:, start:stop] = block.T
    return product
