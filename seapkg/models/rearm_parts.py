"""Parts of REARM: enhanced graphs, attention among coordinates, the meta-network.

Equations B1 to B18 are those of docs/equations.md.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seapkg.data.dataset import Dataset
from seapkg.errors import RequestError
from seapkg.graph import (
    SparseGraph,
    co_occurrence_graph,
    initial_shares,
    item_edges,
    nearest_means,
    similarity_graph,
    weighted_sum,
)
from seapkg.kernels.keep_mask import keep_mask
from seapkg.kernels.mean_unit_row import mean_unit_row
from seapkg.kernels.rank_one_attention import rank_one_attention
from seapkg.models.base import training_pairs, unit_rows
from seapkg.models.features import feature_table, rows


def enhanced_graph(
    side: str, dataset: Dataset, config: Any, mean_of_items: SparseGraph
) -> SparseGraph:
    """The user or item graph: β times co-occurrence plus 1 - β times similarity (B2-B4).

    Args:
        side: "user" or "item".
        dataset: gives the training pairs and features; given item graphs replace the items'
            feature graphs.
        config: a `REARMConfig`.
        mean_of_items: [n_users, n_items], users' mean over their items (B1).

    Returns:
        A graph of the n nodes of this side, [n, n]. A term without weight is not built.
    """
    n, n_others, pairs = dataset.n_users, dataset.n_items, training_pairs(dataset)
    if side == "item":
        n, n_others, pairs = n_others, n, pairs.flip(1)
    k, co_weight = getattr(config, f"{side}_neighbours"), getattr(config, f"{side}_co_weight")
    if k > n:
        raise RequestError(f"option {side}_neighbours must be at most {n}, the nodes; it is {k}")
    graphs = []
    if co_weight > 0:
        graphs.append(co_occurrence_graph(pairs, n, n_others, k, ties=config.co_occurrence_ties))
    if co_weight < 1:
        image_weight = getattr(config, f"{side}_image_weight")
        mean = mean_of_items if side == "user" else None
        graphs.append(_feature_graph(dataset, n, k, image_weight, mean))
    weights = [weight for weight in (co_weight, 1 - co_weight) if weight > 0]
    return weighted_sum(graphs, torch.tensor(weights))


def _feature_graph(dataset, n, k, image_weight, mean):
    """B2: similarity of items, or of users by the `mean` of their items. Returns [n, n]."""
    shares = initial_shares(dataset.modalities, image_weight)
    graphs = []
    for name, share in zip(dataset.modalities, shares, strict=True):
        if share > 0:
            if mean is None:
                edges = item_edges(dataset, name, k)
            else:
                edges = nearest_means(feature_table(dataset, name), mean, k)
            graphs.append(similarity_graph(*edges, (n, n)))
    return weighted_sum(graphs, shares[shares > 0])


def coordinate_attention(
    query: Tensor, key: Tensor, value: Tensor, keep: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """Attention among coordinates (B8): out_a = Σ_b softmax_b(q_a k_b) v_b, for each row.

    Computed by `seapkg.kernels.rank_one_attention`.

    Args:
        query, key, value: [n, d].
        keep: uint8 [n, d, d], 0 where dropout removes a weight; None without dropout.
        share: the share of weights that dropout keeps; the kept ones are divided by it.

    Returns:
        [n, d].
    """
    weights = (query[:, :, None] * key[:, None, :]).softmax(dim=2)  # [n, d, d]
    if keep is not None:
        weights = weights * keep / share
    return (weights * value[:, None, :]).sum(dim=2)


class DimensionAttention(nn.Module):
    """One head of width 1: the coordinates of a vector attend to those of another vector (B8).

    Query, key and value each have a scalar weight and bias, the output has a weight. The output
    bias is left out, as the layer norm that follows would remove it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3, 1)))  # query, key, value
        self.shifts = nn.Parameter(torch.zeros(3))
        self.out_scale = nn.Parameter(torch.empty(1).uniform_(-1, 1))

    def forward(
        self, x: Tensor, y: Tensor, rate: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Lets `x` read `y`.

        Args:
            x, y: [n, d].
            rate: of dropout on the attention weights, up to 255/256; 1 gives zeros.
            generator: draws the dropout.

        Returns:
            [n, d].
        """
        if rate == 1:
            return torch.zeros_like(x)
        scaled = zip(self.scales, self.shifts, (x, y, y), strict=True)
        query, key, value = (scale * tokens + shift for scale, shift, tokens in scaled)
        keep, share = None, 1.0
        if rate:
            keep, share = keep_mask((*x.shape, x.shape[1]), rate, generator, x.device)
        return self.out_scale * rank_one_attention(query, key, value, keep, share)


class MetaNetwork(nn.Module):
    """What the modalities of a node share: a low-rank transform of its id vector (B13).

    The modalities give a key; from the key come the two factors of the transform, of unit norm. The
    mean of each factor over all nodes is added before a softmax.

    Args:
        width: of the modalities' vectors side by side.
        dim: of the id vectors.
        rank: of the transform.
        trained: train the layer that makes the key; the published code detaches its output.
    """

    def __init__(self, width: int, dim: int, rank: int, trained: bool = True) -> None:
        super().__init__()
        self.rank, self.dim, self.trained = rank, dim, trained
        self.key = nn.Linear(width, dim).requires_grad_(trained)
        self.left = _hyper_network(dim, dim * rank)
        self.right = _hyper_network(dim, dim * rank)

    def forward(self, content: Tensor, ids: Tensor, index: Tensor | None) -> Tensor:
        """The transformed id vectors of some nodes.

        Args:
            content: [n, width] of all nodes.
            ids: [b, dim] of the nodes `index`.
            index: int64 [b], None for all.

        Returns:
            [b, dim].
        """
        key = self.key(content)
        key = key if self.trained else key.detach()
        left = self._factor(self.left, key, index).view(-1, self.dim, self.rank).softmax(dim=1)
        right = self._factor(self.right, key, index).view(-1, self.rank, self.dim).softmax(dim=1)
        inner = (left * ids[:, :, None]).sum(dim=1)  # [b, rank]
        return (right * inner[:, :, None]).sum(dim=1)

    def _factor(self, network, key, index):
        """The network's unit rows for `index`, plus their mean over all nodes: [b, dim rank]."""
        hidden, last = network[:2](key), network[2]
        of_nodes = unit_rows(last(taken(hidden, index)))
        return of_nodes + mean_unit_row(hidden, last.weight, last.bias)


def mean_of_unit_rows(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The mean over the rows of x Wᵀ + b, each at unit norm.

    Computed by `seapkg.kernels.mean_unit_row`.

    Args:
        x: [n, h].
        weight: [d, h].
        bias: [d].

    Returns:
        [d].
    """
    return unit_rows(x @ weight.T + bias).mean(dim=0)


def taken(table: Tensor, index: Tensor | None) -> Tensor:
    """The rows `index` (int64 [b]) of `table` [n, d], or all of it."""
    return table if index is None else rows(table, index)


def _hyper_network(dim, width):
    return nn.Sequential(nn.Linear(dim, width), nn.PReLU(), nn.Linear(width, width))
