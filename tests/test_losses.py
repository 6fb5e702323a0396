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


def test_solosim_is_the_cross_entropy_of_scikit_learn():
    a, b = views(requires_grad=False)
    logits, labels = a @ b.T / 0.2, torch.arange(9)
    expected = log_loss(labels, logits.softmax(dim=1))
    assert losses.solosim(a, b, 0.2).item() == pytest.approx(expected, rel=1e-12)


def test_grace_equals_the_formula():
    a, b = views(requires_grad=False)
    own, other = (a @ a.T / 0.5).exp(), (a @ b.T / 0.5).exp()
    denominator = own.sum(dim=1) + other.sum(dim=1) - math.exp(1 / 0.5)
    expected = -(other.diagonal() / denominator).log().mean()
    torch.testing.assert_close(losses.grace(a, b, 0.5), expected)


def test_solosim_has_a_direction_and_info_nce_has_not():
    a, b = views(requires_grad=False)
    assert losses.solosim(a, b, 0.2).item() != pytest.approx(losses.solosim(b, a, 0.2).item())
    torch.testing.assert_close(losses.info_nce(a, b, 0.2), losses.info_nce(b, a, 0.2))


def test_info_nce_is_the_mean_of_both_directions():
    a, b = views(requires_grad=False)
    expected = (losses.solosim(a, b, 0.2) + losses.solosim(b, a, 0.2)) / 2
    torch.testing.assert_close(losses.info_nce(a, b, 0.2), expected)


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


def test_the_difference_is_the_mean_square_of_the_products_of_centred_unit_rows():
    a = torch.tensor([[3.0, 0.0], [-3.0, 0.0]], requires_grad=True)
    b = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    # Rows are (±1, 0) and ±(1, 1) / √2: the products of columns sum to √2, √2, 0, 0.
    loss = losses.difference(a, b)
    assert loss.item() == pytest.approx((2 + 2 + 0 + 0) / 4, rel=1e-5)
    loss.backward()
    # With the norm 3 as a constant: two sums of √2, each 2 · √2 · (1 / √2) / 3 / 4.
    assert a.grad[:, 0].tolist() == pytest.approx([1 / 3, -1 / 3], rel=1e-4)
