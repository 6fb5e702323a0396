"""Parts of MMSSL: the discriminator, the graphs of a modality, similarities, contrast."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.errors import RequestError
from seapkg.graph import SparseGraph
from seapkg.graph.interactions import inverse_root
from seapkg.kernels.keep_mask import keep_mask
from seapkg.models.base import unit_rows
from seapkg.models.features import rows

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
        shapes = list(pairwise(widths))
        needed = BYTES_A_WEIGHT * sum(map(math.prod, shapes)) / 1e9
        if needed > gigabytes:
            raise RequestError(
                f"the discriminator of {n_items} items takes {needed:.1f} GB; raise option "
                f"discriminator_memory, which is {gigabytes:g} GB"
            )
        self.weights = nn.ParameterList(torch.randn(n, m) * (2 / n) ** 0.5 for n, m in shapes)
        self.shifts = nn.ParameterList(map(torch.zeros, widths[1:]))
        self.norms = nn.ModuleList(map(nn.BatchNorm1d, widths[1:3]))
        self.requires_grad_(False)

    def forward(self, products: Tensor, generator: torch.Generator | None) -> Tensor:
        """The scores [n] of rows whose products with the first weight are given.

        Args:
            products: [n, n_items // 4].
            generator: draws the dropout.
        """
        for layer, rate in enumerate(self.rates):
            x = F.leaky_relu(products + self.shifts[layer], self.slope)
            norm = self.norms[layer]
            x = torch.batch_norm(x, norm.weight, norm.bias, None, None, True, 0.0, norm.eps, False)
            products = dropped(x, rate, generator) @ self.weights[layer + 1]
        return 100 * (products + self.shifts[2]).sigmoid()[:, 0]


class OneSidedGraphs(nn.Module):
    """G_ui = D_u^-1/2 R and G_iu = D_i^-1/2 Rᵀ.

    Args:
        edges: int64 [2, n_edges], user and item; an edge given twice counts twice.
        n_users, n_items: sizes.
    """

    def __init__(self, edges: Tensor, n_users: int, n_items: int) -> None:
        super().__init__()
        self.to_users = _one_sided(edges, (n_users, n_items))
        self.to_items = _one_sided(edges.flip(0), (n_items, n_users))


class ModalityGraphs(nn.Module):
    """The `OneSidedGraphs` of all modalities. Their edges change and are part of the state.

    Args:
        edges: int64 [n_modalities, 2, n_edges].
        n_users, n_items: sizes.
    """

    def __init__(self, edges: Tensor, n_users: int, n_items: int) -> None:
        super().__init__()
        self.sizes = n_users, n_items
        self.register_buffer("edges", None, persistent=False)
        self.connect(edges)

    def connect(self, edges: Tensor) -> None:
        """Replaces the edges."""
        self.edges = edges
        self.graphs = nn.ModuleList(OneSidedGraphs(each, *self.sizes) for each in edges)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """z [n_modalities, n_users + n_items, d] of the embeddings."""
        views = [torch.cat([graph.to_users(items), graph.to_items(users)]) for graph in self.graphs]
        return torch.stack(views)

    def get_extra_state(self) -> Tensor:
        return self.edges

    def set_extra_state(self, state: Tensor) -> None:
        self.connect(state.to(self.edges.device))


def _one_sided(edges, shape):
    starts, ends = edges
    roots = inverse_root(torch.bincount(starts, minlength=shape[0]).float())
    return SparseGraph(edges, roots[starts], shape)


def similarities(users: Tensor, items: Tensor, seen: Tensor) -> Tensor:
    """Dot products of users with all items, 0 where seen, in rows of unit norm.

    Args:
        users: [..., batch, d].
        items: [..., n_items, d].
        seen: bool [batch, n_items].

    Returns:
        [..., batch, n_items].
    """
    return F.normalize((users @ items.mT).masked_fill(seen, 0.0), dim=-1)


def projected_similarities(users: Tensor, items: Tensor, seen: Tensor, weight: Tensor) -> Tensor:
    """`similarities(users, items, seen) @ weight` without a product of that size.

    The rows are a product of rank d, less the seen entries, over their norms. The squares of the
    norms are differences of sums, in float64.

    Args:
        users: [n_modalities, batch, d].
        items: [n_modalities, n_items, d].
        seen: bool [batch, n_items].
        weight: [n_items, width].

    Returns:
        [n_modalities, batch, width].
    """
    counts, (places, seen_items) = seen.sum(dim=1), seen.nonzero().T
    starts = counts.cumsum(dim=0) - counts
    rests, rest_squares = [], []  # of each modality, without the seen entries
    for of_users, of_items in zip(users, items, strict=True):
        wide_users, wide_items = of_users.double(), of_items.double()
        scores = (rows(wide_users, places) * rows(wide_items, seen_items)).sum(dim=1)
        removed = F.embedding_bag(
            seen_items, weight, starts, mode="sum", per_sample_weights=scores.to(weight.dtype)
        )
        rests.append(of_users @ (of_items.T @ weight) - removed)
        squares = (wide_users @ (wide_items.T @ wide_items) * wide_users).sum(dim=1)
        removed_squares = torch.segment_reduce(scores.square(), "sum", lengths=counts)
        rest_squares.append((squares - removed_squares).clamp_min(1e-24))
    has_unseen = counts < len(weight)
    scales = torch.stack(rest_squares).rsqrt() * has_unseen
    return torch.stack(rests) * scales[:, :, None].to(weight.dtype)


def contrast(views: Tensor, users: Tensor, temperature: float) -> Tensor:
    """`seapkg.losses.grace` with 1e-8 inside its logarithm. `views`, `users`: [batch, d]."""
    views, users = unit_rows(views), unit_rows(users)
    logits = views @ torch.cat([users, views]).T / temperature
    logits[:, len(users) :].fill_diagonal_(-torch.inf)
    return -(logits.softmax(dim=1).diagonal() + 1e-8).log().mean()


def dropped(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Dropout of `x`, of any shape, drawn by `generator`."""
    if not rate:
        return x
    keep, share = keep_mask(x.shape, rate, generator, x.device)
    return x * (keep.to(x.dtype) / share)
