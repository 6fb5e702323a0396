"""Graphs learned from features: nearest neighbours of projected features, weights with a gradient.

LATTICE and MICRO mix such a graph with the fixed graph of the raw features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from seapkg.graph.interactions import inverse_root
from seapkg.graph.neighbours import edge_cosines, nearest_edges
from seapkg.graph.sparse import SparseGraph, neighbour_indices, weighted_sum


@dataclass(frozen=True)
class LearnedGraph:
    """A graph of k neighbours per node whose weights have a gradient; `graph(x)` is S x.

    Attributes:
        neighbours: int64 [n, k].
        weights: [n, k].
    """

    neighbours: Tensor
    weights: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """`x`: [n, dim]. Returns [n, dim]."""
        return F.embedding_bag(self.neighbours, x, per_sample_weights=self.weights, mode="sum")


@dataclass(frozen=True)
class MixedGraph:
    """A learned graph and fixed graphs, each times its share (LATTICE, MICRO).

    Attributes:
        learned: the learned graph.
        fixed: fixed graphs of the same shape.
        shares: [1 + len(fixed)], the first one of the learned graph; they may have a gradient.
    """

    learned: LearnedGraph
    fixed: Sequence[SparseGraph]
    shares: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """`x`: [n, dim]. Returns [n, dim]."""
        graphs = [self.learned, *self.fixed]
        return sum(share * graph(x) for share, graph in zip(self.shares, graphs, strict=True))

    def settled(self) -> SparseGraph:
        """The same graph without a gradient, as one sparse matrix."""
        indices = neighbour_indices(self.learned.neighbours)
        weights = self.learned.weights.detach().flatten()
        learned = SparseGraph(indices, weights, self.fixed[0].shape)
        return weighted_sum([learned, *self.fixed], self.shares.detach())


def learned_graph(tables: Sequence[Tensor], k: int, shares: Sequence[Tensor]) -> LearnedGraph:
    """D^-1/2 S D^-1/2 of S = Σ_m α_m S_m, D the row sums of S on both sides (LATTICE, MICRO).

    S_m has the cosines of each row of a table with its `k` nearest rows, itself included. Their
    choice has no gradient; cosines and row sums have one. A row whose weights do not sum to a
    positive number is empty. A neighbour in several tables stands several times.

    Args:
        tables: features [n, width], one table for each m.
        k: number of neighbours of a row in a table.
        shares: α, one for each table.
    """
    columns, weights = [], []
    for features, share in zip(tables, shares, strict=True):
        (_, nearest), _ = nearest_edges(features.detach(), k)
        columns.append(nearest.view(-1, k))
        weights.append(share * edge_cosines(features, columns[-1]))
    neighbours, weights = torch.cat(columns, dim=1), torch.cat(weights, dim=1)
    sums = weights.sum(dim=1)
    scale = inverse_root(sums.clamp(min=1e-8)) * (sums > 1e-8)
    return LearnedGraph(neighbours, scale[:, None] * weights * scale[neighbours])
