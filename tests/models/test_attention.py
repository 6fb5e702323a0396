"""Attention among coordinates against the dense softmax; its dropout; what a rate of 1 leaves."""

import pytest
import torch

from seapkg.models import attention as module
from seapkg.models.attention import DimensionAttention, keep_mask


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setitem(
        module.BLOCK_BYTES, "cpu", 600
    )  # one or two vectors of six coordinates a block


def vectors(seed=0, n=7, d=6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(n, d, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    ]


def attention() -> DimensionAttention:
    torch.manual_seed(1)
    made = DimensionAttention().double()
    with torch.no_grad():
        made.shifts += torch.tensor([0.3, -0.2, 0.1])
    return made


def dense(layer, x, y, kept=1.0):
    """As written: one 6 x 6 softmax a vector."""
    query, key, value = (
        layer.scales[p] * tokens + layer.shifts[p] for p, tokens in enumerate((x, y, y))
    )
    weights = (query[:, :, None] * key[:, None, :]).softmax(dim=2) * kept
    return layer.out_scale * (weights * value[:, None, :]).sum(dim=2)


def assert_same(ours, theirs, inputs):
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn(
        ours.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    for mine, other in zip(
        *(torch.autograd.grad((out * weight).sum(), inputs) for out in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_values_and_gradients_are_those_of_the_dense_softmax():
    layer, (x, y) = attention(), vectors()
    assert_same(layer(x, y), dense(layer, x, y), [x, y, *layer.parameters()])


def test_self_attention_adds_the_gradients_of_both_roles():
    layer, (x, _) = attention(), vectors()
    assert_same(layer(x, x), dense(layer, x, x), [x, *layer.parameters()])


def test_dropout_drops_weights_and_scales_the_rest():
    layer, (x, y) = attention(), vectors()
    kept, share = keep_mask((7, 6, 6), 0.4, torch.Generator().manual_seed(3), "cpu")
    ours = layer(x, y, 0.4, torch.Generator().manual_seed(3))
    assert_same(ours, dense(layer, x, y, kept / share), [x, y, *layer.parameters()])


def test_a_rate_of_one_leaves_nothing():
    layer, (x, y) = attention(), vectors()
    assert not layer(x, y, 1.0).any() and not layer(x, y, 1.0).requires_grad


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.6, 0.999])
def test_a_mask_keeps_its_share(rate):
    kept, share = keep_mask((1000, 999), rate, torch.Generator().manual_seed(0), "cpu")
    assert kept.shape == (1000, 999) and kept.dtype == torch.uint8 and kept.max() == 1
    assert share == pytest.approx(1 - rate, abs=1 / 256)
    assert kept.double().mean().item() == pytest.approx(
        share, abs=5 * (share * (1 - share) / 999_000) ** 0.5
    )


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.5, 0.6])
def test_on_average_the_share_is_the_rates(rate):
    generator, n = torch.Generator().manual_seed(0), 2000
    shares = torch.tensor(
        [keep_mask((1,), rate, generator, "cpu")[1] for _ in range(n)], dtype=torch.double
    )
    assert shares.mean().item() == pytest.approx(1 - rate, abs=5 / 512 / n**0.5)
    assert shares.unique().numel() == (1 if 256 * rate == int(256 * rate) else 2)


def test_neighbouring_decisions_of_a_mask_are_independent():
    kept, _ = keep_mask((400_000,), 0.5, torch.Generator().manual_seed(0), "cpu")
    signs = kept.double() * 2 - 1
    assert all(
        abs((signs[lag:] * signs[:-lag]).mean()) < 0.01 for lag in range(1, 9)
    )  # eight to a drawn word


@pytest.mark.parametrize("largest", [31, 33, 130, 300])
@pytest.mark.parametrize("sign", [1, -1])
def test_large_scores_do_not_overflow_in_float32(largest, sign):
    """Scores up to `largest` powers of two, on both sides of where the maximum is taken off; float32 ends at 128."""
    layer, (x, y) = attention(), vectors()
    with torch.no_grad():
        layer.scales[:2], layer.shifts[:2] = 1.0, 0.0  # the scores are x_a y_b
        x *= sign * largest / module.LOG2_E / (x.abs().max() * y.abs().max())
    singles = [tensor.detach().float().requires_grad_() for tensor in (x, y)]
    ours, theirs = layer.float()(*singles), dense(layer.double(), x, y)
    assert_close(ours, theirs)
    gradients = [
        torch.autograd.grad(out.sum(), of) for out, of in ((ours, singles), (theirs, [x, y]))
    ]
    for mine, other in zip(*gradients, strict=True):
        assert_close(mine, other)


def assert_close(ours, theirs):
    """As far as float32 goes where a score is in the hundreds."""
    assert ours.isfinite().all()
    torch.testing.assert_close(
        ours.double(), theirs, rtol=2e-3, atol=2e-4 * theirs.abs().max().item()
    )
