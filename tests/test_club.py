"""The CLUB bound and its fit against torch.distributions, all pairs and Adam's first step."""

import math
from itertools import permutations

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from seapkg import club


def normal(*shape, seed=0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def conditional(dim=3, hidden=4, seed=0) -> club.GaussianConditional:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return club.GaussianConditional(dim, hidden).double()


def log_likelihood(q, x, y) -> torch.Tensor:
    """ln q(y|x) of each pair, by torch.distributions: [n]."""
    mean, log_variance = q(x)
    return Normal(mean, (log_variance / 2).exp()).log_prob(y).sum(dim=1)


# The conditional


def test_the_conditional_is_two_networks_of_the_published_form():
    q, x = conditional(), normal(7, 3)
    expected = []
    for k in (0, 1):
        network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).double()
        network[0].load_state_dict({"weight": q.first_weight[k], "bias": q.first_bias[k]})
        network[2].load_state_dict({"weight": q.second_weight[k], "bias": q.second_bias[k]})
        expected.append(network(x))
    mean, log_variance = q(x)
    torch.testing.assert_close(mean, expected[0])
    torch.testing.assert_close(log_variance, expected[1].tanh())


def test_at_the_published_size_the_conditional_has_1104_scalars():
    assert sum(p.numel() for p in club.GaussianConditional(32, 8).parameters()) == 1104


def test_the_negative_log_likelihood_by_hand():
    q = conditional(dim=2)
    for parameter in q.parameters():
        parameter.zero_()
    q.second_bias[0] = torch.tensor([1.0, -1.0])  # the mean, whatever x
    q.second_bias[1] = torch.tensor([0.0, math.atanh(0.5)])  # the log-variance is (0, 1/2)
    x, y = normal(2, 2), torch.tensor([[1.0, 0.0], [3.0, -1.0]], dtype=torch.float64)
    first = (0 / 2 + 0) + (1 / (2 * math.exp(0.5)) + 0.25)
    second = (4 / 2 + 0) + (0 + 0.25)
    assert club.negative_log_likelihood(q, x, y).item() == pytest.approx((first + second) / 2)


def test_the_negative_log_likelihood_is_that_of_torch_distributions_without_the_constant():
    q, x, y = conditional(), normal(7, 3), normal(7, 3, seed=1)
    constant = 3 / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(
        club.negative_log_likelihood(q, x, y), -log_likelihood(q, x, y).mean() - constant
    )


# The bound


def test_the_sampled_bound_is_the_gap_of_matched_and_unmatched_log_likelihoods():
    q, x, y = conditional(), normal(7, 3), normal(7, 3, seed=1)
    order = torch.tensor([3, 1, 0, 2, 6, 4, 5])
    expected = (log_likelihood(q, x, y) - log_likelihood(q, x, y[order])).mean()
    torch.testing.assert_close(club.club_sampled(q, x, y, order), expected)


def test_the_exact_bound_is_the_mean_of_the_sampled_one_over_all_shifts_and_over_all_permutations():
    q, x, y = conditional(), normal(4, 3), normal(4, 3, seed=1) + 5
    exact = club.club_exact(q, x, y)
    shifts = [torch.arange(4).roll(shift) for shift in range(4)]
    orders = [torch.tensor(order) for order in permutations(range(4))]
    for group in (shifts, orders):
        sampled = torch.stack([club.club_sampled(q, x, y, order) for order in group])
        torch.testing.assert_close(sampled.mean(), exact)
        assert sampled.std() > 0


def test_the_exact_bound_and_its_gradient_equal_a_double_loop_over_all_pairs():
    q = conditional()
    x, y = normal(6, 3).requires_grad_(), normal(6, 3, seed=1).requires_grad_()
    matched = log_likelihood(q, x, y).mean()
    unmatched = torch.stack(
        [log_likelihood(q, x, y[j].expand(6, 3)).mean() for j in range(6)]
    ).mean()
    ours = club.club_exact(q, x, y)
    torch.testing.assert_close(ours, matched - unmatched)
    expected = torch.autograd.grad(matched - unmatched, (x, y))
    for mine, oracle in zip(torch.autograd.grad(ours, (x, y)), expected, strict=True):
        torch.testing.assert_close(mine, oracle, rtol=0, atol=1e-12)


