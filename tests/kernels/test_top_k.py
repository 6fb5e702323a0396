"""The search in groups of columns against torch.topk."""

import pytest
import torch

from seapkg.kernels.top_k import top_columns


@pytest.mark.parametrize("n_columns", [1, 7, 64, 65, 1000])
@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("group", [2, 32])
def test_the_columns_are_those_of_torch(n_columns, k, group):
    scores = torch.rand(9, n_columns, generator=torch.Generator().manual_seed(0))
    k = min(k, n_columns)
    ours = top_columns(scores, k, group)
    assert torch.equal(ours, torch.topk(scores, k, dim=1).indices)
