"""Mutual information that is known, and what SEA's bounds make of it (SEA Eq. 14-16, Theorem 2).

x and y are standard normal vectors of `dim` coordinates; coordinate k of y has correlation ρ with coordinate k of x
and none with any other. Then I(x; y) = -dim/2 ln(1 - ρ²), in nats, as everything here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seapkg.club import GaussianConditional
from seapkg.kernels.club_fit import ConditionalFit
from seapkg.errors import RequestError


def correlation(information: float, dim: int) -> float:
    """The ρ ≥ 0 at which x and y share `information` nats."""
    if information < 0 or dim < 1:
        raise RequestError(
            f"information is not negative and dim at least 1; they are {information} and {dim}"
        )
    return math.sqrt(-math.expm1(-2 * information / dim))


def true_club(information: float, dim: int) -> float:
    """CLUB with the true conditional (SEA Eq. 14): dim ρ² / (1 - ρ²) = dim (e^(2 I / dim) - 1), never below 2 I."""
    return dim * math.expm1(2 * information / dim)


def correlated(x: Tensor, rho: float, generator: torch.Generator) -> Tensor:
    """A standard normal y whose coordinates have correlation `rho` in [-1, 1] with those of `x` [n, dim]."""
    noise = torch.randn(x.shape, generator=generator)
    return rho * x + math.sqrt(1 - rho * rho) * noise


def info_nce_bound(x: Tensor, y: Tensor, rho: float) -> float:
    """The InfoNCE estimate, a lower bound on average, with the best critic there is, ln p(y|x) / p(y).

    `x, y`: [n, dim], matched by rows; every row has the other rows as negatives, so the estimate is at most ln n.
    """
    variance = 1 - rho * rho
    own = x.square().sum(dim=1)[:, None] * rho * rho  # [n, 1]
    gaps = own - 2 * rho * x @ y.T + y.square().sum(dim=1)  # |y_j - ρ x_i|², [n, n]
    critic = (y.square().sum(dim=1) - gaps / variance) / 2 - x.shape[1] / 2 * math.log(variance)
    return float((critic.diagonal() - critic.logsumexp(dim=1) + math.log(len(x))).mean())


def fitted_conditional(
    pairs: list[tuple[Tensor, Tensor]], hidden: int, steps: int, learning_rate: float, seed: int = 0
) -> GaussianConditional:
    """SEA's q(y|x) with `hidden` units, fitted on `pairs` (x, y), each [n, dim], by `steps` full-batch Adam steps."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            seed
        )  # as `models.build`: of this processor alone, and put back
        q = GaussianConditional(pairs[0][0].shape[1], hidden)
    ConditionalFit(q, learning_rate).fit(pairs, steps)
    return q


def divergences(q: GaussianConditional, x: Tensor, y: Tensor, rho: float) -> tuple[float, float]:
    """KL(p(x,y) || q) and KL(p(x)p(y) || q) with q(x,y) = q(y|x) p(x), averaged over the given pairs [n, dim].

    Theorem 2: variational CLUB is I plus the second minus the first. It is an upper bound where the second is larger.
    """
    with torch.no_grad():
        mean, log_variance = q(x)
        constant = math.log(2 * math.pi)

        def log_q(squares: Tensor) -> float:
            return float(
                -((squares * (-log_variance).exp() + log_variance + constant).sum(dim=1).mean()) / 2
            )

        centre = y.mean(dim=0)
        unmatched = (mean - centre).square() + (y - centre).square().mean(
            dim=0
        )  # mean over all partners
        variance, dim = 1 - rho * rho, x.shape[1]
        log_joint = (
            -(
                (y - rho * x).square().sum(dim=1).mean() / variance
                + dim * (constant + math.log(variance))
            )
            / 2
        )
        log_marginal = -(y.square().sum(dim=1).mean() + dim * constant) / 2
        return float(log_joint) - log_q((mean - y).square()), float(log_marginal) - log_q(unmatched)
