"""Losses against their formulas in float64, hand-made numbers, torch and scikit-learn."""

import math

import pytest
import torch
from sklearn.metrics import log_loss
from torch.nn import functional as F

from seapkg import losses


def views(n=9, dim=4, dtype=torch.float64, **kwargs) -> list[torch.Tensor]:
    """Two tables of unit rows."""
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randn(n, dim, generator=generator, dtype=dtype) for _ in range(2)]
    return [F.normalize(x, dim=1).requires_grad_(**kwargs) for x in drawn]


def dense_solosim(a, b, temperature):
    """As written: minus the mean of the diagonal of the log-softmax of all inner products."""
    return -(a @ b.T / temperature).log_softmax(dim=1).diagonal().mean()


# Ranking


def test_bpr_is_the_mean_of_minus_log_sigmoid_of_the_gap():
    positive = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    negative = torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)
    by_hand = (math.log1p(math.exp(-1)) + math.log1p(math.exp(4)) + math.log(2)) / 3
    assert losses.bpr(positive, negative).item() == pytest.approx(by_hand, rel=1e-12)
    formula = -torch.sigmoid(positive - negative).log().mean()
    torch.testing.assert_close(losses.bpr(positive, negative), formula)


def test_bpr_in_base_two_is_larger_by_one_over_log_two():
    positive, negative = torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    ratio = losses.bpr(positive, negative, "2") / losses.bpr(positive, negative)
    assert ratio.item() == pytest.approx(1 / math.log(2), rel=1e-6)


@pytest.mark.parametrize("gap", [1e4, -1e4])
def test_bpr_neither_overflows_nor_loses_its_gradient(gap):
    score = torch.tensor([gap], requires_grad=True)
    loss = losses.bpr(score, torch.zeros(1))
    loss.backward()
    assert loss.item() == pytest.approx(max(0, -gap))
    assert score.grad.item() == pytest.approx(-1 if gap < 0 else 0)


def test_the_embedding_norm_adds_unsquared_norms_and_divides_by_the_last_row_count():
    a, b = (
        torch.tensor([[3.0, 0.0], [0.0, 4.0]]),
        torch.tensor([[2.0, 1.0], [2.0, 0.0], [0.0, 4.0]]),
    )
    assert losses.embedding_norm(a, b).item() == pytest.approx((5 + 5) / 3)
    assert losses.embedding_norm(b, a).item() == pytest.approx((5 + 5) / 2)


# Alignment


def test_solosim_by_hand():
    a, b = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # Row 0 sees logits (2, 2), row 1 sees (0, 0): each picks one of two equals.
    assert losses.solosim(a, b, 0.5).item() == pytest.approx(math.log(2))
    # Rows (2, 0) and (0, 2).
    assert losses.solosim(a, a, 0.5).item() == pytest.approx(math.log1p(math.exp(-2)))