def test_the_exact_bound_keeps_its_precision_far_from_the_origin():
    q, x, y = conditional(), normal(50, 3), normal(50, 3, seed=1)
    q.second_bias[0] += 1000
    wide = club.club_exact(q, x, y + 1000)
    narrow = club.club_exact(q.float(), x.float(), (y + 1000).float())
    assert narrow.item() == pytest.approx(wide.item(), rel=1e-3)


def test_the_bound_gives_the_conditional_no_gradient():
    q, x, y = conditional(), normal(7, 3).requires_grad_(), normal(7, 3).requires_grad_()
    (club.club_exact(q, x, y) + club.club_sampled(q, x, y, torch.arange(7).roll(1))).backward()
    assert all(parameter.grad is None for parameter in q.parameters())
    assert x.grad.abs().max() > 0 and y.grad.abs().max() > 0


# The fit


def test_the_fit_leaves_the_conditional_without_gradients_and_the_pairs_alone():
    q, x, y = conditional(), normal(7, 3).requires_grad_(), normal(7, 3, seed=1)
    club.ConditionalFit(q, 0.01).fit([(x, y)], 2)
    assert all(p.grad is None and not p.requires_grad for p in q.parameters())
    assert x.grad is None


def test_a_step_of_the_fit_is_one_of_adam_on_the_summed_losses():
    """Adam's first step has the length of the learning rate, against the gradient."""
    q = conditional()
    pairs = [(normal(7, 3, seed=k), normal(7, 3, seed=k + 9)) for k in range(2)]
    parameters = [p.detach().clone().requires_grad_() for p in q.parameters()]
    values = dict(zip(dict(q.named_parameters()), parameters, strict=True))
    total = 0
    for x, y in pairs:
        mean, log_variance = torch.func.functional_call(q, values, (x,))
        total = total + (Normal(mean, (log_variance / 2).exp()).log_prob(y)).sum(dim=1).mean()
    gradients = torch.autograd.grad(-total, parameters)
    club.ConditionalFit(q, 0.01).fit(pairs, 1)
    for after, before, gradient in zip(q.parameters(), parameters, gradients, strict=True):
        expected = before.detach() - 0.01 * gradient.sign() * (gradient.abs() > 1e-6)
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-5)


def fitted(x, y) -> club.GaussianConditional:
    q = conditional(dim=x.shape[1], hidden=8)
    club.ConditionalFit(q, 0.01).fit([(x, y)], 300)
    return q


def test_the_fit_lowers_the_negative_log_likelihood_and_leaves_the_pairs_alone():
    x, noise = normal(500, 2), normal(500, 2, seed=1)
    y = x + noise
    before, copies = club.negative_log_likelihood(conditional(2, 8), x, y), (x.clone(), y.clone())
    q = fitted(x, y)
    assert club.negative_log_likelihood(q, x, y) < before - 0.1
    assert torch.equal(x, copies[0]) and torch.equal(y, copies[1])


def test_after_the_fit_independent_parts_give_about_zero():
    """Fitted on one sample, measured on another; the 4 000 terms have a deviation below 1."""
    q = fitted(normal(4000, 2), normal(4000, 2, seed=1))
    estimate = club.club_exact(q, normal(4000, 2, seed=2), normal(4000, 2, seed=3))
    assert abs(estimate.item()) < 4 / math.sqrt(4000)


def test_after_the_fit_dependent_parts_give_more_than_their_mutual_information():
    """y = x + noise of variance 1: information ½ ln 2 and, with the true q, a bound of 1 each."""
    x, noise = normal(4000, 2), normal(4000, 2, seed=1)
    estimate = club.club_exact(fitted(x, x + noise), x, x + noise)
    assert estimate.item() > 2 * math.log(2) / 2
    assert estimate.item() == pytest.approx(2, rel=0.15)
