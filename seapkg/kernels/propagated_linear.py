"""Fast form of a linear layer on constant features followed by propagation.

The plain form is `propagate([0; x W + b])`. Both maps are linear, so x is propagated once and each
step projects only the nodes that it needs.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Features are propagated this many columns at a time, to save memory.
BLOCK_WIDTH = 256


class PropagatedLinear(nn.Linear):
    """`propagate` of users who start with zeros and items who start with x W + b.

    Args:
        dim: width of the result.
        x: constant features of the items [n_items, width].
        propagate: a linear map of the nodes, [n_users + n_items, n] to the same shape.
        n_users: number of users.
    """

    def __init__(
        self, dim: int, x: Tensor, propagate: Callable[[Tensor], Tensor], n_users: int
    ) -> None:
        super().__init__(x.shape[1], dim)
        x = F.pad(x, (0, 1), value=1.0)  # a column that the bias multiplies
        features = x.new_empty(n_users + len(x), x.shape[1])
        blocks = zip(features.split(BLOCK_WIDTH, 1), x.split(BLOCK_WIDTH, 1), strict=True)
        for target, block in blocks:
            target.copy_(propagate(F.pad(block, (0, 0, n_users, 0))))  # zeros above
        self.register_buffer("features", features, persistent=False)

    def forward(self, nodes: Tensor | None = None) -> Tensor:
        """The result [n, dim] at `nodes`, int64 [n], or at all nodes."""
        weight = torch.cat([self.weight, self.bias[:, None]], dim=1)
        features = self.features if nodes is None else F.embedding(nodes, self.features)
        return F.linear(features, weight)
