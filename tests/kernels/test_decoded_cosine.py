"""The fast cosines of decodings against the plain ones."""

import pytest
import torch

from seapkg.kernels.decoded_cosine import decoded_cosines, decoded_cosines_plain


def arguments(width: int, dim: int = 5):
    torch.manual_seed(0)
    shapes = (7, width), (3, 7, dim), (width, dim), (width,)
    target, *trained = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    return target, *(tensor.requires_grad_() for tensor in trained)


@pytest.mark.parametrize("width", [1, 4, 6, 40])
def test_values_and_gradients_are_the_plain_ones(width):
    results = []
    for function in (decoded_cosines, decoded_cosines_plain):
        given = arguments(width)
        cosines = function(*given)
        assert cosines.shape == (3, 7)
        cosines.cos().sum().backward()  # another gradient for each cosine
        results.append([cosines, *(tensor.grad for tensor in given[1:])])
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("function", [decoded_cosines, decoded_cosines_plain])
def test_a_zero_target_or_decoding_has_the_cosine_0_and_finite_gradients(function):
    target, codes, weight, bias = arguments(40)
    with torch.no_grad():
        target[0], codes[:, 1], bias[:] = 0, 0, 0
    cosines = function(target, codes, weight, bias)
    assert not cosines[:, :2].any() and cosines[:, 2:].all()
    cosines.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (codes, weight, bias))


def test_float32_is_precise_enough_at_real_widths():
    torch.manual_seed(0)
    target, codes = torch.rand(50, 4096), torch.randn(3, 50, 64)
    decoder = torch.nn.Linear(64, 4096)
    given = target, codes, decoder.weight, decoder.bias
    fast, exact = decoded_cosines(*given), decoded_cosines_plain(*(t.double() for t in given))
    assert (fast - exact).abs().max() < 1e-6
