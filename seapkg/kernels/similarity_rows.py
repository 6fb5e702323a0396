"""Fast forms of two products with a wide layer, without the rows or gradients [n, n_items].

`projected_similarities` is `seapkg.models.mmssl_parts.similarities(...) @ weight`.
`product_norms` is `(x @ weight.T).norm(dim=1)`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from seapkg.graph.sparse import CompressedRows


class Seen(NamedTuple):
    """The training items of the users of a batch, in the order of its rows.

    Attributes:
        row, item: int64 [n_seen], row of the batch and item of each entry.
        starts: int64 [batch + 1], the first entry of each row, and their number.
    """

    row: Tensor
    item: Tensor
    starts: Tensor


def seen_items(csr: CompressedRows, users: Tensor) -> Seen:
    """The training items of `users`, int64 [batch], from the rows of their graph."""
    firsts = csr.starts[users]
    counts = csr.starts[users + 1] - firsts
    starts = F.pad(counts.cumsum(0), (1, 0))
    row = torch.arange(len(users), device=users.device).repeat_interleave(counts)
    entries = torch.arange(len(row), device=users.device) + (firsts - starts[:-1])[row]
    return Seen(row, csr.columns[entries], starts)


def projected_similarities(
    users: Tensor, items: Tensor, seen: Seen, weight: Tensor, n_views: int
) -> Tensor:
    """The product of `similarities(users, items, seen, n_views)` and `weight`.

    The rows are those of a product of rank dim, less the seen entries, over their norms. Each part
    is multiplied by itself. The norms are differences of sums, so they are computed in float64.

    Args:
        users: [batch, n_views dim], views side by side.
        items: [n_items, n_views dim].
        seen: entries that count as 0.
        weight: [n_items, width].
        n_views: number of views.

    Returns:
        [n_views batch, width].
    """
    scores = F.embedding(seen.row, users) * F.embedding(seen.item, items)
    scores = scores.unflatten(1, (n_views, -1)).sum(dim=2).T  # [n_views, n_seen]
    users, items = (side.unflatten(1, (n_views, -1)).transpose(0, 1) for side in (users, items))
    n_seen, counts = len(seen.item), seen.starts.diff()
    firsts = seen.starts[:-1] + n_seen * torch.arange(n_views, device=users.device)[:, None]
    seen_items = seen.item.repeat(n_views)
    removed = F.embedding_bag(
        seen_items, weight, firsts.flatten(), mode="sum", per_sample_weights=scores.flatten()
    )
    products = (users @ (items.mT @ weight)).flatten(0, 1) - removed
    wide_users, wide_items = users.double(), items.double()
    squares = ((wide_users @ (wide_items.mT @ wide_items)) * wide_users).sum(dim=2)
    seen_squares = scores.double().square().flatten()
    removed_squares = torch.segment_reduce(seen_squares, "sum", lengths=counts.repeat(n_views))
    squares = (squares.flatten() - removed_squares).clamp_min(1e-24)
    has_seen_all = counts.repeat(n_views) == len(weight)
    scales = squares.rsqrt().masked_fill(has_seen_all, 0.0).to(products.dtype)
    return products * scales[:, None]


def product_norms(x: Tensor, weight: Tensor) -> Tensor:
    """The norms of the rows of x weightᵀ; differentiable once.

    Args:
        x: [n, width].
        weight: [n_columns, width].

    Returns:
        [n].
    """
    return _ProductNorms.apply(x, weight)


class _ProductNorms(torch.autograd.Function):
    """The norms are sqrt(x G · x) with G = weightᵀ weight: cheaper if weight is narrow.

    Both gradients have the factor s = gradient / norms: s x G, and weight xᵀ (s x).
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.by_gram = 2 * x.shape[1] <= 3 * len(x)
        if ctx.by_gram:
            product = x @ symmetric_product(weight, weight)  # [n, width]
            norms = (product * x).sum(dim=1).clamp_min(0).sqrt()
        else:
            product = x @ weight.T  # [n, n_columns]
            norms = product.norm(dim=1)
        ctx.save_for_backward(x, weight, product, norms)
        return norms

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, weight, product, norms = ctx.saved_tensors
        scale = torch.where(norms > 0, gradient / norms, 0.0)[:, None]
        product = scale * product
        if ctx.by_gram:
            return product, weight @ symmetric_product(x, scale * x)
        return product @ weight, product.T @ x


def symmetric_product(a: Tensor, b: Tensor, n_blocks: int = 8) -> Tensor:
    """aᵀ b, if it is symmetric: only blocks from the diagonal on are computed.

    Args:
        a, b: [n, width].
        n_blocks: blocks of columns.

    Returns:
        [width, width].
    """
    width = a.shape[1]
    product = a.new_empty(width, width)
    step = max(-(-width // n_blocks), 1)
    for start in range(0, width, step):
        stop = start + step
        block = a[:, start:stop].T @ b[:, start:]
        product[start:stop, start:] = block
        product[start:, start:stop] = block.T
    return product
