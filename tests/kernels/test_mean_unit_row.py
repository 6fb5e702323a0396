"""The mean of unit rows without the rows, against its twin."""

import pytest
import torch

from seapkg.kernels.mean_unit_row import mean_unit_row
from seapkg.models.rearm_parts import mean_of_unit_rows


def made(n=11, width=5, dim=7, dtype=torch.float64, seed=0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (n, width), (dim, width), (dim,)
    return [
        torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes
    ]


@pytest.mark.parametrize("dim", [1, 7])
def test_the_mean_and_its_gradients_are_those_of_the_twin(dim):
    inputs = made(dim=dim)
    ours, theirs = mean_unit_row(*inputs), mean_of_unit_rows(*inputs)
    torch.testing.assert_close(ours, theirs)
    weight = torch.arange(1.0, dim + 1).double()
    for mine, other in zip(
        *(torch.autograd.grad((out * weight).sum(), inputs) for out in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_rows_of_zeros_stay_so():
    x, weight, bias = made()
    with torch.no_grad():
        x[3:6], bias[:] = 0, 0
    ours = mean_unit_row(x, weight, bias)
    torch.testing.assert_close(ours, mean_of_unit_rows(x, weight, bias))
    assert all(g.isfinite().all() for g in torch.autograd.grad(ours.sum(), [x, weight, bias]))


@pytest.mark.parametrize("left", [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
def test_in_float32_a_row_that_cancels_counts_for_no_more_than_one(left):
    """A row of x Wᵀ + b of `left` times the length of its terms, in one hundred directions."""
    for seed in range(100):
        x, weight, bias = made(n=1, width=64, dim=64, dtype=torch.float32, seed=seed)
        with torch.no_grad():
            bias.copy_(-(weight @ x[0]) * (1 - left))
        mean = mean_unit_row(x, weight, bias)
        assert mean.norm() < 1.05
        assert all(g.isfinite().all() for g in torch.autograd.grad(mean.sum(), [x, weight, bias]))


@pytest.mark.parametrize("width", [8, 64])
def test_in_float32_a_row_that_the_weights_all_but_take_to_zero_is_finite(width):
    for seed in range(50):
        x, weight, bias = made(n=3, width=width, dim=width, dtype=torch.float32, seed=seed)
        with torch.no_grad():
            left, values, right = torch.linalg.svd(weight)
            values[-1] = 1e-6 * values[0]
            weight.copy_(left @ values.diag() @ right)
            x[0], bias[:] = right[-1], 0
        mean = mean_unit_row(x, weight, bias)
        assert mean.norm() < 1.05
        assert all(g.isfinite().all() for g in torch.autograd.grad(mean.sum(), [x, weight, bias]))


def test_in_float32_the_mean_is_that_of_float64_to_its_precision():
    inputs = made(n=2000, width=192, dim=192, dtype=torch.float32)
    expected = mean_of_unit_rows(*(tensor.double() for tensor in inputs))
    torch.testing.assert_close(mean_unit_row(*inputs).double(), expected, rtol=1e-4, atol=1e-6)
