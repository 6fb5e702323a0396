"""Graphs learned from features: nearest neighbours of projected features, weights with a gradient.

LATTICE, MICRO and MGCN mix such a graph with the fixed graph of the raw features.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    """λ times a fixed graph plus 1 - λ times a learned one (LATTICE, MICRO)."""

    fixed: SparseGraph
    learned: LearnedGraph
    fixed_share: float

    def __call__(self, x: Tensor) -> Tensor:
        """`x`: [n, dim]. Returns [n, dim]."""
        learned = self.learned(x)
        return self.fixed_share * self.fixed(x) + (1 - self.fixed_share) * learned

    def settled(self) -> SparseGraph:
        """The same graph without a gradient, as one sparse matrix."""
        indices = neighbour_indices(self.learned.neighbours)
        weights = self.learned.weights.detach().flatten()
        learned = SparseGraph(indices, weights, self.fixed.shape)
        shares = weights.new_tensor([self.fixed_share, 1 - self.fixed_share])
        return weighted_sum([self.fixed, learned], shares)


def learned_graph(features: Tensor, k: int) -> LearnedGraph:
    """D^-1/2 S D^-1/2, S the cosines of each row with its `k` nearest (LATTICE, MICRO).

    The choice of neighbours has no gradient, the cosines have one. D are the row sums, on both
    sides. A row whose cosines do not sum to a positive number is empty.

    Args:
        features: [n, dim].
        k: number of neighbours of a row, itself included.
    """
    (_, columns), _ = nearest_edges(features.detach(), k)
    neighbours = columns.view(-1, k)
    cosines = edge_cosines(features, neighbours)  # [n, k]
    sums = cosines.sum(dim=1)
    scale = inverse_root(sums.clamp(min=1e-8)) * (sums > 1e-8)
    return LearnedGraph(neighbours, scale[:, None] * cosines * scale[neighbours])
