"""A meta-network: each node's own transform, made from what is known of the node (REARM, spec B.3)."""

from __future__ import annotations

from torch import Tensor, nn

from seapkg.models.base import rows, unit_rows


class MetaNetwork(nn.Module):
    """(B13): what a node's modalities share, as a low-rank transform of its own vector.

    From the modalities' vectors M_n a key k_n; from it the two factors of a transform, each of unit norm, to which
    their mean over all nodes is added before a softmax.
    """

    def __init__(self, width: int, dim: int, rank: int, trained: bool = True) -> None:
        super().__init__()
        self.rank, self.dim, self.trained = rank, dim, trained
        self.key = nn.Linear(width, dim).requires_grad_(self.trained)
        self.left = _hyper_network(dim, rank)
        self.right = _hyper_network(dim, rank)

    def forward(self, content: Tensor, own: Tensor, index: Tensor | None) -> Tensor:
        """`content`: [n, M d] of all nodes; `own`: [b, d] of the nodes `index`, or of all. Returns [b, d]."""
        key = self.key(content)
        key = key if self.trained else key.detach()
        left, right = (unit_rows(network(key)) for network in (self.left, self.right))  # [n, d r] each
        left = (taken(left, index) + left.mean(dim=0)).view(-1, self.dim, self.rank).softmax(dim=1)
        right = (taken(right, index) + right.mean(dim=0)).view(-1, self.rank, self.dim).softmax(dim=1)
        inner = (left * own[:, :, None]).sum(dim=1)  # [b, r]
        return (right * inner[:, :, None]).sum(dim=1)


def taken(table: Tensor, index: Tensor | None) -> Tensor:
    """The rows `index` of a table, or all of it."""
    return table if index is None else rows(table, index)


def _hyper_network(dim: int, rank: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim * rank), nn.PReLU(), nn.Linear(dim * rank, dim * rank))
