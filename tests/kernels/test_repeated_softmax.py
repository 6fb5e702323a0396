"""Solosim of repeated rows against its twin: values, gradients, block sizes."""

import pytest
import torch

from seapkg import losses
from seapkg.kernels import repeated_softmax
from seapkg.kernels.repeated_softmax import solosim_of_repeats

A_PLACES = torch.tensor([0, 1, 2, 0, 3, 3, 4, 0])
B_PLACES = torch.tensor([5, 0, 1, 0, 2, 3, 4, 5])


def tables(scale=1.0, dtype=torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    drawn = (torch.randn(n, 4, generator=generator, dtype=dtype) for n in (5, 6))
    return [(scale * x).requires_grad_() for x in drawn]


def assert_equal_to_twin(a, b, temperature, tolerance=1e-12):
    ours = solosim_of_repeats(a, b, A_PLACES, B_PLACES, temperature)
    twin = losses.solosim(a[A_PLACES], b[B_PLACES], temperature)
    torch.testing.assert_close(ours, twin, rtol=tolerance, atol=tolerance)
    gradients = [torch.autograd.grad(3 * loss, (a, b)) for loss in (ours, twin)]
    for mine, oracle in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, oracle, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("temperature", [0.02, 0.2, 7.0])
def test_values_and_gradients_are_those_of_the_twin(temperature):
    assert_equal_to_twin(*tables(), temperature)


def test_several_blocks_give_the_same(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(200, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    places = torch.randint(200, (2, 300), generator=generator)
    whole = solosim_of_repeats(a, b, *places, 0.5)
    monkeypatch.setattr(repeated_softmax, "BLOCK_BYTES", {"cpu": 0})  # blocks of 64 rows
    torch.testing.assert_close(solosim_of_repeats(a, b, *places, 0.5), whole)
    twin = losses.solosim(a[places[0]], b[places[1]], 0.5)
    torch.testing.assert_close(whole, twin, rtol=1e-12, atol=0)


def test_large_rows_do_not_overflow_float32():
    assert_equal_to_twin(*tables(scale=1000, dtype=torch.float32), 0.2, tolerance=1e-5)


def test_gradcheck_in_float64():
    def function(a, b):
        return solosim_of_repeats(a, b, A_PLACES, B_PLACES, 0.3)

    assert torch.autograd.gradcheck(function, tables())
