"""Fast forms of two products with a wide layer, without the rows or gradients [n, n_items].

`projected_similarities` is `similarities(users, items, seen) @ weight` of `seapkg.models.mmssl`.
`product_norms` is `(x @ weight.T).norm(dim=1)`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Seen(NamedTuple):
    """The training items of the users of a batch, in the order of its rows.

    Attributes:
        row, item: int64 [n_seen], row of the batch and item of each entry.
        starts: int64 [batch + 1], the first entry of each row, and their number.
    """

    row: Tensor
    item: Tensor
    starts: Tensor


def projected_similarities(users: Tensor, items: Tensor, seen: Seen, weight: Tensor) -> Tensor:
    """The product of the rows `similarities(users, items, seen)` with `weight`.

    The rows are those of a product of rank dim, less the seen entries, over their norms. Each part
    is multiplied by itself. Norms are differences of sums, so they are computed in float64.

    Args:
        users: [batch, dim].
        items: [n_items, dim].
        seen: entries that count as 0.
        weight: [n_items, width].

    Returns:
        [batch, width].
    """
    scores = (F.embedding(seen.row, users) * F.embedding(seen.item, items)).sum(dim=1)  # [n_seen]
    wide, gram = users.double(), items.double()
    squares = ((wide @ (gram.T @ gram)) * wide).sum(dim=1)  # [batch]
    counts = seen.starts.diff()
    squares = squares - torch.segment_reduce(scores.double().square(), "sum", lengths=counts)
    squares = squares.masked_fill(counts == len(items), 0.0)  # such a row is empty
    norms = squares.clamp_min(1e-24).sqrt().to(users.dtype)
    removed = F.embedding_bag(
        seen.item, weight, seen.starts, mode="sum", per_sample_weights=scores,
        include_last_offset=True,
    )  # fmt: skip
    return (users @ (items.T @ weight) - removed) / norms[:, None]


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
    """With G = weightᵀ weight, the norms are sqrt(x G · x), and neither pass forms x weightᵀ."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        product = x @ (weight.T @ weight)  # [n, width]
        norms = (product * x).sum(dim=1).clamp_min(0).sqrt()
        ctx.save_for_backward(x, weight, product, norms)
        return norms

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, weight, product, norms = ctx.saved_tensors
        scale = torch.where(norms > 0, gradient / norms, 0.0)[:, None]
        return scale * product, weight @ (x.T @ (scale * x))
