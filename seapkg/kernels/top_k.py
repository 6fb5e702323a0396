"""Fast form of `torch.topk(scores, k, dim=1).indices` for many columns."""

import torch
from torch import Tensor


def top_columns(scores: Tensor, k: int, group: int = 32) -> Tensor:
    """The columns of the `k` largest scores of each row, largest first.

    The k largest scores lie in the k groups of adjacent columns with the largest maxima, so only
    these groups are searched.

    Args:
        scores: [n, n_columns].
        k: number of columns to return.
        group: number of columns in a group.

    Returns:
        int64 [n, k].
    """
    n, n_columns = scores.shape
    n_groups = n_columns // group
    if n_groups <= k:
        return scores.topk(k, dim=1).indices
    grouped = scores[:, : n_groups * group].unflatten(1, (n_groups, group))
    best = grouped.amax(dim=2).topk(k, dim=1, sorted=False).indices  # [n, k]
    offsets = torch.arange(group, device=scores.device)
    columns = (best[:, :, None] * group + offsets).flatten(1)  # [n, k * group]
    rest = torch.arange(n_groups * group, n_columns, device=scores.device)
    columns = torch.cat([columns, rest.expand(n, -1)], dim=1)
    return columns.gather(1, scores.gather(1, columns).topk(k, dim=1).indices)
