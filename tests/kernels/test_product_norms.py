"""The norms of the rows of a product, and symmetric products, against the plain forms."""

import pytest
import torch

from seapkg.kernels.product_norms import product_norms, symmetric_product


@pytest.mark.parametrize("n_rows", [3, 40])  # fewer and more rows than columns: both ways
def test_values_and_gradients_are_those_of_the_plain_form(n_rows):
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((n_rows, 11), (25, 11))
    )
    fast, plain = product_norms(x, weight), (x @ weight.T).norm(dim=1)
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-12)
    gradient = torch.randn(n_rows, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(fast, (x, weight), gradient),
        torch.autograd.grad(plain, (x, weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_rows", [1, 5])
def test_an_empty_row_has_no_gradient(n_rows):
    x = torch.zeros(n_rows, 3, requires_grad=True)
    product_norms(x, torch.ones(5, 3)).sum().backward()
    assert not x.grad.any()


@pytest.mark.parametrize("width", [1, 7, 8, 9, 40])
def test_a_symmetric_product_is_the_plain_one(width):
    a = torch.randn(5, width, dtype=torch.float64)
    scaled = torch.arange(5.0)[:, None] * a
    torch.testing.assert_close(symmetric_product(a, scaled), a.T @ scaled, rtol=0, atol=1e-12)
