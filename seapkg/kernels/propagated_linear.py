"""Fast form of a linear layer on constant features followed by propagation.

The plain form is `mean_of_layers(graph, [0; x W + b], n_layers)`. Both maps are linear, so x is
propagated once and each step projects only the nodes that it needs.
"""

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
        self.register_buffer("features", None, persistent=False)  # of x and of ones, by node
        self.propagate(x, graph, n_layers)

    def propagate(self, x: Tensor, graph: SparseGraph, n_layers: int) -> None:
        """Propagates the features anew; the arguments are those of the class."""
        x = F.pad(x, (0, 1), value=1.0)  # a column that the bias multiplies
        self.features = x.new_empty(graph.shape[0], x.shape[1])
        blocks = zip(self.features.split(BLOCK_WIDTH, 1), x.split(BLOCK_WIDTH, 1), strict=True)
        for target, block in blocks:
            start = F.pad(block, (0, 0, len(target) - len(x), 0))  # zeros above
            target.copy_(mean_of_layers(graph, start, n_layers))

    def forward(self, nodes: Tensor | None = None) -> Tensor:
        """The result [n, dim] at `nodes`, int64 [n], or at all nodes."""
        weight = torch.cat([self.weight, self.bias[:, None]], dim=1)
        features = self.features if nodes is None else F.embedding(nodes, self.features)
        return F.linear(features, weight)
