"""Fast form of a linear layer on constant features followed by propagation.

The plain form is `mean_of_layers(graph, [0; x W + b], n_layers)`. Both maps are linear, so x is
propagated once and each step projects only the nodes that it needs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seapkg.graph import SparseGraph, mean_of_layers

#: Features are propagated this many columns at a time, to save memory.
BLOCK_WIDTH = 256


class PropagatedLinear(nn.Linear):
    """The mean over layers of graph^l [0; x W + b]: items start with x W + b, users with zeros.

    Args:
        dim: width of the result.
        x: constant features of the items [n_items, width].
        graph: of users, then items, [n_nodes, n_nodes].
        n_layers: number of layers.
    """

    def __init__(self, dim: int, x: Tensor, graph: SparseGraph, n_layers: int) -> None:
        super().__init__(x.shape[1], dim)
        for name in ("features", "reach"):  # of a constant x and of x = 1, by node
            self.register_buffer(name, None, persistent=False)
        self.propagate(x, graph, n_layers)

    def propagate(self, x: Tensor, graph: SparseGraph, n_layers: int) -> None:
        """Propagates the features anew; the arguments are those of the class."""
        self.features = _propagated(x, graph, n_layers)
        self.reach = _propagated(torch.ones_like(x[:, :1]), graph, n_layers)

    def forward(self, nodes: Tensor | None = None) -> Tensor:
        """The result [n, dim] at `nodes`, int64 [n], or at all nodes."""
        features, reach = self.features, self.reach
        if nodes is not None:
            features, reach = F.embedding(nodes, features), F.embedding(nodes, reach)
        return features @ self.weight.T + reach * self.bias


def _propagated(x, graph, n_layers):
    """The mean over layers of graph^l [0; x]: [n_nodes, width]."""
    propagated = x.new_empty(graph.shape[0], x.shape[1])
    blocks = zip(propagated.split(BLOCK_WIDTH, 1), x.split(BLOCK_WIDTH, 1), strict=True)
    for target, block in blocks:
        start = F.pad(block, (0, 0, len(propagated) - len(x), 0))  # zeros above
        target.copy_(mean_of_layers(graph, start, n_layers))
    return propagated
