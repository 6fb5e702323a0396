"""Known mutual information against closed forms, Monte Carlo and brute force."""

import math

import pytest
import torch

from seapkg.analysis import information
from seapkg.club import club_exact


def normal(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def pairs(nats, dim, n, seed=0):
    x, rho = normal(n, dim, seed), information.correlation(nats, dim)
    return x, information.correlated(x, rho, torch.Generator().manual_seed(seed + 1)), rho


def test_correlation_by_hand_and_back():
    assert information.correlation(-0.5 * math.log(1 - 0.6**2), 1) == pytest.approx(0.6)
    for nats, dim in [(0.0, 2), (0.3, 1), (5.0, 16), (10.0, 64)]:
        assert -dim / 2 * math.log1p(-(information.correlation(nats, dim) ** 2)) == pytest.approx(
            nats, abs=1e-12
        )


def test_correlated_coordinates_have_the_correlation_and_no_other():
    x, y, rho = pairs(2.0, 3, 100_000)
    matrix = torch.corrcoef(torch.cat([x, y], dim=1).T)[:3, 3:]
    torch.testing.assert_close(matrix, rho * torch.eye(3), rtol=0, atol=0.015)
    torch.testing.assert_close(y.std(dim=0), torch.ones(3), rtol=0, atol=0.015)
    opposed = information.correlated(x, -rho, torch.Generator().manual_seed(5))
    assert torch.corrcoef(torch.stack([x[:, 0], opposed[:, 0]]))[0, 1] == pytest.approx(
        -rho, abs=0.015
    )


@pytest.mark.parametrize(("nats", "dim"), [(0.0, 2), (0.5, 1), (2.0, 4)])
def test_true_club_is_the_gap_of_log_likelihoods(nats, dim):
    """By simulation, with torch's own normal distribution; five standard errors."""
    x, y, rho = pairs(nats, dim, 200_000)
    conditional = torch.distributions.Normal(rho * x, math.sqrt(1 - rho**2))
    gaps = (conditional.log_prob(y) - conditional.log_prob(y.roll(1, dims=0))).sum(dim=1)
    error = 5 * float(gaps.std()) / math.sqrt(len(gaps))
    assert float(gaps.mean()) == pytest.approx(information.true_club(nats, dim), abs=error + 1e-6)
    assert information.true_club(nats, dim) >= 2 * nats


def test_info_nce_equals_a_double_loop_and_is_capped():
    x, y, rho = pairs(3.0, 2, 12)
    marginal = torch.distributions.Normal(0, 1)
    total = 0.0
    for i in range(12):
        conditional = torch.distributions.Normal(rho * x[i], math.sqrt(1 - rho**2))
        ratios = [
            float((conditional.log_prob(y[j]) - marginal.log_prob(y[j])).sum()) for j in range(12)
        ]
        total += ratios[i] - math.log(sum(math.exp(r) for r in ratios) / 12)
    assert information.info_nce_bound(x, y, rho) == pytest.approx(total / 12, rel=1e-4)
    x, y, rho = pairs(40.0, 8, 50)
    assert information.info_nce_bound(x, y, rho) == pytest.approx(math.log(50), abs=1e-3)


def test_info_nce_stays_below_the_truth_on_average():
    found = [information.info_nce_bound(*pairs(1.0, 4, 500, seed=2 * k)) for k in range(20)]
    assert sum(found) / 20 == pytest.approx(1.0, abs=0.05)


def test_a_seed_fixes_the_fitted_conditional():
    x, y, _ = pairs(0.5, 2, 100)
    first, again = (
        information.fitted_conditional([(x, y)], hidden=4, steps=3, learning_rate=1e-2)
        for _ in range(2)
    )
    assert all(map(torch.equal, first.parameters(), again.parameters()))


def test_a_fitted_conditional_approaches_the_true_bound():
    x, y, _ = pairs(0.5, 2, 3000)
    q = information.fitted_conditional([(x, y)], hidden=16, steps=400, learning_rate=1e-2)
    fresh_x, fresh_y, _ = pairs(0.5, 2, 20_000, seed=50)
    assert float(club_exact(q, fresh_x, fresh_y)) == pytest.approx(
        information.true_club(0.5, 2), rel=0.1
    )


@pytest.mark.parametrize("fitted", [True, False])
def test_variational_club_is_the_information_plus_the_difference_of_divergences(fitted):
    """Theorem 2's identity, for a good and for an untrained q."""
    x, y, rho = pairs(1.0, 3, 50_000)
    steps = 200 if fitted else 0
    some = [(x[:4000], y[:4000])]
    q = information.fitted_conditional(some, hidden=12, steps=steps, learning_rate=1e-2)
    joint, product = information.divergences(q, x, y, rho)
    bound = float(club_exact(q, x, y))
    assert bound == pytest.approx(1.0 + product - joint, abs=0.05)
    assert joint >= -0.05 and (joint < 0.2) == fitted
