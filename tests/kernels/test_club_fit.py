"""CLUB's fit as one vector against its twin: the gradient, the steps, the moments that last."""

import pytest
import torch

from seapkg import club
from seapkg.kernels import club_fit


def normal(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def conditional(dim=3, hidden=4) -> club.GaussianConditional:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return club.GaussianConditional(dim, hidden).double()


def drawn_pairs(n_pairs: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(normal(7, 3, seed=2 * k), normal(7, 3, seed=2 * k + 1)) for k in range(n_pairs)]


@pytest.mark.parametrize("n_pairs", [1, 2, 3])
def test_the_gradient_written_by_hand_equals_automatic_differentiation(n_pairs):
    q, pairs = conditional(), drawn_pairs(n_pairs)
    fit = club_fit.ConditionalFit(q, learning_rate=0.0)
    fit.fit(pairs, steps=2)  # gradients are overwritten, not added up
    ours = conditional()
    fit.gradient.store_to(ours)
    q.requires_grad_(True)
    sum(club.negative_log_likelihood(q, x, y) for x, y in pairs).backward()
    for mine, parameter in zip(ours.parameters(), q.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_pairs", [1, 2])
def test_the_fit_equals_its_twin(n_pairs):
    pairs, (ours, theirs) = drawn_pairs(n_pairs), (conditional(), conditional())
    fast, plain = club_fit.ConditionalFit(ours, 0.01), club.ConditionalFit(theirs, 0.01)
    for steps in (3, 2):  # the moments last from one call to the next
        fast.fit(pairs, steps)
        plain.fit(pairs, steps)
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
    assert not torch.equal(ours.first_weight, conditional().first_weight)


def test_the_fit_leaves_the_pairs_alone():
    x, y = normal(7, 3), normal(7, 3, seed=1)
    copies = x.clone(), y.clone()
    club_fit.ConditionalFit(conditional(), 0.01).fit([(x, y)], 5)
    assert torch.equal(x, copies[0]) and torch.equal(y, copies[1])
