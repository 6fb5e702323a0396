"""Rank-one attention against its twin: values, gradients, dropout, blocks, large scores."""

import pytest
import torch

from seapkg.kernels import rank_one_attention as module
from seapkg.kernels.keep_mask import keep_mask
from seapkg.kernels.rank_one_attention import rank_one_attention
from seapkg.models.rearm_parts import coordinate_attention


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Two vectors of six coordinates per block in float64, four in float32."""
    monkeypatch.setitem(module.BLOCK_BYTES, "cpu", 600)


def vectors(n=7, d=6, dtype=torch.float64) -> list[torch.Tensor]:
    """Query, key and value."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(3)]
    return [x.to(dtype).requires_grad_() for x in drawn]


def assert_same(ours, theirs, inputs):
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5)).double()
    sums = [(out * weight).sum() for out in (ours, theirs)]
    for mine, other in zip(*(torch.autograd.grad(x, inputs) for x in sums), strict=True):
        torch.testing.assert_close(mine, other)


def test_values_and_gradients_are_those_of_the_twin():
    inputs = vectors()
    assert_same(rank_one_attention(*inputs), coordinate_attention(*inputs), inputs)


def test_one_vector_in_several_roles_adds_its_gradients():
    x, *_ = vectors()
    assert_same(rank_one_attention(x, x, x), coordinate_attention(x, x, x), [x])


def test_dropout_removes_weights_and_scales_the_rest():
    inputs = vectors()
    mask = keep_mask((7, 6, 6), 0.4, torch.Generator().manual_seed(3), "cpu")
    assert_same(rank_one_attention(*inputs, *mask), coordinate_attention(*inputs, *mask), inputs)
    assert not torch.equal(rank_one_attention(*inputs, *mask), rank_one_attention(*inputs))


@pytest.mark.parametrize("largest", [31, 33, 130, 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_large_scores_do_not_overflow_in_float32(largest, sign):
    """Scores up to `largest` powers of two, around the shift's threshold; float32 ends at 128."""
    query, key, value = vectors()
    with torch.no_grad():
        query *= sign * largest / module.LOG2_E / (query.abs().max() * key.abs().max())
    doubles = [query, key, value]
    singles = [x.detach().float().requires_grad_() for x in doubles]
    ours, theirs = rank_one_attention(*singles), coordinate_attention(*doubles)
    assert_close(ours, theirs)
    ours, theirs = (
        torch.autograd.grad(out.sum(), inputs)
        for out, inputs in ((ours, singles), (theirs, doubles))
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(mine, other)


def assert_close(ours, theirs):
    """The precision of float32 where scores are in the hundreds."""
    assert ours.isfinite().all()
    tolerance = 2e-4 * theirs.abs().max().item()
    torch.testing.assert_close(ours.double(), theirs, rtol=2e-3, atol=tolerance)
