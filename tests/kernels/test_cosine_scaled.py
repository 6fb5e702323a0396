"""Rows scaled by their cosine: the fast form against its plain twin."""

import pytest
import torch
from torch.nn import functional as F

from seapkg.kernels.cosine_scaled import cosine_scaled, cosine_scaled_plain


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e6])
def test_values_and_gradients_are_those_of_the_plain_twin(scale):
    draw = torch.Generator().manual_seed(0)
    x, other, weights = (torch.randn(9, 5, generator=draw, dtype=torch.float64) for _ in range(3))
    x, unit = x * scale, F.normalize(other, dim=1)
    x[4] = 0
    x.requires_grad_(), unit.requires_grad_()
    results = []
    for form in (cosine_scaled, cosine_scaled_plain):
        value = form(x, unit)
        results.append((value, *torch.autograd.grad((value * weights).sum(), (x, unit))))
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-14 * scale)


def test_a_row_is_scaled_by_its_cosine():
    x, unit = torch.tensor([[3.0, 4.0], [2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(cosine_scaled(x, unit), torch.tensor([[1.8, 2.4], [0.0, 0.0]]))
