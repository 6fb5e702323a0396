"""Folding SEA's wide map into its readers against its twin, at odd width."""

import pytest
import torch
from torch import nn

from seapkg.kernels import folded_linear
from seapkg.models import sea


@pytest.mark.parametrize("with_parts", [True, False])
def test_values_and_gradients_are_those_of_the_twin(with_parts):
    torch.manual_seed(0)
    wide, whole = nn.Linear(7, 7), nn.Linear(7, 6)
    of_generic = [nn.Linear(3, 2), nn.Linear(3, 5, bias=False)] if with_parts else []
    of_unique = [nn.Linear(4, 2)] if with_parts else []
    modules = nn.ModuleList([wide, whole, *of_generic, *of_unique]).double()
    features = torch.randn(9, 7, dtype=torch.float64)
    arguments = features, wide, whole, of_generic, of_unique
    ours, theirs = folded_linear.read_halves(*arguments), sea.read_halves(*arguments)
    weights = [torch.randn_like(x) for x in theirs]
    sums = [sum((w * x).sum() for w, x in zip(weights, xs, strict=True)) for xs in (ours, theirs)]
    gradients = [torch.autograd.grad(x, list(modules.parameters())) for x in sums]
    for mine, other in zip([*ours, *gradients[0]], [*theirs, *gradients[1]], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
