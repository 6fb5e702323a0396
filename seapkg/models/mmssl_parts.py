"""Parts of MMSSL: the discriminator, rows of similarities, one-sided graphs, contrast."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.graph import SparseGraph
from seapkg.graph.interactions import inverse_root
from seapkg.kernels.keep_mask import keep_mask
from seapkg.kernels.similarity_rows import Seen
from seapkg.models.base import unit_rows

#: Weight, gradient and Adam's two moments, in bytes.
BYTES_A_WEIGHT = 16


class Discriminator(nn.Module):
    """Three linear layers from n_items inputs to a score between 0 and 100.

    Batch norms always use the statistics of their batch, and dropout is always on. The main loss
    does not train it.

    Args:
        n_items: number of inputs.
        slope: of the leaky ReLU.
        gigabytes: most memory.

    Raises:
        RequestError: it needs more memory.
    """

    #: Dropout after both hidden layers.
    rates = 0.31, 0.5

    def __init__(self, n_items: int, slope: float, gigabytes: float) -> None:
        super().__init__()
        self.slope = slope
        widths = [n_items, max(n_items // 4, 1), max(n_items // 8, 1), 1]
        needed = BYTES_A_WEIGHT * sum(n * m for n, m in pairwise(widths)) / 1e9
        if needed > gigabytes:
            raise RequestError(
                f"the discriminator of {n_items} items takes {needed:.1f} GB; raise option "
                f"discriminator_memory, which is {gigabytes:g} GB"
            )
        hidden = widths[1:3]
        self.weights = nn.ParameterList(
            torch.randn(n, m) * (2 / n) ** 0.5 for n, m in pairwise(widths)
        )
        self.shifts = nn.ParameterList(map(torch.zeros, widths[1:]))
        self.norm_scales = nn.ParameterList(map(torch.ones, hidden))
        self.norm_shifts = nn.ParameterList(map(torch.zeros, hidden))
        self.requires_grad_(False)

    def forward(self, products: Tensor, generator: torch.Generator | None) -> Tensor:
        """The scores [n] of rows whose products with the first weight are given.

        Args:
            products: [n, n_items // 4].
            generator: draws the dropout.
        """
        for layer, rate in enumerate(self.rates):
            x = F.leaky_relu(products + self.shifts[layer], self.slope)
            scale, shift = self.norm_scales[layer], self.norm_shifts[layer]
            x = torch.batch_norm(x, scale, shift, None, None, True, 0.0, 1e-5, False)
            products = dropped(x, rate, generator) @ self.weights[layer + 1]
        return 100 * (products + self.shifts[2]).sigmoid()[:, 0]


class EdgeList(nn.Module):
    """Edges int64 [2, n] in the model's state, whatever their number."""

    def __init__(self, indices: Tensor) -> None:
        super().__init__()
        self.register_buffer("indices", indices, persistent=False)

    def get_extra_state(self) -> Tensor:
        return self.indices

    def set_extra_state(self, state: Tensor) -> None:
        self.indices = state.to(self.indices.device)


def similarities(users: Tensor, items: Tensor, seen: Seen, n_views: int = 1) -> Tensor:
    """Dot products of users with all items, 0 where seen, in rows of unit norm.

    Args:
        users: [batch, n_views dim], views side by side.
        items: [n_items, n_views dim].
        seen: training items of the batch.
        n_views: number of views.

    Returns:
        [n_views batch, n_items], views one below the other.
    """
    views = zip(users.chunk(n_views, dim=1), items.chunk(n_views, dim=1), strict=True)
    scores = torch.stack([of_users @ of_items.T for of_users, of_items in views])
    scores[:, seen.row, seen.item] = 0.0
    return unit_rows(scores.flatten(0, 1))


def one_sided_graph(rows: Tensor, columns: Tensor, n_rows: int, n_columns: int) -> SparseGraph:
    """D^-1/2 A of edges from `rows` to `columns` (int64 [n]), D the degrees of the rows."""
    roots = inverse_root(torch.bincount(rows, minlength=n_rows).float())
    return SparseGraph(torch.stack([rows, columns]), roots[rows], (n_rows, n_columns))


def contrast(views: Tensor, users: Tensor, temperature: float) -> Tensor:
    """`seapkg.losses.grace` with 1e-8 inside its logarithm. `views`, `users`: [batch, d]."""
    views, users = unit_rows(views), unit_rows(users)
    within = (views @ views.T).fill_diagonal_(-torch.inf)
    logits = torch.cat([views @ users.T, within], dim=1) / temperature
    return -(logits.softmax(dim=1).diagonal() + 1e-8).log().mean()


def dropped(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Dropout of `x`, of any shape, drawn by `generator`."""
    if not rate:
        return x
    keep, share = keep_mask(x.shape, rate, generator, x.device)
    return x * (keep.to(x.dtype) / share)
