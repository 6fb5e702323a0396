"""Graphs learned from features: nearest neighbours of projected features, weights with a gradient.

LATTICE, MICRO and MGCN mix such a graph with the fixed graph of the raw features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

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
        terms = [share * graph(x) for share, graph in zip(self.shares, graphs, strict=True)]
        return reduce(torch.add, terms)

    def settled(self) -> SparseGraph:
        """The same graph without a gradient, as one sparse matrix."""
        indices = neighbour_indices(self.learned.neighbours)
        weights = self.learned.weights.detach().flatten()
        learned = SparseGraph(indices, weights, self.fixed[0].shape)
        return weighted_sum([learned, *self.fixed], self.shares.detach())


def nearest_graph(features: Tensor, k: int) -> LearnedGraph:
    """The cosines of each row with its `k` nearest rows.

    The choice of neighbours has no gradient, the cosines have one.

    Args:
        features: [n, dim].
        k: number of neighbours of a row, itself included.
    """
    (_, columns), _ = nearest_edges(features.detach(), k)
    neighbours = columns.view(-1, k)
    return LearnedGraph(neighbours, edge_cosines(features, neighbours))


def mixed_before_scaling(graphs: Sequence[LearnedGraph], shares: Tensor) -> LearnedGraph:
    """Σ_m α_m S_m as one graph; a neighbour in several graphs stands several times (LATTICE).

    Args:
        graphs: of k neighbours each.
        shares: [len(graphs)].

    Returns:
        A graph of k len(graphs) neighbours.
    """
    weights = [share * graph.weights for share, graph in zip(shares, graphs, strict=True)]
    neighbours = [graph.neighbours for graph in graphs]
    return LearnedGraph(torch.cat(neighbours, dim=1), torch.cat(weights, dim=1))


def scaled(graph: LearnedGraph) -> LearnedGraph:
    """D^-1/2 S D^-1/2, D the row sums of S, on both sides (LATTICE, MICRO).

    The row sums have a gradient. A row whose weights do not sum to a positive number is empty.
    """
    sums = graph.weights.sum(dim=1)
    scale = inverse_root(sums.clamp(min=1e-8)) * (sums > 1e-8)
    weights = scale[:, None] * graph.weights * scale[graph.neighbours]
    return LearnedGraph(graph.neighbours, weights)


def learned_graph(features: Tensor, k: int) -> LearnedGraph:
    """The scaled graph of each row's `k` nearest rows by cosine (MICRO).

    Args:
        features: [n, dim].
        k: number of neighbours of a row, itself included.
    """
    return scaled(nearest_graph(features, k))
