"""The blocked softmax losses against their twins: values, gradients, block sizes."""

import pytest
import torch
from torch.nn import functional as F

from seapkg import losses
from seapkg.kernels import blocked_softmax

NAMES = ["solosim", "info_nce", "grace"]


@pytest.fixture(params=NAMES)
def pair(request):
    """The fast form and its twin."""
    return getattr(blocked_softmax, request.param), getattr(losses, request.param)


def views(n=9, dim=4, dtype=torch.float64) -> list[torch.Tensor]:
    """Two tables of unit rows."""
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randn(n, dim, generator=generator, dtype=dtype) for _ in range(2)]
    return [F.normalize(x, dim=1).requires_grad_() for x in drawn]


def assert_equal(ours, theirs, inputs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(3 * loss, inputs) for loss in (ours, theirs)]
    for mine, oracle in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, oracle, rtol=0, atol=1e-10)


@pytest.mark.parametrize("temperature", [0.02, 0.05, 0.2, 1.0, 7.0])
def test_values_and_gradients_are_those_of_the_twin(pair, temperature):
    (fast, plain), inputs = pair, views()
    assert_equal(fast(*inputs, temperature), plain(*inputs, temperature), inputs)


@pytest.mark.parametrize("block_rows", [1, 2, 4, 8, 9, 50])
@pytest.mark.parametrize("temperature", [0.02, 0.2])
def test_the_block_size_changes_nothing(block_rows, temperature):
    a, b = views()
    apply = blocked_softmax._BlockedSoftmax.apply
    ours = apply(a, b, temperature, block_rows)
    assert_equal(ours, losses.solosim(a, b, temperature), (a, b))
    ours = apply(a, torch.cat([b, a]), temperature, block_rows)
    assert_equal(ours, losses.grace(a, b, temperature), (a, b))


def test_gradcheck_in_float64(pair):
    fast, inputs = pair[0], views(n=5, dim=3)
    assert torch.autograd.gradcheck(lambda a, b: fast(a, b, 0.3), inputs)


@pytest.mark.parametrize("frozen", [0, 1])
def test_one_view_may_be_frozen(pair, frozen):
    (fast, plain), inputs = pair, views()
    inputs[frozen] = inputs[frozen].detach()
    assert_equal(fast(*inputs, 0.2), plain(*inputs, 0.2), [inputs[1 - frozen]])


def test_a_view_with_itself_adds_both_gradients(pair):
    (fast, plain), (a, _) = pair, views()
    assert_equal(fast(a, a, 0.2), plain(a, a, 0.2), [a])


def test_a_tiny_temperature_does_not_overflow(pair):
    (fast, plain), (a, b) = pair, views(dtype=torch.float32)
    loss = fast(a, b, 1e-4)
    loss.backward()
    expected = plain(a.double(), b.double(), 1e-4)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    assert a.grad.isfinite().all() and b.grad.isfinite().all()
