"""The factors of cosines against their twin: products, widths and gradients."""

import pytest
import torch
from torch.nn import functional as F

from seapkg.kernels.cosine_factors import cosine_factors


def plain(a, weights, basis):
    return F.normalize(a, dim=1), F.normalize(weights @ basis, dim=1)


def drawn(rank):
    generator = torch.Generator().manual_seed(rank)
    shapes = (5, 4), (7, rank), (rank, 4)
    tables = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    tables[1][2] = 0  # a row of zeros has cosine 0
    return [table.requires_grad_() for table in tables]


@pytest.mark.parametrize("rank", [1, 3, 4, 9])
def test_cosines_and_gradients_are_those_of_the_twin(rank):
    tables, gradients = drawn(rank), []
    target = torch.arange(35.0, dtype=torch.float64).view(5, 7)
    target[:, 2] = 0  # no cosine has a derivative at the zero row
    for function in (cosine_factors, plain):
        a, b = function(*tables)
        gradients.append([a @ b.T, *torch.autograd.grad((a @ b.T * target).sum(), tables)])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert cosine_factors(*tables)[0].shape == (5, min(rank, 4))