@pytest.mark.parametrize("temperature", [0.02, 0.05, 0.2, 1.0, 7.0])
def test_solosim_and_its_gradient_equal_the_dense_log_softmax(temperature):
    a, b = views()
    ours, theirs = losses.solosim(a, b, temperature), dense_solosim(a, b, temperature)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for mine, oracle in zip(
        *(torch.autograd.grad(3 * loss, (a, b)) for loss in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(mine, oracle, rtol=0, atol=1e-10)


@pytest.mark.parametrize("block_rows", [1, 2, 4, 8, 9, 50])
def test_the_block_size_changes_neither_solosim_nor_its_gradient(block_rows):
    a, b = views()
    ours = losses._BlockedSoftmax.apply(a, b, 0.2, block_rows)
    torch.testing.assert_close(ours, dense_solosim(a, b, 0.2), rtol=0, atol=1e-12)
    expected = torch.autograd.grad(dense_solosim(a, b, 0.2), (a, b))
    for mine, oracle in zip(torch.autograd.grad(ours, (a, b)), expected, strict=True):
        torch.testing.assert_close(mine, oracle, rtol=0, atol=1e-10)


def test_solosim_passes_gradcheck_in_float64():
    a, b = views(n=5, dim=3)
    assert torch.autograd.gradcheck(lambda a, b: losses.solosim(a, b, 0.3), (a, b))


@pytest.mark.parametrize("frozen", [0, 1])
def test_solosim_serves_one_trained_view_beside_a_frozen_one(frozen):
    pair = views()
    pair[frozen] = pair[frozen].detach()
    trained = pair[1 - frozen]
    (ours,) = torch.autograd.grad(losses.solosim(*pair, 0.2), trained)
    (theirs,) = torch.autograd.grad(dense_solosim(*pair, 0.2), trained)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_solosim_of_a_view_with_itself_adds_both_gradients():
    a, _ = views()
    (ours,) = torch.autograd.grad(losses.solosim(a, a, 0.2), a)
    (theirs,) = torch.autograd.grad(dense_solosim(a, a, 0.2), a)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_solosim_is_the_cross_entropy_of_torch_and_scikit_learn():
    a, b = views(requires_grad=False)
    logits, labels = a @ b.T / 0.2, torch.arange(9)
    ours = losses.solosim(a, b, 0.2).item()
    assert ours == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-12)
    assert ours == pytest.approx(log_loss(labels, logits.softmax(dim=1)), rel=1e-12)


def test_a_tiny_temperature_does_not_overflow():
    a, b = views(dtype=torch.float32)
    loss = losses.solosim(a, b, 1e-4)
    loss.backward()
    expected = dense_solosim(a.double(), b.double(), 1e-4)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    assert a.grad.isfinite().all() and b.grad.isfinite().all()


def dense_grace(a, b, temperature):
    """As written in spec D.9: the other view's rows and the own view's others as negatives."""
    own, other = (a @ a.T / temperature).exp(), (a @ b.T / temperature).exp()
    denominator = own.sum(dim=1) + other.sum(dim=1) - math.exp(1 / temperature)
    return -(other.diagonal() / denominator).log().mean()


@pytest.mark.parametrize("temperature", [0.02, 0.2, 0.5, 2.0])
def test_grace_and_its_gradient_equal_the_formula(temperature):
    a, b = views()
    ours, theirs = losses.grace(a, b, temperature), dense_grace(a, b, temperature)
    torch.testing.assert_close(ours, theirs)
    # Off the sphere e^(a·a / τ) is no constant: the formula's own row is left out, and so must be its gradient.
    own = (a @ a.T / temperature).fill_diagonal_(-math.inf)
    theirs = -torch.cat([a @ b.T / temperature, own], dim=1).log_softmax(dim=1).diagonal().mean()
    for mine, other in zip(
        torch.autograd.grad(ours, (a, b)), torch.autograd.grad(theirs, (a, b)), strict=True
    ):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("block_rows", [1, 2, 4, 9, 100])
def test_the_block_size_changes_neither_grace_nor_its_gradient(block_rows):
    a, b = views()
    ours = losses._BlockedSoftmax.apply(a, torch.cat([b, a]), 0.5, block_rows)
    torch.testing.assert_close(ours, dense_grace(a, b, 0.5), rtol=0, atol=1e-12)
    expected = torch.autograd.grad(losses.grace(a, b, 0.5), (a, b))
    torch.testing.assert_close(torch.autograd.grad(ours, (a, b)), expected)


def test_solosim_has_a_direction_and_info_nce_has_not():
    a, b = views(requires_grad=False)
    assert losses.solosim(a, b, 0.2).item() != pytest.approx(losses.solosim(b, a, 0.2).item())
    torch.testing.assert_close(losses.info_nce(a, b, 0.2), losses.info_nce(b, a, 0.2))


def test_info_nce_is_the_mean_of_both_directions():
    a, b = views()
    expected = (dense_solosim(a, b, 0.2) + dense_solosim(b, a, 0.2)) / 2
    torch.testing.assert_close(losses.info_nce(a, b, 0.2), expected)
    assert torch.autograd.gradcheck(lambda a, b: losses.info_nce(a, b, 0.3), (a, b))


def test_positives_is_minus_the_mean_inner_product_over_the_temperature():
    a, b = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    assert losses.positives(a, b, 0.25).item() == pytest.approx(-(0 + 1) / 2 / 0.25)


# Distancing


def test_negative_l2_is_minus_the_mean_squared_distance_of_rows():
    generic, unique = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 1.0]])
    assert losses.negative_l2(generic, unique).item() == pytest.approx(-(4 + 10) / 2)


def test_orthogonality_is_the_mean_squared_cosine():
    generic = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    unique = torch.tensor([[0.0, 5.0], [4.0, 0.0], [0.0, -1.0]])
    assert losses.orthogonality(generic, unique).item() == pytest.approx((0 + 0.5 + 1) / 3)
